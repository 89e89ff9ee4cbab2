/** A peer in a thread of its own: it answers while this thread is blocked. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** Answers opening handshakes, and each Ping of either role, which comes alone; nothing else. */
const program = `
const { createHash } = require('node:crypto');
const { createServer } = require('node:net');
const { parentPort } = require('node:worker_threads');
const answer = (frame) => {
  const size = frame[1] & 127;
  if (frame[1] < 128) return Buffer.concat([Buffer.from([0x8a, 128 | size, 0, 0, 0, 0]), frame.subarray(2, 2 + size)]);
  const payload = frame.subarray(6, 6 + size).map((byte, i) => byte ^ frame[2 + (i & 3)]);
  return Buffer.concat([Buffer.from([0x8a, size]), payload]);
};
const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', (data) => {
    const key = /sec-websocket-key: (.*)\\r\\n/i.exec(String(data))?.[1];
    if (key !== undefined) {
      const accept = createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
      socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n' +
        'Sec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n');
    } else if (data[0] === 0x89) socket.write(answer(data));
  });
}).listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

/** Where it listens, and what ends it. */
export async function farPeer(): Promise<{ readonly port: number; stop(): Promise<unknown> }> {
  const worker = new Worker(program, { eval: true });
  const [port] = await once(worker, 'message');
  return { port, stop: () => worker.terminate() };
}
