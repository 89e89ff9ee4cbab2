/**
 * Masking, RFC 6455 §5.3.
 *
 *     j                   = i MOD 4
 *     transformed-octet-i = original-octet-i XOR masking-key-octet-j
 */
import { randomFillSync } from 'node:crypto';

/** Below this length a loop over bytes beats making a view of words. */
const WORDWISE = 192;

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Keys for all connections. Invariant: `pool[next...]` were never used; a key is used for one frame only. */
const pool: Int32Array = new Int32Array(1024);
let next = pool.length;

/**
 * A fresh masking key as 32 bits, its first octet the most significant. Keys "MUST be derived from a strong
 * source of entropy" (§5.3): they come from `node:crypto`, 1024 at a time.
 */
export function maskingKey(): number {
  if (next === pool.length) {
    randomFillSync(pool);
    next = 0;
  }
  return pool[next++]!;
}

/**
 * Masks or unmasks `buffer[start, end)` in place.
 *
 * @param key - the masking key as {@link maskingKey} gives it
 * @param phase - how many octets of the payload came before `start`
 */
export function mask(buffer: Buffer, start: number, end: number, key: number, phase: number): void {
  if (key === 0) return;
  const turn = (phase & 3) << 3;
  const turned = turn === 0 ? key : (key << turn) | (key >>> (32 - turn));
  if (end - start < WORDWISE) maskBytes(buffer, start, end, turned);
  else maskWords(buffer, start, end, turned);
}

function maskBytes(buffer: Buffer, start: number, end: number, key: number): void {
  const a = key >>> 24;
  const b = (key >>> 16) & 0xff;
  const c = (key >>> 8) & 0xff;
  const d = key & 0xff;
  let i = start;
  for (const last = end - 3; i < last; i += 4) {
    buffer[i]! ^= a;
    buffer[i + 1]! ^= b;
    buffer[i + 2]! ^= c;
    buffer[i + 3]! ^= d;
  }
  if (i < end) buffer[i]! ^= a;
  if (i + 1 < end) buffer[i + 1]! ^= b;
  if (i + 2 < end) buffer[i + 2]! ^= c;
}

function maskWords(buffer: Buffer, start: number, end: number, key: number): void {
  const head = -(buffer.byteOffset + start) & 3;
  const count = (end - start - head) >>> 2;
  const aligned = start + head;
  maskBytes(buffer, start, aligned, key);
  const turned = head === 0 ? key : (key << (head << 3)) | (key >>> (32 - (head << 3)));
  const words = wordsOf(buffer.buffer);
  const word = littleEndian ? swap(turned) : turned;
  let i = (buffer.byteOffset + aligned) >>> 2;
  const end4 = i + count;
  for (const last = end4 - 3; i < last; i += 4) {
    words[i]! ^= word;
    words[i + 1]! ^= word;
    words[i + 2]! ^= word;
    words[i + 3]! ^= word;
  }
  for (; i < end4; i++) words[i]! ^= word;
  maskBytes(buffer, aligned + (count << 2), end, turned);
}

/** A larger memory does not stay known. */
const MAX_KNOWN = 64 * 1024;

/** What newer versions of Node have of memory that can change its size. */
interface Resizable {
  readonly resizable?: boolean;
  readonly growable?: boolean;
}

/**
 * The words of the memory that was masked last, so that the frames of one chunk share a view of it.
 * Invariant: it is used within one call of {@link mask}, and only for the very memory that it is a view of,
 * all of it, whose size cannot change. It keeps at most 64 KiB alive, and never leaves this file.
 */
let known: Int32Array = new Int32Array(0);

/** All whole words of a memory. */
function wordsOf(memory: ArrayBufferLike & Resizable): Int32Array {
  if (known.buffer === memory) return known;
  const words = new Int32Array(memory, 0, memory.byteLength >>> 2);
  const fixed = memory.resizable !== true && memory.growable !== true;
  if (fixed && memory.byteLength <= MAX_KNOWN) known = words;
  return words;
}

/** Reverses the order of the four octets. */
function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}
