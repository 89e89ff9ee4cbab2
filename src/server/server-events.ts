/** Events of `WebSocketServer`. */

import type { IncomingMessage } from 'node:http';
import type { WebSocketConnection } from '../connection/websocket-connection.js';
import type { HandshakeError } from '../errors.js';
import type { RequestContext } from './request-context.js';

/** Events of `WebSocketServer` and their arguments. */
export interface WebSocketServerEvents<Data = unknown> {
  /**
   * A connection is open. `context` has the URL, the parameters of the path, and the cookies of the request.
   */
  connection: [ws: WebSocketConnection<Data>, request: IncomingMessage, context: RequestContext];
  /** A request was refused, and has been answered. */
  rejected: [error: HandshakeError, request: IncomingMessage];
  /** With `port`: it can be connected to. */
  listening: [];
  /**
   * With `port`: it could not listen. Or an async listener of this server has rejected, other than by the end
   * of the connection that it was called with. Thrown where there is no listener, as by every emitter of
   * Node.js.
   */
  error: [error: Error];
  /** `close()` is complete. */
  close: [];
}
