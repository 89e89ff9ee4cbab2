/**
 * Compresses a small message into one block, RFC 1951: LZ77 against what lies in front of it in the same buffer,
 * and the fixed Huffman code (§3.2.6). For some hundred bytes this takes less time than a zlib context takes to set up,
 * and a Huffman code made for them would be larger than what it saves.
 */
import {
  distanceBase,
  distanceExtra,
  END_OF_BLOCK,
  fixedLength,
  LONGEST_MATCH,
  lengthBase,
  lengthExtra,
  reverse,
} from './codes.js';

/** Bits of the index into a {@link MatchTable}. */
const HASH_BITS = 11;

/** The last place of each hash of four bytes, plus one; of one window. */
export type MatchTable = Uint16Array;

/** A table without an entry. */
export function makeMatchTable(): MatchTable {
  return new Uint16Array(1 << HASH_BITS);
}

/** Moves all places back by `distance`; those in front of the buffer are forgotten. */
export function shiftMatches(table: MatchTable, distance: number): void {
  for (let i = 0; i < table.length; i++) table[i] = Math.max(0, table[i]! - distance);
}

/** Of each literal and end of block: the code, reversed, and its bits above bit 16. */
const literals = new Uint32Array(257);
/** Of each length: the code with its extra bits, and the bits of both above bit 16. */
const lengths = new Uint32Array(LONGEST_MATCH + 1);
/** Of each distance up to 256, and of each 128th behind: the symbol. */
const distanceSymbols = new Uint8Array(512);
const distanceCodes = new Uint8Array(30);

/** Room for the worst case: nine bits a byte. */
let output = Buffer.alloc(4096);

/**
 * Compresses `buffer[start, end)`; matches reach back `window` bytes at most. The block is followed by the three header
 * bits of an empty one, so that the 4 bytes 00 00 FF FF that RFC 7692 §7.2.1 removes would complete it.
 *
 * @returns a view that is valid until the next call
 */
export function deflateBlock(
  buffer: Buffer,
  start: number,
  end: number,
  table: MatchTable,
  window: number,
): Buffer {
  const needed = (((end - start) * 9) >> 3) + 16;
  if (output.length < needed) output = Buffer.alloc(needed * 2);
  const out = output;
  const limit = end - 4;
  let size = 0;
  // BFINAL 0, BTYPE 01
  let bits = 0b010;
  let count = 3;
  let i = start;
  while (i < end) {
    let length = 0;
    let distance = 0;
    if (i <= limit) {
      const word = buffer[i]! | (buffer[i + 1]! << 8) | (buffer[i + 2]! << 16) | (buffer[i + 3]! << 24);
      const slot = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
      const place = table[slot]! - 1;
      table[slot] = i + 1;
      distance = i - place;
      if (
        place >= 0 &&
        distance <= window &&
        buffer[place] === buffer[i] &&
        buffer[place + 1] === buffer[i + 1] &&
        buffer[place + 2] === buffer[i + 2] &&
        buffer[place + 3] === buffer[i + 3]
      ) {
        const most = Math.min(LONGEST_MATCH, end - i);
        length = 4;
        while (length < most && buffer[place + length] === buffer[i + length]) length++;
      }
    }
    if (length === 0) {
      const code = literals[buffer[i]!]!;
      bits |= (code & 0xffff) << count;
      count += code >>> 16;
      i++;
    } else {
      const code = lengths[length]!;
      bits |= (code & 0xffff) << count;
      count += code >>> 16;
      while (count >= 8) {
        out[size++] = bits;
        bits >>>= 8;
        count -= 8;
      }
      const symbol =
        distance <= 256 ? distanceSymbols[distance - 1]! : distanceSymbols[256 + ((distance - 1) >>> 7)]!;
      bits |= distanceCodes[symbol]! << count;
      count += 5;
      bits |= (distance - distanceBase[symbol]!) << count;
      count += distanceExtra[symbol]!;
      // What a match covers is worth finding again: its middle and its end stand for it
      const stop = Math.min(i + length, limit + 1);
      for (let j = i + 1; j < stop; j += 2) {
        const word = buffer[j]! | (buffer[j + 1]! << 8) | (buffer[j + 2]! << 16) | (buffer[j + 3]! << 24);
        table[Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS)] = j + 1;
      }
      i += length;
    }
    while (count >= 8) {
      out[size++] = bits;
      bits >>>= 8;
      count -= 8;
    }
  }
  const code = literals[END_OF_BLOCK]!;
  bits |= (code & 0xffff) << count;
  // And the header of the empty block: BFINAL 0, BTYPE 00
  count += (code >>> 16) + 3;
  for (; count > 0; count -= 8) {
    out[size++] = bits;
    bits >>>= 8;
  }
  return out.subarray(0, size);
}

function fillTables(): void {
  // §3.2.6: 00110000-10111111, 110010000-111111111, 0000000-0010111, 11000000-11000111
  const codeOf = (symbol: number): number =>
    symbol < 144
      ? 0x30 + symbol
      : symbol < 256
        ? 0x190 + symbol - 144
        : symbol < 280
          ? symbol - 256
          : 0xc0 + symbol - 280;
  const packed = (symbol: number): number => reverse(codeOf(symbol), fixedLength(symbol));
  for (let symbol = 0; symbol <= END_OF_BLOCK; symbol++) {
    literals[symbol] = packed(symbol) | (fixedLength(symbol) << 16);
  }
  for (let i = 0; i < 29; i++) {
    const bits = fixedLength(257 + i);
    const next = i === 28 ? LONGEST_MATCH + 1 : lengthBase[i + 1]!;
    for (let length = lengthBase[i]!; length < next; length++) {
      const extra = length - lengthBase[i]!;
      lengths[length] = packed(257 + i) | (extra << bits) | ((bits + lengthExtra[i]!) << 16);
    }
  }
  for (let symbol = 0; symbol < 30; symbol++) {
    distanceCodes[symbol] = reverse(symbol, 5);
    const next = symbol === 29 ? 32769 : distanceBase[symbol + 1]!;
    for (let distance = distanceBase[symbol]!; distance < next; distance++) {
      if (distance <= 256) distanceSymbols[distance - 1] = symbol;
      else distanceSymbols[256 + ((distance - 1) >>> 7)] = symbol;
    }
  }
}

fillTables();
