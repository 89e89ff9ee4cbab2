/**
 * `npm run types:matrix`: the types of the built package, as applications compile against them: each version of
 * TypeScript with each way to resolve modules compiles `cases/`. A line marked `@ts-expect-error` must be an error.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = process.cwd();
const folder = join(root, '.cache', 'types-matrix');

/** Compilers: the oldest that is supported, the last one before the native compiler, that one. */
const compilers = ['5.0.4', '5.9.3', 'of the project'] as const;

/** `moduleResolution`, the `module` that goes with it, and whether the globals of browsers are declared as well. */
const resolutions = [
  { moduleResolution: 'nodenext', module: 'nodenext', dom: false },
  { moduleResolution: 'node16', module: 'node16', dom: false },
  { moduleResolution: 'bundler', module: 'esnext', dom: true },
] as const;

/** The folder of a version of TypeScript: they are no dependencies, as all of them have a command `tsc`. */
async function install(compiler: string): Promise<string> {
  if (compiler === 'of the project') return join(root, 'node_modules/typescript');
  const prefix = join(root, '.cache', 'typescript', compiler);
  const path = join(prefix, 'node_modules/typescript');
  if (!existsSync(path)) {
    mkdirSync(prefix, { recursive: true });
    const packages = ['--no-save', '--no-package-lock', '--prefix', prefix, `typescript@${compiler}`];
    await run('npm', ['install', '--no-audit', '--no-fund', ...packages]);
  }
  return path;
}

/** What one compiler has to say, outside of the types of Node.js; empty when nothing is wrong. */
async function compile(
  compiler: string,
  { dom, module, moduleResolution }: (typeof resolutions)[number],
): Promise<string[]> {
  const config = join(folder, `${basename(dirname(dirname(compiler)))}-${moduleResolution}.json`);
  const compilerOptions = {
    target: 'es2022',
    lib: dom ? ['es2023', 'dom', 'dom.iterable'] : ['es2023'],
    module,
    moduleResolution,
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    // Declarations of this package are checked as well
    skipLibCheck: false,
  };
  writeFileSync(config, JSON.stringify({ compilerOptions, include: ['../../test/types/cases'] }));
  const tsc = join(compiler, 'bin', 'tsc');
  try {
    await run(process.execPath, [tsc, '-p', config, '--pretty', 'false'], { maxBuffer: 2 ** 28 });
    return [];
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (stdout === undefined || stdout === '') throw error;
    // Those of Node.js are made for a newer TypeScript than the oldest
    return stdout
      .split('\n')
      .filter((line) => line.trim() !== '' && !/^(\.\.\/)*node_modules\/|^ /.test(line));
  }
}

mkdirSync(folder, { recursive: true });
let failed = 0;
for (const compiler of compilers) {
  const path = await install(compiler);
  const outcomes = await Promise.all(resolutions.map((resolution) => compile(path, resolution)));
  outcomes.forEach((faults, i) => {
    if (faults.length > 0) failed++;
    const outcome = faults.length > 0 ? 'FAILED' : 'ok';
    console.log(`${outcome.padEnd(6)} TypeScript ${compiler}, ${resolutions[i]!.moduleResolution}`);
    for (const fault of faults) console.log(`       ${fault}`);
  });
}
console.log(`${compilers.length * resolutions.length - failed} passed, ${failed} failed`);
if (failed > 0) process.exitCode = 1;
