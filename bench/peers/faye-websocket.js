/** The `faye-websocket` package. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import WebSocket from 'faye-websocket';

export async function listen(behaviour, { pingInterval } = {}) {
  const server = createServer();
  const all = new Set();
  server.on('upgrade', (request, socket, head) => {
    const options = pingInterval === undefined ? {} : { ping: pingInterval / 1000 };
    const ws = new WebSocket(request, socket, head, [], options);
    all.add(ws);
    ws.on('close', () => all.delete(ws));
    ws.on('message', ({ data }) => {
      if (behaviour === 'echo') ws.send(data);
      else for (const other of all) other.send(data);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}
