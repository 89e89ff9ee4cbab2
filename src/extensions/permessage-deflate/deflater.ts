/**
 * Compression of messages, RFC 7692 §7.2.1.
 *
 *     up to SMALL bytes ──▶ deflateBlock(), at once         no zlib context at all
 *     up to offloadSize ──▶ zlib, at once                   with the window as dictionary
 *     more ───────────────▶ zlib, in the thread pool        some messages at a time
 *
 * No zlib context outlives a call: what carries over between messages is plain data. Each call ends at a byte boundary
 * with an empty block, so that the parts of one message, and messages that carry the window over, are one DEFLATE
 * stream to the peer.
 */
import { constants, deflateRaw, deflateRawSync, type ZlibOptions } from 'node:zlib';
import type { MessageEncoder } from '../../protocol/extension.js';
import { deflateBlock, type MatchTable, makeMatchTable } from './deflate-block.js';
import { TAIL } from './tail.js';
import { Window } from './window.js';

/** From here on the better codes of zlib are worth their time. */
const SMALL = 1024;
/**
 * Below this level only so much is remembered: zlib hashes its whole dictionary before it begins, 1 to 2 microseconds a
 * KiB, as long as a fast level takes for the message; and what a processor's cache holds is looked through faster.
 */
const THOROUGH = 6;
const SHORT_BITS = 11;
/** Not even a thorough level has all of the window for a small message. */
const DICTIONARY_PER_BYTE = 8;
/** Messages in the thread pool at once: each takes 256 KiB there, and the pool has a few threads. */
const MOST_ELSEWHERE = 8;
/** zlib knows no raw window of 2^8; one of 2^9 reaches back 250 bytes, which is within it. */
const LEAST_ZLIB_BITS = 9;

/** How a {@link Deflater} compresses. */
export interface DeflaterOptions {
  readonly windowBits: number;
  readonly contextTakeover: boolean;
  readonly level: number;
  readonly memLevel: number;
  readonly threshold: number;
  readonly offloadSize: number;
}

/** Of messages that are compressed on their own. */
const sharedTable: MatchTable = makeMatchTable();

/** Compresses the messages that one endpoint sends. */
export class Deflater implements MessageEncoder {
  readonly shareKey: string | null;
  readonly #window: Window;
  readonly #options: DeflaterOptions;
  #table: MatchTable | null = null;

  constructor(options: DeflaterOptions) {
    this.#options = options;
    const { windowBits, level, memLevel } = options;
    this.#window = new Window(level < THOROUGH ? Math.min(SHORT_BITS, windowBits) : windowBits);
    this.shareKey = options.contextTakeover ? null : `permessage-deflate ${windowBits} ${level} ${memLevel}`;
  }

  wants(size: number): boolean {
    return size < 0 || size >= this.#options.threshold;
  }

  encode(data: Uint8Array, last: boolean): Buffer | Promise<Buffer> {
    if (data.length <= SMALL) return this.#deflateSmall(data, last);
    const { level, memLevel, windowBits, offloadSize } = this.#options;
    const dictionary = this.#window.last(data.length * DICTIONARY_PER_BYTE);
    const options: ZlibOptions = {
      level,
      memLevel,
      windowBits: Math.max(windowBits, LEAST_ZLIB_BITS),
      finishFlush: constants.Z_SYNC_FLUSH,
      chunkSize: Math.min(16 * 1024, data.length),
      ...(dictionary.length > 0 && { dictionary }),
    };
    if (data.length < offloadSize) return this.#finish(data, deflateRawSync(data, options), last);
    return deflateElsewhere(data, options).then((deflated) => this.#finish(data, deflated, last));
  }

  /** Frees what it holds. */
  close(): void {
    this.#window.clear();
    this.#table = null;
  }

  #deflateSmall(data: Uint8Array, last: boolean): Buffer {
    const window = this.#window;
    const { contextTakeover } = this.#options;
    let block: Buffer;
    if (last && !contextTakeover && window.end === 0) {
      sharedTable.fill(0);
      const buffer = Buffer.from(data.buffer, data.byteOffset, data.length);
      block = deflateBlock(
        buffer,
        new DataView(data.buffer, data.byteOffset, data.length),
        0,
        data.length,
        sharedTable,
        window.size,
        0,
      );
    } else {
      window.push(data);
      this.#table ??= makeMatchTable();
      const { bytes, words, end, size, moved } = window;
      block = deflateBlock(bytes, words, end - data.length, end, this.#table, size, moved & 0xffff);
      if (last && !contextTakeover) this.close();
    }
    if (block.length > data.length + STORED) block = storedBlock(data);
    return last ? block : Buffer.concat([block, TAIL]);
  }

  #finish(data: Uint8Array, deflated: Buffer, last: boolean): Buffer {
    if (!last || this.#options.contextTakeover) this.#window.push(data);
    else this.close();
    return last ? deflated.subarray(0, deflated.length - TAIL.length) : deflated;
  }
}

/** Bytes that a stored block, and the header of the empty one behind it, add. */
const STORED = 6;

/** RFC 1951 §3.2.4, for data that does not compress, and the header of an empty block behind it. */
function storedBlock(data: Uint8Array): Buffer {
  const block = Buffer.alloc(data.length + STORED);
  block.writeUInt16LE(data.length, 1);
  block.writeUInt16LE(data.length ^ 0xffff, 3);
  block.set(data, 5);
  return block;
}

const waiting: (() => void)[] = [];
let elsewhere = 0;

/** Compresses in the thread pool; who comes when it is full waits for its turn. */
async function deflateElsewhere(data: Uint8Array, options: ZlibOptions): Promise<Buffer> {
  if (elsewhere >= MOST_ELSEWHERE) await new Promise<void>((resolve) => waiting.push(resolve));
  else elsewhere++;
  try {
    return await new Promise((resolve, reject) => {
      deflateRaw(data, options, (error, deflated) => (error === null ? resolve(deflated) : reject(error)));
    });
  } finally {
    const next = waiting.shift();
    if (next === undefined) elsewhere--;
    else next();
  }
}
