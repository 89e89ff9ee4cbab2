/** A copy of the project that faults are planted into, and in which the proofs run. */
import { type ChildProcess, spawn } from 'node:child_process';
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
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

/** What became of one fault. */
export interface Verdict {
  readonly found: boolean;
  /** How long the proofs took, or why it was not found. */
  readonly note: string;
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

  /** Plants a fault; returns what restores the sources. Throws, with nothing changed, when an edit does not fit. */
  plant(fault: Fault): () => void {
    const sound = new Map<string, string>();
    const planted = new Map<string, string>();
    for (const { file, find, replace, at } of fault.edits) {
      const path = join(this.#folder, file);
      if (!sound.has(path)) sound.set(path, readFileSync(path, 'utf8'));
      const source = planted.get(path) ?? sound.get(path)!;
      const index = at ?? source.indexOf(find);
      if (index < 0 || (at === undefined && source.indexOf(find, index + 1) >= 0)) {
        throw new Error(`it does not fit ${file} exactly once: ${find}`);
      }
      planted.set(path, source.slice(0, index) + replace + source.slice(index + find.length));
    }
    for (const [path, source] of planted) writeFileSync(path, source);
    return () => {
      for (const [path, source] of sound) writeFileSync(path, source);
    };
  }

  /** Plants a fault and runs the proofs: whether all of them have found it, and what is to be said of that. */
  async prove(fault: Fault, seconds: number): Promise<Verdict> {
    let restore: () => void = () => {};
    try {
      restore = this.plant(fault);
      const began = performance.now();
      if (!(await this.#testsFind(fault))) return { found: false, note: 'no test failed' };
      const tests = secondsSince(began);
      if (!fault.simulate) return { found: true, note: `tests ${tests} s` };
      const simulated = await this.#simulationFinds(fault.name, seconds);
      if (simulated === null) return { found: false, note: 'the simulation had no finding' };
      return { found: true, note: `tests ${tests} s, simulation ${simulated} s` };
    } catch (error) {
      return { found: false, note: (error as Error).message };
    } finally {
      restore();
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #testsFind({ name, tests, anyTitle = false }: Fault): Promise<boolean> {
    const files = tests ?? this.#filesOf(name);
    if (files.length === 0) throw new Error(`no test has [${name}] in its title`);
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
    if (!existsSync(report)) throw new Error(`the tests could not run: ${endOf(output)}`);
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report;
    // A planting that does not compile would be found by everything, and prove nothing
    return testResults.some(({ assertionResults }) =>
      // The row may be in the title of a group around the test
      assertionResults.some(({ status, fullName }) => status === 'failed' && fullName.includes(`[${name}]`)),
    );
  }

  /** Seconds until the finding, null without one. */
  async #simulationFinds(row: string, seconds: number): Promise<string | null> {
    const built = await this.#run([
      'node_modules/typescript/bin/tsc',
      '-p',
      'src',
      '--noUnusedLocals',
      'false',
      '--noUnusedParameters',
      'false',
    ]);
    if (built.code !== 0) throw new Error(`it does not compile: ${endOf(built.output)}`);
    const library = join(this.#folder, 'dist');
    const options = ['--library', library, '--row', row, '--expect-failure', '--seed', SEED];
    const { code, output } = await this.#run([this.#simulation, ...options, '--seconds', String(seconds)]);
    const found = /^found after ([\d.]+) s/m.exec(output);
    if (code === 1 && found !== null) return found[1]!;
    if (code === 0) return null;
    throw new Error(`the simulation could not run: ${endOf(output)}`);
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

  /** Runs Node.js in the copy; rejects when that takes too long. */
  #run(args: readonly string[]): Promise<{ output: string; code: number | null }> {
    return new Promise((resolve, reject) => {
      const env = { ...process.env, NO_COLOR: '1', CI: '' };
      // A process group of its own: the workers of the test runner end with it
      const child = spawn(process.execPath, args, { cwd: this.#folder, env, detached: true });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (data) => {
          output += data;
        });
      }
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        endGroup(child);
      }, MAX_MILLISECONDS);
      running.add(child);
      child.on('close', (code) => {
        clearTimeout(timer);
        running.delete(child);
        if (late) reject(new Error(`${args[0]} did not end within ${MAX_MILLISECONDS / 1000} s`));
        else resolve({ output, code });
      });
    });
  }
}

const running = new Set<ChildProcess>();

/** Ends everything that runs in copies. */
export function endAll(): void {
  for (const child of running) endGroup(child);
}

function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended
  }
}

function secondsSince(began: number): string {
  return ((performance.now() - began) / 1000).toFixed(1);
}

/** The last lines of an output. */
function endOf(output: string): string {
  return output.trim().slice(-2000);
}
