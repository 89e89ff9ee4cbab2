/** The connections of a WebSocketServer, and its handshakes under way: how many there may be, and when there are none. */
import type { WebSocketConnection } from '../connection/websocket-connection.js';
import type { Rejection } from '../handshake/server-handshake.js';

/** Counts handshakes under way, and holds the connections until they are closed. */
export class Connections<Data> {
  readonly all: Set<WebSocketConnection<Data>> = new Set();
  readonly #max: number;
  #handshakes = 0;
  #onIdle: (() => void) | undefined;

  /** @param max - connections and handshakes together */
  constructor(max: number) {
    this.#max = max;
  }

  /** Why no other handshake may begin; undefined when one may. */
  get overload(): Rejection | undefined {
    if (this.all.size + this.#handshakes < this.#max) return undefined;
    return { status: 503, headers: { 'Retry-After': '5' }, body: 'Too many connections' };
  }

  /** A handshake begins; it ends with {@link open} or {@link refused}. */
  handshake(): void {
    this.#handshakes++;
  }

  /** A handshake has led to a connection. */
  open(ws: WebSocketConnection<Data>): void {
    this.#handshakes--;
    this.all.add(ws);
  }

  /** A handshake was refused. */
  refused(): void {
    this.#handshakes--;
    this.#checkIdle();
  }

  closed(ws: WebSocketConnection<Data>): void {
    this.all.delete(ws);
    this.#checkIdle();
  }

  /** Resolves once there is no connection, and no handshake under way. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      this.#checkIdle();
    });
  }

  #checkIdle(): void {
    if (this.#handshakes === 0 && this.all.size === 0) this.#onIdle?.();
  }
}
