/**
 * One direction of a TCP connection in memory.
 *
 *     write() ─▶ sender's kernel ─▶ in flight ─▶ receiver's kernel ─▶ read()
 *                 `buffer` bytes    delay, rate   `buffer` bytes
 *
 * FIN arrives after the bytes. A reset overtakes them, or follows them, as the program says.
 */
import type { VirtualClock } from './clock.js';
import { FrameTap } from './tap.js';

/** How a direction transports. */
export interface PathOptions {
  /** Milliseconds from end to end. */
  readonly delay: number;
  /** Bytes in a millisecond; 0 for no limit. */
  readonly rate: number;
  /** Bytes that each kernel holds. */
  readonly buffer: number;
  /** Bytes in a segment, at most; what arrives before it is read is joined up to 64 KiB when `join`. */
  readonly segment: number;
  readonly join: boolean;
}

/** The end that writes. */
export interface PathSender {
  /** The kernel has room again. */
  onRoom(): void;
  onReset(): void;
}

/** The end that reads. */
export interface PathReceiver {
  /** Something new is to be read: bytes, FIN or a reset. */
  onReadable(): void;
}

const JOINED = 64 * 1024;
/** Segments are as small as the program wants for so long only: a large message takes bounded time. */
const FINE_SEGMENTS = 200;
const COARSE_SEGMENT = 4096;

/** Transports bytes one way. */
export class Path {
  sender: PathSender | null = null;
  receiver: PathReceiver | null = null;
  readonly tap: FrameTap;
  /** Bytes that the receiver has read. */
  pulled = 0;
  /** When bytes left the sender's kernel last: its peer acknowledged them. */
  acknowledgedAt = Number.NEGATIVE_INFINITY;
  /** When a Ping was accepted last. */
  pingedAt = Number.NEGATIVE_INFINITY;
  /** Nothing was ever held up by the program: no stall, no cut. */
  untouched = true;
  /** The receiver was reset: what it has not read yet is gone, or is read first. */
  reset: 'no' | 'pending' | 'seen' = 'no';
  readonly #clock: VirtualClock;
  readonly #options: PathOptions;
  readonly #unsent: Buffer[] = [];
  #unsentSize = 0;
  #inFlight = 0;
  readonly #arrived: Buffer[] = [];
  #arrivedSize = 0;
  #finSent: 'no' | 'queued' | 'sent' = 'no';
  #finArrived = false;
  /** When the line is free, in bytes since the beginning of time. */
  #lineFree = 0;
  #lastArrival = 0;
  #segments = 0;
  #sending = false;
  #stalled = false;
  #dead = false;
  /** Nothing leaves the sender's kernel any more. */
  #cut = false;
  /** The receiver is gone: what arrives is answered by a reset. */
  #closed = false;

  constructor(clock: VirtualClock, options: PathOptions, tap: FrameTap) {
    this.#clock = clock;
    this.#options = options;
    this.tap = tap;
  }

  /** Bytes that the sender's kernel has room for; a writer that waits is not woken for a few. */
  get room(): number {
    const { buffer } = this.#options;
    const room = buffer - this.#unsentSize - this.#inFlight;
    return room < buffer >> 2 ? 0 : room;
  }

  /** Bytes that wait in the receiver's kernel. */
  get readable(): number {
    return this.#arrivedSize;
  }

  /** Nothing is on its way. */
  get quiet(): boolean {
    return this.#cut || (this.#unsentSize + this.#inFlight === 0 && this.#finSent !== 'queued');
  }

  /** FIN or a reset has been read, or the direction is out of use. */
  get ended(): boolean {
    return this.#finArrived || this.reset !== 'no' || this.#dead || this.#closed;
  }

