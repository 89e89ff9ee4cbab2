/**
 * The inside of a connection: what joins endpoint, socket, timers and events, RFC 6455 §7.
 *
 *     socket ─▶ Transport ─▶ Endpoint ─▶ Incoming ─▶ message events, receive(), iteration
 *     send(), writers ─▶ SendQueue ─▶ Endpoint ─▶ Transport ─▶ socket
 *
 *     close() ────────────▶ Close frame sent ──┐
 *     peer's Close frame ─▶ Close frame sent ──┼─▶ FIN, closeTimeout at most ─▶ closed
 *     violation ──────────▶ Close frame sent ──┘                                  ▲
 *     terminate(), keepalive, full queue, lost network ── socket destroyed ───────┘
 */
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { ConnectionClosedError } from '../errors.js';
import { CloseCode } from '../protocol/close-code.js';
import { type CloseInfo, ClosingHandshake, State } from '../protocol/closing-handshake.js';
import { Endpoint, type Role } from '../protocol/endpoint.js';
import type { Extension } from '../protocol/extension.js';
import type { ConnectionEvents, ConnectionInit } from './connection-types.js';
import { Incoming, type IncomingOwner } from './incoming.js';
import { Keepalive, type KeepaliveOwner } from './keepalive.js';
import type { MessageType } from './message-reader.js';
import type { ResolvedConnectionOptions } from './options.js';
import { PingTracker } from './ping-tracker.js';
import { SendQueue, type SendQueueOwner } from './send-queue.js';
import { Transport, type TransportOwner } from './transport.js';

/** Bytes read and dropped while the connection closes, until the socket is destroyed. */
const MOST_LINGERING = 16 * 1024 * 1024;

/** The state and the life cycle of one connection. */
export class ConnectionCore implements TransportOwner, IncomingOwner, SendQueueOwner, KeepaliveOwner {
  readonly options: ResolvedConnectionOptions;
  readonly role: Role;
  readonly extension: Extension | undefined;
  readonly #transport: Transport;
  readonly #emitter: EventEmitter<ConnectionEvents>;
  /** Built when there is something to read or to send: a connection at rest is small. */
  #endpoint: Endpoint | null = null;
  #incoming: Incoming | null = null;
  #queue: SendQueue | null = null;
  /** The connection ended before it was used. */
  #gone = false;
  /** Messages are consumed by events, once there are any. */
  #listening = false;
  #pings: PingTracker | null = null;
  #keepalive: Keepalive | null = null;
  /** While the connection closes. */
  #lingering: { readonly timer: NodeJS.Timeout; bytes: number } | null = null;
  #closed: { readonly promise: Promise<CloseInfo>; readonly resolve: (info: CloseInfo) => void } | null =
    null;
  /** Calls that wait, and have to be told of the end. */
  #waiting: Set<(error: Error) => void> | null = null;
  /** What failed the connection. */
  #failure: Error | null = null;

  constructor(stream: Duplex, emitter: EventEmitter<ConnectionEvents>, init: ConnectionInit) {
    const { role, options, extensions, head } = init;
    this.options = options;
    this.role = role;
    this.extension = extensions?.[0];
    this.#transport = new Transport(stream, this);
    this.#emitter = emitter;
    if (options.pingInterval > 0)
      this.#keepalive = new Keepalive(this, options.pingInterval, options.pingTimeout);
    // Whoever made the connection adds its listeners first
    process.nextTick(start, this, head);
  }

