/** What a connection says about itself, beside what it does: RFC 6455 §1.9, §3, §9.1 and counters. */
import type { Role } from '../protocol/endpoint.js';
import { ConnectionEmitter } from './connection-emitter.js';
import type { ConnectionInit, ConnectionStats } from './connection-types.js';
import { Life } from './life.js';
import type { Lifecycle } from './lifecycle.js';

/** Package-internal: gives the properties access to the life of their connection. */
export function setLifeOf(access: (ws: never) => Lifecycle): void {
  lifeOf = access as typeof lifeOf;
}

let lifeOf: (ws: ConnectionProperties) => Lifecycle;

/** How `util.inspect()` asks an object to show itself. */
const kInspect = Symbol.for('nodejs.util.inspect.custom');

type Opening = Required<Pick<ConnectionInit, 'url' | 'responseHeaders'>>;

type Inspect = (value: unknown, options: object) => string;

/** The properties of a `WebSocketConnection`. All of them can be read at any time, also after the end. */
export abstract class ConnectionProperties<Data = unknown> extends ConnectionEmitter {
  /**
   * Data of the application about this connection, such as its user: what `authenticate` returned as `data`, or
   * undefined. The application may set it; the library does not read it.
   */
  data: Data | undefined;
  /** The negotiated subprotocol (RFC 6455 §1.9), or an empty string. */
  readonly subprotocol: string;
  /** The name of the negotiated extension (RFC 6455 §9.1), or an empty string. */
  readonly extensions: string;
  /** The URL; on a client with the header fields of the response. One field, as a server has many connections. */
  readonly #opening: string | Opening;

  protected constructor({
    data,
    extensions = [],
    responseHeaders,
    subprotocol,
    url = '',
  }: ConnectionInit<Data>) {
    super({ captureRejections: true });
    if (extensions.length > 1) throw new TypeError('Tried to use several extensions on one connection');
    this.data = data;
    this.subprotocol = subprotocol ?? '';
    this.extensions = extensions[0]?.name ?? '';
    this.#opening = responseHeaders === undefined ? url : { url, responseHeaders };
  }

  /**
   * The URL of the connection (RFC 6455 §3), with the scheme `ws:` or `wss:`; it may hold secrets in its query. On a
   * client, where redirects led to, without user and password. On a server, what the peer asked for; its host is the
   * field `Host`, which the peer chooses. Empty for a connection that was made by hand without `url`.
   */
  get url(): string {
    const opening = this.#opening;
    return typeof opening === 'string' ? opening : opening.url;
  }

  /**
   * On a client, the header fields of the response that opened the connection, names in lower case; repeated fields
   * are joined as `node:http` joins them. Undefined on a server.
   */
  get responseHeaders(): Readonly<Record<string, string | string[] | undefined>> | undefined {
    const opening = this.#opening;
    return typeof opening === 'string' ? undefined : opening.responseHeaders;
  }

  /** Which side of the connection this is: `server` or `client`. */
  get role(): Role {
    return lifeOf(this).endpoint.role;
  }

  /** `open`, then `closing` from the first Close frame or failure on, then `closed` with the socket. */
  get state(): 'open' | 'closing' | 'closed' {
    const { state } = lifeOf(this);
    return state === Life.Open ? 'open' : state === Life.Closed ? 'closed' : 'closing';
  }

  /** Bytes that were sent and have not left for the system's buffers yet, frame headers included. */
  get bufferedAmount(): number {
    return lifeOf(this).sender.bufferedAmount;
  }

  /** Milliseconds of the last round trip of a Ping, keepalive's or `ping()`'s; NaN before the first. */
  get latency(): number {
    return lifeOf(this).pings.latency;
  }

  /**
   * The IP address of the peer, as `net.Socket` has it: behind a proxy that of the proxy, over a Unix socket
   * undefined. All addresses and ports are read from the socket on first use, and at the latest when it is about to be
   * closed; they stay readable after that. A connection that was reset without notice has only those that were read
   * before: read one when the connection opens to log it in any case.
   */
  get remoteAddress(): string | undefined {
    return lifeOf(this).transport.addresses.remoteAddress;
  }

  /** The TCP port of the peer; see {@link remoteAddress}. */
  get remotePort(): number | undefined {
    return lifeOf(this).transport.addresses.remotePort;
  }

  /** The IP address of this end; see {@link remoteAddress}. */
  get localAddress(): string | undefined {
    return lifeOf(this).transport.addresses.localAddress;
  }

  /** The TCP port of this end; see {@link remoteAddress}. */
  get localPort(): number | undefined {
    return lifeOf(this).transport.addresses.localPort;
  }

  /**
   * Messages and bytes of payload so far, as the application sees them: of text its UTF-8, of a compressed message
   * what it inflates to; no headers, no control frames. A snapshot: it does not change later.
   *
   * Received is what was delivered. A message counts when its event is emitted, or with its last chunk where it is
   * read by `receive()` or iteration; its bytes count chunk by chunk. That includes messages that the application
   * drops (`resume()` without a listener, `cancel()`); what this side's own `close()` discards is left out.
   *
   * Sent is what was framed. A message counts when its turn has come, one of a writer with `end()`; its bytes count
   * write by write. What of it has not left yet is in {@link bufferedAmount}.
   *
   * @example
   * ```ts
   * ws.on('close', () => console.log(ws.remoteAddress, ws.stats.bytesReceived));
   * ```
   */
  get stats(): ConnectionStats {
    const { bytesReceived, bytesSent, messagesReceived, messagesSent } = lifeOf(this).endpoint;
    return { messagesReceived, messagesSent, bytesReceived, bytesSent };
  }

  static {
    // For `console.log()`. Neither `data` nor `url` is shown, which may hold secrets
    Object.defineProperty(ConnectionProperties.prototype, kInspect, {
      value(this: ConnectionProperties, depth: number, options: object, inspect: Inspect): string {
        const name = this.constructor.name;
        // A Proxy, and an object that inherits from a connection, have no life of their own
        if (depth < 0 || !(#opening in this)) return `[${name}]`;
        const { role, state, remoteAddress, remotePort, localAddress, localPort, subprotocol, stats } = this;
        const addresses = { remoteAddress, remotePort, localAddress, localPort };
        return `${name} ${inspect({ role, state, ...addresses, subprotocol, stats }, options)}`;
      },
    });
  }
}
