/**
 * The sans-I/O core: any bytes, to both roles, with and without permessage-deflate.
 *
 *     setup   bits 0: role, 1: compression, 2: small limit, 3: congested; then how to cut the bytes
 */
import { permessageDeflate } from '../../../src/index.js';
import { Endpoint, type EndpointOptions, type Extension, type Role } from '../../../src/protocol.js';
import { conversation, framesOf } from '../conversation.js';
import { drive, type Outcome } from '../drive.js';
import { chunksOf } from '../mutate.js';
import { must, shown, type Target } from '../target.js';

export const LIMIT: number = 2 ** 20;
const SMALL_LIMIT = 1000;
/** Inputs up to here are also cut into single bytes. */
const MOST_SINGLE = 256;
/** What one execution may allocate: copies of the input, blocks of Node's pool, and a fixed part. */
const MOST_MEMORY = 256 * 1024;

export type MakeEndpoint = (options: EndpointOptions) => Endpoint;

/** The bits of the first byte. */
export function settingOf(flags: number): { role: Role; compressed: boolean; options: EndpointOptions } {
  const role = (flags & 1) === 0 ? 'server' : 'client';
  const maxMessageSize = (flags & 4) === 0 ? LIMIT : SMALL_LIMIT;
  return { role, compressed: (flags & 2) !== 0, options: { role, maxMessageSize } };
}

/** The extension of one side, as negotiated without parameters. */
export function extensionOf(role: Role): Extension {
  const factory = permessageDeflate();
  return role === 'server' ? factory.accept([])!.extension : factory.confirm([]);
}

/** @param make - what is tested; another one than the endpoint shows that faults are found */
export function endpointTarget(make: MakeEndpoint = (options) => new Endpoint(options)): Target {
  return {
    name: 'endpoint',
    setup: 2,
    parts: (input) => framesOf(input, 2),
    generate(random) {
      const flags =
        random.below(2) | (random.oneIn(4) ? 2 : 0) | (random.oneIn(4) ? 4 : 0) | (random.oneIn(4) ? 8 : 0);
      const { role, compressed } = settingOf(flags);
      return Buffer.concat([Buffer.from([flags, random.below(256)]), conversation(random, role, compressed)]);
    },
    async check(input) {
      const flags = input[0] ?? 0;
      const bytes = input.subarray(2);
      const { role, compressed, options } = settingOf(flags);
      const run = (how: number): Promise<Outcome> => {
        const extension = compressed ? extensionOf(role) : undefined;
        const endpoint = make(extension === undefined ? options : { ...options, extension });
        return drive({ endpoint, extension, congested: (flags & 8) !== 0 }, chunksOf(bytes, how));
      };
      const before = process.memoryUsage().arrayBuffers;
      const whole = await run(0);
      const allocated = process.memoryUsage().arrayBuffers - before;
      const most = MOST_MEMORY + 16 * bytes.length;
      must(compressed || allocated <= most, 'memory is in proportion to the input', `${allocated} bytes`);
      compare(whole, await run(input[1] ?? 1), compressed);
      if (bytes.length <= MOST_SINGLE) compare(whole, await run(1), compressed);
    },
  };
}

/** The same events, the same error and the same answers, whatever the chunking. */
function compare(a: Outcome, b: Outcome, compressed: boolean): void {
  const both = (part: (outcome: Outcome) => unknown): string => `${shown(part(a))} and ${shown(part(b))}`;
  const same = a.told.length === b.told.length && a.told.every((event, i) => event === b.told[i]);
  must(same, 'the same events whatever the chunking', () => both(({ told }) => told));
  // What an extension says of its data, and whether damage or the limit is found first, depends on how much came at once
  const said = ({ error }: Outcome): unknown =>
    compressed ? error && (error.closeCode === 1002 ? 1002 : '1007 or 1009') : error?.message;
  must(said(a) === said(b), 'the same error whatever the chunking', () => both(said));
  const failed = a.error !== null;
  const [long, short] = a.unfinished.length > b.unfinished.length ? [a, b] : [b, a];
  // A chunk with a fault in it is not delivered, so that what came before the fault may be missing
  const begins = long.unfinished.subarray(0, short.unfinished.length).equals(short.unfinished);
  const equal = begins && (failed || long.unfinished.length === short.unfinished.length);
  must(equal, 'the same data whatever the chunking', () =>
    both(({ unfinished }) => unfinished.toString('hex')),
  );
  const answers = ({ sent }: Outcome): string[] =>
    sent.map(
      ({ opcode, payload }) =>
        `${opcode} ${payload.subarray(0, compressed && opcode === 8 ? 0 : 125).toString('latin1')}`,
    );
  const answered = answers(a).join('\n') === answers(b).join('\n');
  must(answered, 'the same answers whatever the chunking', () => both(answers));
}
