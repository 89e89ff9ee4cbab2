/** Servers: the type of `ws.data`, what `authenticate` may return, and which HTTP servers are accepted. */
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import {
  type Acceptance,
  type Authenticate,
  type Authentication,
  accept,
  type HttpServer,
  type RequestContext,
  type WebSocketConnection,
  WebSocketServer,
  type WebSocketServerOptions,
} from 'sluice';
import { is } from './same.js';

interface User {
  readonly name: string;
}

const user: User = { name: 'ada' };

// By the type parameter
const server = new WebSocketServer<User>({
  port: 0,
  authenticate(request, { signal, url, params, cookies }) {
    is<http.IncomingMessage>()(request);
    is<AbortSignal>()(signal);
    is<URL>()(url);
    is<Readonly<Record<string, string>>>()(params);
    is<Readonly<Record<string, string>>>()(cookies);
    return { data: user, maxMessageSize: 1024 };
  },
});
server.on('connection', (ws, request, context) => {
  is<WebSocketConnection<User>>()(ws);
  is<User | undefined>()(ws.data);
  is<http.IncomingMessage>()(request);
  is<RequestContext>()(context);
  ws.data = { name: 'bob' };
  // @ts-expect-error - not a user
  ws.data = 'bob';
});
server.on('connection', async (ws) => void ws.data?.name);
is<ReadonlySet<WebSocketConnection<User>>>()(server.connections);
is<Promise<WebSocketConnection<User>>>()(
  server.handleUpgrade(null as never as http.IncomingMessage, null as never as net.Socket, Buffer.alloc(0)),
);
server.broadcast('hi', { filter: (ws) => ws.data?.name === 'ada', except: [...server.connections] });

// A server, and a connection, of some data are a server and a connection
const any: WebSocketServer = server;
const one: WebSocketConnection | undefined = [...server.connections][0];
void [any, one];

// By inference
const inferred = new WebSocketServer({ port: 0, authenticate: async () => ({ data: user }) });
inferred.on('connection', (ws) => is<User | undefined>()(ws.data));

// Without
new WebSocketServer({ port: 0 }).on('connection', (ws) => is<unknown>()(ws.data));
new WebSocketServer({ port: 0, authenticate: () => true });

// What it may return
const decisions: Authentication<User>[] = [
  true,
  false,
  { data: user },
  { maxMessageSize: 1 },
  { status: 403, body: 'no', headers: { 'X-A': ['b'] } },
];
const decide: Authenticate<User> = async () => decisions[0] ?? false;
const options: WebSocketServerOptions<User> = { noServer: true, authenticate: decide };
const acceptance: Acceptance<User> = { data: user };
void [options, acceptance];

// @ts-expect-error - another type of data
new WebSocketServer<User>({ port: 0, authenticate: () => ({ data: 1 }) });
// @ts-expect-error - a user is no decision
new WebSocketServer<User>({ port: 0, authenticate: () => user });
// @ts-expect-error - a forgotten return
new WebSocketServer<User>({ port: 0, authenticate: async () => {} });
// @ts-expect-error - no number
new WebSocketServer<User>({ port: 0, authenticate: () => ({ maxMessageSize: '1' }) });

// By hand
http.createServer().on('upgrade', async (request, socket, head) => {
  is<WebSocketConnection<User>>()(await accept<User>(request, socket, head, { authenticate: decide }));
  is<WebSocketConnection<User>>()(
    await accept(request, socket, head, { authenticate: () => ({ data: user }) }),
  );
  is<WebSocketConnection>()(await accept(request, socket, head));
});

// HTTP servers, as frameworks type them
class Request extends http.IncomingMessage {}
class Response extends http.ServerResponse {}
type Hono = http.Server | http2.Http2Server | http2.Http2SecureServer;
type Vite = http.Server | http2.Http2SecureServer;
type Fastify = http.Server | https.Server | http2.Http2Server | http2.Http2SecureServer;
const servers: HttpServer[] = [
  http.createServer(),
  http.createServer({ IncomingMessage: Request }),
  https.createServer({}),
  http2.createSecureServer({ allowHTTP1: true }),
  null as never as Hono,
  null as never as Vite,
  null as never as Fastify,
  null as never as http.Server<typeof Request, typeof Response>,
];
for (const given of servers) new WebSocketServer({ server: given });
new WebSocketServer({ server: null as never as Hono });
// @ts-expect-error - no HTTP
new WebSocketServer({ server: net.createServer() });
// @ts-expect-error - no HTTP
new WebSocketServer({ server: tls.createServer() });
// @ts-expect-error - a listener of requests is no server
new WebSocketServer({ server: (_request: http.IncomingMessage, _response: http.ServerResponse) => {} });
// @ts-expect-error - no such option
new WebSocketServer({ port: 0, maxPayload: 1 });
