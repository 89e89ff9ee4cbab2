/** Loads the library under test, and runs programs with it, one after the other. */
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { VirtualClock } from './clock.js';
import { LifeTable } from './life-table.js';
import { Coverage } from './lifecycle.js';
import type { Program } from './program.js';
import { type Outcome, runProgram } from './run.js';
import { installStubs } from './stubs.js';
import type { Library } from './world.js';

/** Imports the library once more, so that nothing of earlier programs is in its modules. */
export type Load = () => Promise<Library>;

/**
 * Imports the library from a folder of compiled modules. Modules are cached by their path: each import is
 * one of a copy.
 *
 * @param cache - a folder for the copies, inside of a package of type `module`
 */
export function loaderOf(folder: string, cache: string): Load {
  const from = resolve(folder);
  if (!existsSync(join(from, 'index.js')))
    throw new Error(`Expected a built library in ${folder}: no index.js`);
  let count = 0;
  return async () => {
    const copy = join(resolve(cache), `${process.pid}-${count++}`);
    rmSync(copy, { recursive: true, force: true });
    mkdirSync(copy, { recursive: true });
    cpSync(from, copy, { recursive: true, filter: (name) => !name.endsWith('.d.ts') });
    try {
      return (await import(pathToFileURL(join(copy, 'index.js')).href)) as Library;
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  };
}

/**
 * A process in which programs run: its clock, random source and thread pool are simulated until it is
 * closed.
 */
export class Laboratory {
  readonly coverage: Coverage = new Coverage();
  readonly table: LifeTable = new LifeTable();
  programs = 0;
  connections = 0;
  /** Virtual milliseconds. */
  duration = 0;
  readonly #load: Load;
  readonly #restore: () => void;
  readonly #stackTraceLimit = Error.stackTraceLimit;
  #clock: VirtualClock;
  #library: Library | null = null;

  constructor(load: Load) {
    this.#load = load;
    this.table.listen();
    // Stacks of errors take a good part of the time
    Error.stackTraceLimit = 0;
    this.#restore = installStubs();
    this.#clock = new VirtualClock();
  }

  /** Runs one program; with what is left of an earlier one it has nothing to do. */
  async run(program: Program): Promise<Outcome> {
    this.#library ??= await this.#load();
    const outcome = await runProgram(this.#library, this.#clock, this.coverage, this.table, program);
    this.programs++;
    this.connections += outcome.connections;
    this.duration += outcome.duration;
    if (outcome.dirty) this.renew();
    return outcome;
  }

  /** Forgets everything that programs left in the library, and starts its clock anew. */
  renew(): void {
    this.#library = null;
    this.#clock.uninstall();
    this.#clock = new VirtualClock();
  }

  close(): void {
    this.table.stop();
    Error.stackTraceLimit = this.#stackTraceLimit;
    this.#clock.uninstall();
    this.#restore();
  }
}
