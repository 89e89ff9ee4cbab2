import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import {
  accept,
  type HandshakeError,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../src/index.js';
import { checkSideConditions, expectEcho } from '../support/side-conditions.js';
import { turns } from '../support/wire.js';
import { cert, key } from './certificate.js';
import { RawClient, requestText } from './raw.js';

checkSideConditions();

const servers: WebSocketServer[] = [];
const httpServers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close({ timeout: 0 });
  for (const server of httpServers.splice(0)) {
    server.closeAllConnections?.();
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
});

async function listen<Kind extends Server>(server: Kind): Promise<Kind> {
  httpServers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** An echo server at `/echo` of an HTTP server. */
function echoAt(server: Server, options: Partial<WebSocketServerOptions> = {}): WebSocketServer {
  const echo = new WebSocketServer({ server, path: '/echo', ...options });
  servers.push(echo);
  return echo.on('connection', (ws) => ws.on('message', (data) => ws.send(data)));
}

const elsewhere = requestText({}, 'GET /elsewhere HTTP/1.1');

describe('a path that nobody serves', () => {
  test('[X-14] a reset right after the refusal, or in front of it, is no crash', async () => {
    const http = await listen(createServer());
    echoAt(http);
    for (const early of [false, true]) {
      if (early) http.prependOnceListener('upgrade', (_, socket) => socket.destroy(new Error('ECONNRESET')));
      const client = await RawClient.connect(portOf(http));
      const upgrade = once(http, 'upgrade');
      client.write(elsewhere);
      const [, socket] = (await upgrade) as [IncomingMessage, Socket];
      client.socket.resetAndDestroy();
      if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
      await expectEcho(portOf(http), {}, '/echo');
    }
  });

  test('[X-14] another upgrade listener that awaits, while the peer resets: an error listener is there already', async () => {
    const http = await listen(createServer());
    echoAt(http);
    const seen: Socket[] = [];
    http.on('upgrade', async (_request, socket: Socket) => {
      seen.push(socket);
      await turns(5);
    });
    const client = await RawClient.connect(portOf(http));
    client.write(elsewhere);
    while (seen.length === 0) await turns(1);
    expect(seen[0]!.listenerCount('error')).toBeGreaterThan(0);
    client.socket.resetAndDestroy();
    seen[0]!.resume();
    seen[0]!.destroy(new Error('ECONNRESET'));
    await new Promise((resolve) => seen[0]!.once('close', resolve));
    await expectEcho(portOf(http), {}, '/echo');
  });

  test('[X-14] other upgrade listeners that write nothing: 404 after the handshake timeout, destroyed', async () => {
    const http = await listen(createServer());
    echoAt(http, { handshakeTimeout: 60 });
    const seen: Socket[] = [];
    http.on('upgrade', (_request, socket: Socket) => seen.push(socket));
    await using client = await RawClient.connect(portOf(http));
    const began = performance.now();
    const answer = await client.write(elsewhere).refusal();
    expect(answer.status).toBe(404);
    expect(performance.now() - began).toBeGreaterThan(55);
    const socket = seen[0]!;
    if (!socket.closed) await once(socket, 'close');
    expect(socket.destroyed).toBe(true);
    await expectEcho(portOf(http), {}, '/echo');
  });

  test('[X-14] the same over TLS; a listener that writes keeps its socket there, too', async () => {
    const https = await listen(createTlsServer({ key, cert }) as Server);
    servers.push(new WebSocketServer({ server: https, path: '/echo', handshakeTimeout: 60 }));
    https.on('upgrade', (request, socket) => {
      if (request.url === '/taken') socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
    });
    const secure = (): RawClient =>
      new RawClient(tlsConnect({ port: portOf(https), host: '127.0.0.1', ca: cert }));
    await using taking = secure();
    await taking.write(requestText({}, 'GET /taken HTTP/1.1')).response();
    await using client = secure();
    expect((await client.write(elsewhere).refusal()).status).toBe(404);
    expect(taking.ended).toBe(false);
  });

  test('[X-14] another upgrade listener that writes keeps its socket, also behind an earlier answer', async () => {
    const http = await listen(createServer((_request, response) => response.end('plain')));
    echoAt(http, { handshakeTimeout: 60 });
    let taken: Socket | undefined;
    http.on('upgrade', (request, socket: Socket) => {
      if (request.url === '/taken') {
        taken = socket;
        socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
      }
    });
    await using taking = await RawClient.connect(portOf(http));
    await taking.write(requestText({}, 'GET /taken HTTP/1.1')).response();
    // What an earlier answer has written on the same socket does not count
    await using reused = await RawClient.connect(portOf(http));
    reused.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await reused.until(() => reused.received.includes('plain'));
    reused.received = Buffer.alloc(0);
    expect((await reused.write(elsewhere).response()).status).toBe(404);
    expect(taken!.destroyed).toBe(false);
    expect(taking.ended).toBe(false);
    taken!.destroy();
  });

  test('[X-14] an accept() of another listener that takes its time keeps its socket', async () => {
    const http = await listen(createServer());
    echoAt(http, { handshakeTimeout: 40 });
    http.on('upgrade', (request, socket, head) => {
      if (request.url !== '/slow') return;
      const authenticate = (): Promise<true> =>
        new Promise((resolve) => setTimeout(resolve, 120)).then(() => true);
      accept(request, socket, head, { authenticate }).then(
        (ws) => ws.on('message', (data) => ws.send(data)),
        () => {},
      );
    });
    await expectEcho(portOf(http), {}, '/slow');
  });
});

describe('an upgrade behind another request of the same socket', () => {
  const plain = 'GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const upgrading = requestText({}, 'GET /echo HTTP/1.1');

  /** An HTTP server whose answers wait until the test sends them. */
  async function waiting(): Promise<{ http: Server; responses: ServerResponse[] }> {
    const responses: ServerResponse[] = [];
    const http = await listen(createServer((_request, response) => responses.push(response)));
    return { http, responses };
  }

  test('[X-22] whose answer is pending is refused with 400, after that answer', async () => {
    const { http, responses } = await waiting();
    const server = echoAt(http);
    const rejected = once(server, 'rejected');
    await using client = await RawClient.connect(portOf(http), true);
    client.write(plain + plain + upgrading);
    while (responses.length < 2) await turns(1);
    responses[0]!.write('fir');
    await turns(5);
    expect(client.received.toString()).not.toContain('400');
    responses[1]!.end('second');
    responses[0]!.end('st');
    await client.until(() => client.received.includes('Expected no request'));
    const order = ['fir', 'st', 'second', 'HTTP/1.1 400 '].map((part) => client.received.indexOf(part));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order).not.toContain(-1);
    expect(client.received.includes('101 Switching')).toBe(false);
    expect(((await rejected)[0] as HandshakeError).status).toBe(400);
    await client.until(() => false);
    await expectEcho(portOf(http), {}, '/echo');
  });

  test('[X-22] whose answer never comes: destroyed at the handshake timeout, or when the server closes', async () => {
    const { http, responses } = await waiting();
    const server = echoAt(http, { handshakeTimeout: 60 });
    const rejected = once(server, 'rejected');
    await using client = await RawClient.connect(portOf(http));
    client.write(plain + upgrading);
    expect(((await rejected)[0] as HandshakeError).status).toBe(0);
    await client.until(() => false);
    await expectEcho(portOf(http), {}, '/echo');
    await server.close();

    const other = echoAt(http);
    await using second = await RawClient.connect(portOf(http));
    second.write(plain + upgrading);
    while (responses.length < 2) await turns(1);
    const began = performance.now();
    await other.close();
    expect(performance.now() - began).toBeLessThan(2_000);
    await second.until(() => false);
  });

  test('[X-22] the peer resets while an answer is pending: no crash, status 0', async () => {
    const { http, responses } = await waiting();
    const server = echoAt(http);
    const rejected = once(server, 'rejected');
    const client = await RawClient.connect(portOf(http));
    client.write(plain + upgrading);
    while (responses.length < 1) await turns(1);
    client.socket.resetAndDestroy();
    responses[0]!.end('late');
    expect(((await rejected)[0] as HandshakeError).status).toBe(0);
    await expectEcho(portOf(http), {}, '/echo');
  });

  test('[X-22] whose answer is complete is accepted after it; the keep-alive timeout does not end the connection', async () => {
    const http = await listen(createServer((_request, response) => response.end('plain')));
    http.keepAliveTimeout = 50;
    echoAt(http);
    await using client = await RawClient.connect(portOf(http));
    client.write(plain + upgrading);
    await client.until(() => client.received.includes('Sec-WebSocket-Accept'));
    const order = ['plain', '101 Switching'].map((part) => client.received.indexOf(part));
    expect(order[0]).toBeLessThan(order[1]!);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(client.ended).toBe(false);
    await expectEcho(portOf(http), {}, '/echo');
  });

  test('[X-22] one that nobody serves gets 404 after the pending answer', async () => {
    const { http, responses } = await waiting();
    echoAt(http);
    await using client = await RawClient.connect(portOf(http), true);
    client.write(plain + elsewhere);
    while (responses.length < 1) await turns(1);
    responses[0]!.end('first');
    await client.until(() => client.received.includes('Not Found'));
    expect(client.received.indexOf('first')).toBeLessThan(client.received.indexOf('404'));
    await client.until(() => false);
  });

  test('[X-22] requests one after the other on a socket are no pipeline: accepted', async () => {
    const http = await listen(createServer((_request, response) => response.end('plain')));
    echoAt(http);
    await using client = await RawClient.connect(portOf(http));
    for (let i = 0; i < 3; i++) {
      client.received = Buffer.alloc(0);
      client.write(plain);
      await client.until(() => client.received.includes('plain'));
    }
    client.received = Buffer.alloc(0);
    expect((await client.write(upgrading).response()).status).toBe(101);
  });
});

describe('an HTTP/2 server with allowHTTP1', () => {
  test('[P-97] upgrades requests of HTTP/1.1, and answers those of HTTP/2 that nothing else does', async () => {
    const http2 = createSecureServer({ key, cert, allowHTTP1: true });
    await listen(http2 as unknown as Server);
    const server = new WebSocketServer({ server: http2 });
    servers.push(server.on('connection', (ws) => ws.on('message', (data) => ws.send(data))));
    const { port } = http2.address() as AddressInfo;
    await using client = new RawClient(tlsConnect({ port, host: '127.0.0.1', ca: cert }));
    client.write(requestText({ Origin: 'https://localhost' }));
    expect((await client.response()).status).toBe(101);

    const { connect } = await import('node:http2');
    const session = connect(`https://127.0.0.1:${port}`, { ca: cert });
    const stream = session.request({ ':path': '/' });
    const [headers] = await once(stream, 'response');
    expect(headers[':status']).toBe(426);
    session.destroy();
    await once(session, 'close');
  });
});
