/** Runs random programs until the time is over, and shortens those that fail. */
import fc from 'fast-check';
import { programs } from './generator.js';
import type { Laboratory } from './laboratory.js';
import type { Program } from './program.js';
import { rowOf } from './rows.js';
import { hashOf } from './run.js';
import { shorten } from './shorten.js';
import type { Finding } from './world.js';

/** A class of failures: the same check failed in the same way. */
export interface FoundClass {
  readonly finding: Finding;
  readonly row: string | null;
  /** The shortest program that was found to show it. */
  readonly program: Program;
  /** It shows it in a process of its own too, not only after other programs. */
  readonly alone: boolean;
  /** Seconds, and programs, until it was found first. */
  readonly seconds: number;
  readonly programs: number;
  /** The seed of its batch. */
  readonly seed: number;
}

export interface CampaignOptions {
  readonly seed: number;
  /** Real seconds; programs at most. */
  readonly seconds: number;
  readonly programs: number;
  /** Goes on after a finding. */
  readonly survey: boolean;
  /** Only findings of this row count. */
  readonly row: string | undefined;
  readonly shrink: boolean;
  readonly onFound: (found: FoundClass) => void;
}

export interface CampaignResult {
  readonly found: readonly FoundClass[];
  readonly seconds: number;
  /** Of the traces of all programs that were not run in order to shorten one. */
  readonly hash: string;
}

/** Programs of one seed of fast-check: small ones come first. */
const BATCH = 400;
/** Seconds that fast-check may take to shorten one program, and then {@link shorten}. */
const SHRINK_SECONDS = 2;
const SHORTEN_SECONDS = 5;

const realNow = performance.now.bind(performance);

export async function campaign(laboratory: Laboratory, options: CampaignOptions): Promise<CampaignResult> {
  const began = realNow();
  const elapsed = (): number => (realNow() - began) / 1000;
  const found: FoundClass[] = [];
  const known = new Set<string>();
  const hashes: string[] = [];
  let count = 0;
  const over = (): boolean => elapsed() >= options.seconds || count >= options.programs;

  for (let batch = 0; !over(); batch++) {
    const seed = (options.seed + batch * 7919) | 0;
    let target: string | null = null;
    let first: Omit<FoundClass, 'program' | 'row' | 'alone'> | null = null;
    let shortest: Program | null = null;
    let shrinkUntil = 0;
    const holds = async (program: Program): Promise<boolean> => {
      if (target !== null) {
        if (!options.shrink || elapsed() > shrinkUntil) return true;
        const failed = (await classesOf(laboratory, program)).includes(target);
        if (failed) shortest = program;
        return !failed;
      }
      if (over()) return true;
      count++;
      const outcome = await laboratory.run(program);
      hashes.push(hashOf(outcome.trace));
      const finding = outcome.findings.find(
        (one) =>
          !known.has(classOf(one, program)) &&
          (options.row === undefined || rowOf(one, program) === options.row),
      );
      if (finding === undefined) return true;
      target = classOf(finding, program);
      shortest = program;
      shrinkUntil = elapsed() + SHRINK_SECONDS;
      first = { finding, seconds: elapsed(), programs: count, seed };
      return false;
    };
    await fc.check(fc.asyncProperty(programs, holds), { seed, numRuns: BATCH });
    if (target === null || first === null || shortest === null) continue;
    if (options.shrink) {
      const key: string = target;
      const until = elapsed() + SHORTEN_SECONDS;
      shortest = await shorten(
        shortest,
        async (program) => elapsed() < until && (await classesOf(laboratory, program)).includes(key),
      );
    }
    laboratory.renew();
    const alone = (await classesOf(laboratory, shortest)).includes(target);
    // How long it took to shorten depends on the machine; what follows must not
    laboratory.renew();
    const { finding, ...rest } = first as Omit<FoundClass, 'program' | 'row' | 'alone'>;
    const one: FoundClass = { finding, ...rest, program: shortest, row: rowOf(finding, shortest), alone };
    known.add(target);
    found.push(one);
    options.onFound(one);
    if (!options.survey) break;
  }
  return { found, seconds: elapsed(), hash: hashOf(hashes) };
}

async function classesOf(laboratory: Laboratory, program: Program): Promise<string[]> {
  const { findings } = await laboratory.run(program);
  return findings.map((finding) => classOf(finding, program));
}

/** The class of a failure. The same wrong content has several causes, so its row is a part of it. */
function classOf(finding: Finding, program: Program): string {
  return `${rowOf(finding, program) ?? ''} ${keyOf(finding)}`;
}

/** The name of a failure. */
export function keyOf({ check, signature }: Finding): string {
  return `${check}: ${signature}`;
}
