/** Memory that connections share: no connection is sent what another one sends, or receives what another one receives. */
import { once } from 'node:events';
import { Agent, createServer } from 'node:http';
import { type AddressInfo, createConnection, type NetConnectOpts, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import {
  accept,
  type ConnectionOptions,
  connect,
  type MessageReader,
  permessageDeflate,
  prepareMessage,
  resolveConnectionOptions,
  WebSocketConnection,
} from '../../src/index.js';
import type { Extension, PreparedMessage, Role } from '../../src/protocol.js';
import { takesSharedMemory } from '../../src/socket.js';
import { frameTo, parse, roles } from '../support/frames.js';
import {
  asSocket,
  type Ends,
  leftovers,
  open,
  pair,
  type RawPeer,
  rawPair,
  sockets,
  turns,
} from '../support/wire.js';
import { makeXor } from '../support/xor.js';

afterEach(async () => {
  expect(await leftovers()).toBe(0);
});

type Deflate = NonNullable<Parameters<typeof permessageDeflate>[0]>;

/** Both ends of a negotiated permessage-deflate. */
function deflate(options: Deflate): Record<Role, () => Extension> {
  const factory = permessageDeflate(options);
  const accepted = factory.accept(factory.offers()[0]!)!;
  return { server: () => accepted.extension, client: () => factory.confirm(accepted.parameters) };
}

/** Returns its input, as an encoder may: the payload is a view of the memory that it was given. */
function identity(): Extension {
  const xor = makeXor();
  const parts: Buffer[] = [];
  let last = false;
  return {
    ...xor,
    encoder: { wants: () => true, encode: (data) => Buffer.from(data.buffer, data.byteOffset, data.length) },
    decoder: {
      busy: false,
      done: false,
      onready: null,
      write(payload, isLast) {
        (this as { done: boolean }).done = false;
        last = isLast;
        parts.push(payload);
      },
      read() {
        const part = parts.shift() ?? null;
        (this as { done: boolean }).done = last && parts.length === 0;
        return part;
      },
    },
  };
}

interface Kind {
  readonly name: string;
  readonly options?: ConnectionOptions;
  readonly extension?: Record<Role, () => Extension>;
}

/** A function of each kind makes ends of their own for each connection. */
const kinds: readonly (() => Kind)[] = [
  () => ({ name: 'plain' }),
  () => ({ name: 'deflate', extension: deflate({}) }),
  () => ({ name: 'deflate of large messages only', extension: deflate({ threshold: 20_000 }) }),
  () => ({
    name: 'deflate of each message on its own',
    extension: deflate({ serverNoContextTakeover: true, clientNoContextTakeover: true, level: 6 }),
  }),
  () => ({ name: 'deflate in the thread pool', extension: deflate({ offloadSize: 2_000 }) }),
  () => ({ name: 'an extension that returns its input', extension: { server: identity, client: identity } }),
  () => ({
    name: 'an extension that works later',
    extension: { server: () => makeXor(true), client: () => makeXor(true) },
  }),
];

/** Around every threshold: of headers, of copying, of scratch memory, of compression. */
const sizes = [
  0, 1, 64, 65, 125, 126, 127, 128, 192, 1023, 1024, 1025, 4096, 8191, 8192, 8193, 16_383, 16_384, 16_385,
  20_001, 32_768, 49_152, 65_535, 65_536,
];

/** Content that names its owner and message at every place; `wide` characters are not ASCII, `hard` text does not compress. */
function content(owner: number, message: number, size: number, wide: boolean, hard = false): string {
  const mark = wide ? `ö${owner}€${message};` : `o${owner}m${message};`;
  if (!hard) return mark.repeat(Math.ceil(size / mark.length)).slice(0, size);
  let state = owner * 1009 + message;
  let text = mark;
  while (text.length < size) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    text += String.fromCharCode(33 + ((state >>> 8) % 90));
  }
  return text.slice(0, size);
}

