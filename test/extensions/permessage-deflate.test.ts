import { once } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import type { AddressInfo } from 'node:net';
import zlib, {
  constants,
  createDeflateRaw,
  type DeflateRaw,
  deflateRawSync,
  inflateRawSync,
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
    // Many final blocks
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
    send(peer, gibibyte);
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
      const bomb = Buffer.from(gibibyte);
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

/** Every zlib stream that is made meanwhile. */
async function spied(work: (made: DeflateRaw[]) => Promise<void>): Promise<void> {
  const { createDeflateRaw } = zlib;
  const made: DeflateRaw[] = [];
  const spy = vi.spyOn(zlib, 'createDeflateRaw').mockImplementation((options) => {
    made.push(createDeflateRaw(options));
    return made.at(-1)!;
  });
  syncBuiltinESMExports();
  try {
    await work(made);
  } finally {
    spy.mockRestore();
    syncBuiltinESMExports();
  }
}

const alive = (made: readonly DeflateRaw[]): number => made.filter(({ destroyed }) => !destroyed).length;

test('the thread pool compresses a few messages at a time, all of them in the end', async () => {
  await spied(async (made) => {
    let busiest = 0;
    const all = Array.from({ length: 40 }, async (_, i) => {
      const { encoder } = extensionOf('server', { offloadSize: 0 });
      const payload = await encoder.encode(content(i, 60_000), true);
      busiest = Math.max(busiest, alive(made));
      return new ReferenceInflater(15, true).message(Buffer.from(payload)).equals(content(i, 60_000));
    });
    expect([made.length, alive(made)]).toEqual([8, 8]);
    expect(await Promise.all(all)).toEqual(all.map(() => true));
    await turns();
    expect([busiest, made.length, alive(made)]).toEqual([8, 40, 0]);
  });
});

test('[X-32] closing an extension settles what it has in the thread pool and in line for it, and leaves nothing', async () => {
  await spied(async (made) => {
    const extensions = Array.from({ length: 40 }, () => extensionOf('server', { offloadSize: 0 }));
    const works = extensions.map(({ encoder }, i) => encoder.encode(content(i, 60_000), true));
    // Of the first 8, which run, and of the others, which are in line, each second one
    for (const [i, extension] of extensions.entries()) if (i % 2 === 0) extension.close();
    const settled = await Promise.all(works);
    for (const [i, payload] of settled.entries()) {
      if (i % 2 === 0) expect(payload.length).toBe(0);
      else {
        const data = new ReferenceInflater(15).message(Buffer.from(payload));
        expect(data.equals(content(i, 60_000))).toBe(true);
      }
    }
    await turns();
    // Some were begun in place of those that closed before
    expect(made.length).toBeLessThan(32);
    expect(alive(made)).toBe(0);
    // Nothing of it is kept: neither the data in line, nor a window made after the end
    const held = new WeakRef(Buffer.allocUnsafeSlow(60_000));
    const busy = Array.from({ length: 8 }, () => extensionOf('server', { offloadSize: 0 }));
    const running = busy.map(({ encoder }, i) => encoder.encode(content(i, 60_000), true));
    const waiting = extensionOf('server', { offloadSize: 0 });
    const work = waiting.encoder.encode(held.deref()!, true);
    waiting.close();
    expect((await work).length).toBe(0);
    await turns();
    globalThis.gc!();
    expect(held.deref()).toBe(undefined);
    for (const extension of busy) extension.close();
    await Promise.all(running);
    // All places are free again
    const { length } = made;
    const again = Array.from({ length: 10 }, (_, i) =>
      extensionOf('server', { offloadSize: 0 }).encoder.encode(content(i, 60_000), true),
    );
    expect(made.length).toBe(length + 8);
    await Promise.all(again);
    for (const extension of extensions) extension.close();
  });
});

test.each(roles)(
  '[X-32] messages in line whose connection of a %s has ended do not take the place of one behind them',
  async (role) => {
    await spied(async (made) => {
      const begin = (count: number): { extensions: Extension[]; works: (Promise<Buffer> | Uint8Array)[] } => {
        const extensions = Array.from({ length: count }, () => extensionOf(role, { offloadSize: 0 }));
        return {
          extensions,
          works: extensions.map(({ encoder }, i) => encoder.encode(content(i, 60_000), true)),
        };
      };
      const running = begin(8);
      // One for each that leaves the thread pool
      const ended = begin(8);
      const live = begin(1);
      expect(made.length).toBe(8);
      for (const extension of ended.extensions) extension.close();
      await Promise.all(running.works);
      expect(made.length).toBe(9);
      const payload = Buffer.from((await live.works[0])!);
      expect(new ReferenceInflater(15).message(payload).equals(content(0, 60_000))).toBe(true);
      expect((await Promise.all(ended.works)).map(({ length }) => length)).toEqual(Array(8).fill(0));
      for (const { extensions } of [running, live]) for (const extension of extensions) extension.close();
    });
  },
);

test('[X-32] a message of many connections in the thread pool is not lost with the one that began it', async () => {
  const message = prepareMessage('shared '.repeat(20_000));
  const extensions = Array.from({ length: 3 }, () => extensionOf('server'));
  const endpoints = extensions.map((extension) => new Endpoint({ role: 'server', extension }));
  const works = endpoints.map((endpoint) => endpoint.sendPrepared(message));
  endpoints[0]!.closed();
  await Promise.all(works);
  expect(endpoints.map((endpoint) => endpoint.pending > 0)).toEqual([false, true, true]);
  for (const endpoint of endpoints.slice(1)) {
    const [frame] = parse(Buffer.concat(endpoint.take()));
    expect(new ReferenceInflater(15).message(frame!.payload).length).toBe(140_000);
  }
});

test('[X-32] a failure of zlib after the end of the connection is dropped, before it is reported', async () => {
  for (const ends of [true, false]) {
    await spied(async (made) => {
      const extension = extensionOf('server', { offloadSize: 0 });
      const endpoint = new Endpoint({ role: 'server', extension });
      const work = endpoint.send(2, content(1, 60_000));
      made[0]!.destroy(new Error('of zlib'));
      if (ends) endpoint.closed();
      const outcome = await work!.then(
        () => 'resolved',
        (error: Error) => error.message,
      );
      expect([outcome, endpoint.pending]).toEqual([ends ? 'resolved' : 'of zlib', 0]);
    });
  }
});

test('[X-32] after close() a decoder reads nothing, fails nothing and calls nothing, whatever it was at', async () => {
  const large = deflateRawSync(content(1, 400_000), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
  const small = deflateRawSync(content(2, 500), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
  for (const turnsBefore of [0, 1, 3]) {
    for (const [payload, last] of [
      [large, true],
      [large, false],
      [small, true],
      [small, false],
      [Buffer.alloc(70_000, 0xff), true],
    ] as const) {
      const { decoder, ...extension } = extensionOf('server');
      let calls = 0;
      decoder.onready = () => calls++;
      decoder.write(payload, last, true);
      if (turnsBefore > 0) {
        try {
          decoder.read(1e9);
        } catch {
          // Broken by intent
        }
        await turns(turnsBefore);
      }
      calls = 0;
      extension.close();
      expect([decoder.read(1e9), decoder.busy]).toEqual([null, false]);
      decoder.write(payload, true, true);
      expect([decoder.read(1e9), decoder.busy]).toEqual([null, false]);
      await turns(20);
      expect(calls).toBe(0);
    }
  }
});

describe('[X-30] a broadcast', () => {
  const keyless = (role: Role, options: PermessageDeflateOptions): Extension => {
    const { encoder, ...extension } = extensionOf(role, options);
    return {
      ...extension,
      encoder: { wants: (size) => encoder.wants(size), encode: (data, last) => encoder.encode(data, last) },
    };
  };

  test('is compressed once for all connections with the same window, and its UTF-8 is made once', async () => {
    for (const text of ['broadcast '.repeat(20), 'broadcast '.repeat(500), 'bröadcast '.repeat(50_000)]) {
      const message = prepareMessage(text);
      const frames: Buffer[] = [];
      const kinds: PermessageDeflateOptions[] = [{}, { serverNoContextTakeover: true }, { threshold: 0 }];
      for (let i = 0; i < 9; i++) {
        const extension = extensionOf('server', kinds[i % 3]);
        const endpoint = new Endpoint({ role: 'server', extension });
        await endpoint.sendPrepared(message);
        frames.push(endpoint.take()[0]!);
      }
      expect(new Set(frames).size).toBe(1);
      const { payload } = parse(frames[0]!)[0]!;
      expect(new ReferenceInflater(15).message(payload).equals(Buffer.from(text))).toBe(true);
      expect(message.bytes.equals(Buffer.from(text))).toBe(true);
      expect(message.bytes).toBe(message.bytes);
    }
  });

  test('is compressed for each window and level apart', () => {
    const message = prepareMessage('broadcast '.repeat(100));
    const frames = [{}, { serverMaxWindowBits: 10 }, { level: 6 }, { memLevel: 9 }].map((options) => {
      const endpoint = new Endpoint({ role: 'server', extension: extensionOf('server', options) });
      endpoint.sendPrepared(message);
      return endpoint.take()[0]!;
    });
    expect(new Set(frames).size).toBe(4);
  });

  test.each(shapes)(
    'among any other messages leaves each window as its peer has it: %j',
    async (options) => {
      const bits = options.serverMaxWindowBits ?? 15;
      const step = fc.record({
        seed: fc.nat(6),
        size: fc.oneof(fc.nat(300), fc.constantFrom(1024, 1025, 2048, 3000, 40_000)),
        way: fc.constantFrom('send', 'broadcast', 'plain broadcast', 'writer', 'text'),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
          // Each connection has sent something else before, and one has no key to share by
          const ends = Array.from({ length: 3 }, (_, i) => {
            const extension = i === 2 ? keyless('server', options) : extensionOf('server', options);
            const endpoint = new Endpoint({ role: 'server', extension });
            const reference = new ReferenceInflater(bits, options.serverNoContextTakeover !== true);
            return { endpoint, reference, expected: [] as Buffer[] };
          });
          for (const [i, { endpoint, expected }] of ends.entries()) {
            expected.push(content(i, 700 * i));
            await endpoint.send(2, expected[0]!);
          }
          for (const { seed, size, way } of steps) {
            const data = content(seed, size);
            const message = prepareMessage(way === 'text' ? data.toString('latin1') : data);
            await Promise.all(
              ends.map(async ({ endpoint, expected }, i) => {
                if (way === 'send') {
                  expected.push(content(seed + i, size));
                  await endpoint.send(2, expected.at(-1)!);
                } else if (way === 'writer') {
                  expected.push(data);
                  await endpoint.send(2, data.subarray(0, size >> 1), false);
                  await endpoint.send(2, data.subarray(size >> 1), true);
                } else {
                  expected.push(Buffer.from(message.data));
                  await endpoint.sendPrepared(message, way !== 'plain broadcast');
                }
              }),
            );
          }
          for (const { endpoint, reference, expected } of ends) {
            const got: Buffer[] = [];
            let parts: Buffer[] = [];
            let encoded = false;
            for (const { opcode, fin, rsv, payload } of parse(output(endpoint))) {
              if (opcode !== 0) encoded = rsv !== 0;
              parts.push(payload);
              if (!fin) continue;
              const whole = Buffer.concat(parts);
              got.push(encoded ? reference.message(whole) : whole);
              parts = [];
            }
            expect(got.length).toBe(expected.length);
            expect(got.every((data, i) => data.equals(expected[i]!))).toBe(true);
          }
        }),
        { numRuns: 12 },
      );
    },
    60_000,
  );

  test('of data that changes after the first send is the same, and remembered the same, for all', async () => {
    for (const size of [500, 5000, 60_000]) {
      const data = content(1, size);
      const before = Buffer.from(data);
      const message = prepareMessage(data);
      const ends = Array.from({ length: 3 }, () => ({
        endpoint: new Endpoint({ role: 'server', extension: extensionOf('server') }),
        reference: new ReferenceInflater(15),
      }));
      const works = ends.map(({ endpoint }) => {
        const work = endpoint.sendPrepared(message);
        // Later messages would refer to it
        data.set(content(2, size));
        return work;
      });
      await Promise.all(works);
      for (const { endpoint, reference } of ends) {
        await endpoint.send(2, before);
        await endpoint.send(2, content(2, size));
        const got = parse(output(endpoint)).map(({ payload }) => reference.message(payload));
        expect(got.slice(0, 2).map((one) => one.equals(before))).toEqual([true, true]);
        expect(got[2]!.equals(content(2, size))).toBe(true);
      }
    }
  });

  test('that fails in the thread pool fails for each connection, and the next one is compressed again', async () => {
    await spied(async (made) => {
      const message = prepareMessage('x'.repeat(100_000));
      const ends = Array.from({ length: 3 }, () => {
        const extension = extensionOf('server');
        return {
          endpoint: new Endpoint({ role: 'server', extension }),
          reference: new ReferenceInflater(15),
        };
      });
      const works = ends.map(({ endpoint }) => endpoint.sendPrepared(message)!);
      made[0]!.destroy(new Error('of zlib'));
      const outcomes = await Promise.allSettled(works);
      expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
      for (const { endpoint, reference } of ends) {
        expect(endpoint.pending).toBe(0);
        await endpoint.sendPrepared(message);
        const frames = parse(output(endpoint));
        expect(reference.message(frames[0]!.payload).length).toBe(100_000);
      }
      expect(made.length).toBe(2);
    });
  });

  test('of 1 MB of text to 2,000 connections takes the time of one', async () => {
    const text = 'tick: {"price": 12345, "symbol": "SLUICE"} ö '.repeat(23_000);
    const endpoints = Array.from({ length: 2000 }, () => {
      return new Endpoint({ role: 'server', extension: extensionOf('server') });
    });
    globalThis.gc!();
    const before = process.memoryUsage().arrayBuffers;
    const began = performance.now();
    const message = prepareMessage(text);
    const works = endpoints.map((endpoint) => endpoint.sendPrepared(message));
    const held = process.memoryUsage().arrayBuffers - before;
    // Before: 3 seconds, then 14, and 1.9 GiB
    expect(performance.now() - began).toBeLessThan(1500);
    expect(held).toBeLessThan(16 * 1024 * 1024);
    await Promise.all(works);
    expect(performance.now() - began).toBeLessThan(7000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 1024 * 1024);
    expect(new Set(endpoints.map((endpoint) => endpoint.take()[0]!.buffer)).size).toBe(1);
    for (const endpoint of endpoints) endpoint.closed();
  });
});

describe('[X-33] a buffer changed while it is compressed in the thread pool', () => {
  test.each(shapes)(
    'leaves every later message right: %j',
    async (options) => {
      const bits = options.serverMaxWindowBits ?? 15;
      for (const size of [1025, 2047, 2048, 2049, 36_863, 36_864, 36_865, 200_000]) {
        for (const when of ['at once', 'in a later turn']) {
          const { encoder, close } = extensionOf('server', { ...options, offloadSize: 0 });
          const reference = new ReferenceInflater(bits, options.serverNoContextTakeover !== true);
          const first = content(1, 900);
          expect(reference.message(Buffer.from(await encoder.encode(first, true))).equals(first)).toBe(true);
          const data = content(2, size);
          const work = encoder.encode(data, true);
          if (when !== 'at once') await turns(1);
          data.set(content(4, size));
          // Whatever the peer got of it
          expect(reference.message(Buffer.from(await work)).length).toBe(size);
          for (const [seed, length] of [
            [2, 600],
            [4, 1000],
            [2, 3000],
            [4, size],
            [1, 50],
          ] as const) {
            const later = content(seed, length);
            const payload = Buffer.from(await encoder.encode(later, true));
            expect(reference.message(payload).equals(later), `${size} ${when} ${seed}`).toBe(true);
          }
          close();
        }
      }
    },
    60_000,
  );

  test('by another thread, at once or in the pool, leaves every later message right', async () => {
    // Memory shared between threads is copied before it is compressed: here the copy is what is looked at
    const { encoder } = extensionOf('server');
    const reference = new ReferenceInflater(15);
    const shared = new Uint8Array(new SharedArrayBuffer(5000));
    shared.set(content(1, 5000));
    const copy = vi.spyOn(zlib, 'deflateRawSync');
    syncBuiltinESMExports();
    const payload = Buffer.from(await encoder.encode(shared, true));
    expect(copy.mock.calls.map(([data]) => (data as Uint8Array).buffer instanceof ArrayBuffer)).toEqual([
      true,
    ]);
    copy.mockRestore();
    syncBuiltinESMExports();
    expect(reference.message(payload).equals(content(1, 5000))).toBe(true);
  });
});

describe('[X-13] thousands of final blocks', () => {
  const final = Buffer.from([3, 0]);
  const outcome = (payload: Buffer, parts = 1): Promise<[outcome: unknown, milliseconds: number]> => {
    const extension = extensionOf('server');
    const endpoint = new Endpoint({ role: 'server', extension });
    const began = process.cpuUsage();
    return new Promise((resolve) => {
      const give = (value: unknown): void => {
        const { user, system } = process.cpuUsage(began);
        endpoint.closed();
        resolve([value, (user + system) / 1000]);
      };
      const chunks = Array.from({ length: parts }, (_, i) =>
        frameTo(
          'server',
          i === 0 ? 2 : 0,
          payload.subarray((payload.length * i) / parts, (payload.length * (i + 1)) / parts),
          { rsv: i === 0 ? 0x40 : 0, fin: i === parts - 1 },
        ),
      );
      endpoint.push(Buffer.concat(chunks));
      let size = 0;
      const pull = (): void => {
        try {
          for (let event = endpoint.next(); event !== 0; event = endpoint.next()) {
            if (event !== 1) return;
            size += endpoint.end - endpoint.start;
            if (endpoint.last) give(size);
          }
        } catch (error) {
          give((error as { closeCode: number }).closeCode);
        }
      };
      extension.decoder.onready = pull;
      pull();
    });
  };

  test.each([1, 7, 1000])('take CPU in proportion to their bytes, in %i fragments', async (parts) => {
    for (const [bytes, expected] of [
      [1024, 0],
      [8190, 0],
      [16 * 1024, 1007],
      [64 * 1024, 1007],
      [1024 * 1024, 1007],
    ] as const) {
      const payload = Buffer.concat([Buffer.alloc(bytes, final), Buffer.from([0])]);
      const [value, milliseconds] = await outcome(payload, parts);
      expect([bytes, value]).toEqual([bytes, expected]);
      // Before: 800 ms for 64 KiB
      expect(milliseconds).toBeLessThan(300);
    }
  });

  test('are refused as well where zlib has to read them, and where they follow much data', async () => {
    const many = Buffer.concat([Buffer.alloc(20_000, final), Buffer.from([0])]);
    for (const front of [deflateRawSync(content(1, 300_000)), deflateRawSync(Buffer.alloc(200_000))]) {
      expect((await outcome(Buffer.concat([front, many])))[0]).toBe(1007);
    }
  });

  test('of a size that pays for them are read', async () => {
    const data = Array.from({ length: 40 }, (_, i) => content(3 * i, 5000));
    const payload = Buffer.concat([...data.map((part) => deflateRawSync(part)), Buffer.from([0])]);
    for (const parts of [1, 13]) expect((await outcome(payload, parts))[0]).toBe(40 * 5000);
  });

  test('with codes that are not complete, which zlib allows where one symbol or none is used, are read', async () => {
    let bits = '';
    const number = (value: number, size: number): void => {
      for (let i = 0; i < size; i++) bits += (value >> i) & 1;
    };
    // A last block, dynamic; 257 literals, 1 distance, 18 code lengths: 1 bit for symbol 18, 2 for 0 and for 1
    for (const [value, size] of [
      [1, 1],
      [2, 2],
      [0, 5],
      [0, 5],
      [14, 4],
    ] as const)
      number(value, size);
    for (let i = 0; i < 18; i++) number(i === 2 ? 1 : i === 3 || i === 17 ? 2 : 0, 3);
    // 138 and 118 times no code, one bit for the end of the block, no distance; the end of the block
    bits += '0';
    number(138 - 11, 7);
    bits += '0';
    number(118 - 11, 7);
    bits += '11';
    bits += '10';
    bits += '0';
    const block = Buffer.from(
      Array.from({ length: Math.ceil(bits.length / 8) }, (_, i) =>
        Number.parseInt(
          bits
            .slice(8 * i, 8 * i + 8)
            .padEnd(8, '0')
            .split('')
            .reverse()
            .join(''),
          2,
        ),
      ),
    );
    expect(inflateRawSync(block).length).toBe(0);
    const payload = Buffer.concat([Buffer.alloc(block.length * 500, block), Buffer.from([0])]);
    const [value, milliseconds] = await outcome(payload);
    expect(value).toBe(0);
    expect(milliseconds).toBeLessThan(150);
  });
});

test('the memory that connections share is made with the first message', async () => {
  vi.resetModules();
  const spy = vi.spyOn(Buffer, 'alloc');
  const allocated = (): number => spy.mock.calls.reduce((sum, [size]) => sum + size, 0);
  const { permessageDeflate: fresh } = await import('../../src/extensions/permessage-deflate/index.js');
  expect(allocated()).toBeLessThan(1024);
  const { extension } = fresh().accept([])!;
  extension.encoder.encode(content(1, 300), true);
  extension.decoder.write(Buffer.from('f248cdc9c90700', 'hex'), true, true);
  expect(String(extension.decoder.read(100))).toBe('Hello');
  expect(allocated()).toBeGreaterThan(40 * 1024);
  spy.mockRestore();
});

test('what a connection keeps is only as large as what it has seen', () => {
  const data = content(1, 300);
  const payload = deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
  const before = process.memoryUsage().arrayBuffers;
  const kept = Array.from({ length: 100 }, () => {
    const { server } = negotiate();
    server.encoder.encode(data, true);
    server.decoder.write(payload, true, true);
    expect(server.decoder.read(1000)?.length).toBe(300);
    return server;
  });
  expect((process.memoryUsage().arrayBuffers - before) / kept.length).toBeLessThan(8 * 1024);
  for (const extension of kept) extension.close();
});

/** Each mebibyte by itself, in blocks that end at a byte. */
function zeros(mebibytes: number): Buffer {
  const one = deflateRawSync(Buffer.alloc(1024 * 1024), { level: 9, finishFlush: constants.Z_SYNC_FLUSH });
  return Buffer.alloc(mebibytes * one.length, one).subarray(0, -4);
}

function send(peer: RawPeer, payload: Buffer): void {
  peer.socket.write(frameTo(peer.role, 2, payload, { rsv: 0x40 }));
}
