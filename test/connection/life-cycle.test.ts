import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type CloseInfo,
  ConnectionClosedError,
  type ConnectionEvents,
  TimeoutError,
  type WebSocketConnection,
} from '../../src/index.js';
import { frameTo, roles } from '../support/frames.js';
import { leftovers, open, pair, rawPair, sockets, timers, timersLeft, turns } from '../support/wire.js';
import { makeXor } from '../support/xor.js';

const lost: CloseInfo = { code: 1006, reason: '', wasClean: false };
const code = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);

/** A stream whose writes never end. */
class Stuck extends Duplex {
  override _read(): void {}
  override _write(): void {}
}

/** All events of a connection by name. */
function watch(ws: WebSocketConnection): [string, ...unknown[]][] {
  const seen: [string, ...unknown[]][] = [];
  for (const event of ['ping', 'pong', 'drain', 'close', 'error'] as const) {
    ws.on(event, (...details: unknown[]) => seen.push([event, ...details]));
  }
  return seen;
}

const closes = (seen: [string, ...unknown[]][]): unknown[] =>
  seen.filter(([event]) => event === 'close').map(([, info]) => info);

let faults: unknown[] = [];
let before = 0;
const onFault = (error: unknown): void => void faults.push(error);

beforeEach(() => {
  faults = [];
  before = timers();
  process.on('unhandledRejection', onFault).on('uncaughtException', onFault);
});

afterEach(async () => {
  vi.useRealTimers();
  await turns(5);
  process.off('unhandledRejection', onFault).off('uncaughtException', onFault);
  expect(faults).toEqual([]);
  expect(await leftovers()).toBe(0);
  expect(await timersLeft(before)).toBe(0);
});

