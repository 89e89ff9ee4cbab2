/** A WebSocket connection, of either role: the public face, RFC 6455 §5-§7. */
import { Blob } from 'node:buffer';
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { checkNumber } from '../options.js';
import { CloseCode } from '../protocol/close-code.js';
import { closeBody } from '../protocol/close-frame.js';
import type { CloseInfo } from '../protocol/closing-handshake.js';
import type { Role } from '../protocol/endpoint.js';
import { Opcode } from '../protocol/opcode.js';
import { PreparedMessage } from '../protocol/prepared-message.js';
import { ConnectionCore } from './connection-core.js';
import type {
  ConnectionEvents,
  ConnectionInit,
  PingOptions,
  SendOptions,
  SendStreamOptions,
} from './connection-types.js';
import type { MessageReader, MessageType } from './message-reader.js';
import { MessageWriter } from './message-writer.js';
import { type BytesLike, checkType, toBytes, toControlPayload, toPayload } from './payload.js';
import { type MessageSource, sendStream } from './send-stream.js';

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
  /** The negotiated subprotocol (RFC 6455 §1.9), or an empty string. */
  readonly subprotocol: string;
  readonly #core: ConnectionCore;
  /** The application ended it, so that a later `send()` is its mistake. */
  #closedByCaller = false;

  constructor(stream: Duplex, init: ConnectionInit) {
    super();
    const { subprotocol = '', extensions = [] } = init;
    if (extensions.length > 1) throw new TypeError('Tried to use several extensions on one connection');
    this.subprotocol = subprotocol;
    this.#core = new ConnectionCore(stream, this, init);
  }

  get role(): Role {
    return this.#core.role;
  }

  /** The name of the negotiated extension (RFC 6455 §9.1), or an empty string. */
  get extensions(): string {
    return this.#core.extension?.name ?? '';
  }

  /** `open`, then `closing` from the first Close frame or failure on, then `closed` with the socket. */
  get state(): 'open' | 'closing' | 'closed' {
    return this.#core.state;
  }

  /** Bytes that were sent and have not left for the system's buffers yet, frame headers included. */
  get bufferedAmount(): number {
    return this.#core.queue.amount;
  }

  /** Milliseconds of the last round trip of a Ping, keepalive's or `ping()`'s; NaN before the first. */
  get latency(): number {
    return this.#core.pings.latency;
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
      return this.#sendable() && this.#core.queue.send(Opcode.Text, data, true);
    }
    const compress = options?.compress ?? true;
    if (data instanceof PreparedMessage)
      return this.#sendable() && this.#core.queue.sendPrepared(data, compress);
    const type = options?.type ?? (typeof data === 'string' ? 'text' : 'binary');
    checkType(type);
    const opcode = type === 'text' ? Opcode.Text : Opcode.Binary;
    if (data instanceof Blob) {
      if (!this.#sendable()) return false;
      const bytes = data.arrayBuffer().then((buffer) => toBytes(buffer));
      return this.#core.queue.sendLater(opcode, data.size, bytes, compress);
    }
    const payload = toPayload(data, type);
    return this.#sendable() && this.#core.queue.send(opcode, payload, compress);
  }

  /** Begins a message that is sent piece by piece. Other messages wait until it ends. */
  createWriter(type: MessageType): MessageWriter {
    checkType(type);
    return new MessageWriter(type, this.#core.queue, () => this.#core.close(CloseCode.InternalError, ''));
  }

  /**
   * Sends all that `source` yields as one message, each chunk as a fragment, no faster than the peer reads.
   * When the source throws or the signal aborts, the message is given up as by {@link MessageWriter.abort},
   * and the call rejects with that error.
   */
  sendStream(source: MessageSource, options: SendStreamOptions = {}): Promise<void> {
    const createWriter = (): MessageWriter => this.createWriter(options.type ?? 'binary');
    return sendStream(createWriter, source, options.signal, (listener) => this.#core.onEnded(listener));
  }

  /** The next message; null after a clean close. The last one is dropped unless its reading is under way. */
  async receive(options: { readonly signal?: AbortSignal } = {}): Promise<MessageReader | null> {
    return this.#core.incoming.inbox.receive(options.signal);
  }

  /** All messages until a clean close; throws when the connection ends otherwise. */
  [Symbol.asyncIterator](): AsyncIterableIterator<MessageReader> {
    const { inbox } = this.#core.incoming;
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
    const { signal, timeout = this.#core.options.pingTimeout } = options;
    const payload = data === undefined ? this.#core.pings.nextPayload() : toControlPayload(data);
    checkNumber('timeout', timeout, 0, 0, 0x7fff_ffff);
    signal?.throwIfAborted();
    if (this.#core.queue.ended !== null) throw this.#core.queue.ended;
    this.#core.endpoint.sendPing(payload);
    this.#core.queue.schedule();
    return this.#core.pings.pong(payload, timeout, signal, (listener) => this.#core.onEnded(listener));
  }

  /** Sends a Pong that nobody asked for, at most 125 bytes (RFC 6455 §5.5.3). */
  pong(data: string | BytesLike = ''): void {
    const payload = toControlPayload(data);
    if (!this.#sendable()) return;
    this.#core.endpoint.sendPong(payload);
    this.#core.queue.schedule();
  }

  /** Holds `message` events back; reading stops, and the peer is slowed down through the TCP window. */
  pause(): void {
    this.#core.incoming.pause(true);
  }

  /** Lets `message` events go on; without a listener, messages are read and dropped from here on. */
  resume(): void {
    this.#core.listen();
    this.#core.incoming.pause(false);
  }

  /** Resolves once everything sent has left for the system's buffers; rejects when the connection ends first. */
  drained(): Promise<void> {
    return this.#core.queue.drained();
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
    this.#closedByCaller ||= this.state === 'open';
    return this.#core.close(code, reason);
  }

  /** How the connection ended, whoever ended it; never rejects. */
  get closed(): Promise<CloseInfo> {
    return this.#core.closed;
  }

  /** Destroys the socket at once, without a closing handshake; told as 1006. */
  terminate(): void {
    this.#closedByCaller ||= this.state === 'open';
    this.#core.terminate();
  }

  /** Closes the connection with 1000 and waits for the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Whether something can be sent; throws behind this side's own `close()` or `terminate()`. */
  #sendable(): boolean {
    const { ended } = this.#core.queue;
    if (ended === null) return true;
    if (this.#closedByCaller) throw ended;
    return false;
  }

  static {
    goAway = (ws, code, reason) => ws.#core.close(code, reason);
    // The first listener for messages decides how they are consumed
    for (const add of ['on', 'addListener', 'prependListener'] as const) {
      const original = EventEmitter.prototype[add];
      WebSocketConnection.prototype[add] = function (
        this: WebSocketConnection,
        event: string,
        listener: never,
      ) {
        if (event === 'message') this.#core.listen();
        return original.call(this, event, listener) as WebSocketConnection;
      } as never;
    }
  }
}
