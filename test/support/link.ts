/**
 * A slow link in memory, in virtual time: two streams, and in each direction a send buffer, a bandwidth, a delay,
 * and a receive window that is closed by a reader that does not read.
 *
 *     write() ─▶ send buffer ── bandwidth ─▶ on the way ── delay ─▶ receive window ─▶ 'data'
 *        └─ its callback: all but the last `buffer` bytes have left
 */
import { Duplex } from 'node:stream';
import { vi } from 'vitest';
import { watchTimers } from './nothing-left.js';
import { asSocket, turns } from './wire.js';

export interface LinkOptions {
  /** Bytes a second. Default `Infinity`. */
  readonly bandwidth?: number;
  /** Milliseconds from one end to the other. Default 0. */
  readonly delay?: number;
  /** Bytes that the send buffer holds. Default 64 KiB. */
  readonly buffer?: number;
  /** Bytes that wait for a reader. Default 64 KiB. */
  readonly window?: number;
}

interface Write {
  rest: Buffer;
  readonly callback: (error?: Error | null) => void;
}

/** Bytes that leave together. */
const PACKET = 4096;

/** One end of the link. */
export class LinkEnd extends Duplex {
  bandwidth: number;
  readonly #delay: number;
  readonly #buffer: number;
  readonly #window: number;
  /** Writes whose callback is due, and bytes that have not left: the last ones of them. */
  #writes: Write[] = [];
  #unsent: Buffer[] = [];
  #unsentSize = 0;
  /** Received bytes that the reader has not asked for; null is FIN. */
  #received: (Buffer | null)[] = [];
  #receivedSize = 0;
  #onTheWay = 0;
  #wanted = false;
  #sending = false;
  #finish: ((error?: Error | null) => void) | null = null;
  other!: LinkEnd;

  constructor({
    bandwidth = Number.POSITIVE_INFINITY,
    delay = 0,
    buffer = 65_536,
    window = 65_536,
  }: LinkOptions) {
    super({ allowHalfOpen: true, highWaterMark: 16_384 });
    this.bandwidth = bandwidth;
    this.#delay = delay;
    this.#buffer = buffer;
    this.#window = window;
  }

  override _write(chunk: Buffer, _: string, callback: (error?: Error | null) => void): void {
    this.#writes.push({ rest: chunk, callback });
    this.#accept();
    this.#send();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#finish = callback;
    this.#send();
  }

  override _read(): void {
    this.#wanted = true;
    this.#deliver();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // As TCP does: what is in the send buffer still leaves, and then FIN
    this.#writes = [];
    this.#finish ??= () => {};
    this.#send();
    callback(error);
  }

  /** Moves bytes of writes into the send buffer, as far as there is room. */
  #accept(): void {
    for (let write = this.#writes[0]; write !== undefined; write = this.#writes[0]) {
      const room = this.#buffer - this.#unsentSize;
      if (room <= 0) return;
      const part = write.rest.subarray(0, room);
      write.rest = write.rest.subarray(part.length);
      this.#unsent.push(part);
      this.#unsentSize += part.length;
      if (write.rest.length > 0) return;
      this.#writes.shift();
      write.callback();
    }
  }

  #send(): void {
    if (this.#sending) return;
    const { other } = this;
    if (this.#unsent.length === 0) {
      if (this.#finish === null || this.#writes.length > 0) return;
      this.#finish();
      this.#finish = null;
      this.#after(this.#delay, () => other.#arrive(null));
      return;
    }
    if (other.#receivedSize + other.#onTheWay >= other.#window && !other.destroyed) return;
    let part = this.#unsent[0]!.subarray(0, PACKET);
    this.#unsent[0] = this.#unsent[0]!.subarray(part.length);
    if (this.#unsent[0].length === 0) this.#unsent.shift();
    this.#sending = true;
    other.#onTheWay += part.length;
    part = Buffer.from(part);
    this.#after((part.length * 1000) / this.bandwidth, () => {
      this.#sending = false;
      this.#unsentSize -= part.length;
      this.#after(this.#delay, () => {
        other.#onTheWay -= part.length;
        other.#arrive(part);
      });
      this.#accept();
      this.#send();
    });
  }

  #arrive(part: Buffer | null): void {
    if (this.destroyed) {
      if (part !== null && !this.other.destroyed)
        this.other.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
      return;
    }
    this.#received.push(part);
    this.#receivedSize += part?.length ?? 0;
    this.#deliver();
  }

  #deliver(): void {
    while (this.#wanted && this.#received.length > 0) {
      const part = this.#received.shift()!;
      this.#receivedSize -= part?.length ?? 0;
      this.#wanted = this.push(part);
    }
    this.other.#send();
  }

  #after(ms: number, then: () => void): void {
    if (ms > 0) setTimeout(then, ms);
    else process.nextTick(then);
  }
}
asSocket(LinkEnd.prototype);

/** Two ends of a link. */
export function link(options: LinkOptions = {}, back: LinkOptions = options): [LinkEnd, LinkEnd] {
  const ends: [LinkEnd, LinkEnd] = [new LinkEnd(options), new LinkEnd(back)];
  ends[0].other = ends[1];
  ends[1].other = ends[0];
  return ends;
}

/** Virtual time from here on: nothing passes but by {@link pass}. */
export function virtualTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
  watchTimers();
}

/** Lets `ms` of virtual time pass, in steps between which the event loop turns. */
export async function pass(ms: number, step = 20): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    await vi.advanceTimersByTimeAsync(Math.min(step, ms - passed));
    await turns(2);
  }
}

/** Lets time pass until the promise settles, `limit` ms at most; returns how many have passed. */
export async function passUntil(promise: Promise<unknown>, limit: number, step = 20): Promise<number> {
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  promise.then(settle, settle);
  await turns(2);
  let passed = 0;
  for (; !settled && passed < limit; passed += step) await pass(step, step);
  if (!settled) throw new Error(`Not settled after ${limit} ms`);
  return passed;
}
