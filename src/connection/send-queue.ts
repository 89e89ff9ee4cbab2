/**
 * What waits to be sent, and when it leaves.
 *
 *     send() ─▶ endpoint ─▶ end of the tick, or of the read batch ─▶ one write
 *                 │                                    │ system's buffers full
 *                 │ a writer's message is open         ▼
 *                 └▶ deferred, in order            held here until they are empty: Pongs coalesce, bytes are counted
 */
import { WebSocketError } from '../errors.js';
import type { Endpoint } from '../protocol/endpoint.js';
import type { MessageOpcode } from '../protocol/opcode.js';
import type { PreparedMessage } from '../protocol/prepared-message.js';

/** From so many bytes on, a write is not put off to the end of the tick. */
const WRITE_NOW = 64 * 1024;

/** A writer whose bytes leave at once gives others a turn after so many. */
const MOST_UNBROKEN = 1024 * 1024;

/** The part of a transport that a queue uses. */
export interface Outlet {
  readonly busy: boolean;
  readonly pending: number;
  write(pieces: readonly Buffer[]): void;
  end(): void;
}

/** The limits of a queue, in bytes. */
export interface SendLimits {
  readonly highWaterMark: number;
  readonly maxBufferedAmount: number;
}

/** Who has a queue. */
export interface SendQueueOwner {
  /** Everything has left, after a `send()` that returned false. */
  onDrain(): void;
  /** The peer does not read, and the application goes on to send. */
  onQueueFull(error: Error): void;
  /** The source or the extension of a message failed. */
  onSendFailed(error: Error): void;
}

/** A message that waits for its turn. */
interface Deferred {
  readonly size: number;
  readonly start: () => void;
  /** Of a writer's message, which can be given up as long as it is not begun. */
  readonly cancel: ((error: Error) => void) | undefined;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** The outgoing side of one connection. */
export class SendQueue {
  /** While set, a batch of input is handled: its answers leave together at its end. */
  corked = false;
  /** Why nothing can be sent any more, or null. */
  ended: Error | null = null;
  #scheduled = false;
  /** A `send()` returned false, and 'drain' is owed. */
  #full = false;
  /** Who waits for everything to have left is told soon. */
  #draining = false;
  /** Bytes of fragments that left since the event loop last turned. */
  #unbroken = 0;
  #finishing = false;
  /** A message is under way and the others wait: "fragments ... MUST NOT be interleaved" (§5.4). */
  #locked = false;
  /** It is a writer's; else it is read from a Blob, or an extension works on it. */
  #writing = false;
  /** Bytes of the message that is read or worked on. */
  #workSize = 0;
  #deferred: Deferred[] = [];
  #deferredSize = 0;
  /** The writer that waits until its fragment has left. */
  #writer: Waiter | null = null;
  /** Who waits until everything has left. */
  #waiters: Waiter[] = [];
  readonly #endpoint: Endpoint;
  readonly #outlet: Outlet;
  readonly #owner: SendQueueOwner;
  readonly #limits: SendLimits;

  constructor(endpoint: Endpoint, outlet: Outlet, owner: SendQueueOwner, limits: SendLimits) {
    this.#endpoint = endpoint;
    this.#outlet = outlet;
    this.#owner = owner;
    this.#limits = limits;
  }

  /** Bytes that were sent and have not left yet. */
  get amount(): number {
    return this.#endpoint.pending + this.#outlet.pending + this.#deferredSize + this.#workSize;
  }

  /** Sends a message, behind those that wait; returns whether there is room for more. */
  send(opcode: MessageOpcode, data: string | Uint8Array, compress: boolean): boolean {
    if (this.#locked) {
      const size = Buffer.byteLength(data);
      this.#defer(size, () => this.#follow(this.#endpoint.send(opcode, data, true, compress), size));
    } else {
      const work = this.#endpoint.send(opcode, data, true, compress);
      if (work !== undefined) this.#follow(work, Buffer.byteLength(data));
    }
    return this.#room();
  }

  /** Sends a message that was framed before. */
  sendPrepared(message: PreparedMessage, compress: boolean): boolean {
    if (this.#locked) {
      const size = Buffer.byteLength(message.data);
      this.#defer(size, () => this.#follow(this.#endpoint.sendPrepared(message, compress), size));
    } else {
      const work = this.#endpoint.sendPrepared(message, compress);
      if (work !== undefined) this.#follow(work, Buffer.byteLength(message.data));
    }
    return this.#room();
  }

  /** Sends a message of `size` bytes that are still to come; later ones wait for it. */
  sendLater(opcode: MessageOpcode, size: number, data: Promise<Uint8Array>, compress: boolean): boolean {
    const send = async (): Promise<void> => {
      const bytes = await data;
      if (!this.#endpoint.closing.sent) await this.#endpoint.send(opcode, bytes, true, compress);
    };
    this.#defer(size, () => this.#follow(send(), size));
    return this.#room();
  }

  /** Waits for the turn of a writer's message, which ends with {@link release}. */
  acquire(): Promise<void> {
    if (this.ended !== null) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => {
      const start = (): void => {
        this.#locked = true;
        this.#writing = true;
        resolve();
      };
      this.#defer(0, start, reject);
    });
  }

