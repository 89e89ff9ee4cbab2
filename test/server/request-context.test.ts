import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import {
  accept,
  connect,
  HandshakeError,
  isUpgrade,
  type Rejection,
  type RequestContext,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../src/index.js';
import { checkSideConditions } from '../support/side-conditions.js';
import { cert, key } from './certificate.js';
import { opened, RawClient, type RequestFields, refused, requestText } from './raw.js';

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

async function start(options: Partial<WebSocketServerOptions> = {}): Promise<WebSocketServer> {
  const own = options.server === undefined;
  const server = new WebSocketServer(own ? { port: 0, host: '127.0.0.1', ...options } : options);
  servers.push(server);
  if (own) await once(server, 'listening');
  return server;
}

/** The context of a connection that is opened with this request. */
async function contextOf(
  server: WebSocketServer,
  target: string,
  fields: RequestFields = {},
): Promise<RequestContext> {
  const connection = once(server, 'connection');
  await using client = await opened(portOf(server), fields, `GET ${target} HTTP/1.1`);
  const [, , context] = await connection;
  expect(client.ended).toBe(false);
  return context;
}

describe('ws.url of a server', () => {
  test.each<[string, RequestFields, string, boolean, string]>([
    ['its host and path', { Host: 'Example.com:80' }, '/a/../b?c=d', false, 'ws://example.com/b?c=d'],
    ['a host that is none', { Host: 'a b' }, '/x', false, 'ws://localhost/x'],
    ['a port that is none', { Host: 'a:99999' }, '/x', false, 'ws://localhost/x'],
    ['an absolute target', { Host: 'a' }, 'http://b/x?y', false, 'ws://a/x?y'],
    ['fields of a proxy, not trusted', { Host: 'a', 'X-Forwarded-Host': 'b' }, '/', false, 'ws://a/'],
    [
      'fields of a trusted proxy',
      { Host: 'a', 'X-Forwarded-Host': 'b', 'X-Forwarded-Proto': 'https' },
      '/',
      true,
      'wss://b/',
    ],
  ])('[P-39] §3 %s: as url of the context, also when it is asked for twice', async (...given) => {
    const [, fields, target, trustProxy, url] = given;
    const server = await start({ trustProxy });
    const urls: string[][] = [];
    server.on('connection', (ws, _request, context) => urls.push([ws.url, context.url.href]));
    for (let i = 0; i < 2; i++) {
      await using client = await opened(portOf(server), fields, `GET ${target} HTTP/1.1`);
      expect(client.ended).toBe(false);
    }
    expect(urls).toEqual([
      [url, url],
      [url, url],
    ]);
  });

  test('belongs to its own request, whatever other connections ask for meanwhile', async () => {
    const server = await start({ authenticate: async (_request, { url }) => url.pathname !== '/no' });
    const urls: string[] = [];
    server.on('connection', (ws) => urls.push(ws.url));
    for (const target of ['/1', '/2', '/1', '/3']) {
      await using client = await opened(portOf(server), { Host: 'a' }, `GET ${target} HTTP/1.1`);
      expect(client.ended).toBe(false);
    }
    expect(urls).toEqual(['ws://a/1', 'ws://a/2', 'ws://a/1', 'ws://a/3']);
  });
});

describe('paths with names', () => {
  test('[P-04] [P-85] [P-90] the event connection, and authenticate, have the parameters, decoded', async () => {
    const seen: unknown[] = [];
    const server = await start({
      path: '/chat/:room/:user',
      authenticate: (_request, { params, url, cookies }) => {
        seen.push([{ ...params }, url.pathname, { ...cookies }]);
        return true;
      },
    });
    const { params } = await contextOf(server, '/chat/a%20b/%C3%A9?x=1', { Cookie: 'sid=1' });
    expect(Object.getPrototypeOf(params)).toBe(null);
    expect({ ...params }).toEqual({ room: 'a b', user: 'é' });
    expect(seen).toEqual([[{ room: 'a b', user: 'é' }, '/chat/a%20b/%C3%A9', { sid: '1' }]]);
    for (const [target, status] of [
      ['/chat/a', 404],
      ['/chat//b', 404],
      ['/chat/a/', 404],
      ['/chat/a/b/c', 404],
      ['/chat/a/%ff', 400],
      ['/%', 400],
    ] as const) {
      expect([target, (await refused(portOf(server), {}, `GET ${target} HTTP/1.1`)).status]).toEqual([
        target,
        status,
      ]);
    }
  });

  test('[P-91] several servers share an HTTP server: a literal beats a name, wherever it was added', async () => {
    const http = await listen();
    const paths = ['/:any', '/chat/:room', '/:any/lobby', '/chat/lobby', '/chat', undefined];
    const seen: string[] = [];
    const all = await Promise.all(
      paths.map(async (path) => {
        const server = await start({ server: http, ...(path !== undefined && { path }) });
        return server.on('connection', (_ws, _request, { params }) => {
          seen.push(`${path} ${JSON.stringify(params)}`);
        });
      }),
    );
    for (const target of ['/chat', '/x', '/chat/lobby', '/chat/a', '/x/lobby', '/x/y', '/%ff', '/chat/%ff']) {
      await using client = await opened(portOf(http), {}, `GET ${target} HTTP/1.1`);
      expect(client.ended).toBe(false);
    }
    expect(seen).toEqual([
      '/chat {}',
      '/:any {"any":"x"}',
      '/chat/lobby {}',
      '/chat/:room {"room":"a"}',
      '/:any/lobby {"any":"x"}',
      'undefined {}',
      'undefined {}',
      'undefined {}',
    ]);
    for (const path of ['/:other', '/chat/:other', '/%63hat/lobby']) {
      expect(() => new WebSocketServer({ server: http, path })).toThrow(`serves ${path} of`);
    }
    // Closed ones leave their paths to the others
    await all[5]!.close({ timeout: 0 });
    await all[0]!.close({ timeout: 0 });
    expect((await refused(portOf(http), {}, 'GET /x HTTP/1.1')).status).toBe(404);
    expect((await refused(portOf(http), {}, 'GET /%ff HTTP/1.1')).status).toBe(400);
    for (const server of all) await server.close({ timeout: 0 });
    expect(http.listenerCount('upgrade')).toBe(0);
    await start({ server: http, path: '/:any' });
  });

  test('handleUpgrade() matches by itself', async () => {
    const http = await listen();
    const server = new WebSocketServer({ noServer: true, path: '/:id' });
    servers.push(server);
    http.on('upgrade', (request, socket, head) => server.handleUpgrade(request, socket, head));
    const connection = once(server, 'connection');
    await using client = await opened(portOf(http), {}, 'GET /7 HTTP/1.1');
    expect({ ...(await connection)[2].params }).toEqual({ id: '7' });
    expect(client.ended).toBe(false);
    expect((await refused(portOf(http), {}, 'GET /a/b HTTP/1.1')).status).toBe(404);
  });
});

describe('the URL of a request', () => {
  test.each([
    ['/a/b?c=d', 'localhost', 'ws://localhost/a/b?c=d'],
    ['//evil.example/x', 'good.example:8080', 'ws://good.example:8080//evil.example/x'],
    ['ws://other.example/a?b', 'good.example', 'ws://good.example/a?b'],
    ['ws://other.example?b', 'good.example', 'ws://good.example/?b'],
    ['ws://other.example', 'good.example', 'ws://good.example/'],
    ['/a', 'evil.example/path?x=', 'ws://localhost/a'],
    ['/a', 'user@evil.example', 'ws://localhost/a'],
    ['/a', 'a.example:99999', 'ws://localhost/a'],
    ['/a', '[::1]:80', 'ws://[::1]/a'],
    ['/a', '[', 'ws://localhost/a'],
    ['/\\evil.example', 'good.example', 'ws://good.example//evil.example'],
  ])('%s at %s is %s', async (target, host, url) => {
    const context = await contextOf(await start(), target, { Host: host });
    expect(context.url.href).toBe(url);
    expect(context.url).toBe(context.url);
  });

  test('is wss: over TLS, and behind a proxy that is trusted and says so', async () => {
    const https = await listen(createTlsServer({ key, cert }) as Server);
    const secure = await start({ server: https });
    const connection = once(secure, 'connection');
    await using client = new RawClient(tlsConnect({ port: portOf(https), host: '127.0.0.1', ca: cert }));
    await client.write(requestText({}, 'GET /a HTTP/1.1')).response();
    expect((await connection)[2].url.href).toBe('wss://localhost/a');
    const fields = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'pub.example' };
    const proxied = await contextOf(await start({ trustProxy: true }), '/a', fields);
    expect(proxied.url.href).toBe('wss://pub.example/a');
    expect((await contextOf(await start(), '/a', fields)).url.href).toBe('ws://localhost/a');
  });
});

