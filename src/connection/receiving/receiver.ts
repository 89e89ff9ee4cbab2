/**
 * The incoming side of one connection: pulls events from the endpoint as long as a consumer wants them.
 *
 * A data event that nobody has asked for is held: pulling stops, and so does reading. Control frames in front of it
 * are handled all the same. A user's pause, a slow reader and an extension at work are one and the same thing.
 */
import { ProtocolError } from '../../errors.js';
import { CloseCode } from '../../protocol/close-code.js';
import { EndpointEvent } from '../../protocol/endpoint.js';
import { sliceOver, type Waiting, waitForTurn } from '../../turn.js';
import type { Lifecycle } from '../lifecycle.js';
import { throwLater } from '../listener-context.js';
import { Assembly, wholeMessage } from './assembly.js';
import { checkMode, Mode } from './consumption.js';
import { Inbox } from './inbox.js';
import { limitCollected, limitStreamed } from './receive-limits.js';

/** Input up to this size is handled in less time than waiting for a turn, and pausing meanwhile, would take. */
const LITTLE = 2 * 1024;

/** Pulls events and delivers messages. */
export class Receiver implements Waiting {
  /** A data event is held, as no consumer has asked for it. */
  holding = false;
  /** Reading is paused: what the peer has sent since is not read. */
  unread = false;
  /** There is input left, but other connections have their turn first. */
  yielding = false;
  behind: Waiting | null = null;
  readonly life: Lifecycle;
  #mode: number = Mode.Undecided;
  #paused = false;
  /** {@link start} was called. */
  #started = false;
  /** Events are being pulled: what a listener calls meanwhile pulls none itself. */
  #pumping = false;
  /** The input that is left came in one small chunk. */
  #little = false;
  /** Data is read and dropped. */
  #discarding = false;
  /** Nothing is pulled any more. */
  #stopped = false;
  /** No more input will come. */
  #ended = false;
  /** The end of the input is reported in a later turn. */
  #reporting = false;
  /** Made for the first message that comes in parts. */
  #assembly: Assembly | null = null;
  #inbox: Inbox | null = null;

  constructor(life: Lifecycle) {
    this.life = life;
  }

