/**
 * The inside of a streamed message: what the connection puts in, and what a reader takes out.
 *
 *     UNUSED ── text(), bytes() ... ──▶ COLLECTING ── last chunk ──▶ DONE
 *       │ └──── iteration ───────────▶ ITERATING ─── last chunk, left ──▶ DONE
 *       │ └──── read(), chunks(n) ... ▶ PART ── its last byte, left ──▶ BETWEEN ── last chunk ──▶ DONE
 *       │                              ▲ the message ends before: DONE     │
 *       │                              └── another part; any of the above ─┘
 *       └────── the next receive(), also in BETWEEN; in each state cancel() ──▶ DONE: reading it rejects
 */
import { WebSocketError } from '../../errors.js';
import type { Endpoint } from '../../protocol/endpoint.js';
import { MessageAssembler } from '../../protocol/message-assembler.js';
import { assertHeld } from './assembly.js';
import { limitCollected, limitReceived, maxCollected } from './receive-limits.js';
import type { Receiver } from './receiver.js';
import { type Assembler, TextAssembler } from './text-assembler.js';

interface Pending {
  resolve(value: Buffer | string | null): void;
  reject(error: Error): void;
  /** Bytes that it accepts at once. */
  readonly most: number;
}

/** Holds at most one chunk; the connection keeps the next ones, and stops reading. */
export class MessageBody {
  /** All of the message was received. */
  ended = false;
  /** Nothing more will be read of it: the next message can be delivered. */
  done = false;
  #used = false;
  /** PART or BETWEEN, and which of them. */
  #inParts = false;
  #inPart = false;
  #chunk: Buffer | null = null;
  /** Bytes of it, as long as its memory is there. */
  #chunkSize = 0;
  #size = 0;
  /** Bytes of it that were taken out. */
  taken = 0;
  /** Why the rest cannot be read. */
  error: Error | null = null;
  #pending: Pending | null = null;
  #assembler: Assembler<Buffer | string> | null = null;
  readonly #receiver: Receiver;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  /** Reading begins: the next message waits for it. */
  begin(): void {
    this.#used = true;
    this.#inParts = false;
  }

  /** Reading of a part begins. */
  beginPart(): void {
    this.#used = this.#inParts = this.#inPart = true;
  }

