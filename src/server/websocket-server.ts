/** A WebSocket server: RFC 6455 §4.2 for the opening handshakes, §7.1.1 and §7.4.1 (1001) for its end. */

import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Owner } from '../connection/owner.js';
import type { BytesLike } from '../connection/sending/payload.js';
import { onListenerRejected, setOwner, WebSocketConnection } from '../connection/websocket-connection.js';
import { deadline } from '../deadline.js';
import { HandshakeError, WebSocketError } from '../errors.js';
import { decodePath, type PathParams, PathPattern, pathOf } from '../handshake/path.js';
import { CloseCode } from '../protocol/close-code.js';
import { checkUpgrade, type UpgradeResult, upgrade } from './accept.js';
import { type ResolvedAcceptOptions, resolveAcceptOptions } from './accept-options.js';
import { broadcast } from './broadcast.js';
import type { BroadcastOptions, BroadcastResult } from './broadcast-options.js';
import { Connections } from './connections.js';
import { dispatch, type HttpServer } from './dispatcher.js';
import { OwnServer } from './own-server.js';
import { RequestContext } from './request-context.js';
import type { WebSocketServerEvents } from './server-events.js';
import {
  type CloseOptions,
  checkServerOptions,
  resolveCloseOptions,
  type WebSocketServerOptions,
} from './server-options.js';
import { visitInSlices } from './slices.js';

/** Header fields that node:http shows where `maxHeadersCount` is not set: 2000 names and values. */
const MAX_HEADERS_COUNT = 1000;

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
 * No peer can make it throw: what a peer does wrong in the handshake is answered, and reported by `rejected`.
 * Listeners may be async. One of `connection` that rejects because its own connection has ended is no
 * failure; any other rejection closes the connection with 1011 and is emitted as `error`.
 *
 * @typeParam Data - what `authenticate` puts into `ws.data` of each connection
 */