  /** Copies `bytes` into the sender's kernel: the caller may overwrite them from here on. */
  write(bytes: Buffer): void {
    if (bytes.length === 0) return;
    const copy = Buffer.from(bytes);
    const { pings } = this.tap;
    this.tap.push(copy);
    if (this.tap.pings > pings) this.pingedAt = this.#clock.now;
    if ((this.#dead && !this.#cut) || this.#finSent !== 'no') return;
    this.#unsent.push(copy);
    this.#unsentSize += copy.length;
    this.#send();
  }

  /** The network ends this direction, without the knowledge of its sender. */
  injectFin(): void {
    this.untouched = false;
    this.fin();
  }

  /** The network resets this direction, without the knowledge of its sender. */
  injectReset(lossy: boolean): void {
    this.untouched = false;
    this.abort(lossy);
  }

  fin(): void {
    if (this.#finSent !== 'no') return;
    this.#finSent = 'queued';
    this.#send();
  }

  /** Nothing moves for `ms`. */
  stall(ms: number): void {
    this.untouched = false;
    this.#stalled = true;
    this.#clock.schedule(ms, () => {
      this.#stalled = false;
      this.#send();
    });
  }

  /** Nothing moves any more, and neither end learns of it. */
  cut(): void {
    this.untouched = false;
    this.#cut = true;
    this.#dead = true;
  }

  /** The receiver gets a reset, after what is on its way, or instead of it and of what it has not read. */
  abort(lossy: boolean): void {
    if (this.#dead) return;
    const arrive = (): void => {
      if (this.reset !== 'no') return;
      if (lossy) {
        this.#arrived.length = 0;
        this.#arrivedSize = 0;
      }
      this.reset = 'pending';
      this.receiver?.onReadable();
    };
    if (lossy) this.#drop();
    this.#finSent = 'sent';
    const wait = lossy
      ? this.#options.delay
      : Math.max(this.#options.delay, this.#lastArrival - this.#clock.now);
    this.#clock.schedule(wait, arrive);
  }

  /** The receiver does not read any more; its kernel answers what comes by a reset. */
  close(): void {
    this.#closed = true;
    this.#arrived.length = 0;
    this.#arrivedSize = 0;
    this.receiver = null;
    this.#send();
  }

  /** The next bytes for the receiver; 'end' after the last of them, null when there is nothing to read. */
  read(): Buffer | 'end' | 'reset' | null {
    if (this.#arrivedSize > 0) {
      const chunk = this.#take();
      this.pulled += chunk.length;
      this.#send();
      return chunk;
    }
    if (this.reset !== 'no') {
      this.reset = 'seen';
      return 'reset';
    }
    return this.#finArrived ? 'end' : null;
  }

  #take(): Buffer {
    const first = this.#arrived.shift()!;
    this.#arrivedSize -= first.length;
    if (!this.#options.join || this.#arrived.length === 0) return first;
    const parts = [first];
    let size = first.length;
    while (this.#arrived.length > 0 && size + this.#arrived[0]!.length <= JOINED) {
      const next = this.#arrived.shift()!;
      parts.push(next);
      size += next.length;
      this.#arrivedSize -= next.length;
    }
    return Buffer.concat(parts);
  }

  #drop(): void {
    this.#unsent.length = 0;
    this.#unsentSize = 0;
  }

  /** Puts segments on the line, as long as the line is free and the receiver has room. */
  #send(): void {
    while (!this.#sending && !this.#stalled && !this.#dead && this.#unsentSize > 0 && this.#sendSegment());
    if (this.#unsentSize === 0 && this.#inFlight === 0 && this.#finSent === 'queued') this.#sendFin();
  }

  /** False when the receiver has no room. */
  #sendSegment(): boolean {
    const { buffer, delay, rate, segment } = this.#options;
    const window = this.#closed ? COARSE_SEGMENT : buffer - this.#arrivedSize - this.#inFlight;
    const fine = ++this.#segments > FINE_SEGMENTS ? Math.max(segment, COARSE_SEGMENT) : segment;
    // RFC 9293 §3.8.6.2.1: no small segment because the window is small
    if (window < Math.min(this.#unsentSize, fine, buffer >> 1)) return false;
    const first = this.#unsent[0]!;
    const slow = rate > 0 ? Math.max(1, rate * 50) : fine;
    const bytes = first.subarray(0, Math.min(first.length, window, fine, slow));
    if (bytes.length === first.length) this.#unsent.shift();
    else this.#unsent[0] = first.subarray(bytes.length);
    this.#unsentSize -= bytes.length;
    this.#inFlight += bytes.length;
    const { now } = this.#clock;
    let sent = now;
    if (rate > 0) {
      // In whole bytes, not in fractions of a millisecond: their error depends on what the clock says
      this.#lineFree = Math.max(now * rate, this.#lineFree) + bytes.length;
      sent = Math.ceil(this.#lineFree / rate);
    }
    this.#lastArrival = Math.max(this.#lastArrival, sent + delay);
    this.#clock.schedule(this.#lastArrival - now, () => this.#arrive(bytes));
    if (rate > 0) {
      this.#sending = true;
      this.#clock.schedule(sent - now, () => {
        this.#sending = false;
        this.#send();
      });
    }
    return true;
  }

  #sendFin(): void {
    this.#finSent = 'sent';
    this.#clock.schedule(this.#options.delay, () => {
      this.#finArrived = true;
      this.receiver?.onReadable();
    });
  }

  #arrive(bytes: Buffer): void {
    this.#inFlight -= bytes.length;
    if (this.#dead || this.reset !== 'no') return;
    if (this.#closed) {
      this.#drop();
      this.#dead = true;
      this.sender?.onReset();
      return;
    }
    this.#arrived.push(bytes);
    this.#arrivedSize += bytes.length;
    this.acknowledgedAt = this.#clock.now;
    this.receiver?.onReadable();
    this.sender?.onRoom();
    this.#send();
  }
}

/** Both directions between a client and a server. */
export interface Cable {
  /** From the server (side a) to the client (side b). */
  readonly down: Path;
  readonly up: Path;
}

export function makeCable(clock: VirtualClock, options: PathOptions, http: boolean): Cable {
  return {
    down: new Path(clock, options, new FrameTap(false, http)),
    up: new Path(clock, options, new FrameTap(true, http)),
  };
}
