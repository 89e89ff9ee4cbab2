/**
 * One WebSocket connection, of either role, over any Duplex: RFC 6455 §5-§7 with a socket, timers and events.
 *
 *     socket ─▶ Transport ─▶ Endpoint ─▶ Incoming ─▶ message events, receive(), iteration
 *     send(), writers ─▶ SendQueue ─▶ Endpoint ─▶ Transport ─▶ socket
 */
import { Blob } from 'node:buffer';
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { ConnectionClosedError } from '../errors.js';
import { CloseCode } from '../protocol/close-code.js';
import { closeBody } from '../protocol/close-frame.js';
import { type CloseInfo, State } from '../protocol/closing-handshake.js';
import { Endpoint, type Role } from '../protocol/endpoint.js';
import { Opcode } from '../protocol/opcode.js';
import { PreparedMessage } from '../protocol/prepared-message.js';
import type {
  ConnectionEvents,
  ConnectionInit,
  PingOptions,
  SendOptions,
  SendStreamOptions,
} from './connection-types.js';
import { Incoming, type IncomingEvents } from './incoming.js';
import { Keepalive, type KeepaliveEvents } from './keepalive.js';
import type { MessageReader, MessageType } from './message-reader.js';
import { MessageWriter } from './message-writer.js';
import { checkNumber, type ResolvedConnectionOptions } from './options.js';
import { type BytesLike, checkType, toBytes, toControlPayload, toPayload } from './payload.js';
import { PingTracker } from './ping-tracker.js';
import { SendQueue, type SendQueueEvents } from './send-queue.js';
import { type MessageSource, sendStream } from './send-stream.js';
import { Transport, type TransportEvents } from './transport.js';

/** Bytes read and dropped while the connection closes, until the socket is destroyed. */
const MOST_LINGERING = 16 * 1024 * 1024;

let transportEvents: TransportEvents<WebSocketConnection>;
let incomingEvents: IncomingEvents<WebSocketConnection>;
let queueEvents: SendQueueEvents<WebSocketConnection>;
let keepaliveEvents: KeepaliveEvents<WebSocketConnection>;
let start: (ws: WebSocketConnection, head: Uint8Array | undefined) => void;

/** Closes a connection as `close()` does, for a server that shuts down: later sends of the application return false. */
export let goAway: (ws: WebSocketConnection, code: number, reason: string) => Promise<CloseInfo>;

/**
 * A WebSocket connection, open from the start. Made by `connect()`, `accept()` and `WebSocketServer`, or by
 * hand over any Duplex on which the opening handshake is done.
 *
 * Messages are consumed in one way, fixed by the first use: by `message` listeners, or by `receive()` and
 * iteration. Until then no message is lost: the first one stays in the receive buffers.
 *
 * Nothing that a peer or the network does makes a method throw: `send()` returns false once they ended the
 * connection, calls that wait reject with a {@link ConnectionClosedError}. Only behind this side's own
 * `close()` or `terminate()` does `send()` throw one.
 */
export class WebSocketConnection extends EventEmitter<ConnectionEvents> {
  readonly role: Role;
  /** The negotiated subprotocol (RFC 6455 §1.9), or an empty string. */
  readonly subprotocol: string;
  /** The names of the negotiated extensions, joined by `, `. */
  readonly extensions: string;
  readonly #options: ResolvedConnectionOptions;
  readonly #endpoint: Endpoint;
  readonly #transport: Transport<WebSocketConnection>;
  readonly #incoming: Incoming<WebSocketConnection>;
  readonly #queue: SendQueue<WebSocketConnection>;
  readonly #keepalive: Keepalive<WebSocketConnection> | null;
  #pings: PingTracker | null = null;
  #closeTimer: NodeJS.Timeout | null = null;
  #closed: Promise<CloseInfo> | null = null;
  #resolveClosed: ((info: CloseInfo) => void) | null = null;
  /** Who waits for something else than the queue, and has to be told of the end. */
  #waiting: Set<(error: Error) => void> | null = null;
  /** What failed the connection. */
  #failure: Error | null = null;
  /** The application ended it, so that a later `send()` is its mistake. */
  #closedByCaller = false;
  #lingered = 0;

