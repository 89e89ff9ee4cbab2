/** Deadlines that a stall of this process does not cut short: used by handshakes and by connections. */

/** A deadline that was set by {@link deadline}. */
export interface Deadline {
  /** Forgets the deadline: its callback is not called any more. Of no effect afterwards. */
  cancel(): void;
}

/**
 * Calls `callback` once `ms` milliseconds are over and the event loop has polled for input after that.
 *
 * A process that was blocked or stopped runs its timers before it reads from its sockets, so that a plain
 * timer ends peers whose answers have long been in the kernel's buffers. Here those are read first, and may
 * cancel the deadline.
 *
 *     setTimeout ──▶ timers ──▶ poll: what has arrived is read ──▶ setImmediate ──▶ callback, unless cancelled
 *
 * It keeps the process alive until it is cancelled or called; nothing is unref'd.
 *
 * @param ms - at most 2^31 - 1
 */
export function deadline(ms: number, callback: () => void): Deadline {
  return new PolledDeadline(ms, callback);
}

class PolledDeadline implements Deadline {
  readonly #timer: NodeJS.Timeout;
  #immediate: NodeJS.Immediate | undefined;

  constructor(ms: number, callback: () => void) {
    this.#timer = setTimeout(() => {
      this.#immediate = setImmediate(callback);
    }, ms);
  }

  cancel(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
  }
}
