/**
 * However hostile its input, one peer never holds the event loop for more than 20 ms: what takes longer is done in
 * turns. The shortest of some tries counts, as what is measured is time, on a machine that does other things.
 */
import { Duplex } from 'node:stream';
import { constants, deflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { WebSocketConnection } from '../../src/index.js';
import type { Role } from '../../src/protocol.js';
import { extensionOf } from '../fuzz/targets/endpoint.js';
import { frameTo, roles } from '../support/frames.js';
import { leftovers, open } from '../support/wire.js';

afterEach(async () => {
  expect(await leftovers()).toBe(0);
});

const MOST_MILLISECONDS = 20;
const TRIES = 10;

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

/** The longest time between two turns of the event loop until the connection is closed, and by which code it is. */
async function longestHold(ws: WebSocketConnection): Promise<{ longest: number; code: number }> {
  let longest = 0;
  let last = performance.now();
  let going = true;
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (going) setImmediate(look);
  };
  setImmediate(look);
  const { code } = await ws.closed;
  going = false;
  return { longest, code };
}

const MILLION = 1_000_000;
const MIB = 2 ** 20;
const repeat = (frame: Buffer, times: number): Buffer => Buffer.alloc(frame.length * times, frame);
const deflated = (data: Buffer): Buffer =>
  deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);

/** What comes of it does not matter here, but how long it takes. */
const inputs: readonly (readonly [name: string, make: (role: Role) => Buffer])[] = [
  ['a million empty messages', (role) => repeat(frameTo(role, 2), MILLION)],
  ['a million Pings', (role) => repeat(frameTo(role, 9, 'x'), MILLION)],
  ['a million Pongs', (role) => repeat(frameTo(role, 10), MILLION)],
  [
    'a message of a million fragments',
    (role) =>
      Buffer.concat([
        frameTo(role, 2, '', { fin: false }),
        repeat(frameTo(role, 0, 'x', { fin: false }), MILLION),
      ]),
  ],
  ['the largest binary message', (role) => frameTo(role, 2, Buffer.alloc(16 * MIB, 'x'))],
  ['the largest message of ASCII', (role) => frameTo(role, 1, Buffer.alloc(16 * MIB, 'x'))],
  ['the largest message of other text', (role) => frameTo(role, 1, Buffer.alloc(16 * MIB, '😀é'))],
  ['many large messages', (role) => repeat(frameTo(role, 1, Buffer.alloc(MIB, 'é')), 32)],
];
const compressed: typeof inputs = [
  [
    'the largest compressed message',
    (role) => frameTo(role, 2, deflated(Buffer.alloc(16 * MIB, 'x')), { rsv: 0x40 }),
  ],
  [
    'the largest compressed text',
    (role) => frameTo(role, 1, deflated(Buffer.alloc(16 * MIB, '😀é')), { rsv: 0x40 }),
  ],
  ['a bomb', (role) => frameTo(role, 2, deflated(Buffer.alloc(64 * MIB, 'x')), { rsv: 0x40 })],
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
      const bomb = name === 'a bomb' && taken !== 'chunks';
      let least = Number.POSITIVE_INFINITY;
      for (let i = 0; i < TRIES && least > MOST_MILLISECONDS; i++) {
        const ws = open(new Flood(Buffer.from(bytes)), role, {
          options: { closeTimeout: 10 },
          ...(compresses && { extension: () => extensionOf(role) }),
        });
        ws.on('error', () => {});
        Promise.resolve(consume(ws)).catch(() => {});
        const { longest, code } = await longestHold(ws);
        expect(code).toBe(bomb ? 1006 : 1000);
        least = Math.min(least, longest);
      }
      expect(least).toBeLessThan(MOST_MILLISECONDS);
    });
  });
});
