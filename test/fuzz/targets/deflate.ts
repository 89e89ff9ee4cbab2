/**
 * permessage-deflate against zlib. A payload that zlib refuses is refused, any other gives the same data, for all
 * windows, with and without context takeover, however it is cut into fragments; what the Deflater makes, zlib inflates.
 *
 *     setup   bits 0-2: window bits - 8, 3: no context takeover, 4: deflate, 5: small limit, 6: off the thread;
 *             then how to cut messages into fragments
 *     then    messages: length (2 bytes), payload to be inflated or data to be deflated; the last may be shorter
 */
import { permessageDeflate } from '../../../src/index.js';
import {
  type Extension,
  type ExtensionParameters,
  type MessageDecoder,
  ProtocolError,
  violation,
} from '../../../src/protocol.js';
import { ReferenceInflater } from '../../support/inflate.js';
import { payloads, plainMessages } from '../compressed.js';
import { chunksOf, mutate } from '../mutate.js';
import { Finding, must, shown, type Target } from '../target.js';
import { ZlibReference } from '../zlib-reference.js';

const LIMIT = 2 ** 19;
const SMALL_LIMIT = 300;
/** The reference inflater is slow: it only sees so much. */
const MOST_REFERENCE = 1000;
const MOST_FRAGMENTS = 30;

/** Makes the extension of a server for an offer. */
export type MakeExtension = (offer: ExtensionParameters, offloadSize: number) => Extension;

const makeExtension: MakeExtension = (offer, offloadSize) =>
  permessageDeflate({ offloadSize, threshold: 0 }).accept(offer)!.extension;

interface Setting {
  readonly bits: number;
  readonly takeover: boolean;
  readonly deflates: boolean;
  readonly limit: number;
  readonly offloadSize: number;
  readonly cuts: number;
}

function settingOf(input: Buffer): Setting {
  const flags = input[0] ?? 0;
  return {
    bits: 8 + (flags & 7),
    takeover: (flags & 8) === 0,
    deflates: (flags & 16) !== 0,
    limit: (flags & 32) === 0 ? LIMIT : SMALL_LIMIT,
    offloadSize: (flags & 64) === 0 ? 8192 : 2049,
    cuts: input[1] ?? 0,
  };
}

/** Windows and takeover are the same in both directions. */
function offerOf({ bits, takeover }: Setting): ExtensionParameters {
  const parameters: [string, string | true][] = [
    ['server_max_window_bits', String(bits)],
    ['client_max_window_bits', String(bits)],
  ];
  if (!takeover) parameters.push(['server_no_context_takeover', true], ['client_no_context_takeover', true]);
  return parameters;
}

/** @param make - what is tested */
export function deflateTarget(make: MakeExtension = makeExtension): Target {
  return {
    name: 'deflate',
    setup: 2,
    parts: (input) => split(input).map(({ at }) => at),
    generate(random) {
      const flags =
        random.below(16) | (random.oneIn(3) ? 16 : 0) | (random.oneIn(8) ? 32 : 0) | (random.below(2) << 6);
      const setting = settingOf(Buffer.from([flags]));
      const messages = setting.deflates
        ? plainMessages(random)
        : payloads(random, setting.bits, setting.takeover);
      const bytes = join(messages);
      const setup = Buffer.from([flags, random.below(256)]);
      return Buffer.concat([setup, random.oneIn(4) ? mutate(random, bytes) : bytes]);
    },
    async check(input) {
      const setting = settingOf(input);
      const messages = split(input).map(({ payload }) => payload);
      const extension = make(offerOf(setting), setting.offloadSize);
      await (setting.deflates ? checkDeflate : checkInflate)(extension, setting, messages);
      extension.close();
    },
  };
}

/** The decoder against zlib. */
async function checkInflate(
  { decoder }: Extension,
  setting: Setting,
  payloads: readonly Buffer[],
): Promise<void> {
  const zlib = new ZlibReference(setting.takeover, setting.limit);
  for (const [i, payload] of payloads.entries()) {
    const expected = zlib.message(payload);
    const data = await inflate(decoder, fragmentsOf(payload, setting.cuts), setting.limit);
    if (data instanceof Error) {
      const known = expected === null || isBeyondWindow(setting, payloads.slice(0, i + 1));
      must(known, 'what zlib inflates is inflated', data.message);
      return;
    }
    must(expected !== null, 'what zlib refuses is refused', () => shown(data.toString('hex')));
    must(data.equals(expected), 'the data that zlib gives', () => bothShown(data, expected));
  }
}

