/**
 * Decompresses a small message, RFC 1951, without setting up a zlib context. It takes the path of honest
 * data: what is damaged or large is left to zlib, which has the last word on it. A block marked as the last
 * one (BFINAL) ends nothing but its byte: "the next DEFLATE block follows the padded data, if any" (RFC 7692
 * §7.2.1).
 */
import { distanceBase, distanceExtra, END_OF_BLOCK, fixedLength, lengthBase, lengthExtra } from './codes.js';
import { HuffmanCode, MAX_CODE_BITS, ROOT_MASK } from './huffman-code.js';
import { TAIL } from './tail.js';
import type { Window } from './window.js';

/** A longer payload is left to zlib, */
export const SMALL_PAYLOAD: number = 8 * 1024;
/** and more data. */
const MAX_INFLATED = 32 * 1024;

// A constant of this module is one to V8, an imported one is loaded each time
const MASK = ROOT_MASK;
const LONGEST_CODE = MAX_CODE_BITS;
/** "The order of the code lengths of the code length alphabet" (§3.2.7). */
const lengthOrder: readonly number[] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/**
 * Of each symbol of a length: the base, and the number of extra bits above bit 9; of one of a distance, above
 * bit 16.
 */
const lengthCodes: Int32Array = Int32Array.from(lengthBase, (base, i) => base | (lengthExtra[i]! << 9));
const distanceCodes: Int32Array = Int32Array.from(
  distanceBase,
  (base, i) => base | (distanceExtra[i]! << 16),
);

/** Made with the first message: a process that compresses nothing has no memory for it. */
let made: ((payload: Buffer, window: Window) => Buffer | null) | null = null;

/**
 * Inflates the payload of a message (RFC 7692 §7.2.2) of {@link SMALL_PAYLOAD} bytes at most.
 *
 * @param window - what matches may reach back to
 * @returns the data, which is the caller's; null when zlib has to do it
 */
export function inflateBlocks(payload: Buffer, window: Window): Buffer | null {
  made ??= makeInflateBlocks();
  return made(payload, window);
}

/**
 * Invariant of the memory that it makes for all messages: it belongs to one call of {@link inflateBlocks}, as
 * does the state of reading it; the data returned is a copy. So no view of it leaves this function. Variables
 * of functions that exist once are constants to V8, which makes this 5 to 15 % faster than module variables
 * that are set later.
 */
