/** The `ws` package as Autobahn's peer, to try the harness and to compare. */

import { once } from 'node:events';
import { WebSocket, WebSocketServer } from 'ws';

export async function listen() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true });
  server.on('connection', echo);
  await once(server, 'listening');
  return server.address().port;
}

/**
 * @param {string} url
 * @param {boolean} echoing
 */
export async function visit(url, echoing) {
  const ws = new WebSocket(url);
  let last = '';
  ws.on('message', (data) => {
    last = data.toString();
  });
  if (echoing) echo(ws);
  else ws.on('error', () => {});
  await new Promise((resolve) => ws.on('close', resolve));
  return last;
}

/** @param {WebSocket} ws */
function echo(ws) {
  ws.on('error', () => {});
  ws.on('message', (data, binary) => ws.send(data, { binary }));
}
