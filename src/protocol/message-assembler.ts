/**
 * Chunks to one message, RFC 6455 §5.4, §6.2.
 *
 * What an unfinished message retains stays in proportion to its payload, however small its fragments are: a
 * chunk that fills most of the buffer it lies in is kept as a view, any other is copied behind the last one.
 * A view ends the block in use, so it must be worth the room that is lost with it.
 */

const FIRST_BLOCK = 256;
const LAST_BLOCK = 64 * 1024;

/** Collects the chunks of one message after another. */
export class MessageAssembler {
  /** Bytes collected so far. */
  size = 0;
  /** Finished parts: views, and blocks that are full. */
  #parts: Buffer[] = [];
  /** The block that small chunks are copied into; `#used` bytes of it are. */
  #block: Buffer | null = null;
  #used = 0;

  /** Takes the bytes of `chunk[start, end)`. */
  add(chunk: Buffer, start: number, end: number): void {
    const length = end - start;
    this.size += length;
    const lost = this.#block === null ? 0 : this.#block.length - this.#used;
    if (length >= Math.max(FIRST_BLOCK, lost * 2) && length * 4 >= chunk.buffer.byteLength * 3) {
      this.#seal();
      this.#parts.push(chunk.subarray(start, end));
      return;
    }
    for (let at = start; at < end; ) {
      const block = this.#room(end - at);
      const copied = chunk.copy(block, this.#used, at, end);
      this.#used += copied;
      at += copied;
    }
  }

  /**
   * The whole message in one buffer, without a copy when it came in one part; begins the next message. Throws
   * a TypeError when the memory of a part is gone.
   */
  take(): Buffer {
    this.#seal();
    const parts = this.#parts;
    let size = 0;
    for (const part of parts) size += part.length;
    // Where the application transferred the ArrayBuffer of another message, a part that lay in it is gone
    if (size !== this.size)
      throw new TypeError('Tried to join parts of a message that were transferred: copy the data first');
    const message = parts.length === 1 ? parts[0]! : Buffer.concat(parts, size);
    this.clear();
    return message;
  }

  /** Drops what was collected. */
  clear(): void {
    this.size = 0;
    this.#parts = [];
    this.#block = null;
    this.#used = 0;
  }

  /** A block with room; each is as large as all before it together, so that half of it is used at least. */
  #room(wanted: number): Buffer {
    if (this.#block !== null && this.#used < this.#block.length) return this.#block;
    this.#seal();
    const size = Math.min(LAST_BLOCK, Math.max(FIRST_BLOCK, this.size, wanted));
    this.#block = Buffer.allocUnsafeSlow(size);
    return this.#block;
  }

  #seal(): void {
    if (this.#block !== null) this.#parts.push(this.#block.subarray(0, this.#used));
    this.#block = null;
    this.#used = 0;
  }
}
