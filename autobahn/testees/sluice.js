/** Sluice as Autobahn's peer, with its default limits, and compression for categories 12 and 13. */

import { once } from 'node:events';
import { connect, WebSocketServer } from '../../dist/index.js';

/** Starts an echo server on 127.0.0.1 and resolves to its port. */
export async function listen() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, compression: true });
  server.on('connection', echo);
  await once(server, 'listening');
  return server.address().port;
}

/**
 * Opens `url`, echoes what comes if told to, and resolves to the last message when the connection is closed.
 *
 * @param {string} url
 * @param {boolean} echoing
 */
export async function visit(url, echoing) {
  const ws = await connect(url, { compression: true });
  let last = '';
  ws.on('message', (data) => {
    last = data;
  });
  if (echoing) echo(ws);
  await ws.closed;
  return last;
}

/** @param {import('../../dist/index.js').WebSocketConnection} ws */
function echo(ws) {
  ws.on('message', (data, type) => ws.send(data, { type }));
}
