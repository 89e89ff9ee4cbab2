/** The inside of a streamed message: what the connection puts in, and what a reader takes out. */
import type { Endpoint } from '../protocol/endpoint.js';
import { MessageAssembler } from '../protocol/message-assembler.js';
import { type Assembler, TextAssembler } from './text-assembler.js';

/** How a body asks its connection for more. */
export interface BodySource {
  /** The body has room: deliver what there is, read on. */
  demand(): void;
  /** The message is going to be collected, `size` bytes of it came; throws when it is over the limit. */
  collecting(body: MessageBody, size: number): void;
  /** The message is dropped unread: it is not worth more than a message that is collected. */
  dropping(): void;
}

interface Pending {
  resolve(value: Buffer | string | null): void;
  reject(error: Error): void;
}

/** Holds at most one chunk; the connection keeps the next ones, and stops reading. */
export class MessageBody {
  /** All of the message was received. */
  ended = false;
  #chunk: Buffer | null = null;
  #size = 0;
  #error: Error | null = null;
  #pending: Pending | null = null;
  #assembler: Assembler<Buffer | string> | null = null;
  #discarded = false;
  /** Its chunks are iterated over. */
  #read = false;
  readonly #source: BodySource;

  constructor(source: BodySource) {
    this.#source = source;
  }

  /** Somebody waits for more of the message. */
  get wanted(): boolean {
    return this.#pending !== null;
  }

  /** Takes the data event at hand, or returns false: there is no room for it. */
  offer(endpoint: Endpoint): boolean {
    if (this.#chunk !== null) return false;
    const { chunk, start, end, last, ascii } = endpoint;
    this.#size += end - start;
    this.ended = last;
    if (this.#discarded) return true;
    if (this.#assembler !== null) {
      this.#assembler.add(chunk, start, end, ascii);
      if (last) this.#settle(this.#assembler.take(ascii));
    } else {
      if (end > start) this.#chunk = chunk.subarray(start, end);
      if (this.#pending !== null && (this.#chunk !== null || last)) this.#settle(this.#takeChunk());
    }
    return true;
  }

  /** The connection is over; `error` says why. What was received whole can still be read. */
  fail(error: Error): void {
    if (this.ended) return;
    this.#error = error;
    const pending = this.#pending;
    this.#pending = null;
    pending?.reject(error);
  }

  /** The next chunk, or null at the end of the message. */
  next(): Promise<Buffer | null> {
    this.#read = true;
    const chunk = this.#takeChunk();
    if (chunk !== null || this.ended || this.#discarded) {
      if (!this.ended) this.#source.demand();
      return Promise.resolve(chunk);
    }
    return this.#wait();
  }

  /** The whole message in one buffer. */
  collect(): Promise<Buffer> {
    return this.#collect(new MessageAssembler(), (chunk) => chunk);
  }

  /** The whole message as a string, if it is text. */
  collectText(): Promise<string> {
    return this.#collect(new TextAssembler(), (chunk) => chunk.toString());
  }

  #collect<T extends Buffer | string>(assembler: Assembler<T>, whole: (chunk: Buffer) => T): Promise<T> {
    try {
      this.#source.collecting(this, this.#size);
    } catch (error) {
      return Promise.reject(error);
    }
    const chunk = this.#takeChunk();
    if (this.ended) return Promise.resolve(whole(chunk ?? Buffer.alloc(0)));
    this.#assembler = assembler;
    if (chunk !== null) assembler.add(chunk, 0, chunk.length, false);
    return this.#wait();
  }

  /** Drops what is unread, and all that still comes. */
  discard(): void {
    if (this.#discarded) return;
    this.#discarded = true;
    this.#chunk = null;
    if (this.#assembler === null) this.#settle(null);
    else this.#pending?.reject(new Error('The message was cancelled'));
    this.#pending = null;
    this.#assembler = null;
    if (this.ended) return;
    if (!this.#read) this.#source.dropping();
    this.#source.demand();
  }

  #takeChunk(): Buffer | null {
    const chunk = this.#chunk;
    this.#chunk = null;
    return chunk;
  }

  #wait<T extends Buffer | string | null>(): Promise<T> {
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#pending !== null) return Promise.reject(new TypeError('Tried to read a message twice at once'));
    return new Promise((resolve, reject) => {
      this.#pending = { resolve: resolve as Pending['resolve'], reject };
      this.#source.demand();
    });
  }

  #settle(value: Buffer | string | null): void {
    const pending = this.#pending;
    this.#pending = null;
    pending?.resolve(value);
  }
}
