/**
 * Which limit applies to a message that is received, RFC 6455 §10.4.
 *
 *     limit in bytes                          text                                   binary
 *     consumed by 'message' events            maxMessageSize, V8's longest string    maxMessageSize
 *     collected by text(), bytes() ...        maxMessageSize, V8's longest string    maxMessageSize
 *     dropped without being begun             maxMessageSize                         maxMessageSize
 *     iterated over, read in parts, or not    maxStreamSize                          maxStreamSize
 *         begun
 *
 * Of a message that was read in parts first, what is left counts as collected. A part that is collected, by `read()`, is
 * as large as its caller says, `maxMessageSize` at most.
 *
 * `Endpoint.checkSize()` compares with them, wherever a size becomes known. What is discarded as the connection closes
 * is neither decoded nor limited.
 */
import { constants } from 'node:buffer';
import type { ProtocolError } from '../../errors.js';
import type { Lifecycle } from '../lifecycle.js';

/** Sets the limits of the endpoint, and fails the connection when the current message is over them. */
export class ReceiveLimits {
  readonly #life: Lifecycle;

  constructor(life: Lifecycle) {
    this.#life = life;
  }

  /** Messages are read one by one from here on, in chunks if so wanted. */
  stream(): void {
    const { maxStreamSize } = this.#life.options;
    this.#check(() => this.#life.endpoint.limit(maxStreamSize));
  }

  /** The current message was received; the next one may be read in chunks. */
  next(): void {
    const { endpoint, options } = this.#life;
    endpoint.maxMessageSize = endpoint.maxTextSize = options.maxStreamSize;
  }

  /**
   * The current message, of which `taken` bytes were read before, and all from here on, are collected in memory; the
   * error when it is over the limit.
   */
  collect(taken = 0): ProtocolError | null {
    const most = this.maxCollected + taken;
    return this.#check(() =>
      this.#life.endpoint.limit(most, Math.min(most, constants.MAX_STRING_LENGTH + taken)),
    );
  }

  /** A message that was received whole is collected in memory; the error when its `size` is over the limit. */
  collectReceived(size: number): ProtocolError | null {
    return this.#check(() => this.#life.endpoint.checkSize(size, this.maxCollected));
  }

  /** Most bytes that are collected in memory. */
  get maxCollected(): number {
    return Math.min(this.#life.options.maxMessageSize, constants.MAX_LENGTH);
  }

  #check(exceeds: () => void): ProtocolError | null {
    try {
      exceeds();
      return null;
    } catch (error) {
      this.#life.receiver.fail(error as Error);
      return error as ProtocolError;
    }
  }
}
