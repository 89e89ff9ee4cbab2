/** What an attack on the compositions found. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect as connectSocket } from 'node:net';
import { Duplex, Readable } from 'node:stream';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  connect,
  type MessageReader,
  type PreparedMessage,
  prepareMessage,
  TimeoutError,
  WebSocketServer,
} from '../../../src/index.js';
import type { Extension, MessageEncoder } from '../../../src/protocol.js';
import { frameTo, roles } from '../../support/frames.js';
import { leftovers, open, pair, rawPair, turns } from '../../support/wire.js';
import { makeXor } from '../../support/xor.js';

afterEach(async () => {
  expect(await leftovers()).toBe(0);
});

describe.each(roles)('a %s', (role) => {
  test('[X-16] sendStream() on a connection that has ended rejects, and destroys its source', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    await ws.close();
    const readable = new Readable({ read: () => {} });
    const stream = new ReadableStream({});
    await expect(ws.sendStream(readable)).rejects.toMatchObject({ code: 1000 });
    await expect(ws.sendStream(stream)).rejects.toMatchObject({ code: 1000 });
    expect(readable.destroyed).toBe(true);
    expect(stream.locked).toBe(false);
  });

  test('[X-02] an aborted writer that waits for its turn rejects at once, and holds nothing up', async () => {
    const [ws, peer] = await pair(role);
    const first = ws.createWriter('text');
    const waiting = ws.createWriter('text');
    const write = waiting.write('never sent');
    waiting.abort(new Error('enough'));
    await expect(write).rejects.toThrow('enough');
    await waiting[Symbol.asyncDispose]();
    ws.send('after it');
    await first.end('first');
    expect(await (await peer.receive())?.text()).toBe('first');
    expect(await (await peer.receive())?.text()).toBe('after it');
    ws.terminate();
  });

  test('[X-09] a message that is still being read after its iteration was left is delivered whole', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 20 } });
    const parts = 'abcdefgh'.split('');
    const frames = parts.map((part, i) =>
      frameTo(role, i === 0 ? 1 : 0, part, { fin: i === parts.length - 1 }),
    );
    peer.socket.write(Buffer.concat(frames));
    let chunks: AsyncIterableIterator<Buffer> | undefined;
    for await (const message of ws) {
      chunks = message[Symbol.asyncIterator]();
      expect(String((await chunks.next()).value)).toBe('a');
      break;
    }
    peer.socket.resetAndDestroy();
    const ended = ws.closed;
    let text = 'a';
    for await (const chunk of chunks!) {
      text += chunk;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(text).toBe('abcdefgh');
    expect((await ended).code).toBe(1006);
  });

  test('[X-25] a stream that throws, and one that never closes, end the connection', async () => {
    const throwing = new Duplex({
      read: () => {},
      write: () => {
        throw new Error('of the stream');
      },
    });
    const ws = open(throwing, role);
    const failed = once(ws, 'error');
    expect(ws.send('x'.repeat(100_000))).toBe(false);
    expect(String((await failed)[0])).toContain('of the stream');
    expect((await ws.closed).code).toBe(1006);
    const silent = new Duplex({ read: () => {}, write: (_c, _e, done) => done(), destroy: () => {} });
    const other = open(silent, role, { options: { closeTimeout: 10 } });
    other.terminate();
    expect(await other.closed).toEqual({ code: 1006, reason: '', wasClean: false });
  });

  test('[X-33] queued memory that the caller transfers ends the connection, and holds nothing up', async () => {
    const [ws, peer] = await rawPair(role);
    peer.socket.pause();
    const buffers = Array.from({ length: 60 }, () => Buffer.from(new ArrayBuffer(100_000)));
    for (const buffer of buffers) ws.send(buffer);
    await turns();
    for (const { buffer } of buffers) structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
    peer.socket.resume();
    ws.terminate();
    expect((await ws.closed).code).toBe(1006);
  });

  test('[X-12] many pending Pings end in linear time', async () => {
    const [ws, peer] = await rawPair(role);
    const pings = Array.from({ length: 20_000 }, () => ws.ping());
    const before = process.cpuUsage();
    ws.terminate();
    await Promise.allSettled(pings);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(500);
    await ws.closed;
    peer.socket.destroy();
  });
  test('[X-02] a message that is cancelled while it is forwarded is aborted, never passed off as whole', async () => {
    const [ws, source] = await pair(role);
    const [target, peer] = await pair(role);
    const received = peer.receive().then((message) => message?.bytes());
    const forwarded = source.createWriter('binary');
    await forwarded.write('the beginning');
    const message = (await ws.receive())!;
    const sending = target.sendStream(message);
    await turns(20);
    message.cancel();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
    await expect(received).rejects.toMatchObject({ code: 1011 });
    ws.terminate();
    target.terminate();
  });

  test.each(['chunks', 'text()'] as const)(
    '[X-10] the last message is read by %s before the end is reported, however slowly',
    async (by) => {
      const [ws, peer] = await rawPair(role, { options: { closeTimeout: 20 } });
      const told: unknown[] = [];
      ws.on('close', ({ code }) => told.push(code));
      const frames = [frameTo(role, 1, 'first', { fin: false }), frameTo(role, 0, 'last')];
      peer.socket.write(Buffer.concat(frames));
      await turns(10);
      peer.socket.resetAndDestroy();
      const message = (await ws.receive())!;
      if (by === 'text()') told.push(await message.text());
      else {
        for await (const chunk of message) {
          told.push(String(chunk));
          await new Promise((resolve) => setTimeout(resolve, 40));
        }
      }
      await ws.closed;
      await turns();
      expect(told).toEqual([...(by === 'text()' ? ['firstlast'] : ['first', 'last']), 1006]);
    },
  );

  test('[X-26] write(), drained() and drain do not wait for the answers to Pings that come without end', async () => {
    // Each write is flushed in a later turn, and meanwhile another Ping has come
    const stream = new Duplex({
      read: () => {},
      write: (_chunk, _encoding, done) => void setTimeout(done, 3),
    });
    const ws = open(stream, role, { options: { highWaterMark: 1 } });
    ws.resume();
    const pings = setInterval(() => stream.push(frameTo(role, 9, 'p')), 1);
    await once(ws, 'ping');
    const drain = once(ws, 'drain');
    const writer = ws.createWriter('binary');
    await writer.write(Buffer.alloc(1000));
    await writer.end();
    expect(ws.send('more')).toBe(false);
    await ws.drained();
    await drain;
    clearInterval(pings);
    ws.terminate();
    await ws.closed;
  });

  test('[X-12] drained() waits for empty messages that are queued behind a writer', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    const writer = ws.createWriter('text');
    await writer.write('open');
    ws.send('');
    let drained = false;
    const waiting = ws.drained().then(() => {
      drained = true;
    });
    await turns(10);
    expect([drained, ws.bufferedAmount]).toEqual([false, 0]);
    await writer.end();
    await waiting;
    ws.terminate();
  });

  test.each(['write()', 'ping()', 'pong()'] as const)(
    '[X-12] %s that nobody awaits, to a peer that does not read: bounded by maxBufferedAmount',
    async (call) => {
      const stream = new Duplex({ read: () => {}, write: () => {} });
      const ws = open(stream, role, { options: { maxBufferedAmount: 100_000 } });
      const failed = once(ws, 'error');
      const writer = ws.createWriter('binary');
      const calls = {
        'write()': () => void writer.write(Buffer.alloc(1000)),
        'ping()': () => void ws.ping(),
        'pong()': () => ws.pong('x'.repeat(125)),
      };
      ws.send('stalls');
      await turns();
      let count = 0;
      for (; ws.bufferedAmount <= 200_000 && count < 2000; count++) {
        calls[call]();
        if (count % 50 === 0) await turns(1);
      }
      expect((await failed)[0]).toMatchObject({ code: 'ERR_SEND_QUEUE_FULL' });
      expect(ws.bufferedAmount).toBeLessThan(200_000);
      expect((await ws.closed).code).toBe(1006);
    },
  );

  test('[X-12] close() and terminate() of a connection with 400,000 queued messages take no time', async () => {
    const stalls: number[] = [];
    for (const end of ['close', 'terminate'] as const) {
      const ws = open(new Duplex({ read: () => {}, write: () => {} }), role, {
        options: { closeTimeout: 1 },
      });
      const writer = ws.createWriter('text');
      for (let i = 0; i < 400_000; i++) ws.send('');
      const began = performance.now();
      if (end === 'close') void ws.close();
      ws.terminate();
      stalls.push(performance.now() - began);
      await expect(writer.end()).rejects.toThrow();
      await ws.closed;
    }
    expect(Math.min(...stalls)).toBeLessThan(10);
  });

  test('[X-17] an async close listener that rejects: nothing is emitted after close, and it is thrown', async () => {
    const [ws] = await pair(role);
    const errors: unknown[] = [];
    ws.on('error', (error) => errors.push(error));
    ws.on('close', async () => {
      throw new Error('of the application');
    });
    const thrown = once(process, 'uncaughtException');
    const others = process.listeners('uncaughtException').filter((each) => each !== undefined);
    ws.terminate();
    expect(String((await thrown)[0])).toBe('Error: of the application');
    expect([errors, others.length > 0]).toEqual([[], true]);
  });

  test.each(['next()', 'Readable.from()', 'receive()'] as const)(
    '[X-09] an iteration that is left while %s waits lets the end come, and takes nothing from receive()',
    async (by) => {
      const [ws, peer] = await rawPair(role, { options: { closeTimeout: 20 } });
      const iteration = ws[Symbol.asyncIterator]();
      if (by === 'Readable.from()') {
        const readable = Readable.from(ws).on('data', () => {});
        await turns(5);
        readable.destroy();
      } else {
        const waiting = by === 'next()' ? iteration.next() : ws.receive();
        await iteration.return!();
        if (by === 'next()') expect(await waiting).toEqual({ done: true, value: undefined });
        else {
          peer.send(1, 'for receive()');
          expect(await ((await waiting) as MessageReader).text()).toBe('for receive()');
          await iteration.return!();
        }
      }
      await turns(5);
      peer.socket.write(Buffer.concat([frameTo(role, 1, 'one'), frameTo(role, 1, 'two')]));
      await turns(10);
      peer.socket.resetAndDestroy();
      expect((await ws.closed).code).toBe(1006);
    },
  );

  test.each(['at once', 'later'] as const)(
    '[X-02] a stream that delivers in the middle of a write, and calls back %s: frames are not mixed',
    async (calls) => {
      class Direct extends Duplex {
        other!: Direct;
        override _read(): void {}
        override _write(chunk: Buffer, _: string, callback: () => void): void {
          this.other.push(Buffer.from(chunk));
          if (calls === 'later') setImmediate(callback);
          else callback();
        }
        override _final(callback: () => void): void {
          this.other.push(null);
          callback();
        }
      }
      const [one, two] = [new Direct({ allowHalfOpen: true }), new Direct({ allowHalfOpen: true })];
      one.other = two;
      two.other = one;
      const ws = open(one, role);
      const peer = open(two, role === 'server' ? 'client' : 'server');
      const got: [string, number][] = [];
      const echoed: number[] = [];
      const binary = (size: number): Buffer => Buffer.alloc(size, size % 251);
      peer.on('message', (data) => {
        got.push([typeof data, data.length]);
        if (typeof data !== 'string') expect(data.equals(binary(data.length))).toBe(true);
        peer.ping().catch(() => {});
        peer.send(data);
        peer.send('x'.repeat(70_000));
      });
      ws.on('message', (data) => echoed.push(data.length));
      await turns();
      const sizes = [1, 100_000, 300_000, 50_000, 2];
      ws.send('first');
      for (const size of sizes) ws.send(binary(size));
      ws.send('last');
      while (echoed.length < 14) await turns(1);
      expect(got).toEqual([['string', 5], ...sizes.map((size) => ['object', size]), ['string', 4]]);
      expect(echoed.filter((_, i) => i % 2 === 0)).toEqual([5, ...sizes, 4]);
      await ws.close();
      expect((await peer.closed).wasClean).toBe(true);
    },
  );
  test.each(['a writer', 'the thread pool', 'a Blob'])(
    '[X-33] memory that is transferred while it is queued behind %s: closes with 1011, nothing is unhandled',
    async (front) => {
      let calls = 0;
      const extension = () =>
        withEncoder({ encode: (data, last) => makeXor(calls++ === 0).encoder.encode(data, last) });
      const pool = front === 'the thread pool';
      const [ws, peer] = await pair(role, pool ? { extension } : {}, pool ? { extension: makeXor } : {});
      const errors: unknown[] = [];
      ws.on('error', (error) => errors.push(error));
      peer.resume();
      const writer = front === 'a writer' ? ws.createWriter('text') : null;
      await writer?.write('first');
      if (writer === null) ws.send(front === 'a Blob' ? new Blob(['first']) : 'first');
      const bytes = new Uint8Array(100);
      ws.send(bytes);
      ws.send('last');
      const drained = ws.drained();
      structuredClone(bytes, { transfer: [bytes.buffer] });
      await writer?.end();
      await expect(drained).rejects.toMatchObject({ cause: expect.any(TypeError) });
      expect((await peer.closed).code).toBe(1011);
      expect((await ws.closed).wasClean).toBe(false);
      expect([errors, peer.stats.messagesReceived]).toEqual([[expect.any(TypeError)], 1]);
    },
  );

  test('[X-33] memory that was transferred before it is sent is a TypeError, and the connection goes on', async () => {
    const [ws, peer] = await pair(role);
    const send = (data: Buffer | ArrayBuffer | DataView | PreparedMessage) => ws.send(data);
    const makes = [
      Buffer.from,
      (memory: ArrayBuffer) => memory,
      (memory: ArrayBuffer) => new DataView(memory),
    ];
    for (const make of makes) {
      const memory = new ArrayBuffer(10);
      const data = make(memory);
      const prepared = prepareMessage(data);
      structuredClone(memory, { transfer: [memory] });
      expect(() => send(data)).toThrow(TypeError);
      expect(() => send(prepared)).toThrow(TypeError);
      expect(() => ws.send(data, { type: 'text' })).toThrow(TypeError);
    }
    for (const make of makes) expect(send(make(new ArrayBuffer(0)))).toBe(true);
    for (const _ of makes) expect((await (await peer.receive())?.bytes())?.length).toBe(0);
    ws.terminate();
  });

  test.each(['send()', 'a queued send()', 'a prepared message', 'write()', 'a late write()'] as const)(
    '[X-20] an extension that fails at %s: no exception, closes with 1011 and error',
    async (call) => {
      // Anything may be thrown
      const failure = call === 'send()' ? 'no Error' : new Error('of the extension');
      const fail = (): never => {
        throw failure;
      };
      const encode = call === 'a late write()' ? async (): Promise<never> => fail() : fail;
      const extension = () => withEncoder(call === 'send()' ? { wants: fail } : { encode, shareKey: 'x' });
      const [ws, peer] = await pair(role, { extension }, { extension: makeXor });
      const errors: unknown[] = [];
      ws.on('error', (error) => errors.push(error instanceof Error ? error.message : error));
      peer.resume();
      if (call === 'send()') expect(ws.send('text')).toBe(false);
      else if (call === 'a prepared message') expect(ws.send(prepareMessage('text'))).toBe(false);
      else if (call === 'a queued send()') {
        expect(ws.send(new Blob(['-']), { compress: false })).toBe(true);
        expect(ws.send('text')).toBe(true);
      } else await expect(ws.createWriter('text').write('text')).rejects.toMatchObject({ cause: failure });
      expect((await peer.closed).code).toBe(1011);
      await ws.closed;
      expect([errors, ws.bufferedAmount]).toEqual([[expect.stringMatching(/no Error|of the extension/)], 0]);
    },
  );

  test('[X-17] an extension that throws when it is closed: error, then close, and closed resolves', async () => {
    const close = () => {
      throw new Error('of the extension');
    };
    const [ws, peer] = await pair(role, { extension: () => ({ ...makeXor(), close }) }, {});
    const events: unknown[] = [];
    ws.on('error', (error) => events.push(error.message));
    ws.on('close', ({ code }) => events.push(code));
    peer.resume();
    expect(await ws.close()).toMatchObject({ code: 1000, wasClean: true });
    expect(events).toEqual(['of the extension', 1000]);
  });

  test('[X-12] drained() and drain do not wait for a writer that was aborted before it sent', async () => {
    const [ws, peer] = await pair(role, { options: { highWaterMark: 1 } });
    peer.resume();
    let drains = 0;
    ws.on('drain', () => drains++);
    // In a callback of the event loop, what is due at the end of the tick comes before what promises lead to
    const drained = await new Promise<readonly [Promise<void>]>((resolve) => {
      setImmediate(() => {
        const writer = ws.createWriter('text');
        void writer.write('never sent').catch(() => {});
        expect(ws.send('text')).toBe(false);
        writer.abort();
        resolve([ws.drained()]);
      });
    });
    await drained[0];
    await turns();
    expect([drains, ws.bufferedAmount, ws.state]).toEqual([1, 0, 'open']);
    ws.terminate();
  });

  test('[X-12] a fragment that is worked on in the thread pool counts, and drained() waits for it', async () => {
    let finish = (): void => {};
    const encode = (data: Uint8Array, last: boolean): Promise<Buffer> =>
      new Promise((resolve) => {
        finish = () => resolve(makeXor().encoder.encode(data, last));
      });
    const [ws, peer] = await pair(role, { extension: () => withEncoder({ encode }) }, { extension: makeXor });
    let drained = false;
    const end = ws.createWriter('binary').end(Buffer.alloc(1000));
    const waiting = ws.drained().then(() => {
      drained = true;
    });
    await turns();
    expect([ws.bufferedAmount, drained]).toEqual([1000, false]);
    finish();
    await Promise.all([end, waiting]);
    expect(ws.bufferedAmount).toBe(0);
    expect((await (await peer.receive())?.bytes())?.length).toBe(1000);
    ws.terminate();
  });

  test('[X-12] ping() and pong() of one tick are bounded by maxBufferedAmount, without the messages', async () => {
    const options = { maxBufferedAmount: 1_000_000 };
    const ws = open(new Duplex({ read: () => {}, write: () => {} }), role, { options });
    const payload = Buffer.alloc(125);
    expect(ws.send(Buffer.alloc(4_000_000))).toBe(false);
    void ws.ping();
    ws.pong(payload);
    expect(ws.state).toBe('open');
    ws.terminate();
    await ws.closed;
    const other = open(new Duplex({ read: () => {}, write: () => {} }), role, { options });
    const full = once(other, 'error');
    let most = 0;
    for (let i = 0; i < 20_000; i++) {
      other.pong(payload);
      most = Math.max(most, other.bufferedAmount);
    }
    expect((await full)[0]).toMatchObject({ code: 'ERR_SEND_QUEUE_FULL' });
    expect(most).toBeGreaterThan(500_000);
    expect(most).toBeLessThan(1_200_000);
    expect((await other.closed).code).toBe(1006);
  });

  test('[X-02] abort(reason) of a message that has begun: all its pending writes reject with the reason', async () => {
    const stream = new Duplex({ read: () => {}, write: () => {} });
    const ws = open(stream, role, { options: { closeTimeout: 20 } });
    const writer = ws.createWriter('binary');
    const writes = [writer.write(Buffer.alloc(100_000)), writer.write('waits for it')];
    await turns();
    writer.abort(new Error('mine'));
    for (const write of writes) await expect(write).rejects.toThrow('mine');
    await expect(writer.end()).rejects.toThrow('mine');
    expect((await ws.closed).code).toBe(1006);
  });
});

/** The toy extension with another encoder. */
function withEncoder(encoder: Partial<MessageEncoder>): Extension {
  const extension = makeXor();
  return { ...extension, encoder: { ...extension.encoder, ...encoder } };
}

