import { once } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import type { AddressInfo } from 'node:net';
import zlib, {
  constants,
  createDeflateRaw,
  type DeflateRaw,
  deflateRawSync,
  type ZlibOptions,
} from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  connect,
  type Extension,
  type ExtensionParameters,
  type PermessageDeflateOptions,
  permessageDeflate,
  prepareMessage,
  WebSocketServer,
} from '../../src/index.js';
import { Endpoint } from '../../src/protocol.js';
import { chunkings, feed, frameTo, output, parse, type Role, roles } from '../support/frames.js';
import { ReferenceInflater } from '../support/inflate.js';
import { leftovers, pair, type RawPeer, rawPair, turns } from '../support/wire.js';

afterEach(async () => {
  expect(await leftovers()).toBe(0);
});

/** Both sides of a negotiation that takes place. */
function negotiate(
  server: PermessageDeflateOptions = {},
  client: PermessageDeflateOptions = server,
): { server: Extension; client: Extension } {
  const offering = permessageDeflate(client);
  const accepted = permessageDeflate(server).accept(offering.offers()[0]!);
  return { server: accepted!.extension, client: offering.confirm(accepted!.parameters) };
}

const extensionOf = (role: Role, options: PermessageDeflateOptions = {}): Extension =>
  negotiate(options)[role];

describe('§7.1 the server', () => {
  const accept = (
    offer: ExtensionParameters,
    options: PermessageDeflateOptions = {},
  ): ExtensionParameters | null => permessageDeflate(options).accept(offer)?.parameters ?? null;

  test.each<[string, ExtensionParameters, PermessageDeflateOptions, ExtensionParameters]>([
    ['takes an offer without parameters', [], {}, []],
    [
      '§7.1.1.1 answers server_no_context_takeover with the same',
      [['server_no_context_takeover', true]],
      {},
      [['server_no_context_takeover', true]],
    ],
    [
      '§7.1.1.1 may ask for it without an offer',
      [],
      { serverNoContextTakeover: true },
      [['server_no_context_takeover', true]],
    ],
    [
      '§7.1.1.2 answers client_no_context_takeover with the same',
      [['client_no_context_takeover', true]],
      {},
      [['client_no_context_takeover', true]],
    ],
    [
      '§7.1.1.2 may ask for it without a hint',
      [],
      { clientNoContextTakeover: true },
      [['client_no_context_takeover', true]],
    ],
    [
      '§7.1.2.1 answers server_max_window_bits with the same',
      [['server_max_window_bits', '10']],
      {},
      [['server_max_window_bits', '10']],
    ],
    [
      '§7.1.2.1 answers it with less, if it wants less',
      [['server_max_window_bits', '12']],
      { serverMaxWindowBits: 9 },
      [['server_max_window_bits', '9']],
    ],
    [
      '§7.1.2.1 answers it, also when it is the greatest',
      [['server_max_window_bits', '15']],
      {},
      [['server_max_window_bits', '15']],
    ],
    [
      '§7.1.2.1 may limit itself without an offer',
      [],
      { serverMaxWindowBits: 11 },
      [['server_max_window_bits', '11']],
    ],
    ['§7.1.2.2 does not limit a client that gave no hint', [], { clientMaxWindowBits: 9 }, []],
    [
      '§7.1.2.2 limits a client that understands it',
      [['client_max_window_bits', true]],
      { clientMaxWindowBits: 9 },
      [['client_max_window_bits', '9']],
    ],
    [
      '§7.1.2.2 keeps to the limit that the client named',
      [['client_max_window_bits', '10']],
      { clientMaxWindowBits: 12 },
      [['client_max_window_bits', '10']],
    ],
    ['§7.1.2.2 does not answer a hint that it does not need', [['client_max_window_bits', true]], {}, []],
    [
      'takes everything at once',
      [
        ['client_max_window_bits', '8'],
        ['server_max_window_bits', '8'],
        ['client_no_context_takeover', true],
        ['server_no_context_takeover', true],
      ],
      {},
      [
        ['server_no_context_takeover', true],
        ['client_no_context_takeover', true],
        ['server_max_window_bits', '8'],
        ['client_max_window_bits', '8'],
      ],
    ],
  ])('%s', (_, offer, options, response) => {
    expect(accept(offer, options)).toEqual(response);
  });

  test('§7.1 declines what is unknown, repeated, or has a wrong value', () => {
    const bad: ExtensionParameters[] = [
      [['unknown', true]],
      [['__proto__', true]],
      [['server_no_context_takeover', '1']],
      [['client_no_context_takeover', 'true']],
      [
        ['server_no_context_takeover', true],
        ['server_no_context_takeover', true],
      ],
      [['server_max_window_bits', true]],
      ...['7', '16', '08', '1000', '', ' 9', '9.0', '+9', '0x9', 'ten', '1e1'].flatMap(
        (value): ExtensionParameters[] => [
          [['server_max_window_bits', value]],
          [['client_max_window_bits', value]],
        ],
      ),
      [
        ['client_max_window_bits', '9'],
        ['client_max_window_bits', '9'],
      ],
    ];
    for (const offer of bad) expect([offer, accept(offer)]).toEqual([offer, null]);
  });
});

