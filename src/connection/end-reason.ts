/** Why a connection ended, RFC 6455 §7.1.5-§7.1.7, and those that wait for it. */
import { ConnectionClosedError } from '../errors.js';
import type { CloseInfo, ClosingHandshake } from '../protocol/closing-handshake.js';

/** Errors by which connections ended, and whose they are. */
const owners = new WeakMap<Error, EndReason>();

/** The one place that knows why a connection ends or has ended. */
export class EndReason {
  /** What ended the connection, other than the closing handshake; null as long as nothing did. */
  failure: Error | null = null;
  /** `failure` is a violation by the peer, or an error of an extension: reading rejects with it. */
  #violated = false;
  /** `failure` was emitted as an event. */
  #reported = false;
  #error: ConnectionClosedError | null = null;
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
    this.#error ??= this.#makeError(this.#closing.code, this.#closing.reason);
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
    return error instanceof Error && owners.get(error) === this;
  }

  /** The connection is lost by an error, or failed because of it; the first one is the reason. */
  fail(reason: Error, violated = false): void {
    // An extension may throw anything
    const error =
      reason instanceof Error ? reason : new Error('The extension threw no Error', { cause: reason });
    owners.set(error, this);
    if (this.failure !== null) return;
    this.failure = error;
    this.#violated = violated;
  }

  /** Calls reject from here on, with this code and reason: by default with those of the peer's Close frame. */
  begin(code: number = this.#closing.code, reason: string = this.#closing.reason): ConnectionClosedError {
    this.#error = this.#makeError(code, reason);
    return this.#error;
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

  #makeError(code: number, reason: string): ConnectionClosedError {
    const error = new ConnectionClosedError(
      code,
      reason,
      this.failure === null ? {} : { cause: this.failure },
    );
    owners.set(error, this);
    return error;
  }
}