  /** A consumer may still ask for the data that is held, however late; or the application has paused it. */
  get awaited(): boolean {
    if (this.#mode === Mode.Undecided) return this.#paused;
    return this.#mode === Mode.Events || !this.#inbox!.left || this.#inbox!.reading;
  }

  /** The consumer is reading a message that was received whole. */
  get hasWhole(): boolean {
    return !this.#discarding && this.#inbox !== null && this.#inbox.hasWhole;
  }

  /** Begins to handle what was received; until then nothing is emitted, not even the end. */
  start(): void {
    this.#started = true;
    this.pump();
  }

  /** Accepts received bytes. */
  push(chunk: Buffer): void {
    if (this.#stopped) return;
    this.life.endpoint.push(chunk);
    this.#little = !this.yielding && chunk.length <= LITTLE;
    if (this.yielding) this.#setUnread(true);
    else this.pump();
  }

  /** No more input will come; the end is reported to the life cycle after all that was received is handled. */
  end(): void {
    this.#ended = true;
    if (this.#stopped) this.life.onInputHandled();
    else this.pump();
  }

  /** Messages are consumed by events from here on; throws when they are pulled already. */
  listen(): void {
    if (this.#mode === Mode.Events) return;
    checkMode(this.#mode, Mode.Events);
    this.#mode = Mode.Events;
    if (!this.#discarding) limitCollected(this.life);
    // Listeners that are added in the same tick have to see the first message as well
    process.nextTick(() => this.pump());
  }

  /** Messages are pulled from here on; throws when they are consumed by events already. */
  get inbox(): Inbox {
    if (this.#inbox !== null) return this.#inbox;
    checkMode(this.#mode, Mode.Pull);
    this.#mode = Mode.Pull;
    this.#inbox = new Inbox(this);
    if (this.#stopped) this.#inbox.end(this.life.reason.readError);
    else if (!this.#discarding) limitStreamed(this.life);
    return this.#inbox;
  }

  /** Holds the messages of event listeners, of which the first may be to come; throws when they are pulled. */
  pause(): void {
    if (this.#mode !== Mode.Undecided) checkMode(this.#mode, Mode.Events);
    this.#paused = true;
  }

  /** Lets them go. */
  resume(): void {
    this.listen();
    this.#paused = false;
    this.pump();
  }

  /** A consumer has left, or has read the message that it still had. */
  onLeft(): void {
    if (this.#inbox!.left && !this.#inbox!.reading) this.life.onConsumerLeft();
  }

  /** Drops all data from here on; control frames are still handled. */
  discard(): void {
    if (this.#discarding) return;
    this.#discarding = true;
    this.#assembly?.drop();
    this.#inbox?.fail(this.life.reason.error);
    this.life.endpoint.discard();
    this.pump();
  }

  /** Nothing is pulled any more, also not the control frames that were received. */
  stop(): void {
    this.#stopped = true;
    this.#discarding = true;
    this.holding = false;
    this.#assembly?.drop();
  }

  /** The connection is over: pending reads reject, unless it was closed in the clean way between two messages. */
  close(): void {
    this.stop();
    this.#inbox?.close(this.life.reason);
  }

  /** Handles what was received, as far as a consumer wants it. */
  pump(): void {
    if (!this.#started || this.#pumping || this.yielding || this.#stopped) return;
    this.life.context.run(pumpBatch, this);
  }

  /** @internal */
  pumpBatch(): void {
    this.#pumping = true;
    this.life.sender.corked = true;
    let reading: boolean | null = null;
    try {
      reading = this.#pumpAll();
    } catch (error) {
      // The remaining messages are handled in a later turn
      throwLater(error);
      if (!this.#stopped) this.#pumpSoon();
    }
    this.#pumping = false;
    this.life.sender.corked = false;
    this.life.sender.flush();
    if (this.#stopped || reading === null) return;
    if (reading && this.#ended) this.#reportEnd();
    else this.#setUnread(!reading);
  }

  /** A consumer that pulls has the last message only when its promise has settled: the end comes after that. */
  #reportEnd(): void {
    if (this.#inbox === null || this.#discarding) this.life.onInputHandled();
    else if (!this.#reporting) {
      this.#reporting = true;
      setImmediate(() => {
        this.#reporting = false;
        if (!this.#stopped && !this.holding) this.life.onInputHandled();
      });
    }
  }

  /** Pulls event after event; returns whether more input is wanted, or null to go on as before. */
  #pumpAll(): boolean | null {
    const { endpoint } = this.life;
    for (;;) {
      let size = 0;
      if (this.holding) {
        size = endpoint.end - endpoint.start;
        if (!this.#deliver()) return false;
      }
      if (sliceOver(size, this.#little)) {
        this.#pumpSoon();
        return this.#little ? null : false;
      }
      switch (this.#next()) {
        case EndpointEvent.NeedData:
          return true;
        case EndpointEvent.Data:
          this.holding = true;
          continue;
        case EndpointEvent.Ping:
          this.life.emitter.emit('ping', endpoint.control);
          break;
        case EndpointEvent.Pong:
          this.#onPong(endpoint.control);
          break;
        case EndpointEvent.Close:
          this.life.onPeerClose();
          break;
        case EndpointEvent.Busy:
          return false;
      }
    }
  }

  #onPong(payload: Buffer): void {
    const { pings, transport } = this.life;
    transport.onArrived(pings.received(payload));
    this.life.emitter.emit('pong', payload);
  }

  #next(): EndpointEvent {
    if (this.#stopped) return EndpointEvent.NeedData;
    try {
      return this.life.endpoint.next();
    } catch (error) {
      this.fail(error as Error);
      return EndpointEvent.NeedData;
    }
  }

  /** Delivers the current data event; returns false, leaving it held, when no consumer wants it. */
  #deliver(): boolean {
    if (this.#mode !== Mode.Events || this.#discarding) return this.#offer();
    if (this.#paused) return false;
    this.holding = false;
    const { emitter, endpoint } = this.life;
    endpoint.countDelivered();
    let message: string | Buffer | undefined;
    try {
      const whole = endpoint.first && endpoint.last;
      if (!whole) this.#assembly ??= new Assembly();
      message = whole ? wholeMessage(endpoint) : this.#assembly!.add(endpoint);
    } catch (error) {
      // A listener has transferred memory that it lies in
      this.fail(error as Error);
    }
    if (typeof message === 'string') emitter.emit('message', message, 'text');
    else if (message !== undefined) emitter.emit('message', message, 'binary');
    return true;
  }

  /** Delivers it to a consumer that pulls, or drops it while discarding. */
  #offer(): boolean {
    try {
      if (!this.#discarding && this.#inbox?.offer(this.life.endpoint) !== true) return false;
    } catch (error) {
      this.fail(error as Error);
    }
    this.holding = false;
    if (!this.#discarding) this.life.endpoint.countDelivered();
    return true;
  }

  /** Fails the connection (§7.1.7), for a violation by the peer or an error of an extension. */
  fail(error: Error): void {
    const { endpoint } = this.life;
    if (error instanceof ProtocolError) endpoint.fail(error.closeCode, error.closeReason);
    else endpoint.fail(CloseCode.InternalError, '');
    this.life.onFailure(error);
  }

  #setUnread(unread: boolean): void {
    this.unread = unread;
    if (unread) this.life.transport.pause();
    else this.life.transport.resume();
  }

  #pumpSoon(): void {
    this.yielding = true;
    waitForTurn(this);
  }

  /** Goes on in a later turn of the event loop. */
  onTurn(): void {
    this.yielding = false;
    this.pump();
  }
}

function pumpBatch(receiver: Receiver): void {
  receiver.pumpBatch();
}
