/**
 * The window that carries over between messages, RFC 7692 §7.2.3.2: the last 2^bits bytes of plain text.
 * Between messages it is all that a connection keeps, and only as many bytes as it has seen.
 */

/**
 * Room behind a full window, so that it is moved to the front once in as many bytes: a quarter of it, between
 * these.
 */
const MIN_SLACK = 1024;
const MAX_SLACK = 4096;
const FIRST_SIZE = 256;

const empty: Buffer = Buffer.alloc(0);
const emptyWords = new DataView(empty.buffer);

/** Remembers the end of a stream of bytes. */
export class Window {
  readonly size: number;
  /** Most bytes that one {@link push} keeps: the last ones. */
  readonly capacity: number;
  readonly #slack: number;
  /** What is remembered is the end of `bytes[0, end)`, at most `size` bytes of it. */
  bytes: Buffer = empty;
  /** The same bytes. */
  words: DataView = emptyWords;
  end = 0;
  /** By how much all that is remembered has been moved to the front, ever. */
  moved = 0;

  constructor(bits: number) {
    this.size = 2 ** bits;
    this.#slack = Math.min(MAX_SLACK, Math.max(MIN_SLACK, this.size / 4));
    this.capacity = Math.max(this.size, this.#slack);
  }

  /** The last bytes seen, at most `most`: a view that the next {@link push} may overwrite. */
  last(most: number = this.size): Buffer {
    return this.bytes.subarray(Math.max(0, this.end - Math.min(most, this.size)), this.end);
  }

  /** Takes the bytes that follow. Up to {@link MIN_SLACK} of them stand behind a whole window. */
  push(data: Uint8Array): void {
    const tail = data.length > this.capacity ? data.subarray(data.length - this.capacity) : data;
    if (this.end + tail.length > this.bytes.length) this.#makeRoom(tail.length);
    this.bytes.set(tail, this.end);
    this.end += tail.length;
  }

  /** Forgets everything. */
  clear(): void {
    this.moved += this.end;
    this.bytes = empty;
    this.words = emptyWords;
    this.end = 0;
  }

  #makeRoom(length: number): void {
    const most = this.size + this.#slack;
    const kept = this.last(most - length);
    this.moved += this.end - kept.length;
    this.end = kept.length;
    if (this.bytes.length < most) {
      const wanted = Math.max(FIRST_SIZE, this.bytes.length * 2, kept.length + length);
      this.bytes = Buffer.allocUnsafeSlow(Math.min(most, wanted));
      this.words = new DataView(this.bytes.buffer);
    }
    kept.copy(this.bytes);
  }
}
