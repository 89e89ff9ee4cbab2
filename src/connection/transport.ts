/**
 * The byte stream of a connection: any `Duplex`, such as a `net.Socket`, a `TLSSocket`, an HTTP/2 stream.
 *
 *     write(pieces) ─▶ stream accepts all of a part at once ─▶ the next part, in the same call
 *                         └─ it does not: stalled ─▶ its callback ─▶ the next part, at last `sender.flush()`
 *
 * A large write is split into parts, so that a slow peer shows progress: the stream reports a write as a whole.
 */
import type { Duplex } from 'node:stream';
import { type Addresses, addressesOf } from './addresses.js';
import type { Lifecycle } from './lifecycle.js';
import { FIRST_PART, LEAST_PACE, Pace, timeToLeave } from './pace.js';
import { bytesIn, memoryChanged } from './written-memory.js';

/** Bytes that are read and dropped after a Close frame, until the socket is destroyed. */
const MAX_LINGERING = 16 * 1024 * 1024;

const kLife = Symbol('lifecycle');

type Owned = Duplex & { [kLife]: Lifecycle };

/** Reads and writes one stream. Its listeners are shared by all connections: none is made for each. */
export class Transport {
  /** Bytes given to the stream, how many of them have been flushed, and how many have reached the peer for sure. */
  given = 0;
  flushed = 0;
  #arrived = 0;
  /** The stream is closed. */
  gone = false;
  /** A write has failed: what it held was not sent. */
  failed = false;
  /** A write is not flushed: the kernel's send buffer is full, or the stream is asynchronous. */
  #stalled = false;
  /** The stream is being written to: one that delivers at once may lead to the next write meanwhile. */
  #writing = false;
  #onWritten: ((error?: Error | null) => void) | null = null;
  /** Pieces that the stream was not given yet: `#rest[#next...]`, and the number of bytes in them. */
  #rest: Buffer[] | null = null;
  #next = 0;
  #restSize = 0;
  /** Made for a write that stalls, or is large. */
  #pace: Pace | null = null;
  #ending = false;
  #lingering = 0;
  /** The stream reports for sure that it is closed, once it was destroyed. */
  readonly reportsEnd: boolean;
  readonly #stream: Duplex;
  readonly #life: Lifecycle;

  /** Listens for errors and the end at once; data is read from {@link start} on. */
  constructor(stream: Duplex, life: Lifecycle, reportsEnd: boolean) {
    this.reportsEnd = reportsEnd;
    this.#stream = stream;
    this.#life = life;
    (stream as Owned)[kLife] = life;
    // The Close frame in front of a FIN may wait for a slow consumer: it is answered all the same (§5.5.1)
    stream.allowHalfOpen = true;
    stream.on('error', onError).on('end', onEnd).on('finish', onFinish).on('close', onClosed);
    if (stream.closed) process.nextTick(() => onClosed.call(stream));
    else if (stream.readableEnded) process.nextTick(() => onEnd.call(stream));
    else if (stream.writableFinished) process.nextTick(() => onFinish.call(stream));
  }

