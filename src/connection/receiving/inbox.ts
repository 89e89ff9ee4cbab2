/**
 * Messages delivered one by one, for `receive()` and iteration: pulled, never pushed.
 *
 *     EMPTY ── receive() waits, data arrives ──▶ CURRENT ── read, cancelled, left, or discarded ──▶ EMPTY
 *                                                   │ receive() again: a message never begun is discarded, and
 *                                                   │ one of which no part is being read; while one is being
 *                                                   ▼ read, the call waits
 */
import { WebSocketError } from '../../errors.js';
import type { Endpoint } from '../../protocol/endpoint.js';
import { Opcode } from '../../protocol/opcode.js';
import { onAbort } from '../abort.js';
import type { EndReason } from '../end-reason.js';
import { handled } from '../handled.js';
import { MessageBody } from './message-body.js';
import { MessageReader } from './message-reader.js';
import { limitNext } from './receive-limits.js';
import type { Receiver } from './receiver.js';

interface Waiter {
  resolve(message: MessageReader | null): void;
  reject(error: unknown): void;
  stop(): void;
  /** The iteration that waits, or null for a call of `receive()`. */
  readonly iteration: object | null;
}

/** Keeps the call that waits for a message, and the message that was delivered last. */
export class Inbox {
  /** Iteration was left, and nothing was asked for since. */
  left = false;
  /** The message that was delivered last, until it is done with. */
  #body: MessageBody | null = null;
  #waiter: Waiter | null = null;
  /** The last call has not settled yet. */
  #pending = false;
  readonly #settled = (): void => {
    this.#pending = false;
  };
  /** How the connection ended: an error, or null after a clean close; undefined before. */
  #end: Error | null | undefined = undefined;
  readonly #receiver: Receiver;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  /** The next message; null after a clean close. Rejects with `signal.reason` when the signal aborts. */
  receive(signal?: AbortSignal, iteration: object | null = null): Promise<MessageReader | null> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#pending) {
      return Promise.reject(
        new WebSocketError('ERR_CONSUMPTION', 'Tried to receive a message while another receive() waits'),
      );
    }
    this.left = false;
    this.#pending = true;
    this.#body?.skip();
    const promise = new Promise<MessageReader | null>((resolve, reject) => {
      const waiter: Waiter = { resolve, reject, stop: () => {}, iteration };
      this.#waiter = waiter;
      waiter.stop = onAbort(signal, (reason) => {
        this.#waiter = null;
        this.#pending = false;
        reject(reason);
      });
      this.#settle();
      this.#receiver.pump();
    });
    // Before the caller goes on: until then, it may have a message that it does not know of
    promise.then(this.#settled, this.#settled);
    return promise;
  }

  /** All messages until a clean close. */
  messages(): AsyncIterableIterator<MessageReader> {
    const inbox = this;
    return {
      next(): Promise<IteratorResult<MessageReader, undefined>> {
        return handled(
          inbox
            .receive(undefined, this)
            .then((value) => (value === null ? { done: true, value: undefined } : { done: false, value })),
        );
      },
      async return(): Promise<IteratorResult<MessageReader, undefined>> {
        inbox.leave(this);
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator](): AsyncIterableIterator<MessageReader> {
        return this;
      },
    };
  }

  /**
   * The message that was delivered last is being read. One that is read in parts, by a consumer that has left, is only
   * while it waits for a part: nothing tells whether it will ask for another.
   */
  get reading(): boolean {
    const body = this.#body;
    if (body === null || (this.left && body.between)) return false;
    return body.reading;
  }

  /** That, and it was received whole. */
  get hasWhole(): boolean {
    return this.reading && this.#body!.ended;
  }

  /**
   * Iteration is left: nothing that is still unread is asked for, unless `receive()` or a new iteration does. The call
   * that waits is over if it is the iteration's.
   */
  leave(iteration: object): void {
    const waiter = this.#waiter;
    if (waiter !== null) {
      if (waiter.iteration !== iteration) return;
      this.#waiter = null;
      waiter.stop();
      waiter.resolve(null);
    }
    this.left = true;
    this.#receiver.onLeft();
  }

  /** Accepts the current data event, or returns false: nothing has asked for it yet. */
  offer(endpoint: Endpoint): boolean {
    if (this.#body === null || this.#body.ended) {
      if (this.#body !== null && !this.#body.done) return false;
      const waiter = this.#waiter;
      if (waiter === null) return false;
      this.#waiter = null;
      waiter.stop();
      this.#body = new MessageBody(this.#receiver);
      waiter.resolve(new MessageReader(endpoint.opcode === Opcode.Text ? 'text' : 'binary', this.#body));
    }
    if (!this.#body.offer(endpoint)) return false;
    if (endpoint.last) limitNext(this.#receiver.life);
    return true;
  }

  /** A part of the message was read, or left: a call that waits for the next one discards the rest. */
  onPartEnd(): void {
    if (this.#waiter !== null) this.#body!.skip();
    this.#receiver.onLeft();
  }

  /** A message that was not received whole never will be. */
  fail(error: Error): void {
    this.#body?.fail(error);
  }

  /** The connection is over. */
  close(reason: EndReason): void {
    const { readError } = reason;
    this.fail(readError ?? reason.error);
    this.end(readError);
  }

  /** The connection is over: waiting and later calls reject with `error`, or resolve to null after a clean close. */
  end(error: Error | null): void {
    if (this.#end === undefined) this.#end = error;
    this.#settle();
  }

  /** Settles the waiting call, if the connection is over. */
  #settle(): void {
    const waiter = this.#waiter;
    const end = this.#end;
    if (waiter === null || end === undefined) return;
    this.#waiter = null;
    waiter.stop();
    if (end === null) waiter.resolve(null);
    else waiter.reject(end);
  }
}
