/**
 * `npm run faults`: plants one fault at a time into a copy of the project, and wants the proofs to find each.
 *
 * Of two kinds: each check that raises a row of `violation.ts` is left out (the tests have to fail), and for rows of
 * test/scenarios.ts a written edit brings the symptom back (a test whose title bears the row's id has to fail, and where
 * the planting says so, the simulation has to find it as well).
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checksLeftOut } from './checks.js';
import { Copy, endAll, type Fault } from './copy.js';
import { handshakePlantings } from './handshake-plantings.js';
import { plantings } from './plantings.js';

const usage = `Usage: npm run faults -- [options]

  --only NAME    plants only faults of this name: a row (X-02) or a violation (closeCode); may be repeated
  --part N/M     plants every M-th fault, from the N-th on: --part 0/3
  --seconds N    how long the simulation may take to find one (default 60)
  --check        plants nothing: only checks that every planting still fits the sources`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    part: { type: 'string', default: '0/1' },
    seconds: { type: 'string', default: '60' },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(usage);
  process.exit();
}

const root = join(import.meta.dirname, '../../../..');
const [first = 0, step = 1] = values.part.split('/').map(Number);
const faults: readonly Fault[] = [...checksLeftOut(root), ...plantings, ...handshakePlantings]
  .filter(({ name }) => values.only.length === 0 || values.only.includes(name))
  .filter((_, index) => index % step === first);

if (values.check) {
  const probe = new Copy(root);
  try {
    for (const fault of faults) check(probe, fault);
  } finally {
    probe.remove();
  }
  process.exit();
}

let next = 0;
let passed = 0;
let failed = 0;

/** A fault that does not fit is reported; the others are checked all the same. */
function check(copy: Copy, fault: Fault): void {
  try {
    copy.plant(fault)();
  } catch (error) {
    console.log(`${fault.name}: ${fault.what}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}

async function work(): Promise<void> {
  const copy = new Copy(root);
  try {
    while (next < faults.length) {
      const fault = faults[next++]!;
      const { found, note } = await copy.prove(fault, Number(values.seconds));
      if (found) passed++;
      else failed++;
      console.log(`${found ? 'found    ' : 'NOT FOUND'}  ${fault.name}: ${fault.what} (${note})`);
    }
  } finally {
    copy.remove();
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    endAll();
    process.exit(1);
  });
}
await Promise.all(Array.from({ length: availableParallelism() }, work));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
