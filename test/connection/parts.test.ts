/** Parts of a message: `read()`, `chunks()` and `skip()` over every chunking, and where they are cut off. */
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  type ConnectionOptions,
  connect,
  type Extension,
  type MessageReader,
  permessageDeflate,
  type WebSocketConnection,
  WebSocketServer,
} from '../../src/index.js';
import { Endpoint, Opcode } from '../../src/protocol.js';
import { record } from '../support/consumers.js';
import { chunkings, type Role, roles } from '../support/frames.js';
import { pass, virtualTime } from '../support/link.js';
import { checkNothingLeft } from '../support/nothing-left.js';
import { open, pair, rawPair, turns } from '../support/wire.js';

checkNothingLeft();
afterEach(() => {
  vi.useRealTimers();
});

const UNEXPECTED = expect.objectContaining({ code: 'ERR_UNEXPECTED_END' });
const CONSUMPTION = expect.objectContaining({ code: 'ERR_CONSUMPTION' });

/** A stream in memory, whose data the test pushes. */
class Feed extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _: string, callback: () => void): void {
    callback();
  }
}

interface Fed {
  readonly ws: WebSocketConnection;
  readonly feed: Feed;
  /** Makes frames as the peer does. */
  readonly peer: Endpoint;
}

/** A connection that is fed byte by byte, and the endpoint that makes the bytes. */
function fed(role: Role, compressed = false, options: ConnectionOptions = {}): Fed {
  const feed = new Feed();
  let own: Extension | undefined;
  let other: Extension | undefined;
  if (compressed) {
    const factory = permessageDeflate({ threshold: 0, offloadSize: 1_000_000_000 });
    const { extension, parameters } = factory.accept(factory.offers()[0]!)!;
    const client = factory.confirm(parameters);
    [own, other] = role === 'server' ? [extension, client] : [client, extension];
  }
  const ws = open(feed, role, { options, ...(own !== undefined && { extension: () => own }) });
  const peer = new Endpoint({
    role: role === 'server' ? 'client' : 'server',
    ...(other !== undefined && { extension: other }),
  });
  return { ws, feed, peer };
}

/** The frames of a message. */
function fragments(peer: Endpoint, parts: readonly Uint8Array[], opcode: 1 | 2 = Opcode.Binary): Buffer {
  parts.forEach((part, i) => {
    void peer.send(opcode, part, i === parts.length - 1);
  });
  return Buffer.concat(peer.take());
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** Bytes that differ from their neighbours. */
function bytesOf(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
}

type Part = { readonly how: 'read' | 'skip' | 'chunks' | 'leave'; readonly size: number };
type Rest = 'iterate' | 'bytes' | 'arrayBuffer' | 'stream' | 'cancel';

interface Case {
  readonly fragments: readonly number[];
  readonly parts: readonly Part[];
  readonly rest: Rest;
  /** Where the bytes on the wire are cut, for chunking at random. */
  readonly cuts: readonly number[];
}

const size = fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 400 }));
const cases: fc.Arbitrary<Case> = fc.record({
  fragments: fc.array(size, { minLength: 1, maxLength: 5 }),
  parts: fc.array(fc.record({ how: fc.constantFrom<Part['how']>('read', 'skip', 'chunks', 'leave'), size }), {
    maxLength: 6,
  }),
  rest: fc.constantFrom<Rest>('iterate', 'bytes', 'arrayBuffer', 'stream', 'cancel'),
  cuts: fc.array(fc.nat({ max: 1500 }), { maxLength: 12 }),
});

const readRest: Readonly<Record<Exclude<Rest, 'cancel'>, (message: MessageReader) => Promise<Uint8Array>>> = {
  iterate: (message) => collect(message),
  bytes: (message) => message.bytes(),
  arrayBuffer: async (message) => new Uint8Array(await message.arrayBuffer()),
  stream: (message) => collect(message.stream() as AsyncIterable<Uint8Array>),
};

