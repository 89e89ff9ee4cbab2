/** Sentences of the public API that say what a connection does, where no other test of connections proves them. */
import { EventEmitter } from 'node:events';
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  type Extension,
  type MessageReader,
  permessageDeflate,
  TimeoutError,
  WebSocketConnection,
} from '../../src/index.js';
import { frameTo, type Role, roles } from '../support/frames.js';
import { link, passUntil, virtualTime } from '../support/link.js';
import { checkNothingLeft, expectedFault } from '../support/nothing-left.js';
import { open, pair, rawPair, turns } from '../support/wire.js';

const made = vi.hoisted(() => ({ streams: 0 }));
vi.mock('../../src/connection/sending/message-writable.js', async (original) => {
  const { MessageWritable } =
    await original<typeof import('../../src/connection/sending/message-writable.js')>();
  return {
    MessageWritable: class extends MessageWritable {
      constructor(...given: ConstructorParameters<typeof MessageWritable>) {
        super(...given);
        made.streams++;
      }
    },
  };
});

checkNothingLeft();
afterEach(() => {
  vi.useRealTimers();
});

/** A stream in memory, whose data the test pushes. */
class Feed extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _: string, callback: () => void): void {
    callback();
  }
}

/** Ends of permessage-deflate that compress everything. */
function deflateOf(role: Role): Extension {
  const factory = permessageDeflate({ threshold: 0, offloadSize: 1_000_000 });
  const { extension, parameters } = factory.accept(factory.offers()[0]!)!;
  return role === 'server' ? extension : factory.confirm(parameters);
}

const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

