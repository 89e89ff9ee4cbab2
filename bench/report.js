/** What the bench tells: rows as they come, a table, JSON, plots, and the README's part. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { CLOSE } from './rows.js';
import { median } from './statistics.js';

const require = createRequire(import.meta.url);
const root = join(import.meta.dirname, '..');
const folder = join(import.meta.dirname, 'results');
/** Rows where less is better. */
const LESS = new Set(['bytes', 'ms']);
/** Details of which the rounds' largest is told, not their median. */
const LONGEST = new Set(['stall', 'stallByClock']);
/** How much of a target the guard wants. */
const GUARD = 0.5;

export function describeMachine(/** @type {any} */ { rounds, times, pinned, uws }) {
  const versions = { sluice: require('../package.json').version };
  for (const name of [
    'ws',
    'bufferutil',
    'undici',
    'websocket',
    'faye-websocket',
    ...(uws ? ['uWebSockets.js'] : []),
  ]) {
    versions[name] = JSON.parse(
      readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'),
    ).version;
  }
  const machine = {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    cpu: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${process.platform} ${release()}`,
    pinned,
    rounds,
    times,
    versions,
  };
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const text = [
    `${machine.date}, Node ${machine.node}, ${machine.cpu}, ${machine.memory}, ${machine.system}`,
    list.join(', ') + (uws ? '' : '; uWebSockets.js is not installed'),
    `${rounds} rounds (${CLOSE} times that where the sides are close) of ${times.window} ms behind ${times.warmup} ms of warm-up, the peers in turn; ` +
      (pinned ? 'server on core 0, load on core 1' : 'not pinned to cores'),
  ].join('\n');
  return { ...machine, text };
}

/**
 * Medians and spread of each peer, and the median of the ratios of the rounds.
 *
 * @param {any} row
 * @param {Record<string, any[]>} samples
 */
export function summarise(row, samples) {
  const peers = {};
  for (const [peer, list] of Object.entries(samples)) {
    const values = list.map(({ value }) => value);
    const details = {};
    for (const key of Object.keys(list[0])) {
      if (key === 'value') continue;
      const all = list.map((sample) => sample[key]);
      details[key] = LONGEST.has(key) ? Math.max(...all) : median(all);
    }
    peers[peer] = {
      median: median(values),
      min: Math.min(...values),
      max: Math.max(...values),
      values,
      ...details,
    };
  }
  const ratios = {};
  for (const [peer, { values }] of Object.entries(peers)) {
    if (peer === 'sluice' || peers.sluice === undefined) continue;
    ratios[peer] = median(peers.sluice.values.map((value, round) => value / values[round]));
  }
  const less = LESS.has(row.unit);
  const reached = {};
  for (const [peer, target] of Object.entries(row.targets ?? {})) {
    if (ratios[peer] !== undefined) reached[peer] = less ? ratios[peer] <= target : ratios[peer] >= target;
  }
  if (row.load.most !== undefined && peers.sluice !== undefined)
    reached.most = peers.sluice.median <= row.load.most;
  return { ...row, peers, ratios, reached };
}

/** The rows of which less than half of the figure is there. */
export function guard(/** @type {any} */ { title, unit, ratios, targets = {} }) {
  return Object.entries(targets)
    .filter(([peer, target]) => {
      const ratio = ratios[peer];
      // A bare echo looks at no byte: how far ahead that is with large payloads is up to the memory of the machine
      return (
        peer !== 'net' &&
        ratio !== undefined &&
        (LESS.has(unit) ? ratio > target / GUARD : ratio < target * GUARD)
      );
    })
    .map(([peer, target]) => `${title}: ${short(ratios[peer])} of ${peer}, the figure is ${target}`);
}

function short(/** @type {number} */ value) {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)}M`;
  if (value >= 1e4) return `${(value / 1e3).toPrecision(3)}k`;
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export const amount = (/** @type {number} */ value, /** @type {string} */ unit) =>
  unit === 'bytes'
    ? value >= 2 ** 20
      ? `${(value / 2 ** 20).toFixed(1)} MiB`
      : `${(value / 1024).toFixed(1)} KiB`
    : `${short(value)}${unit === 'ms' ? ' ms' : ''}`;

/** Four digits are more than a measurement has. */
const rounded = (/** @type {string} */ _key, /** @type {unknown} */ value) =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;

export function printRow(/** @type {any} */ { title, unit, peers, ratios, reached, targets = {} }) {
  console.log(`\n${title} (${unit})`);
  for (const [peer, { median, min, max, values: _, ...details }] of Object.entries(peers)) {
    const rest = Object.entries(details).map(([name, value]) => `${name} ${short(value)}`);
    const ratio = ratios[peer] === undefined ? '' : `sluice is ${ratios[peer].toFixed(2)}x`;
    const target = targets[peer]
      ? ` (figure ${targets[peer]}: ${reached[peer] ? 'reached' : 'NOT reached'})`
      : '';
    console.log(
      `  ${peer.padEnd(15)} ${amount(median, unit).padStart(10)}  ${amount(min, unit)} to ${amount(max, unit)}  ` +
        `${ratio}${target}${rest.length > 0 ? `  [${rest.join(', ')}]` : ''}`,
    );
  }
}

/** The table of all rows, and the geometric mean of what they are worth against `ws`. */
export function summary(/** @type {any[]} */ results) {
  const lines = [
    ['work', 'sluice', '`ws`', 'against `ws`', 'figure', '`node:net`', 'of `node:net`', 'figure', 'reached'],
  ];
  const worth = [];
  for (const { title, unit, peers, ratios, targets = {}, reached, design, load } of results) {
    const against = ratios.ws;
    if (design && against !== undefined) worth.push(LESS.has(unit) ? 1 / against : against);
    const verdicts = Object.values(reached);
    lines.push([
      title,
      peers.sluice ? amount(peers.sluice.median, unit) : '',
      peers.ws ? amount(peers.ws.median, unit) : '',
      against ? `${against.toFixed(2)}x` : '',
      targets.ws ? `${targets.ws}x` : load.most ? amount(load.most, unit) : '',
      peers.net ? amount(peers.net.median, unit) : '',
      ratios.net ? ratios.net.toFixed(2) : '',
      targets.net ? String(targets.net) : '',
      verdicts.length === 0 ? '' : verdicts.every(Boolean) ? 'yes' : 'no',
    ]);
  }
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const text = lines
    .map((line) =>
      line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '),
    )
    .join('\n')
    .replaceAll('`', ' ');
  const row = (line) => `| ${line.join(' | ')} |`;
  const rule = `|---|${lines[0]
    .slice(1)
    .map(() => '---:|')
    .join('')}`;
  const mean = Math.exp(worth.reduce((sum, value) => sum + Math.log(value), 0) / worth.length);
  const end =
    worth.length === 0
      ? ''
      : `Geometric mean of the ${worth.length} figures against ws: ${mean.toFixed(2)}x; the least: ${Math.min(...worth).toFixed(2)}x`;
  return {
    text: `\n${text}\n\n${end}`,
    markdown: [row(lines[0]), rule, ...lines.slice(1).map(row), '', `${end}.`].join('\n'),
  };
}

/** Writes results, plots, and the README's part between its two marks. */
export async function write(/** @type {any} */ { machine, results, curves, markdown }) {
  const { barChart, lineChart } = await import('./svg.js');
  mkdirSync(folder, { recursive: true });
  const save = (name, content) => writeFileSync(join(folder, name), content);
  save('results.json', `${JSON.stringify({ machine, results, curves }, rounded, 1)}\n`);
  const bars = results
    .filter(({ ratios, design }) => design && ratios.ws !== undefined)
    .map(({ title, unit, ratios, targets }) => ({
      name: title,
      value: LESS.has(unit) ? 1 / ratios.ws : ratios.ws,
      ...(targets?.ws && { mark: LESS.has(unit) ? 1 / targets.ws : targets.ws }),
    }));
  const times = 'times as good as ws (mark: the figure to reach)';
  if (bars.length > 0) save('ratios.svg', barChart({ title: 'sluice against ws', xLabel: times, bars }));
  for (const { id, title, series } of curves) {
    const bytes = id === 'sizes';
    const chart = {
      title,
      xLabel: bytes ? 'bytes of a message' : 'connections',
      yLabel: 'messages a second',
      series: Object.entries(series).map(([name, points]) => ({ name, points })),
      xBase: bytes ? 2 : 10,
    };
    save(`${id}.svg`, lineChart(/** @type {any} */ (chart)));
  }
  const readme = join(root, 'README.md');
  const text = readFileSync(readme, 'utf8');
  const from = text.indexOf('<!-- bench -->\n') + '<!-- bench -->\n'.length;
  const to = text.indexOf('<!-- /bench -->');
  if (to < from) throw new Error('The README has no part for the bench');
  const { date, node, cpu, system, rounds, versions } = machine;
  const versionList = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const note = `${date}, Node ${node}, ${cpu}, ${system}; ${rounds} rounds, ${rounds * CLOSE} where the sides are close; ${versionList.join(', ')}.`;
  writeFileSync(readme, `${text.slice(0, from)}${markdown}\n\n${note}\n${text.slice(to)}`);
}
