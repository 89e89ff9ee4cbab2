/**
 * The incoming side of one connection: pulls events from the endpoint and hands them to who wants them.
 *
 *     undecided ── on('message') ──▶ events     whole messages; pause() and resume() hold the flow
 *         └─ receive(), iteration ─▶ pull       message by message, chunk by chunk
 *
 * Data that nobody wants yet is held: pulling stops, and with it reading. Control frames in front of it are
 * handled all the same. A user's pause, a slow reader and an extension at work are one and the same thing.
 */
import { ProtocolError, WebSocketError } from '../errors.js';
import { CloseCode } from '../protocol/close-code.js';
import { type Endpoint, EndpointEvent } from '../protocol/endpoint.js';
import { MessageAssembler } from '../protocol/message-assembler.js';
import { Opcode } from '../protocol/opcode.js';
import { violation } from '../protocol/violation.js';
import { sliceOver, type Waiting, waitForTurn } from '../turn.js';
import { Inbox } from './inbox.js';
import type { MessageType } from './message-reader.js';
import { type Assembler, decode, TextAssembler } from './text-assembler.js';

/** Who has an incoming side. */
export interface IncomingOwner {
  onMessage(data: string | Buffer, type: MessageType): void;
  onPing(payload: Buffer): void;
  onPong(payload: Buffer): void;
  /** The peer's Close frame came, and was answered. */
  onPeerClose(): void;
  /** The peer broke a rule, or an extension failed; the endpoint has failed the connection. */
  onFailed(error: Error): void;
  /** A batch of input begins or ends: answers to it leave together. */
  onBatch(begins: boolean): void;
  /** Whether to go on reading from the socket: nothing is at hand any more, or more than enough. */
  onReading(on: boolean): void;
}

/** The limits of what is received, in bytes. */
export interface ReceiveLimits {
  readonly maxMessageSize: number;
  readonly maxStreamSize: number;
}

/** So many bytes are handled in less time than it takes to have them wait, and to stop reading meanwhile. */
const LITTLE = 2 * 1024;

/** Who consumes the messages; fixed by the first use. */
const Mode = { Undecided: 0, Events: 1, Pull: 2 } as const;

/** Pulls events while somebody wants them. */
export class Incoming implements Waiting {
  /** A data event is at hand that nobody wants yet. */
  held = false;
  /** Something is at hand, but others have their turn first. */
  yielding = false;
  behind: Waiting | null = null;
  #mode: number = Mode.Undecided;
  #paused = false;
  #pumping = false;
  /** What is at hand came in one small chunk. */
  #little = false;
  #discarding = false;
  /** Of the message at hand, when it comes in parts. */
  #assembler: Assembler<string | Buffer> | null = null;
  #inbox: Inbox | null = null;
  readonly #endpoint: Endpoint;
  readonly #owner: IncomingOwner;
  readonly #limits: ReceiveLimits;

  constructor(endpoint: Endpoint, owner: IncomingOwner, limits: ReceiveLimits) {
    this.#endpoint = endpoint;
    this.#owner = owner;
    this.#limits = limits;
  }

  /** Takes received bytes. */
  push(chunk: Buffer): void {
    this.#endpoint.push(chunk);
    this.#little = !this.yielding && chunk.length <= LITTLE;
    if (this.yielding) this.#owner.onReading(false);
    else this.pump();
  }

  /** Messages are consumed by events from here on; throws when they are pulled already. */
  listen(): void {
    if (this.#mode === Mode.Events) return;
    if (this.#mode === Mode.Pull) {
      throw new WebSocketError(
        'ERR_CONSUMPTION',
        'Tried to listen for messages that are read by receive() or iteration',
      );
    }
    this.#mode = Mode.Events;
    this.#limit(this.#limits.maxMessageSize);
    process.nextTick(pumpNow, this);
  }

  /** Messages are pulled from here on; throws when they are consumed by events already. */
  get inbox(): Inbox {
    if (this.#mode === Mode.Events) {
      throw new WebSocketError(
        'ERR_CONSUMPTION',
        "Tried to receive messages that 'message' listeners consume",
      );
    }
    this.#mode = Mode.Pull;
    const { maxMessageSize, maxStreamSize } = this.#limits;
    this.#inbox ??= new Inbox(
      {
        demand: (): void => this.pump(),
        limit: (most): ProtocolError | null => this.#limit(most),
        fail: (error): void => this.#fail(error),
      },
      maxMessageSize,
      maxStreamSize,
    );
    return this.#inbox;
  }

