/** Connections of a server over streams in memory. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocketConnection, WebSocketServer } from '../../src/index.js';
import { requestText } from '../server/raw.js';

const [, ...lines] = requestText().trimEnd().split('\r\n');
const rawHeaders = lines.flatMap((line) => line.split(': '));

/** Has the server answer a valid upgrade request, as if `node:http` had read it from the stream. */
export function upgradeInMemory(server: WebSocketServer, socket: Duplex): Promise<WebSocketConnection> {
  const request = {
    method: 'GET',
    url: '/',
    httpVersion: '1.1',
    rawHeaders,
    headers: { upgrade: '' },
    socket,
  };
  return server.handleUpgrade(request as unknown as IncomingMessage, socket, Buffer.alloc(0));
}
