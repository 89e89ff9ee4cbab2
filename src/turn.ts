/**
 * The time that all connections together may use in one turn of the event loop; then everybody else has a turn. Who
 * has work left waits, first come first served.
 *
 *     input, turn after turn ──▶ events, counted ──▶ slice used up ──▶ the rest waits ──▶ next turn, a new slice
 */

/** Milliseconds of one slice. */
const SLICE = 0.5;
/** Milliseconds of it for those who have little left: to wait would cost more time than that takes. */
const LONG_SLICE = 8;
/** Milliseconds between two looks at the clock. */
const LOOK = 0.25;
/** Cost between two looks at the clock, at the most. */
const MOST_COST = 64;
/** Bytes that cost as much as an event. */
const BYTES = 512;

/** Who has work left. */
export interface Waiting {
  /** Who waits behind it; null until it waits. */
  behind: Waiting | null;
  onTurn(): void;
}

/** A slice has begun. */
let begun = false;
/** An immediate will tell that the event loop has turned. */
let armed = false;
let began = 0;
let looked = 0;
/** Milliseconds of the slice that were used when the clock was looked at. */
let used = 0;
/** The cost from look to look, and what is left of it. */
let interval = 1;
let left = 1;
let first: Waiting | null = null;
let last: Waiting | null = null;

/**
 * Counts an event of `size` bytes: true when the slice is used up, for who has more than a `little` left. The clock is
 * looked at now and then only, by what the events before have taken. Nobody tells when the event loop turns, as that
 * would cost a turn of its own: a slice may end early by what turns before have used of it.
 */
export function sliceOver(size: number, little: boolean): boolean {
  left -= 1 + size / BYTES;
  if (left <= 0) look();
  return used > (little ? LONG_SLICE : SLICE);
}

function look(): void {
  const now = performance.now();
  interval = Math.min(MOST_COST, Math.max(1, ((interval - left) * LOOK) / (now - looked)));
  left = interval;
  looked = now;
  if (!begun) {
    begun = true;
    began = now;
  } else {
    used = now - began;
    if (used > SLICE) arm();
  }
}

/** Has `waiting`, which does not wait already, called in a later turn of the event loop. */
export function waitForTurn(waiting: Waiting): void {
  if (last === null) first = waiting;
  else last.behind = waiting;
  last = waiting;
  arm();
}

function arm(): void {
  if (armed) return;
  armed = true;
  setImmediate(turn);
}

/** The event loop has turned: those who wait go on, as long as the new slice lasts. */
function turn(): void {
  armed = false;
  begun = false;
  used = 0;
  if (first === null) return;
  // Also when one of them throws
  arm();
  begun = true;
  left = interval;
  began = looked = performance.now();
  while (first !== null && used <= SLICE) {
    const waiting: Waiting = first;
    first = waiting.behind;
    waiting.behind = null;
    if (first === null) last = null;
    waiting.onTurn();
  }
}
