/** One `upgrade` listener on an HTTP server, however many WebSocket servers share it by path. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Http2SecureServer, Http2Server } from 'node:http2';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { deadline } from '../deadline.js';
import { decodePath, type PathParams, type PathPattern, pathOf } from '../handshake/path.js';
import { checkRequest, type Rejection } from '../handshake/server-handshake.js';
import { isUpgraded, requestHead } from './accept.js';
import { afterResponses, openResponses, trackResponse } from './pipeline.js';
import { answer, refuse } from './refuse.js';

/**
 * An HTTP server of Node.js. An HTTP/2 one is of use with TLS and `allowHTTP1`: it upgrades requests of
 * HTTP/1.1.
 */
export type HttpServer = Server | HttpsServer | Http2SecureServer | Http2Server;

/** The requests of an HTTP server that a WebSocket server answers. */
export interface Route {
  /** The path of the requests; undefined for all those that no other route matches. */
  readonly path: PathPattern | undefined;
  /** Its option of this name, in milliseconds. */
  readonly handshakeTimeout: number;
  /** Answers a request; `responses` of the same socket are not sent yet. */
  readonly upgrade: (
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    params: PathParams | undefined,
    responses: ReadonlySet<ServerResponse> | undefined,
  ) => void;
}

const dispatchers = new WeakMap<HttpServer, Dispatcher>();

/**
 * Sends the upgrade requests of an HTTP server to a route. Returns what undoes it. Throws a TypeError when
 * the path is taken.
 */
export function dispatch(server: HttpServer, route: Route): () => void {
  let dispatcher = dispatchers.get(server);
  if (dispatcher === undefined) {
    dispatcher = new Dispatcher(server as Server);
    dispatchers.set(server, dispatcher);
  }
  return dispatcher.add(route);
}

class Dispatcher {
  readonly #server: Server;
  /** Those with a path, the one to prefer first. */
  #routes: readonly (Route & { readonly path: PathPattern })[] = [];
  #rest: Route | undefined;

  constructor(server: Server) {
    this.#server = server;
  }

  add(route: Route): () => void {
    const { path } = route;
    if (
      path === undefined
        ? this.#rest !== undefined
        : this.#routes.some((one) => one.path.shape === path.shape)
    ) {
      throw new TypeError(`Another WebSocketServer serves ${path ?? 'every path'} of this HTTP server`);
    }
    if (this.#empty) this.#server.on('upgrade', this.#onUpgrade).on('request', this.#onRequest);
    if (path === undefined) this.#rest = route;
    else {
      const order = (one: { readonly path: PathPattern }): string => one.path.order;
      this.#routes = [...this.#routes, { ...route, path }].sort((a, b) => (order(a) < order(b) ? -1 : 1));
    }
    return () => {
      if (path === undefined) this.#rest = undefined;
      else this.#routes = this.#routes.filter((one) => one.path !== path);
      if (this.#empty) this.#server.off('upgrade', this.#onUpgrade).off('request', this.#onRequest);
    };
  }

  get #empty(): boolean {
    return this.#rest === undefined && this.#routes.length === 0;
  }

  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const responses = openResponses(socket);
    const path = pathOf(request.url ?? '');
    const segments = path === null || this.#routes.length === 0 ? null : decodePath(path);
    const match = segments === null ? null : this.#match(segments);
    if (match !== null) match.route.upgrade(request, socket, head, match.params, responses);
    else if (this.#rest !== undefined) this.#rest.upgrade(request, socket, head, undefined, responses);
    else this.#unserved(socket, responses, path !== null && segments === null ? 400 : 404);
  };

  #match(path: readonly string[]): { readonly route: Route; readonly params: PathParams } | null {
    for (const route of this.#routes) {
      const params = route.path.match(path);
      if (params !== null) return { route, params };
    }
    return null;
  }

  /**
   * A path that no route matches. Another listener may serve it, and nothing says so but what it writes;
   * where none has written by the handshake timeout, nothing else would ever close the socket.
   */
  #unserved(socket: Duplex, responses: ReadonlySet<ServerResponse> | undefined, status: number): void {
    // Before the other listeners are called: the peer may reset at any moment
    socket.on('error', ignore);
    const timeout = Math.max(...this.#routes.map((route) => route.handshakeTimeout));
    if (this.#server.listenerCount('upgrade') === 1) {
      if (responses === undefined) refuse(socket, { status });
      else afterResponses(socket, responses, timeout).then(() => refuse(socket, { status }));
      return;
    }
    const { bytesWritten } = socket as Partial<Socket>;
    // A stream that does not count belongs to a listener that knows it
    if (bytesWritten === undefined) return;
    const cancel = deadline(timeout, () => {
      if (!isUpgraded(socket) && (socket as Socket).bytesWritten === bytesWritten) {
        refuse(socket, { status });
      }
    });
    socket.once('close', cancel);
  }

  /**
   * Counts the response; answers a request that asks for no upgrade, where the server has nothing else to
   * answer with.
   */
  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    // HTTP/2 upgrades no socket, and its streams do not wait for one another
    if (request.httpVersionMajor === 1) trackResponse(response);
    if (this.#server.listenerCount('request') > 1) return;
    const outcome = checkRequest(requestHead(request));
    const rejection: Rejection = 'status' in outcome ? outcome : { status: 400 };
    const { fields, body } = answer(rejection);
    const sent = request.httpVersionMajor === 1 ? fields : fields.filter(([name]) => !isHopByHop(name));
    response.writeHead(rejection.status, sent.flat()).end(body);
  };
}

/** RFC 9113 §8.2.2: what HTTP/2 has no use for. */
function isHopByHop(name: string): boolean {
  return name === 'Connection' || name === 'Upgrade';
}

function ignore(): void {}
