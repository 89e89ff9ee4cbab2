/** A WebSocket connection, of either role: the public face, RFC 6455 §5-§7. */
import { isUtf8, Blob as NodeBlob } from 'node:buffer';
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { WebSocketError } from '../errors.js';
import { checkBoolean, checkNames, checkNumber } from '../options.js';
import { CloseCode } from '../protocol/close-code.js';
import { closeBody } from '../protocol/close-frame.js';
import type { CloseInfo } from '../protocol/closing-handshake.js';
import { Opcode } from '../protocol/opcode.js';
import { PreparedMessage } from '../protocol/prepared-message.js';
import { checkSendOptions, signalOf } from './call-options.js';
import { ConnectionProperties, setLifeOf } from './connection-properties.js';
import type {
  ClosingOptions,
  ConnectionInit,
  DrainedOptions,
  PingOptions,
  SendOptions,
  SendStreamOptions,
} from './connection-types.js';
import { handled } from './handled.js';
import { Life } from './life.js';
import { Lifecycle } from './lifecycle.js';
import { checkInit } from './options.js';
import type { Owner } from './owner.js';
import type { MessageReader, MessageType } from './receiving/message-reader.js';
import { MessageWriter } from './sending/message-writer.js';
import { type BytesLike, checkType, toBytes, toControlPayload, toPayload } from './sending/payload.js';
import { type MessageSource, openSource, sendStream } from './sending/send-stream.js';

/** Package-internal: makes a server the owner of a connection. */
export let setOwner: (ws: WebSocketConnection, owner: Owner) => void;
/** Package-internal: what waits to be sent takes `highWaterMark` bytes or more. */
export let isFull: <Data>(ws: WebSocketConnection<Data>) => boolean;
/** Package-internal: an async listener for `connection` rejected; `report` is called if that is a mistake. */
export let onListenerRejected: (
  ws: WebSocketConnection,
  error: Error,
  report: (error: Error) => void,
) => void;

/**
 * A WebSocket connection, open from the start. Made by `connect()`, `accept()` and `WebSocketServer`, or by
 * hand over any Duplex on which the opening handshake is done.
 *
 * Messages are consumed in one way, fixed by the first use: by `message` listeners, or by `receive()` and
 * iteration. Until then no message is lost: the first one stays in the receive buffers. Every message that was
 * read before the connection ended is delivered before the end is reported, however slow the consumer is. Without
 * a consumer it is discarded `closeTimeout` after the socket was closed; `pause()`, or a loop over `receive()`
 * that is not continued, holds the end until `close()` or `terminate()`.
 *
 * Nothing that a peer or the network does makes a method throw or a promise reject unhandled: `send()` returns
 * false once the connection is closing, calls that wait reject with a {@link ConnectionClosedError}. Listeners may
 * be async. One that rejects because its own connection ended is ignored; any other rejection closes the connection
 * with 1011, and is emitted as `error` on the server, or here for a client; after the `close` of a client, which is its
 * last event, it is thrown.
 *
 * @typeParam Data - what the application keeps in `data`
 */
export class WebSocketConnection<Data = unknown> extends ConnectionProperties<Data> {
  readonly #life: Lifecycle;

  constructor(stream: Duplex, init: ConnectionInit<Data>) {
    checkInit(init);
    super(init);
    this.#life = new Lifecycle(stream, this, init);
  }

