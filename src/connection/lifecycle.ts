/** The life of a connection, RFC 6455 §7: what each event does in each state, as the table of `life.ts` says. */
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { CloseCode } from '../protocol/close-code.js';
import type { CloseInfo } from '../protocol/closing-handshake.js';
import { Endpoint } from '../protocol/endpoint.js';
import { ClosingDeadline } from './closing-deadline.js';
import type { ConnectionEvents, ConnectionInit } from './connection-types.js';
import { EndReason } from './end-reason.js';
import { Heartbeat } from './heartbeat.js';
import { Life, trace } from './life.js';
import { ListenerContext } from './listener-context.js';
import type { ResolvedConnectionOptions } from './options.js';
import type { Owner } from './owner.js';
import { Pings } from './pings.js';
import { Receiver } from './receiving/receiver.js';
import { Sender } from './sending/sender.js';
import { startSoon } from './start-soon.js';
import { Transport } from './transport.js';

/** Owns the state of one connection, and its parts. */
export class Lifecycle {
  readonly options: ResolvedConnectionOptions;
  readonly emitter: EventEmitter<ConnectionEvents>;
  readonly endpoint: Endpoint;
  readonly transport: Transport;
  readonly receiver: Receiver;
  readonly sender: Sender;
  state: number = Life.Open;
  owner: Owner | null = null;
  /** close() was called to receive: no consumer holds its end. */
  #receives = false;
  #reason: EndReason | null = null;
  #pings: Pings | null = null;
  #heartbeat: Heartbeat | null = null;
  #deadline: ClosingDeadline | null = null;
  readonly context: ListenerContext = new ListenerContext();

  constructor(stream: Duplex, emitter: EventEmitter<ConnectionEvents>, init: ConnectionInit) {
    const { role, options, extensions, head, sharedMemory = false } = init;
    const extension = extensions?.[0];
    this.options = options;
    this.emitter = emitter;
    startSoon(this);
    this.endpoint = new Endpoint({ role, ownMemory: !sharedMemory, ...(extension && { extension }) });
    this.transport = new Transport(stream, this, sharedMemory);
    this.receiver = new Receiver(this);
    this.sender = new Sender(this);
    if (extension !== undefined) extension.decoder.onready = (): void => this.receiver.pump();
    const { pingInterval, pingTimeout } = options;
    if (pingInterval > 0) this.#heartbeat = new Heartbeat(this, pingInterval, pingTimeout);
    if (head !== undefined && head.length > 0) {
      this.onData(Buffer.from(head.buffer, head.byteOffset, head.length));
    }
  }

  get isOpen(): boolean {
    return this.state === Life.Open;
  }

  get reason(): EndReason {
    this.#reason ??= new EndReason(this.endpoint.closing);
    return this.#reason;
  }

  get pings(): Pings {
    this.#pings ??= new Pings();
    return this.#pings;
  }

  /** Begins to read, after what was read with the opening handshake. */
  start(): void {
    this.transport.start();
    this.receiver.start();
  }

  // Calls of the application

  /** Begins the closing handshake after all that was sent before; what comes is discarded, unless it `receive`s. */
  close(code: number, reason: string, receive = false): Promise<CloseInfo> {
    this.#trace('close');
    this.#receives ||= receive;
    if (this.state === Life.Open) {
      this.#leaveOpen(Life.Closing);
      this.reason.begin(code, reason);
      this.sender.close(() => this.endpoint.sendClose(code, reason));
    } else if (receive && this.state === Life.Ending && this.transport.gone) this.#setDeadline();
    if (!receive && (this.state === Life.Closing || this.state === Life.Ending)) this.receiver.discard();
    return this.reason.closed;
  }

  /** Destroys the socket, and drops what was read. */
  terminate(): void {
    this.#trace('terminate');
    if (this.state === Life.Closed) return;
    this.receiver.stop();
    if (this.state !== Life.Ending) this.#end();
    else if (this.transport.gone) this.#finish();
  }

  /**
   * An async listener of the connection, or of its `connection` event, rejected. The end of the connection is no
   * failure of its listener; anything else is a mistake of the application.
   */
  onListenerRejected(error: Error, report: (error: Error) => void): void {
    if (this.reason.includes(error)) return;
    void this.close(CloseCode.InternalError, '');
    report(error);
  }

  // Events of the transport

