/**
 * Fair scheduling of output: all connections share one time slice per turn of the event loop.
 *
 *     send()  ─▶ the end of the tick ─▶ flush, one connection after the other ── slice used up ─▶ the rest: next turn
 *     await write(), drained() ── slice used up ─▶ one caller after the other, each in a turn of its own
 *
 * Writing to a fast reader never blocks, so an application that writes without end would keep the event loop for
 * itself. Bytes are no measure of it: time is.
 */

import { Fifo } from '../fifo.js';

/** Milliseconds of one slice. */
const SLICE = 4;
/** Work between two looks at the clock: an operation counts 1, and each of so many bytes. */
const LOOK = 32;
const BYTES = 512;

/** Output that is flushed at the end of the tick. */
interface Flushable {
  onFlush(): void;
}

/** Slices that have begun. */
export let slices = 0;

let began = 0;
let left = LOOK;
let spent = false;
/** An immediate is set: it ends the slice. */
let armed = false;
const flushes: Fifo<Flushable> = new Fifo();
/** A tick or a turn is to come in which they are flushed. */
let flushing = false;
const callers: Fifo<() => void> = new Fifo();

/** Counts an operation on `size` bytes; true once the slice of this turn is used up. */
export function outputSpent(size: number): boolean {
  left -= 1 + size / BYTES;
  if (left > 0) return spent;
  left = LOOK;
  const now = performance.now();
  // Without the immediate nothing says when the turn began
  if (!armed) began = now;
  arm();
  spent = now - began > SLICE;
  return spent;
}

/** Has `output` flushed at the end of this tick, or as soon as there is time. */
export function flushSoon(output: Flushable): void {
  flushes.push(output);
  if (flushing) return;
  flushing = true;
  process.nextTick(flushAll);
}

/** Resolves in a later turn of the event loop: each caller has one of its own, first come, first served. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    callers.push(resolve);
    arm();
  });
}

function arm(): void {
  if (armed) return;
  armed = true;
  slices++;
  setImmediate(turn);
}

function turn(): void {
  armed = false;
  spent = false;
  left = 0;
  if (flushing) flushAll();
  const caller = callers.shift();
  if (callers.length > 0) arm();
  caller?.();
}

function flushAll(): void {
  try {
    for (let output = flushes.shift(); output !== undefined; output = flushes.shift()) {
      output.onFlush();
      // One alone needs no look at the clock
      if (flushes.length > 0 && outputSpent(LOOK * BYTES)) break;
    }
  } finally {
    flushing = flushes.length > 0;
    if (flushing) arm();
  }
}
