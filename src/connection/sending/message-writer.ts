/** A message sent piece by piece, as fragments, RFC 6455 §5.4. */
import { type MessageOpcode, Opcode } from '../../protocol/opcode.js';
import { Utf8Validator } from '../../protocol/utf8.js';
import { onAbort } from '../abort.js';
import { signalOf } from '../call-options.js';
import type { WriteOptions } from '../connection-types.js';
import type { Lifecycle } from '../lifecycle.js';
import type { MessageType } from '../receiving/message-reader.js';
import { unchanged } from '../written-memory.js';
import { MessageWritable } from './message-writable.js';
import { type BytesLike, isPayload, sizeOf, toBytes } from './payload.js';
import { Turn, type TurnHolder } from './send-queue.js';

/**
 * Sends one message, each `write()` as a fragment. The message has the connection's outgoing side for itself
 * until it ends: other messages are queued; Pings and Pongs are not.
 *
 * ```text
 * WAITING for its turn ──▶ first fragment ──▶ BEGUN ── end() ──▶ DONE
 *    │ abort(), the connection closes              │
 *    ▼                                             ▼
 * CANCELLED: nothing was sent                 CANCELLED: the connection closes with 1011, or is closing
 * ```
 *
 * @example
 * ```ts
 * const writer = ws.createWriter('binary');
 * for await (const chunk of file) await writer.write(chunk);
 * await writer.end();
 * ```
 */
export class MessageWriter implements TurnHolder {
  readonly type: MessageType;
  /** @internal `end()` was called, and nothing has failed. */
  ending = false;
  readonly #oncancel: Set<(reason: unknown) => void> = new Set();
  #writable: MessageWritable | null = null;
  readonly #opcode: MessageOpcode;
  readonly #life: Lifecycle;
  readonly #utf8: Utf8Validator = new Utf8Validator();
  /** The step before; the next one follows it. */
  #tail: Promise<void>;
  #reject!: (error: Error) => void;
  /** Fragments were sent, which cannot be taken back. */
  #begun = false;
  /** Why the message cannot be completed. */
  #cancelled: { readonly reason: unknown } | null = null;
  /** The first half of a surrogate pair whose second half is still to come. */
  #half = '';

