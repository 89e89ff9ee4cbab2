/**
 * `npm run fuzz`: runs the targets one after another, each in a thread of its own, so that one that does not end, or
 * takes all memory, is found as well. The inputs follow from seed, target and iteration alone.
 */
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { addToCorpus, type Found, fuzz, inputAt, type Result, readCorpus } from './fuzz.js';
import { targets } from './targets.js';

const usage = `Usage: npm run fuzz -- [--minutes N] [--seed S] [--target NAME ...]

Runs the fuzzer, first over test/fuzz/corpus. A finding is added to it, and ends with exit code 1.

  --minutes N    For so long, shared by the targets. Default 1
  --seed S       Makes the inputs of an earlier run again. Default a new one
  --target NAME  Only these: ${targets.map(({ name }) => name).join(', ')}. Default all
  --help         This text`;

/** npm runs scripts in the folder of the package. */
const corpusFolder = join(process.cwd(), 'test/fuzz/corpus');
/** An execution that takes longer does not end. */
const MOST_SECONDS = 20;
const MOST_HEAP_MIB = 1024;
/** Most bytes of an input that are printed; its file has all. */
const MOST_SHOWN = 400;

interface Job {
  readonly name: string;
  readonly seed: number;
  readonly milliseconds: number;
  /** The iteration at work. */
  readonly iteration: Int32Array;
}

if (isMainThread) process.exitCode = await main();
else await work(workerData as Job);

async function main(): Promise<number> {
  const { minutes, seed, names } = readOptions();
  console.log(`Seed ${seed}`);
  let findings = 0;
  for (const name of names) {
    const start = performance.now();
    const { executions, found } = await runTarget(name, seed, (minutes * 60_000) / names.length);
    const seconds = (performance.now() - start) / 1000;
    const speed = Math.round(executions / seconds);
    console.log(`${name.padEnd(17)} ${executions} executions in ${seconds.toFixed(0)} s, ${speed}/s`);
    if (found === null) continue;
    findings++;
    report(name, seed, found);
  }
  console.log(findings === 0 ? 'No findings' : `Findings in ${findings} of ${names.length} targets`);
  return findings === 0 ? 0 : 1;
}

function report(name: string, seed: number, { iteration, message, input, smallest }: Found): void {
  const path = relative(process.cwd(), addToCorpus(corpusFolder, name, smallest));
  const where = iteration < 0 ? 'of the corpus' : `seed ${seed}, iteration ${iteration}`;
  console.log(`\nFOUND ${name}, ${where}: ${message}`);
  const hex = smallest.toString('hex', 0, MOST_SHOWN) + (smallest.length > MOST_SHOWN ? '...' : '');
  console.log(`  ${smallest.length} bytes, of ${input.length}: ${hex}\n  ${path}\n`);
}

/** One target in a thread, which is watched. */
function runTarget(name: string, seed: number, milliseconds: number): Promise<Result> {
  const iteration = new Int32Array(new SharedArrayBuffer(4));
  const workerData: Job = { name, seed, milliseconds, iteration };
  const worker = new Worker(new URL(import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: MOST_HEAP_MIB },
  });
  return new Promise((resolve) => {
    let seen = Number.NaN;
    let since = Date.now();
    const watch = setInterval(() => {
      const now = Atomics.load(iteration, 0);
      if (now !== seen) {
        seen = now;
        since = Date.now();
      } else if (Date.now() - since > MOST_SECONDS * 1000) {
        void worker.terminate();
        end(broken(`Does not end within ${MOST_SECONDS} s`));
      }
    }, 1000);
    const end = (result: Result): void => {
      clearInterval(watch);
      resolve(result);
    };
    const broken = (message: string): Result => {
      const at = Atomics.load(iteration, 0);
      const target = targets.find((candidate) => candidate.name === name)!;
      const input = inputAt(target, seed, at, readCorpus(corpusFolder, name));
      return { executions: Math.max(0, at), found: { iteration: at, message, input, smallest: input } };
    };
    worker.on('message', ({ executions, found }: Result) => {
      // Buffers arrive as plain arrays of bytes
      const again = found && {
        ...found,
        input: Buffer.from(found.input),
        smallest: Buffer.from(found.smallest),
      };
      end({ executions, found: again });
    });
    worker.on('error', (error) => end(broken(`Ended the thread: ${error}`)));
    worker.on('exit', () => end(broken('Waits for something that never comes')));
  });
}

async function work({ name, seed, milliseconds, iteration }: Job): Promise<void> {
  const target = targets.find((candidate) => candidate.name === name)!;
  const result = await fuzz(target, {
    seed,
    corpus: readCorpus(corpusFolder, name),
    deadline: Date.now() + milliseconds,
    onexecution: (at) => Atomics.store(iteration, 0, at),
  });
  parentPort!.postMessage(result);
}

function readOptions(): { minutes: number; seed: number; names: readonly string[] } {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '1' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
        target: { type: 'string', multiple: true },
        help: { type: 'boolean' },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit();
    }
    const all = targets.map(({ name }) => name);
    const names = values.target ?? all;
    const minutes = Number(values.minutes);
    const seed = Number(values.seed);
    if (!(minutes > 0)) throw new Error(`Expected minutes to be a number over 0: ${values.minutes}`);
    if (!Number.isSafeInteger(seed))
      throw new Error(`Expected the seed to be a whole number: ${values.seed}`);
    for (const name of names) if (!all.includes(name)) throw new Error(`Unknown target: ${name}`);
    return { minutes, seed, names };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return process.exit(2);
  }
}
