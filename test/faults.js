/**
 * `npm run faults`: plants one fault at a time, a check of a rule that is left out, and wants the tests to find each.
 *
 * The checks are the places of `src` that raise a row of `violation.ts`. Each is planted into a copy of the project.
 */

import { spawn } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
/** The tests of the layers that have rules; the others take longer and are not needed to find one left out. */
const tests = ['test/protocol', 'test/extensions', 'test/connection'];
const copied = ['src', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];

/** @typedef {{ file: string, line: number, name: string, faulty: string }} Fault */

/** What stands in place of a check, by how it raises its row. */
const left = {
  throw: 'void 0',
  'const error =': 'return null; const error = null as never',
  'error =': 'void 0',
};

/** All `throw violation('name', …)` of a source, each left out once. @returns {Fault[]} */
function faultsOf(/** @type {string} */ file) {
  const source = readFileSync(join(root, file), 'utf8');
  const faults = [];
  for (const match of source.matchAll(/(throw|const error =|error =) violation\('(\w+)'/g)) {
    let depth = 0;
    let end = match.index + match[0].indexOf('(');
    do {
      if (source[end] === '(') depth++;
      if (source[end] === ')') depth--;
      end++;
    } while (depth > 0);
    const rest = left[match[1]];
    faults.push({
      file,
      line: source.slice(0, match.index).split('\n').length,
      name: match[2],
      faulty: source.slice(0, match.index) + rest + source.slice(end),
    });
  }
  return faults;
}

/** Runs the tests in `folder`; resolves to the title of the first that failed, or null. */
function runTests(/** @type {string} */ folder) {
  return new Promise((resolve) => {
    const vitest = join(folder, 'node_modules', 'vitest', 'vitest.mjs');
    const args = [vitest, 'run', '--bail', '1', '--reporter', 'dot', '--testTimeout', '10000', ...tests];
    const child = spawn(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, NO_COLOR: '1', CI: '' },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output += data;
      });
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), 180_000);
    child.on('close', (code) => {
      clearTimeout(timer);
      const title = /FAIL\s+(.+)/.exec(output)?.[1] ?? `the tests ended with ${code}`;
      resolve(code === 0 ? null : title);
    });
  });
}

const only = process.argv[2];
const faults = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .map((file) => join('src', file))
  .filter((file) => file.endsWith('.ts') && !file.endsWith('violation.ts'))
  .toSorted()
  .flatMap(faultsOf)
  .filter(({ name }) => only === undefined || name === only);

let next = 0;
let passed = 0;
let failed = 0;
async function work() {
  mkdirSync(join(root, '.cache'), { recursive: true });
  const folder = mkdtempSync(join(root, '.cache', 'faults-'));
  try {
    for (const path of copied) cpSync(join(root, path), join(folder, path), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    while (next < faults.length) {
      const { file, line, name, faulty } = faults[next++];
      const sound = readFileSync(join(folder, file), 'utf8');
      writeFileSync(join(folder, file), faulty);
      const found = await runTests(folder);
      writeFileSync(join(folder, file), sound);
      if (found === null) failed++;
      else passed++;
      console.log(
        `${found === null ? 'NOT FOUND' : 'found    '}  ${name} at ${file}:${line}${found === null ? '' : `: ${found}`}`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await Promise.all(Array.from({ length: Math.max(1, availableParallelism() - 1) }, work));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
