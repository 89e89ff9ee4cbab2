/** Sentences of the public API that say what servers, accept() and connect() do, where no other test proves them. */
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import {
  type createServer as createHttp2Server,
  createSecureServer,
  type Http2SecureServer,
} from 'node:http2';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  accept,
  connect,
  HandshakeError,
  type HttpServer,
  type RequestContext,
  WebSocketConnection,
  WebSocketServer,
} from '../../src/index.js';
import { checkSideConditions, expectedFault } from '../support/side-conditions.js';
import { turns } from '../support/wire.js';
import { cert, key } from './certificate.js';
import { opened, refused } from './raw.js';

const parsed = vi.hoisted(() => ({ cookies: 0 }));
vi.mock('../../src/handshake/cookies.js', async (original) => {
  const { parseCookies } = await original<typeof import('../../src/handshake/cookies.js')>();
  return {
    parseCookies: (field: string) => {
      parsed.cookies++;
      return parseCookies(field);
    },
  };
});

checkSideConditions();

const servers: WebSocketServer[] = [];
const httpServers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close({ timeout: 0 });
  for (const server of httpServers.splice(0)) {
    server.closeAllConnections();
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
});

const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;

async function listen(server: Server = createServer()): Promise<Server> {
  httpServers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

test('[P-02] [P-04] a server on an HTTP server, with a path: the event has the connection, its request, and url, params, cookies', async () => {
  const http = await listen();
  const server = new WebSocketServer({ server: http, path: '/chat/:room' });
  servers.push(server);
  const seen: unknown[] = [];
  server.on('connection', (ws, request, { url, params, cookies }) => {
    seen.push([request.url, url.href, { ...params }, { ...cookies }]);
    ws.on('message', (data) => ws.send(data));
  });
  const base = `ws://127.0.0.1:${portOf(http)}`;
  const ws = await connect(`${base}/chat/a%20b?x=1`, { headers: { Cookie: 'sid=1' } });
  ws.send('echoed');
  expect(await (await ws.receive())?.text()).toBe('echoed');
  await ws.close();
  expect(seen).toEqual([['/chat/a%20b?x=1', `${base}/chat/a%20b?x=1`, { room: 'a b' }, { sid: '1' }]]);
  expect((await refused(portOf(http), {}, 'GET /other HTTP/1.1')).status).toBe(404);
});

test('[P-46] connect(), accept(), handleUpgrade() and the event connection give one class', async () => {
  const http = await listen();
  const server = new WebSocketServer({ noServer: true });
  servers.push(server);
  const all: unknown[] = [];
  server.on('connection', (ws) => all.push(ws));
  http.on('upgrade', async (request, socket, head) => {
    if (request.url === '/accept') all.push(await accept(request, socket, head));
    else all.push(await server.handleUpgrade(request, socket, head));
  });
  for (const path of ['accept', 'upgrade']) {
    const ws = await connect(`ws://127.0.0.1:${portOf(http)}/${path}`);
    all.push(ws);
    await ws.close();
  }
  expect(all).toHaveLength(5);
  for (const ws of all) {
    expect(Object.getPrototypeOf(ws)).toBe(WebSocketConnection.prototype);
    expect(ws).toBeInstanceOf(EventEmitter);
  }
});

test('[P-45] broadcast() compresses, unless compress is false', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', compression: true });
  servers.push(server);
  await once(server, 'listening');
  const offer = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
  await using client = await opened(portOf(server), offer);
  while (server.connections.size === 0) await turns(1);
  const text = 'a'.repeat(5000);
  expect(server.broadcast(text, { compress: false })).toEqual({ sent: 1, full: 0 });
  // FIN, text, 126 and 5000
  expect(await client.bytes(4 + 5000)).toBe(`817e1388${'61'.repeat(5000)}`);
  expect(server.broadcast(text, { compress: true })).toEqual({ sent: 1, full: 0 });
  server.broadcast(text);
  // FIN, RSV1, text; far shorter
  const first = await client.bytes(2);
  expect(first).toMatch(/^c1[0-6]/);
  await client.bytes(Number.parseInt(first.slice(2), 16));
  expect(await client.bytes(1)).toBe('c1');
});

