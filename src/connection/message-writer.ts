/** A message sent piece by piece, as fragments, RFC 6455 §5.4. */
import { type MessageOpcode, Opcode } from '../protocol/opcode.js';
import { Utf8Validator } from '../protocol/utf8.js';
import type { MessageType } from './message-reader.js';
import { type BytesLike, toBytes } from './payload.js';

/** The outgoing side of a connection, as a writer uses it. */
export interface Turn {
  acquire(): Promise<void>;
  fragment(opcode: MessageOpcode, data: string | Uint8Array, fin: boolean): Promise<void>;
  release(): void;
}

/**
 * Sends one message, each `write()` as a fragment. The message has the connection's outgoing side for itself
 * until it ends: other messages wait behind it; Pings and Pongs do not.
 *
 * @example
 * ```ts
 * const writer = ws.createWriter('binary');
 * for await (const chunk of file) await writer.write(chunk);
 * await writer.end();
 * ```
 */
export class MessageWriter {
  readonly type: MessageType;
  readonly #opcode: MessageOpcode;
  readonly #queue: Turn;
  readonly #abandon: (reason: unknown) => void;
  readonly #utf8: Utf8Validator = new Utf8Validator();
  /** The step before; the next one follows it. */
  #tail: Promise<void>;
  /** It is this message's turn. */
  #holding = false;
  #ended = false;
  #aborted: { readonly reason: unknown } | null = null;
  /** Bytes were sent, which cannot be taken back. */
  #begun = false;
  /** The first half of a surrogate pair whose second half is still to come. */
  #half = '';

  /** @internal */
  constructor(type: MessageType, queue: Turn, abandon: (reason: unknown) => void) {
    this.type = type;
    this.#opcode = type === 'text' ? Opcode.Text : Opcode.Binary;
    this.#queue = queue;
    this.#abandon = abandon;
    this.#tail = queue.acquire().then(() => {
      this.#holding = true;
    });
    this.#tail.catch(() => {});
  }

  /**
   * Sends a fragment. Resolves when its bytes have left, which is when the peer has room for them: awaiting it
   * is all the backpressure there is to mind, and the chunk may be reused then.
   *
   * Text may be given as strings or as bytes of UTF-8, cut anywhere. Bytes that are not UTF-8 reject with a
   * TypeError and give the message up as {@link abort} does. Rejects with a `ConnectionClosedError` when the
   * connection ends, with a TypeError behind `end()`.
   */
  write(chunk: string | BytesLike): Promise<void> {
    return this.#step(chunk, false);
  }

  /** Sends the last fragment, empty without a chunk, and lets other messages go on. */
  end(chunk: string | BytesLike = ''): Promise<void> {
    return this.#step(chunk, true);
  }

  /**
   * Gives the message up. What was sent of it cannot be taken back (§5.4 has no frame for that): unless nothing
   * was sent yet, the connection is closed with 1011. Pending writes reject with `reason`.
   */
  abort(reason: unknown = new Error('The message was given up')): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#aborted = { reason };
    if (this.#begun) this.#abandon(reason);
    else this.#tail.then(() => this.#release()).catch(() => {});
  }

  /** Gives the message up unless it was ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.abort();
    await this.#tail.catch(() => {});
  }

  #step(chunk: string | BytesLike, fin: boolean): Promise<void> {
    if (this.#aborted !== null) return Promise.reject(this.#aborted.reason);
    if (this.#ended) return Promise.reject(new TypeError('Tried to write to a message that has ended'));
    this.#ended = fin;
    const step = this.#tail.then(() => this.#put(chunk, fin));
    this.#tail = step.catch(() => {});
    return step;
  }

  async #put(chunk: string | BytesLike, fin: boolean): Promise<void> {
    if (this.#aborted !== null) throw this.#aborted.reason;
    try {
      const data = this.type === 'text' ? this.#text(chunk, fin) : this.#binary(chunk);
      this.#begun = true;
      await this.#queue.fragment(this.#opcode, data, fin);
    } catch (error) {
      this.#ended = false;
      this.abort(error);
      throw error;
    }
    if (fin) this.#release();
  }

  #release(): void {
    if (this.#holding) this.#queue.release();
    this.#holding = false;
  }

  #binary(chunk: string | BytesLike): Uint8Array {
    return typeof chunk === 'string' ? Buffer.from(chunk) : toBytes(chunk);
  }

  #text(chunk: string | BytesLike, fin: boolean): string | Uint8Array {
    if (typeof chunk === 'string' && this.#utf8.complete) {
      const text = this.#half + chunk;
      const cut = !fin && isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length;
      this.#half = text.slice(cut);
      return text.slice(0, cut);
    }
    const bytes = this.#binary(chunk);
    const valid =
      this.#half === '' &&
      this.#utf8.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
    if (!valid || (fin && !this.#utf8.complete))
      throw new TypeError('Tried to send bytes as text that are not UTF-8');
    return bytes;
  }
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