  constructor(stream: Duplex, init: ConnectionInit) {
    super();
    const { role, options, extensions = [], head } = init;
    this.role = role;
    this.subprotocol = init.subprotocol ?? '';
    this.extensions = extensions.map((extension) => extension.name).join(', ');
    this.#options = options;
    const [extension] = extensions;
    this.#endpoint = new Endpoint({ role, ...(extension && { extension }) });
    this.#transport = new Transport(stream, this, transportEvents);
    this.#incoming = new Incoming(this.#endpoint, this, incomingEvents, options);
    this.#queue = new SendQueue(this.#endpoint, this.#transport, this, queueEvents, options);
    const { pingInterval, pingTimeout } = options;
    this.#keepalive =
      pingInterval === 0 ? null : new Keepalive(this, keepaliveEvents, pingInterval, pingTimeout);
    if (extension !== undefined) extension.decoder.onready = (): void => this.#incoming.pump();
    process.nextTick(start, this, head);
  }

  /** `open`, then `closing` from the first Close frame or failure on, then `closed` with the socket. */
  get state(): 'open' | 'closing' | 'closed' {
    const { state } = this.#endpoint.closing;
    if (state === State.Closed) return 'closed';
    return state === State.Open && this.#queue.ended === null ? 'open' : 'closing';
  }

  /** Bytes that were sent and have not left for the system's buffers yet, frame headers included. */
  get bufferedAmount(): number {
    return this.#queue.amount;
  }

  /** Milliseconds of the last round trip of a Ping, keepalive's or `ping()`'s; NaN before the first. */
  get latency(): number {
    return this.#pings?.latency ?? Number.NaN;
  }