describe.each(roles)('a %s', (role) => {
  test('[P-14] [P-66] a chunk of a message is a view of the memory that the stream has read, and pins it', async () => {
    const feed = new Feed();
    const ws = open(feed, role);
    const bytes = frameTo(role, 2, 'some bytes');
    // Not of the pool that Node.js makes small Buffers of
    const received = Buffer.from(new ArrayBuffer(bytes.length));
    bytes.copy(received);
    feed.push(received);
    const views: Buffer[] = [];
    const message = (await ws.receive())!;
    views.push((await message.read(2))!);
    for await (const chunk of message.chunks(3)) views.push(chunk);
    for await (const chunk of message) views.push(chunk);
    expect(views.map(String)).toEqual(['so', 'me ', 'bytes']);
    for (const view of views) expect(view.buffer).toBe(received.buffer);
    ws.terminate();
    await ws.closed;
  });

  test('[P-15] a loop over chunks that waits: a few buffers are read in front of it, the rest when it goes on', async () => {
    const total = 100;
    const size = 64 * 1024;
    let taken = 0;
    const stream = new Duplex({
      read() {
        if (taken < total)
          this.push(frameTo(role, taken === 0 ? 2 : 0, Buffer.alloc(size), { fin: taken === total - 1 }));
        taken++;
      },
      write: (_chunk, _encoding, done) => done(),
    });
    const ws = open(stream, role);
    let read = 0;
    for await (const message of ws) {
      for await (const chunk of message) {
        if (read === 0) {
          await turns(50);
          expect(taken).toBeLessThan(8);
        }
        read += chunk.length;
      }
      break;
    }
    expect(read).toBe(total * size);
    ws.terminate();
    await ws.closed;
  });

  test('[P-65] views of chunks, read(n) and chunks(n) stay as they are for as long as they are held', async () => {
    const [ws, peer] = await rawPair(role);
    const held: [view: Buffer, i: number][] = [];
    const reading = (async () => {
      for (let i = 0; i < 300; i++) {
        const message = (await ws.receive())!;
        held.push([(await message.read(100))!, i]);
        for await (const chunk of message.chunks(150)) held.push([chunk, i]);
        for await (const chunk of message) held.push([chunk, i]);
      }
    })();
    for (let i = 0; i < 300; i++) peer.send(2, Buffer.alloc(500, i));
    await reading;
    expect(held.length).toBeGreaterThanOrEqual(900);
    expect(held.every(([view, i]) => view.equals(Buffer.alloc(view.length, i)))).toBe(true);
    ws.terminate();
  });

  test('[P-18] read(4), then sendStream(message.chunks(length)), then sendStream(message): each sends its part', async () => {
    const [ws, sender] = await pair(role);
    const [out, far] = await pair(other(role));
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(150_000);
    sender.send(Buffer.concat([length, bytes]));
    const got = (async () => {
      const parts: Uint8Array[] = [];
      for await (const message of far) parts.push(await message.bytes());
      return parts;
    })();
    const message = (await ws.receive())!;
    await out.sendStream(message.chunks((await message.read(4))!.readUInt32BE()));
    await out.sendStream(message);
    await out.close();
    const [first, second, ...more] = await got;
    expect(Buffer.compare(first!, bytes.subarray(0, 150_000))).toBe(0);
    expect(Buffer.compare(second!, bytes.subarray(150_000))).toBe(0);
    expect(more).toEqual([]);
    ws.terminate();
    await Promise.all([ws.closed, sender.closed]);
  });

  test('[P-24] the WritableStream of a writer is made on first use, once', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    made.streams = 0;
    const writer = ws.createWriter('binary');
    await writer.write('without it');
    expect(made.streams).toBe(0);
    const { writable } = writer;
    expect(writable).toBeInstanceOf(WritableStream);
    expect([writer.writable === writable, made.streams]).toEqual([true, 1]);
    await writable.close();
    await ws.close();
  });

  test('[P-28] compress: false sends a message uncompressed on a connection with permessage-deflate', async () => {
    const [ws, peer] = await rawPair(role, { extension: () => deflateOf(role) });
    const text = 'a'.repeat(1000);
    ws.send(text);
    ws.send(text, { compress: true });
    ws.send(text, { compress: false });
    ws.send(Buffer.from(text), { type: 'binary', compress: false });
    await peer.until(({ frames }) => frames.length === 4);
    expect(peer.frames.map(({ rsv, payload }) => [rsv, payload.toString() === text])).toEqual([
      [0x40, false],
      [0x40, false],
      [0, true],
      [0, true],
    ]);
    ws.terminate();
  });

  test('[P-32] ping() resolves to the milliseconds of the round trip, and so is latency', async () => {
    virtualTime();
    const [near, far] = link({ delay: 100 });
    const options = { pingInterval: 0 };
    const [ws, peer] = [open(near, role, { options }), open(far, other(role), { options })];
    for (const each of [ws, peer]) each.resume();
    const rtt = ws.ping();
    await passUntil(rtt, 1_000, 10);
    expect(await rtt).toBeGreaterThanOrEqual(200);
    expect(await rtt).toBeLessThan(300);
    expect(ws.latency).toBe(await rtt);
    const closing = ws.close();
    await passUntil(closing, 2_000, 10);
    await passUntil(peer.closed, 2_000, 10);
  });

  test('[P-46] [P-47] is a WebSocketConnection and an EventEmitter, with six events', async () => {
    const [ws, peer] = await rawPair(role, { options: { highWaterMark: 10, closeTimeout: 50 } });
    expect(ws).toBeInstanceOf(WebSocketConnection);
    expect(ws).toBeInstanceOf(EventEmitter);
    const seen: unknown[] = [];
    const emit = ws.emit.bind(ws) as (...given: unknown[]) => boolean;
    ws.emit = ((...given: unknown[]) => {
      seen.push(given[0]);
      return emit(...given);
    }) as typeof ws.emit;
    const heard: string[] = [];
    for (const event of ['message', 'ping', 'pong', 'drain', 'close', 'error'] as const)
      ws.on(event, () => heard.push(event));
    ws.send('over the mark');
    peer.send(1, 'text').send(9, 'ping').send(10, 'pong');
    await peer.until(({ frames }) => frames.length === 2);
    await turns(3);
    peer.send(3).socket.end();
    await ws.closed;
    expect(heard.toSorted()).toEqual(['close', 'drain', 'error', 'message', 'ping', 'pong']);
    expect(seen.filter((event) => event !== 'newListener')).toEqual(heard);
  });

  test('[P-50] a first use by iteration, by receive() or by a listener: each of the others throws ERR_CONSUMPTION', async () => {
    const mixed = expect.objectContaining({ name: 'WebSocketError', code: 'ERR_CONSUMPTION' });
    const uses: Readonly<Record<string, (ws: WebSocketConnection) => unknown>> = {
      listener: (ws) => ws.on('message', () => {}),
      iteration: (ws) => void ws[Symbol.asyncIterator]().next(),
      receive: (ws) => void ws.receive(),
    };
    for (const [first, begin] of Object.entries(uses)) {
      const feed = new Feed();
      const ws = open(feed, role);
      begin(ws);
      if (first === 'listener') {
        await expect(ws.receive()).rejects.toEqual(mixed);
        expect(() => ws[Symbol.asyncIterator]()).toThrow(mixed);
      } else {
        for (const add of ['on', 'once', 'addListener', 'prependListener', 'prependOnceListener'] as const)
          expect(() => ws[add]('message', () => {})).toThrow(mixed);
        for (const flow of ['pause', 'resume'] as const) expect(() => ws[flow]()).toThrow(mixed);
      }
      ws.terminate();
      await ws.closed;
    }
  });

  /** Begins to read a message, and waits for more of it: in an array, so that its promise is not awaited. */
  const reads: readonly ((message: MessageReader) => Promise<Promise<unknown>[]>)[] = [
    async (message) => [message.text()],
    async (message) => [message.json()],
    async (message) => [message.bytes()],
    async (message) => [message.arrayBuffer()],
    async (message) => [message.read(10)],
    async (message) => [message.skip(10)],
    async (message) => {
      const chunks = message.chunks(10);
      await chunks.next();
      return [chunks.next()];
    },
    async (message) => {
      const chunks = message[Symbol.asyncIterator]();
      await chunks.next();
      return [chunks.next()];
    },
  ];
  const ends: readonly [name: string, end: (ws: WebSocketConnection, feed: Feed) => unknown][] = [
    ['FIN', (_ws, feed) => feed.push(null)],
    ['a reset', (_ws, feed) => feed.destroy(new Error('read ECONNRESET'))],
    ['a violation', (_ws, feed) => feed.push(Buffer.from([0xff, 0xff]))],
    ['terminate()', (ws) => ws.terminate()],
  ];

  test.each(ends)(
    '[P-75] %s in the middle of a message: no method of its reader has to be awaited',
    async (_, end) => {
      for (const read of reads) {
        const feed = new Feed();
        const ws = open(feed, role);
        feed.push(frameTo(role, 1, 'cut', { fin: false }));
        const message = (await ws.receive())!;
        const [waiting] = await read(message);
        end(ws, feed);
        // No handler is attached before the process had the chance to see the rejection unhandled
        await turns(2);
        feed.destroy();
        await ws.closed;
        await expect(waiting).rejects.toHaveProperty('code');
      }
    },
  );

  test.each(ends)(
    '[P-75] %s while a message is written: no method of its writer has to be awaited',
    async (_, end) => {
      class Stuck extends Feed {
        override _write(): void {}
      }
      const calls: ((ws: WebSocketConnection) => Promise<unknown>)[] = [
        (ws) => ws.createWriter('binary').write(Buffer.alloc(100)),
        (ws) => ws.createWriter('binary').end(Buffer.alloc(100)),
        (ws) => ws.createWriter('binary').writable.getWriter().write(Buffer.alloc(100)),
        (ws) => ws.sendStream([Buffer.alloc(100), Buffer.alloc(100)]),
      ];
      for (const call of calls) {
        const feed = new Stuck();
        const ws = open(feed, role, { options: { closeTimeout: 20 } });
        ws.resume();
        const result = call(ws);
        await turns(2);
        end(ws, feed);
        await turns(2);
        feed.destroy();
        await ws.closed;
        await expect(result).rejects.toBeDefined();
        void call(ws);
      }
    },
  );

  test('[P-75] a ping() that times out does not have to be awaited', async () => {
    const ws = open(new Feed(), role);
    const unheard = ws.ping('a', { timeout: 5 });
    await expect(ws.ping('b', { timeout: 5 })).rejects.toBeInstanceOf(TimeoutError);
    await turns(2);
    await expect(unheard).rejects.toBeInstanceOf(TimeoutError);
    ws.terminate();
    await ws.closed;
  });

  test.each<[string, (ws: WebSocketConnection) => unknown]>([
    ['ping()', (ws) => ws.ping(Buffer.alloc(126))],
    ['receive()', (ws) => ws.receive(5 as never)],
    ['drained()', (ws) => ws.drained(5 as never)],
    ['close()', (ws) => ws.close(999)],
    ['sendStream()', (ws) => ws.sendStream(5 as never)],
    ['write() of a writer', (ws) => ws.createWriter('text').write(5 as never)],
    ['end() of a writer', (ws) => ws.createWriter('text').end(5 as never)],
    ['read() of a message', async (ws) => void (await ws.receive())?.read(-1)],
  ])('[P-77] %s with a wrong argument, not awaited, is an unhandled rejection', async (_name, call) => {
    const feed = new Feed();
    const ws = open(feed, role);
    feed.push(frameTo(role, 1, 'text'));
    call(ws);
    const error = await expectedFault();
    expect(error instanceof TypeError || error instanceof RangeError).toBe(true);
    expect(ws.state).toBe('open');
    ws.terminate();
    await ws.closed;
  });

  test('[P-81] an async listener that rejects, and no listener for error: 1011, and it is thrown', async () => {
    const [ws, peer] = await pair(role);
    const bug = new Error('A mistake of the application');
    ws.on('message', async () => {
      throw bug;
    });
    peer.resume();
    peer.send('a');
    expect(await expectedFault()).toBe(bug);
    expect((await peer.closed).code).toBe(1011);
    await ws.closed;
  });
});