describe('a rejection that is not handled', () => {
  test('[P-76] connect() to a port that nobody listens on: an unhandled HandshakeError', async () => {
    const http = await listen();
    const port = portOf(http);
    http.close();
    await once(http, 'close');
    httpServers.length = 0;
    void connect(`ws://127.0.0.1:${port}`);
    expect(await expectedFault()).toBeInstanceOf(HandshakeError);
  });

  test('[P-76] accept() of a request that it refuses: an unhandled HandshakeError, and the peer gets its answer', async () => {
    const http = await listen();
    http.on('upgrade', (request, socket, head) => {
      void accept(request, socket, head, { authenticate: () => false });
    });
    expect((await refused(portOf(http))).status).toBe(401);
    expect(await expectedFault()).toMatchObject({ name: 'HandshakeError', status: 401 });
  });
});

describe('what authenticate and the event connection get', () => {
  async function contextsOf(path: string | undefined, target: string): Promise<RequestContext[]> {
    const seen: RequestContext[] = [];
    const server = new WebSocketServer({
      port: 0,
      host: '127.0.0.1',
      ...(path !== undefined && { path }),
      authenticate: (_request, { params }) => Object.getPrototypeOf(params) === null,
    });
    servers.push(server);
    server.on('connection', (_ws, _request, context) => seen.push(context));
    await once(server, 'listening');
    await using client = await opened(portOf(server), { Cookie: 'a=1' }, `GET ${target} HTTP/1.1`);
    while (seen.length === 0) await turns(1);
    expect(client.ended).toBe(false);
    return seen;
  }

  test.each([
    [undefined, '/'],
    ['/:__proto__', '/x'],
  ])('[P-88] params of the path %s, and cookies, have no prototype', async (path, target) => {
    const [context] = await contextsOf(path, target);
    expect(Object.getPrototypeOf(context!.params)).toBe(null);
    expect(Object.getPrototypeOf(context!.cookies)).toBe(null);
  });

  test('[P-89] cookies are parsed on first use, once', async () => {
    parsed.cookies = 0;
    const [context] = await contextsOf(undefined, '/');
    expect(parsed.cookies).toBe(0);
    expect([{ ...context!.cookies }, { ...context!.cookies }]).toEqual([{ a: '1' }, { a: '1' }]);
    expect(parsed.cookies).toBe(1);
  });
});

test('[P-92] a second server of one path shape on an HTTP server is a TypeError', async () => {
  const http = await listen();
  servers.push(new WebSocketServer({ server: http, path: '/chat/:room' }));
  const again = (path: string) => () => new WebSocketServer({ server: http, path });
  for (const path of ['/chat/:room', '/chat/:other', '/%63hat/:other'])
    expect(again(path)).toThrow(TypeError);
});

// Compiled by `npm run types`: each is what a framework declares
type Hono = Server | ReturnType<typeof createHttp2Server> | Http2SecureServer;
type Vite = Server | Http2SecureServer;
type Fastify = Server | TlsServer | Http2SecureServer;
const http2 = createSecureServer({ key, cert, allowHTTP1: true });
const typed: readonly (readonly [title: string, server: HttpServer])[] = [
  ['http', createServer()],
  ['https', createTlsServer({ key, cert })],
  ['http2-secure', http2],
  ['http, typed as Hono does', createServer() as Hono],
  ['http2-secure, typed as Hono does', http2 as Hono],
  ['http2-secure, typed as Vite does', http2 as Vite],
  ['https, typed as Fastify does', createTlsServer({ key, cert }) as Fastify],
];

test.each(typed)('[P-97] the option server accepts one of %s', async (_title, given) => {
  const server = new WebSocketServer({ server: given });
  expect(given.listenerCount('upgrade')).toBe(1);
  await server.close();
  expect(given.listenerCount('upgrade')).toBe(0);
});

test('[P-06] accept() on the event upgrade opens a connection with the options given', async () => {
  const http = await listen();
  http.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    accept(request, socket, head, { subprotocols: ['v2'], maxMessageSize: 10 }).then(
      (ws) => ws.on('message', (data) => ws.send(data)),
      () => {},
    );
  });
  const ws = await connect(`ws://127.0.0.1:${portOf(http)}`, { subprotocols: ['v1', 'v2'] });
  expect(ws.subprotocol).toBe('v2');
  ws.send('x'.repeat(10));
  expect(await (await ws.receive())?.text()).toBe('x'.repeat(10));
  ws.send('x'.repeat(11));
  expect((await ws.closed).code).toBe(1009);
});
