/**
 * What a process has besides its clock that no seed repeats: random bytes, and the threads of zlib. Both are replaced
 * in the built-in modules, so that an unmodified library uses the replacements: install them before it is imported.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { Transform, type TransformCallback } from 'node:stream';
import zlib, { type ZlibOptions } from 'node:zlib';

/** Calls `run` once work of `size` bytes is done in the thread pool. */
export type Pool = (size: number, run: () => void) => void;

let pool: Pool = (_size, run) => void setImmediate(run);

/** Which pool works from here on. */
export function usePool(next: Pool): void {
  pool = next;
}

const real = {
  randomFillSync: crypto.randomFillSync,
  randomBytes: crypto.randomBytes,
  getRandomValues: globalThis.crypto.getRandomValues,
  deflateRaw: zlib.deflateRaw,
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
    deflateRaw: (data: Uint8Array, options: ZlibOptions, done: (error: Error | null, result: Buffer) => void) =>
      pool(data.length, () => done(null, zlib.deflateRawSync(data, options))),
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

/** `zlib.InflateRaw` as far as a library uses it: inflates all that came so far again, once the pool gets to it. */
class PooledInflate extends Transform {
  bytesWritten = 0;
  readonly #options: ZlibOptions;
  #input: Buffer = Buffer.alloc(0);
  #given = 0;
  #over = false;

  constructor(options: ZlibOptions) {
    super({ readableHighWaterMark: 64 * 1024, writableHighWaterMark: 64 * 1024 });
    this.#options = options;
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
      // Input is left: the last block came before the end of it
      if (this.bytesWritten < this.#input.length) {
        this.#over = true;
        this.push(null);
      }
      done();
    });
  }

  #inflate(): void {
    const { buffer, engine } = zlib.inflateRawSync(this.#input, {
      ...this.#options,
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
      info: true,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    this.bytesWritten = engine.bytesWritten;
    const size = this.#options.chunkSize ?? 16 * 1024;
    for (; this.#given < buffer.length; this.#given += size) {
      this.push(buffer.subarray(this.#given, Math.min(buffer.length, this.#given + size)));
    }
    this.#given = buffer.length;
  }
}
