/**
 * Decompresses a small message, RFC 1951, without setting up a zlib context. It takes the path of honest data: what is
 * damaged, large, or ends a stream (BFINAL) is left to zlib, which has the last word on it.
 */
import {
  distanceBase,
  distanceExtra,
  END_OF_BLOCK,
  fixedLength,
  lengthBase,
  lengthExtra,
  reverse,
} from './codes.js';

/** More data than this is left to zlib. */
export const MOST_INFLATED: number = 16 * 1024;

/** Bits that a table decodes at once; longer codes are looked for bit by bit. */
const ROOT = 9;
const LONGEST_CODE = 15;
/** "The order of the code lengths of the code length alphabet" (§3.2.7). */
const lengthOrder: readonly number[] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** A Huffman code (§3.2.1). */
class HuffmanCode {
  /** By the next bits of the input: symbol << 4 | bits of its code; 0 when that is longer than `ROOT`. */
  readonly table: Uint16Array = new Uint16Array(1 << ROOT);
  /** How many codes of each number of bits there are, and all symbols in the order of their codes. */
  readonly counts: Uint16Array = new Uint16Array(LONGEST_CODE + 1);
  readonly symbols: Uint16Array = new Uint16Array(288);
  readonly #next: Uint16Array = new Uint16Array(LONGEST_CODE + 1);

