/** Changes to bytes that know nothing of what the bytes mean. */
import { Random } from './random.js';

const interesting = [0x00, 0x01, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x88, 0xc1, 0xf4, 0xfe, 0xff];

/** A copy with one change; `other` is what a splice takes its end from. */
function mutateOnce(random: Random, bytes: Buffer, other: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const size = random.between(1, random.pick([1, 4, 32]));
  const splice = (middle: Buffer, from: number): Buffer =>
    Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(from)]);
  const copy = Buffer.from(bytes);
  switch (random.below(8)) {
    case 0: // Flip a bit
      if (at < copy.length) copy[at]! ^= 1 << random.below(8);
      return copy;
    case 1: // Set a byte
      if (at < copy.length) copy[at] = random.pick(interesting);
      return copy;
    case 2: // Set some bytes
      return copy.fill(random.word(), at, Math.min(copy.length, at + size));
    case 3: // Cut some out
      return splice(Buffer.alloc(0), at + size);
    case 4: // Insert
      return splice(random.bytes(size), at);
    case 5: // Duplicate
      return splice(bytes.subarray(Math.max(0, at - size), at), at);
    case 6: // Cut the end off
      return copy.subarray(0, at);
    default: // Splice
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
  }
}

/** A copy of bytes with one change or a few. */
export function mutate(random: Random, bytes: Buffer, other: Buffer = bytes): Buffer {
  let mutated = bytes;
  for (let left = random.pick([1, 1, 1, 2, 3, 8]); left > 0; left--) {
    mutated = mutateOnce(random, mutated, other);
  }
  return mutated;
}

/** Cuts bytes into chunks, by a number below 256: 0 whole, 1 byte by byte, others at random; `count` chunks at most. */
export function chunksOf(bytes: Buffer, how: number, count: number = Number.POSITIVE_INFINITY): Buffer[] {
  if (how === 0) return [Buffer.from(bytes)];
  const random = new Random('chunks', how);
  const most = how === 1 ? 1 : random.pick([2, 5, 20, 150, 5000, 70_000]);
  const gap = how === 1 ? 0 : random.below(8);
  const sizes: number[] = [];
  for (let left = bytes.length; left > 0; left -= sizes.at(-1)!) {
    sizes.push(sizes.length + 1 === count ? left : Math.min(left, how === 1 ? 1 : random.below(most + 1)));
  }
  // Chunks lie apart from each other in one buffer, so that no alignment is given
  const buffer = Buffer.alloc(bytes.length + gap * sizes.length);
  let at = 0;
  return sizes.map((size, i) => {
    const start = at + gap * i;
    bytes.copy(buffer, start, at, at + size);
    at += size;
    return buffer.subarray(start, start + size);
  });
}
