/**
 * Deadlines that a stalled process cannot miss by itself: when this process was blocked or stopped for longer than
 * the time, the timer runs before the input that arrived meanwhile is read. So the event loop polls once more
 * before a deadline counts.
 */

/** Calls `expired` after `ms` milliseconds and one more poll of the event loop; returns what cancels it. */
export function deadline(ms: number, expired: () => void): () => void {
  let immediate: NodeJS.Immediate | null = null;
  const timer = setTimeout(() => {
    immediate = setImmediate(expired);
  }, ms);
  return () => {
    clearTimeout(timer);
    if (immediate !== null) clearImmediate(immediate);
  };
}