test('[X-34] a consumer at its first message: not killed by a peer whose ping times are shorter', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'] });
  try {
    const [ws, peer] = await pair(
      'client',
      { options: { pingInterval: 300_000, pingTimeout: 60_000 } },
      { options: { pingInterval: 6000, pingTimeout: 6000 } },
    );
    peer.resume();
    peer.send('first');
    peer.send('second');
    const message = await ws.receive();
    for (let i = 0; i < 600; i++) {
      vi.advanceTimersByTime(100);
      await turns(2);
    }
    expect([await message?.text(), peer.state]).toEqual(['first', 'open']);
    ws.terminate();
    peer.terminate();
  } finally {
    vi.useRealTimers();
  }
});

test('[X-28] both ends in one process that stalls for longer than interval + timeout: neither is killed', async () => {
  const times = { options: { pingInterval: 100, pingTimeout: 100 } };
  const [ws, peer] = await pair('server', times);
  for (const end of [ws, peer]) end.resume();
  for (let i = 0; i < 3; i++) {
    await once(ws, 'ping');
    const until = performance.now() + 400;
    while (performance.now() < until);
  }
  await once(ws, 'ping');
  expect([ws.state, peer.state]).toEqual(['open', 'open']);
  ws.terminate();
  peer.terminate();
});