/** Reads a message as the case says, and compares with its content. */
async function check(message: MessageReader, all: Buffer, { parts, rest }: Case): Promise<void> {
  let at = 0;
  for (const { how, size } of parts) {
    const expected = all.subarray(at, at + size);
    const short = expected.length < size;
    if (how === 'read' && size > 0 && at === all.length) {
      expect(await message.read(size)).toBeNull();
      continue;
    }
    let left = size;
    const work = async (): Promise<void> => {
      if (how === 'read') expect(await message.read(size)).toEqual(expected);
      else if (how === 'skip') await message.skip(size);
      else {
        for await (const chunk of message.chunks(size)) {
          expect(chunk.length).toBeGreaterThan(0);
          const from = at + size - left;
          expect(chunk).toEqual(all.subarray(from, from + chunk.length));
          left -= chunk.length;
          if (how === 'leave') return;
        }
        expect(left).toBe(0);
      }
      left = how === 'leave' ? left : 0;
    };
    if (short && (how !== 'leave' || at === all.length)) {
      await expect(work()).rejects.toEqual(UNEXPECTED);
      // Nothing that follows looks like the end of a whole message
      await expect(message.read(1)).rejects.toEqual(UNEXPECTED);
      await expect(message.skip(1)).rejects.toEqual(UNEXPECTED);
      await expect(message.bytes()).rejects.toEqual(UNEXPECTED);
      return;
    }
    await work();
    at += size - left;
  }
  expect(message.bodyUsed).toBe(parts.length > 0);
  if (rest === 'cancel') {
    message.cancel();
    expect(message.bodyUsed).toBe(true);
    for (const read of [
      () => message.read(1),
      () => message.read(0),
      () => message.skip(0),
      () => message.chunks(0).next(),
      () => message.bytes(),
    ])
      await expect(read()).rejects.toEqual(CONSUMPTION);
  } else expect(Buffer.from(await readRest[rest](message))).toEqual(all.subarray(at));
}

/** Cuts at random, besides the ways that every test knows. */
function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places]
    .map((from, i) => Buffer.from(bytes.subarray(from, places[i] ?? bytes.length)))
    .filter((chunk) => chunk.length > 0);
}

type Cut = (bytes: Buffer, cuts: readonly number[]) => Buffer[];
const ways: readonly (readonly [name: string, cut: Cut])[] = [...chunkings, ['at random', cutAt]];

type End = (ws: WebSocketConnection, feed: Feed, peer: Endpoint) => unknown;

/** What ends a connection, and the code that a part rejects with. */
const ends: readonly (readonly [name: string, end: End, code: unknown])[] = [
  ['FIN', (_ws, feed) => feed.push(null), 1006],
  ['a reset', (_ws, feed) => feed.destroy(new Error('read ECONNRESET')), 1006],
  ['close() of this side', (ws) => ws.close(4000), 4000],
  ['terminate()', (ws) => ws.terminate(), 1006],
  [
    "the peer's Close frame",
    (_ws, feed, peer) => {
      peer.sendClose(4001, '');
      feed.push(Buffer.concat(peer.take()));
      feed.push(null);
    },
    4001,
  ],
  ['a violation', (_ws, feed) => feed.push(Buffer.from([0xff, 0xff])), 'ERR_PROTOCOL'],
];

/** Parts that wait for more bytes than the message has so far. */
const waits: readonly (readonly [name: string, begin: (message: MessageReader) => Promise<unknown>])[] = [
  ['read()', (message) => message.read(10)],
  ['skip()', (message) => message.skip(10)],
  [
    'a step of chunks()',
    (message) => {
      const chunks = message.chunks(10);
      void chunks.next();
      return chunks.next();
    },
  ],
];

/** A message of which `size` bytes have come, and the end has not. */
async function begun({ ws, feed, peer }: Fed, size = 3): Promise<MessageReader> {
  const waiting = ws.receive();
  void peer.send(Opcode.Binary, bytesOf(size), false);
  feed.push(Buffer.concat(peer.take()));
  return (await waiting)!;
}

