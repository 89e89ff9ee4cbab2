/**
 * The outgoing side of one connection.
 *
 *     send() ─▶ SendQueue: free ─▶ endpoint ─▶ the end of the tick, or of a batch of input ─▶ transport
 *                   │ not free                      │ transport stalled
 *                   ▼                               ▼
 *                 queued                     kept in the endpoint: bytes are counted, control frames go first
 */
import type { MessageOpcode } from '../../protocol/opcode.js';
import type { PreparedMessage } from '../../protocol/prepared-message.js';
import { handled } from '../handled.js';
import type { Lifecycle } from '../lifecycle.js';
import { unchanged } from '../written-memory.js';
import { FlushWaits } from './flush-waits.js';
import { flushSoon, nextTurn, outputSpent, slices } from './output-turns.js';
import { affords, ENTRY_COST, PING_COST, WAITER_COST } from './send-limit.js';
import { SendQueue, Turn, type TurnHolder } from './send-queue.js';

/** From this size on, queued bytes do not wait for the end of the tick. */
const WRITE_NOW = 64 * 1024;
/** The transport is given about this much at a time, so that control frames can go in between. */
const FLUSH_SIZE = 256 * 1024;

/** Queues, flushes, and reports backpressure. */
export class Sender {
  /** While set, a batch of input is handled: the answers to it leave together at its end. */
  corked = false;
  readonly #life: Lifecycle;
  /** Made when a message has to wait. */
  #queue: SendQueue | null = null;
  #scheduled = false;
  /** FIN follows what is queued. */
  #finishing = false;
  /** Bytes that are flushed when the last Ping of the heartbeat is; -1 as long as that is queued. */
  #urgentEnd = 0;
  /** The last slice in which it has sent when that was used up, and how many bytes it had sent by then. */
  #slice = 0;
  #sentBefore = 0;
  /** Made when somebody has to wait until what was sent is flushed. */
  #waits: FlushWaits | null = null;

  constructor(life: Lifecycle) {
    this.#life = life;
  }

