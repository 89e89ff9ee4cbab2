/** The loop: replays the corpus, then makes inputs until the time is over; shrinks what it found. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { mutate } from './mutate.js';
import { Random } from './random.js';
import { Finding, type Target } from './target.js';

/** One input in so many is a mutation of one of the corpus. */
const FROM_CORPUS = 8;
/** The event loop turns once in so many executions, so that what was closed is freed. */
const TURN = 64;
/** Most executions that are spent on making an input smaller. */
const SHRINKS = 2000;
const SHRINK_MILLISECONDS = 3000;

export interface Options {
  readonly seed: number;
  readonly corpus: readonly Buffer[];
  /** When to end, by `Date.now()`. */
  readonly deadline?: number;
  /** Most inputs that are made. Default without end. */
  readonly iterations?: number;
  /** Told before each execution, so that one that does not end can be named. */
  readonly onexecution?: (iteration: number) => void;
}

/** An input for which a property does not hold. */
export interface Found {
  readonly iteration: number;
  readonly message: string;
  readonly input: Buffer;
  /** The same failure with fewer bytes. */
  readonly smallest: Buffer;
}

export interface Result {
  readonly executions: number;
  readonly found: Found | null;
}

/** The input of an iteration: negative ones are those of the corpus, from -1 on. */
export function inputAt(target: Target, seed: number, iteration: number, corpus: readonly Buffer[]): Buffer {
  if (iteration < 0) return corpus[-1 - iteration]!;
  const random = new Random(seed, target.name, iteration);
  if (corpus.length > 0 && random.oneIn(FROM_CORPUS)) {
    return mutate(random, random.pick(corpus), random.pick(corpus));
  }
  return target.generate(random);
}

/** Runs a target until the end, or until the first finding. */
export async function fuzz(target: Target, options: Options): Promise<Result> {
  const {
    seed,
    corpus,
    deadline = Number.POSITIVE_INFINITY,
    iterations = Number.POSITIVE_INFINITY,
  } = options;
  let executions = 0;
  for (let iteration = -corpus.length; iteration < iterations; iteration++) {
    if (iteration >= 0 && Date.now() >= deadline) break;
    options.onexecution?.(iteration);
    const input = inputAt(target, seed, iteration, corpus);
    const error = await failure(target, input);
    executions++;
    if (error !== null) {
      const smallest = await shrink(target, input, kindOf(error));
      const message = describe((await failure(target, smallest)) ?? error);
      return { executions, found: { iteration, message, input, smallest } };
    }
    if (executions % TURN === 0) await turn();
  }
  return { executions, found: null };
}

/** What checking an input throws; null when all properties hold. */
async function failure(target: Target, input: Buffer): Promise<unknown> {
  try {
    await target.check(Buffer.from(input));
    return null;
  } catch (error) {
    return error;
  }
}

/** Which failures are the same one: of a property, or an error from the same line. */
function kindOf(error: unknown): string {
  if (error instanceof Finding) return error.property;
  if (!(error instanceof Error)) return String(error);
  return `${error.name} ${error.stack?.split('\n').find((line) => line.startsWith('    at '))}`;
}

function describe(error: unknown): string {
  if (error instanceof Finding) return error.message;
  return `Not an error of the protocol: ${error instanceof Error ? error.stack : String(error)}`;
}

/**
 * Leaves out parts; then halves, quarters and so on down to single bytes; then clears bytes: as long as it fails the
 * same way.
 */
async function shrink(target: Target, input: Buffer, kind: string): Promise<Buffer> {
  let smallest = input;
  let left = SHRINKS;
  const deadline = Date.now() + SHRINK_MILLISECONDS;
  const fails = async (candidate: Buffer): Promise<boolean> => {
    left = Date.now() < deadline ? left - 1 : 0;
    const error = await failure(target, candidate);
    if (error === null || kindOf(error) !== kind) return false;
    smallest = candidate;
    return true;
  };
  const without = (from: number, to: number): Promise<boolean> =>
    fails(Buffer.concat([smallest.subarray(0, from), smallest.subarray(to)]));

  // From the end on, so that the places of the parts before stay right
  const begins = target.parts?.(input) ?? [];
  for (let i = begins.length - 1, end = input.length; i >= 0 && left > 0; i--) {
    await without(begins[i]!, end);
    end = begins[i]!;
  }
  for (let size = smallest.length - target.setup; size >= 1 && left > 0; size >>= 1) {
    for (let at = target.setup; at < smallest.length && left > 0; ) {
      if (!(await without(at, at + size))) at += size;
    }
  }
  for (let at = 0; at < smallest.length && left > 0; at++) {
    if (smallest[at] === 0) continue;
    const cleared = Buffer.from(smallest);
    cleared[at] = 0;
    await fails(cleared);
  }
  return smallest;
}

/** The inputs of a target that are replayed first, in the order of their names. */
export function readCorpus(folder: string, target: string): Buffer[] {
  const own = join(folder, target);
  if (!existsSync(own)) return [];
  return readdirSync(own)
    .filter((name) => name.endsWith('.bin'))
    .sort()
    .map((name) => readFileSync(join(own, name)));
}

/** Adds an input to the corpus; returns the path of its file. */
export function addToCorpus(folder: string, target: string, input: Buffer): string {
  const own = join(folder, target);
  mkdirSync(own, { recursive: true });
  const path = join(own, `${createHash('sha256').update(input).digest('hex').slice(0, 16)}.bin`);
  writeFileSync(path, input);
  return path;
}