describe('§7.1 the client', () => {
  test('offers what it wishes', () => {
    const offer = (options: PermessageDeflateOptions): unknown => permessageDeflate(options).offers();
    expect(offer({})).toEqual([[['client_max_window_bits', true]]]);
    expect(
      offer({
        serverNoContextTakeover: true,
        clientNoContextTakeover: true,
        serverMaxWindowBits: 10,
        clientMaxWindowBits: 9,
      }),
    ).toEqual([
      [
        ['server_no_context_takeover', true],
        ['client_no_context_takeover', true],
        ['server_max_window_bits', '10'],
        ['client_max_window_bits', '9'],
      ],
    ]);
  });

  test.each<[string, ExtensionParameters, PermessageDeflateOptions, boolean]>([
    ['takes a response without parameters', [], {}, true],
    [
      '§7.1.1.1 takes server_no_context_takeover without having offered it',
      [['server_no_context_takeover', true]],
      {},
      true,
    ],
    ['§7.1.1.1 refuses a response without the one it offered', [], { serverNoContextTakeover: true }, false],
    ['§7.1.1.2 takes client_no_context_takeover', [['client_no_context_takeover', true]], {}, true],
    [
      '§7.1.2.1 takes a smaller server_max_window_bits',
      [['server_max_window_bits', '9']],
      { serverMaxWindowBits: 10 },
      true,
    ],
    ['§7.1.2.1 refuses a larger one', [['server_max_window_bits', '11']], { serverMaxWindowBits: 10 }, false],
    ['§7.1.2.1 refuses a response without the one it offered', [], { serverMaxWindowBits: 10 }, false],
    ['§7.1.2.2 takes client_max_window_bits', [['client_max_window_bits', '9']], {}, true],
    ['§7.1.2.2 refuses one without a value', [['client_max_window_bits', true]], {}, false],
    ['§7.1 refuses what is unknown', [['x', true]], {}, false],
    [
      '§7.1 refuses what is repeated',
      [
        ['server_max_window_bits', '9'],
        ['server_max_window_bits', '9'],
      ],
      {},
      false,
    ],
  ])('%s', (_, response, options, taken) => {
    const confirm = (): Extension => permessageDeflate(options).confirm(response);
    if (taken) expect(confirm()).toMatchObject({ name: 'permessage-deflate', rsv: 0x40 });
    else expect(confirm).toThrow(Error);
  });
});

test('options are checked by name', () => {
  const wrong: [string, unknown][] = [
    ['level', 10],
    ['level', 0],
    ['memLevel', 0],
    ['threshold', -1],
    ['offloadSize', 1.5],
    ['serverMaxWindowBits', 7],
    ['clientMaxWindowBits', 16],
    ['serverNoContextTakeover', 1],
    ['clientNoContextTakeover', 'yes'],
    ['other', 1],
  ];
  for (const [name, value] of wrong) expect(() => permessageDeflate({ [name]: value })).toThrow(name);
});

