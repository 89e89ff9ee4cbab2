/** `npm run autobahn`: the Autobahn test suite against Sluice, in both roles. See README.md. */

import { mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runJob } from './job.js';
import { caseCount, difference, isExpected, readResults, summary, writeIndex } from './report.js';
import { prepareSuite } from './suite.js';

const usage = `Usage: npm run autobahn -- [--role server|client] [--testee sluice|ws] [--cases PATTERN ...]

Runs the Autobahn test suite and compares the outcome of each case with autobahn/expected.json.

  --role server|client   Only the server's or the client's role of the testee. Default both
  --testee sluice|ws     What is tested; ws is the package of that name, to compare. Default sluice
  --cases PATTERN ...    Only these cases, such as 7.1.6 or 12.*. Default all
  --help                 This text`;

const reports = join(import.meta.dirname, 'reports');

/** Category 9 measures time and wants a quiet machine: these run alone. */
const quiet = ['1.*', '2.*', '3.*', '4.*', '5.*', '6.*', '7.*', '9.*', '10.*'];

/** The compression cases take minutes each: one run a subcategory, as many at once as there are cores. */
const parallel = [1, 2, 3, 4, 5, 6, 7].flatMap((n) => (n < 6 ? [`12.${n}.*`, `13.${n}.*`] : [`13.${n}.*`]));

const { values, positionals } = readOptions();
/** @type {import('./job.js').Role[]} */
const roles = values.role ? [/** @type {import('./job.js').Role} */ (values.role)] : ['server', 'client'];
const cases = [...(values.cases ?? []), ...positionals];

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.log(`Failed to run the Autobahn test suite: ${/** @type {Error} */ (error).message}`);
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
}

async function main() {
  // Fails here and not in every run when the package is not built.
  await import(`./testees/${values.testee}.js`);
  const suite = prepareSuite();
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports, { recursive: true });
  console.log(`Running ${suite.name}`);

  const results = await (cases.length > 0
    ? runAll(suite, jobs([cases]), 1)
    : [
        ...(await runAll(suite, jobs([quiet]), 1)),
        ...(await runAll(suite, jobs(parallel.map((pattern) => [pattern])), availableParallelism())),
      ]);
  writeIndex(reports, results);

  const differing = results.filter((result) => !isExpected(result));
  let absent = 0;
  for (const role of roles) {
    const own = results.filter((result) => result.role === role);
    console.log(`\n${values.testee} as ${role}\n${summary(own)}`);
    const wanted = cases.length > 0 ? 1 : caseCount;
    if (own.length < wanted) {
      absent += wanted - own.length;
      console.log(`  The suite ran ${own.length} cases of ${wanted}`);
    }
  }
  if (differing.length > 0) console.log(`\nDifferences\n${differing.map(difference).join('\n')}`);
  console.log(`\nReports are in ${join(reports, 'index.html')}`);
  console.log(`${results.length - differing.length} passed, ${differing.length + absent} failed`);
  return differing.length + absent === 0;
}

/**
 * One job for each role and list of cases.
 *
 * @param {string[][]} lists
 * @returns {import('./job.js').Job[]}
 */
function jobs(lists) {
  return lists.flatMap((list) =>
    roles.map((role) => ({
      role,
      cases: list,
      folder: join(reports, role, list.length === 1 ? list[0].replace('.*', '') : 'cases'),
    })),
  );
}

/**
 * Runs `jobs`, at most `width` at a time, and resolves to all their results.
 *
 * @param {import('./suite.js').Suite} suite
 * @param {import('./job.js').Job[]} jobs
 * @param {number} width
 */
async function runAll(suite, jobs, width) {
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) {
      const start = Date.now();
      await runJob(suite, values.testee, job);
      console.log(`  ${job.role} ${job.cases.join(' ')}: ${((Date.now() - start) / 1000).toFixed(1)} s`);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return jobs.flatMap((job) => readResults(job, values.testee));
}

function readOptions() {
  try {
    const options = parseArgs({
      options: {
        role: { type: 'string' },
        testee: { type: 'string', default: 'sluice' },
        cases: { type: 'string', multiple: true },
        help: { type: 'boolean' },
      },
      allowPositionals: true,
    });
    const { role, testee, help } = options.values;
    if (help) {
      console.log(usage);
      process.exit();
    }
    if (role !== undefined && role !== 'server' && role !== 'client')
      throw new Error(`Unknown role: ${role}`);
    if (testee !== 'sluice' && testee !== 'ws') throw new Error(`Unknown testee: ${testee}`);
    return options;
  } catch (error) {
    console.error(`${/** @type {Error} */ (error).message}\n\n${usage}`);
    return process.exit(2);
  }
}
