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

/** What beats for all connections with the same times. */
interface Heart {
  readonly interval: number;
  readonly timeout: number;
  readonly members: Keepalive[];
  readonly timer: NodeJS.Timeout;
}

const hearts = new Map<string, Heart>();

/** The keepalive of one connection. */
export class Keepalive {
  /** A byte came since the last beat; set by the connection. */
  heard = false;
  /** When the last Ping was sent, in whole milliseconds: other numbers are objects of their own. */
  #pingedAt = Math.round(performance.now());
  /** Its answer is awaited. */
  #waiting = false;
  readonly #owner: KeepaliveOwner;
  readonly #heart: Heart;
  /** Where it stands among the members of its heart; -1 when it has ended. */
  #place: number;

  /** @param interval - ms between Pings; @param timeout - ms without a byte until the peer counts as gone */
  constructor(owner: KeepaliveOwner, interval: number, timeout: number) {
    this.#owner = owner;
    const key = `${interval} ${timeout}`;
    let heart = hearts.get(key);
    if (heart === undefined) {
      heart = makeHeart(interval, timeout);
      hearts.set(key, heart);
    }
    this.#heart = heart;
    this.#place = heart.members.push(this) - 1;
  }

  /** Ends it. */
  stop(): void {
    const { interval, members, timeout, timer } = this.#heart;
    if (this.#place < 0) return;
    // The last one takes its place: an array of all is smaller than a Set, and nothing is hashed
    const last = members.pop()!;
    if (last !== this) {
      members[this.#place] = last;
      last.#place = this.#place;
    }
    this.#place = -1;
    if (members.length > 0) return;
    clearInterval(timer);
    hearts.delete(`${interval} ${timeout}`);
  }

  /** @internal */
  beat(now: number): void {
    if (this.heard || this.#owner.suspended) this.#waiting = false;
    this.heard = false;
    const { interval, timeout } = this.#heart;
    if (this.#waiting) {
      if (now - this.#pingedAt < timeout) return;
      this.#owner.onLost(new TimeoutError(`The peer was silent for ${timeout} ms after a Ping`));
    } else if (now - this.#pingedAt >= interval) {
      this.#pingedAt = now;
      this.#waiting = true;
      this.#owner.onPingDue();
    }
  }
}

function makeHeart(interval: number, timeout: number): Heart {
  const least = Math.min(interval, timeout);
  const period = Math.max(1, Math.min(LONGEST_PERIOD, Math.floor(least / RESOLUTION)));
  const members: Keepalive[] = [];
  return { interval, timeout, members, timer: setInterval(beatAll, period, members).unref() };
}

function beatAll(members: readonly Keepalive[]): void {
  const now = Math.round(performance.now());
  // From the end: whoever ends meanwhile, those that are still to come keep their places, or come twice, which is no harm
  for (let i = members.length - 1; i >= 0; i--) members[i]?.beat(now);
}
