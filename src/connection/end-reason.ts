/** Why a connection ended, RFC 6455 §7.1.5-§7.1.7, and those that wait for it. */
import { ConnectionClosedError } from '../errors.js';
import type { CloseInfo, ClosingHandshake } from '../protocol/closing-handshake.js';

/** The one place that knows why a connection ends or has ended. */
export class EndReason {
  /** What ended the connection, other than the closing handshake; null as long as nothing did. */
  failure: Error | null = null;
  /** `failure` is a violation by the peer, or an error of an extension: reading rejects with it. */
  #violated = false;
  /** `failure` was emitted as an event. */
  #reported = false;
  /** Made when something needs it: an error takes longer than the rest of an end, for its stack. */
  #error: ConnectionClosedError | null = null;
  /** The code and the reason that calls reject with, if they are not those of the peer's Close frame. */
  #own: { readonly code: number; readonly reason: string } | null = null;
  /** All errors by which this connection ended. */
  #errors: Error[] | null = null;
  #info: CloseInfo | null = null;
  #closed: { readonly promise: Promise<CloseInfo>; readonly resolve: (info: CloseInfo) => void } | null =
    null;
  /** Calls that wait for something that will not come after the end. */
  #waiting: Set<(error: Error) => void> | null = null;
  readonly #closing: ClosingHandshake;

  constructor(closing: ClosingHandshake) {
    this.#closing = closing;
  }

  /** What calls reject with that can do nothing any more. */
  get error(): ConnectionClosedError {
    if (this.#error === null) {
      const { code, reason } = this.#own ?? this.#closing;
      this.#error = new ConnectionClosedError(
        code,
        reason,
        this.failure === null ? {} : { cause: this.failure },
      );
      this.#note(this.#error);
    }
    return this.#error;
  }

  /** What iteration and `receive()` end with: null after a clean close. */
  get readError(): Error | null {
    if (this.#closing.info.wasClean) return null;
    return this.#violated ? this.failure : this.error;
  }

  /** How the connection ended; resolves when that is reported. */
  get closed(): Promise<CloseInfo> {
    if (this.#closed === null) {
      let resolve!: (info: CloseInfo) => void;
      const promise = new Promise<CloseInfo>((settle) => {
        resolve = settle;
      });
      this.#closed = { promise, resolve };
      if (this.#info !== null) resolve(this.#info);
    }
    return this.#closed.promise;
  }

  /** The error is how this connection ended. */
  includes(error: unknown): boolean {
    return this.#errors?.includes(error as Error) === true;
  }

  /** The connection is lost by an error, or failed because of it; the first one is the reason. */
  fail(reason: Error, violated = false): void {
    // An extension may throw anything
    const error =
      reason instanceof Error ? reason : new Error('The extension threw no Error', { cause: reason });
    this.#note(error);
    if (this.failure !== null) return;
    this.failure = error;
    this.#violated = violated;
  }

  /** Calls reject from here on, with this code and reason, or with those of the peer's Close frame. */
  begin(code?: number, reason = ''): void {
    this.#own = code === undefined ? null : { code, reason };
    this.#error = null;
  }

  /** Reports the end to a call that waits; returns what stops that. */
  onEnded(listener: (error: Error) => void): () => void {
    this.#waiting ??= new Set();
    this.#waiting.add(listener);
    return () => this.#waiting?.delete(listener);
  }

  /** Rejects the calls that wait. */
  rejectWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    for (const listener of waiting ?? []) listener(this.error);
  }

  /** The failure, the first time that it is asked for. */
  takeFailure(): Error | null {
    if (this.#reported) return null;
    this.#reported = this.failure !== null;
    return this.failure;
  }

  /** The end is reported: `closed` resolves. */
  settle(): CloseInfo {
    this.#info = this.#closing.info;
    this.#closed?.resolve(this.#info);
    return this.#info;
  }

  #note(error: Error): void {
    this.#errors ??= [];
    this.#errors.push(error);
  }
}
