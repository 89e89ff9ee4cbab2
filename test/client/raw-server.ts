/** Servers that play the answer to an opening handshake byte by byte. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** Servers to close, and their sockets. */
export const open: Server[] = [];
export const sockets: Set<Socket> = new Set();

/** Destroys all sockets and closes all servers. */
export function closeServers(): void {
  for (const socket of sockets) socket.destroy();
  for (const server of open.splice(0)) server.close();
  sockets.clear();
}

/** A TCP server that plays `answer` to each request head; its URL. */
export async function serve(answer: (head: string, socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let head = '';
    socket.on('data', (data) => {
      if (head.includes('\r\n\r\n')) return;
      head += data.toString('latin1');
      if (head.includes('\r\n\r\n')) answer(head, socket);
    });
  }).listen(0, '127.0.0.1');
  open.push(server);
  await once(server, 'listening');
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

export const field = (head: string, name: string): string | undefined =>
  head
    .split('\r\n')
    .find((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`))
    ?.slice(name.length + 1)
    .trim();

export const acceptOf = (head: string): string =>
  createHash('sha1')
    .update(`${field(head, 'Sec-WebSocket-Key')}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');

/** A 101 with these fields in place of, or beside, the right ones; null leaves one out. */
export function switching(head: string, fields: Record<string, string | string[] | null> = {}): string {
  const all: Record<string, string | string[] | null> = {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Accept': acceptOf(head),
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [value].flat().map((one) => `${name}: ${one}`),
  );
  return ['HTTP/1.1 101 Switching Protocols', ...lines, '\r\n'].join('\r\n');
}
