/** A backlog of input when the connection ends: nothing of it is reported after the end, and nothing fails by it. */
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { deflateRawSync, constants as zlib } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { WebSocketConnection } from '../../../src/index.js';
import { extensionOf } from '../../fuzz/targets/endpoint.js';
import { consumers, endsOnce, record } from '../../support/consumers.js';
import { frameTo, roles } from '../../support/frames.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { open, pair, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

const code = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const repeat = (frame: Buffer, times: number): Buffer => Buffer.alloc(frame.length * times, frame);
const deflated = (text: string): Buffer =>
  deflateRawSync(text, { finishFlush: zlib.Z_SYNC_FLUSH }).subarray(0, -4);

/** A stream that receives what it is given. */
class Received extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _: string, callback: () => void): void {
    callback();
  }
}

/** How a connection with a backlog can end. */
const endings: Readonly<Record<string, (ws: WebSocketConnection, stream: Duplex) => void>> = {
  'terminate()': (ws) => ws.terminate(),
  'close()': (ws) => void ws.close(4000),
  'terminate() twice': (ws) => {
    ws.terminate();
    ws.terminate();
  },
  'close(), then terminate()': (ws) => {
    void ws.close();
    ws.terminate();
  },
  RST: (_, stream) => stream.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })),
  'RST, then close()': (ws, stream) => {
    stream.destroy(new Error('reset'));
    void ws.close();
  },
  'the end of the stream': (_, stream) => stream.destroy(),
};

