/**
 * Deadlines that a stalled process cannot miss by itself: only time in which the event loop runs counts.
 *
 *     slice ─▶ slice ─▶ ... ─▶ slice ─▶ poll ─▶ poll ─▶ expired
 *       └ late: the process was blocked or stopped meanwhile; this slice does not count, SLICES times at most
 *
 * A call such as `ping()` or `connect()` may be followed by code that blocks for longer than its time. What it sends
 * leaves after that, and its answer takes several polls of the event loop, with the network between them. A process
 * that is blocked again and again still reaches its deadlines: it makes them late by twice as many stalls as there are
 * slices. The polls at the end are for input that arrived while the process was blocked: where the peer is in the same
 * process, it reads in the first, and its answer is read in the second.
 */

/** Parts that the time is counted in. */
const SLICES = 8;
/** Milliseconds by which a timer may be late for other reasons, such as garbage collection or a long turn. */
const LATE = 50;

/** Calls `expired` once the event loop has run for `ms` milliseconds, and polled twice more; returns what cancels it. */
export function deadline(ms: number, expired: () => void): () => void {
  const slice = Math.ceil(ms / SLICES);
  let left = ms;
  let stalls = 0;
  let timer: NodeJS.Timeout;
  let immediate: NodeJS.Immediate | null = null;
  const wait = (): void => {
    const time = Math.min(slice, left);
    const due = performance.now() + time;
    timer = setTimeout(() => {
      if (performance.now() - due < LATE || ++stalls > SLICES) left -= time;
      if (left > 0) wait();
      else
        immediate = setImmediate(() => {
          immediate = setImmediate(expired);
        });
    }, time);
  };
  wait();
  return () => {
    clearTimeout(timer);
    if (immediate !== null) clearImmediate(immediate);
  };
}

/** Calls `check` with `argument` after two more polls of the event loop. */
export function afterPolls<T>(check: (argument: T) => void, argument: T): void {
  setImmediate(() => setImmediate(check, argument));
}