  get endpoint(): Endpoint {
    if (this.#endpoint === null) this.#build();
    return this.#endpoint!;
  }

  get incoming(): Incoming {
    if (this.#incoming === null) this.#build();
    return this.#incoming!;
  }

  get queue(): SendQueue {
    if (this.#queue === null) this.#build();
    return this.#queue!;
  }

  get state(): 'open' | 'closing' | 'closed' {
    if (this.#endpoint === null) return this.#gone ? 'closed' : 'open';
    const { state } = this.endpoint.closing;
    if (state === State.Closed) return 'closed';
    return state === State.Open && this.queue.ended === null ? 'open' : 'closing';
  }

  get pings(): PingTracker {
    this.#pings ??= new PingTracker();
    return this.#pings;
  }

  /** Whether nothing is read because nobody wants the data. */
  get suspended(): boolean {
    return this.#incoming?.held ?? false;
  }

  get closed(): Promise<CloseInfo> {
    if (this.#closed === null) {
      let resolve!: (info: CloseInfo) => void;
      const promise = new Promise<CloseInfo>((settle) => {
        resolve = settle;
      });
      this.#closed = { promise, resolve };
      if (this.state === 'closed') resolve(this.endpoint.closing.info);
    }
    return this.#closed.promise;
  }

  /** Begins to read, behind what was read already. */
  start(head: Uint8Array | undefined): void {
    if (head !== undefined && head.length > 0) {
      this.onData(Buffer.from(head.buffer, head.byteOffset, head.length));
    }
    this.#transport.start();
    this.#incoming?.pump();
  }

  /** Messages are consumed by events from here on; see {@link Incoming.listen}. */
  listen(): void {
    this.#listening = true;
    this.#incoming?.listen();
  }

  /** Begins the closing handshake behind all that was sent before. */
  close(code: number, reason: string): Promise<CloseInfo> {
    const { closed } = this;
    if (this.queue.ended !== null) return closed;
    this.queue.close(new ConnectionClosedError(code, reason), () => this.endpoint.sendClose(code, reason));
    this.incoming.discard();
    this.#limitClosing();
    return closed;
  }

  /** Destroys the socket. */
  terminate(): void {
    this.queue.ended ??= this.#closedError();
    this.incoming.discard();
    this.#transport.destroy();
  }

  /** Tells a call that waits of the end of the connection; returns what stops that. */
  onEnded(listener: (error: Error) => void): () => void {
    this.#waiting ??= new Set();
    this.#waiting.add(listener);
    return () => this.#waiting?.delete(listener);
  }

  onData(chunk: Buffer): void {
    if (this.#keepalive !== null) this.#keepalive.heard = true;
    if (this.#lingering !== null) {
      this.#lingering.bytes += chunk.length;
      if (this.#lingering.bytes > MOST_LINGERING) this.#transport.destroy();
    }
    this.incoming.push(chunk);
  }

  /** FIN: behind the closing handshake it is answered, else the connection is lost. */
  onEnd(): void {
    // What came in front of it has its turn first: see onReading()
    if (this.#incoming?.yielding) return;
    if (this.endpoint.closing.info.wasClean) this.queue.finish();
    else this.#transport.destroy();
  }

  onError(error: Error): void {
    if (this.#failure !== null || this.#endpoint?.closing.info.wasClean) return;
    this.#failure = error;
    this.#tell(error);
  }

  onClosed(): void {
    if (this.state === 'closed') return;
    this.#keepalive?.stop();
    if (this.#lingering !== null) clearTimeout(this.#lingering.timer);
    this.#gone = true;
    const used = this.#endpoint !== null || this.#waiting !== null || this.#closed !== null;
    if (this.#endpoint !== null) this.#end();
    else if (used) this.#build();
    this.#emitter.emit('close', used ? this.endpoint.closing.info : new ClosingHandshake().info);
  }

  /** Tells everybody within of the end. */
  #end(): void {
    this.endpoint.closed();
    const { info } = this.endpoint.closing;
    const error = this.#closedError();
    this.incoming.end(info.wasClean ? null : error, error);
    this.queue.end(error);
    for (const listener of this.#waiting ?? []) listener(error);
    this.#closed?.resolve(info);
  }

  onWritten(): void {
    this.queue.flush();
  }

  onMessage(data: string | Buffer, type: MessageType): void {
    this.#emitter.emit('message', data, type);
  }

  onPing(payload: Buffer): void {
    this.#emitter.emit('ping', payload);
  }

  onPong(payload: Buffer): void {
    this.#pings?.received(payload);
    this.#emitter.emit('pong', payload);
  }

  /** §7.1.1: the server closes the TCP connection first. */
  onPeerClose(): void {
    this.queue.end(this.#closedError());
    if (this.role === 'server') this.queue.finish();
    this.#limitClosing();
  }

  /** §7.1.7: the Close frame is laid down; the TCP connection is closed behind it. */
  onFailed(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.queue.end(new ConnectionClosedError(CloseCode.AbnormalClosure, '', { cause: error }));
    this.queue.finish();
    this.incoming.end(error, error);
    this.#limitClosing();
    this.#tell(error);
  }

  onBatch(begins: boolean): void {
    this.queue.corked = begins;
    if (!begins) this.queue.flush();
  }

  onReading(on: boolean): void {
    if (!on) this.#transport.pause();
    else if (this.#transport.ended) this.onEnd();
    else this.#transport.resume();
  }

  onDrain(): void {
    this.#emitter.emit('drain');
  }

  onSendFailed(error: Error): void {
    this.endpoint.fail(CloseCode.InternalError, '');
    this.onFailed(error);
  }

  onQueueFull(error: Error): void {
    this.onLost(error);
  }

  onPingDue(): void {
    if (this.queue.ended !== null || this.#transport.busy) return;
    const payload = this.pings.nextPayload();
    this.pings.sent(payload, null);
    this.endpoint.sendPing(payload);
    this.queue.schedule();
  }

  /** The peer cannot be reached any more: no Close frame makes sense, and nothing more is queued. */
  onLost(error: Error): void {
    this.#failure ??= error;
    this.queue.end(this.#closedError());
    this.#transport.destroy();
    this.#tell(error);
  }

  /** An `error` that nobody listens for is not thrown. */
  #tell(error: Error): void {
    if (this.#emitter.listenerCount('error') > 0) this.#emitter.emit('error', error);
  }

  #build(): void {
    const { extension, role } = this;
    this.#endpoint = new Endpoint({ role, ...(extension && { extension }) });
    this.#incoming = new Incoming(this.#endpoint, this, this.options);
    this.#queue = new SendQueue(this.#endpoint, this.#transport, this, this.options);
    if (extension !== undefined) extension.decoder.onready = (): void => this.incoming.pump();
    if (this.#listening) this.#incoming.listen();
    if (this.#gone) this.#end();
  }

  #limitClosing(): void {
    this.#lingering ??= {
      timer: setTimeout(() => this.#transport.destroy(), this.options.closeTimeout),
      bytes: 0,
    };
  }

  #closedError(): ConnectionClosedError {
    const { code, reason } = this.endpoint.closing.info;
    return new ConnectionClosedError(code, reason, this.#failure === null ? {} : { cause: this.#failure });
  }
}

function start(core: ConnectionCore, head: Uint8Array | undefined): void {
  core.start(head);
}
