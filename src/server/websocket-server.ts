/** A WebSocket server: RFC 6455 §4.2 for the opening handshakes, §7.1.1 and §7.4.1 (1001) for its end. */

import { EventEmitter, setMaxListeners } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SendOptions } from '../connection/connection-types.js';
import type { BytesLike } from '../connection/sending/payload.js';
import { prepareMessage } from '../connection/sending/prepare-message.js';
import { WebSocketConnection } from '../connection/websocket-connection.js';
import { HandshakeError } from '../errors.js';
import { pathOf, type Rejection } from '../handshake/server-handshake.js';
import { checkNames, checkNumber } from '../options.js';
import { CloseCode } from '../protocol/close-code.js';
import { closeBody } from '../protocol/close-frame.js';
import {
  type AcceptOptions,
  acceptOptionNames,
  type ResolvedAcceptOptions,
  resolveAcceptOptions,
  type UpgradeResult,
  upgrade,
} from './accept.js';
import { dispatch } from './dispatcher.js';
import { OwnServer } from './own-server.js';

/** Options of {@link WebSocketServer}: exactly one of `port`, `server` and `noServer`, and those of `accept()`. */
export interface WebSocketServerOptions extends AcceptOptions {
  /** Listens on a port of its own; 0 for any that is free. */
  readonly port?: number;
  /** With `port`: the address to listen on. Default: all of them. */
  readonly host?: string;
  /** With `port`: how many connections the system may queue. Default 511. */
  readonly backlog?: number;
  /** Takes the upgrade requests of this server, which stays the application's: `close()` does not close it. */
  readonly server?: Server | HttpsServer;
  /** Takes no requests by itself: the application calls `handleUpgrade()`. */
  readonly noServer?: boolean;
  /**
   * Takes only requests for this path, compared without the query; others are answered with 404, unless another
   * server or `upgrade` listener may know them. Default: every path.
   */
  readonly path?: string;
  /** Most connections at a time, handshakes under way included; 503 beyond. Default `Infinity`. */
  readonly maxConnections?: number;
}

/** Options of {@link WebSocketServer.close}. */
export interface CloseOptions {
  /** Close code for all connections. Default 1001, going away. */
  readonly code?: number;
  /** Close reason, at most 123 bytes of UTF-8. Default empty. */
  readonly reason?: string;
  /** Milliseconds to wait for the peers, before the sockets are destroyed. Default 5_000. */
  readonly timeout?: number;
}

/** Events of {@link WebSocketServer}. */
export interface WebSocketServerEvents {
  /** A connection is open. */
  connection: [ws: WebSocketConnection, request: IncomingMessage];
  /** A request was refused, and has been answered. */
  rejected: [error: HandshakeError, request: IncomingMessage];
  /** With `port`: it can be connected to. */
  listening: [];
  /** With `port`: it could not listen. Thrown when nobody listens, as by every server of Node.js. */
  error: [error: Error];
  /** `close()` is complete. */
  close: [];
}

/** Header fields that node:http shows where `maxHeadersCount` is not set: 2000 names and values. */
const MAX_HEADERS_COUNT = 1000;

const optionNames = [
  ...acceptOptionNames,
  'port',
  'host',
  'backlog',
  'server',
  'noServer',
  'path',
  'maxConnections',
];

/**
 * Accepts WebSocket connections: on a port of its own, on a given HTTP or HTTPS server, or by hand.
 *
 * ```ts
 * const server = new WebSocketServer({ server: httpServer, path: '/chat' });
 * server.on('connection', (ws, request) => {
 *   ws.on('message', (data) => ws.send(data));
 * });
 * ```
 *
 * No peer can make it throw: what a peer does wrong in the handshake is answered, and told by `rejected`.
 */
