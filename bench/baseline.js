// @ts-check
/**
 * `npm run bench -- --baseline REF`: is the current build as fast as that of another commit?
 *
 *     --baseline REF    a commit; its library is built, and measured by the bench of the current one
 *     --rows NAME,...   these rows alone; `core` and `all` (the default) stand for several
 *     --rounds N        of each row (32); a row of memory takes a quarter of them
 *     --seconds S       of one side in a round (0.25)
 *     --json FILE       writes all samples: of rows, runs, starts, rounds: [current, baseline]
 *
 *     start ─▶ a process of each side ─▶ warm-up ─▶ round: A, B ─▶ round: B, A ─▶ ... ─▶ next start
 *
 * A row fails when the whole interval of its ratio is below 0.97 (above 1 / 0.97 where less is better). So it does by
 * its second figure, such as the CPU time that the measured process takes for a message: while other work keeps the
 * machine busy, that is the one to look at. With 40 intervals some miss by chance: a row that is slower is measured
 * once more, and fails when it is slower again.
 *
 * In a round both sides are measured next to each other, so that other work of the machine slows both. Two processes
 * of one build differ as well, by what V8 compiled and where memory lies, and no number of rounds averages that out.
 * So each row starts its processes anew several times, the median of a start's rounds is one sample, and the interval
 * comes from those samples: see `ratioInterval()`.
 */

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { kinds, startContext, startLoad } from './measure.js';
import { pinned } from './process.js';
import { amount } from './report.js';
import { rows } from './rows.js';
import { median, ratioInterval } from './statistics.js';

const root = join(import.meta.dirname, '..');

/** The least ratio that counts as no slower. */
const BOUND = 0.97;
/** How often a row starts its processes: six is the least that gives an interval. */
const STARTS = 8;
const ROUNDS = 32;
const SECONDS = 0.25;
/** Milliseconds for the compiler and the heap, once a start and side. */
const WARMUP = 500;
/** Milliseconds for what the other side's turn left cold, once a round and side. */
const SHORT_WARMUP = 30;
/** Each round of these has a process of its own. */
const OWN_PROCESS = new Set(['memory', 'stream', 'idle']);
const LESS = new Set(['bytes', 'ms']);
/** Kept connections would compare a Ping with the reply they expect. */
const NO_PING = 3_600_000;
/** A second figure of some rows, less being better. */
const SECOND = { cost: 'CPU a message', heap: 'JavaScript objects', seconds: 'time' };
const core = [
  'echo-20-64',
  'echo-1k-16',
  'echo-20-1',
  'echo-1k-1',
  'client-20-64',
  'deflate-300',
  'handshakes',
  'memory-pinged',
];

/**
 * @typedef {import('./rows.js').Row} Row
 * @typedef {import('./measure.js').Sample} Sample
 * @typedef {{ name: string, commit: string, folder: string }} Side
 * @typedef {{ ratio: number, low: number, high: number }} Interval
 */

