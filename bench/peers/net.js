/**
 * No WebSocket at all: `node:net` alone, which shows what the sockets cost. An upgrade is answered by a constant, and
 * then bytes are echoed, or one buffer is written to all.
 */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { header } from '../frames.js';

const accepted = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';

export async function listen(behaviour, { size = 0 } = {}) {
  const sockets = new Set();
  const message = Buffer.concat([header(0x82, size, null), Buffer.alloc(size, 'x')]);
  const requestSize = header(0x82, size, Buffer.alloc(4)).length + size;
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(accepted);
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      let received = 0;
      socket.on('data', (chunk) => {
        if (behaviour === 'echo') {
          socket.write(chunk);
          return;
        }
        for (received += chunk.length; received >= requestSize; received -= requestSize) {
          for (const other of sockets) other.write(message);
        }
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}
