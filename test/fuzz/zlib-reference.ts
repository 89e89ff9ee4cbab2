/**
 * What payloads of permessage-deflate hold by zlib (RFC 7692 §7.2.2), without a dictionary: each message is inflated
 * together with all that came before it, with the largest window. So it knows no window of messages to go wrong.
 */
import { type InflateRaw, inflateRawSync, type ZlibOptions } from 'node:zlib';

const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);
/** Two ways to write a last block without data: by both a payload that is cut off within a block is told. */
const LAST_BLOCKS = [Buffer.from([0x01, 0x00, 0x00, 0xff, 0xff]), Buffer.from([0x03, 0x00])] as const;
const WINDOW = 2 ** 15;

/** Inflates one message after another; a message that is refused ends it. */
export class ZlibReference {
  /** What was sent since the last stream that ended, by a block marked as the last one (§7.2.3.4). */
  #sent: Buffer = Buffer.alloc(0);
  /** What it holds. */
  #data: Buffer = Buffer.alloc(0);
  /** What was in front of it. */
  #before: Buffer = Buffer.alloc(0);
  readonly #takeover: boolean;
  readonly #most: number;
  #ended = false;

  /** @param most - more bytes in one message are too many */
  constructor(takeover: boolean, most: number) {
    this.#takeover = takeover;
    this.#most = most;
  }

  /** Whether anything came behind a block marked as the last one. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The data; null when zlib refuses the payload, or there is too much of it. */
  message(payload: Uint8Array): Buffer | null {
    const parts: Buffer[] = [];
    let left = this.#most;
    let rest: Buffer = Buffer.concat([payload, TAIL]);
    for (;;) {
      const sent = Buffer.concat([this.#sent, rest]);
      const inflated = inflate(sent, this.#before, this.#data.length + left);
      if (inflated === null) return null;
      const data = inflated.data.subarray(this.#data.length);
      parts.push(data);
      left -= data.length;
      if (inflated.used === sent.length) {
        this.#sent = sent;
        this.#data = inflated.data;
        break;
      }
      this.#ended = true;
      rest = sent.subarray(inflated.used);
      this.#before = Buffer.concat([this.#before, inflated.data]).subarray(-WINDOW);
      this.#data = this.#sent = Buffer.alloc(0);
    }
    if (!this.#takeover) this.#before = this.#sent = this.#data = Buffer.alloc(0);
    return Buffer.concat(parts);
  }
}

/** The data of an input, or of it up to a block marked as the last one, and how much of the input that is. */
function inflate(input: Buffer, dictionary: Buffer, most: number): { data: Buffer; used: number } | null {
  const options = optionsOf(input, dictionary, most);
  const [one, other] = LAST_BLOCKS.map((block) => tryInflate(input, block, options));
  if (!one || !other || one.data.length > most || !one.data.equals(other.data)) return null;
  if (one.left === 0 && other.left === 0) return { data: one.data, used: input.length };
  // It ended within the input, in front of both, or one of them became part of its data
  return one.used === other.used && one.used <= input.length ? one : null;
}

function optionsOf(input: Buffer, dictionary: Buffer, most: number): ZlibOptions {
  return {
    info: true,
    maxOutputLength: Math.max(1, most),
    chunkSize: Math.min(65_536, 1024 + 4 * input.length),
    ...(dictionary.length > 0 && { dictionary }),
  };
}

/** Inflates an input with a block behind it; null when zlib refuses that. */
function tryInflate(input: Buffer, block: Buffer, options: ZlibOptions): Ended | null {
  try {
    const bytes = Buffer.concat([input, block]);
    const { buffer, engine } = inflateRawSync(bytes, options) as unknown as Inflated;
    return { data: buffer, used: engine.bytesWritten, left: bytes.length - engine.bytesWritten };
  } catch {
    return null;
  }
}

interface Inflated {
  readonly buffer: Buffer;
  readonly engine: InflateRaw;
}
interface Ended {
  readonly data: Buffer;
  readonly used: number;
  readonly left: number;
}