test('[X-03] server.close() from inside what it leads to: both calls end', async () => {
  const http = createServer().listen(0, '127.0.0.1');
  await once(http, 'listening');
  const server = new WebSocketServer({ server: http });
  const closes: Promise<void>[] = [];
  const { port } = http.address() as AddressInfo;
  const opened = once(server, 'connection');
  const socket = connectSocket(port, '127.0.0.1');
  socket.on('error', () => {});
  const key = Buffer.alloc(16).toString('base64');
  socket.write(
    `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  const [ws] = await opened;
  ws.on('error', () => closes.push(server.close()));
  await once(socket, 'data');
  // Held behind a message that nobody reads: it is met when close() discards that
  socket.write(Buffer.concat([frameTo('server', 1, 'unread'), frameTo('server', 3, '')]));
  await turns(20);
  socket.on('end', () => socket.end()).resume();
  closes.push(server.close());
  await Promise.all(closes);
  expect(closes).toHaveLength(2);
  http.close();
});

test('[X-04] an async listener that rejects because of another peer does not end the process', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  server.on('connection', async (ws) => {
    ws.resume();
    await turns(1);
    throw new TimeoutError('Of another connection');
  });
  const { port } = server.address() as AddressInfo;
  const client = await connect(`ws://127.0.0.1:${port}`, { pingInterval: 0 });
  expect((await client.closed).code).toBe(1011);
  await server.close();
});