describe.each(roles)('a %s', (role) => {
  test('[P-34] [P-35] §7.1.2 close() does the whole closing handshake, and tells both sides', async () => {
    const [ws, peer] = await pair(role);
    const [seen, peerSeen] = [watch(ws), watch(peer)];
    peer.on('message', () => {});
    expect([ws.state, peer.state]).toEqual(['open', 'open']);
    const closing = ws.close(4001, 'bye é');
    expect(ws.state).toBe('closing');
    const info = { code: 4001, reason: 'bye é', wasClean: true };
    expect(await closing).toEqual(info);
    expect(await peer.closed).toEqual(info);
    expect([await ws.closed, await ws.close(), ws.state, peer.state]).toEqual([
      info,
      info,
      'closed',
      'closed',
    ]);
    expect([seen, peerSeen]).toEqual([[['close', info]], [['close', info]]]);
  });

  test('[P-37] close() has 1000 as its code, and `await using` calls it', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    {
      await using scoped = ws;
      scoped.send('in the block');
    }
    expect(await peer.closed).toEqual({ code: 1000, reason: '', wasClean: true });
  });

  test('[L-07] §7.1 both sides close at once: one close event each', async () => {
    const [ws, peer] = await pair(role);
    const [seen, peerSeen] = [watch(ws), watch(peer)];
    await Promise.all([ws.close(4001, 'a'), peer.close(4002, 'b'), ws.close(), peer.close()]);
    expect(closes(seen)).toEqual([{ code: 4002, reason: 'b', wasClean: true }]);
    expect(closes(peerSeen)).toEqual([{ code: 4001, reason: 'a', wasClean: true }]);
  });

  test('[L-07] [X-07] [P-82] [P-83] send() after close() returns false, calls that wait reject', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    const closing = ws.close(1000, 'bye');
    for (let i = 0; i < 2; i++) {
      expect([ws.send('late'), ws.send(new Blob(['late'])), ws.pong()]).toEqual([false, false, undefined]);
      expect(() => ws.send(5 as never)).toThrow(TypeError);
      await expect(ws.ping()).rejects.toMatchObject({ code: 1000, reason: 'bye' });
      await expect(ws.drained()).rejects.toBeInstanceOf(ConnectionClosedError);
      await expect(ws.createWriter('text').write('late')).rejects.toBeInstanceOf(ConnectionClosedError);
      await expect(ws.sendStream(['late'])).rejects.toBeInstanceOf(ConnectionClosedError);
      await closing;
    }
    expect(await ws.receive()).toBe(null);
  });

  test('[L-07] [X-07] [P-82] send() after the Close frame of the peer returns false', async () => {
    const [ws, peer] = await rawPair(role);
    ws.resume();
    peer.send(8, code(1001));
    await peer.until(({ frames }) => frames.length === 1);
    expect(ws.state).toBe('closing');
    expect([ws.send('late'), ws.send(Buffer.from('late')), ws.send(new Blob(['late']))]).toEqual([
      false,
      false,
      false,
    ]);
    ws.pong();
    peer.socket.end();
    expect(await ws.closed).toEqual({ code: 1001, reason: '', wasClean: true });
    expect(ws.send('late')).toBe(false);
    expect(peer.frames.length).toBe(1);
  });

  test('[P-26] §5.5.1 the peer reads all that was sent in front of the Close frame', async () => {
    const [ws, peer] = await pair(role);
    const got: number[] = [];
    peer.on('message', (data) => got.push(data.length));
    ws.send('a');
    ws.send(new Blob(['blob']));
    ws.send(Buffer.alloc(3_000_000));
    ws.send('end');
    await ws.close();
    expect(got).toEqual([1, 4, 3_000_000, 3]);
  });

  test('[L-01] §7.1.1 a Close frame and no FIN: the socket is destroyed at closeTimeout', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 30 } });
    ws.resume();
    peer.send(8, code(1000));
    expect(await ws.closed).toEqual({ code: 1000, reason: '', wasClean: true });
    await peer.until(({ ended, socket }) => ended || socket.destroyed);
    peer.socket.destroy();
  });

  test('[L-02] §7.1.1 a peer that never echoes Close is left at closeTimeout', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 30 } });
    expect(await ws.close()).toEqual(lost);
    expect(peer.frames.map((frame) => frame.opcode)).toEqual([8]);
    peer.socket.destroy();
  });

  test('[L-02] a peer that keeps sending data is left at closeTimeout, which data does not extend', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 60 } });
    const messages: unknown[] = [];
    ws.on('message', (data) => messages.push(data));
    const sending = setInterval(() => peer.send(2, Buffer.alloc(1000)), 5);
    expect(await ws.close()).toEqual(lost);
    clearInterval(sending);
    expect(messages).toEqual([]);
    peer.socket.destroy();
  });

  test('[F-21] a peer that floods behind its Close frame is read within bounds', async () => {
    const [ws, peer] = await rawPair(role);
    const messages: unknown[] = [];
    ws.on('message', (data) => messages.push(data));
    peer.send(8, code(1000));
    const flood = Buffer.alloc(1024 * 1024);
    const write = (): void => {
      while (!peer.socket.destroyed && peer.socket.write(flood));
      peer.socket.once('drain', write);
    };
    write();
    expect(await ws.closed).toEqual({ code: 1000, reason: '', wasClean: true });
    expect(messages).toEqual([]);
    peer.socket.destroy();
  });

  test.each([
    ['the Close frame of the peer', 8, code(1000)],
    ['a frame that fails the connection', 3, ''],
  ] as const)(
    '[F-21] 16 MiB after %s are read and dropped, one byte more ends the connection',
    async (_, opcode, payload) => {
      const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
      const ws = open(stream, role);
      ws.resume();
      stream.push(frameTo(role, opcode, payload));
      await turns();
      expect(ws.state).toBe('closing');
      const mebibyte = Buffer.alloc(1024 * 1024);
      for (let i = 0; i < 16; i++) {
        stream.push(mebibyte);
        await turns();
      }
      expect([stream.readableLength, stream.destroyed]).toEqual([0, false]);
      stream.push(Buffer.alloc(1));
      await turns();
      expect([stream.destroyed, ws.state]).toEqual([true, 'closed']);
    },
  );

  test.each([
    [
      '[L-03] FIN inside a frame',
      (peer: Awaited<ReturnType<typeof rawPair>>[1]) => peer.send(2, 'abc', { length: 10n }).socket.end(),
    ],
    [
      '[L-04] FIN without Close',
      (peer: Awaited<ReturnType<typeof rawPair>>[1]) => peer.send(2, 'abc', { fin: false }).socket.end(),
    ],
    [
      '[L-05] RST inside a message',
      (peer: Awaited<ReturnType<typeof rawPair>>[1]) =>
        peer.send(2, 'abc', { fin: false }).socket.resetAndDestroy(),
    ],
  ])('[P-12] %s', async (_, end) => {
    const [ws, peer] = await rawPair(role);
    const seen = watch(ws);
    const iterating = (async () => {
      for await (const message of ws) for await (const chunk of message) expect(chunk.toString()).toBe('abc');
    })();
    const failures = Promise.allSettled([iterating, ws.ping()]);
    await turns();
    end(peer);
    expect(await ws.closed).toEqual(lost);
    for (const { status, reason } of (await failures) as PromiseRejectedResult[]) {
      expect([status, reason]).toEqual([
        'rejected',
        expect.objectContaining({ name: 'ConnectionClosedError', code: 1006 }),
      ]);
    }
    await expect(ws.receive()).rejects.toMatchObject({ code: 1006 });
    expect(closes(seen)).toEqual([lost]);
    peer.socket.destroy();
  });

  test('[L-03] [L-04] [L-05] who waits for bytes to leave is rejected when the stream ends', async () => {
    for (const end of [
      (stream: Stuck) => stream.push(null),
      (stream: Stuck) => stream.destroy(new Error('reset')),
    ]) {
      const stream = new Stuck();
      const ws = open(stream, role);
      const writing = ws.createWriter('text').write('x'.repeat(100_000));
      const streaming = ws.sendStream(['behind', 'the', 'writer']);
      await turns();
      const failures = Promise.allSettled([writing, streaming, ws.drained(), ws.createWriter('text').end()]);
      expect(ws.bufferedAmount).toBeGreaterThan(100_000);
      end(stream);
      expect(await ws.closed).toEqual(lost);
      for (const { status, reason } of (await failures) as PromiseRejectedResult[]) {
        expect([status, reason]).toEqual(['rejected', expect.objectContaining({ code: 1006 })]);
      }
    }
  });

  test('[L-03] [L-04] [L-05] the reader of a message that was cut rejects, in every form', async () => {
    for (const read of ['text', 'bytes', 'json', 'arrayBuffer'] as const) {
      const [ws, peer] = await rawPair(role);
      peer.send(1, 'cut', { fin: false });
      const message = await ws.receive();
      const reading = message![read]();
      peer.socket.end();
      await expect(reading).rejects.toMatchObject({ code: 1006 });
      peer.socket.destroy();
    }
  });

  test('[L-06] §5.5.2 a half-open peer is found by keepalive, and told as 1006', async () => {
    const [ws, peer] = await rawPair(role, { options: { pingInterval: 40, pingTimeout: 40 } });
    const seen = watch(ws);
    ws.resume();
    peer.socket.pause();
    const waiting = ws.ping(undefined, { timeout: 60_000 });
    await expect(waiting).rejects.toMatchObject({ code: 1006, cause: expect.any(TimeoutError) });
    expect(await ws.closed).toEqual(lost);
    expect(seen.map(([event]) => event)).toEqual(['error', 'close']);
    peer.socket.destroy();
  });

  test('[L-06] §5.5.2 any byte counts as life, and Pongs keep a connection alive', async () => {
    const [ws, peer] = await rawPair(role, { options: { pingInterval: 80, pingTimeout: 250 } });
    ws.resume();
    for (let i = 0; i < 6; i++) {
      await peer.until(({ frames }) => frames.length > i);
      const ping = peer.frames[i]!;
      expect(ping.opcode).toBe(9);
      if (i % 2 === 0) peer.send(10, ping.payload);
      else peer.send(2, 'no Pong, but a message');
    }
    expect(ws.state).toBe('open');
    expect(ws.latency).toBeGreaterThanOrEqual(0);
    ws.terminate();
    peer.socket.destroy();
  });

  test('[L-06] §5.4 a keepalive Ping does not wait for an extension at work', async () => {
    const extension = () => ({
      ...makeXor(),
      encoder: { wants: () => true, encode: () => new Promise<Buffer>(() => {}) },
    });
    const [ws, peer] = await rawPair(role, { options: { pingInterval: 20 }, extension });
    ws.resume();
    ws.send('never encoded');
    await peer.until(({ frames }) => frames.length > 0);
    expect(peer.frames[0]!.opcode).toBe(9);
    ws.terminate();
  });

  test('keepalive is one timer for all connections of a rhythm, and gone with the last', async () => {
    const started = vi.spyOn(globalThis, 'setInterval');
    const stopped = vi.spyOn(globalThis, 'clearInterval');
    const connections: WebSocketConnection[] = [];
    for (let i = 0; i < 5; i++) connections.push(...(await pair(role)));
    expect(started).toHaveBeenCalledTimes(1);
    expect(stopped).not.toHaveBeenCalled();
    for (const ws of connections) ws.terminate();
    await Promise.all(connections.map((ws) => ws.closed));
    expect(stopped).toHaveBeenCalledWith(started.mock.results[0]!.value);
    vi.restoreAllMocks();
  });

  test('[L-08] close, terminate and send from inside every callback: one close event, no error', async () => {
    const events = ['message', 'ping', 'pong', 'drain', 'close', 'error'] as const;
    const actions = ['close', 'terminate', 'send'] as const;
    for (const event of events) {
      for (const action of actions) {
        const [ws, peer] = await rawPair(role, { options: { closeTimeout: 50, highWaterMark: 10 } });
        const infos: unknown[] = [];
        const errors: unknown[] = [];
        ws.on('close', (info) => infos.push(info));
        ws.on('message', () => {});
        ws.on(event as keyof ConnectionEvents, () => {
          try {
            if (action === 'send') ws.send('from inside');
            else void ws[action]();
            ws.send('behind');
          } catch (error) {
            errors.push(error);
          }
        });
        ws.send('over the mark');
        peer.send(1, 'hi').send(9, 'p').send(10, 'q').send(1, 'again');
        if (event === 'error') peer.send(3);
        else peer.send(8, code(1000));
        await peer.until(
          ({ frames, socket, ended }) =>
            ended || socket.destroyed || frames.some((frame) => frame.opcode === 8),
        );
        peer.socket.end();
        await ws.closed;
        await turns();
        expect(infos.length).toBe(1);
        expect(errors).toEqual([]);
        peer.socket.destroy();
      }
    }
  });

  test('[L-09] [P-52] an application that never reads: the socket is paused, and memory is one window', async () => {
    const [ws, peer] = await rawPair(role, { options: { pingInterval: 20, pingTimeout: 20 } });
    const chunk = Buffer.alloc(256 * 1024);
    const before = process.memoryUsage().arrayBuffers;
    let written = 0;
    peer.send(2, chunk, { fin: false, length: 1n << 40n });
    while (peer.socket.write(chunk)) written += chunk.length;
    // What the system takes is all that goes: from here on nothing moves
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(process.memoryUsage().arrayBuffers - before - peer.socket.writableLength).toBeLessThan(
      2 * 1024 * 1024,
    );
    expect(peer.socket.writableLength).toBeGreaterThan(0);
    // The heartbeat sends Pongs, as it cannot read the answer to a Ping
    expect(ws.state).toBe('open');
    expect(peer.frames.filter((frame) => frame.opcode === 9).length).toBeLessThan(2);
    expect(peer.frames.filter((frame) => frame.opcode === 10).length).toBeGreaterThan(1);
    // The application reads: it goes on
    const message = await ws.receive();
    let read = 0;
    for await (const part of message!) {
      read += part.length;
      if (read > written) break;
    }
    ws.terminate();
    peer.socket.destroy();
  });

  test('[L-09] the Close frame behind unread data is seen once that is read', async () => {
    const [ws, peer] = await rawPair(role);
    peer.send(1, 'first').send(1, 'second').send(9, 'p').send(8, code(1001));
    await turns(10);
    expect(ws.state).toBe('open');
    expect(peer.frames).toEqual([]);
    expect(await (await ws.receive())?.text()).toBe('first');
    expect(await (await ws.receive())?.text()).toBe('second');
    const end = ws.receive();
    await peer.until(({ frames }) => frames.length === 2);
    expect(peer.frames.map((frame) => frame.opcode)).toEqual([10, 8]);
    peer.socket.end();
    expect(await end).toBe(null);
    expect(await ws.closed).toEqual({ code: 1001, reason: '', wasClean: true });
  });

  test('[P-32] control frames in front of unread data are handled while nobody reads', async () => {
    const [ws, peer] = await rawPair(role);
    peer.send(9, 'alive?');
    await peer.until(({ frames }) => frames.length === 1);
    expect(peer.frames[0]).toMatchObject({ opcode: 10, payload: Buffer.from('alive?') });
    const rtt = ws.ping('hello');
    await peer.until(({ frames }) => frames.length === 2);
    peer.send(10, 'hello');
    expect(await rtt).toBeGreaterThanOrEqual(0);
    expect(ws.latency).toBe(await rtt);
    peer.send(8, code(1000));
    peer.socket.end();
    expect((await ws.closed).code).toBe(1000);
  });

  test('§5.5.3 a Pong answers all Pings in front of its own; one that nobody waits for is told only', async () => {
    const [ws, peer] = await rawPair(role);
    const seen = watch(ws);
    const both = Promise.all([ws.ping('one'), ws.ping(new Uint8Array([116, 119, 111]))]);
    await peer.until(({ frames }) => frames.length === 2);
    peer.send(10, 'unknown').send(10, 'two');
    expect((await both).every((rtt) => rtt >= 0)).toBe(true);
    expect(seen.map(([, payload]) => String(payload))).toEqual(['unknown', 'two']);
    ws.terminate();
    peer.socket.destroy();
  });

  test('wrong options of ping(), receive() and sendStream() reject, and change nothing', async () => {
    const [ws, peer] = await pair(role);
    for (const options of [null, { signal: null }, { signal: {} }] as object[]) {
      await expect(ws.ping('a', options as never)).rejects.toThrow(TypeError);
      await expect(ws.receive(options as never)).rejects.toThrow(TypeError);
      await expect(ws.sendStream(['a'], options as never)).rejects.toThrow(TypeError);
    }
    await expect(ws.ping('a', { signal: {} as AbortSignal })).rejects.toThrow(/^Option signal /);
    peer.send('x');
    ws.on('message', () => ws.close());
    expect(await ws.closed).toMatchObject({ code: 1000 });
  });

  test('[P-33] ping() rejects on its timeout and signal, and forgets', async () => {
    const [ws, peer] = await rawPair(role);
    await expect(ws.ping('a', { timeout: 10 })).rejects.toBeInstanceOf(TimeoutError);
    const controller = new AbortController();
    const waiting = ws.ping('b', { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(ws.ping('c', { signal: controller.signal })).rejects.toThrow('enough');
    await expect(ws.ping('d', { timeout: -1 })).rejects.toThrow(RangeError);
    ws.terminate();
    peer.socket.destroy();
  });

  test('[P-74] [P-82] a violation is told by error and close, and rejects who reads; without a listener nothing is thrown', async () => {
    for (const listening of [true, false]) {
      const [ws, peer] = await rawPair(role);
      const errors: unknown[] = [];
      if (listening) ws.on('error', (error) => errors.push(error));
      const waiting = ws.receive();
      peer.send(3);
      await expect(waiting).rejects.toMatchObject({ closeCode: 1002, section: 'RFC 6455 §5.2' });
      await peer.until(({ ended }) => ended);
      expect(peer.frames[0]!.payload.readUInt16BE()).toBe(1002);
      peer.socket.end();
      expect(await ws.closed).toEqual(lost);
      expect(errors.length).toBe(listening ? 1 : 0);
      expect(ws.send('late')).toBe(false);
    }
  });

  test('[P-35] [P-36] [P-82] terminate() destroys at once, and is reported as 1006', async () => {
    const [ws, peer] = await pair(role);
    const seen = watch(ws);
    const waiting = [ws.receive(), ws.ping()];
    ws.terminate();
    ws.terminate();
    expect(ws.state).toBe('closing');
    expect(ws.send('late')).toBe(false);
    for (const call of waiting) await expect(call).rejects.toMatchObject({ code: 1006 });
    expect(await ws.closed).toEqual(lost);
    expect(closes(seen)).toEqual([lost]);
    expect(await peer.closed).toEqual(lost);
  });

  test('what a listener throws is an uncaught exception, and the next messages still come', async () => {
    const [ws, peer] = await rawPair(role);
    const got: string[] = [];
    const caught: string[] = [];
    process.off('uncaughtException', onFault);
    const catching = (error: Error): void => void caught.push(error.message);
    process.on('uncaughtException', catching);
    ws.on('message', (data) => {
      got.push(String(data));
      if (data === 'two') throw new Error('of the application');
      if (data === 'four') ws.emit('drain');
    });
    const last = once(ws, 'drain');
    peer.send(1, 'one').send(1, 'two').send(1, 'three').send(1, 'four');
    await last;
    process.off('uncaughtException', catching).on('uncaughtException', onFault);
    expect([got, caught]).toEqual([['one', 'two', 'three', 'four'], ['of the application']]);
    ws.terminate();
    peer.socket.destroy();
  });

  test('a socket that is closed already is told as 1006; one whose peer has ended, too', async () => {
    const [first, second] = await sockets();
    first.destroy();
    await once(first, 'close');
    expect(await open(first, role).closed).toEqual(lost);
    second.destroy();
    const [ended, ender] = await sockets(true);
    ender.end();
    ended.resume();
    await once(ended, 'end');
    expect(await open(ended, role).closed).toEqual(lost);
    ender.destroy();
  });
});
