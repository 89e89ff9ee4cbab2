/** The HTTP server of a WebSocketServer that has a port of its own. */

import { createServer, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { isUpgraded } from './accept.js';
import { refuse } from './refuse.js';

/** What `node:http` finds wrong with the bytes of a request, by error code; 400 otherwise. */
const statuses: ReadonlyMap<string | undefined, number> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', 408],
  ['HPE_HEADER_OVERFLOW', 431],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', 413],
]);

/** An HTTP server that limits the time of a request head, and can be stopped with all of its sockets. */
export class OwnServer {
  readonly server: Server;
  readonly #refused: Set<Duplex> = new Set();
  #stopped: Promise<void> | undefined;

  /** A request head that takes longer than `timeout` milliseconds is answered with 408 before they are over. */
  constructor(timeout: number) {
    const connectionsCheckingInterval = Math.ceil(timeout / 10);
    const headersTimeout = Math.max(1, timeout - connectionsCheckingInterval);
    this.server = createServer({
      connectionsCheckingInterval,
      headersTimeout,
      requestTimeout: headersTimeout,
    });
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const status = statuses.get(error.code) ?? 400;
      // As with every deadline: a request that arrived while this process stood still is read first
      if (status === 408) setImmediate(() => this.#refuse(socket, status));
      else this.#refuse(socket, status);
    });
  }

  #refuse(socket: Duplex, status: number): void {
    if (isUpgraded(socket)) return;
    refuse(socket, { status });
    this.refused(socket);
  }

  /** The upgrade was refused: `node:http` has forgotten the socket, which stays until its peer has read why. */
  refused(socket: Duplex): void {
    if (socket.closed) return;
    this.#refused.add(socket);
    socket.once('close', () => this.#refused.delete(socket));
  }

  /** Accepts no more connections. */
  stop(): void {
    // Without a name to look up, listen() is done at once; with one, it may come to an end only later.
    if (!this.server.listening) this.server.once('listening', () => this.server.close());
    this.#stopped = new Promise((resolve) => this.server.close(() => resolve()));
  }

  /** Destroys the sockets that are left; resolves when all is closed. Call {@link stop} first. */
  async destroy(): Promise<void> {
    this.server.closeAllConnections();
    for (const socket of this.#refused) socket.destroy();
    await this.#stopped;
  }
}