export class WebSocketServer extends EventEmitter<WebSocketServerEvents> {
  readonly #options: ResolvedAcceptOptions;
  readonly #path: string | undefined;
  readonly #maxConnections: number;
  readonly #connections: Set<WebSocketConnection> = new Set();
  readonly #closing: AbortController = new AbortController();
  /** With the option `port`. */
  readonly #own: OwnServer | undefined;
  readonly #server: Server | HttpsServer | undefined;
  readonly #detach: (() => void) | undefined;
  /** One for all connections: a closure made in each handshake would keep the request for as long as they live. */
  readonly #onClose: (this: WebSocketConnection) => void;
  #handshakes = 0;
  #onIdle: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  /** Throws a TypeError or RangeError for options that are wrong, by name. */
  constructor(options: WebSocketServerOptions) {
    super();
    checkNames(options, optionNames);
    const { port, server, noServer = false, path, signal } = options;
    if (Number(port !== undefined) + Number(server !== undefined) + Number(noServer) !== 1) {
      throw new TypeError('Expected exactly one of the options port, server and noServer');
    }
    if (port === undefined && (options.host !== undefined || options.backlog !== undefined)) {
      throw new TypeError('Options host and backlog need the option port');
    }
    if (path !== undefined) checkPath(path);
    const closing = this.#closing.signal;
    this.#options = resolveAcceptOptions({
      ...options,
      signal: signal === undefined ? closing : AbortSignal.any([signal, closing]),
    });
    // One listener for each handshake under way is no leak.
    setMaxListeners(0, this.#options.signal!);
    const forget = (ws: WebSocketConnection): void => {
      this.#connections.delete(ws);
      this.#checkIdle();
    };
    this.#onClose = function (): void {
      forget(this);
    };
    this.#path = path;
    this.#maxConnections = checkNumber(
      'maxConnections',
      options.maxConnections,
      Number.POSITIVE_INFINITY,
      0,
      Number.POSITIVE_INFINITY,
    );
    if (port !== undefined) {
      this.#own = new OwnServer(this.#options.handshakeTimeout);
      this.#own.server.on('listening', () => this.emit('listening'));
      this.#own.server.on('error', (error) => this.emit('error', error));
    }
    this.#server = this.#own?.server ?? server;
    if (this.#server !== undefined) {
      // Nobody else takes requests of a server of its own
      const shared = this.#own === undefined ? path : undefined;
      const http = this.#server;
      this.#detach = dispatch(http, shared, (request, socket, head) => {
        this.#upgrade(request, socket, head, http.maxHeadersCount ?? MAX_HEADERS_COUNT);
      });
    }
    this.#own?.server.listen({ port, host: options.host, backlog: options.backlog });
  }

  /** All connections that are not closed yet. */
  get connections(): ReadonlySet<WebSocketConnection> {
    return this.#connections;
  }

  /** Where the HTTP server listens, as its own `address()`; `null` before `listening`, and with `noServer`. */
  address(): AddressInfo | string | null {
    return this.#server?.address() ?? null;
  }

  /**
   * Answers one upgrade request by hand, with the options of this server, as `accept()` does. The connection also
   * joins `connections` and is told by `connection`.
   *
   * @throws HandshakeError when the request was refused; the peer has been answered then.
   */
  async handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Uint8Array,
  ): Promise<WebSocketConnection> {
    const result = await this.#upgrade(request, socket, head, 0);
    if (result instanceof HandshakeError) throw result;
    return result;
  }

  /**
   * Sends a message to every open connection. It is framed once; leave its bytes unchanged until they have left.
   *
   * @throws TypeError for data that is neither string nor bytes, or bytes that are no UTF-8 sent as text
   */
  broadcast(data: string | BytesLike, options: SendOptions = {}): void {
    const message = prepareMessage(data, options);
    for (const ws of this.#connections) {
      if (ws.state === 'open') ws.send(message, options);
    }
  }

  /**
   * Shuts down: refuses new handshakes with 503, closes every connection with 1001 (RFC 6455 §7.4.1), destroys those
   * that are not closed when the time is over, and closes its own HTTP server. Further calls return the same promise.
   *
   * @throws TypeError or RangeError for a code or reason that must not be sent, or a wrong timeout; nothing is closed.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const { code = CloseCode.GoingAway, reason = '' } = options;
    checkNames(options, ['code', 'reason', 'timeout']);
    closeBody(code, reason);
    const timeout = checkNumber('timeout', options.timeout, 5_000, 0, 0x7fff_ffff);
    this.#closed ??= this.#shutDown(code, reason, timeout);
    return this.#closed;
  }

  /** `close()` with its defaults, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #shutDown(code: number, reason: string, timeout: number): Promise<void> {
    this.#closing.abort();
    this.#own?.stop();
    for (const ws of this.#connections) void ws.close(code, reason);
    const timer = setTimeout(() => {
      for (const ws of this.#connections) ws.terminate();
    }, timeout);
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      this.#checkIdle();
    });
    clearTimeout(timer);
    await this.#own?.destroy();
    this.#detach?.();
    this.emit('close');
  }

  /** As {@link handleUpgrade}, without a promise where nothing has to be waited for. */
  #upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Uint8Array,
    mostFields: number,
  ): UpgradeResult | Promise<UpgradeResult> {
    const refusal = this.#refusal(request);
    this.#handshakes++;
    const result = upgrade(request, socket, head, this.#options, refusal, mostFields);
    if (result instanceof Promise) return result.then((late) => this.#settle(late, request, socket));
    return this.#settle(result, request, socket);
  }

  #settle(result: UpgradeResult, request: IncomingMessage, socket: Duplex): UpgradeResult {
    this.#handshakes--;
    // Told in a tick of its own: what a listener throws is no failure of the handshake.
    if (result instanceof WebSocketConnection) {
      this.#connections.add(result);
      result.on('close', this.#onClose);
      process.nextTick(tellConnection, this, result, request);
      if (this.#closed !== undefined) void result.close(CloseCode.GoingAway);
    } else {
      this.#own?.refused(socket);
      process.nextTick(() => this.emit('rejected', result, request));
    }
    this.#checkIdle();
    return result;
  }

  #checkIdle(): void {
    if (this.#handshakes === 0 && this.#connections.size === 0) this.#onIdle?.();
  }

  #refusal(request: IncomingMessage): Rejection | undefined {
    if (this.#path !== undefined && pathOf(request.url ?? '') !== this.#path) return { status: 404 };
    if (this.#connections.size + this.#handshakes < this.#maxConnections) return undefined;
    return { status: 503, headers: { 'Retry-After': '5' }, body: 'Too many connections' };
  }
}

function tellConnection(server: WebSocketServer, ws: WebSocketConnection, request: IncomingMessage): void {
  server.emit('connection', ws, request);
}

function checkPath(path: string): void {
  const visible =
    typeof path === 'string' && [...path].every((c) => c > ' ' && c < '\x7f' && c !== '?' && c !== '#');
  if (!visible || !path.startsWith('/')) {
    throw new TypeError(`Option path is not the path of a URL: ${JSON.stringify(path)}`);
  }
}
