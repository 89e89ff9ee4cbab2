/** AbortSignal, for any number of calls on one signal: used by handshakes and by connections. */

/**
 * The listeners of each signal. `EventTarget` warns of a leak from the eleventh on, so that all share one of
 * its own.
 */
const shared = new WeakMap<AbortSignal, Set<(reason: unknown) => void>>();

/**
 * Calls `listener` with the reason once the signal aborts, at once when it has aborted already; returns what
 * stops that. `listener` must not throw.
 */
export function onAbort(signal: AbortSignal | undefined, listener: (reason: unknown) => void): () => void {
  if (signal === undefined) return nothing;
  if (signal.aborted) {
    listener(signal.reason);
    return nothing;
  }
  const listeners = shared.get(signal) ?? share(signal);
  const call = (reason: unknown): void => listener(reason);
  listeners.add(call);
  return () => {
    if (!listeners.delete(call) || listeners.size > 0) return;
    signal.removeEventListener('abort', onEvent);
    shared.delete(signal);
  };
}

function share(signal: AbortSignal): Set<(reason: unknown) => void> {
  const listeners = new Set<(reason: unknown) => void>();
  shared.set(signal, listeners);
  signal.addEventListener('abort', onEvent, { once: true });
  return listeners;
}

function onEvent(this: AbortSignal): void {
  const listeners = shared.get(this) ?? [];
  shared.delete(this);
  for (const listener of listeners) listener(this.reason);
}

function nothing(): void {}