describe.each(roles)('§6.2 a %s', (role) => {
  describe.each([
    ['without compression', false],
    ['compressed', true],
  ])('%s', (_compression, compressed) => {
    test.each(ways)(
      '[P-17] [P-57] [P-60] [P-61] [P-62] reads any parts of a message that came %s, and then what is left',
      async (_name, cut) => {
        await fc.assert(
          fc.asyncProperty(cases, async (each) => {
            const { ws, feed, peer } = fed(role, compressed);
            const all = bytesOf(each.fragments.reduce((sum, length) => sum + length, 0));
            let at = 0;
            const frames = fragments(
              peer,
              each.fragments.map((length) => {
                at += length;
                return all.subarray(at - length, at);
              }),
            );
            const next = fragments(peer, [Buffer.from('the next message')], Opcode.Text);
            const reading = (async () => {
              await check((await ws.receive())!, all, each);
              expect(await (await ws.receive())?.text()).toBe('the next message');
            })();
            reading.catch(() => {});
            for (const chunk of cut(Buffer.concat([frames, next]), each.cuts)) {
              feed.push(chunk);
              await Promise.resolve();
            }
            await reading;
            ws.terminate();
            await ws.closed;
          }),
          { numRuns: 40 },
        );
      },
    );
  });

  test('[P-17] [P-59] read() gives a view where the bytes lie in one chunk, and allocates nothing ahead', async () => {
    const { ws, feed, peer } = fed(role, false, { maxMessageSize: 1_000_000_000 });
    const waiting = ws.receive();
    feed.push(fragments(peer, [bytesOf(1000)]));
    const message = (await waiting)!;
    const head = (await message.read(4))!;
    const body = (await message.read(100))!;
    expect([head.length, body.length, head.buffer === body.buffer]).toEqual([4, 100, true]);
    const before = process.memoryUsage().arrayBuffers;
    const pending = message.read(1_000_000_000);
    await turns(1);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
    await expect(pending).rejects.toEqual(UNEXPECTED);
    await expect(pending).rejects.toThrow(
      'Tried to read 1000000000 bytes of a message that ended after 896 of them',
    );
    ws.terminate();
    await ws.closed;
  });

  test.each<[string, (message: MessageReader, size: number) => unknown, most: number]>([
    ['read', (message, size) => message.read(size), 1000],
    ['skip', (message, size) => message.skip(size), Number.MAX_SAFE_INTEGER],
    ['chunks', async (message, size) => message.chunks(size), Number.MAX_SAFE_INTEGER],
  ])('[P-58] %s() of a size that is none is a RangeError, and begins nothing', async (_name, call, most) => {
    const { ws, feed, peer } = fed(role, false, { maxMessageSize: 1000 });
    const waiting = ws.receive();
    feed.push(fragments(peer, [Buffer.from('text')], Opcode.Text));
    const message = (await waiting)!;
    for (const wrong of [
      -1,
      0.5,
      Number.NaN,
      most + 1,
      Number.POSITIVE_INFINITY,
      '4' as never,
      undefined as never,
    ])
      await expect(call(message, wrong)).rejects.toThrow(RangeError);
    expect(message.bodyUsed).toBe(false);
    expect(await message.text()).toBe('text');
    await expect(call(message, 1)).rejects.toThrow('twice');
    ws.terminate();
    await ws.closed;
  });

  test('[P-63] text() and json() after a part are a TypeError; bytes() gives what is left', async () => {
    const { ws, feed, peer } = fed(role);
    const waiting = ws.receive();
    feed.push(fragments(peer, [Buffer.from('é[1]')], Opcode.Text));
    const message = (await waiting)!;
    expect(await message.read(0)).toEqual(Buffer.alloc(0));
    expect(await message.read(1)).toEqual(Buffer.of(0xc3));
    await expect(message.text()).rejects.toThrow(TypeError);
    await expect(message.json()).rejects.toThrow('use bytes()');
    expect(message.bodyUsed).toBe(true);
    expect(Buffer.from(await message.bytes())).toEqual(Buffer.from('\u00e9[1]').subarray(1));
    await expect(message.read(1)).rejects.toThrow(TypeError);
    ws.terminate();
    await ws.closed;
  });

  test.each<[string, (message: MessageReader) => unknown]>([
    ['read()', (message) => message.read(100)],
    ['skip()', (message) => message.skip(100)],
    ['chunks()', (message) => message.chunks(100)],
  ])('[P-64] while %s is under way, anything else of the message is a TypeError', async (_name, begin) => {
    const each = fed(role);
    const { ws, feed, peer } = each;
    const message = await begun(each, 50);
    const part = begin(message);
    for (const other of ['read', 'skip'] as const)
      await expect(message[other](1)).rejects.toThrow('a part of it is being read');
    expect(() => message.chunks(1)).toThrow(TypeError);
    expect(() => message[Symbol.asyncIterator]()).toThrow(TypeError);
    expect(() => message.stream()).toThrow(TypeError);
    await expect(message.bytes()).rejects.toThrow(TypeError);
    await expect(message.text()).rejects.toThrow(TypeError);
    void peer.send(Opcode.Binary, bytesOf(50), true);
    feed.push(Buffer.concat(peer.take()));
    if (Symbol.asyncIterator in (part as object)) expect(await collect(part as never)).toHaveLength(100);
    else await part;
    expect(await message.read(1)).toBeNull();
    ws.terminate();
    await ws.closed;
  });

  test('two steps of chunks(n) at once: the second waits for none, and never goes past its n bytes', async () => {
    const { ws, feed, peer } = fed(role);
    const waiting = ws.receive();
    feed.push(fragments(peer, [bytesOf(10)]));
    const message = (await waiting)!;
    const chunks = message.chunks(4);
    const [first, second] = await Promise.all([chunks.next(), chunks.next()]);
    expect([first.value, second.done]).toEqual([bytesOf(4), true]);
    expect(await chunks.return!()).toEqual({ done: true, value: undefined });
    expect(await message.read(6)).toEqual(bytesOf(10).subarray(4));
    expect(await message.read(1)).toBeNull();
    ws.terminate();
    await ws.closed;
  });

  test('[P-61] chunks(n) that is left while a chunk is awaited ends, and leaves the rest unread', async () => {
    const each = fed(role);
    const { ws, feed, peer } = each;
    const message = await begun(each);
    const chunks = message.chunks(1000);
    expect((await chunks.next()).value).toEqual(bytesOf(3));
    const pending = chunks.next();
    await chunks.return!();
    expect(await pending).toEqual({ done: true, value: undefined });
    feed.push(fragments(peer, [Buffer.from('rest')]));
    expect(Buffer.from(await message.bytes()).toString()).toBe('rest');
    ws.terminate();
    await ws.closed;
  });

  test('[P-57] a message whose last bytes were read makes way, also if an empty fragment ends it later', async () => {
    const each = fed(role);
    const { ws, feed, peer } = each;
    const message = await begun(each, 4);
    expect(await message.read(4)).toEqual(bytesOf(4));
    void peer.send(Opcode.Binary, Buffer.alloc(0), true);
    void peer.send(Opcode.Text, 'next', true);
    feed.push(Buffer.concat(peer.take()));
    await turns(1);
    const next = await ws.receive();
    expect(await message.read(1)).toBeNull();
    expect(await next?.text()).toBe('next');
    ws.terminate();
    await ws.closed;
  });

  test('receive() between two parts discards the rest: a handler that failed there holds up nothing', async () => {
    const { ws, feed, peer } = fed(role);
    const got: string[] = [];
    const kept: MessageReader[] = [];
    const consuming = (async () => {
      for await (const message of ws) {
        const kind = await message.read(1);
        if (String(kind) === 'x') kept.push(message);
        else got.push(Buffer.from(await message.bytes()).toString());
      }
    })();
    for (const text of ['xdropped', '-first', 'x', 'xdropped', '-second'])
      feed.push(fragments(peer, [Buffer.from(text)]));
    await turns(5);
    expect(got).toEqual(['first', 'second']);
    await expect(kept[0]!.read(1)).rejects.toEqual(CONSUMPTION);
    await expect(kept[0]!.bytes()).rejects.toThrow('receive() was called between two parts of it');
    expect(await kept[1]!.read(1)).toBeNull();
    ws.terminate();
    await expect(consuming).rejects.toMatchObject({ code: 1006 });
    await ws.closed;
  });

  test('receive() waits for a part that is being read, and for an iteration over what is left', async () => {
    const { ws, feed, peer } = fed(role);
    for (const rest of [false, true]) {
      const waiting = ws.receive();
      void peer.send(Opcode.Binary, bytesOf(3), false);
      feed.push(Buffer.concat(peer.take()));
      const message = (await waiting)!;
      if (rest) await message.skip(2);
      const reading = rest ? collect(message) : message.read(6);
      const next = ws.receive();
      await turns(2);
      feed.push(fragments(peer, [bytesOf(7)]));
      feed.push(fragments(peer, [Buffer.from('next')], Opcode.Text));
      expect(await reading).toHaveLength(rest ? 8 : 6);
      expect(await (await next)?.text()).toBe('next');
      if (!rest) await expect(message.read(1)).rejects.toEqual(CONSUMPTION);
    }
    ws.terminate();
    await ws.closed;
  });

  test('cancel() rejects a part that waits, and the iteration of one', async () => {
    const { ws, feed, peer } = fed(role);
    const begins: ((message: MessageReader) => Promise<unknown>)[] = [
      (message) => message.read(10),
      (message) => message.skip(10),
      (message) => collect(message.chunks(10)),
    ];
    for (const begin of begins) {
      const waiting = ws.receive();
      void peer.send(Opcode.Binary, bytesOf(3), false);
      feed.push(Buffer.concat(peer.take()));
      const message = (await waiting)!;
      const part = begin(message);
      await turns(1);
      message.cancel();
      await expect(part).rejects.toEqual(CONSUMPTION);
      feed.push(fragments(peer, [bytesOf(7)]));
    }
    ws.terminate();
    await ws.closed;
  });

  describe.each(ends)('%s in the middle of a part', (_name, end, code) => {
    test.each(waits)('rejects %s', async (_part, begin) => {
      const { ws, feed, peer } = fed(role);
      const message = await begun({ ws, feed, peer });
      const part = begin(message);
      await turns(1);
      end(ws, feed, peer);
      await expect(part).rejects.toMatchObject({ code });
      await expect(message.read(1)).rejects.toMatchObject({ code });
      await expect(message.read(0)).rejects.toMatchObject({ code });
      await turns(2);
      feed.destroy();
      await ws.closed;
    });

    test.each(waits)('[P-75] rejects %s, which nobody has to await', async (_part, begin) => {
      const { ws, feed, peer } = fed(role);
      void begin(await begun({ ws, feed, peer }));
      await turns(1);
      end(ws, feed, peer);
      await turns(2);
      feed.destroy();
      await ws.closed;
    });
  });

  test('close() from within a loop over chunks(n) ends it; a message that came whole is read on', async () => {
    for (const whole of [false, true]) {
      const { ws, feed, peer } = fed(role);
      const waiting = ws.receive();
      void peer.send(Opcode.Binary, bytesOf(10), whole);
      feed.push(Buffer.concat(peer.take()));
      const message = (await waiting)!;
      const reading = (async () => {
        const sizes: number[] = [];
        for await (const chunk of message.chunks(4)) {
          sizes.push(chunk.length);
          void ws.close();
        }
        return [...sizes, (await message.read(6))?.length, (await message.read(1))?.length ?? null];
      })();
      if (whole) expect(await reading).toEqual([4, 6, null]);
      else await expect(reading).rejects.toMatchObject({ code: 1000 });
      feed.destroy();
      await ws.closed;
    }
  });

  test('the end comes after a message that is read in parts, however slowly', async () => {
    const { ws, feed, peer } = fed(role);
    const seen = record(ws);
    const waiting = ws.receive();
    feed.push(fragments(peer, [bytesOf(8)]));
    const message = (await waiting)!;
    await message.skip(4);
    feed.push(null);
    await turns(5);
    expect(seen).toEqual([]);
    expect(await message.read(4)).toEqual(bytesOf(8).subarray(4));
    await turns(5);
    expect(seen.map(([event]) => event)).toEqual(['close']);
  });

  test('a consumer that leaves its iteration between two parts does not hold the end', async () => {
    virtualTime();
    const { ws, feed, peer } = fed(role, false, { closeTimeout: 1000, pingInterval: 0 });
    const seen = record(ws);
    const consuming = (async () => {
      for await (const message of ws) return message.read(4).then(() => message);
      return null;
    })();
    feed.push(fragments(peer, [bytesOf(8)]));
    feed.push(fragments(peer, [bytesOf(8)]));
    const message = (await consuming)!;
    feed.destroy();
    await pass(500);
    expect(seen).toEqual([]);
    // A part that is asked for meanwhile holds it on, and begins the time again
    expect(await message.read(1)).toHaveLength(1);
    await pass(1500);
    expect(seen.map(([event]) => event)).toEqual(['close']);
    // All of it was received
    expect(await message.read(3)).toEqual(bytesOf(8).subarray(5));
    expect(await message.read(1)).toBeNull();
  });

  test('maxMessageSize bounds what is left for bytes(), not what was read of the message before', async () => {
    for (const [skipped, fits] of [
      [600, true],
      [400, false],
    ] as const) {
      for (const whole of [true, false]) {
        const { ws, feed, peer } = fed(role, false, { maxMessageSize: 1000 });
        const waiting = ws.receive();
        void peer.send(Opcode.Binary, bytesOf(whole ? 1500 : 1000), whole);
        feed.push(Buffer.concat(peer.take()));
        const message = (await waiting)!;
        await message.skip(skipped);
        const rest = message.bytes();
        if (!whole) feed.push(fragments(peer, [bytesOf(500)]));
        if (fits) expect(await rest).toHaveLength(1500 - skipped);
        else await expect(rest).rejects.toMatchObject({ code: 'ERR_MESSAGE_TOO_BIG' });
        ws.terminate();
        await ws.closed;
      }
    }
  });

  test('maxStreamSize bounds a message that is read in parts', async () => {
    const { ws, feed, peer } = fed(role, false, { maxStreamSize: 100 });
    const waiting = ws.receive();
    void peer.send(Opcode.Binary, bytesOf(60), false);
    feed.push(Buffer.concat(peer.take()));
    const message = (await waiting)!;
    expect(await message.read(10)).toHaveLength(10);
    feed.push(fragments(peer, [bytesOf(60)]));
    await expect(message.skip(100)).rejects.toMatchObject({ code: 'ERR_MESSAGE_TOO_BIG' });
    feed.destroy();
    await ws.closed;
  });

  test('bytes that were transferred fail the connection, and nothing is read past them', async () => {
    for (const then of [4, 40]) {
      const { ws, feed, peer } = fed(role);
      const waiting = ws.receive();
      void peer.send(Opcode.Binary, bytesOf(20), false);
      // A pool of the allocator cannot be transferred
      const all = Buffer.concat(peer.take());
      const own = Buffer.from(new ArrayBuffer(all.length));
      all.copy(own);
      feed.push(own);
      const message = (await waiting)!;
      const head = (await message.read(4))!;
      structuredClone(head.buffer, { transfer: [head.buffer as ArrayBuffer] });
      await expect(message.read(then)).rejects.toThrow('transferred');
      await expect(message.read(1)).rejects.toThrow('transferred');
      feed.destroy();
      await ws.closed;
    }
  });
});

