/**
 * The content of each message follows from its connection, its side and its number: no other message is the
 * same.
 */
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import type { Carrier, MessageForm, MessagePlan, SourceKind } from './program.js';
import { OwnError } from './promises.js';
import { inPool } from './stubs.js';

/** Positions as text, every 16 bytes, for all sizes that occur; behind each is a place for eight bytes of the owner. */
const positions: Buffer = Buffer.concat(
  Array.from({ length: 40_000 }, (_, i) => Buffer.from(`@${i.toString(36).padStart(6, '0')};........`)),
);

const cache: Map<string, string | Buffer> = new Map();
let cached = 0;
/** Bytes that are remembered. */
const MAX_CACHED = 64 * 1024 * 1024;

/** The first `size` characters, or bytes, of a message of `owner`. Do not change them. */
export function content(owner: string, form: MessageForm, size: number): string | Buffer {
  const key = `${owner} ${form} ${size}`;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const made = make(owner, form, size);
  cached += size;
  if (cached > MAX_CACHED) {
    cache.clear();
    cached = size;
  }
  cache.set(key, made);
  return made;
}

function make(owner: string, form: MessageForm, size: number): string | Buffer {
  if (form === 'noise') return noise(owner, size);
  const places = new Float64Array(Math.ceil(size / 16) * 2);
  const bytes = Buffer.from(places.buffer, 0, size);
  positions.copy(bytes);
  // Most bytes of a large text are of characters of four bytes
  const tag = Buffer.from(owner.padEnd(8, form === 'unicode' ? ';' : '.').slice(0, 8));
  const eight = tag.readDoubleLE();
  for (let i = 1; i < places.length; i += 2) places[i] = eight;
  // Small messages show their owner, too; each byte depends on its position alone, so that a part is a prefix
  tag.copy(bytes, 0);
  if (form === 'binary') return bytes;
  const text = bytes.toString('latin1');
  return form === 'ascii' ? text : text.replaceAll('@0', 'é€').replaceAll(';', '\u{1f600}');
}

/** Bytes that do not compress. */
function noise(owner: string, size: number): Buffer {
  let state = 7;
  for (let i = 0; i < owner.length; i++) state = Math.imul(state ^ owner.charCodeAt(i), 0x01000193);
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[i] = state >>> 23;
  }
  return bytes;
}

/** The type that a message of this form has. */
export function typeOf(form: MessageForm): 'text' | 'binary' {
  return form === 'ascii' || form === 'unicode' ? 'text' : 'binary';
}

/** The content as it goes into `send()`. */
export function carry(
  owner: string,
  { form, size }: MessagePlan,
  carrier: Carrier,
): string | Buffer | ArrayBuffer | DataView | Blob {
  const data = content(owner, form, size);
  if (carrier === 'plain' || carrier === 'prepared') return data;
  if (carrier === 'blob' || carrier === 'broken blob') {
    return new SimulatedBlob(Buffer.from(data as string), carrier === 'blob');
  }
  const bytes = Buffer.from(data as string);
  const memory = new ArrayBuffer(bytes.length + 13);
  new Uint8Array(memory, 5, bytes.length).set(bytes);
  if (carrier === 'view') return Buffer.from(memory, 5, bytes.length);
  if (carrier === 'dataview') return new DataView(memory, 5, bytes.length);
  return memory.slice(5, 5 + bytes.length);
}

/**
 * A Blob of Node.js reads by way of the real event loop: this one takes a turn in the simulated thread pool.
 */
class SimulatedBlob extends Blob {
  readonly #bytes: Buffer;
  readonly #readable: boolean;

  constructor(bytes: Buffer, readable: boolean) {
    super([bytes as Uint8Array<ArrayBuffer>]);
    this.#bytes = bytes;
    this.#readable = readable;
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    const { buffer, byteOffset, length } = this.#bytes;
    const copy = buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer;
    return new Promise((resolve, reject) => {
      inPool(length, () => (this.#readable ? resolve(copy) : reject(new OwnError('cannot be read'))));
    });
  }

  override async text(): Promise<string> {
    return Buffer.from(await this.arrayBuffer()).toString();
  }

  override stream(): ReturnType<Blob['stream']> {
    return ReadableStream.from(
      (async function* (blob): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(await blob.arrayBuffer());
      })(this),
    ) as ReturnType<Blob['stream']>;
  }
}

/** Where `sendStream()` reads from, and whether it was released. */
export interface Source {
  readonly iterable: AsyncIterable<Buffer> | Iterable<Buffer>;
  /** The source never yields a last chunk. */
  readonly idle: boolean;
  released(): boolean;
}

/** A source of `chunks`; the idle ones wait for more after them. */
export function makeSource(kind: SourceKind, chunks: readonly Buffer[], failure: Error): Source {
  let released = false;
  const release = (): void => {
    released = true;
  };
  if (kind === 'readable' || kind === 'idle readable') {
    const pending = [...chunks];
    const readable = new Readable({
      // A chunk without a byte counts too
      objectMode: true,
      highWaterMark: 1,
      read(): void {
        const chunk = pending.shift();
        if (chunk !== undefined) this.push(chunk);
        else if (kind === 'readable') this.push(null);
      },
    });
    return { iterable: readable, idle: kind === 'idle readable', released: () => readable.destroyed };
  }
  if (kind === 'web' || kind === 'idle web') {
    const pending = [...chunks];
    const stream = new ReadableStream<Buffer>(
      {
        pull(controller): Promise<void> | void {
          const chunk = pending.shift();
          if (chunk !== undefined) controller.enqueue(chunk);
          else if (kind === 'web') {
            release();
            controller.close();
          } else return new Promise(() => {});
        },
        cancel: release,
      },
      { highWaterMark: 0 },
    );
    return { iterable: stream as AsyncIterable<Buffer>, idle: kind === 'idle web', released: () => released };
  }
  if (kind === 'sync') return { iterable: chunks, idle: false, released: () => true };
  const generate = async function* (): AsyncGenerator<Buffer> {
    try {
      for (const chunk of chunks) yield chunk;
      if (kind === 'throwing generator') throw failure;
    } finally {
      release();
    }
  };
  // A generator that never began has nothing to release
  return { iterable: generate(), idle: false, released: () => true };
}
