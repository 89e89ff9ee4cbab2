/**
 * A small DEFLATE compressor, RFC 1951, in place of zlib's: the output of zlib differs from version to
 * version of Node.js, and with it sizes and times in a simulation. It looks for matches in the dictionary
 * too, so that a wrong window of the receiver shows.
 */
import { constants, type ZlibOptions } from 'node:zlib';

const HASH_BITS = 13;
const MIN_MATCH = 4;
const MAX_MATCH = 258;
/** zlib keeps as many bytes of its window for itself. */
const RESERVED = 262;

/** §3.2.5: the first length, or distance, of each symbol. */
const lengthBase: readonly number[] = bases(28, 8, 4, 3);
const distanceBase: readonly number[] = bases(30, 4, 2, 1);

function bases(count: number, plain: number, perExtra: number, first: number): number[] {
  const base: number[] = [];
  for (let i = 0, next = first; i < count; i++) {
    base.push(next);
    next += 1 << extraBits(i, plain, perExtra);
  }
  return base;
}

/** Extra bits of a symbol: none for the first ones, then one more for every few. */
function extraBits(symbol: number, plain: number, perExtra: number): number {
  return symbol < plain ? 0 : Math.floor(symbol / perExtra) - 1;
}

/** Writes bits, the lowest first. */
class BitWriter {
  #bytes: Buffer;
  #size = 0;
  #bits = 0;
  #count = 0;

  constructor(capacity: number) {
    this.#bytes = Buffer.alloc(capacity);
  }

  put(value: number, count: number): void {
    this.#bits |= value << this.#count;
    this.#count += count;
    for (; this.#count >= 8; this.#count -= 8) {
      this.#bytes[this.#size++] = this.#bits & 255;
      this.#bits >>>= 8;
    }
  }

  /** A Huffman code goes out with its highest bit first. */
  code(value: number, count: number): void {
    let reversed = 0;
    for (let i = 0; i < count; i++) reversed |= ((value >> i) & 1) << (count - 1 - i);
    this.put(reversed, count);
  }

  /** §3.2.6: a symbol of the fixed code for literals and lengths. */
  symbol(symbol: number): void {
    if (symbol < 144) this.code(0x30 + symbol, 8);
    else if (symbol < 256) this.code(0x190 + symbol - 144, 9);
    else if (symbol < 280) this.code(symbol - 256, 7);
    else this.code(0xc0 + symbol - 280, 8);
  }

  align(): void {
    if (this.#count > 0) this.put(0, 8 - this.#count);
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }
}

/** As `zlib.deflateRawSync()`: one block in the fixed code, and an empty one after it for Z_SYNC_FLUSH. */
export function deflate(data: Uint8Array, options: ZlibOptions = {}): Buffer {
  const dictionary = (options.dictionary as Uint8Array | undefined) ?? new Uint8Array(0);
  const all = Buffer.concat([dictionary, data]);
  const reach = (1 << (options.windowBits ?? 15)) - RESERVED;
  const flush = options.finishFlush === constants.Z_SYNC_FLUSH;
  const out = new BitWriter(data.length + (data.length >> 2) + 32);
  const heads = new Int32Array(1 << HASH_BITS).fill(-1);
  out.put(flush ? 0b010 : 0b011, 3);
  for (let i = 0; i + MIN_MATCH <= dictionary.length; i++) heads[hash(all, i)] = i;
  for (let i = dictionary.length; i < all.length; ) {
    const length = match(all, i, heads, reach);
    if (length < MIN_MATCH) {
      out.symbol(all[i]!);
      remember(all, i, heads);
      i++;
      continue;
    }
    const distance = i - heads[hash(all, i)]!;
    putMatch(out, length, distance);
    remember(all, i, heads);
    i += length;
  }
  out.symbol(256);
  if (!flush) {
    out.align();
    return out.bytes;
  }
  out.put(0, 3);
  out.align();
  return Buffer.concat([out.bytes, Buffer.from([0, 0, 255, 255])]);
}

function hash(bytes: Buffer, at: number): number {
  return Math.imul(bytes.readInt32LE(at), 0x9e3779b1) >>> (32 - HASH_BITS);
}

function remember(bytes: Buffer, at: number, heads: Int32Array): void {
  if (at + MIN_MATCH <= bytes.length) heads[hash(bytes, at)] = at;
}

/** How many bytes are the same as at the last place with this hash; 0 when that is out of reach. */
function match(bytes: Buffer, at: number, heads: Int32Array, reach: number): number {
  if (at + MIN_MATCH > bytes.length) return 0;
  const earlier = heads[hash(bytes, at)]!;
  if (earlier < 0 || at - earlier > reach) return 0;
  const most = Math.min(MAX_MATCH - 1, bytes.length - at);
  let length = 0;
  while (length < most && bytes[earlier + length] === bytes[at + length]) length++;
  return length;
}

function putMatch(out: BitWriter, length: number, distance: number): void {
  const l = lastAtMost(lengthBase, length);
  out.symbol(257 + l);
  out.put(length - lengthBase[l]!, extraBits(l, 8, 4));
  const d = lastAtMost(distanceBase, distance);
  out.code(d, 5);
  out.put(distance - distanceBase[d]!, extraBits(d, 4, 2));
}

function lastAtMost(values: readonly number[], value: number): number {
  let index = values.length - 1;
  while (values[index]! > value) index--;
  return index;
}
