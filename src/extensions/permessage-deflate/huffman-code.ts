/** Huffman codes as a decompressor reads them, RFC 1951 §3.2.1 and §3.2.2. */
import { reverse } from './codes.js';

/** Bits that a table decodes at once; longer codes are looked for bit by bit. */
const ROOT = 9;
const LONGEST_CODE = 15;
// V8 knows the value of a constant that is not exported, and loads all others each time: modules that use these in a
// loop copy them, too
/** The bits that a table decodes at once. */
export const ROOT_MASK: number = (1 << ROOT) - 1;
/** Bits that the longest code may have. */
export const MAX_CODE_BITS: number = LONGEST_CODE;

/** A Huffman code (§3.2.1). */
export class HuffmanCode {
  /** By the next bits of the input: symbol << 4 | bits of its code; 0 when that is longer than `ROOT`. */
  readonly table: Uint16Array = new Uint16Array(1 << ROOT);
  /** How many codes of each number of bits there are, and all symbols in the order of their codes. */
  readonly counts: Uint16Array = new Uint16Array(LONGEST_CODE + 1);
  readonly symbols: Uint16Array = new Uint16Array(288);
  readonly #next: Uint16Array = new Uint16Array(LONGEST_CODE + 1);

  /**
   * Makes the code of the bits `lengths[from, to)` have; false when it is not a complete one. Distances, and
   * literals of an empty block, may also have one code of one bit, or none at all (§3.2.7).
   */
  make(lengths: Uint8Array, from: number, to: number, mayBeSparse: boolean): boolean {
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
    if (left > 0 && !(mayBeSparse && (offset === 0 || (offset === 1 && counts[1] === 1)))) return false;
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

  /** The entry of a code of more than `ROOT` bits: compares with the first code of each number of bits. */
  longEntry(bits: number): number {
    const { counts, symbols } = this;
    let value = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= LONGEST_CODE; length++) {
      value = (value << 1) | ((bits >> (length - 1)) & 1);
      const here = counts[length]!;
      if (value - first < here) return (symbols[index + value - first]! << 4) | length;
      index += here;
      first = (first + here) << 1;
    }
    return 0;
  }
}
