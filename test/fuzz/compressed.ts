/** Messages to be deflated, and payloads to be inflated: as zlib makes them, joined, written by hand, and at random. */
import { constants, deflateRawSync, type ZlibOptions } from 'node:zlib';
import type { Random } from './random.js';

const sizes = [0, 1, 2, 3, 10, 40, 100, 250, 260, 300, 600, 1500, 2040, 2050, 4200];
const largeSizes = [8200, 17_000, 40_000, 65_000];

/** Data that repeats itself and what was before, more or less. */
function plain(random: Random, before: Buffer, size: number): Buffer {
  if (random.oneIn(6)) return random.bytes(size);
  const words = random.times(random.between(1, 12), () => random.bytes(random.between(1, 12)));
  if (before.length > 0) {
    const from = random.below(before.length);
    words.push(before.subarray(from, from + random.below(300)));
  }
  const parts: Buffer[] = [];
  for (let length = 0; length < size; length += parts.at(-1)!.length) parts.push(random.pick(words));
  return Buffer.concat(parts).subarray(0, size);
}

/** Messages as an application sends them. */
export function plainMessages(random: Random): Buffer[] {
  let before: Buffer = Buffer.alloc(0);
  return random.times(random.between(1, 6), () => {
    const size = random.pick(random.oneIn(40) ? largeSizes : sizes);
    before = plain(random, before, random.oneIn(4) ? random.below(size + 1) : size);
    return before;
  });
}

const strategies = [
  constants.Z_DEFAULT_STRATEGY,
  constants.Z_FILTERED,
  constants.Z_HUFFMAN_ONLY,
  constants.Z_RLE,
  constants.Z_FIXED,
];

/** How zlib is to deflate: the least memory, as most of its time goes into setting it up. */
function zlibOptions(random: Random, bits: number, dictionary: Buffer): ZlibOptions {
  return {
    level: random.pick([0, 1, 4, 6, 9]),
    memLevel: random.pick([1, 2]),
    strategy: random.pick(strategies),
    windowBits: Math.max(9, random.oneIn(10) ? 15 : bits),
    finishFlush: constants.Z_SYNC_FLUSH,
    ...(dictionary.length > 0 && { dictionary }),
  };
}

/** Payloads of one peer after another message (RFC 7692 §7.2.1), most of them valid. */
export function payloads(random: Random, bits: number, takeover: boolean): Buffer[] {
  let window: Buffer = Buffer.alloc(0);
  const deflate = (data: Buffer, options: ZlibOptions = {}): Buffer => {
    const deflated = deflateRawSync(data, { ...zlibOptions(random, bits, window), ...options });
    window = Buffer.concat([window, data]).subarray(-(2 ** bits));
    return deflated;
  };
  const data = (): Buffer => plain(random, window, random.pick(random.oneIn(80) ? largeSizes : sizes));
  const payload = (): Buffer => {
    switch (random.below(14)) {
      case 0: // A block marked as the last one (§7.2.3.4)
        return Buffer.concat([deflate(data(), { finishFlush: constants.Z_FINISH }), Buffer.from([0])]);
      case 1: {
        // ... and more behind it, sometimes much
        const first = deflate(data(), { finishFlush: constants.Z_FINISH });
        const more = random.oneIn(8) ? random.bytes(random.between(15_000, 40_000)) : data();
        return Buffer.concat([first, deflate(more).subarray(0, -4)]);
      }
      case 2: // Two flushes in one message (§7.2.3.5)
        return Buffer.concat([deflate(data()), deflate(data()).subarray(0, -4)]);
      case 3:
        return Buffer.concat(random.times(random.below(40), () => stored(random, random.below(4))));
      case 4: {
        const cut = deflate(data());
        return cut.subarray(0, random.below(cut.length + 1));
      }
      case 5: // The same block type, then anything
        return Buffer.concat([
          Buffer.from([random.below(8) | (random.below(32) << 3)]),
          random.bytes(random.below(90)),
        ]);
      case 6:
        return random.bytes(random.below(40));
      case 7: // Much data in few bytes
        return random.oneIn(8)
          ? deflate(Buffer.alloc(random.pick([20_000, 140_000, 600_000]))).subarray(0, -4)
          : empty(random);
      default:
        return deflate(data()).subarray(0, -4);
    }
  };
  return random.times(random.between(1, 5), () => {
    // Now and then it reaches back, though it may not
    if (!takeover && !random.oneIn(10)) window = Buffer.alloc(0);
    return payload();
  });
}

/** A stored block (RFC 1951 §3.2.4); one in some says another length than its complement does. */
function stored(random: Random, length: number): Buffer {
  const header = Buffer.alloc(5);
  header[0] = random.oneIn(20) ? 1 : 0;
  header.writeUInt16LE(length, 1);
  header.writeUInt16LE(length ^ (random.oneIn(60) ? 0xfffe : 0xffff), 3);
  return Buffer.concat([header, random.bytes(length)]);
}

/** Payloads without data (§7.2.3.6). */
function empty(random: Random): Buffer {
  return random.pick([
    Buffer.alloc(0),
    Buffer.from([0x00]),
    Buffer.from([0x02, 0x00]),
    Buffer.from([0x03, 0x00]),
  ]);
}