  /**
   * Sends a message; it leaves by the end of the tick, in one write with others of that tick. Bytes are not
   * copied in all cases: leave them unchanged until `drained()`. A Blob is read when its turn comes; one that cannot
   * be read, or is not UTF-8 when sent as text, closes the connection with 1011.
   *
   * @returns whether there is room for more; false, with nothing sent, once the connection is closing or closed. Also
   * false for a connection that sends 64 KiB in a turn of the event loop which has taken 4 ms already: others are to have
   * theirs. A caller that keeps sending after false fails the connection at `maxBufferedAmount`
   * @throws TypeError for data that is neither string nor bytes, or bytes that are not UTF-8 sent as text
   */
  send(data: string | BytesLike | Blob | PreparedMessage, options?: SendOptions): boolean {
    const life = this.#life;
    if (typeof data === 'string' && options === undefined) {
      return life.isOpen && life.sender.send(Opcode.Text, data, true);
    }
    if (options !== undefined) checkSendOptions('send()', options);
    const compress = options?.compress ?? true;
    // The usual case first: the checks below are 5 % of the instructions of an echoed message of 20 bytes
    if (data instanceof Uint8Array && (options === undefined || options.type === 'binary')) {
      return life.isOpen && life.sender.send(Opcode.Binary, toBytes(data), compress);
    }
    if (data instanceof PreparedMessage) return life.isOpen && life.sender.sendPrepared(data, compress);
    const type = options?.type ?? (typeof data === 'string' ? 'text' : 'binary');
    const opcode = type === 'text' ? Opcode.Text : Opcode.Binary;
    if (data instanceof NodeBlob) {
      const read = async (): Promise<Uint8Array> => {
        const bytes = toBytes(await data.arrayBuffer());
        if (type === 'text' && !isUtf8(bytes))
          throw new TypeError('Tried to send a Blob as text that is not UTF-8');
        return bytes;
      };
      return life.isOpen && life.sender.sendLater(opcode, data.size, read, compress);
    }
    const payload = toPayload(data, type);
    return life.isOpen && life.sender.send(opcode, payload, compress);
  }

  /** Begins a message that is sent piece by piece. Other messages are queued until it ends. */
  createWriter(type: MessageType): MessageWriter {
    checkType(type);
    const life = this.#life;
    return new MessageWriter(type, life, life.isOpen ? null : life.reason.error);
  }

