/**
 * Compresses a small message into one block, RFC 1951: LZ77 against what lies in front of it in the same
 * buffer, and the fixed Huffman code (§3.2.6). For some hundred bytes this takes less time than a zlib
 * context takes to set up, and a Huffman code made for them would be larger than what it saves.
 */
import { END_OF_BLOCK, fixedLength, LONGEST_MATCH, lengthBase, lengthExtra, reverse } from './codes.js';

const MIN_OUTPUT = 4096;
/** Bits of the index into a {@link MatchTable}. */
const HASH_BITS = 10;

/**
 * The low 16 bits of the stream position where each hash of four bytes was last seen, so that nothing of it
 * moves with the window; stale entries are rejected by comparing bytes.
 */
export type MatchTable = Uint16Array;

/** A table without an entry. */
export function makeMatchTable(): MatchTable {
  return new Uint16Array(1 << HASH_BITS);
}

/** Of each literal and end of block: the code, reversed, and its bits above bit 16. */
const literals = new Uint32Array(257);
/** Of each length: the code with its extra bits, and the bits of both above bit 16. */
const lengths = new Uint32Array(LONGEST_MATCH + 1);
/** Of each symbol of a distance: the code, reversed. */
const distanceCodes: Uint8Array = Uint8Array.from({ length: 30 }, (_, symbol) => reverse(symbol, 5));

/**
 * The block made last, of all connections; there is room for the worst case, nine bits a byte. Invariant: a
 * view of it is valid until the next block is made, so it is copied before the call that asked for it ends:
 * by the frame writer, which copies payloads of this size, or by the caller that joins it with more.
 */
let output: Buffer = Buffer.alloc(0);
let outputWords: DataView = new DataView(output.buffer);

/**
 * Compresses `buffer[start, end)`; matches reach back `window` bytes at most. The block is followed by the
 * three header bits of an empty one, so that the 4 bytes 00 00 FF FF that RFC 7692 §7.2.1 removes would
 * complete it.
 *
 * @param words - the same bytes as `buffer`
 * @param gone - how many bytes were in front of the buffer, ever
 * @returns a view that is valid until the next call
 */
export function deflateBlock(
  buffer: Buffer,
  words: DataView,
  start: number,
  end: number,
  table: MatchTable,
  window: number,
  gone: number,
): Buffer {
  const needed = (((end - start) * 9) >> 3) + 16;
  if (output.length < needed) {
    output = Buffer.alloc(Math.max(MIN_OUTPUT, needed * 2));
    outputWords = new DataView(output.buffer);
  }
  const out = outputWords;
  const limit = end - 4;
  let size = 0;
  // BFINAL 0, BTYPE 01; between symbols up to 7 bits wait here
  let bits = 0b010;
  let count = 3;
  let i = start;
  while (i < end) {
    let length = 0;
    let distance = 0;
    if (i <= limit) {
      const word = words.getInt32(i, true);
      const slot = slotOf(word);
      distance = (gone + i - table[slot]!) & 0xffff;
      table[slot] = gone + i;
      const place = i - distance;
      if (place >= 0 && (distance - 1) >>> 0 < window && words.getInt32(place, true) === word) {
        length = 4 + sameBytes(words, place + 4, i + 4, Math.min(LONGEST_MATCH, end - i) - 4);
      }
    }
    if (length === 0) {
      const code = literals[buffer[i]!]!;
      bits |= (code & 0xffff) << count;
      count += code >>> 16;
      i++;
    } else {
      const code = lengths[length]!;
      const back = distance - 1;
      // §3.2.5: from 4 on, the two highest bits choose the symbol, the others are its extra bits
      const extra = Math.max(0, 30 - Math.clz32(back));
      bits |= (code & 0xffff) << count;
      count += code >>> 16;
      bits |= distanceCodes[2 * extra + (back >> extra)]! << count;
      count += 5;
      out.setInt32(size, bits, true);
      size += count >> 3;
      bits >>>= count & 24;
      count &= 7;
      bits |= (back & ((1 << extra) - 1)) << count;
      count += extra;
      // What a match covers is worth finding again: its begin, middle and end stand for it
      remember(table, words, Math.min(i + 1, limit), gone);
      remember(table, words, Math.min(i + (length >> 1), limit), gone);
      remember(table, words, Math.min(i + length - 1, limit), gone);
      i += length;
    }
    out.setInt32(size, bits, true);
    size += count >> 3;
    bits >>>= count & 24;
    count &= 7;
  }
  const code = literals[END_OF_BLOCK]!;
  bits |= (code & 0xffff) << count;
  // And the header of the empty block: BFINAL 0, BTYPE 00
  count += (code >>> 16) + 3;
  out.setInt32(size, bits, true);
  return output.subarray(0, size + ((count + 7) >> 3));
}

function slotOf(word: number): number {
  return Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
}

function remember(table: MatchTable, words: DataView, place: number, gone: number): void {
  table[slotOf(words.getInt32(place, true))] = gone + place;
}

/** How many bytes are the same from both places on, `most` at most. */
function sameBytes(words: DataView, one: number, other: number, most: number): number {
  let length = 0;
  for (; length + 4 <= most; length += 4) {
    const difference = words.getInt32(one + length, true) ^ words.getInt32(other + length, true);
    if (difference !== 0) return length + ((31 - Math.clz32(difference & -difference)) >> 3);
  }
  while (length < most && words.getInt8(one + length) === words.getInt8(other + length)) length++;
  return length;
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
}

fillTables();
