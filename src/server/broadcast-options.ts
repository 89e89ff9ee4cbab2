/** Options of `broadcast()`, their checks, and its result. */

import type { SendOptions } from '../connection/connection-types.js';
import { WebSocketConnection } from '../connection/websocket-connection.js';
import { checkBoolean, checkNames } from '../options.js';

/** Options of `WebSocketServer.broadcast()`. */
export interface BroadcastOptions<Data = unknown> extends SendOptions {
  /**
   * A connection, or several, that the message is not sent to, such as the one that it came from. Default
   * none.
   */
  readonly except?: WebSocketConnection | Iterable<WebSocketConnection>;
  /** Whether the message is sent to a connection. Default: to all. */
  readonly filter?: (ws: WebSocketConnection<Data>) => boolean;
}

/** What came of a broadcast, in connections. */
export interface BroadcastResult {
  /** Connections that the message was sent to. */
  readonly sent: number;
  /** Those of them whose queue takes `highWaterMark` bytes of memory or more, as `send()` counts it. */
  readonly full: number;
}

const none: ReadonlySet<WebSocketConnection> = new Set();

/** Checks the options; throws a TypeError by name. */
export function resolveBroadcastOptions<Data>(options: BroadcastOptions<Data>): {
  readonly except: ReadonlySet<WebSocketConnection>;
  readonly filter: BroadcastOptions<Data>['filter'];
} {
  checkNames('broadcast()', options, ['type', 'compress', 'except', 'filter']);
  checkBoolean('compress', options.compress);
  const { except, filter } = options;
  if (filter !== undefined && typeof filter !== 'function')
    throw new TypeError('Option filter is not a function');
  if (except === undefined) return { except: none, filter };
  if (except instanceof WebSocketConnection) return { except: new Set([except]), filter };
  if (typeof except?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`Option except is no connection, and not iterable: ${String(except)}`);
  }
  const several: ReadonlySet<unknown> = except instanceof Set ? except : new Set(except);
  for (const one of several) {
    if (!(one instanceof WebSocketConnection))
      throw new TypeError(`Option except has an element that is no connection: ${String(one)}`);
  }
  return { except: several as ReadonlySet<WebSocketConnection>, filter };
}