/** Text that compresses, and bytes that do not. */
const content = (seed: number, size: number): Buffer => {
  const words = ['price', 'quantity', 'symbol', '{"id":', '"name":"', 'true', 'false', '0.00', ',', 'ä€😀'];
  let state = seed + 1;
  const next = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 8;
  };
  if (seed % 3 === 0) return Buffer.from(Uint8Array.from({ length: size }, () => next() & 0xff));
  let text = '';
  while (text.length < size) text += words[next() % words.length]! + (next() % 3 === 0 ? next() % 1000 : '');
  return Buffer.from(text).subarray(0, size);
};

const shapes: readonly PermessageDeflateOptions[] = [
  {},
  { serverNoContextTakeover: true, clientNoContextTakeover: true },
  ...[8, 9, 12, 14].map((bits) => ({ serverMaxWindowBits: bits, clientMaxWindowBits: bits })),
  {
    serverMaxWindowBits: 8,
    clientMaxWindowBits: 8,
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
  },
  { offloadSize: 100, level: 1 },
  { level: 6 },
  { threshold: 0, memLevel: 1, level: 9 },
];

describe.each(roles)('a %s', (role) => {
  const other = role === 'server' ? 'client' : 'server';

  test.each(shapes)(
    '§7.2.1 what it sends, a reference inflater with just that window reads: %j',
    async (options) => {
      const { encoder } = extensionOf(role, options);
      const bits = options.serverMaxWindowBits ?? 15;
      const reference = new ReferenceInflater(bits, options.serverNoContextTakeover !== true);
      let seed = 0;
      // Small and large by turns, so that every way of compressing carries the window over to every other
      for (const size of [
        0, 1, 2, 3, 4, 5, 50, 300, 1024, 1025, 300, 9000, 200, 40_000, 700, 2000, 2048, 2048, 2048, 3000, 300,
        1,
      ]) {
        const data = content(seed++, size);
        const payload = Buffer.from(await encoder.encode(data, true));
        expect(reference.message(payload).equals(data)).toBe(true);
        const parts = [content(seed, size >> 1), content(seed + 7, 100), content(seed, size)];
        const payloads: Buffer[] = [];
        for (const [i, part] of parts.entries())
          payloads.push(Buffer.from(await encoder.encode(part, i === 2)));
        expect(reference.message(Buffer.concat(payloads)).equals(Buffer.concat(parts))).toBe(true);
      }
    },
  );

  test.each(shapes)('§7.2.2 what its peer sends, it reads, in every chunking: %j', async (options) => {
    const { [role]: mine, [other]: theirs } = negotiate({ threshold: 0, ...options });
    for (const [, cut] of chunkings) {
      const { [role]: mine, [other]: theirs } = negotiate({ threshold: 0, ...options, offloadSize: 1e9 });
      const sender = new Endpoint({ role: other, extension: theirs });
      const data = [
        content(1, 0),
        content(1, 5),
        content(3, 400),
        content(4, 400),
        content(5, 1900),
        content(7, 4000),
        content(1, 400),
      ];
      for (const one of data) sender.send(2, one);
      const receiver = new Endpoint({ role, extension: mine });
      expect(feed(receiver, cut(output(sender))).told.map((one) => one[2])).toEqual(
        data.map((one) => one.toString('latin1')),
      );
    }
    expect(mine.rsv & theirs.rsv).toBe(0x40);
  });

  test('§7.2.2 what zlib makes of any messages, with or without context takeover, is read', async () => {
    // 32 KiB is where zlib takes over
    const large = fc.constantFrom(0, 1, 20_000, 32_767, 32_768, 32_769, 32_770);
    const message = fc.tuple(fc.nat(50), fc.oneof(fc.nat(400), fc.nat(5000), fc.nat(40_000), large));
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { maxLength: 8 }),
        fc.constantFrom(1, 6, 9),
        fc.constantFrom(9, 11, 15),
        fc.boolean(),
        async (messages, level, bits, takeover) => {
          const options = {
            serverMaxWindowBits: bits,
            clientMaxWindowBits: bits,
            serverNoContextTakeover: !takeover,
            clientNoContextTakeover: !takeover,
          };
          const [ws, peer] = await rawPair(role, { extension: () => extensionOf(role, options) });
          let zlib: DeflateRaw = createDeflateRaw({ level, windowBits: bits });
          for (const [seed, size] of messages) {
            const data = content(seed, size);
            if (!takeover) zlib = createDeflateRaw({ level, windowBits: bits });
            const chunks: Buffer[] = [];
            zlib.on('data', (chunk) => chunks.push(chunk));
            zlib.write(data);
            await new Promise<void>((resolve) => zlib.flush(constants.Z_SYNC_FLUSH, resolve));
            zlib.removeAllListeners('data');
            const whole = Buffer.concat(chunks);
            // Nothing is flushed where nothing was written (§7.2.3.6)
            peer.send(2, size === 0 ? Buffer.from([0]) : whole.subarray(0, -4), { rsv: 0x40 });
            expect(Buffer.from(await (await ws.receive())!.bytes()).equals(data)).toBe(true);
          }
          ws.terminate();
          await ws.closed;
        },
      ),
      { numRuns: 40 },
    );
  });

  test('any messages survive both sides, in any order of ways to send and to read', async () => {
    const message = fc.record({
      seed: fc.nat(50),
      size: fc.oneof(fc.nat(300), fc.nat(3000), fc.nat(60_000)),
      way: fc.constantFrom('send', 'stream', 'prepared', 'plain'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 10 }),
        fc.constantFrom(...shapes),
        async (messages, options) => {
          const sides = negotiate(options);
          const [ws, peer] = await pair(
            role,
            { extension: () => sides[role] },
            { extension: () => sides[other] },
          );
          const sending = (async () => {
            for (const { seed, size, way } of messages) {
              const data = content(seed, size);
              if (way === 'stream')
                await peer.sendStream([data.subarray(0, size >> 2), data.subarray(size >> 2)]);
              else if (way === 'prepared') peer.send(prepareMessage(data));
              else peer.send(data, { compress: way === 'send' });
            }
          })();
          for (const [i, { seed, size }] of messages.entries()) {
            const received = (await ws.receive())!;
            const chunks: Buffer[] = [];
            if (i % 2 === 0) for await (const chunk of received) chunks.push(chunk);
            else chunks.push(Buffer.from(await received.bytes()));
            expect(Buffer.concat(chunks).equals(content(seed, size))).toBe(true);
          }
          await sending;
          ws.terminate();
          peer.terminate();
          await Promise.all([ws.closed, peer.closed]);
        },
      ),
      { numRuns: 60 },
    );
  });

  const deflate = (data: Buffer): Buffer =>
    deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);

  test('[D-02] exactly the limit passes, one byte more fails with 1009', async () => {
    for (const limit of [100, 10_000, 500_000]) {
      for (const read of ['message', 'bytes', 'chunks'] as const) {
        const options = { maxMessageSize: limit, maxStreamSize: limit };
        const [ws, peer] = await rawPair(role, { options, extension: () => extensionOf(role) });
        peer
          .send(2, deflate(Buffer.alloc(limit)), { rsv: 0x40 })
          .send(2, deflate(Buffer.alloc(limit + 1)), { rsv: 0x40 });
        let size = 0;
        if (read === 'message') ws.on('message', (data) => (size += data.length));
        else if (read === 'bytes') size = (await (await ws.receive())!.bytes()).length;
        else for await (const chunk of (await ws.receive())!) size += chunk.length;
        if (read !== 'message') {
          await expect(
            (async () => {
              for await (const chunk of (await ws.receive())!) void chunk;
            })(),
          ).rejects.toMatchObject({ code: 'ERR_MESSAGE_TOO_BIG' });
        }
        await peer.until(({ ended }) => ended);
        expect([size, parse(peer.bytes, true).at(-1)!.payload.readUInt16BE()]).toEqual([limit, 1009]);
        peer.socket.end();
        await ws.closed;
      }
    }
  });

  test('[D-03] RFC 7692 §7.2.3.4 a block with BFINAL set is read, and the message behind it', async () => {
    const [ws, peer] = await rawPair(role, { extension: () => extensionOf(role) });
    const final = Buffer.from('f348cdc9c9070000', 'hex');
    peer.send(1, final, { rsv: 0x40 }).send(1, Buffer.from('f200110000', 'hex'), { rsv: 0x40 });
    expect(await (await ws.receive())!.text()).toBe('Hello');
    // RFC 7692 §7.2.3.2: the second message refers to the first
    expect(await (await ws.receive())!.text()).toBe('Hello');
    // Final blocks without end: off the thread, in bounds
    const many = Buffer.concat([
      ...Array.from({ length: 200 }, () => deflateRawSync('many ')),
      Buffer.from([0]),
    ]);
    peer
      .send(1, many, { rsv: 0x40 })
      .send(1, many.subarray(0, 300), { rsv: 0x40, fin: false })
      .send(0, many.subarray(300));
    for (let i = 0; i < 2; i++) expect(await (await ws.receive())!.text()).toBe('many '.repeat(200));
    const large = Buffer.concat([
      deflateRawSync(content(1, 200_000)),
      deflateRawSync(content(3, 50_000)),
      Buffer.from([0]),
    ]);
    peer.send(2, large, { rsv: 0x40 });
    expect(
      Buffer.from(await (await ws.receive())!.bytes()).equals(
        Buffer.concat([content(1, 200_000), content(3, 50_000)]),
      ),
    ).toBe(true);
    ws.terminate();
  });

  test('[D-04] garbage, or a truncated stream, fails with 1007', async () => {
    const whole = deflate(content(1, 100_000));
    const small = deflate(content(1, 300));
    const dynamic = deflate(content(2, 1900));
    const bad: Buffer[] = [
      'ffffffff',
      '06',
      '0000',
      '0100',
      '02',
      '040000000000',
      'fc',
      '7b',
      'f348cdc9',
    ].map((hex) => Buffer.from(hex, 'hex'));
    bad.push(
      small.subarray(0, small.length - 5),
      dynamic.subarray(0, 30),
      dynamic.subarray(0, dynamic.length - 9),
      whole.subarray(0, whole.length - 50),
      whole.subarray(0, 20_000),
    );
    for (const payload of bad) {
      const [ws, peer] = await rawPair(role, { extension: () => extensionOf(role) });
      peer.send(2, payload, { rsv: 0x40 });
      const read = async (): Promise<void> => {
        for await (const chunk of (await ws.receive())!) void chunk;
      };
      const outcome = await read().then(
        () => 'read',
        (error) => error.closeCode,
      );
      expect([payload.toString('hex').slice(0, 40), outcome]).toEqual([
        payload.toString('hex').slice(0, 40),
        1007,
      ]);
      peer.socket.end();
      await ws.closed;
    }
  });

  const gibibyte = zeros(1024);

  test('[D-04] a stored block that lacks just the bytes that a decoder appends fails with 1007', async () => {
    for (const size of [100, 20_000]) {
      for (const final of [0, 1]) {
        // 4 bytes lack: then the payload, with the four of §7.2.2 behind it, is whole
        for (const lacking of [1, 3, 5, 8, 9, ...Array.from({ length: 10 }, (_, i) => 12 + i)]) {
          const header = Buffer.from([final, size & 255, size >> 8, ~size & 255, (~size >> 8) & 255]);
          const [ws, peer] = await rawPair(role, { extension: () => extensionOf(role) });
          peer.send(2, Buffer.concat([header, content(1, size - lacking)]), { rsv: 0x40 });
          const read = async (): Promise<Uint8Array> => (await ws.receive())!.bytes();
          await expect(read(), `${size} ${final} ${lacking}`).rejects.toMatchObject({
            code: 'ERR_INVALID_PAYLOAD',
          });
          await peer.until(({ ended }) => ended);
          expect(parse(peer.bytes, true).at(-1)!.payload.readUInt16BE()).toBe(1007);
          peer.socket.end();
          await ws.closed;
        }
      }
    }
  });

  test('[D-01] 1 GiB of zeros is streamed to who reads it in flat memory', async () => {
    const [ws, peer] = await rawPair(role, { extension: () => extensionOf(role) });
    const before = process.memoryUsage.rss();
    let peak = 0;
    send(peer, await gibibyte);
    let size = 0;
    for await (const chunk of (await ws.receive())!) {
      size += chunk.length;
      peak = Math.max(peak, process.memoryUsage.rss() - before);
    }
    expect(size).toBe(2 ** 30);
    expect(peak).toBeLessThan(100 * 1024 * 1024);
    ws.terminate();
  });

  test.each(['event', 'bytes', 'dropped', 'fragmented', 'behind another message'] as const)(
    '[D-01] 1 GiB of zeros against a limit of 1 MiB ends at the limit with 1009: %s',
    async (how) => {
      const [ws, peer] = await rawPair(role, {
        options: { maxMessageSize: 1024 * 1024 },
        extension: () => extensionOf(role),
      });
      if (how === 'behind another message') peer.send(2, deflate(Buffer.alloc(50_000)), { rsv: 0x40 });
      const bomb = Buffer.from(await gibibyte);
      const before = process.memoryUsage().arrayBuffers;
      if (how === 'fragmented') {
        for (let at = 0; at < bomb.length; at += 100_000) {
          const fin = at + 100_000 >= bomb.length;
          peer.send(at === 0 ? 2 : 0, bomb.subarray(at, at + 100_000), { rsv: at === 0 ? 0x40 : 0, fin });
        }
      } else send(peer, bomb);
      if (how === 'bytes')
        await expect((await ws.receive())!.bytes()).rejects.toMatchObject({ closeCode: 1009 });
      else if (how === 'dropped') {
        await ws.receive();
        await expect(ws.receive()).rejects.toMatchObject({ closeCode: 1009 });
      } else ws.on('message', (data) => expect(data.length).toBe(50_000));
      await peer.until(({ ended, socket }) => ended || socket.destroyed);
      expect(parse(peer.bytes, true).at(-1)!.payload.readUInt16BE()).toBe(1009);
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(24 * 1024 * 1024);
      peer.socket.end();
      await ws.closed;
    },
  );

  test('[D-05] a connection that closes with compressed messages queued settles every call', async () => {
    const [ws, peer] = await pair(role, { extension: () => extensionOf(role, { offloadSize: 0 }) });
    peer.resume();
    const calls = [];
    for (let i = 0; i < 20; i++) {
      ws.send(content(1, 50_000));
      calls.push(ws.sendStream([content(2, 50_000)]));
    }
    const closing = ws.close();
    const results = await Promise.allSettled(calls);
    expect(results.every(({ status }) => status === 'rejected')).toBe(true);
    expect(await closing).toMatchObject({ code: 1000, wasClean: true });
  });
});

