/** The command `sluice`: finds the verb, and turns what happens into an exit code. */
import { readFileSync } from 'node:fs';
import { connectVerb } from './connect.js';
import { demo } from './demo.js';
import { echo } from './echo.js';
import { describeError, type Io, UsageError } from './io.js';

const help = `Usage: sluice <verb> [options]

  demo [file]      send a file through an echo server as one streamed message
  echo             run an echo server, with a page for browsers
  connect <url>    talk to a server, line by line

  sluice <verb> --help says more. --version prints the version.
`;

const verbs = new Map([
  ['demo', demo],
  ['echo', echo],
  ['connect', connectVerb],
]);

/** Runs the command; resolves to its exit code: 0, what the verb says, 1 for a failure, 2 for a wrong call. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const [name = '', ...rest] = argv;
  if (name === '--version') {
    io.stdout.write(`${version()}\n`);
    return 0;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    io.stdout.write(help);
    return 0;
  }
  const verb = verbs.get(name);
  if (verb === undefined) {
    io.stderr.write(name === '' ? help : `sluice: unknown verb: ${name}, see sluice --help\n`);
    return 2;
  }
  try {
    return await verb(rest, io);
  } catch (error) {
    const wrongCall = error instanceof UsageError || isParseError(error);
    io.stderr.write(`sluice ${name}: ${describeError(error)}\n`);
    return wrongCall ? 2 : 1;
  }
}

function isParseError(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException | undefined)?.code).startsWith('ERR_PARSE_ARGS');
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
