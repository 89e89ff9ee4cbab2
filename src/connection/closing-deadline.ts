/** The deadline of the closing handshake, RFC 6455 §7.1.1. */
import { deadline } from '../deadline.js';
import type { Transport } from './transport.js';

/**
 * Expires `closeTimeout` after the Close frame has left: it was flushed, and while the peer's Close frame is awaited,
 * what the kernel may hold in front of it has had its time, see `Transport.delay`. Before that it expires when nothing
 * was flushed for so long, or at most twice as long while one part is under way: a large backlog takes its time, as
 * long as it moves.
 */
export class ClosingDeadline {
  #cancel: (() => void) | null = null;
  /** Bytes that were flushed when it was set; -1 once the Close frame was. */
  #flushed = 0;
  /** It waits for what the kernel may hold, too. */
  #delayed = false;
  readonly #transport: Transport;
  readonly #timeout: number;
  readonly #expired: () => void;

  constructor(transport: Transport, timeout: number, expired: () => void) {
    this.#transport = transport;
    this.#timeout = timeout;
    this.#expired = expired;
  }

  /** Begins it, or begins it again. */
  set(): void {
    this.#flushed = this.#transport.flushed;
    this.#wait(this.#timeout, () => this.#check());
  }

  /**
   * The Close frame was flushed: from here on nothing extends it.
   *
   * @param awaitsPeer - the peer's Close frame has not been read
   */
  onCloseFlushed(awaitsPeer: boolean): void {
    if (this.#cancel === null || this.#flushed < 0) return;
    const delay = awaitsPeer ? this.#transport.delay : 0;
    this.#flushed = -1;
    this.#delayed = delay > 0;
    this.#wait(this.#timeout + delay, this.#expired);
  }

  /** The peer's Close frame came: only the end of the TCP connection is awaited. */
  onPeerClose(): void {
    if (this.#delayed && this.#cancel !== null) this.#wait(this.#timeout, this.#expired);
    this.#delayed = false;
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #wait(time: number, then: () => void): void {
    this.cancel();
    this.#cancel = deadline(time, then);
  }

  #check(): void {
    const partDelay = Math.min(this.#transport.partDelay, this.#timeout);
    if (this.#moved) this.set();
    else if (partDelay > 0) this.#wait(partDelay, () => (this.#moved ? this.set() : this.#expired()));
    else this.#expired();
  }

  get #moved(): boolean {
    return this.#transport.flushed > this.#flushed;
  }
}