  /** Ends the turn of a writer's message. */
  release(): void {
    if (this.#writing) this.#unlock();
  }

  /** Sends a fragment of the message whose turn it is; resolves when its bytes have left. */
  async fragment(opcode: MessageOpcode, data: string | Uint8Array, fin: boolean): Promise<void> {
    if (this.ended !== null) throw this.ended;
    await this.#endpoint.send(opcode, data, fin);
    this.flush();
    if (!this.#outlet.busy) {
      this.#unbroken += Buffer.byteLength(data);
      if (this.#unbroken < MOST_UNBROKEN) return;
      this.#unbroken = 0;
      await new Promise((resolve) => setImmediate(resolve));
      return;
    }
    this.#unbroken = 0;
    // Not drained(): messages may be deferred that wait for this one
    await new Promise<void>((resolve, reject) => {
      this.#writer = { resolve, reject };
    });
  }

  /** Something was laid down that is to leave by the end of the tick. */
  schedule(): void {
    if (this.#scheduled || this.corked) return;
    this.#scheduled = true;
    process.nextTick(flushScheduled, this);
  }

  /** Writes what is laid down, unless the system still has no room for what came before. */
  flush(): void {
    this.#scheduled = false;
    if (this.#outlet.busy) return;
    if (this.#endpoint.pending > 0) this.#outlet.write(this.#endpoint.take());
    this.#endpoint.congested = this.#outlet.busy;
    if (!this.#endpoint.congested) this.#drain();
  }

  /** Resolves once everything has left. */
  drained(): Promise<void> {
    if (this.ended !== null) return Promise.reject(this.ended);
    if (this.amount === 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /**
   * Nothing new is taken: writers' messages are given up, and `start` is called behind the others, to send the
   * Close frame.
   */
  close(error: Error, start: () => void): void {
    this.ended = error;
    const deferred = this.#deferred;
    this.#deferred = deferred.filter((one) => one.cancel === undefined);
    for (const one of deferred) one.cancel?.(error);
    this.#writer?.reject(error);
    this.#writer = null;
    this.release();
    this.#defer(0, start);
  }

  /** The connection is over: what waits is dropped, who waits is told. */
  end(error: Error): void {
    this.ended ??= error;
    const deferred = this.#deferred;
    const waiters = this.#waiters;
    this.#deferred = [];
    this.#deferredSize = 0;
    this.#workSize = 0;
    this.#full = false;
    this.#waiters = [];
    for (const one of deferred) one.cancel?.(error);
    for (const one of waiters) one.reject(error);
    this.#writer?.reject(error);
    this.#writer = null;
  }

  /** Ends the outgoing side (FIN) once everything has left. */
  finish(): void {
    this.#finishing = true;
    this.flush();
  }

  #defer(size: number, start: () => void, cancel?: (error: Error) => void): void {
    this.#deferred.push({ size, start, cancel });
    this.#deferredSize += size;
    this.#startDeferred();
  }

  #startDeferred(): void {
    while (!this.#locked) {
      const next = this.#deferred.shift();
      if (next === undefined) break;
      this.#deferredSize -= next.size;
      next.start();
    }
    this.schedule();
  }

  /** Keeps the turn while a message is worked on elsewhere. */
  #follow(work: Promise<void> | undefined, size: number): void {
    if (work === undefined) return;
    this.#locked = true;
    this.#workSize = size;
    work
      .catch((error: Error) => this.#owner.onSendFailed(error))
      .finally(() => {
        this.#workSize = 0;
        this.#unlock();
      });
  }

  #unlock(): void {
    this.#locked = false;
    this.#writing = false;
    this.#startDeferred();
  }

  /** Has what is queued written, and tells whether there is room for more. */
  #room(): boolean {
    if (this.#endpoint.pending >= WRITE_NOW) this.flush();
    else this.schedule();
    const { amount } = this;
    if (amount < this.#limits.highWaterMark) return true;
    if (this.#full && amount > this.#limits.maxBufferedAmount) {
      this.#owner.onQueueFull(
        new WebSocketError('ERR_SEND_QUEUE_FULL', `The peer leaves ${amount} bytes unread`),
      );
    }
    this.#full = true;
    return false;
  }

  /** All that was laid down has left. */
  #drain(): void {
    this.#writer?.resolve();
    this.#writer = null;
    if (!this.#full && !this.#finishing && this.#waiters.length === 0) return;
    if (this.amount > 0) return;
    if (this.#finishing) this.#outlet.end();
    if ((!this.#full && this.#waiters.length === 0) || this.#draining) return;
    this.#draining = true;
    setImmediate(tellDrained, this);
  }

  /** In a turn of its own: who sends on at once would keep the event loop from everybody else. */
  tellDrained(): void {
    this.#draining = false;
    if (this.amount > 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.resolve();
    if (!this.#full) return;
    this.#full = false;
    this.#owner.onDrain();
  }
}

function tellDrained(queue: { tellDrained(): void }): void {
  queue.tellDrained();
}

function flushScheduled(queue: { flush(): void }): void {
  queue.flush();
}
