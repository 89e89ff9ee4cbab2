/** The `ws` package, with its defaults; `WS_NO_BUFFER_UTIL` decides about `bufferutil`. */

import { once } from 'node:events';
import { WebSocket, WebSocketServer } from 'ws';

function heartbeat() {
  this.isAlive = true;
}

export async function listen(behaviour, { deflate = false, level, pingInterval } = {}) {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    perMessageDeflate: deflate && {
      threshold: 0,
      ...(level !== undefined && { zlibDeflateOptions: { level } }),
    },
  });
  server.on('connection', (ws) => {
    ws.on('error', () => {});
    ws.on('message', (data, binary) => {
      if (behaviour === 'echo') ws.send(data, { binary });
      else if (behaviour === 'broadcast') for (const client of server.clients) client.send(data, { binary });
    });
    if (pingInterval !== undefined) {
      ws.isAlive = true;
      ws.on('pong', heartbeat);
    }
  });
  // As its README finds dead peers
  if (pingInterval !== undefined) {
    setInterval(() => {
      for (const ws of server.clients) {
        if (ws.isAlive === false) ws.terminate();
        ws.isAlive = false;
        ws.ping();
      }
    }, pingInterval);
  }
  await once(server, 'listening');
  return server.address().port;
}

export async function open(url, onMessage) {
  const ws = new WebSocket(url, { perMessageDeflate: false });
  ws.on('message', onMessage);
  await once(ws, 'open');
  return { send: (data) => ws.send(data), terminate: () => ws.terminate() };
}