  /** Holds the messages of event listeners back, or lets them go. */
  pause(on: boolean): void {
    this.#paused = on;
    if (!on) this.pump();
  }

  /** Drops all data from here on. */
  discard(): void {
    this.#discarding = true;
    this.#assembler = null;
    this.pump();
  }

  /** The connection is over; see {@link Inbox.end}. */
  end(error: Error | null, unread: Error): void {
    this.#discarding = true;
    this.#assembler = null;
    if (this.#mode !== Mode.Events) this.inbox.end(error, unread);
  }

  /** Handles what was received, as far as somebody wants it. */
  pump(): void {
    if (this.#pumping || this.yielding) return;
    this.#pumping = true;
    this.#owner.onBatch(true);
    let threw = true;
    let reading: boolean | null = null;
    try {
      reading = this.#pumpAll();
      threw = false;
    } finally {
      this.#pumping = false;
      this.#owner.onBatch(false);
      // What a listener throws is its own business; the next messages are not to be lost with it
      if (threw) this.#pumpSoon();
    }
    if (reading !== null) this.#owner.onReading(reading);
  }

  /** Pulls event after event; returns whether more input is wanted, or null to go on as before. */
  #pumpAll(): boolean | null {
    const endpoint = this.#endpoint;
    for (;;) {
      let size = 0;
      if (this.held) {
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
          this.held = true;
          continue;
        case EndpointEvent.Ping:
          this.#owner.onPing(endpoint.control);
          break;
        case EndpointEvent.Pong:
          this.#owner.onPong(endpoint.control);
          break;
        case EndpointEvent.Close:
          this.#owner.onPeerClose();
          break;
        case EndpointEvent.Busy:
          return false;
      }
    }
  }

  #next(): EndpointEvent {
    try {
      return this.#endpoint.next();
    } catch (error) {
      this.#fail(error as Error);
      return EndpointEvent.NeedData;
    }
  }

  /** Hands the data event at hand to who wants it; false, and it stays held, when nobody does. */
  #deliver(): boolean {
    const endpoint = this.#endpoint;
    if (this.#discarding) this.held = false;
    else if (this.#mode === Mode.Events) {
      if (this.#paused) return false;
      this.held = false;
      this.#assemble(endpoint);
    } else this.held = this.#inbox === null || !this.#inbox.offer(endpoint);
    return !this.held;
  }

  /** Whole messages: one that lies in one buffer is handed over as a view of it. */
  #assemble(endpoint: Endpoint): void {
    const { chunk, start, end, first, last, ascii } = endpoint;
    const text = endpoint.opcode === Opcode.Text;
    let message: string | Buffer;
    if (first && last) message = text ? decode(chunk, start, end, ascii) : chunk.subarray(start, end);
    else {
      if (first) this.#assembler = text ? new TextAssembler() : new MessageAssembler();
      const assembler = this.#assembler!;
      assembler.add(chunk, start, end, ascii);
      if (!last) return;
      this.#assembler = null;
      message = assembler.take(ascii);
    }
    this.#owner.onMessage(message, text ? 'text' : 'binary');
  }

  /** Sets the size limit, also of the message at hand: the error when that is over it. */
  #limit(most: number): ProtocolError | null {
    this.#endpoint.maxMessageSize = most;
    const { received } = this.#endpoint;
    if (received <= most) return null;
    const error = violation('messageTooBig', `${received} bytes`);
    this.#fail(error);
    return error;
  }

  #fail(error: Error): void {
    if (error instanceof ProtocolError) this.#endpoint.fail(error.closeCode, error.message);
    else this.#endpoint.fail(CloseCode.InternalError, '');
    this.#discarding = true;
    this.#owner.onFailed(error);
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

function pumpNow(incoming: { pump(): void }): void {
  incoming.pump();
}