test('[D-05] 200 sockets killed while compressing leave nothing behind', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', compression: { offloadSize: 0 } });
  await once(server, 'listening');
  server.on('connection', (ws) => {
    ws.on('message', (data) => ws.send(data));
    for (let i = 0; i < 5; i++) ws.send(content(i, 30_000));
  });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clients = await Promise.all(
    Array.from({ length: 200 }, () => connect(url, { compression: { offloadSize: 0 } })),
  );
  for (const ws of clients) {
    ws.send(content(1, 30_000));
    ws.resume();
  }
  await turns(2);
  for (const ws of clients) ws.terminate();
  await Promise.all(clients.map((ws) => ws.closed));
  const last = await connect(url, { compression: true });
  for (let i = 0; i < 5; i++)
    expect(Buffer.from(await (await last.receive())!.bytes()).equals(content(i, 30_000))).toBe(true);
  last.send('still serves');
  expect(await (await last.receive())!.text()).toBe('still serves');
  await last.close();
  while (server.connections.size > 0) await turns(1);
  await server.close();
});

test('compression is off unless both ask for it, and small messages go as they are', async () => {
  for (const [server, client, used] of [
    [true, true, true],
    [true, false, false],
    [false, true, false],
    [undefined, true, false],
    [{}, {}, true],
  ] as const) {
    const sluice = new WebSocketServer({
      port: 0,
      host: '127.0.0.1',
      ...(server !== undefined && { compression: server }),
    });
    await once(sluice, 'listening');
    const ws = await connect(`ws://127.0.0.1:${(sluice.address() as AddressInfo).port}`, {
      compression: client,
    });
    expect(ws.extensions).toBe(used ? 'permessage-deflate' : '');
    await ws.close();
    await sluice.close();
  }
  const endpoint = new Endpoint({ role: 'server', extension: extensionOf('server') });
  endpoint.send(1, 'x'.repeat(127));
  endpoint.send(1, 'x'.repeat(128));
  expect(parse(output(endpoint)).map(({ rsv, payload }) => [rsv, payload.length < 127])).toEqual([
    [0, false],
    [0x40, true],
  ]);
});

