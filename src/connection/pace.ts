/** How fast a peer takes what it is sent, by the writes that stall: all that a stream reports. */
import { beginSpan, endSpan } from './loop-time.js';

/** Bytes that the stream is given at once: so many, that a part takes neither long nor a system call for little. */
export const FIRST_PART: number = 64 * 1024;
const MIN_PART = 16 * 1024;
const MAX_PART = 512 * 1024;
/** A stalled part that is flushed within so many milliseconds is followed by a larger one, */
const SHORT = 100;
/** and one that takes longer than this by a smaller one. */
const LONG = 1000;

/** Bytes a millisecond that a peer takes at least: what a kernel holds is given the time to leave at this pace. */
export const LEAST_PACE = 100;
/** Bytes that a kernel may hold, of the sender and of the receiver: the limits of Linux, 4 and 6 MiB. */
const MAX_HELD = 10 * 1024 * 1024;
/** A stalled kernel reports that it takes more when a third of its buffer is free: all of it leaves in so many times the stall. */
const STALLS = 3;

/** The pace of a connection whose writes have stalled, or were large. */
export class Pace {
  /** Bytes of the next part. */
  part: number = FIRST_PART;
  /** When the write stalled, by {@link beginSpan}; -1 as long as none is. */
  #began = -1;
  /** Parts that have stalled since the peer answered a Ping: their bytes, and the milliseconds they took. */
  #slowBytes = 0;
  #slowTime = 0;

  /** A part was taken at once. */
  enlarge(): void {
    this.part = Math.min(MAX_PART, this.part * 2);
  }

  /** A part stalls. */
  begin(): void {
    this.#began = beginSpan();
  }

  /** The stalled part of `size` bytes is flushed: the size of the next one depends on how long that took. */
  end(size: number): void {
    const took = this.stop();
    this.#slowBytes += size;
    this.#slowTime += took;
    if (took < SHORT) this.enlarge();
    else if (took > LONG) this.part = Math.max(MIN_PART, this.part / 4);
  }

  /** No part is stalled any more; returns how many milliseconds one was. */
  stop(): number {
    if (this.#began < 0) return 0;
    const took = Math.round(endSpan(this.#began));
    this.#began = -1;
    return took;
  }

  /** The peer has answered a Ping: what stalled before says nothing of what is sent from here on. */
  forget(): void {
    this.#slowBytes = this.#slowTime = 0;
  }

  /** Milliseconds that `held` bytes may take, as far as writes have stalled, and not more than some times the stalls. */
  measured(held: number): number {
    return this.#slowTime === 0 ? 0 : Math.min(held / this.#slowBytes, STALLS) * this.#slowTime;
  }
}

/** Milliseconds that `size` bytes may take which the kernel has accepted: nothing reports when they leave. */
export function timeToLeave(size: number, pace: Pace | null): number {
  const held = Math.min(size, MAX_HELD);
  if (held <= 0) return 0;
  return Math.ceil(Math.max(held / LEAST_PACE, pace === null ? 0 : pace.measured(held)));
}
