/**
 * A `net.Socket` as a connection sees it, on the ends of two paths: what Node.js documents of it, and its
 * timing.
 */
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { VirtualClock } from './clock.js';
import type { Path, PathReceiver, PathSender } from './network.js';

type Written = (error?: Error | null) => void;

/** Milliseconds between two looks of keepalive, at most: a write that stalls for less may not be seen to. */
const STALL = 1000;

/** One end of a connection in memory. */
export class SimulatedSocket extends Duplex implements PathReceiver, PathSender {
  readonly connecting = false;
  bytesRead = 0;
  /** When bytes were read last. */
  readAt: number;
  /** When a write that had stalled for {@link STALL} or longer was accepted last: progress that the library sees. */
  progressedAt: number = Number.NEGATIVE_INFINITY;
  /** Milliseconds that writes waited until they were accepted. */
  waited = 0;
  /** When the stream was destroyed. */
  goneAt: number | null = null;
  /** It was destroyed while a write waited for room: what moves within one write cannot be seen by the library. */
  goneStalled = false;
  /** Is called with what was read, and when the stream is destroyed. */
  observer: (event: 'data' | 'FIN' | 'reset' | 'destroyed') => void = () => {};
  readonly input: Path;
  readonly output: Path;
  readonly #clock: VirtualClock;
  #reading = false;
  #scheduled = false;
  #waiting: { bytes: Buffer; done: Written; readonly since: number } | null = null;
  #finished = false;
  #wasReset = false;

  static {
    // As the kernel does, it passes no buffer on: accept() recognizes it, and gives it the memory that connections share
    Object.defineProperty(SimulatedSocket.prototype, 'constructor', { value: Socket });
  }

  constructor(clock: VirtualClock, input: Path, output: Path, allowHalfOpen: boolean) {
    super({ allowHalfOpen, readableHighWaterMark: 16 * 1024, writableHighWaterMark: 16 * 1024 });
    this.#clock = clock;
    this.readAt = clock.now;
    this.input = input;
    this.output = output;
    input.receiver = this;
    output.sender = this;
  }

  // A socket that is destroyed has no addresses, unless they were read before

  get remoteAddress(): string | undefined {
    return this.destroyed ? undefined : '127.0.0.1';
  }

  get remotePort(): number | undefined {
    return this.destroyed ? undefined : 40_000;
  }

  get localAddress(): string | undefined {
    return this.destroyed ? undefined : '127.0.0.1';
  }

  get localPort(): number | undefined {
    return this.destroyed ? undefined : 80;
  }

  /** A write waits for room. */
  get writing(): boolean {
    return this.#waiting !== null;
  }

  /** Bytes given to `write()` so far. */
  get bytesWritten(): number {
    return this.output.tap.size + this.writableLength;
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  address(): { address: string; family: string; port: number } {
    return { address: '127.0.0.1', family: 'IPv4', port: 80 };
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', this.destroy);
  }

  resetAndDestroy(): this {
    this.output.abort(true);
    this.#wasReset = true;
    return this.destroy();
  }

  onReadable(): void {
    if (this.#reading) this.#schedule();
  }

  onRoom(): void {
    this.#write();
  }

  /** The peer's kernel answered a write by a reset: this side learns of it when it reads or writes. */
  onReset(): void {
    if (this.destroyed) return;
    this.#wasReset = true;
    if (this.#reading || this.#waiting !== null) this.#fail('ECONNRESET');
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    if (this.#wasReset) this.#fail('ECONNRESET');
    else if (this.input.readable > 0 || this.input.ended) this.#schedule();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Written): void {
    this.#put(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Written): void {
    this.#put(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: Written): void {
    this.#finished = true;
    this.output.fin();
    done();
  }

  override _destroy(error: Error | null, done: Written): void {
    this.observer('destroyed');
    this.goneAt = this.#clock.now;
    this.goneStalled = this.#waiting !== null;
    this.output.sender = null;
    if (!this.#wasReset) {
      // A kernel resets a connection that is closed with bytes unread
      if (this.input.readable > 0) this.output.abort(false);
      else if (!this.#finished) this.output.fin();
    }
    this.input.close();
    this.#waiting = null;
    this.#clock.schedule(0, () => done(error));
  }

  /** Reads one chunk a turn, as libuv does. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.schedule(0, () => {
      this.#scheduled = false;
      if (this.destroyed || !this.#reading) return;
      const chunk = this.input.read();
      if (chunk === null) return;
      if (chunk === 'reset') return this.#fail('ECONNRESET');
      if (chunk === 'end') {
        this.observer('FIN');
        this.#reading = false;
        this.push(null);
        return;
      }
      this.bytesRead += chunk.length;
      this.readAt = this.#clock.now;
      this.#reading = false;
      this.observer('data');
      if (this.push(chunk)) this.#reading = true;
      if (this.#reading && (this.input.readable > 0 || this.input.ended)) this.#schedule();
    });
  }

  #put(bytes: Buffer, done: Written): void {
    if (this.#wasReset) {
      this.observer('reset');
      done(makeError('EPIPE'));
    } else {
      this.#waiting = { bytes, done, since: this.#clock.now };
      this.#write();
    }
  }

  /** The kernel accepts what it has room for; a write is done when all of it was accepted. */
  #write(): void {
    const waiting = this.#waiting;
    if (waiting === null || this.destroyed) return;
    const { bytes, done, since } = waiting;
    const { room } = this.output;
    if (room < bytes.length) {
      if (room > 0) {
        this.output.write(bytes.subarray(0, room));
        waiting.bytes = bytes.subarray(room);
      }
      return;
    }
    this.waited += this.#clock.now - since;
    if (this.#clock.now - since >= STALL) this.progressedAt = this.#clock.now;
    this.#waiting = null;
    this.output.write(bytes);
    done();
  }

  #fail(code: string): void {
    this.#wasReset = true;
    this.observer('reset');
    this.destroy(makeError(code));
  }
}

function makeError(code: string): Error {
  return Object.assign(new Error(`simulated ${code}`), { code, errno: -1, syscall: 'simulated' });
}
