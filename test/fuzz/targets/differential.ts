/**
 * The same bytes to the endpoint and to the Receiver of `ws`: the same messages and control frames in the same order,
 * and both refuse with the same close code, or neither does. What differs is listed below, by name.
 *
 *     setup   as the target endpoint, without congestion
 */
import * as ws from 'ws';
import { Endpoint, type Extension } from '../../../src/protocol.js';
import { conversation, framesOf } from '../conversation.js';
import { drive, type Outcome } from '../drive.js';
import { chunksOf } from '../mutate.js';
import { Finding, shown, type Target } from '../target.js';
import { ZlibReference } from '../zlib-reference.js';
import { extensionOf, type MakeEndpoint, settingOf } from './endpoint.js';

/** What `ws` exports and its types leave out. */
interface Receiver extends NodeJS.WritableStream {
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): this;
  on(event: 'ping' | 'pong', listener: (data: Buffer) => void): this;
  on(event: 'conclude', listener: (code: number, reason: Buffer) => void): this;
  on(event: 'error', listener: (error: WsError) => void): this;
}
interface WsError extends Error {
  readonly code?: string;
}
interface PerMessageDeflate {
  accept(configurations: readonly object[]): object;
  decompress(data: Buffer, fin: boolean, callback: (error: Error | null, data?: Buffer) => void): void;
  cleanup(): void;
}
const { Receiver, PerMessageDeflate } = ws as unknown as {
  Receiver: new (options: object) => Receiver;
  PerMessageDeflate: new (options: object) => PerMessageDeflate;
};

/** Many small ones take ws a long time. */
const MOST_CHUNKS = 200;
/** No message of an input inflates to more. */
const MOST_INFLATED = 2 ** 24;

/** What `ws` made of the bytes. */
interface Theirs {
  readonly told: readonly string[];
  readonly error: WsError | null;
  /** What it was given to inflate, by message. */
  readonly payloads: readonly Buffer[];
}

/** The bytes, and what both made of them. */
interface Case {
  readonly ours: Outcome;
  readonly theirs: Theirs;
  readonly compressed: boolean;
  /** What the endpoint makes of the bytes and some more. */
  readonly later: (more: Buffer) => Promise<Outcome>;
}

/** A difference that is known: why it is right, and the narrowest test that tells it from any other. */
interface Exception {
  readonly name: string;
  readonly applies: (one: Case) => boolean | Promise<boolean>;
}

const beginsWith = (long: readonly string[], short: readonly string[]): boolean =>
  short.every((event, i) => event === long[i]);
const sameEvents = ({ ours, theirs }: Case): boolean =>
  ours.told.length === theirs.told.length && beginsWith(theirs.told, ours.told);
const isNotUtf8 = ({ error }: Outcome): boolean =>
  error?.message === 'Received a text message that is not UTF-8';
const isInflateError = (error: WsError | null): boolean => error?.code?.startsWith('Z_') ?? false;

