/**
 * Time in which the event loop runs. While the process is blocked or stopped nothing can be seen of a peer, so that
 * how long a write has taken by the clock says nothing about it.
 */
import { AsyncResource } from 'node:async_hooks';

/** Milliseconds between looks at the clock; twice as many count at the most from one look to the next. */
const PERIOD = 100;

/** Timers that connections share belong to no connection: they keep no context of AsyncLocalStorage alive. */
const shared = new AsyncResource('SluiceTimer');

/** The time up to the last look, in milliseconds, and when that was. */
let time = 0;
let at = 0;
/** Spans that have not ended. */
let spans = 0;
let timer: NodeJS.Timeout | undefined;

/** A timer that serves many connections, and does not keep the process alive. */
export function sharedInterval(work: () => void, period: number): NodeJS.Timeout {
  const interval = shared.runInAsyncScope(setInterval, undefined, work, period) as NodeJS.Timeout;
  return interval.unref();
}

/** Begins a span of time; it has to be ended. */
export function beginSpan(): number {
  if (spans++ === 0) timer = sharedInterval(look, PERIOD);
  return look();
}

/** Ends a span that began at `began`; returns the milliseconds in it in which the event loop ran. */
export function endSpan(began: number): number {
  if (--spans === 0) clearInterval(timer);
  return look() - began;
}

function look(): number {
  const now = performance.now();
  // A clock that was replaced, as tests do, may be behind
  time += Math.max(0, Math.min(now - at, 2 * PERIOD));
  at = now;
  return time;
}
