/**
 * Decompression of messages, RFC 7692 §7.2.2, whole or up to where the sender has flushed its compressor.
 *
 *     payload up to SMALL_PAYLOAD, nothing unusual in it ──▶ inflateBlocks(), no zlib context at all
 *     payload and data not large ──────────────────────────▶ zlib at once, with the window as dictionary
 *     else ────────────────────────────────────────────────▶ an InflateStream, in the thread pool, to its end
 */
import { type InflateRaw, inflateRawSync, type ZlibOptions } from 'node:zlib';
import { InvalidPayloadError, ProtocolError } from '../../errors.js';
import type { MessageDecoder } from '../../protocol/extension.js';
import { MessageAssembler } from '../../protocol/message-assembler.js';
import { inflateBlocks, SMALL_PAYLOAD } from './inflate-block.js';
import { InflateStream } from './inflate-stream.js';
import { MARK, MARKED_BLOCK, TAIL, withoutMark } from './tail.js';
import { Window } from './window.js';

/** More payload than this is inflated off the thread. */
const MAX_PAYLOAD = 16 * 1024;
/** More data than this is inflated off the thread. */
const MAX_DATA = 128 * 1024;
/** {@link TAIL} as a number. */
const FLUSHED = 0x0000ffff;
/** zlib contexts of a message on the thread; each block marked as the last one needs another one. */
const MAX_CONTEXTS = 4;

/** What `info: true` gives. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: InflateRaw;
}

/** Inflates the messages that one endpoint receives. */
export class Inflater implements MessageDecoder {
  done = false;
  onready: (() => void) | null = null;
  #last = false;
  /** The fragment that came last ends as a flushed compressor ends it: what came so far may inflate on its own. */
  #flushed = false;
  /** The last four bytes of what came, as one number; they may have come in several parts. */
  #end = -1;
  #stream: InflateStream | null = null;
  #closed = false;
  /** The payload of the message: when it came in one part, else what came so far. */
  #whole: Buffer | null = null;
  readonly #payload: MessageAssembler = new MessageAssembler();
  readonly #window: Window;
  readonly #windowBits: number;
  readonly #contextTakeover: boolean;

  /**
   * @param windowBits - of the peer's compressor
   * @param contextTakeover - whether its window carries over
   */
  constructor(windowBits: number, contextTakeover: boolean) {
    this.#window = new Window(windowBits);
    this.#windowBits = windowBits;
    this.#contextTakeover = contextTakeover;
  }

  get busy(): boolean {
    return this.#stream?.busy ?? false;
  }

  write(payload: Buffer, last: boolean, frameEnds: boolean): void {
    if (this.#closed) return;
    this.done = false;
    this.#last = last;
    if (this.#stream !== null) this.#stream.write(payload, last);
    else if (last && this.#payload.size === 0 && payload.length <= MAX_PAYLOAD) this.#whole = payload;
    else {
      this.#payload.add(payload, 0, payload.length);
      for (const byte of payload.subarray(-TAIL.length)) this.#end = (this.#end << 8) | byte;
      this.#flushed = frameEnds && !last && this.#end === FLUSHED;
      if (this.#payload.size > MAX_PAYLOAD) this.#startStream(this.#payload.take());
    }
  }

  read(most: number): Buffer | null {
    try {
      if (this.#stream !== null) return this.#readStream(this.#stream);
      return (this.#last && !this.done) || this.#flushed ? this.#inflateNow(most) : null;
    } catch (error) {
      if (error instanceof ProtocolError) throw error;
      const { message } = error as Error;
      throw new InvalidPayloadError('RFC 7692 §7.2.2', 'Received data that does not inflate', message);
    }
  }

  /** Frees what it holds. From here on nothing is read, and `onready` is not called. */
  close(): void {
    this.#closed = true;
    this.#last = this.#flushed = false;
    this.onready = null;
    this.#stream?.close();
    this.#stream = null;
    this.#whole = null;
    this.#payload.clear();
    this.#window.clear();
  }

  /** A small message, or what was flushed of one, at once; what turns out not to be small is left to a stream. */
  #inflateNow(most: number): Buffer | null {
    const came = this.#whole ?? this.#payload.take();
    this.#whole = null;
    this.#flushed = false;
    this.#end = -1;
    // In front of the tail that the sender has left there, as it is not the end of the message
    const payload = this.#last ? came : came.subarray(0, -TAIL.length);
    if (payload.length <= SMALL_PAYLOAD) {
      const data = inflateBlocks(payload, this.#window);
      if (data !== null) {
        this.#window.push(data);
        this.#finish();
        return this.#last || data.length > 0 ? data : null;
      }
    }
    const input = Buffer.concat([payload, TAIL, MARKED_BLOCK]);
    const parts: Buffer[] = [];
    let size = 0;
    for (let at = 0; at < input.length; ) {
      const own = at >= payload.length;
      const many = parts.length >= MAX_CONTEXTS && !own;
      const room = own ? MAX_DATA : Math.min(most, MAX_DATA) - size;
      const part = many ? null : this.#inflate(input.subarray(at), room);
      if (part === null) {
        this.#startStream(came.subarray(at));
        break;
      }
      this.#window.push(part.data);
      parts.push(part.data);
      size += part.data.length;
      at += part.used;
    }
    if (this.#stream === null) this.#finish();
    if (size === 0 && (this.#stream !== null || !this.#last)) return null;
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /** Inflates up to the end of a stream of blocks; null when a stream has to do it. */
  #inflate(input: Buffer, room: number): { data: Buffer; used: number } | null {
    const dictionary = this.#window.last();
    const options: ZlibOptions = {
      info: true,
      windowBits: this.#windowBits,
      maxOutputLength: room + MARK.length,
      chunkSize: Math.max(1024, Math.min(64 * 1024, input.length * 8)),
      ...(dictionary.length > 0 && { dictionary }),
    };
    try {
      const { buffer, engine } = inflateRawSync(input, options) as unknown as Inflated;
      const used = engine.bytesWritten;
      const unused = input.length - used;
      const data = unused < MARKED_BLOCK.length ? withoutMark(buffer, unused) : buffer;
      return data.length <= room ? { data, used } : null;
    } catch (error) {
      // More data than there is room for, or a fragment that only looks as if the sender had flushed in front of its end
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' || !this.#last) return null;
      throw error;
    }
  }

  #startStream(payload: Buffer): void {
    this.#flushed = false;
    this.#end = -1;
    this.#stream = new InflateStream(this.#windowBits, this.#window, () => this.onready?.());
    this.#stream.write(payload, this.#last);
  }

  #readStream(stream: InflateStream): Buffer | null {
    const data = stream.read();
    if (data === null && stream.done) {
      this.#stream = null;
      this.#finish();
    }
    return data;
  }

  #finish(): void {
    if (!this.#last) return;
    this.done = true;
    if (!this.#contextTakeover) this.#window.clear();
  }
}
