/** A copy of the project that faults are planted into, and in which the proofs run. */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { timed } from '../timed.js';
import type { Baseline } from './baseline.js';
import { type Outcome, readReport, type Test } from './report.js';
import { only, type Selection, selectionOf } from './selection.js';

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
  /** The test files and folders that have to find it; by default the tests with the row's id in their titles. */
  readonly tests?: readonly string[];
  /** The simulation has to find it, too. */
  readonly simulate?: boolean;
}

/** What became of one fault. */
export interface Verdict {
  readonly found: boolean;
  /** How long the proofs took, or why it was not found. */
  readonly note: string;
}

const copied = ['src', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts', 'README.md'];
/** Fixed, so that what was found once is found again. */
const SEED = '3';
/** Of one process, with all tests of the baseline in mind. */
const MAX_MILLISECONDS = 300_000;
/** How often a fault is planted that only a timed test finds, when the test fails without the fault as well. */
const MAX_ATTEMPTS = 2;

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
  #plant(fault: Fault): () => void {
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

  /** Plants a fault without running anything; rejects when it does not fit the sources or does not compile. */
  check(fault: Fault): Promise<void> {
    return this.#planted(fault, () => this.#compile());
  }

  /** Plants a fault and runs the proofs: whether all of them have found it, and what is to be said of that. */
  async prove(fault: Fault, seconds: number, baseline: Baseline): Promise<Verdict> {
    try {
      const selection = selectionOf(fault, this.#folder);
      baseline.check(selection);
      for (let attempts = 1; ; attempts++) {
        const { test, note } = await this.#planted(fault, () => this.#proofs(fault, selection, seconds));
        if (!timed.includes(test.file) || (await this.#isSound(test))) return { found: true, note };
        if (attempts === MAX_ATTEMPTS) {
          throw new Error(`fails without the fault, too, is the machine busy? ${test.file}: ${test.title}`);
        }
      }
    } catch (error) {
      return { found: false, note: (error as Error).message };
    }
  }

  /** Runs tests; rejects when the runner or a file of tests fails, and no test does. */
  async test({ files, title }: Selection, ...options: readonly string[]): Promise<Outcome> {
    const report = join(this.#folder, '.cache/report.json');
    rmSync(report, { force: true });
    const { output, code } = await this.#run([
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter=json',
      `--outputFile.json=${report}`,
      '--testTimeout=10000',
      ...(title === '' ? [] : ['-t', title]),
      ...options,
      ...files,
    ]);
    if (!existsSync(report)) throw new Error(`the tests could not run: ${endOf(output)}`);
    const outcome = readReport(readFileSync(report, 'utf8'), this.#folder);
    if (code !== 0 && outcome.failed.length === 0) {
      throw new Error(`no test failed, but their runner did: ${endOf(output)}`);
    }
    return outcome;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #planted<T>(fault: Fault, work: () => Promise<T>): Promise<T> {
    const restore = this.#plant(fault);
    try {
      return await work();
    } finally {
      restore();
    }
  }

  /** The test that fails with the fault, and how long the proofs took; rejects when one of them does not find it. */
  async #proofs(
    { name, simulate }: Fault,
    selection: Selection,
    seconds: number,
  ): Promise<{ test: Test; note: string }> {
    await this.#compile();
    const began = performance.now();
    const { failed } = await this.test(selection, '--bail=1');
    const test = failed.find(({ file }) => !timed.includes(file)) ?? failed[0];
    if (test === undefined) throw new Error('no test failed');
    const note = `tests ${secondsSince(began)} s`;
    return { test, note: simulate ? `${note}, simulation ${await this.#simulate(name, seconds)} s` : note };
  }

  /** Whether a test passes on the sound sources. */
  async #isSound(test: Test): Promise<boolean> {
    const { passed, failed } = await this.test(only([test]));
    return passed.length > 0 && failed.length === 0;
  }

  /** Rejects when the sources do not compile: everything would find such a fault, and prove nothing. */
  async #compile(): Promise<void> {
    const { code, output } = await this.#run([
      'node_modules/typescript/bin/tsc',
      '-p',
      'src',
      '--noUnusedLocals',
      'false',
      '--noUnusedParameters',
      'false',
    ]);
    if (code !== 0) throw new Error(`it does not compile: ${endOf(output)}`);
  }

  /** Seconds until the simulation of what was compiled has a finding; rejects without one. */
  async #simulate(row: string, seconds: number): Promise<string> {
    const library = join(this.#folder, 'dist');
    const options = ['--library', library, '--row', row, '--expect-failure', '--seed', SEED];
    const { code, output } = await this.#run([this.#simulation, ...options, '--seconds', String(seconds)]);
    const found = /^found after ([\d.]+) s/m.exec(output);
    if (code === 1 && found !== null) return found[1]!;
    throw new Error(
      code === 0 ? 'the simulation had no finding' : `the simulation could not run: ${endOf(output)}`,
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