  /**
   * Sends a message; it leaves by the end of the tick, in one write with others of that tick. Bytes are not
   * copied in all cases: leave them unchanged until `drained()`.
   *
   * @returns whether there is room for more; false, with nothing sent, when the peer or the network has ended
   * the connection. Who goes on regardless of false has the connection failed at `maxBufferedAmount`.
   * @throws TypeError for data that is neither string nor bytes, or bytes that are no UTF-8 sent as text;
   * ConnectionClosedError behind this side's own `close()` or `terminate()`
   */
  send(data: string | BytesLike | Blob | PreparedMessage, options?: SendOptions): boolean {
    if (typeof data === 'string' && options === undefined) {
      return this.#sendable() && this.#queue.send(Opcode.Text, data, true);
    }
    const compress = options?.compress ?? true;
    if (data instanceof PreparedMessage) return this.#sendable() && this.#queue.sendPrepared(data, compress);
    const type = options?.type ?? (typeof data === 'string' ? 'text' : 'binary');
    checkType(type);
    const opcode = type === 'text' ? Opcode.Text : Opcode.Binary;
    if (data instanceof Blob) {
      if (!this.#sendable()) return false;
      const bytes = data.arrayBuffer().then((buffer) => toBytes(buffer));
      return this.#queue.sendLater(opcode, data.size, bytes, compress);
    }
    const payload = toPayload(data, type);
    return this.#sendable() && this.#queue.send(opcode, payload, compress);
  }

  /** Begins a message that is sent piece by piece. Other messages wait until it ends. */
  createWriter(type: MessageType): MessageWriter {
    checkType(type);
    return new MessageWriter(type, this.#queue, () => this.#abandon());
  }

  /**
   * Sends all that `source` yields as one message, each chunk as a fragment, no faster than the peer reads.
   * When the source throws or the signal aborts, the message is given up as by {@link MessageWriter.abort},
   * and the call rejects with that error.
   */
  sendStream(source: MessageSource, options: SendStreamOptions = {}): Promise<void> {
    const createWriter = (): MessageWriter => this.createWriter(options.type ?? 'binary');
    return sendStream(createWriter, source, options.signal, (listener) => this.#onEnd(listener));
  }

  /** The next message; null after a clean close. What is unread of the last one is dropped. */
  async receive(options: { readonly signal?: AbortSignal } = {}): Promise<MessageReader | null> {
    return this.#incoming.inbox.receive(options.signal);
  }

  /** All messages until a clean close; throws when the connection ends otherwise. */
  [Symbol.asyncIterator](): AsyncIterableIterator<MessageReader> {
    const { inbox } = this.#incoming;
    return {
      async next(): Promise<IteratorResult<MessageReader, undefined>> {
        const value = await inbox.receive();
        return value === null ? { done: true, value: undefined } : { done: false, value };
      },
      return: async (): Promise<IteratorResult<MessageReader, undefined>> => ({
        done: true,
        value: undefined,
      }),
      [Symbol.asyncIterator](): AsyncIterableIterator<MessageReader> {
        return this;
      },
    };
  }

  /**
   * Sends a Ping and waits for its Pong (RFC 6455 §5.5.2). Pongs behind unread messages come when those are read.
   *
   * @param data - its payload, at most 125 bytes; unique by default
   * @returns the milliseconds of the round trip
   */
  async ping(data?: string | BytesLike, options: PingOptions = {}): Promise<number> {
    const { signal, timeout = this.#options.pingTimeout } = options;
    this.#pings ??= new PingTracker();
    const payload = data === undefined ? this.#pings.nextPayload() : toControlPayload(data);
    checkNumber('timeout', timeout, 0, 0, 0x7fff_ffff);
    signal?.throwIfAborted();
    if (this.#queue.ended !== null) throw this.#queue.ended;
    this.#endpoint.sendPing(payload);
    this.#queue.schedule();
    return this.#pings.pong(payload, timeout, signal, (listener) => this.#onEnd(listener));
  }

  /** Sends a Pong that nobody asked for, at most 125 bytes (RFC 6455 §5.5.3). */
  pong(data: string | BytesLike = ''): void {
    const payload = toControlPayload(data);
    if (!this.#sendable()) return;
    this.#endpoint.sendPong(payload);
    this.#queue.schedule();
  }

  /** Holds `message` events back; reading stops, and the peer is slowed down through the TCP window. */
  pause(): void {
    this.#incoming.pause(true);
  }

  /** Lets `message` events go on; without a listener, messages are read and dropped from here on. */
  resume(): void {
    this.#incoming.listen();
    this.#incoming.pause(false);
  }

  /** Resolves once everything sent has left for the system's buffers; rejects when the connection ends first. */
  drained(): Promise<void> {
    return this.#queue.drained();
  }

  /**
   * Closes the connection by the closing handshake (RFC 6455 §7.1.2): sends a Close frame behind all messages
   * sent before, waits for the peer's, and for the end of the TCP connection; after `closeTimeout` the socket
   * is destroyed. What the peer still sends is read and dropped. A writer's message that was not ended is cut off.
   *
   * @param code - 1000 by default; 1000-1003, 1007-1014 or 3000-4999 (§7.4)
   * @param reason - at most 123 bytes of UTF-8
   * @returns how the connection ended; rejects with a RangeError or TypeError, nothing sent, for a wrong argument
   */
  async close(code: number = CloseCode.NormalClosure, reason = ''): Promise<CloseInfo> {
    closeBody(code, reason);
    this.#closedByCaller = true;
    return this.#close(code, reason);
  }

  /** How the connection ended, whoever ended it; never rejects. */
  get closed(): Promise<CloseInfo> {
    this.#closed ??=
      this.state === 'closed'
        ? Promise.resolve(this.#endpoint.closing.info)
        : new Promise((resolve) => {
            this.#resolveClosed = resolve;
          });
    return this.#closed;
  }

  /** Destroys the socket at once, without a closing handshake; told as 1006. */
  terminate(): void {
    this.#closedByCaller = true;
    this.#queue.ended ??= this.#closedError();
    this.#incoming.discard();
    this.#transport.destroy();
  }

  /** Closes the connection with 1000 and waits for the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Whether something can be sent; throws behind this side's own `close()` or `terminate()`. */
  #sendable(): boolean {
    const { ended } = this.#queue;
    if (ended === null) return true;
    if (this.#closedByCaller) throw ended;
    return false;
  }

  #close(code: number, reason: string): Promise<CloseInfo> {
    const { closed } = this;
    if (this.#queue.ended !== null) return closed;
    this.#queue.close(new ConnectionClosedError(code, reason), () => this.#endpoint.sendClose(code, reason));
    this.#incoming.discard();
    this.#limitClosing();
    return closed;
  }

  /** A message cannot be finished: "if an endpoint ... encountered an unexpected condition" (§7.4.1, 1011). */
  #abandon(): void {
    this.#close(CloseCode.InternalError, '');
  }

  /** §7.1.7: a Close frame was sent, if one could be; the TCP connection is closed behind it. */
  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#queue.end(new ConnectionClosedError(CloseCode.AbnormalClosure, '', { cause: error }));
    this.#queue.finish();
    this.#incoming.end(error, error);
    this.#limitClosing();
    this.#tell(error);
  }

  /** The peer cannot be reached any more, so that no Close frame makes sense. */
  #lose(error: Error): void {
    this.#failure ??= error;
    this.#transport.destroy();
    this.#tell(error);
  }

  #tell(error: Error): void {
    if (this.listenerCount('error') > 0) this.emit('error', error);
  }

  /** §7.1.1: the server closes the TCP connection first; both endpoints wait no longer than `closeTimeout`. */
  #onPeerClose(): void {
    this.#queue.end(this.#closedError());
    if (this.role === 'server') this.#queue.finish();
    this.#limitClosing();
  }

  #limitClosing(): void {
    this.#closeTimer ??= setTimeout(() => this.#transport.destroy(), this.#options.closeTimeout);
  }

  #onData(chunk: Buffer): void {
    if (this.#keepalive !== null) this.#keepalive.heard = true;
    if (this.#closeTimer !== null) {
      this.#lingered += chunk.length;
      if (this.#lingered > MOST_LINGERING) this.#transport.destroy();
    }
    this.#incoming.push(chunk);
  }

  /** FIN: behind the closing handshake it is answered, else the connection is lost. */
  #onTransportEnd(): void {
    if (this.#endpoint.closing.info.wasClean) this.#queue.finish();
    else this.#transport.destroy();
  }

  #onTransportError(error: Error): void {
    if (this.#failure !== null || this.#endpoint.closing.info.wasClean) return;
    this.#failure = error;
    this.#tell(error);
  }

  #onTransportClose(): void {
    if (this.state === 'closed') return;
    this.#endpoint.closed();
    this.#keepalive?.stop();
    if (this.#closeTimer !== null) clearTimeout(this.#closeTimer);
    const { info } = this.#endpoint.closing;
    const error = this.#closedError();
    this.#incoming.end(info.wasClean ? null : error, error);
    this.#queue.end(error);
    for (const listener of this.#waiting ?? []) listener(error);
    this.#resolveClosed?.(info);
    this.emit('close', info);
  }

  #closedError(): ConnectionClosedError {
    const { code, reason } = this.#endpoint.closing.info;
    return new ConnectionClosedError(code, reason, this.#failure === null ? {} : { cause: this.#failure });
  }

  /** Tells a call that waits of the end of the connection; returns what stops that. */
  #onEnd(listener: (error: Error) => void): () => void {
    this.#waiting ??= new Set();
    this.#waiting.add(listener);
    return () => this.#waiting?.delete(listener);
  }

  #keepalivePing(): void {
    if (this.#queue.ended !== null || this.#transport.busy) return;
    this.#pings ??= new PingTracker();
    const payload = this.#pings.nextPayload();
    this.#pings.sent(payload, null);
    this.#endpoint.sendPing(payload);
    this.#queue.schedule();
  }

  static {
    transportEvents = {
      data: (ws, chunk) => ws.#onData(chunk),
      end: (ws) => ws.#onTransportEnd(),
      error: (ws, error) => ws.#onTransportError(error),
      close: (ws) => ws.#onTransportClose(),
      written: (ws) => ws.#queue.flush(),
    };
    incomingEvents = {
      message: (ws, data, type) => ws.emit('message', data, type),
      ping: (ws, payload) => ws.emit('ping', payload),
      pong: (ws, payload) => {
        ws.#pings?.received(payload);
        ws.emit('pong', payload);
      },
      close: (ws) => ws.#onPeerClose(),
      failed: (ws, error) => ws.#fail(error),
      batch: (ws, begins) => {
        ws.#queue.corked = begins;
        if (!begins) ws.#queue.flush();
      },
      reading: (ws, on) => (on ? ws.#transport.resume() : ws.#transport.pause()),
    };
    queueEvents = {
      drain: (ws) => ws.emit('drain'),
      full: (ws, error) => ws.#lose(error),
      failed: (ws, error) => {
        ws.#endpoint.fail(CloseCode.InternalError, '');
        ws.#fail(error);
      },
    };
    keepaliveEvents = {
      ping: (ws) => ws.#keepalivePing(),
      suspended: (ws) => ws.#incoming.held,
      lost: (ws, error) => ws.#lose(error),
    };
    start = (ws, head) => {
      if (head !== undefined && head.length > 0)
        ws.#onData(Buffer.from(head.buffer, head.byteOffset, head.length));
      ws.#transport.start();
      ws.#incoming.pump();
    };
    goAway = (ws, code, reason) => ws.#close(code, reason);
    // The first listener for messages decides how they are consumed
    for (const add of ['on', 'addListener', 'prependListener'] as const) {
      const original = EventEmitter.prototype[add];
      WebSocketConnection.prototype[add] = function (
        this: WebSocketConnection,
        event: string,
        listener: never,
      ) {
        if (event === 'message') this.#incoming.listen();
        return original.call(this, event, listener) as WebSocketConnection;
      } as never;
    }
  }
}