  /** Makes the code of the bits `lengths[from, to)` have; false when it is not a complete one. */
  make(lengths: Uint8Array, from: number, to: number): boolean {
    const { counts, table, symbols } = this;
    counts.fill(0);
    for (let i = from; i < to; i++) counts[lengths[i]!]!++;
    counts[0] = 0;
    let left = 1;
    let offset = 0;
    for (let bits = 1; bits <= LONGEST_CODE; bits++) {
      left = left * 2 - counts[bits]!;
      if (left < 0) return false;
      this.#next[bits] = offset;
      offset += counts[bits]!;
    }
    if (left > 0) return false;
    for (let i = from; i < to; i++) {
      if (lengths[i] !== 0) symbols[this.#next[lengths[i]!]!++] = i - from;
    }
    table.fill(0);
    let code = 0;
    let index = 0;
    for (let bits = 1; bits <= ROOT; bits++, code <<= 1) {
      for (let n = counts[bits]!; n > 0; n--, code++) {
        const entry = (symbols[index++]! << 4) | bits;
        for (let slot = reverse(code, bits); slot < 1 << ROOT; slot += 1 << bits) table[slot] = entry;
      }
    }
    return true;
  }
}

const fixedLiterals = new HuffmanCode();
const fixedDistances = new HuffmanCode();
fixedLiterals.make(
  Uint8Array.from({ length: 288 }, (_, symbol) => fixedLength(symbol)),
  0,
  288,
);
// §3.2.6: 30 and 31 "will never actually occur", but take part in the code
fixedDistances.make(new Uint8Array(32).fill(5), 0, 32);
const literals = new HuffmanCode();
const distances = new HuffmanCode();
const codeLengths = new HuffmanCode();
const lengths = new Uint8Array(320);

/** Reads bits from `input`, and writes bytes to `output`; one for all, as nothing of it outlives a call. */
const output: Buffer = Buffer.alloc(MOST_INFLATED);
let input: Buffer = output;
let at = 0;
let bits = 0;
let count = 0;
let size = 0;

/**
 * Inflates the blocks of `payload`, which has to end in an empty stored one.
 *
 * @param history - what matches may reach back to
 * @returns the data, a view that is valid until the next call; null when zlib has to do it
 */
export function inflateBlocks(payload: Buffer, history: Buffer): Buffer | null {
  input = payload;
  at = 0;
  bits = 0;
  count = 0;
  size = 0;
  for (;;) {
    const header = take(3);
    // BFINAL is 1, or the input is over
    if (header < 0 || (header & 1) !== 0) return null;
    const type = header >> 1;
    if (type === 0) {
      if (!copyStored()) return null;
      if (at === input.length) return output.subarray(0, size);
    } else if (type === 1) {
      if (!inflateBlock(fixedLiterals, fixedDistances, history)) return null;
    } else if (type === 3 || !readCodes() || !inflateBlock(literals, distances, history)) return null;
  }
}

/** The next `n` bits, 16 at most; negative when there are not as many. */
function take(n: number): number {
  while (count < n) {
    if (at === input.length) return -1;
    bits |= input[at++]! << count;
    count += 8;
  }
  const value = bits & ((1 << n) - 1);
  bits >>>= n;
  count -= n;
  return value;
}

/** §3.2.4 "Non-compressed blocks". */
function copyStored(): boolean {
  // "Any bits of input up to the next byte boundary are ignored": whole bytes that were read ahead are not
  at -= count >> 3;
  bits = 0;
  count = 0;
  if (at + 4 > input.length) return false;
  const length = input.readUInt16LE(at);
  if ((length ^ 0xffff) !== input.readUInt16LE(at + 2)) return false;
  at += 4;
  if (at + length > input.length || size + length > MOST_INFLATED) return false;
  input.copy(output, size, at, at + length);
  at += length;
  size += length;
  return true;
}

/** §3.2.7 "Compression with dynamic Huffman codes": the codes themselves, compressed too. */
function readCodes(): boolean {
  const literalCount = take(5) + 257;
  const distanceCount = take(5) + 1;
  const lengthCount = take(4) + 4;
  if (lengthCount < 4 || literalCount > 286 || distanceCount > 30) return false;
  lengths.fill(0, 0, 19);
  for (let i = 0; i < lengthCount; i++) {
    const length = take(3);
    if (length < 0) return false;
    lengths[lengthOrder[i]!] = length;
  }
  if (!codeLengths.make(lengths, 0, 19)) return false;
  const total = literalCount + distanceCount;
  for (let i = 0; i < total; ) {
    const symbol = decode(codeLengths);
    if (symbol < 0) return false;
    if (symbol < 16) {
      lengths[i++] = symbol;
      continue;
    }
    const repeat = symbol === 16 ? take(2) + 3 : symbol === 17 ? take(3) + 3 : take(7) + 11;
    if ((symbol === 16 && i === 0) || i + repeat > total) return false;
    lengths.fill(symbol === 16 ? lengths[i - 1]! : 0, i, i + repeat);
    i += repeat;
  }
  return literals.make(lengths, 0, literalCount) && distances.make(lengths, literalCount, total);
}

function decode(code: HuffmanCode): number {
  while (count < LONGEST_CODE && at < input.length) {
    bits |= input[at++]! << count;
    count += 8;
  }
  const entry = code.table[bits & ((1 << ROOT) - 1)]! || longEntry(code, bits);
  const length = entry & 15;
  if (entry === 0 || length > count) return -1;
  bits >>>= length;
  count -= length;
  return entry >> 4;
}

/** The entry of a code of more than `ROOT` bits: compares with the first code of each number of bits. */
function longEntry(code: HuffmanCode, bits: number): number {
  let value = 0;
  let first = 0;
  let index = 0;
  for (let length = 1; length <= LONGEST_CODE; length++) {
    value = (value << 1) | ((bits >> (length - 1)) & 1);
    const here = code.counts[length]!;
    if (value - first < here) return (code.symbols[index + value - first]! << 4) | length;
    index += here;
    first = (first + here) << 1;
  }
  return 0;
}

/**
 * §3.2.3: literals and matches up to the end of the block. The state is in local variables meanwhile, and bits are
 * read whole bytes ahead: those behind the end of the input are 0, and found out by a negative count.
 */
function inflateBlock(literalCode: HuffmanCode, distanceCode: HuffmanCode, history: Buffer): boolean {
  const source = input;
  const target = output;
  const literalTable = literalCode.table;
  const distanceTable = distanceCode.table;
  let from = at;
  let ahead = bits;
  let left = count;
  let to = size;
  for (;;) {
    while (left < LONGEST_CODE && from < source.length) {
      ahead |= source[from++]! << left;
      left += 8;
    }
    let entry = literalTable[ahead & ((1 << ROOT) - 1)]! || longEntry(literalCode, ahead);
    ahead >>>= entry & 15;
    left -= entry & 15;
    const symbol = entry >> 4;
    if (symbol < END_OF_BLOCK) {
      if (entry === 0 || left < 0 || to === MOST_INFLATED) return false;
      target[to++] = symbol;
      continue;
    }
    if (symbol === END_OF_BLOCK || symbol > 285) {
      at = from;
      bits = ahead;
      count = left;
      size = to;
      return symbol === END_OF_BLOCK && left >= 0;
    }
    const extra = lengthExtra[symbol - 257]!;
    const length = lengthBase[symbol - 257]! + (ahead & ((1 << extra) - 1));
    ahead >>>= extra;
    left -= extra;
    while (left < LONGEST_CODE && from < source.length) {
      ahead |= source[from++]! << left;
      left += 8;
    }
    entry = distanceTable[ahead & ((1 << ROOT) - 1)]! || longEntry(distanceCode, ahead);
    ahead >>>= entry & 15;
    left -= entry & 15;
    const distanceSymbol = entry >> 4;
    if (entry === 0 || distanceSymbol > 29) return false;
    while (left < LONGEST_CODE && from < source.length) {
      ahead |= source[from++]! << left;
      left += 8;
    }
    const more = distanceExtra[distanceSymbol]!;
    const distance = distanceBase[distanceSymbol]! + (ahead & ((1 << more) - 1));
    ahead >>>= more;
    left -= more;
    if (left < 0 || to + length > MOST_INFLATED || distance > to + history.length) return false;
    copyMatch(to, to - distance, length, history);
    to += length;
  }
}

/** "The referenced string may overlap the current position" (§3.2.3); negative places are in the history. */
function copyMatch(to: number, place: number, length: number, history: Buffer): void {
  const target = output;
  const end = to + length;
  let i = to;
  let from = place;
  for (; from < 0 && i < end; from++) target[i++] = history[history.length + from]!;
  for (; i < end; from++) target[i++] = target[from]!;
}
