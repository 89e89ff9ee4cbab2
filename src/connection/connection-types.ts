/** Types around a connection: its events, and what it is made with. */
import type { CloseInfo } from '../protocol/closing-handshake.js';
import type { Role } from '../protocol/endpoint.js';
import type { Extension } from '../protocol/extension.js';
import type { ResolvedConnectionOptions } from './options.js';
import type { MessageType } from './receiving/message-reader.js';

/** Events of a `WebSocketConnection` and their arguments. */
export interface ConnectionEvents {
  /**
   * A whole message: a string if it is text, else a view of the receive buffer, valid for as long as it is
   * held, and pinning that buffer for that time. The first listener decides how messages are consumed. In
   * TypeScript a test of `type` narrows `data`.
   */
  message: [data: string, type: 'text'] | [data: Buffer, type: 'binary'];
  /** A Ping came, and was answered. */
  ping: [payload: Buffer];
  /** A Pong came. */
  pong: [payload: Buffer];
  /** Everything has left, after a `send()` that returned false. */
  drain: [];
  /** The connection is closed; once, and last. */
  close: [info: CloseInfo];
  /** Why the connection failed, in front of `close`. Never thrown when nobody listens. */
  error: [error: Error];
}

/** What a connection has sent and received, in messages and bytes; see `WebSocketConnection.stats`. */
export interface ConnectionStats {
  /** Messages that were delivered whole. */
  readonly messagesReceived: number;
  /** Messages that were framed whole. */
  readonly messagesSent: number;
  /** Bytes of payload that were delivered, after decompression. */
  readonly bytesReceived: number;
  /** Bytes of payload that were framed, counted before compression. */
  readonly bytesSent: number;
}

/** What a `WebSocketConnection` is made with, behind the opening handshake. */
export interface ConnectionInit<Data = unknown> {
  readonly role: Role;
  readonly options: ResolvedConnectionOptions;
  /** The negotiated subprotocol; none by default. */
  readonly subprotocol?: string;
  /** The negotiated extension, if any: more than one cannot be used together. */
  readonly extensions?: readonly Extension[];
  /** Bytes that were read behind the handshake. */
  readonly head?: Uint8Array;
  /**
   * The stream is done with each buffer natively, as a `net.Socket` or a `TLSSocket` is, and passes none on to other
   * code, and reports that it is closed once it was destroyed: it is written frames in memory that other connections and the application use as well, which copies less.
   * `accept()` and `connect()` set it for these sockets. Default false: each frame is copied to memory of its own.
   */
  readonly sharedMemory?: boolean;
  /** The URL of the connection. Default: an empty string. */
  readonly url?: string;
  /** Header fields of the response, on a client. Default: undefined. */
  readonly responseHeaders?: Readonly<Record<string, string | string[] | undefined>>;
  /** What `ws.data` is at first. Default: undefined. */
  readonly data?: Data;
}

/** Options of `send()`. */
export interface SendOptions {
  /** Default: text for a string, binary for anything else. Bytes sent as text have to be UTF-8. */
  readonly type?: MessageType;
  /** Whether a negotiated extension may compress the message. Default true. */
  readonly compress?: boolean;
}

/** Options of `sendStream()`. */
export interface SendStreamOptions {
  /** Default binary. */
  readonly type?: MessageType;
  /** Gives the message up, which closes the connection with 1011 once a part of it was sent. */
  readonly signal?: AbortSignal;
}

/** Options of `ping()`. */
export interface PingOptions {
  /** Milliseconds until it rejects with a `TimeoutError`. Default: the `pingTimeout` of the connection. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

/** Options of `write()` of a writer. */
export interface WriteOptions {
  /** Aborts the message while the fragment waits to be flushed. */
  readonly signal?: AbortSignal;
}

/** Options of `drained()`. */
export interface DrainedOptions {
  /** Ends the wait; what was sent is sent all the same. */
  readonly signal?: AbortSignal;
}

/** Options of `close()` of a connection. */
export interface ClosingOptions {
  /**
   * Whether messages are delivered until the peer's Close frame comes, for `closeTimeout` at most. Default false: they
   * are discarded.
   */
  readonly receive?: boolean;
}
