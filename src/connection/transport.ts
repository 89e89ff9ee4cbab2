/** The byte stream under a connection: any `Duplex`, such as a `net.Socket`, a `TLSSocket`, an HTTP/2 stream. */
import type { Duplex } from 'node:stream';

/** Who uses a transport. */
export interface TransportOwner {
  onData(chunk: Buffer): void;
  /** The peer ended its side (FIN). */
  onEnd(): void;
  onError(error: Error): void;
  /** The stream is closed. */
  onClosed(): void;
  /** The bytes of a write have left. */
  onWritten(): void;
}

const kOwner = Symbol('owner');

type Listened = Duplex & { [kOwner]: TransportOwner };

/** Reads and writes a stream for one owner; its listeners are shared, no closure is made for each. */
export class Transport {
  readonly #stream: Duplex;
  readonly #owner: TransportOwner;
  /** Bytes of the last write did not leave at once. */
  #stalled = false;
  #written: ((error?: Error | null) => void) | null = null;

  /** Listens for errors and the end at once; data is read from {@link start} on. */
  constructor(stream: Duplex, owner: TransportOwner) {
    this.#stream = stream;
    this.#owner = owner;
    (stream as Listened)[kOwner] = owner;
    stream.on('error', onError).on('end', onEnd).on('close', onClosed);
    if (stream.closed) process.nextTick(() => owner.onClosed());
    else if (stream.readableEnded) process.nextTick(() => owner.onEnd());
  }

  /**
   * Bytes of earlier writes are still here: the system's buffers are full. Those that others wrote into the stream,
   * such as the response of the opening handshake, do not count: nobody tells when they have left.
   */
  get busy(): boolean {
    return this.#stalled && this.#stream.writableLength > 0;
  }

  /** Bytes of earlier writes that are still here. */
  get pending(): number {
    return this.#stream.writableLength;
  }

  /** The peer ended its side, and all of that was read. */
  get ended(): boolean {
    return this.#stream.readableEnded;
  }

  /** Begins to read. */
  start(): void {
    this.#stream.on('data', onData);
  }

  /** Stops reading, down to the TCP window; bytes received meanwhile stay in the system's buffers. */
  pause(): void {
    this.#stream.pause();
  }

  /** Reads on. */
  resume(): void {
    if (this.#stream.isPaused()) this.#stream.resume();
  }

  /** Writes the pieces in one system call, if the stream can. */
  write(pieces: readonly Buffer[]): void {
    if (!this.#stream.writable) return;
    this.#written ??= (error): void => {
      // Mostly the bytes left at once, which nobody has to be told. An error is told by its event
      if (!this.#stalled || error) return;
      if (this.#stream.writableLength === 0) this.#stalled = false;
      this.#owner.onWritten();
    };
    const last = pieces.length - 1;
    if (last > 0) this.#stream.cork();
    for (let i = 0; i < last; i++) this.#stream.write(pieces[i]);
    this.#stream.write(pieces[last], this.#written);
    if (last > 0) this.#stream.uncork();
    this.#stalled = this.#stream.writableLength > 0;
  }

  /** Ends this side once all is written (FIN). */
  end(): void {
    if (!this.#stream.writableEnded) this.#stream.end();
  }

  /** Closes both sides at once; what is not written yet is lost. */
  destroy(): void {
    this.#stream.destroy();
  }
}

function onData(this: Duplex, chunk: Buffer): void {
  (this as Listened)[kOwner].onData(chunk);
}

function onEnd(this: Duplex): void {
  (this as Listened)[kOwner].onEnd();
}

function onError(this: Duplex, error: Error): void {
  (this as Listened)[kOwner].onError(error);
}

function onClosed(this: Duplex): void {
  (this as Listened)[kOwner].onClosed();
}
