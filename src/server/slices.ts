/** Work on many connections, spread over turns of the event loop. */

import type { WebSocketConnection } from '../connection/websocket-connection.js';

/**
 * Milliseconds, and connections, of one turn of the event loop in which connections are visited. The
 * number is bounded too, as the end of a connection takes most of its time in ticks that come after.
 */
const MAX_SLICE = 1;
const MAX_VISITS = 64;

/** Visits those of the connections that are not closed when their turn comes; resolves after the last one. */
export async function visitInSlices(
  connections: ReadonlySet<WebSocketConnection>,
  visit: (ws: WebSocketConnection) => unknown,
): Promise<void> {
  let began = performance.now();
  let visits = 0;
  for (const ws of [...connections]) {
    if (++visits > MAX_VISITS || performance.now() - began > MAX_SLICE) {
      await new Promise((resolve) => setImmediate(resolve));
      began = performance.now();
      visits = 0;
    }
    if (ws.state !== 'closed') visit(ws);
  }
}
