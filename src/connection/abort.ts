/** AbortSignal for calls that wait: one listener for each signal, however many calls share it. */

type Listener = (reason: unknown) => void;

/** The calls that wait on each signal; an entry is removed with its last call. */
const waiting = new WeakMap<AbortSignal, Set<Listener>>();

/**
 * Calls `listener` with the reason once the signal aborts, or at once if it already has.
 *
 * @returns a function that stops listening
 */
export function onAbort(signal: AbortSignal | undefined, listener: Listener): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    listener(signal.reason);
    return () => {};
  }
  let listeners = waiting.get(signal);
  if (listeners === undefined) {
    listeners = new Set();
    waiting.set(signal, listeners);
    signal.addEventListener('abort', notify);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0 || waiting.get(signal) !== listeners) return;
    waiting.delete(signal);
    signal.removeEventListener('abort', notify);
  };
}

function notify(this: AbortSignal): void {
  const listeners = waiting.get(this);
  waiting.delete(this);
  this.removeEventListener('abort', notify);
  for (const listener of listeners ?? []) listener(this.reason);
}
