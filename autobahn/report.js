/** What came out of the suite, compared with what is expected of it. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/**
 * @typedef {[behavior: string, behaviorClose: string]} Outcome Autobahn's words, such as `OK` or `WRONG CODE`.
 * @typedef {object} Result
 * @property {import('./job.js').Role} role
 * @property {string} id Such as `7.13.1`.
 * @property {Outcome} outcome
 * @property {Outcome} expected
 * @property {string} file The suite's page on the case, without its extension.
 */

/** @type {{ cases: number, default: Outcome, exceptions: Record<string, Outcome> }} */
const table = JSON.parse(readFileSync(join(import.meta.dirname, 'expected.json'), 'utf8'));

/** Cases of the suite, a role. */
export const caseCount = table.cases;

/** @type {Outcome} */
const missing = ['MISSING', 'MISSING'];

const columns = ['OK', 'NON-STRICT', 'INFORMATIONAL', 'UNIMPLEMENTED', 'FAILED'];

/**
 * The results of one job: one for each case that the suite said it would run, also when it did not come to it.
 *
 * @param {import('./job.js').Job} job
 * @param {string} testee
 * @returns {Result[]}
 */
export function readResults({ role, folder }, testee) {
  const log = readOptional(join(folder, 'wstest.log'));
  const announced = /^Cases = (.*)$/m.exec(log)?.[1]?.match(/\d+(\.\d+)+/g) ?? [];
  const reported = JSON.parse(readOptional(join(folder, 'index.json')) || '{}')[testee] ?? {};
  return announced.map((id) => {
    const { behavior, behaviorClose, reportfile = '' } = reported[id] ?? {};
    return {
      role,
      id,
      outcome: reported[id] ? [behavior, behaviorClose] : missing,
      expected: expectedOutcome(id),
      file: join(folder, reportfile.replace(/\.json$/, '')),
    };
  });
}

/** @param {Result} result */
export function isExpected({ outcome, expected }) {
  return outcome[0] === expected[0] && outcome[1] === expected[1];
}

/**
 * A line for each category of one role: how many cases behaved in which way.
 *
 * @param {Result[]} results
 */
export function summary(results) {
  const categories = [...new Set(results.map(({ id }) => category(id)))].sort((a, b) => a - b);
  const row = (/** @type {string} */ name, /** @type {(string | number)[]} */ cells) =>
    `  ${name.padEnd(8)}${cells.map((cell, i) => String(cell).padStart((columns[i] ?? '').length + 3)).join('')}`;
  const count = (/** @type {Result[]} */ some) =>
    columns.map((column) => some.filter(({ outcome }) => columnOf(outcome) === column).length || '-');
  return [
    row('category', columns),
    ...categories.map((number) =>
      row(`${number}`, count(results.filter(({ id }) => category(id) === number))),
    ),
    row('all', count(results)),
  ].join('\n');
}

/**
 * What differs and why, in the suite's words.
 *
 * @param {Result} result
 */
export function difference({ role, id, outcome, expected, file }) {
  const page = JSON.parse(readOptional(`${file}.json`) || '{}');
  const why = [page.result, page.resultClose].filter(Boolean).map((text) => `\n    ${text}`);
  const where = existsSync(`${file}.html`) ? `\n    ${relative(process.cwd(), file)}.html` : '';
  return `  ${role} ${id}: ${outcome.join(', close ')}; expected ${expected.join(', close ')}${why.join('')}${where}`;
}

/**
 * One page with a link to the suite's page on each case.
 *
 * @param {string} folder
 * @param {Result[]} results
 */
export function writeIndex(folder, results) {
  const row = (/** @type {Result} */ result) =>
    `<tr${isExpected(result) ? '' : ' style="background: #fcc"'}><td>${result.role}<td><a href="` +
    `${relative(folder, result.file)}.html">${result.id}</a><td>${result.outcome.join('<td>')}`;
  writeFileSync(
    join(folder, 'index.html'),
    `<!doctype html><meta charset="utf-8"><title>Autobahn</title><table>
<tr><th>role<th>case<th>behavior<th>closing
${results.map(row).join('\n')}
</table>
`,
  );
}

/**
 * @param {string} id
 * @returns {Outcome}
 */
function expectedOutcome(id) {
  const { exceptions } = table;
  return exceptions[id] ?? exceptions[`${category(id)}.*`] ?? table.default;
}

/** @param {Outcome} outcome */
function columnOf([behavior, behaviorClose]) {
  if (behavior === 'OK' && behaviorClose !== 'OK') return 'FAILED';
  return columns.includes(behavior) ? behavior : 'FAILED';
}

/** @param {string} id */
function category(id) {
  return Number.parseInt(id, 10);
}

/** @param {string} file */
function readOptional(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
