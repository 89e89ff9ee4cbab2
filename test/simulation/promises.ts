/** Every promise that the API returned: whether it settled, and whether it rejected with something lawful. */
import { getEventListeners } from 'node:events';
import type { Report } from './model.js';
import type { World } from './world.js';

/** An error that the program itself raised. */
export class OwnError extends Error {
  override get name(): string {
    return 'OwnError';
  }
}

/** Whether an API call may fail with this because of peer, network, time, or the program's own signal. */
export function isLawful(error: unknown): boolean {
  if (error instanceof OwnError) return true;
  // Two copies of a library have two classes
  return (
    error instanceof Error &&
    /^(ConnectionClosed|Timeout|Protocol|InvalidPayload|MessageTooBig|WebSocket|Handshake)Error$/.test(
      error.name,
    )
  );
}

/** A short name of an error, the same for errors of the same kind. */
export function signatureOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  const name = typeof code === 'string' ? `${error.name} ${code}` : error.name;
  return name === 'Error' || name === 'TypeError' || name === 'RangeError'
    ? `${name}: ${error.message.replaceAll(/\d+/g, 'N').slice(0, 60)}`
    : name;
}

/** Tracks the promises of one program. */
export class Promises {
  readonly #pending: Map<Promise<unknown>, { readonly api: string; readonly of: unknown }> = new Map();
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  /** Names of the calls that have not settled. */
  get pending(): string[] {
    return [...this.#pending.values()].map(({ api }) => api);
  }

  /** Names of the calls of one end that have not settled. */
  pendingOf(end: unknown): string[] {
    return [...this.#pending.values()].filter(({ of }) => of === end).map(({ api }) => api);
  }

  /**
   * A call returned `promise`. Without `awaited` the program leaves it alone, as applications do: what it
   * rejects with must not become an unhandled rejection.
   *
   * @param lawful - whether a rejection is within the contract of the call
   * @param of - the end whose call it is
   */
  track<T>(
    api: string,
    promise: Promise<T>,
    awaited: boolean,
    lawful: (error: unknown) => boolean = isLawful,
    of: unknown = null,
  ): void {
    if (!awaited) return;
    this.#pending.set(promise, { api, of });
    promise.then(
      () => void this.#pending.delete(promise),
      (error: unknown) => {
        this.#pending.delete(promise);
        if (!lawful(error)) this.#report('rejected', `${api} with ${signatureOf(error)}`, String(error));
      },
    );
  }
}

/** The signal of a call, by the milliseconds until it aborts: -1 for no signal, -2 for one that never aborts. */
export function signalOf(world: World, abort: number): { signal?: AbortSignal } {
  if (abort === -1) return {};
  const controller = new AbortController();
  const run = (): void => controller.abort(new OwnError('signal of the application'));
  if (abort === 0) run();
  else if (abort > 0) world.clock.schedule(abort, run);
  const { signal } = controller;
  world.atEnd(() => {
    if (signal.aborted || getEventListeners(signal, 'abort').length === 0) return;
    world.report('leak', 'a listener of a signal is left');
  });
  return { signal };
}