const exceptions: readonly Exception[] = [
  {
    // §5.2 "the minimal number of bytes MUST be used to encode the length": ws takes any encoding.
    name: 'length that is not minimal',
    applies: ({ ours, theirs }) =>
      ours.error?.message.startsWith('Received a payload length that is not minimal') === true &&
      beginsWith(theirs.told, ours.told),
  },
  {
    // §8.1: ws looks at text when the message is complete, Sluice fails at the first wrong byte. Until then ws may
    // tell of control frames, break off by another rule, or see a Close frame, but never of that message.
    name: 'text that cannot become UTF-8',
    applies: ({ ours, theirs }) =>
      isNotUtf8(ours) &&
      beginsWith(theirs.told, ours.told) &&
      !theirs.told.slice(ours.told.length).some((event) => event.startsWith('message')),
  },
  {
    // ws refuses some frames by their first two bytes, or before the masking key; Sluice when the header is whole, and
    // a Close frame of one byte when that byte is there. So the rest of it, whatever it is, brings the refusal.
    name: 'refused before the header is whole',
    applies: async (one) => {
      if (one.ours.error !== null || one.theirs.error === null || !sameEvents(one)) return false;
      const later = await one.later(Buffer.alloc(15));
      return later.error !== null && later.told.length === one.ours.told.length;
    },
  },
  {
    // §5.2 the most significant bit of a 64-bit length MUST be 0: breaking it is 1002. To ws it is a length as any other
    // over 2^53: 1009.
    name: 'close code of a length with its top bit set',
    applies: (one) =>
      sameEvents(one) &&
      one.ours.error?.message.startsWith('Received a 64-bit payload length with its most') === true &&
      one.theirs.error?.code === 'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH',
  },
  {
    // A frame that may not come now, and whose length is over 2^53: Sluice looks at the length first (1009), ws at the
    // opcode (1002).
    name: 'two faults in a header',
    applies: (one) =>
      sameEvents(one) &&
      one.ours.error?.closeCode === 1009 &&
      Number(one.ours.error.message.split(': ')[1]) > Number.MAX_SAFE_INTEGER &&
      one.theirs.error?.code === 'WS_ERR_INVALID_OPCODE',
  },
  {
    // maxMessageSize is counted after inflation; ws counts what came as well, which stored or empty blocks make longer.
    name: 'compressed data that is longer than the limit',
    applies: ({ ours, theirs, compressed }) =>
      compressed &&
      theirs.error?.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' &&
      beginsWith(ours.told, theirs.told),
  },
  {
    // ws inflates each fragment as it comes, Sluice a small message when it is complete: until then other things can be
    // told or wrong, but never that message. What inflates to what is the business of the target deflate.
    name: 'ws finds damaged data sooner',
    applies: ({ ours, theirs, compressed }) =>
      compressed &&
      isInflateError(theirs.error) &&
      beginsWith(ours.told, theirs.told) &&
      !ours.told.slice(theirs.told.length).some((event) => event.startsWith('message')),
  },
  {
    // RFC 7692 §7.2.2: ws hands over what came of a payload that is cut off within a block, and finds other damage at the
    // end of a frame; Sluice refuses the one, and inflates large frames as they come. Here, too, what inflates to what
    // is the business of the target deflate.
    name: 'Sluice finds damaged data',
    applies: ({ ours, theirs, compressed }) =>
      compressed && ours.error?.section.startsWith('RFC 7692') === true && beginsWith(theirs.told, ours.told),
  },
  {
    // RFC 7692 §7.2.3.4: a block marked as the last one may be followed by others. What follows, in the message and in
    // those behind it, ws leaves out, loses, or inflates with an empty window, by how fast its stream ends. So a
    // message differs, or one of the two refuses it.
    name: 'ws goes wrong behind a block marked as the last one',
    applies: ({ ours, theirs, compressed }) => {
      if (!compressed || !hasLastBlock(theirs.payloads)) return false;
      const at = ours.told.findIndex((event, i) => event !== theirs.told[i]);
      const [own, other] = at < 0 ? [] : [ours.told[at], theirs.told[at]];
      const [told, error] = [other ?? theirs.told[ours.told.length], theirs.error];
      const refuses = isInflateError(error) || error?.code === 'WS_ERR_INVALID_UTF8';
      if (told === undefined) return refuses;
      const refused = isNotUtf8(ours) || ours.error?.closeCode === 1009;
      return told.startsWith('message') && (own?.startsWith('message') ?? refused);
    },
  },
];

