/** One `upgrade` listener on an HTTP server, however many WebSocket servers share it by path. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { checkRequest, pathOf, type Rejection } from '../handshake/server-handshake.js';
import { requestHead } from './accept.js';
import { answer, refuse } from './refuse.js';

/** Takes the upgrade requests for one path. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

const dispatchers = new WeakMap<Server | HttpsServer, Dispatcher>();

/**
 * Hands the upgrade requests for `path` to `handler`; without a path, all those that no other handler has the path of.
 * Returns what undoes it. Throws a TypeError when the path is taken.
 */
export function dispatch(
  server: Server | HttpsServer,
  path: string | undefined,
  handler: UpgradeHandler,
): () => void {
  let dispatcher = dispatchers.get(server);
  if (dispatcher === undefined) {
    dispatcher = new Dispatcher(server);
    dispatchers.set(server, dispatcher);
  }
  return dispatcher.add(path, handler);
}

class Dispatcher {
  readonly #server: Server | HttpsServer;
  readonly #handlers: Map<string | undefined, UpgradeHandler> = new Map();

  constructor(server: Server | HttpsServer) {
    this.#server = server;
  }

  add(path: string | undefined, handler: UpgradeHandler): () => void {
    if (this.#handlers.has(path)) {
      throw new TypeError(`Another WebSocketServer serves ${path ?? 'every path'} of this HTTP server`);
    }
    if (this.#handlers.size === 0) this.#server.on('upgrade', this.#onUpgrade).on('request', this.#onRequest);
    this.#handlers.set(path, handler);
    return () => {
      this.#handlers.delete(path);
      if (this.#handlers.size > 0) return;
      this.#server.off('upgrade', this.#onUpgrade).off('request', this.#onRequest);
    };
  }

  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const path = pathOf(request.url ?? '') ?? undefined;
    const handler = this.#handlers.get(path) ?? this.#handlers.get(undefined);
    if (handler !== undefined) handler(request, socket, head);
    // Another listener may know the path. Nobody else would close the socket, so without one it is refused here.
    else if (this.#server.listenerCount('upgrade') === 1) refuse(socket, { status: 404 });
  };

  /** A request that asks for no upgrade, on a server that has nothing else to answer with. */
  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    if (this.#server.listenerCount('request') > 1) return;
    const outcome = checkRequest(requestHead(request));
    const rejection: Rejection = 'status' in outcome ? outcome : { status: 400 };
    const { fields, body } = answer(rejection);
    response.writeHead(rejection.status, fields.flat()).end(body);
  };
}
