/**
 * Incremental validation of UTF-8, RFC 6455 §8.1, by the table of well-formed byte sequences (RFC 3629 §4).
 *
 *     first   second  third   fourth
 *     00-7F
 *     C2-DF   80-BF
 *     E0      A0-BF   80-BF
 *     E1-EC   80-BF   80-BF
 *     ED      80-9F   80-BF              no surrogates
 *     EE-EF   80-BF   80-BF
 *     F0      90-BF   80-BF   80-BF
 *     F1-F3   80-BF   80-BF   80-BF
 *     F4      80-8F   80-BF   80-BF      nothing over U+10FFFF
 */
import { isAscii, isUtf8 } from 'node:buffer';

/** Below this length a loop over bytes beats a call into native code. */
const NATIVE = 48;

/** Validates the text of one message after another, cut wherever it may be. */
export class Utf8Validator {
  /** Every byte since the last {@link reset} was below 0x80. */
  ascii = true;
  /** Bytes that the character at hand still needs. */
  #missing = 0;
  #lower = 0x80;
  #upper = 0xbf;

  /** Whether the text may end here. */
  get complete(): boolean {
    return this.#missing === 0;
  }

  /** Begins a new text. */
  reset(): void {
    this.ascii = true;
    this.#missing = 0;
    this.#lower = 0x80;
    this.#upper = 0xbf;
  }

  /** Takes `buffer[start, end)`; false as soon as a byte cannot belong to any text. */
  push(buffer: Buffer, start: number, end: number): boolean {
    if (this.#missing === 0 && allAscii(buffer, start, end)) return true;
    this.ascii = false;
    let i = start;
    while (this.#missing > 0 && i < end) {
      if (!this.#step(buffer[i++]!)) return false;
    }
    if (end - i >= NATIVE) {
      const whole = lastBoundary(buffer, end);
      if (!isUtf8(buffer.subarray(i, whole))) return false;
      i = whole;
    }
    while (i < end) {
      if (!this.#step(buffer[i++]!)) return false;
    }
    return true;
  }

  #step(byte: number): boolean {
    if (this.#missing > 0) {
      if (byte < this.#lower || byte > this.#upper) return false;
      this.#missing--;
      this.#lower = 0x80;
      this.#upper = 0xbf;
      return true;
    }
    if (byte < 0x80) return true;
    if (byte < 0xc2 || byte > 0xf4) return false;
    this.#missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte === 0xe0) this.#lower = 0xa0;
    else if (byte === 0xed) this.#upper = 0x9f;
    else if (byte === 0xf0) this.#lower = 0x90;
    else if (byte === 0xf4) this.#upper = 0x8f;
    return true;
  }
}

function allAscii(buffer: Buffer, start: number, end: number): boolean {
  if (end - start >= NATIVE) return isAscii(buffer.subarray(start, end));
  for (let i = start; i < end; i++) {
    if (buffer[i]! >= 0x80) return false;
  }
  return true;
}

/** Where the last character of a buffer begins, when it may be cut off by its end; else the end. */
function lastBoundary(buffer: Buffer, end: number): number {
  for (let back = 1; back <= 3; back++) {
    if (buffer[end - back]! >= 0xc0) return end - back;
  }
  return end;
}
