/**
 * The heartbeat, RFC 6455 §5.5.2: a Ping "may serve either as a keepalive or as a means to verify that the remote
 * endpoint is still responsive". One coarse timer serves all connections with the same times.
 *
 *     QUIET ── pingInterval since the last Ping ──▶ Ping ──▶ UNSENT ── its bytes are flushed ──▶ AWAITED
 *       ▲                                                                                            │
 *       └──────────────── a byte, or progress of a stalled write, and the Ping has left ──────────────┤
 *                                       pingTimeout in AWAITED, and two more polls without either ─▶ lost
 *
 * - A write that the kernel accepts at once proves nothing: only one that was stalled from beat to beat, and is
 *   flushed then, was acknowledged by the peer's TCP.
 * - A Ping that could not be sent starts no timeout, and one that the kernel holds behind other bytes starts it late:
 *   `pingTimeout` begins when those may have left, see `Transport.delay`.
 * - While reading is paused by this side, a missing Pong proves nothing. TCP watches the peer then, and unsolicited
 *   Pongs, "a unidirectional heartbeat" (§5.5.3), tell it that this side is alive though it answers no Ping. A Pong
 *   that is not acknowledged is sent again by TCP, about 15 minutes long on Linux, and keepalive probes wait for that.
 */
import { afterPolls } from '../deadline.js';
import { TimeoutError } from '../errors.js';
import type { Lifecycle } from './lifecycle.js';
import { sharedInterval } from './loop-time.js';

/** Beats per interval: a loss is noticed this part of it late, at most. */
const RESOLUTION = 8;
const MAX_PERIOD = 1000;
/** Milliseconds between signs of life while reading is paused, times two: the peer's own times are not known. */
const MAX_SILENCE = 10_000;
/** Milliseconds of one turn that a beat may use; the rest of the connections follow in the next turn. */
const SLICE = 4;
/** Connections between two looks at the clock. */
const LOOK = 64;

const Phase = { Quiet: 0, Unsent: 1, Awaited: 2 } as const;

/** The timer of all connections with the same times. */
interface Heart {
  readonly interval: number;
  readonly timeout: number;
  /** Milliseconds between beats. */
  readonly period: number;
  /** Whole milliseconds in which the event loop ran, and when that was brought up to date: a process that stalls loses no peer by it. */
  time: number;
  at: number;
  readonly members: Heartbeat[];
  readonly timer: NodeJS.Timeout;
  /** Members that the current beat has not come to yet: `members[0, rest)`. */
  rest: number;
}

const hearts = new Map<string, Heart>();
/** The one that the last connection has joined: most have the same times. */
let latest: Heart | null = null;

/** The heartbeat of one connection. */
export class Heartbeat {
  /** A byte has arrived since the last beat; set by the connection. */
  heard = false;
  #phase: number = Phase.Quiet;
  /** When the last Ping was sent; in {@link Phase.Awaited}, when it left at the latest. By the time of the heart. */
  #since: number;
  /** Bytes that were flushed at the last beat, if a write was stalled then; otherwise -1. */
  #stalledAt = -1;
  /** The peer is probed by TCP keepalive. */
  #watched = false;
  readonly #life: Lifecycle;
  readonly #heart: Heart;
  /** Its index among the members of its heart; -1 once it has stopped. */
  #index: number;

  /** @param interval - ms between Pings; @param timeout - ms without a sign of life until the peer is lost */
  constructor(life: Lifecycle, interval: number, timeout: number) {
    this.#life = life;
    const heart = heartOf(interval, timeout);
    keepTime(heart);
    this.#since = heart.time;
    this.#heart = heart;
    this.#index = heart.members.push(this) - 1;
  }