test('[P-88] the cookies of a request, of all its fields, have no prototype, and are parsed once', async () => {
  const server = await start();
  const context = await contextOf(server, '/', { Cookie: ['a=1; __proto__=2', 'b=%20; a=3'] });
  expect(Object.getPrototypeOf(context.cookies)).toBe(null);
  expect(Object.entries(context.cookies)).toEqual([
    ['a', '1'],
    ['__proto__', '2'],
    ['b', ' '],
  ]);
  expect(context.cookies).toBe(context.cookies);
  expect(Object.keys((await contextOf(server, '/')).cookies)).toEqual([]);
  expect(Object.keys((await contextOf(server, '/')).params)).toEqual([]);
});

test('[P-85] accept() gives authenticate URL and cookies, and no parameters', async () => {
  const http = await listen();
  const seen: unknown[] = [];
  http.on('upgrade', (request, socket, head) => {
    accept(request, socket, head, {
      authenticate: (_request, { url, params, cookies, signal }) => {
        seen.push(url.href, Object.keys(params), cookies['sid'], signal.aborted);
        return false;
      },
    }).catch(() => {});
  });
  expect((await refused(portOf(http), { Cookie: 'sid=1' }, 'GET /a?b HTTP/1.1')).status).toBe(401);
  expect(seen).toEqual(['ws://localhost/a?b', [], '1', false]);
});

