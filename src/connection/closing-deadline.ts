/** The deadline of the closing handshake, RFC 6455 §7.1.1. */
import { deadline } from '../deadline.js';
import type { Transport } from './transport.js';

/**
 * Expires `closeTimeout` after the Close frame was flushed. Before that it expires when nothing was flushed for so
 * long: a large backlog takes its time, as long as it moves.
 */
export class ClosingDeadline {
  #cancel: (() => void) | null = null;
  /** Writes that were flushed when it was set; -1 once the Close frame was. */
  #flushed = 0;
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
    this.cancel();
    this.#flushed = this.#transport.flushed;
    this.#cancel = deadline(this.#timeout, () => this.#check());
  }

  /** The Close frame was flushed: from here on nothing extends it. */
  onCloseFlushed(): void {
    if (this.#cancel === null || this.#flushed < 0) return;
    this.set();
    this.#flushed = -1;
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #check(): void {
    this.#cancel = null;
    if (this.#flushed >= 0 && this.#transport.flushed > this.#flushed) this.set();
    else this.#expired();
  }
}
