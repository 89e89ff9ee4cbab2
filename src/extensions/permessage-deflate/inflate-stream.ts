/** Inflates one large message off the calling thread, chunk by chunk, no faster than it is read. */
import { createInflateRaw, type InflateRaw } from 'node:zlib';
import { MARKED_BLOCK, TAIL, withoutMark } from './tail.js';
import type { Window } from './window.js';

const CHUNK = 64 * 1024;

/** A `zlib` stream that goes on behind blocks marked as the last one (RFC 7692 §7.2.3.4). */
export class InflateStream {
  /** The message is complete, and all of it was read. */
  done = false;
  #raw: InflateRaw;
  #error: Error | null = null;
  #ended = false;
  /** Works on the payload that was written last; has taken it. */
  #working = false;
  #taken = false;
  /** What was written to `#raw`, and how much of it in all. */
  #input: Buffer = Buffer.alloc(0);
  #written = 0;
  #last = false;
  /** All of the payload is inflated and read: what the block behind it gives. */
  #mark: Buffer | null = null;
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
    this.#input = last ? Buffer.concat([payload, TAIL]) : payload;
    this.#last = last;
    this.#feed();
  }

  /** The next part of the data; null while `busy`, and when more payload is wanted. Throws the error of zlib. */
  read(): Buffer | null {
    if (this.#error !== null) throw this.#error;
    const data: Buffer | null = this.#raw.read();
    if (data === null) {
      if (this.#ended) this.#goOn();
      else if (this.#taken && this.#last && this.#mark === null) this.#writeMark();
      return null;
    }
    if (this.#mark !== null) {
      this.#mark = Buffer.concat([this.#mark, data]);
      return null;
    }
    this.#window.push(data);
    return data;
  }

  /** Frees what it holds. */
  close(): void {
    this.#raw.removeAllListeners().on('error', () => {});
    this.#raw.destroy();
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
    this.#taken = false;
    this.#written += this.#input.length;
    if (this.#mark !== null) raw.end(this.#input);
    else {
      raw.write(this.#input, () => {
        // It ended within the payload: 'end' has the rest inflated, if it has not already
        if (raw !== this.#raw || raw.bytesWritten < this.#written) return;
        this.#working = this.#last;
        this.#taken = true;
        this.#onready();
      });
    }
  }

  #writeMark(): void {
    this.#mark = Buffer.alloc(0);
    this.#input = MARKED_BLOCK;
    this.#feed();
  }

  /** The stream of blocks ended: with the message, or in front of more. */
  #goOn(): void {
    const unused = this.#written - this.#raw.bytesWritten;
    this.close();
    this.#ended = false;
    if (unused === 0 && this.#mark !== null) {
      withoutMark(this.#mark);
      this.#working = false;
      this.done = true;
      return;
    }
    this.#raw = this.#open();
    this.#written = 0;
    this.#input = this.#input.subarray(this.#input.length - unused);
    if (unused > 0) this.#feed();
    else if (this.#last) this.#writeMark();
    else this.#working = false;
  }
}
