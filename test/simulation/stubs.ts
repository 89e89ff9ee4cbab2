/**
 * What a process has besides its clock that no seed repeats: random bytes, and the threads of zlib. Both are
 * replaced in the built-in modules, so that an unmodified library uses the replacements: install them before
 * it is imported.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { Transform, type TransformCallback } from 'node:stream';
import zlib, { type ZlibOptions } from 'node:zlib';
import { deflate } from './deflate.js';

/** Calls `run` once work of `size` bytes is done in the thread pool. */
export type Pool = (size: number, run: () => void) => void;

let pool: Pool = (_size, run) => void setImmediate(run);

/** Which pool works from here on. */
export function usePool(next: Pool): void {
  pool = next;
}

/** Does work in the pool, as the built-in modules do. */
export function inPool(size: number, run: () => void): void {
  pool(size, run);
}

const real = {
  randomFillSync: crypto.randomFillSync,
  randomBytes: crypto.randomBytes,
  getRandomValues: globalThis.crypto.getRandomValues,
  createDeflateRaw: zlib.createDeflateRaw,
  deflateRaw: zlib.deflateRaw,
  deflateRawSync: zlib.deflateRawSync,
  createInflateRaw: zlib.createInflateRaw,
};

/** Bytes that look random and are the same in each process. */
function fill(view: ArrayBufferView): void {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  let state = 0x2545_f491;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[i] = state >>> 24;
  }
}

/** Some functions of a built-in module cannot be assigned to. */
function replace(module: object, functions: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(functions)) {
    Object.defineProperty(module, name, { value, writable: true, enumerable: true, configurable: true });
  }
}

/** Replaces them; returns what restores them. */
export function installStubs(): () => void {
  replace(crypto, {
    randomFillSync: <T extends ArrayBufferView>(view: T): T => {
      fill(view);
      return view;
    },
    randomBytes: (size: number): Buffer => {
      const bytes = Buffer.alloc(size);
      fill(bytes);
      return bytes;
    },
  });
  globalThis.crypto.getRandomValues = <T extends ArrayBufferView | null>(view: T): T => {
    if (view !== null) fill(view);
    return view;
  };
  replace(zlib, {
    deflateRawSync: deflate,
    deflateRaw: (
      data: Uint8Array,
      options: ZlibOptions,
      done: (error: Error | null, result: Buffer) => void,
    ) => pool(data.length, () => done(null, deflate(data, options))),
    createDeflateRaw: (options: ZlibOptions) => new PooledDeflate(options),
    createInflateRaw: (options: ZlibOptions) => new PooledInflate(options),
  });
  syncBuiltinESMExports();
  return () => {
    const { getRandomValues, randomBytes, randomFillSync, ...streams } = real;
    globalThis.crypto.getRandomValues = getRandomValues;
    replace(crypto, { randomBytes, randomFillSync });
    replace(zlib, streams);
    syncBuiltinESMExports();
  };
}

/** The default differs between versions of Node.js. */
const bufferSizes = { readableHighWaterMark: 16 * 1024, writableHighWaterMark: 16 * 1024 };

/**
 * `zlib.DeflateRaw` as far as a library uses it: reads its input when the pool starts on it, and outputs
 * everything at the end.
 */
class PooledDeflate extends Transform {
  readonly #options: ZlibOptions;
  readonly #input: Buffer[] = [];

  constructor(options: ZlibOptions) {
    super(bufferSizes);
    this.#options = options;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    pool(chunk.length, () => {
      if (this.destroyed) return;
      this.#input.push(Buffer.from(chunk));
      done();
    });
  }

  override _flush(done: TransformCallback): void {
    pool(0, () => {
      if (this.destroyed) return;
      const output = deflate(Buffer.concat(this.#input), this.#options);
      const size = this.#options.chunkSize ?? 16 * 1024;
      for (let at = 0; at < output.length; at += size) this.push(output.subarray(at, at + size));
      done();
    });
  }
}

/**
 * `zlib.InflateRaw` as far as a library uses it: it inflates its whole input again for each write, and
 * outputs what is new chunk by chunk, each after a turn in the pool, no faster than it is read.
 */
class PooledInflate extends Transform {
  bytesWritten = 0;
  readonly #options: ZlibOptions;
  readonly #chunkSize: number;
  #input: Buffer = Buffer.alloc(0);
  #output: Buffer = Buffer.alloc(0);
  #given = 0;
  #over = false;
  /** Goes on once there is room. */
  #goOn: (() => void) | null = null;

  constructor(options: ZlibOptions) {
    super(bufferSizes);
    this.#options = options;
    this.#chunkSize = options.chunkSize ?? 16 * 1024;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    pool(chunk.length, () => {
      if (this.destroyed) return;
      if (this.#over) return done();
      this.#input = Buffer.concat([this.#input, chunk]);
      try {
        this.#inflate();
      } catch (error) {
        return void this.destroy(error as Error);
      }
      this.#give(done);
    });
  }

  override _read(size: number): void {
    const goOn = this.#goOn;
    this.#goOn = null;
    if (goOn === null) super._read(size);
    else goOn();
  }

  #inflate(): void {
    const { buffer, engine } = zlib.inflateRawSync(this.#input, {
      ...this.#options,
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
      info: true,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    this.#output = buffer;
    this.bytesWritten = engine.bytesWritten;
  }

  #give(done: TransformCallback): void {
    if (this.destroyed) return;
    const chunk = this.#output.subarray(this.#given, this.#given + this.#chunkSize);
    this.#given += chunk.length;
    const more = chunk.length === 0 || this.push(chunk);
    if (this.#given < this.#output.length) {
      const goOn = (): void => pool(0, () => this.#give(done));
      if (more) goOn();
      else this.#goOn = goOn;
      return;
    }
    // Input is left: the last block came before the end of it
    if (this.bytesWritten < this.#input.length) {
      this.#over = true;
      this.push(null);
    }
    done();
  }
}