/** Measures and prints; returns whether no row is slower. @returns {Promise<boolean>} */
export async function compare(
  /** @type {string} */ ref,
  /** @type {Partial<Record<'rows' | 'rounds' | 'seconds' | 'json', string | undefined>>} */ options,
) {
  const began = performance.now();
  const chosen = chooseRows(options.rows ?? 'all');
  const rounds = positive('--rounds', options.rounds, ROUNDS);
  const seconds = positive('--seconds', options.seconds, SECONDS);
  const folder = join(root, '.cache', `baseline-${process.pid}`);
  const cleanUp = () => removeBuilds(folder);
  process.on('exit', cleanUp);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const sides = build(ref, folder);
  const [current, baseline] = sides;
  console.log(
    `current ${current.commit} against baseline ${baseline.commit}; Node ${process.version}, ` +
      `${pinned ? 'server and load pinned to two cores' : 'not pinned to cores'}; ` +
      `${STARTS} starts, ${Math.ceil(rounds / STARTS)} rounds each, ${seconds} s a side`,
  );
  console.log(`ratio: current / baseline, with its 95 % interval\n`);
  const load = startLoad();
  const failed = [];
  /** @type {Record<string, [Sample, Sample][][][]>} */
  const kept = {};
  for (const row of chosen) {
    const runs = [];
    let slower = true;
    while (slower && runs.length < 2) {
      const since = performance.now();
      const samples = await measureSides(row, sides, { rounds, seconds, load });
      const result = judge(row, samples);
      print(row, result, (performance.now() - since) / 1e3);
      runs.push(samples);
      ({ slower } = result);
    }
    if (slower) failed.push(row.id);
    kept[row.id] = runs;
  }
  load.stop();
  process.off('exit', cleanUp);
  cleanUp();
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(kept, null, 1)}\n`);
  const minutes = (performance.now() - began) / 60_000;
  console.log(`\n${chosen.length} rows in ${minutes.toFixed(1)} minutes`);
  if (failed.length > 0) console.log(`Slower than ${BOUND} of the baseline: ${failed.join(', ')}`);
  return failed.length === 0;
}

/** @returns {Row[]} */
function chooseRows(/** @type {string} */ list) {
  // The load of `latency` is half of a peak that each round measures; a sample of `idle` takes 12 s
  const all = rows.filter(({ kind }) => kind !== 'idle' && kind !== 'latency').map(({ id }) => id);
  const names = list.split(',').flatMap((name) => (name === 'all' ? all : name === 'core' ? core : [name]));
  return [...new Set(names)].map((name) => {
    const row = rows.find(({ id }) => id === name);
    if (row === undefined) {
      throw new RangeError(`No row is named ${name}: use core, all, ${rows.map(({ id }) => id).join(', ')}`);
    }
    return row;
  });
}

function positive(
  /** @type {string} */ name,
  /** @type {string | undefined} */ text,
  /** @type {number} */ byDefault,
) {
  const value = Number(text ?? byDefault);
  if (!(value > 0 && value < 1e6)) throw new RangeError(`${name} ${text} is no positive number`);
  return value;
}

const git = (/** @type {string[]} */ ...args) =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();

/** Builds the baseline in a worktree of its own, and copies the current build: it may be rebuilt meanwhile. */
function build(/** @type {string} */ ref, /** @type {string} */ folder) {
  const commit = git('rev-parse', '--short', '--verify', `${ref}^{commit}`);
  const changed =
    git('status', '--porcelain', '--untracked-files=no', '--', 'src') === '' ? '' : ' + changes';
  mkdirSync(folder, { recursive: true });
  const worktree = join(folder, 'baseline');
  git('worktree', 'add', '--detach', '--quiet', worktree, commit);
  symlinkSync(join(root, 'node_modules'), join(worktree, 'node_modules'), 'junction');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  execFileSync(npm, ['run', '--silent', 'build'], { cwd: worktree, stdio: ['ignore', 'inherit', 'inherit'] });
  cpSync(join(root, 'dist'), join(folder, 'current', 'dist'), { recursive: true });
  return /** @type {[Side, Side]} */ ([
    {
      name: 'current',
      commit: git('rev-parse', '--short', 'HEAD') + changed,
      folder: join(folder, 'current'),
    },
    { name: 'baseline', commit, folder: worktree },
  ]);
}

function removeBuilds(/** @type {string} */ folder) {
  try {
    git('worktree', 'remove', '--force', join(folder, 'baseline'));
  } catch {
    // It was not made, or is removed already
  }
  rmSync(folder, { recursive: true, force: true });
}

/** The load of a row of memory, made shorter: what one more connection takes is known from fewer of them. */
function shorter(/** @type {any} */ load) {
  const { connections, messages = 0, pingInterval = 0 } = load;
  if (messages > 1) return { ...load, connections: Math.min(connections, 150) };
  if (pingInterval === 0) return { ...load, connections: Math.min(connections, 4000) };
  return { ...load, connections: Math.min(connections, 2000), pingInterval: Math.min(pingInterval, 1500) };
}

/**
 * Measures one row: for each start, the rounds of both sides.
 *
 * @param {Row} row
 * @param {[Side, Side]} sides
 * @param {{ rounds: number, seconds: number, load: ReturnType<typeof startLoad> }} options
 * @returns {Promise<[Sample, Sample][][]>}
 */
async function measureSides(row, sides, { rounds, seconds, load }) {
  const own = OWN_PROCESS.has(row.kind);
  const perStart = own ? Math.ceil(rounds / 4 / STARTS) : Math.ceil(rounds / STARTS);
  const times = { warmup: own ? 0 : SHORT_WARMUP, window: seconds * 1e3 };
  const adapted = { ...row, stalls: false, load: { pingInterval: NO_PING, ...row.load } };
  if (row.kind === 'memory') adapted.load = shorter(row.load);
  const starts = [];
  for (let start = 0; start < STARTS; start++) {
    /** @type {import('./measure.js').Context[]} */
    const contexts = [];
    try {
      for (const index of inTurn(start)) {
        const env = { SLUICE: pathToFileURL(join(sides[index].folder, 'dist', 'index.js')).href };
        const context = { peer: 'sluice', env, row: adapted, times, load, keep: true };
        contexts[index] = await startContext(context);
      }
      const measure = kinds[row.kind];
      if (!own) {
        const long = { warmup: WARMUP, window: SHORT_WARMUP };
        for (const index of inTurn(start)) await measure({ ...contexts[index], times: long });
      }
      /** @type {[Sample, Sample][]} */
      const pairs = [];
      for (let round = 0; round < perStart; round++) {
        /** @type {any} */
        const pair = [];
        for (const index of inTurn(start + round)) pair[index] = await measure(contexts[index]);
        pairs.push(pair);
      }
      starts.push(pairs);
      await load.call('close');
    } finally {
      for (const context of contexts) context?.stop();
    }
  }
  return starts;
}

/** Both sides; neither is always the first. @returns {(0 | 1)[]} */
function inTurn(/** @type {number} */ count) {
  return count % 2 === 0 ? [0, 1] : [1, 0];
}

/** The ratios of one row, and whether it is slower than the bound for certain. */
export function judge(/** @type {Row} */ row, /** @type {[Sample, Sample][][]} */ starts) {
  /** @returns {Interval} */
  const intervalOf = (/** @type {(sample: Sample) => number} */ figure) =>
    ratioInterval(
      starts
        .map((pairs) => pairs.map(([current, baseline]) => figure(current) / figure(baseline)))
        // On a busy machine nothing at all may come back within a round: it says nothing
        .map((ratios) => ratios.filter((ratio) => ratio > 0 && ratio < Number.POSITIVE_INFINITY))
        .filter(({ length }) => length > 0)
        .map(median),
    );
  const interval = intervalOf(({ value }) => value);
  const all = (/** @type {0 | 1} */ side) => median(starts.flat().map((pair) => pair[side].value));
  const name = Object.keys(SECOND).find((key) => starts.flat(2).every((sample) => sample[key] > 0));
  const second = name === undefined ? null : intervalOf((sample) => sample[name]);
  const more = (/** @type {Interval} */ { low }) => low > 1 / BOUND;
  const slower = LESS.has(row.unit) ? more(interval) : interval.high < BOUND;
  return {
    ...interval,
    current: all(0),
    baseline: all(1),
    what: name === undefined ? '' : SECOND[/** @type {keyof SECOND} */ (name)],
    second,
    slower: slower || (second !== null && more(second)),
  };
}

function print(
  /** @type {Row} */ { id, unit },
  /** @type {ReturnType<typeof judge>} */ { current, baseline, what, second, slower, ...interval },
  /** @type {number} */ seconds,
) {
  const figures = [current, baseline].map((value) => amount(value, unit).padStart(9)).join(' /');
  const shown = (/** @type {Interval} */ { ratio, low, high }) =>
    `${ratio.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
  console.log(
    `${id.padEnd(18)} ${shown(interval)} ${slower ? 'SLOWER' : 'ok    '} ${figures} ${LESS.has(unit) ? '(less is better)' : unit}` +
      `${second === null ? '' : `; ${what} ${shown(second)}`}  (${seconds.toFixed(0)} s)`,
  );
}
