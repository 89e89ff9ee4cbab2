/** `npm run simulate`: see the usage below. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { campaign, type FoundClass, keyOf } from './campaign.js';
import { Laboratory, loaderOf } from './laboratory.js';
import type { Program } from './program.js';
import { knownRows } from './rows.js';
import { hashOf } from './run.js';
import { lengthOf, show } from './show.js';

const usage = `Usage: npm run simulate -- [options]

Runs random programs over an in-memory network in virtual time, and checks what each side saw.

  --minutes N       how long, in real time (default 1); --seconds N, --programs N likewise
  --seed S          the same seed makes the same programs (default: random, printed)
  --library DIR     a built library (default: dist)
  --survey          goes on after a finding, and prints a table of all classes
  --expect-failure  stops at the first finding, does not shorten it, and asks for no coverage
  --row X-01        only findings of this row count
  --replay P        runs one program: as a finding prints it, or a file of test/simulation/found
  --save            stores the programs that failed in test/simulation/found
  --trace           prints everything that happens in it

Exit status: 0 no finding, 1 a finding or an unreached cell, 2 could not run.`;

// Those of the simulation take their place later
const compress = deflateRawSync;

/** Programs after which each cell must have been reached. */
const ENOUGH = 8_000;

const options = readOptions();
try {
  process.exitCode = options.replay === undefined ? await simulate() : await replay(options.replay);
} catch (error) {
  console.error(error);
  process.exitCode = 2;
}

async function simulate(): Promise<number> {
  const { seed } = options;
  const laboratory = new Laboratory(loaderOf(options.library, '.cache/simulation/library'));
  console.log(`Seed ${seed}`);
  let result: Awaited<ReturnType<typeof campaign>>;
  try {
    result = await campaign(laboratory, {
      seed,
      seconds: options.seconds,
      programs: options.programs,
      survey: options.survey,
      row: options.row,
      shrink: !options.expectFailure,
      onFound,
    });
  } finally {
    laboratory.close();
  }
  const { coverage, table } = laboratory;
  const perSecond = laboratory.programs / result.seconds;
  const { system, user } = process.cpuUsage();
  const perCpuSecond = (laboratory.programs / (system + user)) * 1_000_000;
  console.log(
    `\n${laboratory.programs} programs, ${laboratory.connections} connections, ` +
      `${(laboratory.duration / 3_600_000).toFixed(1)} virtual hours in ${result.seconds.toFixed(1)} s ` +
      `(${perSecond.toFixed(0)} programs a second, ${perCpuSecond.toFixed(0)} a second of processor time); ` +
      `trace ${result.hash}`,
  );
  if (options.expectFailure) return result.found.length === 0 ? 0 : 1;
  console.log(`\n${coverage.reached} cells of the life cycle reached\n${coverage.show()}`);
  if (table.published) console.log(`\nEvents in the states of the library:\n${table.show()}`);
  if (result.found.length > 0) {
    printTable(result.found);
    return 1;
  }
  const missing = missingOf(laboratory);
  if (missing.length === 0) return 0;
  console.log(`\nNot reached: ${missing.join(', ')}`);
  if (laboratory.programs >= ENOUGH) return 1;
  console.log(`Asked for from ${ENOUGH} programs on`);
  return 0;
}

/** Cells of both tables: what applications and the network see, and what the library publishes. */
function missingOf({ coverage, table }: Laboratory): string[] {
  return table.published ? [...coverage.missing, ...table.missing] : coverage.missing;
}

async function replay(text: string): Promise<number> {
  const program = decode(text);
  const laboratory = new Laboratory(loaderOf(options.library, '.cache/simulation/library'));
  try {
    const outcome = await laboratory.run(program);
    console.log(show(program));
    if (options.trace) console.log(`\n${outcome.trace.join('\n')}`);
    console.log(`\ntrace ${hashOf(outcome.trace)}`);
    for (const finding of outcome.findings) console.log(`FAILED ${keyOf(finding)} ${finding.detail}`);
    return outcome.findings.length === 0 ? 0 : 1;
  } finally {
    laboratory.close();
  }
}

