/**
 * Who waits until what was sent is flushed.
 *
 *     QUEUED ── the transport has everything ──▶ GIVEN ── it is flushed ──▶ FLUSHED ── a later turn ──▶ told
 *
 * What is sent meanwhile is not waited for: a peer that has us answer Pings without end would hold them for ever.
 */
import { onAbort } from '../abort.js';
import type { Lifecycle } from '../lifecycle.js';
import { nextTurn } from './output-turns.js';

/** One that waits. */
interface Waiter {
  resolve(): void;
  reject(error: Error): void;
  /**
   * It waits for messages as well that have not had their turn, and is told in a turn of its own: a caller that sends
   * on at once would keep the event loop for itself.
   */
  readonly all: boolean;
  given: boolean;
}

/** Those who wait, of one connection. */
export class FlushWaits {
  /** A `send()` returned false, so that 'drain' is due. */
  #drain: Waiter | null = null;
  // Many may share a signal, and are removed together
  #queued: Set<Waiter> = new Set();
  #given: Set<Waiter> = new Set();
  #flushed: Set<Waiter> = new Set();
  #turn: Promise<void> | null = null;
  readonly #life: Lifecycle;

  constructor(life: Lifecycle) {
    this.#life = life;
  }

  /** How many wait. */
  get count(): number {
    return this.#queued.size + this.#given.size + this.#flushed.size;
  }

  /** Resolves in a later turn of the event loop; one promise for all calls that are made before. */
  turn(): Promise<void> {
    this.#turn ??= nextTurn().then(() => {
      this.#turn = null;
    });
    return this.#turn;
  }

  /** Resolves once all frames that were sent are flushed; with `all`, all messages. The signal ends only the wait. */
  wait(all: boolean, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter =
        signal === undefined
          ? { resolve, reject, all, given: false }
          : {
              resolve(): void {
                stop();
                resolve();
              },
              reject(error): void {
                stop();
                reject(error);
              },
              all,
              given: false,
            };
      this.#queued.add(waiter);
      const stop = onAbort(signal, (reason) => {
        for (const waiters of [this.#queued, this.#given, this.#flushed]) waiters.delete(waiter);
        reject(reason);
      });
    });
  }

  /** 'drain' is due. */
  get full(): boolean {
    return this.#drain !== null;
  }

  /** A `send()` returned false: 'drain' is due once all that was sent up to now is flushed. */
  drain(): void {
    if (this.#drain?.given === false) return;
    const drain: Waiter = {
      resolve: () => this.#onDrained(drain),
      reject: () => {},
      all: true,
      given: false,
    };
    this.#drain = drain;
    this.#queued.add(drain);
  }

  #onDrained(drain: Waiter): void {
    const { context, emitter, sender } = this.#life;
    // A later send() returned false, too, and that is not flushed yet
    if (this.#drain === null || (this.#drain !== drain && sender.amount > 0)) return;
    this.#drain = null;
    context.emit(emitter, 'drain');
  }

  /** The transport has all frames, and if `all`, no message waits for its turn. */
  given(all: boolean): void {
    const queued = this.#queued;
    if (queued.size === 0) return;
    this.#queued = new Set();
    for (const waiter of queued) {
      waiter.given = all || !waiter.all;
      (waiter.given ? this.#given : this.#queued).add(waiter);
    }
  }

  /** What the transport had is flushed. */
  flushed(): void {
    const given = this.#given;
    if (given.size === 0) return;
    this.#given = new Set();
    const waits = this.#flushed.size > 0;
    for (const waiter of given) if (waiter.all) this.#flushed.add(waiter);
    if (!waits && this.#flushed.size > 0) void nextTurn().then(() => this.#tell());
    for (const waiter of given) if (!waiter.all) waiter.resolve();
  }

  /** Messages were dropped. */
  reject(error: Error): void {
    const waiters = [...this.#flushed, ...this.#given, ...this.#queued];
    this.#flushed = new Set();
    this.#given = new Set();
    this.#queued = new Set();
    for (const waiter of waiters) waiter.reject(error);
  }

  #tell(): void {
    const flushed = this.#flushed;
    this.#flushed = new Set();
    for (const waiter of flushed) waiter.resolve();
  }
}