/** The encoder against zlib, against an inflater that looks at the window, and against the decoder. */
async function checkDeflate(
  { encoder, decoder }: Extension,
  setting: Setting,
  messages: readonly Buffer[],
): Promise<void> {
  const zlib = new ZlibReference(setting.takeover, LIMIT);
  const strict = new ReferenceInflater(setting.bits, setting.takeover);
  let seen = 0;
  for (const data of messages) {
    const fragments = fragmentsOf(data, setting.cuts);
    const parts: Buffer[] = [];
    for (const [i, fragment] of fragments.entries()) {
      const before = Buffer.from(fragment);
      const part = await encoder.encode(fragment, i === fragments.length - 1);
      parts.push(Buffer.from(part));
      must(fragment.equals(before), "the caller's bytes are not changed");
    }
    const payload = Buffer.concat(parts);
    const inflated = zlib.message(payload);
    must(inflated !== null, 'zlib inflates what was deflated', () => shown(payload.toString('hex')));
    must(inflated.equals(data), 'zlib inflates it to the same data', () => bothShown(data, inflated));
    seen += data.length;
    if (seen <= MOST_REFERENCE) {
      const again = strict.message(payload);
      must(again.equals(data), 'an inflater with the window of the peer gives the same data');
    }
    const own = await inflate(decoder, [payload], LIMIT);
    if (own instanceof Error) throw new Finding('the decoder takes what the encoder deflated', own.message);
    must(own.equals(data), 'the decoder inflates it to the same data', () => bothShown(data, own));
  }
}

/** What a decoder makes of one message; an error of the protocol is returned, any other is thrown. */
async function inflate(
  decoder: MessageDecoder,
  fragments: readonly Buffer[],
  limit: number,
): Promise<Buffer | ProtocolError> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for (const [i, fragment] of fragments.entries()) {
      decoder.write(fragment, i === fragments.length - 1, true);
      for (;;) {
        const data = decoder.read(limit - size);
        if (data !== null) parts.push(Buffer.from(data));
        size += data?.length ?? 0;
        if (size > limit) return violation('messageTooBig');
        if (decoder.done || (data === null && !decoder.busy)) break;
        if (data !== null) continue;
        await new Promise<void>((resolve) => {
          decoder.onready = resolve;
        });
      }
    }
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
  must(decoder.done, 'a message that is complete is done');
  return Buffer.concat(parts);
}

/**
 * A known difference: with a window smaller than 2^15 the peer may not reach back any further (RFC 7692 §7.1.2), and
 * what zlib does when it is reached over depends on its buffers. So a refusal is right, the data as well.
 */
function isBeyondWindow({ bits, takeover }: Setting, payloads: readonly Buffer[]): boolean {
  if (bits === 15) return false;
  const strict = new ReferenceInflater(bits, takeover);
  try {
    for (const payload of payloads) strict.message(payload);
    return false;
  } catch (error) {
    // It knows no block marked as the last one, so that nothing can be told of the window
    return /over the window|BFINAL/.test((error as Error).message);
  }
}

function fragmentsOf(message: Buffer, cuts: number): Buffer[] {
  const chunks = chunksOf(message, cuts, MOST_FRAGMENTS);
  return chunks.length > 0 ? chunks : [Buffer.alloc(0)];
}

function bothShown(a: Buffer, b: Buffer): string {
  return `${shown(a.toString('hex'))} and ${shown(b.toString('hex'))}`;
}

/** The messages of an input, and where they begin. */
function split(input: Buffer): { at: number; payload: Buffer }[] {
  const messages: { at: number; payload: Buffer }[] = [];
  for (let at = 2; at + 2 <= input.length; ) {
    const end = at + 2 + input.readUInt16BE(at);
    messages.push({ at, payload: input.subarray(at + 2, end) });
    at = end;
  }
  return messages;
}

function join(messages: readonly Buffer[]): Buffer {
  const parts = messages.flatMap((message) => {
    const size = Math.min(message.length, 0xffff);
    return [Buffer.from([size >> 8, size & 0xff]), message.subarray(0, size)];
  });
  return Buffer.concat(parts);
}