test('the thread pool compresses a few messages at a time, all of them in the end', async () => {
  const { deflateRaw } = zlib;
  let now = 0;
  let busiest = 0;
  const spy = vi.spyOn(zlib, 'deflateRaw').mockImplementation(((
    data: Buffer,
    options: ZlibOptions,
    done: (error: Error | null, result: Buffer) => void,
  ) => {
    busiest = Math.max(busiest, ++now);
    deflateRaw(data, options, (...result) => {
      now--;
      done(...result);
    });
  }) as typeof deflateRaw);
  syncBuiltinESMExports();
  try {
    const all = Array.from({ length: 40 }, async (_, i) => {
      const payload = await extensionOf('server', { offloadSize: 0 }).encoder.encode(
        content(i, 60_000),
        true,
      );
      return new ReferenceInflater(15, true).message(Buffer.from(payload)).equals(content(i, 60_000));
    });
    expect(await Promise.all(all)).toEqual(all.map(() => true));
    expect(busiest).toBe(8);
    expect(now).toBe(0);
  } finally {
    spy.mockRestore();
    syncBuiltinESMExports();
  }
});

test('a broadcast is compressed once, when no context is taken over', async () => {
  const message = prepareMessage('broadcast '.repeat(100));
  for (const [options, once] of [
    [{ serverNoContextTakeover: true }, true],
    [{}, false],
  ] as const) {
    const frames = Array.from({ length: 3 }, () => {
      const endpoint = new Endpoint({ role: 'server', extension: extensionOf('server', options) });
      endpoint.sendPrepared(message);
      return endpoint.take()[0]!;
    });
    expect(new Set(frames).size).toBe(once ? 1 : 3);
    for (const frame of frames)
      expect(new ReferenceInflater(15).message(parse(frame)[0]!.payload).toString()).toBe(
        'broadcast '.repeat(100),
      );
  }
});

test('what a connection keeps is only as large as what it has seen', () => {
  const data = content(1, 300);
  const payload = deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
  const before = process.memoryUsage().arrayBuffers;
  const kept = Array.from({ length: 100 }, () => {
    const { server } = negotiate();
    server.encoder.encode(data, true);
    server.decoder.write(payload, true);
    expect(server.decoder.read(1000)?.length).toBe(300);
    return server;
  });
  expect((process.memoryUsage().arrayBuffers - before) / kept.length).toBeLessThan(8 * 1024);
  for (const extension of kept) extension.close();
});

function zeros(mebibytes: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const deflater = createDeflateRaw({ level: 9 });
    const chunks: Buffer[] = [];
    deflater.on('data', (chunk) => chunks.push(chunk));
    const mebibyte = Buffer.alloc(1024 * 1024);
    const write = (left: number): void => {
      if (left > 0) deflater.write(mebibyte, () => write(left - 1));
      else deflater.flush(constants.Z_SYNC_FLUSH, () => resolve(Buffer.concat(chunks).subarray(0, -4)));
    };
    write(mebibytes);
  });
}

function send(peer: RawPeer, payload: Buffer): void {
  peer.socket.write(frameTo(peer.role, 2, payload, { rsv: 0x40 }));
}
