/** A copy of the project that faults are planted into, and in which the proofs run. */
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { titlesOf } from '../titles.js';

/** A change to one file. */
export interface Edit {
  readonly file: string;
  /** It has to be there exactly once, unless `at` says where. */
  readonly find: string;
  readonly replace: string;
  readonly at?: number;
}

/** Something to be found. */
export interface Fault {
  /** A row of test/scenarios.ts, or of `violation.ts`. */
  readonly name: string;
  readonly what: string;
  readonly edits: readonly Edit[];
  /** Where the tests are that have to find it; by default those with the row's id in their titles. */
  readonly tests?: readonly string[];
  /** Any test may fail, not only those with the row's id. */
  readonly anyTitle?: boolean;
  /** The simulation has to find it, too. */
  readonly simulate?: boolean;
}

/** The part of a report of the test runner that is read. */
interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
}

const copied = ['src', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts', 'README.md'];
/** Fixed, so that what was found once is found again. */
const SEED = '20261124';
const MAX_MILLISECONDS = 180_000;

/** One copy; several can be at work at once. */
export class Copy {
  readonly #folder: string;
  readonly #simulation: string;

  constructor(root: string) {
    mkdirSync(join(root, '.cache'), { recursive: true });
    this.#folder = mkdtempSync(join(root, '.cache', 'planted-'));
    this.#simulation = join(root, '.cache/simulation/test/simulation/main.js');
    for (const path of copied) cpSync(join(root, path), join(this.#folder, path), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(this.#folder, 'node_modules'));
  }

  /** Plants a fault; returns what restores the sources. Throws when an edit does not fit. */
  plant(fault: Fault): () => void {
    const sound = new Map<string, string>();
    for (const { file, find, replace, at } of fault.edits) {
      const path = join(this.#folder, file);
      const source = readFileSync(path, 'utf8');
      const index = at ?? source.indexOf(find);
      if (index < 0 || (at === undefined && source.indexOf(find, index + 1) >= 0)) {
        throw new Error(`Planting ${fault.name} does not fit ${file} exactly once: ${find}`);
      }
      if (!sound.has(path)) sound.set(path, source);
      writeFileSync(path, source.slice(0, index) + replace + source.slice(index + find.length));
    }
    return () => {
      for (const [path, source] of sound) writeFileSync(path, source);
    };
  }

  /** Runs the proofs; null when all of them have found the fault, else what has not. */
  async prove(fault: Fault, seconds: number): Promise<string | null> {
    if (!(await this.#testsFind(fault))) return ', by the tests';
    if (fault.simulate && !(await this.#simulationFinds(fault.name, seconds))) return ', by the simulation';
    return null;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #testsFind({ name, tests, anyTitle = false }: Fault): Promise<boolean> {
    const files = tests ?? this.#filesOf(name);
    if (files.length === 0) throw new Error(`No test has [${name}] in its title`);
    const vitest = join('node_modules', 'vitest', 'vitest.mjs');
    const report = join(this.#folder, '.cache/report.json');
    rmSync(report, { force: true });
    const { output, code } = await this.#run([
      vitest,
      'run',
      '--bail=1',
      '--reporter=json',
      `--outputFile.json=${report}`,
      '--testTimeout=10000',
      ...(anyTitle ? [] : ['-t', `\\[${name}\\]`]),
      ...files,
    ]);
    if (code === 0) return false;
    if (anyTitle) return true;
    if (!existsSync(report)) throw new Error(`The tests of ${name} could not run: ${output}`);
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report;
    // A planting that does not compile would be found by everything, and prove nothing
    return testResults.some(({ assertionResults }) =>
      assertionResults.some(({ status, title }) => status === 'failed' && title.includes(`[${name}]`)),
    );
  }

  async #simulationFinds(row: string, seconds: number): Promise<boolean> {
    const built = await this.#run([
      'node_modules/typescript/bin/tsc',
      '-p',
      'src',
      '--noUnusedLocals',
      'false',
      '--noUnusedParameters',
      'false',
    ]);
    if (built.code !== 0) throw new Error(`The planting of ${row} does not compile: ${built.output}`);
    const library = join(this.#folder, 'dist');
    const options = ['--library', library, '--row', row, '--expect-failure', '--seed', SEED];
    const { code, output } = await this.#run([this.#simulation, ...options, '--seconds', String(seconds)]);
    if (code !== 0 && !output.includes('FAILED')) throw new Error(`The simulation could not run: ${output}`);
    return code === 1;
  }

  /** The test files that have the row in a title. */
  #filesOf(row: string): string[] {
    return readdirSync(join(this.#folder, 'test'), { recursive: true, encoding: 'utf8' })
      .map((path) => join('test', path))
      .filter((path) => path.endsWith('.test.ts'))
      .filter((path) =>
        titlesOf(readFileSync(join(this.#folder, path), 'utf8')).some((title) => title.includes(`[${row}]`)),
      );
  }

  /** Runs Node.js in the copy. */
  #run(args: readonly string[]): Promise<{ output: string; code: number | null }> {
    return new Promise((resolve) => {
      const environment = { ...process.env, NO_COLOR: '1', CI: '' };
      const child = spawn(process.execPath, args, { cwd: this.#folder, env: environment });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (data) => {
          output += data;
        });
      }
      const timer = setTimeout(() => child.kill('SIGKILL'), MAX_MILLISECONDS);
      child.on('close', (code) => {
        clearTimeout(timer);
        resolve({ output, code });
      });
    });
  }
}