describe('the option refuse', () => {
  test('[P-94] rewrites the answer of every refusal: of the rules, the origin, authenticate, the path, a throw', async () => {
    const seen: [number, string | undefined][] = [];
    const server = await start({
      path: '/a',
      authenticate: (request) => {
        if (request.headers['x-throw']) throw new Error('A mistake of the application');
        return false;
      },
      refuse: (rejection, request) => {
        seen.push([rejection.status, request.url]);
        return {
          ...rejection,
          headers: { ...rejection.headers, 'X-Id': '7' },
          body: `{"s":${rejection.status}}`,
        };
      },
    });
    const rejected = once(server, 'rejected');
    for (const [status, fields, target] of [
      [426, { 'Sec-WebSocket-Version': '12' }, '/a'],
      [403, { Origin: 'http://evil.example' }, '/a'],
      [401, {}, '/a'],
      [404, {}, '/b'],
      [500, { 'X-Throw': '1' }, '/a'],
    ] as [number, RequestFields, string][]) {
      const answer = await refused(portOf(server), fields, `GET ${target} HTTP/1.1`);
      expect([answer.status, answer.body, answer.headers['x-id']]).toEqual([status, `{"s":${status}}`, '7']);
      if (status === 426) expect(answer.headers['sec-websocket-version']).toBe('13');
    }
    expect(seen.map(([status]) => status)).toEqual([426, 403, 401, 404, 500]);
    expect(((await rejected)[0] as HandshakeError).body).toBe('{"s":426}');
  });

  test.each<[string, (rejection: Rejection) => unknown, number]>([
    ['returns nothing: it stays as it is', () => undefined, 401],
    ['changes the status', () => ({ status: 404 }), 404],
    [
      'throws: 500',
      () => {
        throw new Error('A mistake of the application');
      },
      500,
    ],
    ['returns what cannot be sent: 500', () => ({ status: 101 }), 500],
    ['returns a promise: 500', async () => ({ status: 404 }), 500],
    ['gives a header field with a line end: 500', () => ({ status: 400, headers: { 'X-A': 'a\r\nb' } }), 500],
  ])('that %s', async (_title, refuse, status) => {
    const server = await start({
      authenticate: () => false,
      refuse: refuse as NonNullable<WebSocketServerOptions['refuse']>,
    });
    const rejected = once(server, 'rejected');
    expect((await refused(portOf(server))).status).toBe(status);
    expect(((await rejected)[0] as HandshakeError).status).toBe(status);
  });

  test('is not asked where the peer is gone, and is a function', async () => {
    let calls = 0;
    let settle: (() => void) | undefined;
    const server = await start({
      authenticate: () => new Promise<boolean>((resolve) => (settle = () => resolve(false))),
      refuse: () => {
        calls++;
      },
    });
    const rejected = once(server, 'rejected');
    const client = await RawClient.connect(portOf(server));
    client.write(requestText());
    while (settle === undefined) await new Promise((resolve) => setImmediate(resolve));
    client.socket.resetAndDestroy();
    expect(((await rejected)[0] as HandshakeError).status).toBe(0);
    settle();
    expect(calls).toBe(0);
    expect(() => new WebSocketServer({ noServer: true, refuse: 1 as never })).toThrow(TypeError);
  });
});

