/** This library, with its defaults; `SLUICE` names another build of it. */

import { once } from 'node:events';

const { connect, WebSocketServer } = await import(process.env['SLUICE'] ?? '../../dist/index.js');

const behaviours = {
  echo(ws) {
    ws.on('message', (data, type) => ws.send(data, { type }));
  },
  async stream(ws) {
    try {
      for await (const message of ws) await ws.sendStream(message, { type: message.type });
    } catch {
      // The peer has gone
    }
  },
  sink(ws) {
    ws.on('message', () => {});
  },
};

/** @type {import('../../dist/index.js').WebSocketServer} */
let server;

export const connections = () => ({ open: server.connections.size, port: server.address().port });

export async function listen(behaviour, { deflate = false, level, pingInterval, maxBufferedAmount } = {}) {
  server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    compression: deflate && { threshold: 0, ...(level !== undefined && { level }) },
    ...(pingInterval !== undefined && { pingInterval }),
    ...(maxBufferedAmount !== undefined && { maxBufferedAmount }),
  });
  if (behaviour === 'broadcast') {
    server.on('connection', (ws) => ws.on('message', (data, type) => server.broadcast(data, { type })));
  } else server.on('connection', behaviours[behaviour]);
  await once(server, 'listening');
  return server.address().port;
}

/** Opens a connection; `onMessage(data)` has each binary message. */
export async function open(url, onMessage) {
  const ws = await connect(url);
  ws.on('message', onMessage);
  return { send: (data) => ws.send(data), terminate: () => ws.terminate() };
}
