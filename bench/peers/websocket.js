/** The `websocket` package. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import websocket from 'websocket';

export async function listen(behaviour, { pingInterval } = {}) {
  const httpServer = createServer();
  const server = new websocket.server({
    httpServer,
    autoAcceptConnections: true,
    maxReceivedFrameSize: 2 ** 26,
    maxReceivedMessageSize: 2 ** 26,
    fragmentOutgoingMessages: false,
    ...(pingInterval !== undefined && { keepaliveInterval: pingInterval }),
  });
  server.on('connect', (connection) => {
    connection.on('message', (message) => {
      const data = message.type === 'utf8' ? message.utf8Data : message.binaryData;
      if (behaviour === 'echo') connection.send(data);
      else for (const other of server.connections) other.send(data);
    });
  });
  httpServer.listen(0, '127.0.0.1');
  await once(httpServer, 'listening');
  return httpServer.address().port;
}