/** Waits until everything came, or nothing more comes. */
async function settled(count: () => number, expected: number): Promise<void> {
  for (let last = -1, quiet = 0; count() < expected && quiet < 400; quiet++) {
    if (count() > last) quiet = 0;
    last = count();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * Two streams that hold what is written, as a peer that reads slowly does: the buffers themselves, which are copied only
 * when they leave, in small steps.
 */
function slowStreams(): [Duplex, Duplex] {
  const make = (): Duplex => {
    const held: { bytes: Buffer; done: () => void }[] = [];
    let peer: Duplex | null = null;
    const leave = (): void => {
      for (const { bytes, done } of held.splice(0, 2)) {
        peer!.push(Buffer.from(bytes));
        done();
      }
      if (held.length > 0) setImmediate(leave);
    };
    const hold = (buffers: readonly Buffer[], done: () => void): void => {
      if (held.length === 0) setTimeout(leave, 2);
      for (const [i, bytes] of buffers.entries())
        held.push({ bytes, done: i === buffers.length - 1 ? done : () => {} });
    };
    const stream = new Duplex({
      read() {},
      write: (chunk: Buffer, _, done) => hold([chunk], done),
      writev: (chunks, done) =>
        hold(
          chunks.map(({ chunk }) => chunk as Buffer),
          done,
        ),
      final(done) {
        peer!.push(null);
        done();
      },
    });
    return Object.assign(stream, {
      join(other: Duplex): void {
        peer = other;
      },
    });
  };
  const [one, other] = [make(), make()] as (Duplex & { join(other: Duplex): void })[];
  one!.join(other!);
  other!.join(one!);
  return [one!, other!];
}

async function countBytes(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let count = 0;
  for await (const chunk of chunks) count += chunk.length;
  return count;
}

/** Not in the types of every version. */
type Resizable = new (length: number, options: { maxByteLength: number }) => ArrayBuffer;

function transfer(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

function shrink(buffer: ArrayBuffer): void {
  (buffer as ArrayBuffer & { resize(length: number): void }).resize(100);
}

/** Two streams of which each gives the other the very buffers that are written. */
function streamsByReference(): [Duplex, Duplex] {
  const make = (peer: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(chunk: Buffer, _, done) {
        peer().push(chunk);
        done();
      },
      final(done) {
        peer().push(null);
        done();
      },
    });
  const one: Duplex = make(() => two);
  const two: Duplex = make(() => one);
  return [one, two];
}

function slowPair(role: Role, ends: Ends, peerEnds: Ends): [WebSocketConnection, WebSocketConnection] {
  const [one, other] = slowStreams().map(asSocket) as [Duplex, Duplex];
  return [open(one, role, ends), open(other, role === 'server' ? 'client' : 'server', peerEnds)];
}

/** Sends message `index` of the connection `owner` in one of the ways there are; returns what must arrive. */
function send(ws: WebSocketConnection, owner: number, index: number): string {
  const size = sizes[(index * 7 + owner) % sizes.length]!;
  const text = content(owner, index, size, (index + owner) % 3 === 0, (index + owner) % 5 === 1);
  const compress = (index + owner) % 4 !== 0;
  switch (index % 6) {
    case 0:
    case 1:
      ws.send(text, { compress });
      break;
    case 2:
      ws.send(Buffer.from(text), { compress });
      break;
    case 3:
      ws.send(Buffer.from(text), { type: 'text', compress });
      break;
    case 4:
      ws.send(prepareMessage(text), { compress });
      break;
    default: {
      const writer = ws.createWriter('text');
      for (let at = 0; at < text.length; at += 9_000) void writer.write(text.slice(at, at + 9_000));
      void writer.end();
    }
  }
  return text;
}

/** Receives in one of the ways there are. What comes as bytes is kept as the views that came, and read at the end. */
function receive(ws: WebSocketConnection, way: number): { count(): number; texts(): string[] } {
  const kept: (string | Buffer | readonly Buffer[])[] = [];
  if (way % 3 === 0) ws.on('message', (data) => kept.push(data));
  else {
    void (async () => {
      for await (const message of ws) {
        if (way % 3 === 1) {
          const chunks: Buffer[] = [];
          for await (const chunk of message) chunks.push(chunk);
          kept.push(chunks);
        } else {
          const bytes = await message.bytes();
          kept.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        }
      }
    })().catch(() => {});
  }
  return {
    count: () => kept.length,
    texts: () => kept.map((one) => (Array.isArray(one) ? Buffer.concat(one) : one).toString()),
  };
}

/** Fails where texts differ, without printing all of them. */
function compare(owner: string, texts: readonly string[], expected: readonly string[]): void {
  for (const [index, text] of texts.entries()) {
    if (text === expected[index]) continue;
    const mine = expected[index] ?? '';
    expect.fail(
      `${owner}, message ${index}: ${text.length} of ${mine.length}, ${text.slice(0, 40)} for ${mine.slice(0, 40)}`,
    );
  }
  expect(texts).toHaveLength(expected.length);
}

const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

async function connections(role: Role): Promise<[string, WebSocketConnection, WebSocketConnection][]> {
  const all = [...kinds, ...kinds, ...kinds].map(
    async (make, i): Promise<[string, WebSocketConnection, WebSocketConnection]> => {
      const { name, options, extension } = make();
      const ends = (of: Role): Ends => ({
        ...(options && { options }),
        ...(extension && { extension: extension[of] }),
      });
      const [mine, theirs] = [ends(role), ends(other(role))];
      const slow = i >= 2 * kinds.length;
      const [ws, peer] = slow ? slowPair(role, mine, theirs) : await pair(role, mine, theirs);
      return [`${name}, ${i}${slow ? ', slow' : ''}`, ws, peer];
    },
  );
  return Promise.all(all);
}

test('[X-01] only sockets of Node are given shared memory', async () => {
  const [server, client] = await sockets();
  const tls = new TLSSocket(client);
  const derived = new (class extends Socket {})();
  const patched = new Socket();
  patched.write = (): boolean => true;
  const streams = [server, client, tls, derived, patched, ...streamsByReference()];
  expect(streams.map(takesSharedMemory)).toEqual([true, true, true, false, false, false, false]);
  for (const stream of streams) stream.on('error', () => {}).destroy();
});

/** Memory that a socket is given to write from now on. */
function memoryOf(socket: Socket): Set<ArrayBufferLike> {
  const memory = new Set<ArrayBufferLike>();
  const { _write } = socket;
  socket._write = (chunk: Buffer | string, encoding, done): void => {
    if (typeof chunk !== 'string') memory.add(chunk.buffer);
    _write.call(socket, chunk, encoding, done);
  };
  return memory;
}

test('[X-01] accept() and connect() have sockets share memory; by hand they do so only where it is said', async () => {
  const memories = new Map<string, Set<ArrayBufferLike>>();
  const http = createServer().listen(0, '127.0.0.1');
  const accepted = new Promise<WebSocketConnection>((resolve, reject) => {
    http.on('upgrade', (request, socket: Socket, head) => {
      memories.set('accept', memoryOf(socket));
      accept(request, socket, head).then(resolve, reject);
    });
  });
  await once(http, 'listening');
  const agent = new (class extends Agent {
    override createConnection(options: NetConnectOpts): Socket {
      const socket = createConnection(options);
      memories.set('connect', memoryOf(socket));
      return socket;
    }
  })();
  const client = await connect(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`, { agent });
  const byHand = await sockets();
  const options = resolveConnectionOptions();
  const [said, unsaid] = byHand.map((socket, i) => {
    memories.set(i === 0 ? 'said' : 'unsaid', memoryOf(socket));
    const role = i === 0 ? 'server' : 'client';
    return new WebSocketConnection(socket, { role, options, ...(i === 0 && { sharedMemory: true }) });
  });
  const all = [await accepted, client, said!, unsaid!];
  for (const ws of all) ws.send('a');
  await Promise.all(all.map((ws) => ws.drained()));
  const [shared] = memories.get('accept')!;
  const sharing = [...memories].filter(([, memory]) => memory.has(shared!)).map(([maker]) => maker);
  expect(sharing.toSorted()).toEqual(['accept', 'connect', 'said']);
  expect(memories.get('unsaid')!.size).toBe(1);
  for (const ws of all) ws.terminate();
  http.close();
});

describe.each(roles)('many connections of a %s', (role) => {
  test('[X-01] each gets its own messages: every kind and size, both ways in one tick, mixed extensions, slow peers', async () => {
    const all = await connections(role);
    const ends = all.flatMap(([name, ws, peer], owner) => [
      { name: `from ${name}`, from: ws, owner, expected: [] as string[], got: receive(peer, owner) },
      {
        name: `to ${name}`,
        from: peer,
        owner: 100 + owner,
        expected: [] as string[],
        got: receive(ws, owner + 1),
      },
    ]);
    const count = 36;
    for (let index = 0; index < count; index++) {
      // In parts, so that some leave while others are still made
      if (index % 12 === 11) await turns(1);
      // A broadcast to all, of both sides
      const size = sizes[(index * 5) % sizes.length]!;
      const text = content(999, index, size, index % 2 === 0);
      const message: PreparedMessage = prepareMessage(index % 3 === 0 ? Buffer.from(text) : text);
      for (const { from, owner, expected } of ends) {
        expected.push(send(from, owner, index));
        if (index % 3 > 1) continue;
        expected.push(text);
        from.send(message, { compress: index % 4 !== 1 });
      }
    }
    const total = ends.reduce((sum, { expected }) => sum + expected.length, 0);
    await settled(() => ends.reduce((sum, { got }) => sum + got.count(), 0), total);
    // Other messages go through all the shared memory before the views are read
    const more = await pair(role, { extension: deflate({})[role] }, { extension: deflate({})[other(role)] });
    const last = receive(more[1], 1);
    for (const size of [100, 9_000, 20_000, 60_000]) more[0].send('#'.repeat(size));
    while (last.count() < 4) await turns(1);
    for (const { name, got, expected } of ends) compare(name, got.texts(), expected);
    for (const [, ws, peer] of [...all, ['more', ...more] as const]) {
      ws.terminate();
      peer.terminate();
    }
    await Promise.all(all.map(([, ws, peer]) => Promise.all([ws.closed, peer.closed])));
  }, 60_000);

  test.each([
    ['small', 3, 'frame'],
    ['large', 20_000, 'frame'],
    ['of a broadcast', 300, 'prepared'],
    ['of a large broadcast', 20_000, 'prepared'],
  ])(
    '[X-01] a stream in memory passes on buffers that hold nothing else, and may be transferred: %s',
    async (_, size, kind) => {
      const [one, two] = streamsByReference();
      const [ws, peer] = [open(one, role), open(two, other(role))];
      const [bystander, theirs] = await pair(role);
      const got = receive(theirs, 0);
      const errors: Error[] = [];
      theirs.on('error', (error) => errors.push(error));
      const source = Buffer.from(new ArrayBuffer(2 * size + 100)).fill('secret of the application');
      const payload = source.subarray(100, 100 + size);
      const message = prepareMessage(payload);
      const views: Buffer[] = [];
      let found = false;
      peer.on('message', (data) => {
        const { buffer } = data as Buffer;
        views.push(Buffer.from(data as Buffer));
        // What comes before is a header, what follows was never written to
        const around = Buffer.from(buffer).toString('latin1').replaceAll(payload.toString('latin1'), '');
        found ||= /secret|x{4}/.test(around);
        structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
      });
      await turns(3);
      for (let index = 0; index < 3; index++) {
        for (const each of [bystander, ws]) {
          if (kind === 'prepared') each.send(message);
          else each.send(payload);
          if (each === bystander) each.send('x'.repeat(50));
        }
        await turns(5);
      }
      await settled(() => got.count(), 6);
      const expected = [payload.toString(), 'x'.repeat(50)];
      compare('the other connection', got.texts(), [...expected, ...expected, ...expected]);
      expect([views, found, errors]).toEqual([[payload, payload, payload], false, []]);
      for (const each of [ws, peer, bystander, theirs]) each.terminate();
      await Promise.all([ws.closed, peer.closed, bystander.closed, theirs.closed]);
    },
  );

  test.each([
    ['transferred at once', 20_000, 0, transfer],
    ['shrunk at once', 20_000, 0, shrink],
    ['transferred behind others', 20_000, 8_000_000, transfer],
    ['shrunk behind others', 20_000, 8_000_000, shrink],
    ['transferred while a part of it is flushed', 8_000_000, 0, transfer],
    // Bytes that the kernel was given and that are no memory any more are an error of the system
    ['shrunk while a part of it is flushed', 8_000_000, 0, shrink],
  ])(
    '[X-33] memory that is queued and %s: no message arrives with other bytes',
    async (_, size, before, change) => {
      const [server, client] = await sockets(true);
      const [mine, socket] = role === 'server' ? [server, client] : [client, server];
      const ws = open(mine, role);
      const errors: Error[] = [];
      ws.on('error', (error) => errors.push(error));
      const first = Buffer.alloc(before, 'a');
      if (before > 0) ws.send(first);
      const buffer = new (ArrayBuffer as Resizable)(size, { maxByteLength: size });
      ws.send(new Uint8Array(buffer).fill(65));
      if (size + before > 20_000) await turns(3);
      change(buffer);
      // As large as what is missing, and as what it would leave room for
      ws.send(Buffer.alloc(19_996, 66));
      ws.send(Buffer.alloc(20_000, 66));
      ws.send('third');
      const expected = [
        ...(before > 0 ? [first] : []),
        Buffer.alloc(size, 65),
        Buffer.alloc(19_996, 66),
        Buffer.alloc(20_000, 66),
        Buffer.from('third'),
      ];
      const total = Buffer.concat(expected).length;
      const chunks: Buffer[] = [];
      let count = 0;
      let ended = false;
      const onEnd = (): void => {
        ended = true;
      };
      socket.on('error', onEnd).on('close', onEnd).on('end', onEnd);
      socket.on('data', (chunk) => {
        chunks.push(chunk);
        count += chunk.length;
      });
      while (!ended && count < total + (role === 'client' ? 6 : 0)) await turns(1);
      await turns(3);
      const messages = parse(Buffer.concat(chunks), true).map(({ payload }) => payload);
      expect(messages.every((payload, index) => payload.equals(expected[index]!))).toBe(true);
      // A client has masked a copy
      if (role === 'client') expect([messages.length, errors]).toEqual([expected.length, []]);
      else {
        expect(messages.length).toBeLessThanOrEqual(Number(before > 0));
        const message = /memory that was sent was transferred or changed its length|EFAULT/i;
        expect(errors).toMatchObject([{ message: expect.stringMatching(message) }]);
      }
      ws.terminate();
      socket.destroy();
      await ws.closed;
    },
  );

  test.each([
    ['transferred', transfer],
    ['shrunk', shrink],
  ])('[X-33] memory that is %s while its message, or fragment, waits for its turn', async (_, change) => {
    for (const waiting of ['message', 'fragment']) {
      const [ws, peer] = await rawPair(role);
      const errors: unknown[] = [];
      ws.on('error', (error) => errors.push(error));
      const buffer = new (ArrayBuffer as Resizable)(1000, { maxByteLength: 1000 });
      // Its length follows that of the buffer
      const view = new Uint8Array(buffer);
      if (waiting === 'message') {
        ws.send(new Blob(['before']));
        ws.send(view);
        ws.send('after');
      } else {
        const writer = ws.createWriter('binary');
        writer.write(view).catch((error) => errors.push(error));
        writer.end().catch(() => {});
      }
      change(buffer);
      await turns(5);
      if (waiting === 'fragment') void ws.close(1000);
      await peer.until(({ frames }) => frames.some(({ opcode }) => opcode === 8));
      expect(errors).toMatchObject([{ message: expect.stringContaining('changed its length') }]);
      const { frames } = peer;
      expect(frames.map(({ opcode }) => opcode)).toEqual(waiting === 'message' ? [2, 8] : [8]);
      expect(frames.at(-1)!.payload.readUInt16BE()).toBe(waiting === 'message' ? 1011 : 1000);
      ws.terminate();
      await ws.closed;
    }
  });

  /** The connection fails with 1011, and its one error says that memory was transferred. */
  async function expectFailed(peer: RawPeer, errors: readonly Error[]): Promise<void> {
    await peer.until(({ frames }) => frames.length > 0);
    expect(peer.frames.at(-1)!.payload.readUInt16BE()).toBe(1011);
    expect(errors).toMatchObject([{ message: expect.stringContaining('was transferred') }]);
  }

  describe('[X-22] a listener that transfers the memory of its messages to another thread', () => {
    const deflated = deflate({});
    const cases: readonly (readonly [name: string, ends: Ends, peerEnds: Ends, sizes: readonly number[]])[] =
      [
        ['small', {}, {}, [10, 20, 1000]],
        ['large', {}, {}, [9_000, 40_000]],
        ['over several chunks', {}, {}, [200_000, 70_000]],
        [
          'compressed',
          { extension: deflated[role] },
          { extension: deflated[other(role)] },
          [300, 5_000, 40_000, 200_000],
        ],
      ];
    test.each(cases)(
      '%s: loses none of them silently, and none of others',
      async (_, mine, theirs, lengths) => {
        const [ws, peer] = await pair(role, mine, theirs);
        const bystanders = await connections(role);
        const got = bystanders.map(([, one], i) => receive(one, i));
        const received: string[] = [];
        const errors: Error[] = [];
        let threw = 0;
        ws.on('error', (error) => errors.push(error));
        ws.on('message', (data) => {
          received.push(data.toString());
          try {
            transfer((data as Buffer).buffer as ArrayBuffer);
          } catch {
            // Memory of Node's pool is not transferred
            threw++;
          }
        });
        const sent: string[] = [];
        const expected: string[][] = bystanders.map(() => []);
        for (let index = 0; index < 40; index++) {
          sent.push(content(1000, index, lengths[index % lengths.length]!, false));
          peer.send(Buffer.from(sent.at(-1)!));
          for (const [i, [, , theirPeer]] of bystanders.entries()) {
            expected[i]!.push(send(theirPeer, i, index));
          }
          if (index % 10 === 9) await turns(1);
        }
        while (got.some((one, i) => one.count() < expected[i]!.length))
          await new Promise((resolve) => setTimeout(resolve, 5));
        for (const [i, one] of got.entries()) compare(bystanders[i]![0], one.texts(), expected[i]!);
        while (received.length < sent.length && errors.length === 0) await turns(1);
        // What came is right, and in order; where something is missing, that is said, on both sides
        compare('the one that transfers', received, sent.slice(0, received.length));
        if (received.length < sent.length) {
          expect(errors).toMatchObject([{ message: expect.stringContaining('was transferred') }]);
          expect(await peer.closed).toMatchObject({ code: 1011 });
        }
        expect(threw).toBeLessThan(41);
        for (const [, one, theirPeer] of bystanders) {
          one.terminate();
          theirPeer.terminate();
        }
        ws.terminate();
        peer.terminate();
        await Promise.all([ws.closed, peer.closed]);
      },
    );

    /** Ways to read what is delivered; each returns how many bytes that were. */
    const ways: readonly (readonly [string, (message: MessageReader) => Promise<number>])[] = [
      ['text()', async (message) => (await message.text()).length],
      ['bytes()', async (message) => (await message.bytes()).length],
      ['arrayBuffer()', async (message) => (await message.arrayBuffer()).byteLength],
      ['stream()', async (message) => countBytes(message.stream())],
      ['its chunks', async (message) => countBytes(message)],
    ];
    const moments = ['delivered', 'held', 'in fragments'] as const;
    test.each(ways.flatMap(([name, read]) => moments.map((moment) => [name, moment, read] as const)))(
      'reading with %s a message that was %s as its memory was transferred rejects',
      async (_, moment, read) => {
        const [ws, peer] = await rawPair(role);
        const errors: Error[] = [];
        ws.on('error', (error) => errors.push(error));
        const whole = moment !== 'in fragments';
        const second = frameTo(role, 1, 'second', whole ? {} : { fin: false });
        const all = [frameTo(role, 2, 'first'.repeat(100)), second, frameTo(role, whole ? 1 : 0, 'third')];
        peer.socket.write(Buffer.concat(all));
        const bytes = await (await ws.receive())!.bytes();
        const message = moment === 'held' ? null : await ws.receive();
        transfer(bytes.buffer as ArrayBuffer);
        const reading = message === null ? ws.receive().then((held) => read(held!)) : read(message);
        await expect(reading).rejects.toThrow('was transferred');
        await expect(ws.receive()).rejects.toThrow('was transferred');
        await expectFailed(peer, errors);
        ws.terminate();
        await ws.closed;
      },
    );

    test('events that were paused: no message is emitted without its bytes', async () => {
      const [ws, peer] = await rawPair(role);
      const errors: Error[] = [];
      const received: string[] = [];
      ws.on('error', (error) => errors.push(error));
      ws.on('message', (data) => {
        received.push(data.toString());
        ws.pause();
        setImmediate(() => {
          transfer((data as Buffer).buffer as ArrayBuffer);
          ws.resume();
        });
      });
      peer.socket.write(Buffer.concat([frameTo(role, 2, 'first'), frameTo(role, 1, 'second')]));
      await expectFailed(peer, errors);
      expect(received).toEqual(['first']);
      ws.terminate();
      await ws.closed;
    });

    test.each(['in a header', 'in a payload', 'at the end of a chunk'])(
      '%s: what follows in the same memory is an error, not garbage',
      async (where) => {
        const [ws, peer] = await rawPair(role);
        const errors: Error[] = [];
        const received: string[] = [];
        ws.on('error', (error) => errors.push(error));
        ws.on('message', (data) => {
          received.push(data.toString());
          if (received.length === 1) transfer((data as Buffer).buffer as ArrayBuffer);
        });
        const first = frameTo(role, 2, 'first');
        const next = frameTo(role, 2, 'next'.repeat(1000));
        if (where === 'in a header') peer.socket.write(Buffer.concat([first, next]));
        else if (where === 'in a payload') peer.socket.write(Buffer.concat([first, next.subarray(0, 1000)]));
        else {
          peer.socket.write(first);
          while (received.length === 0) await turns(1);
          peer.socket.write(next);
        }
        while (errors.length === 0 && received.length < 2) await turns(1);
        if (where === 'at the end of a chunk') {
          expect([errors, received]).toEqual([[], ['first', 'next'.repeat(1000)]]);
        } else {
          expect(received).toEqual(['first']);
          await expectFailed(peer, errors);
        }
        ws.terminate();
        await ws.closed;
      },
    );
  });
});
