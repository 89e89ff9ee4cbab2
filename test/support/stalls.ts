/**
 * How long one turn of the event loop takes, on a machine that does other things as well.
 *
 *     time of a turn = the wall clock without pauses of the garbage collector, at most CPU time of this process
 *
 * While another process has the core, the wall clock goes on and CPU time does not; while the thread pool works, CPU
 * time counts twice and the wall clock does not. How long a collection pauses depends on all that the process keeps,
 * the tests' own data first; what a connection may keep is measured as memory. And the shortest of several attempts
 * counts, of which the first compile the code.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { turns } from './wire.js';

/** Milliseconds that no turn of the event loop may take. */
export const MAX_STALL = 20;

const MAX_ATTEMPTS = 25;

interface Span {
  readonly began: number;
  readonly ended: number;
}

interface Turn extends Span {
  readonly cpu: number;
}

/** Milliseconds of CPU time that all threads of this process have used. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds of the longest turn of the event loop until `work` is done; `onTurn` is called once in each turn. */
export async function longestStall(work: () => Promise<unknown>, onTurn?: () => void): Promise<number> {
  const pauses: { readonly startTime: number; readonly duration: number }[] = [];
  const observer = new PerformanceObserver((list) => pauses.push(...list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  const long: Turn[] = [];
  // What was made before is not collected meanwhile
  globalThis.gc!();
  let began = performance.now();
  let cpu = cpuTime();
  let going = true;
  const look = (): void => {
    const [now, cpuNow] = [performance.now(), cpuTime()];
    if (now - began > 1) long.push({ began, ended: now, cpu: cpuNow - cpu });
    [began, cpu] = [now, cpuNow];
    onTurn?.();
    if (going) setImmediate(look);
  };
  setImmediate(look);
  try {
    await work();
    // The turn that ended the work counts as well: when nothing is put off, it is the only one
    await turns(1);
  } finally {
    going = false;
    // Pauses are reported in a later turn
    await turns(3);
    observer.disconnect();
  }
  const collecting = merged(pauses);
  return Math.max(
    0,
    ...long.map((turn) => Math.min(turn.ended - turn.began - overlap(turn, collecting), turn.cpu)),
  );
}

/** The spans without overlaps: one collection is reported as several, of which some contain others. */
function merged(entries: readonly { readonly startTime: number; readonly duration: number }[]): Span[] {
  const spans: { began: number; ended: number }[] = [];
  for (const { startTime, duration } of entries.toSorted((a, b) => a.startTime - b.startTime)) {
    const last = spans.at(-1);
    if (last === undefined || startTime > last.ended)
      spans.push({ began: startTime, ended: startTime + duration });
    else last.ended = Math.max(last.ended, startTime + duration);
  }
  return spans;
}

/** How much of a turn lies in the spans. */
function overlap(turn: Span, spans: readonly Span[]): number {
  return spans.reduce((sum, { began, ended }) => {
    return sum + Math.max(0, Math.min(turn.ended, ended) - Math.max(turn.began, began));
  }, 0);
}

/** Milliseconds that `work` takes: the smaller of wall clock and CPU time of this process. */
export async function duration(work: () => unknown): Promise<number> {
  const [began, cpu] = [performance.now(), cpuTime()];
  await work();
  return Math.min(performance.now() - began, cpuTime() - cpu);
}

/** Measures until a result is below `bound`, 25 times at most; returns the smallest. */
export async function shortestOf(measure: () => Promise<number>, bound = MAX_STALL): Promise<number> {
  let shortest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < MAX_ATTEMPTS && shortest >= bound; i++) {
    shortest = Math.min(shortest, await measure());
  }
  return shortest;
}