  /** A part has its last byte, or is left: what follows can be read. */
  endPart(): void {
    this.#inPart = false;
    if (this.done) return;
    if (this.ended && this.#chunk === null) this.#finish(null);
    else this.#receiver.inbox.onPartEnd();
  }

  /** A part is left, whose next chunk may be awaited: that is the end of it. */
  leavePart(): void {
    this.#settle(null);
    this.endPart();
  }

  /** The message ended before a part of `size` bytes did, `missing` bytes of it: reading on rejects as well. */
  endEarly(size: number, missing: number): Error {
    this.error ??= new WebSocketError(
      'ERR_UNEXPECTED_END',
      `Tried to read ${size} bytes of a message that ended after ${size - missing} of them`,
    );
    return this.error;
  }

  /** A part is being read. */
  get inPart(): boolean {
    return this.#inPart && !this.done;
  }

  /** It is read in parts, and none is being read now. */
  get between(): boolean {
    return this.#inParts && !this.#inPart;
  }

  /** Most bytes that are collected in memory. */
  get maxCollected(): number {
    return maxCollected(this.#receiver.life);
  }

  /** Reading has begun, and more of it is to come. */
  get reading(): boolean {
    return this.#used && !this.done;
  }

  /** Accepts the current data event, or returns false when there is no room. */
  offer(endpoint: Endpoint): boolean {
    if (this.#chunk !== null) return false;
    const { chunk, start, end, last, ascii } = endpoint;
    // What throws leaves the message without its end: reading it rejects
    if (!this.done) assertHeld(chunk, end);
    this.#size += end - start;
    if (this.#assembler !== null) {
      this.#assembler.add(chunk, start, end, ascii);
      const whole = last ? this.#assembler.take(ascii) : null;
      this.ended = last;
      if (last) this.#finish(whole);
      return true;
    }
    this.ended = last;
    if (!this.done) {
      if (end > start) this.#chunk = chunk.subarray(start, end);
      this.#chunkSize = end - start;
      this.#serve();
    }
    return true;
  }

  /** The connection is over; `error` says why. A message that was received whole can still be read. */
  fail(error: Error): void {
    if (this.ended || this.done) return;
    this.error ??= error;
    this.done = true;
    const pending = this.#pending;
    this.#pending = null;
    pending?.reject(error);
  }

  /** The next chunk, or as much of it as `most` bytes are; null at the end of the message. */
  next(most: number = Number.POSITIVE_INFINITY): Promise<Buffer | null> {
    this.#checkChunk();
    const chunk = this.#takeChunk(most);
    if (chunk !== null) {
      if (this.#chunk === null) {
        if (this.ended) this.#finish(null);
        else this.#receiver.pump();
      }
      return Promise.resolve(chunk);
    }
    if (this.error !== null) return Promise.reject(this.error);
    if (this.ended || this.done) {
      this.#finish(null);
      return Promise.resolve(null);
    }
    return this.#wait(most);
  }

  /** The whole message in one buffer. */
  collect(): Promise<Buffer> {
    return this.#collect(new MessageAssembler(), (chunk) => chunk);
  }

  /** The whole message as a string, if it is text. */
  collectText(): Promise<string> {
    return this.#collect(new TextAssembler(), (chunk) => chunk.toString());
  }

  /** Iteration is left: what is unread is dropped, and all that still comes. */
  leave(): void {
    if (!this.done) this.#drop();
  }

  /** Drops what is unread, and all that still comes: reading it rejects. */
  cancel(
    error: Error = new WebSocketError('ERR_CONSUMPTION', 'Tried to read a message that was cancelled'),
  ): void {
    this.error ??= error;
    if (this.done) return;
    const pending = this.#pending;
    this.#pending = null;
    pending?.reject(error);
    this.#drop();
  }

  /** Fails the connection, and reading, when memory of the message is gone. */
  orLose<T>(use: () => T): T {
    try {
      return use();
    } catch (error) {
      this.error = error as Error;
      this.#receiver.fail(this.error);
      this.cancel(this.error);
      throw error;
    }
  }

  #drop(): void {
    const unused = !this.#used;
    this.#chunk = null;
    this.#finish(null);
    // A message that is dropped unread is not worth more than one that is collected
    if (!this.ended && unused) limitCollected(this.#receiver.life);
  }

  /** The next message is asked for: one that is not being read is discarded, and reading it rejects. */
  skip(): void {
    if (this.done || (this.#used && !this.between)) return;
    const when = this.#used ? 'between two parts of it' : 'before it was begun';
    this.cancel(
      new WebSocketError(
        'ERR_CONSUMPTION',
        `Tried to read a message that was discarded, as receive() was called ${when}`,
      ),
    );
  }

  #collect<T extends Buffer | string>(assembler: Assembler<T>, whole: (chunk: Buffer) => T): Promise<T> {
    this.#checkChunk();
    if (this.error !== null) return Promise.reject(this.error);
    const error = this.ended
      ? limitReceived(this.#receiver.life, this.#size - this.taken)
      : limitCollected(this.#receiver.life, this.taken);
    if (error !== null) {
      this.cancel(error);
      return Promise.reject(error);
    }
    const chunk = this.#takeChunk();
    if (this.ended) {
      this.#finish(null);
      return Promise.resolve(whole(chunk ?? Buffer.alloc(0)));
    }
    this.#assembler = assembler;
    if (chunk !== null) assembler.add(chunk, 0, chunk.length, false);
    return this.#wait();
  }

  /** Fails the connection, and reading, when the chunk that is held lies in memory that was transferred meanwhile. */
  #checkChunk(): void {
    const chunk = this.#chunk;
    if (chunk === null || chunk.length >= this.#chunkSize) return;
    try {
      this.orLose(() => assertHeld(chunk, this.#chunkSize));
    } catch {
      // What is read next rejects with it
    }
  }

  /** Serves the call that waits, as far as its bytes came. */
  #serve(): void {
    const pending = this.#pending;
    const last = this.ended && this.#chunk === null;
    if (pending === null) {
      if (last && this.between) this.#finish(null);
      return;
    }
    if (this.#chunk === null && !last) return;
    const chunk = this.#takeChunk(pending.most);
    if (this.ended && this.#chunk === null) this.#finish(chunk);
    else this.#settle(chunk);
  }

  #takeChunk(most: number = Number.POSITIVE_INFINITY): Buffer | null {
    const chunk = this.#chunk;
    if (chunk === null || chunk.length <= most) {
      this.#chunk = null;
      this.taken += chunk?.length ?? 0;
      return chunk;
    }
    this.#chunk = chunk.subarray(most);
    this.#chunkSize = this.#chunk.length;
    this.taken += most;
    return chunk.subarray(0, most);
  }

  #wait<T extends Buffer | string | null>(most: number = Number.POSITIVE_INFINITY): Promise<T> {
    if (this.#pending !== null) return Promise.reject(new TypeError('Tried to read a message twice at once'));
    return new Promise((resolve, reject) => {
      this.#pending = { resolve: resolve as Pending['resolve'], reject, most };
      this.#receiver.pump();
    });
  }

  /** Nothing more is read of the message; a waiting receive() may have the next one. */
  #finish(value: Buffer | string | null): void {
    const wasDone = this.done;
    this.done = true;
    this.#assembler = null;
    this.#settle(value);
    if (wasDone) return;
    this.#receiver.pump();
    this.#receiver.onLeft();
  }

  #settle(value: Buffer | string | null): void {
    const pending = this.#pending;
    this.#pending = null;
    pending?.resolve(value);
  }
}
