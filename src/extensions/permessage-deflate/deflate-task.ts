/**
 * Compression of one message in the thread pool, where a few messages of the process run at a time.
 *
 *     waiting ── its turn ──▶ running ──▶ settled
 *        └────── cancel() ───────┴──────────▲
 */
import { createDeflateRaw, type DeflateRaw, type ZlibOptions } from 'node:zlib';

/** Messages in the thread pool at once: each takes 256 KiB there, and the pool has a few threads. */
const MAX_RUNNING = 8;

const empty: Buffer = Buffer.alloc(0);

let running = 0;
/** Tasks in line are `line[first...]`; a cancelled one stays there until its turn, without its data. */
let line: (DeflateTask | null)[] = [];
let first = 0;

/** Compresses a message as soon as there is room for it in the thread pool. */
export class DeflateTask {
  /** The compressed data; an empty buffer once cancelled. Rejects with an error of zlib. */
  readonly result: Promise<Buffer>;
  /** A copy of the end of the data, as it was compressed: the data itself may change meanwhile. */
  tail: Buffer = empty;
  #resolve!: (deflated: Buffer) => void;
  #reject!: (error: Error) => void;
  #data: Uint8Array | null;
  #raw: DeflateRaw | null = null;
  readonly #tailSize: number;
  readonly #options: ZlibOptions;

  /** @param tailSize - how much of the end of the data is copied to {@link tail} */
  constructor(data: Uint8Array, tailSize: number, options: ZlibOptions) {
    this.#data = data;
    this.#tailSize = tailSize;
    this.#options = options;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (running < MAX_RUNNING) this.start();
    else line.push(this);
  }

  /** Begins to compress; false when it was cancelled. */
  start(): boolean {
    const data = this.#data;
    if (data === null) return false;
    let raw: DeflateRaw;
    try {
      raw = createDeflateRaw(this.#options);
    } catch (error) {
      this.#reject(error as Error);
      return false;
    }
    running++;
    this.#raw = raw;
    const parts: Buffer[] = [];
    raw.on('data', (part) => parts.push(part));
    raw.on('end', () => {
      this.#resolve(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
      this.#leave();
    });
    raw.on('error', (error) => {
      this.#reject(error);
      this.#leave();
    });
    const headSize = Math.max(0, data.length - this.#tailSize);
    if (headSize > 0) raw.write(data.subarray(0, headSize));
    // zlib is given a copy of the end, so that it is certain what the peer sees of it
    this.tail = Buffer.from(data.subarray(headSize));
    if (this.tail.length > 0) raw.end(this.tail);
    else raw.end();
    return true;
  }

  /** Stops it, and resolves with an empty buffer; without effect once it is settled. */
  cancel(): void {
    this.#data = null;
    this.#resolve(empty);
    if (this.#raw === null) return;
    this.#raw.removeAllListeners().on('error', () => {});
    this.#raw.destroy();
    this.#leave();
  }

  #leave(): void {
    this.#data = null;
    this.#raw = null;
    running--;
    startNext();
  }
}

function startNext(): void {
  while (first < line.length) {
    const next = line[first]!;
    line[first++] = null;
    if (next.start()) break;
  }
  if (first < line.length >> 1) return;
  line = line.slice(first);
  first = 0;
}