/** @param make - what is tested */
export function differentialTarget(make: MakeEndpoint = (options) => new Endpoint(options)): Target {
  return {
    name: 'differential',
    setup: 2,
    parts: (input) => framesOf(input, 2),
    generate(random) {
      const flags = random.below(2) | (random.oneIn(4) ? 2 : 0) | (random.oneIn(4) ? 4 : 0);
      const { role, compressed } = settingOf(flags);
      return Buffer.concat([Buffer.from([flags, random.below(256)]), conversation(random, role, compressed)]);
    },
    async check(input) {
      const setting = settingOf(input[0] ?? 0);
      const { role, compressed, options } = setting;
      const bytes = input.subarray(2);
      const run = (more?: Buffer): Promise<Outcome> => {
        const extension: Extension | undefined = compressed ? extensionOf(role) : undefined;
        const endpoint = make(extension === undefined ? options : { ...options, extension });
        const chunks = chunksOf(bytes, input[1] ?? 0, MOST_CHUNKS);
        return drive({ endpoint, extension }, more === undefined ? chunks : [...chunks, more]);
      };
      const ours = await run();
      const theirs = await receive(chunksOf(bytes, input[1] ?? 0, MOST_CHUNKS), setting);
      const one: Case = { ours, theirs, compressed, later: run };
      if (sameEvents(one) && (ours.error?.closeCode ?? null) === closeCodeOf(theirs.error)) return;
      for (const { applies } of exceptions) if (await applies(one)) return;
      throw new Finding(
        kindOf(one),
        `${shown(ours.told)} ${ours.error?.message ?? 'no error'}; ws ${shown(theirs.told)} ${
          theirs.error?.message ?? 'no error'
        }`,
      );
    },
  };
}

function kindOf(one: Case): string {
  const { ours, theirs } = one;
  if (ours.error === null && theirs.error !== null) return 'what ws refuses is refused';
  if (ours.error !== null && theirs.error === null) return 'what ws takes is taken';
  return sameEvents(one) ? 'the same close code as ws' : 'the same events as ws';
}

/** Whether anything comes behind a block marked as the last one. */
function hasLastBlock(payloads: readonly Buffer[]): boolean {
  const zlib = new ZlibReference(true, MOST_INFLATED);
  for (const payload of payloads) zlib.message(payload);
  return zlib.ended;
}

/** The close code that `ws` fails a connection with. */
function closeCodeOf(error: WsError | null): number | null {
  if (error === null) return null;
  const { code } = error;
  if (code === 'WS_ERR_INVALID_UTF8' || isInflateError(error)) return 1007;
  return code?.endsWith('_LENGTH') && code.startsWith('WS_ERR_UNSUPPORTED') ? 1009 : 1002;
}

async function receive(
  chunks: readonly Buffer[],
  { role, compressed, options }: ReturnType<typeof settingOf>,
): Promise<Theirs> {
  const told: string[] = [];
  let error: WsError | null = null;
  let done = false;
  const isServer = role === 'server';
  const maxPayload = options.maxMessageSize!;
  const extension = compressed ? new PerMessageDeflate({ isServer, maxPayload }) : null;
  extension?.accept([{}]);
  const payloads: Buffer[] = [];
  if (extension !== null) recordPayloads(extension, payloads);
  const extensions = extension === null ? {} : { 'permessage-deflate': extension };
  const receiver = new Receiver({ isServer, maxPayload, extensions });
  receiver.on('message', (data, isBinary) => {
    told.push(`message ${isBinary ? 2 : 1} ${data.toString('latin1')}`);
  });
  receiver.on('ping', (data) => told.push(`ping ${data.toString('latin1')}`));
  receiver.on('pong', (data) => told.push(`pong ${data.toString('latin1')}`));
  receiver.on('conclude', (code, reason) => {
    told.push(`close ${code} ${reason}`);
    done = true;
  });
  receiver.on('error', (thrown) => {
    error = thrown;
  });
  for (const chunk of chunks) {
    await new Promise((resolve) => receiver.write(chunk, resolve));
    if (done || error !== null) break;
  }
  extension?.cleanup();
  return { told, error, payloads };
}

/** Adds what is to be inflated to `payloads`, each message as one. */
function recordPayloads(extension: PerMessageDeflate, payloads: Buffer[]): void {
  const decompress = extension.decompress.bind(extension);
  let begins = true;
  extension.decompress = (data, fin, callback) => {
    const before = begins ? Buffer.alloc(0) : payloads.pop()!;
    payloads.push(Buffer.concat([before, data]));
    begins = fin;
    decompress(data, fin, callback);
  };
}
