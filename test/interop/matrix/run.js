/** `npm run interop`: Sluice with real peers, in both directions. See README.md. */

import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { checks, columns } from './checks.js';
import { cache, peers } from './peers.js';
import { Missing } from './process.js';

const usage = `Usage: npm run interop -- [--peer NAME ...] [--least N]

Checks Sluice with each of the peers that is installed, and prints what held.

  --peer NAME  Only those whose name has this in it. Default all
  --least N    Fails when fewer peers than that can be started. Default 1
  --help       This text`;

/** @typedef {Map<string, string | null>} Outcomes - what is wrong, or null, by check */

const { only, least } = readOptions();
mkdirSync(cache, { recursive: true });
let passed = 0;
let started = 0;
/** @type {string[]} */
const failures = [];
/** @type {Set<string>} */
const notes = new Set();
/** @type {string[]} */
const leftOut = [];

print(['peer', 'it is the', ...columns]);
for (const peer of peers.filter(
  ({ name }) => only.length === 0 || only.some((part) => name.includes(part)),
)) {
  /** @type {ReturnType<typeof peer.prepare>} */
  let prepared;
  try {
    prepared = peer.prepare();
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    if (error instanceof Missing) leftOut.push(`${peer.name}: ${message}`);
    else failures.push(`${peer.name}: ${message}`);
    continue;
  }
  started++;
  for (const { role, lacks, run } of prepared.directions) {
    const label = `${peer.name} ${prepared.version}, ${role}`;
    /** @type {Outcomes} */
    const outcomes = new Map();
    try {
      await run((check, problem) => outcomes.set(check, problem));
    } catch (error) {
      failures.push(`${label}: ${/** @type {Error} */ (error).message}`);
    }
    for (const [check, reason] of Object.entries(lacks)) {
      outcomes.delete(check);
      notes.add(`${label}: no ${check}, ${reason}`);
    }
    for (const [check, problem] of outcomes) {
      if (problem === null) passed++;
      else failures.push(`${label}: ${check}: ${problem}`);
    }
    print([
      `${peer.name} ${prepared.version}`,
      role,
      ...columns.map((column) => cell(column, outcomes, lacks)),
    ]);
  }
}

if (notes.size > 0) console.log(`\nNot checked, because the peer has no way to do it:\n${list(notes)}`);
if (leftOut.length > 0) console.log(`\nLeft out, because it is not on this machine:\n${list(leftOut)}`);
if (started < least) failures.push(`${started} peers were started, and at least ${least} are wanted`);
if (failures.length > 0) console.log(`\nFailures:\n${list(failures)}`);
console.log(`\n${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length > 0 || passed === 0 ? 1 : 0;

/** What held of the checks of a column. */
function cell(
  /** @type {string} */ column,
  /** @type {Outcomes} */ outcomes,
  /** @type {import('./peers.js').Lacks} */ lacks,
) {
  const own = Object.entries(checks).filter(([check, its]) => its === column && !(check in lacks));
  if (own.length === 0) return '-';
  return own.every(([check]) => outcomes.get(check) === null) ? 'ok' : 'FAILED';
}

function print(/** @type {string[]} */ [peer = '', role = '', ...cells]) {
  const rest = cells.map((text, i) => text.padEnd(Math.max(6, columns[i]?.length ?? 0)));
  console.log([peer.padEnd(28), role.padEnd(12), ...rest].join('  ').trimEnd());
}

function list(/** @type {Iterable<string>} */ lines) {
  return [...lines].map((line) => `  ${line}`).join('\n');
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        peer: { type: 'string', multiple: true, default: [] },
        least: { type: 'string', default: '1' },
        help: { type: 'boolean' },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit();
    }
    const least = Number(values.least);
    if (!Number.isInteger(least)) throw new Error(`Expected a whole number: ${values.least}`);
    return { only: values.peer, least };
  } catch (error) {
    console.error(`${/** @type {Error} */ (error).message}\n\n${usage}`);
    return process.exit(2);
  }
}
