/**
 * Keepalive, RFC 6455 §5.5.2: a Ping "may serve either as a keepalive or as a means to verify that the remote
 * endpoint is still responsive". One coarse timer serves all connections with the same rhythm.
 *
 *     ── pingInterval ──▶ Ping ── pingTimeout without a byte ──▶ lost
 *                          ▲        │ any byte
 *                          └────────┘
 */

import { TimeoutError } from '../errors.js';

/** Whom keepalive asks and tells. */
export interface KeepaliveOwner {
  /** A Ping is due. */
  onPingDue(): void;
  /** Whether nothing is read because of this side: then a missing Pong proves nothing. */
  readonly suspended: boolean;
  /** The peer is gone. */
  onLost(error: TimeoutError): void;
}

/** Beats per interval: what is noticed may be late by this part of it. */
const RESOLUTION = 8;
const LONGEST_PERIOD = 1000;

interface Heart {
  readonly members: Set<Keepalive>;
  readonly timer: NodeJS.Timeout;
}

const hearts = new Map<number, Heart>();

/** The keepalive of one connection. */
export class Keepalive {
  /** A byte came since the last beat; set by the connection. */
  heard = false;
  /** When the last Ping was sent. */
  #pingedAt = performance.now();
  /** Its answer is awaited. */
  #waiting = false;
  readonly #owner: KeepaliveOwner;
  readonly #interval: number;
  readonly #timeout: number;
  readonly #period: number;

  /** @param interval - ms between Pings; @param timeout - ms without a byte until the peer counts as gone */
  constructor(owner: KeepaliveOwner, interval: number, timeout: number) {
    this.#owner = owner;
    this.#interval = interval;
    this.#timeout = timeout;
    this.#period = Math.max(
      1,
      Math.min(LONGEST_PERIOD, Math.floor(Math.min(interval, timeout) / RESOLUTION)),
    );
    let heart = hearts.get(this.#period);
    if (heart === undefined) {
      heart = { members: new Set(), timer: setInterval(beatAll, this.#period, this.#period).unref() };
      hearts.set(this.#period, heart);
    }
    heart.members.add(this);
  }

  /** Ends it. */
  stop(): void {
    const heart = hearts.get(this.#period);
    if (!heart?.members.delete(this) || heart.members.size > 0) return;
    clearInterval(heart.timer);
    hearts.delete(this.#period);
  }

  /** @internal */
  beat(now: number): void {
    if (this.heard || this.#owner.suspended) this.#waiting = false;
    this.heard = false;
    if (this.#waiting) {
      if (now - this.#pingedAt < this.#timeout) return;
      this.#owner.onLost(new TimeoutError(`The peer was silent for ${this.#timeout} ms after a Ping`));
    } else if (now - this.#pingedAt >= this.#interval) {
      this.#pingedAt = now;
      this.#waiting = true;
      this.#owner.onPingDue();
    }
  }
}

function beatAll(period: number): void {
  const now = performance.now();
  for (const member of hearts.get(period)?.members ?? []) member.beat(now);
}
