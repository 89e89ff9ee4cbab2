/** Inflates one large message off the calling thread, chunk by chunk, no faster than it is read. */
import { createInflateRaw, type InflateRaw } from 'node:zlib';
import { MARKED_BLOCK, TAIL, withoutMark } from './tail.js';
import type { Window } from './window.js';

const CHUNK = 64 * 1024;

/**
 * A zlib context is needed after each block marked as the last one (RFC 7692 §7.2.3.4), and takes the time
 * that zlib takes for some KiB: a message may have a few of them, and one more for each of as many bytes of
 * its payload.
 */
const FREE_CONTEXTS = 4;
const BYTES_PER_CONTEXT = 4 * 1024;

const empty: Buffer = Buffer.alloc(0);

/** A `zlib` stream that goes on after blocks marked as the last one. */
export class InflateStream {
  /** The message is complete, and all of it was read. */
  done = false;
  #raw: InflateRaw;
  #error: Error | null = null;
  #ended = false;
  /** Works on the payload that was written last; has used it up. */
  #working = false;
  #used = false;
  /** What was written to `#raw`, and how much of it in all. */
  #input: Buffer = empty;
  #written = 0;
  #last = false;
  /** All of the payload is inflated and read: what the block after it gives. */
  #mark: Buffer | null = null;
  /** Contexts that came to their end, and the bytes that they used. */
  #contexts = 0;
  #consumed = 0;
  readonly #windowBits: number;
  readonly #window: Window;
  readonly #onready: () => void;

  constructor(windowBits: number, window: Window, onready: () => void) {
    this.#windowBits = windowBits;
    this.#window = window;
    this.#onready = onready;
    this.#raw = this.#open();
  }

  /** Data is to come of the payload that was written last. */
  get busy(): boolean {
    return this.#working || this.#raw.readableLength > 0;
  }

  /** Takes the next part of the payload, once the one before is used up. */
  write(payload: Buffer, last: boolean): void {
    // A copy: the thread pool reads it while the application may transfer the received buffer it lies in
    this.#input = Buffer.concat(last ? [payload, TAIL] : [payload]);
    this.#last = last;
    this.#feed();
  }

  /**
   * The next part of the data; null while `busy`, and when more payload is wanted. Throws the error of zlib.
   */
  read(): Buffer | null {
    if (this.#error !== null) throw this.#error;
    const data: Buffer | null = this.#raw.read();
    if (data === null) {
      if (this.#ended) this.#goOn();
      else if (this.#used && this.#last && this.#mark === null) this.#writeMark();
      return null;
    }
    if (this.#mark !== null) {
      this.#mark = Buffer.concat([this.#mark, data]);
      return null;
    }
    this.#window.push(data);
    return data;
  }

  /** Frees what it holds; nothing is called from here on. */
  close(): void {
    this.#working = false;
    release(this.#raw);
  }

  #open(): InflateRaw {
    const dictionary = this.#window.last();
    const raw = createInflateRaw({
      windowBits: this.#windowBits,
      chunkSize: CHUNK,
      ...(dictionary.length > 0 && { dictionary: Buffer.from(dictionary) }),
    });
    raw.on('readable', this.#onready);
    raw.on('end', () => {
      this.#ended = true;
      this.#onready();
    });
    raw.on('error', (error) => {
      this.#error = error;
      this.#onready();
    });
    return raw;
  }

  #feed(): void {
    const raw = this.#raw;
    this.#working = true;
    this.#used = false;
    this.#written += this.#input.length;
    if (this.#mark !== null) raw.end(this.#input);
    else {
      raw.write(this.#input, () => {
        // It ended within the payload: 'end' has the rest inflated, if it has not already
        if (raw !== this.#raw || raw.bytesWritten < this.#written) return;
        this.#working = this.#last;
        this.#used = true;
        this.#onready();
      });
    }
  }

  #writeMark(): void {
    this.#mark = empty;
    this.#input = MARKED_BLOCK;
    this.#feed();
  }

  /** The stream of blocks ended: with the message, or in front of more. */
  #goOn(): void {
    const { bytesWritten } = this.#raw;
    const unused = this.#written - bytesWritten;
    release(this.#raw);
    this.#ended = false;
    if (this.#mark !== null) {
      withoutMark(this.#mark, unused);
      this.#working = false;
      this.done = true;
      return;
    }
    this.#contexts++;
    this.#consumed += bytesWritten;
    if (this.#contexts > FREE_CONTEXTS + this.#consumed / BYTES_PER_CONTEXT) {
      throw new Error(`${this.#contexts} last blocks in ${this.#consumed} bytes`);
    }
    this.#raw = this.#open();
    this.#written = 0;
    this.#input = this.#input.subarray(this.#input.length - unused);
    if (unused > 0) this.#feed();
    else if (this.#last) this.#writeMark();
    else this.#working = false;
  }
}

/** Ends a context; an error that it still reports concerns nothing. */
function release(raw: InflateRaw): void {
  raw.removeAllListeners().on('error', () => {});
  raw.destroy();
}
