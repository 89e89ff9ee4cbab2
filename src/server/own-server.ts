/** The HTTP server of a WebSocketServer that has a port of its own. */

import { createServer, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { deadline } from '../deadline.js';
import { refuse } from './refuse.js';

/** On a socket: cancels the deadline of its request. */
const kRequest = Symbol('request');

type Limited = Duplex & { [kRequest]?: () => void };

/** An HTTP server that limits the time of a request head, and can be stopped with all of its sockets. */
export class OwnServer {
  readonly server: Server;
  readonly #refused: Set<Duplex> = new Set();
  #stopped: Promise<void> | undefined;

  /**
   * A connection without a request head after `timeout` milliseconds is answered with 408. `node:http` has
   * such timeouts, but they also end requests that arrived while the process stood still. One that asks for
   * no upgrade is answered at once, and closed.
   */
  constructor(timeout: number) {
    this.server = createServer({ headersTimeout: 0, requestTimeout: 0 });
    this.server.on('connection', (socket: Limited) => {
      socket[kRequest] = deadline(timeout, () => {
        refuse(socket, { status: 408 });
        this.refused(socket);
      });
      socket.once('close', onClose);
    });
    this.server.on('upgrade', (_request, socket: Limited) => {
      socket[kRequest]?.();
      socket.off('close', onClose);
    });
  }

  /**
   * The upgrade was refused: `node:http` has forgotten the socket, which stays until its peer has read why.
   */
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

function onClose(this: Limited): void {
  this[kRequest]?.();
}