function onFound(found: FoundClass): void {
  printFound(found);
  if (!options.save) return;
  const { finding, program, row } = found;
  const name = `${row ?? 'other'} ${keyOf(finding)}`.replaceAll(/[^\w-]+/g, '-').slice(0, 80);
  const stored = { row, failed: keyOf(finding), program };
  writeFileSync(join('test/simulation/found', `${name}.json`), `${JSON.stringify(stored, null, 2)}\n`);
}

function printFound({ alone, finding, program, programs, row, seconds, seed }: FoundClass): void {
  const length = `${lengthOf(program)} long${alone ? '' : ' (it fails only after other programs)'}`;
  console.log(`
FAILED ${keyOf(finding)}${row === null ? '' : ` (${row})`} ${finding.detail}
found after ${seconds.toFixed(1)} s, ${programs} programs, seed ${seed}; shortest program, ${length}:
${show(program)}
--replay ${encode(program)}`);
}

function printTable(found: readonly FoundClass[]): void {
  const rows = [...found].sort((a, b) => (a.row ?? 'Z').localeCompare(b.row ?? 'Z') || a.seconds - b.seconds);
  console.log('\n| row | seconds until found | programs | length of the shortest program | class |');
  console.log('|---|---|---|---|---|');
  for (const { finding, program, programs, row, seconds } of rows) {
    console.log(
      `| ${row ?? '-'} | ${seconds.toFixed(1)} | ${programs} | ${lengthOf(program)} | ${keyOf(finding)} |`,
    );
  }
}

function encode(program: Program): string {
  return compress(JSON.stringify(program), { level: 9 }).toString('base64url');
}

function decode(text: string): Program {
  if (existsSync(text)) {
    const stored = JSON.parse(readFileSync(text, 'utf8')) as Program | { readonly program: Program };
    return 'program' in stored ? stored.program : stored;
  }
  return JSON.parse(inflateRawSync(Buffer.from(text, 'base64url')).toString()) as Program;
}

function readOptions(): {
  readonly seconds: number;
  readonly programs: number;
  readonly seed: number;
  readonly library: string;
  readonly survey: boolean;
  readonly expectFailure: boolean;
  readonly row: string | undefined;
  readonly replay: string | undefined;
  readonly save: boolean;
  readonly trace: boolean;
} {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '1' },
        seconds: { type: 'string' },
        programs: { type: 'string', default: 'Infinity' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
        library: { type: 'string', default: join(import.meta.dirname, '../../../../dist') },
        survey: { type: 'boolean', default: false },
        'expect-failure': { type: 'boolean', default: false },
        row: { type: 'string' },
        replay: { type: 'string' },
        save: { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
        help: { type: 'boolean' },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit();
    }
    const seconds = Number(values.seconds ?? Number(values.minutes) * 60);
    const programs = Number(values.programs);
    const seed = Number(values.seed);
    if (!(seconds > 0)) throw new Error('Expected --minutes and --seconds to be numbers over 0');
    if (!(programs > 0)) throw new Error(`Expected --programs to be a number over 0: ${values.programs}`);
    if (!Number.isSafeInteger(seed)) throw new Error(`Expected --seed to be a whole number: ${values.seed}`);
    const { library, replay: program, row, save, survey, trace } = values;
    if (row !== undefined && !knownRows.includes(row))
      throw new Error(`Expected --row to be one of ${knownRows.join(', ')}: ${row}`);
    const expectFailure = values['expect-failure'];
    return {
      // A number of programs has no limit in time
      seconds: Number.isFinite(programs) && values.seconds === undefined ? Number.POSITIVE_INFINITY : seconds,
      programs,
      seed,
      library,
      survey,
      expectFailure,
      row,
      replay: program,
      save,
      trace,
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return process.exit(2);
  }
}