  /**
   * A write of this connection is not flushed, or under way. Bytes that others wrote into the stream, such as the response of the
   * opening handshake, do not count: nothing reports when they are.
   */
  get stalled(): boolean {
    if (this.#writing) return true;
    return this.#stalled && (this.#stream.writableLength > 0 || this.#restSize > 0);
  }

  /** Bytes of this connection that are not flushed. */
  get pending(): number {
    return this.#stalled ? this.#stream.writableLength + this.#restSize : this.#restSize;
  }

  /** Where the stream leads to. */
  get addresses(): Addresses {
    return addressesOf(this.#stream);
  }

  /**
   * Milliseconds that the bytes may take which the stream has flushed, and the kernel may still hold: nothing reports
   * when they leave. Zero for a peer that has answered a Ping behind them.
   */
  get delay(): number {
    return timeToLeave(this.flushed - this.#arrived, this.#pace);
  }

  /** Milliseconds that the part may take which the stream was given, and has not flushed. */
  get partDelay(): number {
    return this.#stream.destroyed ? 0 : Math.ceil((this.given - this.flushed) / LEAST_PACE);
  }

  /** The peer has answered a Ping that was sent when so many bytes had been given to the stream. */
  onArrived(given: number): void {
    if (given < 0) return;
    this.#arrived = given;
    this.#pace?.forget();
  }

  /** Bytes can still be sent. */
  get writable(): boolean {
    return this.#stream.writable;
  }

  /** Begins to read. */
  start(): void {
    this.#stream.on('data', onData);
  }

  /** Stops reading, down to the TCP window; what is received meanwhile stays in the buffers of the stream and the kernel. */
  pause(): void {
    this.#stream.pause();
  }

  /** Reads again. */
  resume(): void {
    if (this.#stream.isPaused()) this.#stream.resume();
  }

  /** So many bytes more came after a Close frame, and are dropped: true once that is enough. */
  lingersTooLong(size: number): boolean {
    this.#lingering += size;
    return this.#lingering > MAX_LINGERING;
  }

  /** What the stream had read before it was closed, or null at the end of that. */
  readRest(): Buffer | null {
    return this.#stream.read();
  }

  /** TCP keepalive, where the stream has it: for when reading is paused, and no Pong can be seen. */
  watchPeer(interval: number): void {
    const { setKeepAlive } = this.#stream as { setKeepAlive?: (on: boolean, delay: number) => void };
    if (typeof setKeepAlive === 'function') setKeepAlive.call(this.#stream, true, interval);
  }

  /**
   * Writes the pieces, in as few system calls as the stream allows. Call it only while not {@link stalled}. What has not
   * the `size` that was queued is not written: the peer would read the next header as payload.
   */
  write(pieces: Buffer[], size: number): void {
    if (!this.#stream.writable) {
      this.failed = true;
      this.onEnded();
      return;
    }
    if (bytesIn(pieces, 0) !== size) {
      this.#onChanged();
      return;
    }
    if (size <= (this.#pace === null ? FIRST_PART : this.#pace.part)) {
      this.#give(pieces, size);
      return;
    }
    this.#rest = pieces;
    this.#next = 0;
    this.#restSize = size;
    this.#giveParts();
  }

  /** Ends this side once everything is flushed (FIN). */
  end(): void {
    this.#ending = true;
    addressesOf(this.#stream);
    if (this.#restSize === 0 && !this.#stream.writableEnded) this.#stream.end();
  }

  /** Closes both sides at once; what is not flushed is lost. */
  destroy(): void {
    this.#rest = null;
    this.#restSize = 0;
    this.#pace?.stop();
    addressesOf(this.#stream);
    this.#stream.destroy();
  }

  /** The stream accepts no more writes: when neither this class nor the peer has ended it, the connection is lost. */
  onEnded(): void {
    const stream = this.#stream;
    if (this.#ending || stream.destroyed || stream.readableEnded || !stream.writableEnded) return;
    this.#life.onLost(
      new Error('The stream was ended by other code: end a connection by close() or terminate()'),
    );
  }

  /** Gives parts to the stream until one stalls. */
  #giveParts(): void {
    this.#pace ??= new Pace();
    while (this.#restSize > 0 && this.#stream.writable) {
      if (bytesIn(this.#rest!, this.#next) !== this.#restSize) {
        this.#onChanged();
        return;
      }
      const part: Buffer[] = [];
      const most = this.#pace.part;
      let size = 0;
      while (size < most && this.#next < this.#rest!.length) {
        const piece = this.#rest![this.#next]!;
        const room = most - size;
        if (piece.length <= room) this.#next++;
        else this.#rest![this.#next] = piece.subarray(room);
        const taken = piece.length <= room ? piece : piece.subarray(0, room);
        part.push(taken);
        size += taken.length;
      }
      this.#restSize -= size;
      if (this.#restSize === 0) this.#rest = null;
      this.#give(part, size);
      if (this.#stalled) return;
      this.#pace.enlarge();
    }
    if (this.#ending) this.end();
  }

  /** The application has changed memory that is queued: nothing of it, or after it, is written. */
  #onChanged(): void {
    this.failed = true;
    this.#restSize = 0;
    this.#life.onSocketError(memoryChanged());
  }

  #give(pieces: readonly Buffer[], size: number): void {
    const stream = this.#stream;
    this.#onWritten ??= (error): void => {
      // Mostly the write was flushed at once, and there is nothing to report. An error is reported by its event
      if (error) this.failed = true;
      if (error || !this.#stalled || stream.writableLength > 0) return;
      this.#stalled = false;
      this.#pace!.end(this.given - this.flushed);
      this.flushed = this.given;
      this.#giveParts();
      if (!this.#stalled) this.#life.sender.flush();
    };
    this.given += size;
    this.#writing = true;
    const last = pieces.length - 1;
    try {
      if (last > 0) stream.cork();
      for (let i = 0; i < last; i++) stream.write(pieces[i]);
      stream.write(pieces[last], this.#onWritten);
      if (last > 0) stream.uncork();
    } catch (error) {
      // A Duplex that is no good stream, or a piece whose memory was transferred
      this.failed = true;
      this.#restSize = 0;
      this.#life.onSocketError(error as Error);
      return;
    } finally {
      this.#writing = false;
    }
    this.#stalled = stream.writableLength > 0;
    // A write before was flushed, and has not been reported
    this.#pace?.stop();
    if (this.#stalled) {
      this.#pace ??= new Pace();
      // A write may lead to the end of the connection
      if (!stream.destroyed) this.#pace.begin();
    }
    // A stream that fails at once keeps nothing of the write either
    else if (stream.errored === null) this.flushed = this.given;
    else this.failed = true;
  }
}

function onData(this: Duplex, chunk: Buffer): void {
  (this as Owned)[kLife].onData(chunk);
}

function onEnd(this: Duplex): void {
  const { receiver, transport } = (this as Owned)[kLife];
  // A socket that is not half-open closes itself now
  addressesOf(this);
  // Some streams end after they were given up as closed
  if (!transport.gone) receiver.end();
}

function onFinish(this: Duplex): void {
  (this as Owned)[kLife].transport.onEnded();
}

function onError(this: Duplex, error: Error): void {
  (this as Owned)[kLife].onSocketError(error);
}

function onClosed(this: Duplex): void {
  (this as Owned)[kLife].onSocketClosed();
}
