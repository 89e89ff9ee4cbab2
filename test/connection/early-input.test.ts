/** What the peer sends together with its part of the opening handshake. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Duplex, PassThrough } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import {
  accept,
  connect,
  resolveConnectionOptions,
  WebSocketConnection,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../src/index.js';
import { closeServers, serve, switching } from '../client/raw-server.js';
import { maskedFrame, RawClient, requestText } from '../server/raw.js';
import { frameTo } from '../support/frames.js';
import { checkSideConditions } from '../support/side-conditions.js';

checkSideConditions();

const servers: (WebSocketServer | Server)[] = [];

afterEach(async () => {
  closeServers();
  for (const server of servers.splice(0)) {
    if (server instanceof WebSocketServer) await server.close({ timeout: 0 });
    else server.close();
  }
});

/** A Ping, a Pong, a text, and a frame that breaks a rule. */
const seenOfAll = ['ping a', 'pong b', 'message c', 'error ERR_PROTOCOL', 'close 1006'];
const fromClient = Buffer.concat([
  maskedFrame(9, '61'),
  maskedFrame(10, '62'),
  maskedFrame(1, '63'),
  Buffer.from('ffff', 'hex'),
]);
const fromServer = Buffer.concat([
  frameTo('client', 9, 'a'),
  frameTo('client', 10, 'b'),
  frameTo('client', 1, 'c'),
  Buffer.from('ff7f', 'hex'),
]);

function watch(ws: WebSocketConnection): string[] {
  const seen: string[] = [];
  ws.on('ping', (data) => seen.push(`ping ${data}`));
  ws.on('pong', (data) => seen.push(`pong ${data}`));
  ws.on('message', (data) => seen.push(`message ${data}`));
  ws.on('error', (error) => seen.push(`error ${(error as { code?: string }).code}`));
  ws.on('close', ({ code }) => seen.push(`close ${code}`));
  return seen;
}

/** Sends the request and all frames in one write, and waits for the end. */
async function play(port: number): Promise<void> {
  await using client = await RawClient.connect(port);
  client.write(Buffer.concat([Buffer.from(requestText()), fromClient]));
  await client.until(() => false);
}

type Watched = (port: number, ws: Promise<WebSocketConnection>) => Promise<string[]>;

const watched: Watched = async (port, opening) => {
  const played = play(port);
  const ws = await opening;
  const seen = watch(ws);
  await ws.closed;
  await played;
  return seen;
};

/** An HTTP server, and what `open` makes of the first upgrade request. */
async function httpServer(
  open: (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<WebSocketConnection>,
): Promise<string[]> {
  const http = createServer().listen(0, '127.0.0.1');
  servers.push(http);
  await once(http, 'listening');
  const opening = new Promise<WebSocketConnection>((resolve) => {
    http.on('upgrade', async (request, socket, head) => resolve(await open(request, socket, head)));
  });
  return watched((http.address() as AddressInfo).port, opening);
}

const late: Partial<WebSocketServerOptions> = {
  authenticate: async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return true;
  },
};

describe.each<[string, Partial<WebSocketServerOptions>]>([
  ['at once', {}],
  ['after authenticate', late],
])('frames in one write with the request, which is accepted %s, are seen', (_title, options) => {
  test('by listeners that a connection listener adds', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
    servers.push(server);
    await once(server, 'listening');
    let seen: string[] = [];
    server.on('connection', (ws) => {
      seen = watch(ws);
    });
    await play((server.address() as AddressInfo).port);
    await expect.poll(() => seen).toEqual(seenOfAll);
  });

  test('after a connection was awaited by once()', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
    servers.push(server);
    await once(server, 'listening');
    const opening = once(server, 'connection').then(([ws]) => ws as WebSocketConnection);
    expect(await watched((server.address() as AddressInfo).port, opening)).toEqual(seenOfAll);
  });

  test('after handleUpgrade() was awaited', async () => {
    const server = new WebSocketServer({ noServer: true, ...options });
    servers.push(server);
    expect(await httpServer((...asked) => server.handleUpgrade(...asked))).toEqual(seenOfAll);
  });

  test('after accept() was awaited', async () => {
    expect(await httpServer((...asked) => accept(...asked, options))).toEqual(seenOfAll);
  });
});

test('frames in one write with the response are seen after connect() was awaited', async () => {
  const url = await serve((head, socket) => {
    socket.end(Buffer.concat([Buffer.from(switching(head)), fromServer]));
  });
  const ws = await connect(url);
  const seen = watch(ws);
  await ws.closed;
  expect(seen).toEqual(seenOfAll);
});

test('an error listener that is added after the failure sees it before close', async () => {
  // Its writes never end
  const stream = new Duplex({ read: () => {}, write: () => {} });
  const options = resolveConnectionOptions({ closeTimeout: 20 });
  const ws = new WebSocketConnection(stream, { role: 'server', options, head: Buffer.from('ffff', 'hex') });
  while (ws.state === 'open') await new Promise((resolve) => setImmediate(resolve));
  const seen = watch(ws);
  await ws.closed;
  expect(seen).toEqual(['error ERR_PROTOCOL', 'close 1006']);
});

test('a stream that is paused loses nothing to a message listener of the same tick', async () => {
  const stream = new PassThrough();
  stream.pause();
  stream.write(maskedFrame(1, '62'));
  const options = resolveConnectionOptions({});
  const ws = new WebSocketConnection(stream, { role: 'server', options, head: maskedFrame(1, '61') });
  const seen = watch(ws);
  await expect.poll(() => seen).toEqual(['message a', 'message b']);
  ws.terminate();
  await ws.closed;
});
