/** What the simulation found in the first version, beside the rows that it was asked for. */
import { Blob } from 'node:buffer';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { prepareMessage } from '../../../src/index.js';
import { roles } from '../../support/frames.js';
import { checkNothingLeft, expectedFault } from '../../support/nothing-left.js';
import { pair, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

/** A Blob whose bytes cannot be read. */
class BrokenBlob extends Blob {
  override arrayBuffer(): Promise<ArrayBuffer> {
    return Promise.reject(new Error('The file is gone'));
  }
}

describe.each(roles)('a %s', (role) => {
  test('[Z-01] §7.1.4 the peer has closed, and this Close frame never leaves: not clean', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 50 } });
    peer.socket.pause();
    ws.resume();
    while (ws.send(Buffer.alloc(1_000_000))) await turns(1);
    peer.send(8, Buffer.from([3, 0xe8]));
    await once(ws, 'ping', { signal: AbortSignal.timeout(20) }).catch(() => {});
    peer.socket.resetAndDestroy();
    expect(await ws.closed).toMatchObject({ wasClean: false });
  });

  test.each(['error', 'message', 'ping', 'pong', 'drain', 'close'] as const)(
    '[Z-02] a listener of %s that throws: the rest is delivered, the end is told, promises settle',
    async (event) => {
      const [ws, peer] = await rawPair(role, { options: { highWaterMark: 1 } });
      const told: unknown[] = [];
      ws.once(event, () => {
        throw new Error(`of ${event}`);
      });
      ws.on('message', (data) => told.push(data));
      ws.on('close', ({ code }) => told.push(code));
      ws.send('some');
      const pending = ws.ping();
      for (const opcode of [9, 10, 1, 1]) peer.send(opcode, 'x');
      peer.send(3);
      if (event === 'close') await peer.until(({ ended }) => ended).then(() => peer.socket.destroy());
      expect(String(await expectedFault())).toBe(`Error: of ${event}`);
      await expect(pending).rejects.toThrow();
      peer.socket.destroy();
      await ws.closed;
      await turns();
      // The listener that throws is the first of the event: others do not see that one
      const messages = event === 'message' ? ['x'] : ['x', 'x'];
      expect(told).toEqual([...messages, ...(event === 'close' ? [] : [1006])]);
    },
  );

  test('[Z-03] a listener of error that throws leaves no listener on the signals of calls that wait', async () => {
    const [ws, peer] = await rawPair(role);
    const { signal, listeners } = counted();
    const calls = [ws.ping(undefined, { signal }), ws.receive({ signal })];
    ws.on('error', () => {
      throw new Error('of error');
    });
    expect(listeners.size).toBe(1);
    peer.send(3);
    expect(String(await expectedFault())).toBe('Error: of error');
    await Promise.allSettled(calls);
    expect(listeners.size).toBe(0);
    peer.socket.destroy();
    await ws.closed;
  });

  test('[Z-04] a Blob that cannot be read, on a connection that the peer ends: no timer is left', async () => {
    const [ws, peer] = await rawPair(role);
    ws.resume();
    peer.socket.end();
    ws.send(new BrokenBlob([]));
    await ws.closed;
    ws.send(new BrokenBlob([]));
    const [other] = await pair(role);
    other.terminate();
    other.send(new BrokenBlob([]));
    await other.closed;
  });

  test('[Z-05] a send() behind a fragment that is not flushed: over maxBufferedAmount at the second', async () => {
    const [ws, peer] = await rawPair(role, { options: { highWaterMark: 0, maxBufferedAmount: 100 } });
    peer.socket.pause();
    const writer = ws.createWriter('binary');
    const failed = once(ws, 'error');
    const write = writer.write(Buffer.alloc(30_000_000));
    await turns();
    expect(ws.send('x'.repeat(8193))).toBe(false);
    expect(ws.state).toBe('open');
    expect(ws.send('x'.repeat(8193))).toBe(false);
    expect((await failed)[0]).toMatchObject({ code: 'ERR_SEND_QUEUE_FULL' });
    await expect(write).rejects.toMatchObject({ code: 1006 });
    await ws.closed;
  });

  test('[Z-06] receive() in front of an iteration: every message comes once, in order', async () => {
    const [ws, peer] = await pair(role);
    const first = ws.receive();
    for (const text of ['1', '2', '3']) peer.send(text);
    const seen = [await (await first)?.text()];
    const closing = peer.close();
    for await (const message of ws) seen.push(await message.text());
    expect(seen).toEqual(['1', '2', '3']);
    await Promise.all([closing, ws.closed]);
  });

  test('[Z-07] pong() once the connection is closing or closed does nothing', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    const closing = ws.close();
    ws.pong();
    await closing;
    ws.pong('too late');
    await peer.closed;
  });

  test('[Z-08] a message between createWriter() and its first write() keeps its own type', async () => {
    const [ws, peer] = await pair(role);
    const noise = Buffer.from([0xff, 0xfe, 0x80]);
    const writer = ws.createWriter('text');
    ws.send(noise);
    await writer.write('text');
    await writer.end();
    const seen: [string, string][] = [];
    for (let i = 0; i < 2; i++) {
      const message = (await peer.receive())!;
      seen.push([message.type, Buffer.from(await message.bytes()).toString('hex')]);
    }
    expect(seen.toSorted()).toEqual([
      ['binary', 'fffe80'],
      ['text', Buffer.from('text').toString('hex')],
    ]);
    ws.terminate();
    await Promise.all([ws.closed, peer.closed]);
  });

  test('[Z-09] sendStream() aborted in front of a prepared message: closed with 1011, nothing is thrown', async () => {
    const [ws, peer] = await rawPair(role);
    const abort = new AbortController();
    const endless = async function* (): AsyncGenerator<string> {
      for (;;) yield 'x'.repeat(9000);
    };
    const sending = ws.sendStream(endless(), { signal: abort.signal });
    ws.send(prepareMessage('prepared'));
    await peer.until(({ bytes }) => bytes.length > 20_000);
    abort.abort(new Error('enough'));
    await expect(sending).rejects.toThrow('enough');
    await peer.until(({ frames }) => frames.at(-1)?.opcode === 8);
    expect(peer.frames.filter(({ payload }) => String(payload) === 'prepared')).toEqual([]);
    expect(peer.frames.at(-1)!.payload.readUInt16BE()).toBe(1011);
    ws.terminate();
    await ws.closed;
  });
});

/** A signal, and the listeners that are on it. */
function counted(): { signal: AbortSignal; listeners: Set<unknown> } {
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (type: string, listener: never): void => {
    listeners.add(listener);
    add(type, listener);
  };
  signal.removeEventListener = (type: string, listener: never): void => {
    listeners.delete(listener);
    remove(type, listener);
  };
  return { signal, listeners };
}
