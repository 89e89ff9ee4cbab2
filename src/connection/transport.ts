/** The byte stream under a connection: any `Duplex`, such as a `net.Socket`, a `TLSSocket`, an HTTP/2 stream. */
import type { Duplex } from 'node:stream';

/** What a transport tells its owner. One record serves all connections: no closure is made for each. */
export interface TransportEvents<Owner> {
  data(owner: Owner, chunk: Buffer): void;
  /** The peer ended its side (FIN). */
  end(owner: Owner): void;
  error(owner: Owner, error: Error): void;
  /** The stream is closed. */
  close(owner: Owner): void;
  /** The bytes of an earlier write have left; not told for those that left at once. */
  written(owner: Owner): void;
}

const kTransport = Symbol('transport');

type Listened = Duplex & { [kTransport]: Transport<unknown> };

/** Reads and writes a stream for one owner. */
export class Transport<Owner> {
  readonly owner: Owner;
  readonly events: TransportEvents<Owner>;
  readonly #stream: Duplex;
  #written: (() => void) | null = null;

  /** Listens for errors and the end at once; data is read from {@link start} on. */
  constructor(stream: Duplex, owner: Owner, events: TransportEvents<Owner>) {
    this.owner = owner;
    this.events = events;
    this.#stream = stream;
    (stream as Listened)[kTransport] = this;
    stream.on('error', onError).on('end', onEnd).on('close', onClose);
    if (stream.closed) process.nextTick(events.close, owner);
    else if (stream.readableEnded) process.nextTick(events.end, owner);
  }

  /** Bytes of earlier writes are still here: the system's buffers are full. */
  get busy(): boolean {
    return this.#stream.writableLength > 0;
  }

  /** Bytes of earlier writes that are still here. */
  get pending(): number {
    return this.#stream.writableLength;
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
    this.#written ??= (): void => this.events.written(this.owner);
    const last = pieces.length - 1;
    if (last > 0) this.#stream.cork();
    for (let i = 0; i < last; i++) this.#stream.write(pieces[i]);
    this.#stream.write(pieces[last], this.#written);
    if (last > 0) this.#stream.uncork();
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
  const { events, owner } = (this as Listened)[kTransport];
  events.data(owner, chunk);
}

function onEnd(this: Duplex): void {
  const { events, owner } = (this as Listened)[kTransport];
  events.end(owner);
}

function onError(this: Duplex, error: Error): void {
  const { events, owner } = (this as Listened)[kTransport];
  events.error(owner, error);
}

function onClose(this: Duplex): void {
  const { events, owner } = (this as Listened)[kTransport];
  events.close(owner);
}