  /** @internal `ended` is why nothing can be sent any more, or null. */
  constructor(type: MessageType, life: Lifecycle, ended: Error | null) {
    this.type = type;
    this.#opcode = type === 'text' ? Opcode.Text : Opcode.Binary;
    this.#life = life;
    this.#tail = new Promise((resolve, reject) => {
      this.#reject = reject;
      const granted = (): void => {
        if (this.#cancelled === null) resolve();
        else life.sender.release(this);
      };
      if (ended !== null) this.cancel(ended);
      else if (!life.sender.queue.acquire(this, granted)) this.cancel(life.reason.error);
    });
    this.#tail.catch(() => {});
  }

  /**
   * Sends a fragment. Resolves when its bytes are flushed, which is when the peer has room for them: awaiting it
   * is all the backpressure there is, and the chunk may be reused then.
   *
   * Text may be given as strings or as bytes of UTF-8, cut anywhere. Bytes that are not UTF-8 reject with a
   * TypeError and abort the message as {@link abort} does. Rejects with a `ConnectionClosedError` when the
   * connection ends, with a TypeError after `end()`.
   *
   * A signal that aborts in front of that aborts the message, as {@link abort} does: of a fragment that is being sent
   * nothing can be taken back. Once `end()` was called the message is complete, whatever the signal does.
   *
   * @example
   * ```ts
   * await writer.write(chunk, { signal: AbortSignal.timeout(5_000) });
   * ```
   */
  write(chunk: string | BytesLike, options?: WriteOptions): Promise<void> {
    if (options === undefined) return this.#step(chunk, false);
    let signal: AbortSignal | undefined;
    try {
      signal = signalOf('write()', options);
    } catch (error) {
      return Promise.reject(error);
    }
    const stop = onAbort(signal, (reason) => this.abort(reason));
    const step = this.#step(chunk, false);
    step.then(stop, stop);
    return step;
  }

  /** Sends the last fragment, empty without a chunk, after which queued messages follow. */
  end(chunk: string | BytesLike = ''): Promise<void> {
    return this.#step(chunk, true);
  }

  /**
   * Aborts the message. What was sent of it cannot be taken back (§5.4 has no frame for that): unless nothing
   * was sent yet, the connection is closed with 1011, and the messages queued after this one are dropped. Pending
   * writes reject with `reason`.
   */
  abort(reason: unknown = new Error('The message was aborted')): void {
    if (this.ending || this.#cancelled !== null) return;
    this.#cancelled = { reason };
    for (const listener of this.#oncancel) listener(reason);
    if (this.#begun) {
      this.#life.onWriterAborted();
      return;
    }
    this.#reject(reason as Error);
    this.#life.sender.release(this);
  }

  /**
   * The message as a web stream, made on first use: `pipeTo()` writes into it, one chunk at a time, no faster than the
   * peer reads. Its `close()` ends the message, its `abort()` aborts it as {@link abort} does, so that the peer never
   * receives it as a whole: a pipe whose source fails or whose signal aborts does that. With `preventClose` several
   * pipes make one message. The stream errors when the message is aborted or the connection ends, with that error;
   * its own promises are marked as handled, the one of `pipeTo()` has to be awaited. An aborted pipe first waits until
   * its pending write is flushed, as all pipes do; `abort()` of writer or stream does not.
   *
   * @example
   * ```ts
   * await response.body.pipeTo(ws.createWriter('binary').writable);
   * ```
   */
  get writable(): WritableStream<string | BytesLike> {
    this.#writable ??= new MessageWritable(this);
    return this.#writable;
  }

  /** Aborts the message unless it was ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.abort();
    await this.#tail.catch(() => {});
  }

  /** @internal The connection closes before the message is complete. */
  cancel(error: Error): void {
    this.#cancelled ??= { reason: error };
    this.#reject(error);
    for (const listener of this.#oncancel) listener(error);
  }

  /**
   * @internal Calls `listener` when the message is aborted, or the connection ends before it; at once if that is so.
   * Returns what removes the listener.
   */
  onCancelled(listener: (reason: unknown) => void): () => void {
    this.#oncancel.add(listener);
    if (this.#cancelled !== null) listener(this.#cancelled.reason);
    return () => this.#oncancel.delete(listener);
  }

  #step(chunk: string | BytesLike, fin: boolean): Promise<void> {
    if (this.ending) return Promise.reject(new TypeError('Tried to write to a message after end()'));
    const { sender } = this.#life;
    const size = sizeOf(chunk);
    let held = this.#cancelled === null && sender.queue.holdFragment(size);
    if (held) this.ending = fin;
    const release = (): void => {
      if (held) sender.queue.releaseFragment(size);
      held = false;
    };
    const turn = (): Promise<void> => {
      if (this.#cancelled === null) return this.#put(chunk, fin, size, release);
      release();
      // It may have been the last that drained() and 'drain' wait for
      this.#life.sender.schedule();
      this.ending = false;
      // Thrown here, not by an async function: Node.js would first note its promise as rejected without a handler
      throw this.#cancelled.reason;
    };
    const step = this.#tail.then(turn, turn);
    // It also marks the promise as handled: the end of a connection that nobody awaits is no unhandled rejection
    this.#tail = step.catch(() => {});
    // A wrong argument is the caller's mistake, and not handled
    return isPayload(chunk) ? step : step.then();
  }

  /** @param size - the bytes of the chunk when it was given; @param release - the fragment no longer waits */
  async #put(chunk: string | BytesLike, fin: boolean, size: number, release: () => void): Promise<void> {
    const { sender } = this.#life;
    try {
      const given = unchanged(chunk, size);
      const data = this.type === 'text' ? this.#text(given, fin) : this.#binary(given);
      this.#begun = true;
      sender.queue.turn = Turn.Begun;
      const work = this.#frame(data, fin);
      if (work !== undefined) await work;
      if (sender.queue.turn !== Turn.Begun) throw this.#life.reason.error;
      release();
      await sender.flushFragment(data.length);
    } catch (error) {
      release();
      // It may have been the last that drained() and 'drain' wait for
      sender.schedule();
      this.ending = false;
      this.abort(error);
      throw this.#cancelled!.reason;
    }
    if (fin) sender.release(this);
  }

  /** Frames a fragment; an extension that fails at it fails the connection. */
  #frame(data: string | Uint8Array, fin: boolean): Promise<void> | undefined {
    const fail = (error: unknown): void => this.#life.onSourceFailure(error as Error);
    try {
      return this.#life.endpoint.send(this.#opcode, data, fin)?.catch(fail);
    } catch (error) {
      fail(error);
      return undefined;
    }
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
    if (!valid || (fin && !this.#utf8.complete)) {
      throw new TypeError('Tried to send bytes as text that are not UTF-8');
    }
    return bytes;
  }
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