function makeInflateBlocks(): (payload: Buffer, window: Window) => Buffer | null {
  const fixedLiterals = new HuffmanCode();
  const fixedDistances = new HuffmanCode();
  const literals = new HuffmanCode();
  const distances = new HuffmanCode();
  const codeLengths = new HuffmanCode();
  const lengths = new Uint8Array(320);
  /** The payload and the end of the last block. Bytes after them are read ahead, and using them is detected. */
  const input = Buffer.alloc(SMALL_PAYLOAD + 32);
  const inputWords = new DataView(input.buffer, input.byteOffset);
  let inputEnd = 0;
  let at = 0;
  let bits = 0;
  let count = 0;
  /** Of the message, `output[0, end)` is there; matches are copied four bytes at a time, over their end. */
  const output = Buffer.alloc(MAX_INFLATED + 4);
  const outputWords = new DataView(output.buffer, output.byteOffset);
  let end = 0;

  for (let symbol = 0; symbol < 288; symbol++) lengths[symbol] = fixedLength(symbol);
  fixedLiterals.make(lengths, 0, 288, false);
  // §3.2.6: 30 and 31 "will never actually occur", but take part in the code
  fixedDistances.make(lengths.fill(5), 0, 32, false);

  return (payload, window) => {
    input.set(payload);
    inputEnd = payload.length + TAIL.length;
    inputWords.setUint32(payload.length, 0x0000ffff);
    at = 0;
    bits = 0;
    count = 0;
    end = 0;
    if (!inflate(window)) return null;
    // The application's: small ones lie in Node's pool, which it cannot transfer to another thread
    const data = Buffer.allocUnsafe(end);
    output.copy(data, 0, 0, end);
    return data;
  };

  function inflate(window: Window): boolean {
    for (;;) {
      const header = take(3);
      // The input is over
      if (at - (count >> 3) > inputEnd) return false;
      const type = header >> 1;
      if (type === 0) {
        if (!copyStored()) return false;
        if (at === inputEnd) return true;
      } else if (type === 1) {
        if (!inflateBlock(fixedLiterals, fixedDistances, window)) return false;
      } else if (type === 3 || !readCodes() || !inflateBlock(literals, distances, window)) return false;
      if ((header & 1) !== 0) skipToByte();
    }
  }

  /** Leaves the rest of the current byte; whole bytes that were read ahead are not part of it. */
  function skipToByte(): void {
    at -= count >> 3;
    bits = 0;
    count = 0;
  }

  /** The next `n` bits, 16 at most. */
  function take(n: number): number {
    while (count < n) {
      bits |= (input[at++] ?? 0) << count;
      count += 8;
    }
    const value = bits & ((1 << n) - 1);
    bits >>>= n;
    count -= n;
    return value;
  }

  /** §3.2.4 "Non-compressed blocks". */
  function copyStored(): boolean {
    // "Any bits of input up to the next byte boundary are ignored"
    skipToByte();
    if (at + 4 > inputEnd) return false;
    const length = input.readUInt16LE(at);
    if ((length ^ 0xffff) !== input.readUInt16LE(at + 2)) return false;
    at += 4;
    if (at + length > inputEnd || end + length > MAX_INFLATED) return false;
    if (length > 0) end += input.copy(output, end, at, at + length);
    at += length;
    return true;
  }

  /** §3.2.7 "Compression with dynamic Huffman codes": the codes themselves, compressed too. */
  function readCodes(): boolean {
    const literalCount = take(5) + 257;
    const distanceCount = take(5) + 1;
    const lengthCount = take(4) + 4;
    if (literalCount > 286 || distanceCount > 30) return false;
    lengths.fill(0, 0, 19);
    for (let i = 0; i < lengthCount; i++) lengths[lengthOrder[i]!] = take(3);
    if (!codeLengths.make(lengths, 0, 19, false)) return false;
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
    return (
      literals.make(lengths, 0, literalCount, true) && distances.make(lengths, literalCount, total, true)
    );
  }

  /** The next symbol; negative when there is none of these bits. */
  function decode(code: HuffmanCode): number {
    while (count < LONGEST_CODE) {
      bits |= (input[at++] ?? 0) << count;
      count += 8;
    }
    const entry = code.table[bits & MASK]! || code.longEntry(bits);
    bits >>>= entry & 15;
    count -= entry & 15;
    return entry === 0 ? -1 : entry >> 4;
  }

  /**
   * §3.2.3: literals and matches up to the end of the block. The state is in local variables meanwhile. Bits
   * are read four bytes at a time, as many of them as there is room for, so that 24 at least are there then;
   * a branch less costs less than a byte that is read twice.
   */
  function inflateBlock(literalCode: HuffmanCode, distanceCode: HuffmanCode, window: Window): boolean {
    const source = inputWords;
    const target = output;
    const literalTable = literalCode.table;
    const distanceTable = distanceCode.table;
    const targetWords = outputWords;
    const { bytes, words } = window;
    let from = at;
    let ahead = bits;
    let left = count;
    let to = end;
    for (;;) {
      if (from > inputEnd + 3 || to > MAX_INFLATED) return false;
      ahead |= source.getInt32(from, true) << left;
      from += (31 - left) >> 3;
      left |= 24;
      let entry = literalTable[ahead & MASK]! || literalCode.longEntry(ahead);
      ahead >>>= entry & 15;
      left -= entry & 15;
      if (entry < END_OF_BLOCK << 4) {
        if (entry === 0) return false;
        target[to++] = entry >> 4;
        // There are bits for one more symbol, unless its code is a long one
        entry = literalTable[ahead & MASK]!;
        if (entry === 0) continue;
        ahead >>>= entry & 15;
        left -= entry & 15;
        if (entry < END_OF_BLOCK << 4) {
          target[to++] = entry >> 4;
          continue;
        }
      }
      const symbol = entry >> 4;
      if (symbol === END_OF_BLOCK) {
        at = from;
        bits = ahead;
        count = left;
        end = to;
        return true;
      }
      // 286 and 287 are no lengths
      if (symbol > 285) return false;
      ahead |= source.getInt32(from, true) << left;
      from += (31 - left) >> 3;
      left |= 24;
      const lengthCode = lengthCodes[symbol - 257]!;
      const extra = lengthCode >> 9;
      const stop = to + (lengthCode & 0x1ff) + (ahead & ((1 << extra) - 1));
      ahead >>>= extra;
      left -= extra;
      entry = distanceTable[ahead & MASK]! || distanceCode.longEntry(ahead);
      ahead >>>= entry & 15;
      left -= entry & 15;
      const distanceSymbol = entry >> 4;
      if (entry === 0 || distanceSymbol > 29) return false;
      if (left < 13) {
        ahead |= source.getInt32(from, true) << left;
        from += (31 - left) >> 3;
        left |= 24;
      }
      const base = distanceCodes[distanceSymbol]!;
      const more = base >> 16;
      let place = to - (base & 0xffff) - (ahead & ((1 << more) - 1));
      ahead >>>= more;
      left -= more;
      if (stop > MAX_INFLATED) return false;
      if (place < 0) {
        // In the window, and perhaps on from there
        const back = window.end + place;
        if (back < 0 || -place > window.size) return false;
        const inside = Math.min(stop - to, -place);
        if (back + inside + 3 < bytes.length) {
          for (let i = 0; i < inside; i += 4) targetWords.setInt32(to + i, words.getInt32(back + i));
        } else bytes.copy(target, to, back, back + inside);
        to += inside;
        place += inside;
      }
      // "The referenced string may overlap the current position"
      if (to - place < 4) while (to < stop) target[to++] = target[place++]!;
      else {
        for (; to < stop; to += 4, place += 4) targetWords.setInt32(to, targetWords.getInt32(place));
        to = stop;
      }
    }
  }
}
