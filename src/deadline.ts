/**
 * Deadlines that a stalled process cannot miss by itself: when this process was blocked or stopped for longer than
 * the time, the timer runs before the input that arrived meanwhile is read. So the event loop polls twice more
 * before a deadline counts: where the peer is in the same process, it reads in the first poll, and its answer is read in
 * the second.
 */

/** Calls `expired` after `ms` milliseconds and two more polls of the event loop; returns what cancels it. */
export function deadline(ms: number, expired: () => void): () => void {
  let immediate: NodeJS.Immediate | null = null;
  const timer = setTimeout(() => {
    immediate = setImmediate(() => {
      immediate = setImmediate(expired);
    });
  }, ms);
  return () => {
    clearTimeout(timer);
    if (immediate !== null) clearImmediate(immediate);
  };
}

/** Calls `check` with `argument` after two more polls of the event loop. */
export function afterPolls<T>(check: (argument: T) => void, argument: T): void {
  setImmediate(() => setImmediate(check, argument));
}