  /** Bytes that the application has given and that are not flushed. */
  get bufferedAmount(): number {
    return this.amount + (this.#queue?.fragmentsSize ?? 0);
  }

  /** Bytes that were sent and are not flushed. */
  get amount(): number {
    const { endpoint, transport } = this.#life;
    return endpoint.pending + transport.pending + (this.#queue?.size ?? 0);
  }

  /** The last Ping of the heartbeat has been flushed. */
  get urgentFlushed(): boolean {
    return this.#urgentEnd >= 0 && this.#life.transport.flushed >= this.#urgentEnd;
  }

  /** Sends a message after those that are queued; returns whether there is room for more. */
  send(opcode: MessageOpcode, data: string | Uint8Array, compress: boolean): boolean {
    const { endpoint } = this.#life;
    try {
      if (this.#queue === null || this.#queue.free) {
        const work = endpoint.send(opcode, data, true, compress);
        if (work !== undefined) this.#hold(work, Buffer.byteLength(data));
      } else {
        const size = Buffer.byteLength(data);
        const send = (queued: string | Uint8Array): void =>
          this.#hold(endpoint.send(opcode, queued, true, compress), size);
        this.queue.add({ size, start: () => send(unchanged(data, size)) });
      }
    } catch (error) {
      this.#life.onSourceFailure(error as Error);
    }
    return this.#room(data.length);
  }

  /** Sends a message that was framed before. */
  sendPrepared(message: PreparedMessage, compress: boolean): boolean {
    const { endpoint } = this.#life;
    // Throws when the caller has transferred its memory
    const size = message.bytes.length;
    try {
      if (this.#queue === null || this.#queue.free)
        this.#hold(endpoint.sendPrepared(message, compress), size);
      else this.queue.add({ size, start: () => this.#hold(endpoint.sendPrepared(message, compress), size) });
    } catch (error) {
      this.#life.onSourceFailure(error as Error);
    }
    return this.#room(message.data.length);
  }

  /** Sends a message of `size` bytes that `read` gets when its turn has come; later ones wait for it. */
  sendLater(
    opcode: MessageOpcode,
    size: number,
    read: () => Promise<Uint8Array>,
    compress: boolean,
  ): boolean {
    const send = async (): Promise<void> => {
      const data = await read();
      if (this.queue.turn === Turn.Work) await this.#life.endpoint.send(opcode, data, true, compress);
    };
    this.queue.add({ size, start: () => this.#hold(send(), size) });
    return this.#room(0);
  }

  /** Ends the turn of a writer's message. */
  release(writer: TurnHolder): void {
    this.queue.releaseWriter(writer);
    this.schedule();
  }

  /** Flushes a fragment of `size` bytes; resolves when that is done, and others had their turn. */
  async flushFragment(size: number): Promise<void> {
    const { endpoint, transport } = this.#life;
    this.flush();
    // Not drained(): messages may be queued that wait for this one
    // A write that has failed is never flushed: the end follows
    if (transport.stalled || transport.failed || endpoint.pending > 0) {
      await this.#flushWaits.wait(false);
    } else if (outputSpent(size)) await nextTurn();
  }

  /** Sends a Ping or Pong of the application; false when too many wait already, and the connection is lost. */
  control(send: () => void): boolean {
    const { endpoint, pings } = this.#life;
    if (!affords(this.#life, endpoint.urgentCost + pings.count * PING_COST)) return false;
    send();
    // What stays after a flush goes in front of messages, and counts
    if (endpoint.pending >= WRITE_NOW) this.flush();
    else this.schedule();
    return true;
  }

  /** Sends a Ping of the heartbeat. */
  ping(payload: Uint8Array): void {
    this.#life.endpoint.sendPing(payload);
    this.#urgentEnd = -1;
    this.schedule();
  }

  /** Something was queued that has to leave by the end of the tick. */
  schedule(): void {
    if (this.#scheduled || this.corked) return;
    this.#scheduled = true;
    flushSoon(this);
  }

  /** The time to flush that {@link schedule} has asked for. */
  onFlush(): void {
    this.#scheduled = false;
    this.flush();
  }

  /** Writes what is queued, unless the transport is stalled. */
  flush(): void {
    const { endpoint, transport } = this.#life;
    let stalled = transport.stalled;
    // Nothing reports that until the peer reads, which may be never
    if (stalled) transport.onEnded();
    if (!stalled && !transport.failed) this.#waits?.flushed();
    let left = endpoint.pending;
    while (left > 0 && !stalled) {
      const { given } = transport;
      const pieces = endpoint.take(FLUSH_SIZE);
      transport.write(pieces, left - endpoint.pending);
      left = endpoint.pending;
      stalled = transport.stalled;
      // A Ping goes in front: it is in the first part of this write
      if (this.#urgentEnd < 0) this.#urgentEnd = given + 1;
      if (left > 0 && !stalled && outputSpent(FLUSH_SIZE)) {
        this.schedule();
        break;
      }
    }
    endpoint.congested = stalled || left > 0;
    if (left > 0) return;
    this.#waits?.given(this.#nothingQueued);
    if (stalled || transport.failed) return;
    this.#waits?.flushed();
    if (this.#life.isOpen || this.amount > 0) return;
    this.#life.onAllFlushed();
    if (this.#finishing) transport.end();
  }

  /** Resolves once everything is flushed that was sent before; it loses the connection when too many calls wait. */
  drained(signal?: AbortSignal): Promise<void> {
    const { isOpen, transport } = this.#life;
    const flushed = this.amount === 0 && this.#nothingQueued && !transport.failed;
    // A 'drain' that is due comes first: who has waited may send again
    if (isOpen && flushed && this.#waits?.full !== true)
      return outputSpent(0) ? this.#flushWaits.turn() : Promise.resolve();
    const waiting = this.#waits === null ? 0 : this.#waits.count;
    if (!isOpen || !affords(this.#life, waiting * WAITER_COST))
      return handled(Promise.reject(this.#life.reason.error));
    this.schedule();
    return handled(this.#flushWaits.wait(true, signal));
  }

  /** Refuses new messages and rejects pending writers; `close` queues the Close frame after the messages in front of it. */
  close(close: () => void): void {
    const { reason } = this.#life;
    if (this.#queue === null) close();
    // The last fragment of a message that is ending may wait to be flushed: it is sent
    else if (this.#queue.close(reason.error, close)) this.#waits?.reject(reason.error);
    this.schedule();
  }

  /** A message that was under way when the connection began to close is aborted: only the Close frame can follow. */
  cut(close: () => void): void {
    this.end();
    close();
    this.schedule();
  }

  /** No message is sent any more: what is queued is dropped, and callers that wait are rejected. */
  end(): void {
    this.#queue?.drop(this.#life.reason.error);
    this.#waits?.reject(this.#life.reason.error);
  }

  /** Ends the outgoing side (FIN) once everything is flushed. */
  finish(): void {
    this.#finishing = true;
    this.flush();
  }

  /** The queue of messages that have to wait. */
  get queue(): SendQueue {
    this.#queue ??= new SendQueue(this.#life);
    return this.#queue;
  }

  /** No message waits for its turn, or for a fragment before it. */
  get #nothingQueued(): boolean {
    return this.#queue === null || this.#queue.isEmpty;
  }

  get #flushWaits(): FlushWaits {
    this.#waits ??= new FlushWaits(this.#life);
    return this.#waits;
  }

  /** Keeps the turn while a message is worked on in the thread pool. */
  #hold(work: Promise<void> | undefined, size: number): void {
    const done = work?.then(() => this.schedule());
    if (done !== undefined) this.queue.hold(done, size);
  }

  /**
   * A caller that sends as long as it is told that there is room, to a peer that reads fast, would keep the event loop
   * for itself: this connection has sent much in a slice that is used up. In a batch of input, that one's slice counts.
   */
  #sentEnough(size: number): boolean {
    if (this.corked || !outputSpent(size)) return false;
    const { endpoint, transport } = this.#life;
    // Before and after compression: each may be much less than the other
    const sent = endpoint.bytesSent + transport.given + endpoint.pending;
    if (this.#slice === slices) return sent - this.#sentBefore >= WRITE_NOW;
    this.#slice = slices;
    this.#sentBefore = sent;
    return false;
  }

  /** Bytes of memory, about, that what waits to be sent takes. */
  get #cost(): number {
    const { endpoint, transport } = this.#life;
    const waiting = endpoint.pending + endpoint.overhead + transport.pending;
    const queue = this.#queue;
    return queue === null ? waiting : waiting + queue.size + queue.count * ENTRY_COST;
  }

  /** That is `highWaterMark` or more. */
  get full(): boolean {
    return this.#cost >= this.#life.options.highWaterMark;
  }

  /** Has the queue flushed; returns whether there is room for more. */
  #room(size: number): boolean {
    if (this.#life.endpoint.pending >= WRITE_NOW) this.flush();
    else this.schedule();
    // The extension, or the flush, has failed
    if (!this.#life.isOpen) return false;
    const cost = this.#cost;
    if (cost < this.#life.options.highWaterMark && !this.#sentEnough(size)) return true;
    const waits = this.#flushWaits;
    // One message alone may be larger
    if (waits.full && !affords(this.#life, cost)) return false;
    waits.drain();
    this.schedule();
    return false;
  }
}
