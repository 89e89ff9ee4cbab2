/** The HTTP server of a WebSocketServer that has a port of its own. */

import { createServer, type Server } from 'node:http';
import type { Duplex } from 'node:stream';

/** An HTTP server that gives a request so much time, and can be stopped with all of its sockets. */
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
  }

  /** The upgrade was refused: `node:http` knows nothing of the socket any more, which lingers for its peer to read why. */
  refused(socket: Duplex): void {
    if (socket.closed) return;
    this.#refused.add(socket);
    socket.once('close', () => this.#refused.delete(socket));
  }

  /** Takes no more connections. */
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