describe.each(roles)('a %s', (role) => {
  describe.each(Object.entries(endings))('that ends by %s', (name, end) => {
    test.each([0, 5_000, 59_999])(
      '[X-17] a backlog of Pings with a Close in it, from inside the listener of Ping %i: nothing after close',
      async (at) => {
        const stream = new Received();
        const ws = open(stream, role, { options: { closeTimeout: 50 } });
        const seen: string[] = [];
        const closes: unknown[] = [];
        let pings = 0;
        ws.on('ping', () => {
          if (closes.length > 0) seen.push('ping after close');
          if (pings++ === at) end(ws, stream);
        });
        ws.on('message', () => seen.push('message')).on('pong', () => seen.push('pong'));
        ws.on('close', (info) => closes.push(info)).on('error', () => closes.length && seen.push('error'));
        await turns(1);
        stream.push(Buffer.concat([repeat(frameTo(role, 9, 'x'), 60_000), frameTo(role, 8, code(4001))]));
        const info = await ws.closed;
        await turns(5);
        expect(closes).toEqual([info]);
        expect(closes[0]).toBe(info);
        expect(seen).toEqual([]);
        const dropped = name.includes('terminate') && at < 59_999;
        expect(info.code).toBe(dropped || (name.includes('terminate') && at === 59_999) ? 1006 : 4001);
      },
    );

    test.each(Object.entries(consumers))(
      '[X-32] a compressed backlog, consumed by %s: no InvalidPayloadError, nothing after close',
      async (_, consume) => {
        const stream = new Received();
        const ws = open(stream, role, {
          options: { closeTimeout: 50 },
          extension: () => extensionOf(role),
        });
        const seen = record(ws);
        const consumed = consume(ws);
        await turns(1);
        const texts = Array.from({ length: 300 }, (__, i) => `${i} ${'é'.repeat(2_000)}`);
        stream.push(Buffer.concat(texts.map((text) => frameTo(role, 1, deflated(text), { rsv: 0x40 }))));
        await turns(1);
        end(ws, stream);
        const info = await ws.closed;
        await consumed.end;
        await turns(5);
        expect(consumed.got).toEqual(texts.slice(0, consumed.got.length));
        expect(endsOnce(seen, info)).toBe(true);
        const errors = seen.filter(([event]) => event === 'error').map(([, error]) => String(error));
        expect(errors).toEqual(name.startsWith('RST') ? [expect.stringMatching(/reset|ECONNRESET/)] : []);
        if (name === 'RST' || name === 'the end of the stream') expect(consumed.got).toEqual(texts);
      },
    );
  });

  test('[X-32] a large compressed message in the thread pool when the connection is terminated', async () => {
    const [ws, peer] = await pair(
      role,
      { extension: () => extensionOf(role) },
      {
        extension: () => extensionOf(role === 'server' ? 'client' : 'server'),
      },
    );
    const [seen, peerSeen] = [record(ws), record(peer)];
    ws.resume();
    for (let i = 0; i < 20; i++) peer.send('some text '.repeat(60_000));
    await turns(3);
    ws.terminate();
    peer.terminate();
    const [info, peerInfo] = await Promise.all([ws.closed, peer.closed]);
    await turns(20);
    expect([endsOnce(seen, info), endsOnce(peerSeen, peerInfo)]).toEqual([true, true]);
    expect(seen.filter(([event]) => event === 'error')).toEqual([]);
  });

  test.each(['terminate', 'close'] as const)(
    '[X-17] a backlog of messages and a Close, then a real RST and %s(): close and closed agree',
    async (call) => {
      const [ws, peer] = await rawPair(role, { options: { closeTimeout: 100 } });
      const seen = record(ws);
      const late: unknown[] = [];
      ws.on('message', () => seen.some(([event]) => event === 'close') && late.push('message'));
      peer.socket.write(Buffer.concat([repeat(frameTo(role, 1, 'x'), 30_000), frameTo(role, 8, code(4001))]));
      await once(ws, 'message');
      peer.socket.resetAndDestroy();
      await turns(1);
      ws[call]();
      const info = await ws.closed;
      await turns(10);
      expect([late, endsOnce(seen, info), await ws.close()]).toEqual([[], true, info]);
    },
  );

  test('[X-11] several receive() at once: the second rejects, the first gets the message, in every order', async () => {
    const [ws, peer] = await pair(role);
    const calls = [ws.receive(), ws.receive(), ws[Symbol.asyncIterator]().next()];
    peer.send('one');
    const settled = await Promise.allSettled(calls);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
    expect((settled[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'ERR_CONSUMPTION' });
    expect(await ((await calls[0]) as { text(): Promise<string> }).text()).toBe('one');
    ws.terminate();
    peer.terminate();
  });

  test.each(['text', 'bytes', 'json', 'arrayBuffer'] as const)(
    '[X-11] %s() of a message never begun and left rejects, also when the connection has ended since',
    async (method) => {
      const [ws, peer] = await rawPair(role);
      const bytes = ['"a"', '"b"', '"c"'].map((text) => frameTo(role, 1, text));
      peer.socket.end(Buffer.concat([...bytes, frameTo(role, 8, code(1000))]));
      const [first, second, third] = [await ws.receive(), await ws.receive(), await ws.receive()];
      const end = ws.receive();
      await expect(first![method]()).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
      expect([await end, await ws.closed]).toEqual([null, { code: 1000, reason: '', wasClean: true }]);
      await expect(second![method]()).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
      await expect(third![method]()).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
    },
  );

  test('[X-11] the last message, received whole and not begun, is read after the end', async () => {
    const [ws, peer] = await rawPair(role);
    peer.socket.end(Buffer.concat([frameTo(role, 1, 'last'), frameTo(role, 8, code(1000))]));
    const message = await ws.receive();
    await ws.closed;
    expect(await message?.text()).toBe('last');
    expect(await ws.receive()).toBe(null);
  });

  test('[X-11] receive() while the last message is being read waits, and then is the end', async () => {
    const [ws, peer] = await rawPair(role);
    peer.send(1, 'la', { fin: false });
    const message = (await ws.receive())!;
    const chunks = message[Symbol.asyncIterator]();
    expect(String((await chunks.next()).value)).toBe('la');
    const next = ws.receive();
    const rest = chunks.next();
    peer.send(0, 'st');
    peer.send(8, code(1000));
    peer.socket.end();
    expect(String((await rest).value)).toBe('st');
    expect(await chunks.next()).toEqual({ done: true, value: undefined });
    expect(await next).toBe(null);
  });
});