test('[P-93] isUpgrade() tells the upgrades to WebSocket from all else, whatever is wrong with them', async () => {
  const http = await listen(createServer((request, response) => response.end(String(isUpgrade(request)))));
  const seen: boolean[] = [];
  http.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    seen.push(isUpgrade(request));
    socket.destroy();
  });
  for (const fields of [
    {},
    { Upgrade: 'h2c, WebSocket', Connection: 'keep-alive, UPGRADE' },
    { 'Sec-WebSocket-Key': null },
    { Upgrade: 'h2c' },
    { Upgrade: 'websocketx' },
  ] as RequestFields[]) {
    await using client = await RawClient.connect(portOf(http));
    await client.write(requestText(fields)).until(() => false);
  }
  expect(seen).toEqual([true, true, true, false, false]);
  const answer = await fetch(`http://127.0.0.1:${portOf(http)}/`);
  expect(await answer.text()).toBe('false');
});

test('[P-98] requireSubprotocol: a server that agrees to none fails the handshake, unless it is false', async () => {
  const server = await start({ subprotocols: ['v9'] });
  const url = `ws://127.0.0.1:${portOf(server)}`;
  const refusal = connect(url, { subprotocols: ['v1', 'v2'] });
  await expect(refusal).rejects.toBeInstanceOf(HandshakeError);
  await expect(refusal).rejects.toMatchObject({ status: 101, message: expect.stringContaining('v1, v2') });
  const ws = await connect(url, { subprotocols: ['v1'], requireSubprotocol: false });
  expect(ws.subprotocol).toBe('');
  await ws.close();
  const plain = await connect(url);
  await plain.close();
  await expect(connect(url, { requireSubprotocol: 'no' as never })).rejects.toThrow(TypeError);
});

test('[X-01] what authenticate does to the URL of one request is not seen by another one that asks for the same', async () => {
  let first = true;
  const server = await start({
    authenticate: (_request, { url }) => {
      if (first) url.searchParams.set('session', 'of the first');
      first = false;
      return true;
    },
  });
  const urls: string[] = [];
  server.on('connection', (ws) => urls.push(ws.url));
  for (let i = 0; i < 3; i++) {
    const connection = once(server, 'connection');
    await using client = await opened(portOf(server), {}, 'GET /feed HTTP/1.1');
    await connection;
    client.socket.destroy();
  }
  expect(urls.map((url) => new URL(url).search)).toEqual(['', '', '']);
});
