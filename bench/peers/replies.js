/** What the clients talk to: counts their frames, and answers with frames made beforehand. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { header, makePayloads, serverFrame } from '../frames.js';

export async function listen(_behaviour, { size, window }) {
  const reply = serverFrame(0x82, makePayloads(1, size, 'same')[0]);
  const replies = Buffer.concat(Array.from({ length: window }, () => reply));
  const requestSize = header(0x82, size, Buffer.alloc(4)).length + size;
  const server = createServer();
  server.on('upgrade', (request, socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.setNoDelay(true);
    socket.on('error', () => {});
    let received = 0;
    let checked = 0;
    socket.on('data', (chunk) => {
      // The first ones come before the clock runs
      for (
        let i = 0;
        checked < window && received === 0 && i + requestSize <= chunk.length;
        i += requestSize
      ) {
        const frame = chunk.subarray(i, i + requestSize);
        const key = frame.subarray(requestSize - size - 4);
        for (let j = 0; j < size; j++) {
          if ((key[4 + j] ^ key[j & 3]) !== reply[reply.length - size + j])
            throw new Error('Not what was to be sent');
        }
        checked++;
      }
      received += chunk.length;
      let count = Math.floor(received / requestSize);
      received -= count * requestSize;
      for (; count > 0; count -= window) {
        socket.write(replies.subarray(0, Math.min(count, window) * reply.length));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}