export class WebSocketServer<Data = unknown> extends EventEmitter<WebSocketServerEvents<Data>> {
  readonly #options: ResolvedAcceptOptions;
  readonly #path: PathPattern | undefined;
  readonly #connections: Connections<Data>;
  readonly #closing: AbortController = new AbortController();
  /** With the option `port`. */
  readonly #own: OwnServer | undefined;
  readonly #server: HttpServer | undefined;
  readonly #detach: (() => void) | undefined;
  /** What a peer, the network or the time did must not end the process: without a listener it is dropped. */
  readonly #report = (error: Error): void => {
    if (!(error instanceof WebSocketError) || this.listenerCount('error') > 0) this.emit('error', error);
  };
  /** Without a closure for each connection, which would keep its request for as long as it lives. */
  readonly #owner: Owner = {
    closed: (ws) => this.#connections.closed(ws as WebSocketConnection<Data>),
    rejected: this.#report,
  };
  #closed: Promise<void> | undefined;

  /** Throws a TypeError or RangeError for options that are wrong, by name. */
  constructor(options: WebSocketServerOptions<Data>) {
    super({ captureRejections: true });
    this.#connections = new Connections(checkServerOptions(options));
    const { port, server, path, signal } = options;
    const closing = this.#closing.signal;
    this.#options = resolveAcceptOptions({
      ...options,
      signal: signal === undefined ? closing : AbortSignal.any([signal, closing]),
    });
    this.#path = path === undefined ? undefined : new PathPattern(path);
    if (port !== undefined) {
      this.#own = new OwnServer(this.#options.handshakeTimeout);
      this.#own.server.on('listening', () => this.emit('listening'));
      this.#own.server.on('error', (error) => this.emit('error', error));
    }
    this.#server = this.#own?.server ?? server;
    if (this.#server !== undefined) {
      const http = this.#server as { readonly maxHeadersCount?: number | null };
      this.#detach = dispatch(this.#server, {
        // Nothing else serves the paths of a server of its own
        path: this.#own === undefined ? this.#path : undefined,
        handshakeTimeout: this.#options.handshakeTimeout,
        upgrade: (request, socket, head, params, responses) => {
          const maxFields = http.maxHeadersCount ?? MAX_HEADERS_COUNT;
          this.#upgrade(request, socket, head, maxFields, params, responses);
        },
      });
    }
    this.#own?.server.listen({ port, host: options.host, backlog: options.backlog });
  }

  /** All connections that are not closed yet. */
  get connections(): ReadonlySet<WebSocketConnection<Data>> {
    return this.#connections.all;
  }

  /**
   * Where the HTTP server listens, as its own `address()`; `null` before `listening`, and with `noServer`.
   */
  address(): AddressInfo | string | null {
    return this.#server?.address() ?? null;
  }

  /**
   * Answers one upgrade request by hand, with the options of this server, as `accept()` does. The connection
   * also joins `connections` and is emitted as `connection`.
   *
   * Rejects with a HandshakeError when the request was refused; the peer has been answered then, and
   * `rejected` emitted, so that the promise need not be awaited: it never is an unhandled rejection. Rejects
   * with a TypeError, which is one, for an argument that is no request, socket or head.
   */
  handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Uint8Array,
  ): Promise<WebSocketConnection<Data>> {
    try {
      checkUpgrade(request, socket, head);
    } catch (error) {
      return Promise.reject(error);
    }
    const upgraded = this.#handleUpgrade(request, socket, head);
    upgraded.catch(ignore);
    return upgraded;
  }

  async #handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Uint8Array,
  ): Promise<WebSocketConnection<Data>> {
    const result = await this.#upgrade(request, socket, head, 0);
    if (result instanceof HandshakeError) throw result;
    return result;
  }

  /**
   * Sends a message to every open connection but those of `except`, and of the rest to those that `filter`
   * returns true for. It is framed once; leave its bytes unchanged until they have left. `filter` is called
   * for all of them before anything is sent.
   *
   * @returns how many connections it was sent to, and how many of them are full: their `send()` returned
   *   false. A full one that is sent to regardless fails at `maxBufferedAmount`.
   * @throws TypeError for data that is neither string nor bytes, bytes that are not UTF-8 sent as text, or a
   *   wrong option
   */
  broadcast(data: string | BytesLike, options: BroadcastOptions<Data> = {}): BroadcastResult {
    return broadcast(this.#connections.all, data, options);
  }

  /**
   * Shuts down: refuses new handshakes with 503, closes every connection with 1001 (RFC 6455 §7.4.1),
   * destroys those that are not closed when the time is over, and closes its own HTTP server. Many
   * connections are closed over several turns of the event loop, so that none of them is long. Further calls
   * return the same promise.
   *
   * @throws TypeError or RangeError for a code or reason that must not be sent, or a wrong timeout; nothing
   *   is closed.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const { code, reason, timeout } = resolveCloseOptions(options);
    if (this.#closed === undefined) {
      // Known before anything is closed: listeners that run meanwhile may call it, too
      let settle!: (shutDown: Promise<void>) => void;
      this.#closed = new Promise((resolve) => {
        settle = resolve;
      });
      settle(this.#shutDown(code, reason, timeout));
    }
    return this.#closed;
  }

  /** `close()` with its defaults, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #shutDown(code: number, reason: string, timeout: number): Promise<void> {
    this.#closing.abort();
    this.#own?.stop();
    const { all } = this.#connections;
    const cancel = deadline(timeout, () => visitInSlices(all, (ws) => ws.terminate()));
    await visitInSlices(all, (ws) => ws.close(code, reason));
    await this.#connections.idle();
    cancel();
    await this.#own?.destroy();
    this.#detach?.();
    this.emit('close');
  }

  /** As {@link handleUpgrade}, without a promise where nothing has to be waited for. */
  #upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Uint8Array,
    maxFields: number,
    matched?: PathParams,
    responses?: ReadonlySet<ServerResponse>,
  ): UpgradeResult<Data> | Promise<UpgradeResult<Data>> {
    const params = matched ?? this.#match(request);
    const options = this.#options;
    const refusal = typeof params === 'number' ? { status: params } : this.#connections.overload;
    const context = new RequestContext(
      request,
      options.trustProxy,
      typeof params === 'number' ? undefined : params,
    );
    this.#connections.handshake();
    // Its data is what `authenticate` of these options returned
    const result = upgrade({ request, socket, head, options, context, refusal, maxFields, responses }) as
      | UpgradeResult<Data>
      | Promise<UpgradeResult<Data>>;
    if (result instanceof Promise) return result.then((late) => this.#settle(late, request, socket, context));
    return this.#settle(result, request, socket, context);
  }

  /** An async listener has rejected; `args` are those of the event. Node.js calls it in a tick of its own. */
  #onRejection(error: Error, event: unknown, args: readonly unknown[]): void {
    if (event === 'error') throw error;
    const [ws] = args;
    const known = event === 'connection' && ws instanceof WebSocketConnection;
    if (known) onListenerRejected(ws, error, this.#report);
    else this.#report(error);
  }

  static {
    WebSocketServer.prototype[EventEmitter.captureRejectionSymbol] = function (
      this: WebSocketServer,
      error,
      event,
      ...args
    ) {
      this.#onRejection(error, event, args);
    };
  }

  #settle(
    result: UpgradeResult<Data>,
    request: IncomingMessage,
    socket: Duplex,
    context: RequestContext,
  ): UpgradeResult<Data> {
    // Emitted in a tick of its own: what a listener throws is no failure of the handshake.
    if (result instanceof WebSocketConnection) {
      this.#connections.open(result);
      setOwner(result, this.#owner);
      process.nextTick(emitConnection, this, result, request, context);
      if (this.#closed !== undefined) void result.close(CloseCode.GoingAway);
    } else {
      this.#connections.refused();
      this.#own?.refused(socket);
      process.nextTick(() => this.emit('rejected', result, request));
    }
    return result;
  }

  /** The parameters of a path that the option `path` matches, else the status to refuse the request with. */
  #match(request: IncomingMessage): PathParams | undefined | number {
    if (this.#path === undefined) return undefined;
    const path = pathOf(request.url ?? '');
    if (path === null) return 404;
    const segments = decodePath(path);
    return segments === null ? 400 : (this.#path.match(segments) ?? 404);
  }
}

function emitConnection<Data>(
  server: WebSocketServer<Data>,
  ws: WebSocketConnection<Data>,
  request: IncomingMessage,
  context: RequestContext,
): void {
  server.emit('connection', ws, request, context);
}

function ignore(): void {}
