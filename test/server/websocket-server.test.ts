import { lookup } from 'node:dns/promises';
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createHttp2Server, createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { createServer as createPlainTlsServer, connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connect } from '../../src/client/connect.js';
import {
  HandshakeError,
  type WebSocketConnection,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../src/index.js';
import { cert, key } from './certificate.js';
import { closeFrame, maskedFrame, opened, RawClient, refused, requestText } from './raw.js';

const servers: WebSocketServer[] = [];
const httpServers: Server[] = [];

/** A WebSocketServer that is closed behind the test; on a port of its own it has begun to listen. */
async function start(options: Partial<WebSocketServerOptions> = {}): Promise<WebSocketServer> {
  const own = options.server === undefined && !options.noServer;
  const server = new WebSocketServer(own ? { port: 0, host: '127.0.0.1', ...options } : options);
  servers.push(server);
  if (own) await once(server, 'listening');
  return server;
}

async function listen<Kind extends Server>(server: Kind): Promise<Kind> {
  httpServers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function portOf(server: { address(): AddressInfo | string | null }): number {
  return (server.address() as AddressInfo).port;
}

// Every test: both kinds of server close, so no socket is left; vitest fails on what is unhandled.
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close({ timeout: 0 });
  for (const server of httpServers.splice(0)) {
    expect(server.listenerCount('upgrade')).toBe(0);
    expect(server.listenerCount('request')).toBe(0);
    server.closeAllConnections();
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
});

/** Sends every message back. */
function echo(server: WebSocketServer): WebSocketServer {
  return server.on('connection', (ws) => ws.on('message', (data, type) => ws.send(data, { type })));
}

async function expectEcho(client: RawClient, letter = 'a'): Promise<void> {
  const hex = Buffer.from(letter).toString('hex');
  client.write(maskedFrame(1, hex));
  expect(await client.bytes(3)).toBe(`8101${hex}`);
}

test.each([
  ['of its own', 30, 101, undefined],
  ['of its own', 999, 400, undefined],
  ['of its own', 1500, 400, undefined],
  ['with maxHeadersCount 36', 30, 101, 36],
  ['with maxHeadersCount 34', 30, 400, 34],
  ['without a limit', 1500, 101, 0],
])('[H-14] a server %s, with Upgrade behind %i more fields: %i', async (_, fields, status, count) => {
  const http = count === undefined ? undefined : await listen(createServer());
  if (http !== undefined) http.maxHeadersCount = count!;
  const server = await start(http === undefined ? {} : { server: http });
  const filler = Object.fromEntries(Array.from({ length: fields }, (_, i) => [`X${i}`, '']));
  await using client = await RawClient.connect(portOf(http ?? server));
  const request = requestText({ ...filler, Upgrade: null });
  client.write(request.replace('\r\n\r\n', '\r\nUpgrade: websocket\r\n\r\n'));
  const answer = (await client.response()).status;
  // Later versions of Node.js refuse too many fields themselves, with 431, before the upgrade event
  expect(answer === 431 ? 400 : answer).toBe(status);
});

describe('on a port of its own', () => {
  test('[P-03] it listens, accepts, and tells of the connection with its request', async () => {
    const server = echo(await start());
    expect(server.address()).toMatchObject({ address: '127.0.0.1', port: expect.any(Number) });
    const connection = once(server, 'connection');
    await using client = await opened(portOf(server), {}, 'GET /a?b HTTP/1.1');
    const [ws, request] = (await connection) as [WebSocketConnection, IncomingMessage];
    expect(request.url).toBe('/a?b');
    expect(ws.role).toBe('server');
    expect([...server.connections]).toEqual([ws]);
    await expectEcho(client);
    client.write(closeFrame);
    expect(await ws.closed).toEqual({ code: 1000, reason: '', wasClean: true });
    expect(server.connections.size).toBe(0);
  });

  test.each([
    ['[H-02] a plain request', 426, 'GET / HTTP/1.1', { upgrade: 'websocket', connection: 'close, Upgrade' }],
    ['[H-01] a plain POST', 405, 'POST / HTTP/1.1', { allow: 'GET' }],
    ['[H-04] a plain request of HTTP/1.0', 426, 'GET / HTTP/1.0', { upgrade: 'websocket' }],
  ])('%s gets %i', async (_title, status, line, headers) => {
    const server = await start();
    const answer = await refused(portOf(server), { Upgrade: null, Connection: null }, line);
    expect(answer).toMatchObject({ status, headers });
    expect(answer.body).not.toBe('');
  });

  test('[H-15] header bytes that trickle in get 408 within the handshake timeout; the socket is destroyed', async () => {
    const server = echo(await start({ handshakeTimeout: 200 }));
    await using client = await RawClient.connect(portOf(server), true);
    const began = performance.now();
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\n');
    const trickle = setInterval(() => client.write('X'), 10);
    const { status, headers } = await client.response();
    clearInterval(trickle);
    expect(status).toBe(408);
    expect(headers).toHaveProperty('connection', 'close');
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(150);
    // The machine may be slow, but the default is 10 seconds.
    expect(took).toBeLessThan(4_500);
    await client.until(() => false);
    await using other = await opened(portOf(server));
    await expectEcho(other);
  });

  test('[H-15] a peer that says nothing at all gets 408 too', async () => {
    const server = await start({ handshakeTimeout: 100 });
    await using client = await RawClient.connect(portOf(server));
    expect((await client.response()).status).toBe(408);
  });

  test.each([
    ['is no HTTP', 'nonsense\r\n\r\n', 400],
    ['has 20 KiB of header fields', requestText({ 'X-A': 'a'.repeat(20_000) }), 431],
  ])('a request that %s gets its status', async (_title, request, status) => {
    const server = echo(await start());
    await using client = await RawClient.connect(portOf(server), true);
    expect((await client.write(request).refusal()).status).toBe(status);
    await using other = await opened(portOf(server));
    await expectEcho(other);
  });

  test('a port that is taken is told by error, and close() still resolves', async () => {
    const first = await start();
    const second = new WebSocketServer({ port: portOf(first), host: '127.0.0.1' });
    const [error] = await once(second, 'error').catch((thrown: unknown) => [thrown]);
    expect(error).toHaveProperty('code', 'EADDRINUSE');
    await second.close();
  });

  test('close() before it listens, with a name to look up, ends in nothing that listens', async () => {
    const server = new WebSocketServer({ port: 0, host: 'localhost' });
    await server.close();
    // Another lookup ends behind the one of listen().
    await lookup('localhost');
    await setImmediate();
    expect(server.address()).toBeNull();
  });

  test('a request that is refused is told by rejected, with the request', async () => {
    const server = await start();
    const rejected = once(server, 'rejected');
    await refused(portOf(server), { 'Sec-WebSocket-Version': '12' }, 'GET /a HTTP/1.1');
    const [error, request] = (await rejected) as [HandshakeError, IncomingMessage];
    expect(error).toBeInstanceOf(HandshakeError);
    expect(error.status).toBe(426);
    expect(request.url).toBe('/a');
  });

  test('what a connection listener throws is uncaught, as with every emitter, and no failed handshake', async () => {
    const server = await start();
    const failure = new Error('A mistake of the application');
    const rejected = vi.fn();
    server.on('rejected', rejected);
    server.on('connection', () => {
      throw failure;
    });
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const uncaught = once(process, 'uncaughtException');
    try {
      await using client = await opened(portOf(server));
      expect((await uncaught)[0]).toBe(failure);
      expect(client.ended).toBe(false);
    } finally {
      for (const listener of others) process.on('uncaughtException', listener);
    }
    expect(rejected).not.toHaveBeenCalled();
  });
});

describe('on a given HTTP server', () => {
  test('[P-02] several share it by path, one has all other paths, and close() leaves it as it was', async () => {
    const http = await listen(createServer((_request, response) => response.end('plain')));
    const before = http.eventNames().map((name) => [name, http.listenerCount(name)]);
    const seen: string[] = [];
    const paths = ['/a', '/b', undefined];
    const all = await Promise.all(
      paths.map((path) => start({ server: http, ...(path === undefined ? {} : { path }) })),
    );
    for (const [index, server] of all.entries()) {
      server.on('connection', (_ws, request) => seen.push(`${paths[index]} ${request.url}`));
    }
    expect(http.listenerCount('upgrade')).toBe(1);
    for (const target of ['/a', '/b?x=/a', '/c', 'ws://localhost/a', '/A', '/a/']) {
      await using client = await opened(portOf(http), {}, `GET ${target} HTTP/1.1`);
      expect(client.ended).toBe(false);
    }
    expect(seen).toEqual([
      '/a /a',
      '/b /b?x=/a',
      'undefined /c',
      '/a ws://localhost/a',
      'undefined /A',
      'undefined /a/',
    ]);
    // The application's own listener answers the rest.
    await using plain = await RawClient.connect(portOf(http));
    plain.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect((await plain.response()).status).toBe(200);
    for (const server of all) await server.close({ timeout: 0 });
    expect(http.eventNames().map((name) => [name, http.listenerCount(name)])).toEqual(before);
    expect(http.listening).toBe(true);
    http.removeAllListeners('request');
  });

  test('a path that nobody serves gets 404, unless another upgrade listener may know it', async () => {
    const http = await listen(createServer());
    await start({ server: http, path: '/a' });
    expect((await refused(portOf(http), {}, 'GET /b HTTP/1.1')).status).toBe(404);
    expect((await refused(portOf(http), {}, 'GET * HTTP/1.1')).status).toBe(404);
    const other = (_request: IncomingMessage, socket: Socket): void => {
      socket.end('HTTP/1.1 418 \r\nContent-Length: 0\r\n\r\n');
    };
    http.on('upgrade', other);
    expect((await refused(portOf(http), {}, 'GET /b HTTP/1.1')).status).toBe(418);
    http.off('upgrade', other);
  });

  test('a server of its own port tells of other paths as of all that it refuses', async () => {
    const server = await start({ path: '/a' });
    const rejected = once(server, 'rejected');
    expect((await refused(portOf(server), {}, 'GET /b HTTP/1.1')).status).toBe(404);
    expect((await rejected)[0]).toMatchObject({ status: 404 });
  });

  test('[H-02] a plain request gets 426 where the application answers none', async () => {
    const http = await listen(createServer());
    await start({ server: http });
    expect((await refused(portOf(http), { Upgrade: null, Connection: null })).status).toBe(426);
  });

  test('two servers cannot have the same path, but one may take the place of another that is closed', async () => {
    const http = await listen(createServer());
    const first = await start({ server: http, path: '/a' });
    expect(() => new WebSocketServer({ server: http, path: '/a' })).toThrow(/serves \/a/);
    await first.close();
    const second = await start({ server: http, path: '/a' });
    await using client = await opened(portOf(http), {}, 'GET /a HTTP/1.1');
    await client[Symbol.asyncDispose]();
    await second.close();
    await start({ server: http });
    expect(() => new WebSocketServer({ server: http })).toThrow(/serves every path/);
  });

  test('[P-97] an HTTPS server works the same', async () => {
    const https = await listen(createTlsServer({ key, cert }) as unknown as Server);
    const server = echo(await start({ server: https }));
    expect(server.address()).toEqual(https.address());
    await using client = new RawClient(tlsConnect({ port: portOf(https), host: '127.0.0.1', ca: cert }));
    client.write(requestText({ Origin: 'https://localhost' }));
    expect((await client.response()).status).toBe(101);
    await expectEcho(client);
  });
});

describe('by hand', () => {
  test('handleUpgrade() resolves to the connection, which the server knows and tells of', async () => {
    const http = await listen(createServer());
    const server = await start({ noServer: true, path: '/a', subprotocols: ['x'] });
    expect(server.address()).toBeNull();
    const results = new EventEmitter();
    const onUpgrade = (request: IncomingMessage, socket: Socket, head: Buffer): void => {
      server.handleUpgrade(request, socket, head).then(
        (ws) => results.emit('result', ws),
        (error) => results.emit('result', error),
      );
    };
    http.on('upgrade', onUpgrade);
    const accepted = once(results, 'result');
    const connection = once(server, 'connection');
    await using client = await opened(portOf(http), { 'Sec-WebSocket-Protocol': 'x' }, 'GET /a HTTP/1.1');
    const [ws] = (await accepted) as [WebSocketConnection];
    expect(client.ended).toBe(false);
    expect(ws.subprotocol).toBe('x');
    expect((await connection)[0]).toBe(ws);
    expect(server.connections.has(ws)).toBe(true);

    const failed = once(results, 'result');
    const rejected = once(server, 'rejected');
    expect((await refused(portOf(http), {}, 'GET /b HTTP/1.1')).status).toBe(404);
    const [error] = (await failed) as [HandshakeError];
    expect(error.status).toBe(404);
    expect((await rejected)[0]).toBe(error);
    http.off('upgrade', onUpgrade);
  });

  test('[H-19] a socket that another listener has upgraded already is told by rejected, and goes on', async () => {
    const http = await listen(createServer());
    const first = echo(await start({ server: http }));
    const second = await start({ noServer: true, path: '/other' });
    const twice = (request: IncomingMessage, socket: Socket, head: Buffer): void => {
      second.handleUpgrade(request, socket, head).catch(() => {});
    };
    http.on('upgrade', twice);
    const rejected = once(second, 'rejected');
    await using client = await opened(portOf(http));
    expect((await rejected)[0]).toMatchObject({ status: 0 });
    await expectEcho(client);
    expect(first.connections.size).toBe(1);
    http.off('upgrade', twice);
  });
});

describe('maxConnections', () => {
  test('a connection over it gets 503 with Retry-After; handshakes under way count', async () => {
    let decide: (() => void) | undefined;
    const server = await start({
      maxConnections: 2,
      authenticate: (request) =>
        request.url === '/slow' ? new Promise((resolve) => (decide = () => resolve(true))) : true,
    });
    const port = portOf(server);
    await using first = await opened(port);
    await using slow = await RawClient.connect(port);
    slow.write(requestText({}, 'GET /slow HTTP/1.1'));
    await vi.waitFor(() => expect(decide).toBeDefined());
    const answer = await refused(port);
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('5');
    decide!();
    expect((await slow.response()).status).toBe(101);
    expect((await refused(port)).status).toBe(503);
    const [ws] = server.connections;
    first.write(closeFrame);
    await ws!.closed;
    await using next = await opened(port);
    expect(next.ended).toBe(false);
    expect(server.connections.size).toBe(2);
  });

  test('0 refuses all', async () => {
    expect((await refused(portOf(await start({ maxConnections: 0 })))).status).toBe(503);
  });
});

describe('with clients of our own', () => {
  test('subprotocol, echo, and 1001 as the end of an iteration', async () => {
    const server = echo(await start({ subprotocols: ['v2', 'v1'] }));
    const url = `ws://127.0.0.1:${portOf(server)}/`;
    const clients = await Promise.all(
      ['v1', 'v2', 'v3'].map((subprotocol) =>
        connect(url, { subprotocols: [subprotocol], requireSubprotocol: false }),
      ),
    );
    expect(clients.map((ws) => ws.subprotocol)).toEqual(['v1', 'v2', '']);
    const received = clients.map(async (ws, index) => {
      const texts: string[] = [];
      ws.send(`${index}`);
      for await (const message of ws) {
        texts.push(await message.text());
        if (texts.length === 2) closing ??= server.close({ reason: 'bye' });
      }
      return texts;
    });
    let closing: Promise<void> | undefined;
    await Promise.all(clients.map((ws) => ws.ping()));
    server.broadcast('all');
    expect(await Promise.all(received)).toEqual([
      ['0', 'all'],
      ['1', 'all'],
      ['2', 'all'],
    ]);
    for (const ws of clients) expect(await ws.closed).toEqual({ code: 1001, reason: 'bye', wasClean: true });
    await closing;
  });

  test('a refusal reaches the client with its status and body', async () => {
    const server = await start({ authenticate: () => ({ status: 402, body: 'Pay first' }) });
    const refusal = connect(`ws://127.0.0.1:${portOf(server)}/`);
    await expect(refusal).rejects.toMatchObject({ code: 'ERR_HANDSHAKE', status: 402, body: 'Pay first' });
  });
});

describe('broadcast', () => {
  test('[P-44] §6.1 a message goes to every open connection, as text or binary', async () => {
    const server = await start();
    await using first = await opened(portOf(server));
    await using second = await opened(portOf(server));
    await using closing = await opened(portOf(server));
    const [, , third] = server.connections;
    third!.close();
    server.broadcast('é');
    server.broadcast(Buffer.from('a'));
    server.broadcast(Buffer.from('b'), { type: 'text' });
    for (const client of [first, second]) {
      expect(await client.bytes(10)).toBe('8102c3a98201618101'.concat('62'));
    }
    expect(await closing.bytes(4)).toBe('880203e8');
    expect(() => server.broadcast(5 as unknown as string)).toThrow(TypeError);
  });
});

describe('close()', () => {
  test('§7.4.1 says 1001 to all, waits for them, and resolves once; every call is the same', async () => {
    const server = await start();
    const events: string[] = [];
    server.on('close', () => events.push('close'));
    await using first = await opened(portOf(server));
    await using second = await opened(portOf(server));
    const [ws] = server.connections;
    const closed = server.close();
    const again = server.close({ code: 1012 });
    for (const client of [first, second]) {
      expect(await client.bytes(4)).toBe('880203e9');
      client.write(maskedFrame(8, '03e9'));
    }
    expect(ws!.send('late')).toBe(false);
    await Promise.all([closed, again, server.close()]);
    expect(events).toEqual(['close']);
    expect(await ws!.closed).toEqual({ code: 1001, reason: '', wasClean: true });
    expect(server.connections.size).toBe(0);
    await expect(RawClient.connect((first.socket.remotePort as number) ?? 0)).rejects.toThrow();
  });

  test('code and reason can be chosen', async () => {
    const server = await start();
    await using client = await opened(portOf(server));
    const closed = server.close({ code: 1012, reason: 'soon' });
    expect(await client.bytes(8)).toBe(`880603f4${Buffer.from('soon').toString('hex')}`);
    client.write(maskedFrame(8, '03f4'));
    await closed;
  });

  test.each([
    [{ code: 999 }, RangeError],
    [{ code: 1005 }, RangeError],
    [{ reason: 'x'.repeat(124) }, RangeError],
    [{ reason: 5 }, TypeError],
    [{ timeout: -1 }, RangeError],
    [{ timeOut: 1 }, TypeError],
    [null, TypeError],
  ])('[H-21] with %j rejects, and nothing is closed', async (options, type) => {
    const server = echo(await start());
    await using client = await opened(portOf(server));
    await expect(server.close(options as object)).rejects.toBeInstanceOf(type);
    await expectEcho(client);
  });

  test('[L-10] a peer that never answers, one inside a message, one that is gone: waits, then terminates', async () => {
    const server = await start();
    const port = portOf(server);
    await using silent = await opened(port);
    await using inside = await opened(port);
    await using slow = await opened(port);
    const gone = await opened(port);
    const infos = [...server.connections].map((ws) => ws.closed);
    const [, reading] = server.connections;
    reading!.on('message', () => {});
    inside.write(Buffer.from('01850000000061', 'hex'));
    slow.socket.pause();
    for (const ws of server.connections) ws.send(Buffer.alloc(1024 * 1024));
    gone.socket.resetAndDestroy();
    const began = performance.now();
    await server.close({ timeout: 100 });
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(95);
    expect(took).toBeLessThan(4_500);
    for (const info of await Promise.all(infos)) expect(info).toMatchObject({ code: 1006, wasClean: false });
    expect(server.connections.size).toBe(0);
    silent.socket.resume();
    await Promise.all([silent.until(() => false), inside.until(() => false)]);
    expect(slow.ended).toBe(false);
  });

  test('[L-10] a peer that closes in time does not wait for the timeout of others to end', async () => {
    const server = await start();
    await using client = await opened(portOf(server));
    const began = performance.now();
    const closed = server.close({ timeout: 10_000 });
    await client.bytes(4);
    client.write(maskedFrame(8, '03e9'));
    await closed;
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  test('[H-20] a handshake under way, and an upgrade while the server closes, get 503', async () => {
    const http = await listen(createServer());
    const server = await start({
      server: http,
      authenticate: (request) => (request.url === '/slow' ? new Promise<never>(() => {}) : true),
    });
    const port = portOf(http);
    await using client = await opened(port);
    await using slow = await RawClient.connect(port);
    const upgrade = once(http, 'upgrade');
    slow.write(requestText({}, 'GET /slow HTTP/1.1'));
    await upgrade;
    const closed = server.close();
    expect((await slow.refusal()).status).toBe(503);
    expect((await refused(port)).status).toBe(503);
    expect(await client.bytes(4)).toBe('880203e9');
    client.write(maskedFrame(8, '03e9'));
    await closed;
  });

  test('[H-20] a handshake that is accepted in the moment of close() gets 101 and 1001', async () => {
    let closed: Promise<void> | undefined;
    const server = await start({
      headers: () => {
        closed = server.close();
        return {};
      },
    });
    await using client = await opened(portOf(server));
    expect(await client.bytes(4)).toBe('880203e9');
    client.write(maskedFrame(8, '03e9'));
    await closed;
  });

  test('sockets of its own port that never sent a request are destroyed', async () => {
    const server = await start({ path: '/chat' });
    await using idle = await RawClient.connect(portOf(server), true);
    await using half = await RawClient.connect(portOf(server), true);
    half.write('GET / HT');
    await using refusedClient = await RawClient.connect(portOf(server), true);
    await refusedClient.write(requestText({ Upgrade: 'h2c' }, 'GET /chat HTTP/1.1')).response();
    await using elsewhere = await RawClient.connect(portOf(server), true);
    await elsewhere.write(requestText()).response();
    const began = performance.now();
    await server.close();
    // Less than the time that refused peers have to read why
    expect(performance.now() - began).toBeLessThan(900);
    await Promise.all([idle, half, refusedClient, elsewhere].map((client) => client.until(() => false)));
    expect([idle.ended || idle.socket.destroyed, half.ended || half.socket.destroyed]).toEqual([true, true]);
  });

  test('await using closes it', async () => {
    let port = 0;
    {
      await using server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
      await once(server, 'listening');
      port = portOf(server);
    }
    await expect(RawClient.connect(port)).rejects.toThrow('ECONNREFUSED');
  });

  test('200 handshakes at once warn of no leak', async () => {
    const warnings: unknown[] = [];
    const onWarning = (warning: unknown): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const waiting: (() => void)[] = [];
    const server = await start({
      signal: new AbortController().signal,
      authenticate: () => new Promise((resolve) => waiting.push(() => resolve(true))),
    });
    const clients = await Promise.all(
      Array.from({ length: 200 }, async () => (await RawClient.connect(portOf(server))).write(requestText())),
    );
    await vi.waitFor(() => expect(waiting).toHaveLength(200), { timeout: 5_000 });
    for (const accept of waiting) accept();
    for (const client of clients) expect((await client.response()).status).toBe(101);
    expect(server.connections.size).toBe(200);
    for (const client of clients) client.socket.destroy();
    await vi.waitFor(() => expect(server.connections.size).toBe(0));
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });
});

describe('options', () => {
  test.each<[string, object, typeof TypeError | typeof RangeError]>([
    ['none of port, server and noServer', {}, TypeError],
    ['two of them', { port: 0, noServer: true }, TypeError],
    ['noServer: false alone', { noServer: false }, TypeError],
    ['host without port', { noServer: true, host: 'a' }, TypeError],
    ['backlog without port', { noServer: true, backlog: 1 }, TypeError],
    ['an unknown name', { noServer: true, maxPayload: 1 }, TypeError],
    ['a path with a line end', { noServer: true, path: '/a\r\nb' }, TypeError],
    ['a path with NUL', { noServer: true, path: '/\0' }, TypeError],
    ['a path that is relative', { noServer: true, path: 'a' }, TypeError],
    ['a path with a query', { noServer: true, path: '/a?b' }, TypeError],
    ['a path that is no string', { noServer: true, path: /a/ }, TypeError],
    ['maxConnections', { noServer: true, maxConnections: -1 }, RangeError],
    ['a connection option', { noServer: true, maxMessageSize: -1 }, RangeError],
    ['an option of accept()', { noServer: true, subprotocols: ['a b'] }, TypeError],
    ['a port that is none', { port: 65_536 }, RangeError],
  ])('[H-21] %s throws', (_title, options, type) => {
    expect(() => new WebSocketServer(options as WebSocketServerOptions)).toThrow(type);
  });

  test.each<[string, unknown]>([
    ['signal', null],
    ['signal', {}],
    ['signal', new EventTarget()],
    ['extensions', [null]],
    ['extensions', [{ name: 'x' }]],
    ['extensions', [{ accept: () => null }]],
    ['headers', null],
    ['headers', 5],
    ['headers', [['X-A', 'a']]],
    ['headers', new Headers({ 'X-A': 'a' })],
  ])('%s of %o throws a TypeError with the name of the option', (name, value) => {
    const options = { noServer: true, [name]: value } as unknown as WebSocketServerOptions;
    expect(() => new WebSocketServer(options)).toThrow(
      expect.objectContaining({ name: 'TypeError', message: expect.stringContaining(`Option ${name} `) }),
    );
  });

  test.each<[string, unknown, string]>([
    ['host', 5, 'TypeError'],
    ['host', null, 'TypeError'],
    ['backlog', '511', 'TypeError'],
    ['backlog', null, 'TypeError'],
    ['backlog', -1, 'RangeError'],
    ['backlog', 0, 'RangeError'],
    ['backlog', 1.5, 'RangeError'],
    ['backlog', Number.NaN, 'RangeError'],
    ['backlog', Number.POSITIVE_INFINITY, 'RangeError'],
  ])('%s of %o throws a %s with the name of the option', (name, value, type) => {
    const options = { port: 0, [name]: value } as WebSocketServerOptions;
    expect(() => new WebSocketServer(options)).toThrow(
      expect.objectContaining({ name: type, message: expect.stringContaining(`Option ${name} `) }),
    );
  });

  test('options that are no object are a TypeError that names the call', async () => {
    const wrong = null as never;
    expect(() => new WebSocketServer(wrong)).toThrow(
      new TypeError('Expected the options of new WebSocketServer() to be an object: null'),
    );
    const server = new WebSocketServer({ noServer: true });
    expect(() => server.broadcast('a', wrong)).toThrow(
      new TypeError('Expected the options of broadcast() to be an object: null'),
    );
    await expect(server.close(wrong)).rejects.toThrow(
      new TypeError('Expected the options of close() to be an object: null'),
    );
    await server.close();
  });

  test('port of null throws a TypeError with the name of the option', () => {
    expect(() => new WebSocketServer({ port: null as unknown as number })).toThrow(
      /^Option port is not a number/,
    );
  });

  test('a port may be a string, as environment variables are', async () => {
    const server = new WebSocketServer({ port: '0' as unknown as number, host: '127.0.0.1' });
    await once(server, 'listening');
    expect(server.address()).toMatchObject({ port: expect.any(Number) });
    await server.close();
  });

  test.each<[string, unknown]>([
    ['of node:net', createNetServer()],
    ['of node:tls', createPlainTlsServer()],
    ['of node:http2 without TLS', createHttp2Server()],
    ['of node:http2 without allowHTTP1', createSecureServer({})],
    ['that is a listener of requests, as an application of Express', (): void => {}],
    ['that is an object around one, as of Fastify', { server: createServer() }],
    ['that is an emitter, as an application of Koa', new EventEmitter()],
    ['that is null', null],
    ['that is a port', 8080],
  ])('[P-97] a server %s is a TypeError that says what is needed', (_title, server) => {
    expect(() => new WebSocketServer({ server: server as Server })).toThrow(
      /^Option server is no HTTP\/1\.1 server: give what createServer\(\)/,
    );
  });
});
