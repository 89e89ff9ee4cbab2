/**
 * Compression of messages, RFC 7692 §7.2.1.
 *
 *     up to SMALL bytes ──▶ deflateBlock(), at once         no zlib context at all
 *     up to offloadSize ──▶ zlib, at once                   with the window as dictionary
 *     more ───────────────▶ DeflateTask, in the thread pool, likewise
 *
 * No zlib context outlives a call: what carries over between messages is plain data. Each call ends at a byte
 * boundary with an empty block, so that the parts of one message, and messages that carry the window over,
 * are one DEFLATE stream to the peer. A message for many connections is compressed once, without reference to
 * earlier ones; each connection that sends it adds its data to its window (§7.2.3.2), as its peer does.
 */
import { constants, deflateRawSync, type ZlibOptions } from 'node:zlib';
import type { MessageEncoder } from '../../protocol/extension.js';
import { deflateBlock, type MatchTable, makeMatchTable } from './deflate-block.js';
import { DeflateTask } from './deflate-task.js';
import { TAIL } from './tail.js';
import { Window } from './window.js';

/** From here on the better codes of zlib are worth their time. */
const SMALL = 1024;
/**
 * Below this level only so much is remembered: zlib hashes its whole dictionary before it begins, 1 to 2
 * microseconds a KiB, as long as a fast level takes for the message; and what a processor's cache holds is
 * looked through faster.
 */
const THOROUGH = 6;
const SHORT_BITS = 11;
/** Not even a thorough level has all of the window for a small message. */
const DICTIONARY_PER_BYTE = 8;
/** zlib knows no raw window of 2^8; one of 2^9 reaches back 250 bytes, which is within it. */
const MIN_ZLIB_BITS = 9;

const empty: Buffer = Buffer.alloc(0);

/** How a {@link Deflater} compresses. */
export interface DeflaterOptions {
  readonly windowBits: number;
  readonly contextTakeover: boolean;
  readonly level: number;
  readonly memLevel: number;
  readonly threshold: number;
  readonly offloadSize: number;
}

/**
 * Of messages that are compressed on their own, by all connections. Invariant: it is used within one call of
 * {@link deflateAlone}, which clears it first.
 */
let sharedTable: MatchTable | null = null;

/** Compresses the messages that one endpoint sends. */
export class Deflater implements MessageEncoder {
  readonly shareKey: string;
  readonly #window: Window;
  readonly #options: DeflaterOptions;
  #table: MatchTable | null = null;
  /** The message that is in the thread pool, or in line for it. */
  #task: DeflateTask | null = null;
  #closed = false;

  constructor(options: DeflaterOptions) {
    this.#options = options;
    const { windowBits, level, memLevel } = options;
    this.#window = new Window(level < THOROUGH ? Math.min(SHORT_BITS, windowBits) : windowBits);
    this.shareKey = `permessage-deflate ${windowBits} ${level} ${memLevel}`;
  }

  wants(size: number): boolean {
    return size < 0 || size >= this.#options.threshold;
  }

  encode(data: Uint8Array, last: boolean): Buffer | Promise<Buffer> {
    if (data.length <= SMALL) return this.#deflateSmall(data, last);
    const options = this.#zlibOptions(data, this.#window.last(data.length * DICTIONARY_PER_BYTE));
    if (data.length >= this.#options.offloadSize) return this.#deflateInPool(data, options, last);
    // Another thread may change what it shares in between
    const bytes = data.buffer instanceof ArrayBuffer ? data : Buffer.from(data);
    const deflated = deflateRawSync(bytes, options);
    this.#keep(bytes, last);
    return last ? withoutTail(deflated) : deflated;
  }

  encodeShared(data: Uint8Array): Buffer | Promise<Buffer> {
    if (data.length <= SMALL) return deflateAlone(data, this.#window.size);
    const options = this.#zlibOptions(data, empty);
    if (data.length < this.#options.offloadSize) return withoutTail(deflateRawSync(data, options));
    return new DeflateTask(data, 0, options).result.then(withoutTail);
  }

  sentShared(data: Uint8Array): void {
    if (!this.#closed) this.#keep(data, true);
  }

  /** Frees what it holds. A message in the thread pool is dropped; its promise resolves with nothing. */
  close(): void {
    this.#closed = true;
    this.#task?.cancel();
    this.#task = null;
    this.#forget();
  }

  #deflateSmall(data: Uint8Array, last: boolean): Buffer {
    const window = this.#window;
    const ends = last && !this.#options.contextTakeover;
    if (ends && window.end === 0) return deflateAlone(data, window.size);
    window.push(data);
    this.#table ??= makeMatchTable();
    const { bytes, words, end, size, moved } = window;
    const start = end - data.length;
    let block = deflateBlock(bytes, words, start, end, this.#table, size, moved & 0xffff);
    if (block.length > data.length + STORED) block = storedBlock(bytes.subarray(start, end));
    if (ends) this.#forget();
    return last ? block : Buffer.concat([block, TAIL]);
  }

  async #deflateInPool(data: Uint8Array, options: ZlibOptions, last: boolean): Promise<Buffer> {
    const ends = last && !this.#options.contextTakeover;
    const task = new DeflateTask(data, ends ? 0 : this.#window.capacity, options);
    this.#task = task;
    const deflated = await task.result;
    if (this.#closed) return empty;
    this.#task = null;
    this.#keep(task.tail, last);
    return last ? withoutTail(deflated) : deflated;
  }

  #zlibOptions(data: Uint8Array, dictionary: Buffer): ZlibOptions {
    const { level, memLevel, windowBits } = this.#options;
    return {
      level,
      memLevel,
      windowBits: Math.max(windowBits, MIN_ZLIB_BITS),
      finishFlush: constants.Z_SYNC_FLUSH,
      chunkSize: Math.min(16 * 1024, data.length),
      ...(dictionary.length > 0 && { dictionary }),
    };
  }

  /** What was sent: later parts and, where the context is taken over, messages may refer to it. */
  #keep(data: Uint8Array, last: boolean): void {
    if (!last || this.#options.contextTakeover) this.#window.push(data);
    else this.#forget();
  }

  #forget(): void {
    this.#window.clear();
    this.#table = null;
  }
}

/** Compresses a small message without reference to earlier ones; the view is that of {@link deflateBlock}. */
function deflateAlone(data: Uint8Array, window: number): Buffer {
  sharedTable ??= makeMatchTable();
  sharedTable.fill(0);
  const { buffer, byteOffset, length } = data;
  const bytes = Buffer.from(buffer, byteOffset, length);
  const words = new DataView(buffer, byteOffset, length);
  const block = deflateBlock(bytes, words, 0, length, sharedTable, window, 0);
  return block.length > length + STORED ? storedBlock(data) : block;
}

function withoutTail(deflated: Buffer): Buffer {
  return deflated.subarray(0, deflated.length - TAIL.length);
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