  /** Ends it. */
  stop(): void {
    const { interval, members, timeout, timer } = this.#heart;
    if (this.#index < 0) return;
    // The last one takes its place: an array of all is smaller than a Set, and nothing is hashed
    const last = members.pop()!;
    if (last !== this) {
      members[this.#index] = last;
      last.#index = this.#index;
    }
    this.#index = -1;
    if (members.length > 0) return;
    clearInterval(timer);
    hearts.delete(keyOf(interval, timeout));
    if (latest === this.#heart) latest = null;
  }

  /** @internal One beat at the time `at`. */
  beat(at: number): void {
    const { interval, timeout } = this.#heart;
    const life = this.#life;
    const alive = this.#alive();
    if (life.receiver.holding || (life.receiver.unread && !alive)) {
      this.#calm();
      this.#beatUnread(at, Math.min(interval, timeout, MAX_SILENCE) / 2);
      return;
    }
    if (alive) {
      this.#calm();
      this.#since = Math.min(this.#since, at);
    }
    if (this.#phase === Phase.Quiet) {
      if (at - this.#since < interval) return;
      this.#since = at;
      this.#phase = Phase.Unsent;
      const payload = life.pings.nextPayload();
      life.pings.sent(payload, life.transport.given);
      life.sender.ping(payload);
    }
    if (this.#phase === Phase.Unsent) {
      if (!life.sender.urgentFlushed) return;
      this.#since = at + life.transport.delay;
      this.#phase = Phase.Awaited;
    } else if (at - this.#since >= timeout) {
      // This process may have been stopped for all of the time: what has arrived is read first
      afterPolls(checkLost, this);
    }
  }

  /** @internal The peer has shown no sign of life in time, and the event loop has polled twice more. */
  checkLost(): void {
    if (this.#index < 0 || this.#phase !== Phase.Awaited) return;
    if (this.heard || this.#acknowledged || this.#life.receiver.unread) return;
    this.#life.onLost(
      new TimeoutError(`No byte arrived within pingTimeout (${this.#heart.timeout} ms) after a Ping`),
    );
  }

  /** No Pong is awaited. Behind a Ping that has not left no other one is sent. */
  #calm(): void {
    if (this.#phase !== Phase.Unsent || this.#life.sender.urgentFlushed) this.#phase = Phase.Quiet;
  }

  /** The peer has shown that it is alive since the last beat. */
  #alive(): boolean {
    const { transport } = this.#life;
    const alive = this.#acknowledged || this.heard;
    this.#stalledAt = transport.stalled ? transport.flushed : -1;
    this.heard = false;
    return alive;
  }

  /** The write that was stalled at the last beat is flushed. */
  get #acknowledged(): boolean {
    return this.#stalledAt >= 0 && this.#life.transport.flushed > this.#stalledAt;
  }

  #beatUnread(at: number, period: number): void {
    if (at - this.#since < period) return;
    this.#since = at;
    const { endpoint, sender, transport } = this.#life;
    if (!this.#watched) transport.watchPeer(this.#heart.interval);
    this.#watched = true;
    if (!transport.stalled) sender.control(() => endpoint.sendPong(Buffer.alloc(0)));
  }
}

function checkLost(heartbeat: Heartbeat): void {
  heartbeat.checkLost();
}

/** Whole milliseconds: a small integer takes no memory of its own. */
function now(): number {
  return Math.round(performance.now());
}

/** A beat that comes late by more than a period counts as one that comes in time: the process was blocked or stopped. */
function keepTime(heart: Heart): void {
  const at = now();
  // A clock that was replaced, as tests do, may be behind
  heart.time += Math.max(0, Math.min(at - heart.at, 2 * heart.period));
  heart.at = at;
}

function keyOf(interval: number, timeout: number): string {
  return `${interval} ${timeout}`;
}

function heartOf(interval: number, timeout: number): Heart {
  if (latest?.interval === interval && latest.timeout === timeout) return latest;
  const key = keyOf(interval, timeout);
  latest = hearts.get(key) ?? makeHeart(interval, timeout);
  hearts.set(key, latest);
  return latest;
}

function makeHeart(interval: number, timeout: number): Heart {
  const period = Math.max(1, Math.min(MAX_PERIOD, Math.floor(Math.min(interval, timeout) / RESOLUTION)));
  const heart: Heart = {
    interval,
    timeout,
    period,
    time: 0,
    at: now(),
    members: [],
    timer: sharedInterval(() => beat(heart), period),
    rest: 0,
  };
  return heart;
}

function beat(heart: Heart): void {
  keepTime(heart);
  // The beat before may still be under way
  if (heart.rest > 0) return;
  heart.rest = heart.members.length;
  beatOn(heart);
}

/**
 * Goes on with a beat for one slice of time, from the end: whichever members stop meanwhile, those that are still to
 * come keep their index, or are visited twice, which does no harm.
 */
function beatOn(heart: Heart): void {
  const began = performance.now();
  while (heart.rest > 0) {
    heart.members[--heart.rest]?.beat(heart.time);
    if (heart.rest % LOOK === 0 && heart.rest > 0 && performance.now() - began > SLICE) {
      setImmediate(beatOn, heart);
      return;
    }
  }
}
