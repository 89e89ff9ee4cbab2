/** What holds beside the outcome of each test of a composition: nothing is unhandled, nothing is left. */
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { leftovers, turns } from './wire.js';

const faults: unknown[] = [];
const onFault = (error: unknown): void => void faults.push(error);
/** Timers that the code under test has set, and where. */
const live = new Map<unknown, string>();
const real = { setTimeout, setInterval, clearTimeout, clearInterval };

/**
 * Has every test of the file fail for an unhandled rejection, an uncaught exception, a warning, and for a socket
 * of a connection or a timer of `src` that is left. Also with virtual time.
 */
export function checkNothingLeft(): void {
  beforeEach(() => {
    process.on('unhandledRejection', onFault).on('uncaughtException', onFault).on('warning', onFault);
    watchTimers();
  });
  afterEach(async () => {
    await turns(5);
    vi.useRealTimers();
    Object.assign(globalThis, real);
    process.off('unhandledRejection', onFault).off('uncaughtException', onFault).off('warning', onFault);
    expect(faults.splice(0).map(String)).toEqual([]);
    expect(await leftovers()).toBe(0);
    await turns(5);
    const left = [...live.values()];
    live.clear();
    expect(left).toEqual([]);
  });
}

/** A fault that a test wants, taken out of the list. */
export async function expectedFault(): Promise<unknown> {
  await vi.waitFor(() => expect(faults).not.toEqual([]));
  return faults.shift();
}

type Set = (callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => NodeJS.Timeout;

/** The function of `src` that is being called, if any. */
function caller(): string | null {
  const { prepareStackTrace } = Error;
  let found: string | null = null;
  // The runner maps each stack to its sources, which takes long
  Error.prepareStackTrace = (_, sites) => {
    const site = sites.find((each) => each.getFileName()?.includes('/src/'));
    if (site !== undefined) found = `${site.getFileName()}:${site.getLineNumber()}`;
    return '';
  };
  void new Error('set').stack;
  Error.prepareStackTrace = prepareStackTrace;
  return found;
}

/** Watches the timers that are set from here on; call it again after timers are made virtual. */
export function watchTimers(): void {
  const current = { setTimeout, setInterval, clearTimeout, clearInterval };
  const watched =
    (set: Set, once: boolean): Set =>
    (callback, ms, ...args) => {
      const timer = set(
        (...given) => {
          if (once) live.delete(timer);
          callback(...given);
        },
        ms,
        ...args,
      );
      // The clock of stalled writes begins for each of them: its place is known without a stack, which takes long
      const where = callback.name === 'look' ? 'src/connection/loop-time.ts' : caller();
      if (where !== null) live.set(timer, where);
      return timer;
    };
  const clear = (timer: NodeJS.Timeout | undefined): void => {
    live.delete(timer);
    current.clearTimeout(timer);
  };
  Object.assign(globalThis, {
    setTimeout: watched(current.setTimeout as Set, true),
    setInterval: watched(current.setInterval as Set, false),
    clearTimeout: clear,
    clearInterval: clear,
  });
}
