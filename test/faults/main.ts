/**
 * `npm run faults`: plants one fault at a time into a copy of the project, and wants the proofs to find each.
 *
 * Of two kinds: each check that raises a row of `violation.ts` is left out (the tests have to fail), and for rows of
 * test/scenarios.ts a written edit brings the symptom back (a test whose title bears the row's id has to fail, and where
 * the planting says so, the simulation has to find it as well). A fault has to compile, and the tests that judge it have
 * to pass without it.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Baseline } from './baseline.js';
import { checksLeftOut } from './checks.js';
import { Copy, endAll, type Fault } from './copy.js';
import { handshakePlantings } from './handshake-plantings.js';
import { plantings } from './plantings.js';
import { type Selection, selectionOf } from './selection.js';

const usage = `Usage: npm run faults -- [options]

  --only NAME    plants only faults of this name: a row (X-02) or a violation (closeCode); may be repeated
  --part N/M     plants every M-th fault, from the N-th on: --part 0/3
  --seconds N    how long the simulation may take to find one (default 60)
  --check        runs no tests: only checks that every fault still fits the sources, and compiles`;

const values = readOptions();
if (values.help) {
  console.log(usage);
  process.exit();
}

const root = join(import.meta.dirname, '../../../..');
const all: readonly Fault[] = [...checksLeftOut(root), ...plantings, ...handshakePlantings];
const unknown = values.only.filter((name) => !all.some((fault) => fault.name === name));
if (unknown.length > 0) refuse(`--only ${unknown.join(', ')}: no fault has this name`);
if (!/^\d+\/\d+$/.test(values.part)) refuse(`--part ${values.part}: expected N/M, for example 0/3`);
const [first = 0, step = 1] = values.part.split('/').map(Number);
const faults = all
  .filter(({ name }) => values.only.length === 0 || values.only.includes(name))
  .filter((_, index) => index % step === first);
if (!(Number(values.seconds) > 0)) refuse(`--seconds ${values.seconds}: expected a number of seconds`);
if (faults.length === 0) refuse(`--part ${values.part}: it has none of the faults`);

function refuse(why: string): never {
  console.error(why);
  process.exit(2);
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string', multiple: true, default: [] },
        part: { type: 'string', default: '0/1' },
        seconds: { type: 'string', default: '60' },
        check: { type: 'boolean', default: false },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    return refuse(`${(error as Error).message}\n${usage}`);
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    endAll();
    removeCopies();
    process.exit(1);
  });
}

function removeCopies(): void {
  for (const copy of copies) copy.remove();
}

const copies = Array.from({ length: availableParallelism() }, () => new Copy(root));
let next = 0;
let passed = 0;
let failed = 0;

async function checkAll(copy: Copy): Promise<void> {
  while (next < faults.length) {
    const fault = faults[next++]!;
    try {
      await copy.check(fault);
      passed++;
    } catch (error) {
      failed++;
      console.log(`${fault.name}: ${fault.what}: ${(error as Error).message}`);
    }
  }
}

async function proveAll(copy: Copy, baseline: Baseline): Promise<void> {
  while (next < faults.length) {
    const fault = faults[next++]!;
    const { found, note } = await copy.prove(fault, Number(values.seconds), baseline);
    if (found) passed++;
    else failed++;
    console.log(`${found ? 'found    ' : 'NOT FOUND'}  ${fault.name}: ${fault.what} (${note})`);
  }
}

/** The tests of a fault; none when it has none, which is reported when it is planted. */
function selectionsOf(fault: Fault): Selection[] {
  try {
    return [selectionOf(fault, root)];
  } catch {
    return [];
  }
}

try {
  if (values.check) {
    await Promise.all(copies.map(checkAll));
  } else {
    const began = performance.now();
    const baseline = await Baseline.run(copies, faults.flatMap(selectionsOf));
    console.log(`baseline   ${((performance.now() - began) / 1000).toFixed(1)} s`);
    await Promise.all(copies.map((copy) => proveAll(copy, baseline)));
  }
} catch (error) {
  failed++;
  console.error(`Without a fault: ${(error as Error).message}`);
} finally {
  removeCopies();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