test('a peer that sends too little ends its own connection, with 1011: the process, and others, go on', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  // No listener for `error`
  server.on('connection', async (ws) => {
    for await (const message of ws) ws.send((await message.read(4))!, { type: message.type });
  });
  const { port } = server.address() as { port: number };
  const [bad, good] = [await connect(`ws://127.0.0.1:${port}`), await connect(`ws://127.0.0.1:${port}`)];
  bad.send('123');
  expect(await bad.closed).toMatchObject({ code: 1011 });
  good.send('1234');
  expect(await (await good.receive())?.text()).toBe('1234');
  await good.close();
  await server.close();
});

test('a part is forwarded by sendStream(), and cut off where the message ends early: never passed off as whole', async () => {
  const [ws, peer] = await pair('server');
  const [out, far] = await pair('client');
  const forwarding = (async () => {
    const message = (await ws.receive())!;
    await out.sendStream(message.chunks(100_000));
    await out.sendStream(message.chunks(100_000));
  })();
  const got: number[] = [];
  const receiving = (async () => {
    for await (const message of far) got.push((await message.bytes()).length);
  })();
  peer.send(Buffer.alloc(150_000));
  await expect(forwarding).rejects.toEqual(UNEXPECTED);
  await expect(receiving).rejects.toMatchObject({ code: 1011 });
  expect(got).toEqual([100_000]);
  await Promise.all([ws.close(), peer.closed, out.closed]);
});

test('backpressure: what no part has asked for is not received', async () => {
  const [ws, peer] = await rawPair('server');
  const waiting = ws.receive();
  const total = 64 * 1024 * 1024;
  const key = Buffer.alloc(4);
  const head = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, ...key]);
  head.writeUInt32BE(total, 6);
  peer.socket.write(head);
  peer.socket.write(Buffer.alloc(total));
  const message = (await waiting)!;
  expect(await message.read(16)).toHaveLength(16);
  await turns(50);
  expect(peer.socket.writableLength).toBeGreaterThan(total / 2);
  await message.skip(total - 16);
  expect(await message.read(1)).toBeNull();
  ws.terminate();
  await ws.closed;
});