  /**
   * Sends all that `source` yields as one message, each chunk as a fragment, no faster than the peer reads. When the
   * source throws, the signal aborts, or the connection ends, the source is destroyed, cancelled or returned, the
   * message is aborted as by {@link MessageWriter.abort}, and the call rejects with that error.
   */
  sendStream(source: MessageSource, options: SendStreamOptions = {}): Promise<void> {
    try {
      const signal = signalOf('sendStream()', options, 'type');
      const { type = 'binary' } = options;
      checkType(type);
      const opened = openSource(source);
      return handled(sendStream(this.createWriter(type), opened, signal));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The next message; null after a clean close. A message that was received before and never begun is discarded;
   * while one is being read, the call waits until it is read, cancelled or left. One that is read in parts counts as left
   * where none of them is being read. Rejects with ERR_CONSUMPTION while another `receive()` waits.
   */
  receive(options: { readonly signal?: AbortSignal } = {}): Promise<MessageReader | null> {
    try {
      const signal = signalOf('receive()', options);
      return handled(this.#life.receiver.inbox.receive(signal));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** All messages until a clean close; throws when the connection ends otherwise. */
  [Symbol.asyncIterator](): AsyncIterableIterator<MessageReader> {
    return this.#life.receiver.inbox.messages();
  }

  /**
   * Sends a Ping and waits for its Pong (RFC 6455 §5.5.2). Pongs behind unread messages come when those are read.
   *
   * @param data - its payload, at most 125 bytes; unique by default
   * @returns the milliseconds of the round trip
   */
  ping(data?: string | BytesLike, options: PingOptions = {}): Promise<number> {
    const life = this.#life;
    let payload: Buffer;
    let timeout: number;
    let signal: AbortSignal | undefined;
    try {
      signal = signalOf('ping()', options, 'timeout');
      payload = data === undefined ? life.pings.nextPayload() : toControlPayload(data);
      timeout = checkNumber('timeout', options.timeout, life.options.pingTimeout, 0, 0x7fff_ffff);
    } catch (error) {
      return Promise.reject(error);
    }
    if (signal?.aborted) return handled(Promise.reject(signal.reason));
    if (!life.isOpen) return handled(Promise.reject(life.reason.error));
    if (!life.sender.control(() => life.endpoint.sendPing(payload)))
      return handled(Promise.reject(life.reason.error));
    const { given } = life.transport;
    const onEnd = (listener: (error: Error) => void): (() => void) => life.reason.onEnded(listener);
    return handled(life.pings.pong(payload, given, timeout, signal, onEnd));
  }

  /** Sends an unsolicited Pong of at most 125 bytes (RFC 6455 §5.5.3); nothing once the connection is closing. */
  pong(data: string | BytesLike = ''): void {
    const payload = toControlPayload(data);
    const { endpoint, isOpen, sender } = this.#life;
    if (isOpen) sender.control(() => endpoint.sendPong(payload));
  }

  /**
   * Holds `message` events, and the end behind them; reading stops, and the peer is slowed down through the TCP window.
   * Also in front of the first listener. Throws ERR_CONSUMPTION when messages are pulled.
   */
  pause(): void {
    this.#life.receiver.pause();
  }

  /** Lets `message` events go on; without a listener, messages are read and dropped from here on. */
  resume(): void {
    this.#life.receiver.resume();
  }

  /**
   * Resolves once everything sent has left for the kernel's buffers; rejects when the connection ends first, or with
   * `signal.reason` when the signal aborts.
   *
   * @example
   * ```ts
   * if (!ws.send(row)) await ws.drained({ signal: AbortSignal.timeout(5_000) });
   * ```
   */
  drained(options?: DrainedOptions): Promise<void> {
    if (options === undefined) return this.#life.sender.drained();
    let signal: AbortSignal | undefined;
    try {
      signal = signalOf('drained()', options);
    } catch (error) {
      return Promise.reject(error);
    }
    return signal?.aborted ? handled(Promise.reject(signal.reason)) : this.#life.sender.drained(signal);
  }

  /**
   * Closes the connection by the closing handshake (RFC 6455 §7.1.2): sends a Close frame after all messages
   * sent before, waits for the peer's, and for the end of the TCP connection. The socket is destroyed `closeTimeout`
   * after the Close frame has left, or as soon as nothing moves for that long before; twice as long within one large
   * write. A writer's message that was not ended is cut off, and the messages queued after it are dropped.
   *
   * What the peer still sends is read and dropped, unless `receive` is set: then its messages are delivered until its
   * Close frame comes, for `closeTimeout` at most. What no consumer has asked for by then is dropped, as it is by a
   * `close()` without `receive` and by `terminate()`.
   *
   * @example
   * ```ts
   * void ws.close(1000, 'bye', { receive: true });
   * for await (const message of ws) console.log(await message.text());   // those that were on their way
   * ```
   * @param code - 1000 by default; 1000-1003, 1007-1014 or 3000-4999 (§7.4)
   * @param reason - at most 123 bytes of UTF-8
   * @returns how the connection ended; rejects with a RangeError or TypeError, nothing sent, for a wrong argument
   */
  async close(
    code: number = CloseCode.NormalClosure,
    reason = '',
    options: ClosingOptions = {},
  ): Promise<CloseInfo> {
    closeBody(code, reason);
    checkNames('close()', options, ['receive']);
    checkBoolean('receive', options.receive);
    return this.#life.close(code, reason, options.receive);
  }

  /** How the connection ended, whoever ended it; never rejects. */
  get closed(): Promise<CloseInfo> {
    return this.#life.reason.closed;
  }

  /** Destroys the socket at once, without a closing handshake, and drops what was received; reported as 1006. */
  terminate(): void {
    this.#life.terminate();
  }

  /** Closes the connection with 1000 and waits for the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Emits a mistake of an async listener as `error`, where that has a listener. */
  #emitRejection(error: Error, event: string): void {
    const { context, state } = this.#life;
    if (state !== Life.Closed && event !== 'error' && this.listenerCount('error') > 0)
      context.emit(this, 'error', error);
    // What a peer, the network or the time did must not end the process
    else if (!(error instanceof WebSocketError)) throw error;
  }

  static {
    setLifeOf((ws: WebSocketConnection) => ws.#life);
    isFull = (ws) => ws.#life.sender.full;
    setOwner = (ws, owner) => {
      ws.#life.owner = owner;
    };
    onListenerRejected = (ws, error, report) => ws.#life.onListenerRejected(error, report);
    Object.defineProperty(WebSocketConnection.prototype, EventEmitter.captureRejectionSymbol, {
      value(this: WebSocketConnection, error: Error, event: string): void {
        const { owner } = this.#life;
        const report = owner?.rejected ?? ((mistake): void => this.#emitRejection(mistake, event));
        this.#life.onListenerRejected(error, report);
      },
    });
    // The first listener for messages decides how they are consumed
    for (const add of ['on', 'addListener', 'prependListener'] as const) {
      const original = EventEmitter.prototype[add];
      WebSocketConnection.prototype[add] = function (
        this: WebSocketConnection,
        event: string,
        listener: never,
      ) {
        if (event === 'message') this.#life.receiver.listen();
        return original.call(this, event, listener) as WebSocketConnection;
      } as never;
    }
  }
}
