/**
 * `npm run bench`: this library and its peers side by side.
 *
 *     --quick            fewer rounds, shorter windows, no curves: under two minutes
 *     --rounds N         of each row, the peers in turn (5)
 *     --window MS        that the clock runs in a round (600)
 *     --only ID,ID       these rows or curves alone
 *     --peers NAME,NAME  these peers alone
 *     --write            results and plots go to bench/results, and the table to the README
 *     --guard            fails when a row does not reach half of its target against another library, twice
 *     --baseline REF     compares with the library of another commit instead: see baseline.js
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureRow, startLoad } from './measure.js';
import { pinned } from './process.js';
import { describeMachine, guard, printRow, summarise, summary, write } from './report.js';
import { CLOSE, curves, rows } from './rows.js';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    window: { type: 'string' },
    only: { type: 'string' },
    peers: { type: 'string' },
    write: { type: 'boolean', default: false },
    guard: { type: 'boolean', default: false },
    baseline: { type: 'string' },
    rows: { type: 'string' },
    seconds: { type: 'string' },
    json: { type: 'string' },
  },
});

if (!existsSync(join(import.meta.dirname, '..', 'dist', 'index.js')))
  throw new Error('Run npm run build first');
if (options.baseline !== undefined) {
  const { compare } = await import('./baseline.js');
  process.exit((await compare(options.baseline, options)) ? 0 : 1);
}
const uws = await import('uWebSockets.js').then(
  () => true,
  () => false,
);
const only = options.only?.split(',');
const names = options.peers?.split(',');
const rounds = Number(options.rounds ?? (options.quick ? 3 : 5));
const times = {
  warmup: options.quick ? 200 : 400,
  window: Number(options.window ?? (options.quick ? 300 : 600)),
};

/** In a quick run: what the figures of the design need. */
const quickPeers = new Set(['sluice', 'ws', 'net', 'undici']);
const chosen = rows.filter(({ id, design }) =>
  only === undefined ? design || !options.quick : only.includes(id),
);
const chosenCurves = Object.entries(curves).filter(([id]) =>
  only === undefined ? !options.quick : only.includes(id),
);

function peersOf(/** @type {{ peers: string[] }} */ { peers }) {
  return peers.filter((peer) => {
    if (peer === 'uws' && !uws) return false;
    if (names !== undefined) return names.includes(peer);
    return !options.quick || quickPeers.has(peer);
  });
}

const machine = describeMachine({ rounds, times, pinned, uws });
console.log(machine.text);
const load = startLoad();
const results = [];
const failures = [];
for (const { load: work, ...rest } of chosen) {
  const fewer = options.quick && work.messages > 1 ? { connections: 500 } : {};
  const row = { ...rest, load: { ...work, ...fewer } };
  const wanted = row.close && !options.quick ? rounds * CLOSE : rounds;
  const some = options.quick && row.rounds !== undefined ? 1 : Math.min(wanted, row.rounds ?? wanted);
  const peers = peersOf(row);
  const result = summarise(row, await measureRow(row, { peers, rounds: some, times, load }));
  results.push(result);
  printRow(result);
  let failed = guard(result);
  if (options.guard && failed.length > 0) {
    // Other work of the machine can spoil three short rounds: a row fails when it is slow in more of them, too
    const again = summarise(row, await measureRow(row, { peers, rounds: 3 * some, times, load }));
    printRow(again);
    failed = guard(again);
  }
  failures.push(...failed);
}
const curveResults = [];
for (const [id, { title, peers, points }] of chosenCurves) {
  const series = Object.fromEntries(peersOf({ peers }).map((peer) => [peer, /** @type {number[][]} */ ([])]));
  for (const { x, ...point } of points) {
    const row = { id, title: `${title}: ${x}`, kind: 'echo', unit: 'messages/s', peers, load: point };
    const shorter = { warmup: times.warmup / 2, window: times.window / 2 };
    const context = { peers: Object.keys(series), rounds: Math.min(rounds, 3), times: shorter, load };
    const result = summarise(row, await measureRow(/** @type {any} */ (row), context));
    printRow(result);
    for (const [peer, { median }] of Object.entries(result.peers)) series[peer].push([x, median]);
  }
  curveResults.push({ id, title, series });
}
load.stop();

const { text, markdown } = summary(results);
console.log(text);
if (options.write) write({ machine, results, curves: curveResults, markdown });
if (options.guard && failures.length > 0) {
  console.error(failures.join('\n'));
  process.exit(1);
}