  onData(chunk: Buffer): void {
    if (this.#heartbeat !== null) this.#heartbeat.heard = true;
    if (
      this.state >= Life.Answered &&
      this.state < Life.Ending &&
      this.transport.lingersTooLong(chunk.length)
    )
      this.#end();
    this.receiver.push(chunk);
  }

  onSocketError(error: Error): void {
    this.#trace('socketError');
    this.#lose(error);
  }

  onSocketClosed(): void {
    this.#trace('socketClosed');
    if (this.state === Life.Closed) return;
    this.transport.gone = true;
    if (this.state < Life.Ending) this.#end();
    for (let chunk = this.transport.readRest(); chunk !== null; chunk = this.transport.readRest()) {
      this.receiver.push(chunk);
    }
    this.receiver.end();
    if (this.state === Life.Closed) return;
    if (this.receiver.awaited && !this.#receives) this.#deadline?.cancel();
    else this.#setDeadline();
  }

  // Events of the receiver

  /** The peer's Close frame was read; the endpoint has answered it. */
  onPeerClose(): void {
    this.#trace('peerClose');
    if (this.state > Life.Closing) return;
    this.#deadline?.onPeerClose();
    this.#leaveOpen(Life.Answered);
    this.reason.begin();
    this.#endSending();
    // §7.1.1: the server closes the TCP connection first
    if (this.endpoint.role === 'server') this.sender.finish();
  }

  /** The peer broke a rule, or an extension failed; the endpoint has sent the Close frame. */
  onFailure(error: Error): void {
    this.#trace('failure');
    if (this.state !== Life.Ending && this.state > Life.Closing) return;
    this.reason.fail(error, true);
    if (this.state === Life.Ending) {
      this.receiver.close();
      // A consumer that pulls has the message in front of it when its promise has settled
      if (this.transport.gone) setImmediate(() => this.state !== Life.Closed && this.#finish());
      return;
    }
    this.#leaveOpen(Life.Failing);
    this.reason.begin();
    this.#endSending();
    this.sender.finish();
    this.receiver.close();
    this.transport.resume();
    this.#report();
  }

  /** All that was received is delivered or dropped, and nothing follows it. */
  onInputHandled(): void {
    this.#trace('inputHandled');
    if (this.state === Life.Ending) {
      if (this.transport.gone && !this.receiver.hasWhole) this.#finish();
    } else if (this.state === Life.Answered || this.state === Life.Failing) this.sender.finish();
    else if (this.state < Life.Answered) this.#end();
  }

  /** The consumer of messages has left. */
  onConsumerLeft(): void {
    this.#trace('consumerLeft');
    if (this.state === Life.Ending && this.transport.gone) this.#setDeadline();
  }

  // Events of the sender and the heartbeat

  /** A message that was accepted cannot be sent: its Blob or memory cannot be read, or the extension failed. */
  onSourceFailure(error: Error): void {
    this.#trace('sourceFailure');
    if (this.state > Life.Closing) return;
    this.endpoint.fail(CloseCode.InternalError, '');
    this.onFailure(error);
  }

  /** A writer has aborted a message that has begun, which nothing can follow but a Close frame. */
  onWriterAborted(): void {
    this.#trace('writerAborted');
    const code = CloseCode.InternalError;
    if (this.state === Life.Open) return void this.close(code, '');
    if (this.state === Life.Closing) this.sender.cut(() => this.endpoint.sendClose(code));
  }

  /** Everything that was sent is flushed, the Close frame too if there is one. */
  onAllFlushed(): void {
    if (this.state < Life.Ending && this.endpoint.closing.sent)
      this.#deadline?.onCloseFlushed(this.state === Life.Closing);
  }

  /** The peer is gone, or does not read what is sent: no Close frame makes sense. */
  onLost(error: Error): void {
    this.#trace('lost');
    this.#lose(error);
  }

  #onDeadline(): void {
    this.#trace('deadline');
    if (this.state < Life.Ending) {
      // What close() was to receive; the peer's Close frame may be behind it
      if (this.state === Life.Closing) this.receiver.discard();
      if (this.state < Life.Ending) this.#end();
    } else if (!this.transport.gone) this.onSocketClosed();
    else if (!this.receiver.awaited || this.#receives) this.receiver.discard();
  }

  #setDeadline(): void {
    const { closeTimeout } = this.options;
    this.#deadline ??= new ClosingDeadline(this.transport, closeTimeout, () => this.#onDeadline());
    this.#deadline.set();
  }

  /** OPEN or CLOSING is left: the closing handshake has a deadline. */
  #leaveOpen(state: number): void {
    const began = this.state === Life.Open;
    this.state = state;
    this.#heartbeat?.stop();
    if (began) this.#setDeadline();
  }

  #lose(error: Error): void {
    if (this.state <= Life.Closing) this.reason.fail(error);
    if (this.state < Life.Ending) this.#end();
  }

  /** To ENDING: the socket is destroyed, nothing can be sent any more. */
  #end(): void {
    this.state = Life.Ending;
    this.#deadline?.cancel();
    this.#heartbeat?.stop();
    // §7.1.4: the closing handshake is not completed by a Close frame that has not left
    if (this.sender.amount > 0 || this.transport.failed) this.endpoint.closing.onLost();
    this.endpoint.mute();
    this.#endSending();
    this.transport.destroy();
    // A stream in memory may never report that it is closed
    if (!this.transport.gone && !this.transport.reportsEnd) this.#setDeadline();
  }

  /** To CLOSED: the end is reported. */
  #finish(): void {
    this.state = Life.Closed;
    this.#deadline?.cancel();
    try {
      this.endpoint.closed();
    } catch (error) {
      // The extension cannot be closed: reported before the end, which does not wait for it
      this.reason.fail(error as Error);
    }
    this.reason.begin();
    this.receiver.close();
    this.#endSending();
    const info = this.reason.settle();
    this.#report();
    this.owner?.closed(this.emitter);
    this.context.emit(this.emitter, 'close', info);
  }

  #endSending(): void {
    this.sender.end();
    this.reason.rejectWaiting();
  }

  /** Emits the failure, once; an `error` that has no listener is not thrown. */
  #report(): void {
    if (this.emitter.listenerCount('error') === 0) return;
    const failure = this.reason.takeFailure();
    if (failure !== null) this.context.emit(this.emitter, 'error', failure);
  }

  #trace(event: string): void {
    trace(this.emitter, this.state, event);
  }
}
