/** Promises whose rejection no caller has to await. */

/**
 * Marks a promise as handled: it rejects because of the peer, the network or the time, and a program that does not
 * await it must not be ended by that as by an unhandled rejection.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
