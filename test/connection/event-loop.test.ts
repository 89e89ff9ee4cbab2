/**
 * However hostile its input, one peer never holds the event loop for more than 20 ms: longer work is done in turns.
 *
 * Time alone is not enough: 16 MiB of one letter are inflated in less than 20 ms. So what is inflated between two
 * turns of the event loop is counted too, in bytes. A large message is inflated by the thread pool, 64 KiB a turn.
 */
import { Duplex } from 'node:stream';
import { constants, deflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { WebSocketConnection } from '../../src/index.js';
import type { Extension, Role } from '../../src/protocol.js';
import { extensionOf } from '../fuzz/targets/endpoint.js';
import { frameTo, roles } from '../support/frames.js';
import { longestStall, MAX_STALL, shortestOf } from '../support/stalls.js';
import { asSocket, leftovers, open } from '../support/wire.js';

afterEach(async () => {
  expect(await leftovers()).toBe(0);
});

/** A quarter of the largest message; small messages, half a millisecond of them a turn, come to 0.6 MiB. */
const MAX_INFLATED = 4 * 1024 * 1024;

/** Bytes inflated since the event loop turned last. */
const turn = vi.hoisted(() => ({ inflated: 0 }));

vi.mock('node:zlib', async (load) => {
  const zlib = await load<typeof import('node:zlib')>();
  return {
    ...zlib,
    inflateRawSync(...args: Parameters<typeof zlib.inflateRawSync>): Buffer {
      try {
        return zlib.inflateRawSync(...args);
      } catch (error) {
        // This much was inflated, and is lost
        if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
          turn.inflated += args[1]?.maxOutputLength ?? 0;
        throw error;
      }
    },
  };
});

/** permessage-deflate whose decoder counts what it inflates. */
function countingExtension(role: Role): Extension {
  const extension = extensionOf(role);
  const { decoder } = extension;
  const read = decoder.read.bind(decoder);
  decoder.read = (max): Buffer | null => {
    const data = read(max);
    turn.inflated += data?.length ?? 0;
    return data;
  };
  return extension;
}

/** A connection whose peer has sent all of its bytes at once, and takes all that is sent to it. */
class Flood extends Duplex {
  constructor(bytes: Buffer) {
    super();
    this.push(bytes);
  }
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, callback: () => void): void {
    callback();
  }
}
asSocket(Flood.prototype);

/** The longest turn of the event loop until the connection is closed, the most inflated in one, the close code. */
async function longestTurn(
  ws: WebSocketConnection,
): Promise<{ milliseconds: number; inflated: number; code: number }> {
  let inflated = 0;
  turn.inflated = 0;
  const milliseconds = await longestStall(
    () => ws.closed,
    () => {
      inflated = Math.max(inflated, turn.inflated);
      turn.inflated = 0;
    },
  );
  return { milliseconds, inflated, code: (await ws.closed).code };
}

/** Without a time slice they take more than 50 ms. */
const MANY = 200_000;
const MIB = 2 ** 20;
const repeat = (frame: Buffer, times: number): Buffer => Buffer.alloc(frame.length * times, frame);
const deflated = (data: Buffer): Buffer =>
  deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);

/** What comes of it does not matter here, but how long it takes. */
const inputs: readonly (readonly [name: string, make: (role: Role) => Buffer])[] = [
  ['many empty messages', (role) => repeat(frameTo(role, 2), MANY)],
  ['many Pings', (role) => repeat(frameTo(role, 9, 'x'), MANY)],
  ['many Pongs', (role) => repeat(frameTo(role, 10), MANY)],
  [
    'a message of many fragments',
    (role) =>
      Buffer.concat([
        frameTo(role, 2, '', { fin: false }),
        repeat(frameTo(role, 0, 'x', { fin: false }), MANY),
      ]),
  ],
  ['the largest binary message', (role) => frameTo(role, 2, Buffer.alloc(16 * MIB, 'x'))],
  ['the largest message of ASCII', (role) => frameTo(role, 1, Buffer.alloc(16 * MIB, 'x'))],
  ['the largest message of other text', (role) => frameTo(role, 1, Buffer.alloc(16 * MIB, '😀é'))],
  ['many large messages', (role) => repeat(frameTo(role, 1, Buffer.alloc(MIB, 'é')), 32)],
];
const largestBinary = deflated(Buffer.alloc(16 * MIB, 'x'));
const largestText = deflated(Buffer.alloc(16 * MIB, '😀é'));
const bomb = deflated(Buffer.alloc(64 * MIB, 'x'));
const compressed: typeof inputs = [
  ['the largest compressed message', (role) => frameTo(role, 2, largestBinary, { rsv: 0x40 })],
  ['the largest compressed text', (role) => frameTo(role, 1, largestText, { rsv: 0x40 })],
  ['a bomb', (role) => frameTo(role, 2, bomb, { rsv: 0x40 })],
  [
    'compressed messages of 32 KiB',
    (role) =>
      repeat(frameTo(role, 1, deflated(Buffer.alloc(32_000, '{"id":1,"name":"é"}')), { rsv: 0x40 }), 2000),
  ],
  [
    'a hundred thousand compressed messages',
    (role) => repeat(frameTo(role, 1, deflated(Buffer.from('hello')), { rsv: 0x40 }), 100_000),
  ],
];

const all = [
  ...inputs.map(([name, make]) => ({ name, make, compresses: false })),
  ...compressed.map(([name, make]) => ({ name, make, compresses: true })),
];

/** Ways to take messages. */
const consumers: Readonly<Record<string, (ws: WebSocketConnection) => unknown>> = {
  'whole messages': (ws) => ws.on('message', () => {}),
  'text and bytes': async (ws) => {
    for await (const message of ws) await (message.type === 'text' ? message.text() : message.bytes());
  },
  chunks: async (ws) => {
    for await (const message of ws) for await (const _ of message);
  },
};

describe.each(roles)('a %s', (role) => {
  describe.each(Object.entries(consumers))('that takes %s', (taken, consume) => {
    test.each(all)('of $name', async ({ name, make, compresses }) => {
      const bytes = Buffer.concat([make(role), frameTo(role, 8, Buffer.from('03e8', 'hex'))]);
      const tooLarge = name === 'a bomb' && taken !== 'chunks';
      const stall = await shortestOf(async () => {
        const ws = open(new Flood(Buffer.from(bytes)), role, {
          options: { closeTimeout: 10 },
          ...(compresses && { extension: () => countingExtension(role) }),
        });
        ws.on('error', () => {});
        Promise.resolve(consume(ws)).catch(() => {});
        const { milliseconds, inflated, code } = await longestTurn(ws);
        expect(code).toBe(tooLarge ? 1006 : 1000);
        expect(inflated).toBeLessThan(MAX_INFLATED);
        return milliseconds;
      });
      expect(stall).toBeLessThan(MAX_STALL);
    });
  });
});
