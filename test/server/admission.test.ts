import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Socket,
} from 'node:net';
import { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { HandshakeError, WebSocketServer, type WebSocketServerOptions } from '../../src/index.js';
import { frameTo } from '../support/frames.js';
import { block, checkSideConditions, expectEcho } from '../support/side-conditions.js';
import { upgradeInMemory } from '../support/upgrade.js';
import { turns } from '../support/wire.js';
import { cert, key } from './certificate.js';
import { maskedFrame, opened, RawClient, type RequestFields, refused, requestText } from './raw.js';

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

async function echo(
  options: WebSocketServerOptions = {},
): Promise<{ server: WebSocketServer; port: number }> {
  const own = options.server === undefined;
  const server = new WebSocketServer(own ? { port: 0, host: '127.0.0.1', ...options } : options);
  servers.push(server.on('connection', (ws) => ws.on('message', (data) => ws.send(data))));
  if (own) await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

/** `authenticate` that never settles, except for the path `/`. */
function slow(): {
  readonly authenticate: Required<WebSocketServerOptions>['authenticate'];
  readonly signals: AbortSignal[];
  readonly settle: (() => void)[];
} {
  const signals: AbortSignal[] = [];
  const settle: (() => void)[] = [];
  const authenticate = (request: IncomingMessage, { signal }: { signal: AbortSignal }) => {
    if (request.url === '/') return true;
    signals.push(signal);
    return new Promise<true>((resolve) => settle.push(() => resolve(true)));
  };
  return { authenticate, signals, settle };
}

const line = 'GET /slow HTTP/1.1';

describe('the peer during authenticate', () => {
  test.each([
    ['a FIN', ''],
    ['frames and a FIN', maskedFrame(1, '61')],
  ])('[X-20] sends %s: its signal is aborted, and the request is over', async (_title, early) => {
    const { authenticate, signals } = slow();
    const { server, port } = await echo({ authenticate });
    const rejected = once(server, 'rejected');
    await using client = await RawClient.connect(port, true);
    client.write(requestText({}, line));
    while (signals.length === 0) await turns(1);
    if (early.length > 0) client.write(early);
    await turns(3);
    expect(signals[0]!.aborted).toBe(false);
    client.socket.end();
    const [error] = (await rejected) as [HandshakeError];
    expect(error).toBeInstanceOf(HandshakeError);
    expect(error.message).toContain('The peer is gone');
    expect(signals[0]!.aborted).toBe(true);
    await client.until(() => false);
    await expectEcho(port);
  });

  test('[X-20] sends a FIN over TLS: its signal is aborted', async () => {
    const { authenticate, signals } = slow();
    const https = createTlsServer({ key, cert }) as Server;
    httpServers.push(https.listen(0, '127.0.0.1'));
    await once(https, 'listening');
    const { server, port } = await echo({ server: https, authenticate });
    const rejected = once(server, 'rejected');
    const socket = tlsConnect({ port, host: '127.0.0.1', ca: cert });
    await using client = new RawClient(socket);
    client.write(requestText({}, line));
    while (signals.length === 0) await turns(1);
    client.socket.end();
    await rejected;
    expect(signals[0]!.aborted).toBe(true);
  });

  test('[H-18] sends frames: they are delivered once it is accepted, in order, before later ones', async () => {
    const { authenticate, settle } = slow();
    const { port } = await echo({ authenticate });
    await using client = await RawClient.connect(port);
    client.write(Buffer.concat([Buffer.from(requestText({}, line)), maskedFrame(1, '61')]));
    while (settle.length === 0) await turns(1);
    for (const hex of ['62', '63']) {
      client.write(maskedFrame(1, hex));
      await turns(5);
    }
    settle[0]!();
    expect((await client.response()).status).toBe(101);
    client.write(maskedFrame(1, '64'));
    expect(await client.bytes(12)).toBe('810161810162810163810164');
  });

  test('[H-18] sends more than is read ahead: all of it is delivered, and no FIN is missed afterwards', async () => {
    const { authenticate, settle } = slow();
    const { server, port } = await echo({ authenticate });
    await using client = await RawClient.connect(port);
    client.write(requestText({}, line));
    while (settle.length === 0) await turns(1);
    const frames = Array.from({ length: 4_000 }, () => maskedFrame(2, '00'.repeat(100)));
    client.write(Buffer.concat(frames));
    await turns(50);
    settle[0]!();
    expect((await client.response()).status).toBe(101);
    await client.until(() => client.received.length === 4_000 * 102);
    expect(client.received.length).toBe(4_000 * 102);
    const [ws] = server.connections;
    client.socket.end();
    expect(await ws!.closed).toMatchObject({ code: 1006 });
  });

  test('floods: little over 64 KiB are read ahead, and no more before it is accepted', async () => {
    let accept = (_: true): void => {};
    const answer = new Promise<true>((resolve) => {
      accept = resolve;
    });
    const server = new WebSocketServer({ noServer: true, authenticate: () => answer });
    servers.push(server);
    const flood = frameTo('server', 2, Buffer.alloc(16_000));
    let given = 0;
    const push = (socket: Duplex): void => {
      given += flood.length;
      socket.push(Buffer.from(flood));
    };
    const socket = new Duplex({
      read: () => setImmediate(push, socket),
      write: (_chunk, _encoding, done) => done(),
    });
    const accepting = upgradeInMemory(server, socket);
    await turns(100);
    expect(given).toBeGreaterThan(64 * 1024);
    expect(given).toBeLessThan(256 * 1024);
    accept(true);
    (await accepting).terminate();
  });
});

describe('once authenticate has accepted', () => {
  test.each(['true at once', 'true later'])(
    '[X-20] %s: none of its listeners stay on the socket, and the end does not abort its signal',
    async (answer) => {
      const signals: AbortSignal[] = [];
      const events = ['error', 'close', 'end', 'readable', 'data', 'finish'] as const;
      const counts: number[][] = [];
      for (const asks of [false, true]) {
        const http = createServer();
        httpServers.push(http.listen(0, '127.0.0.1'));
        const upgraded = once(http, 'upgrade');
        await once(http, 'listening');
        const authenticate = async (_: IncomingMessage, { signal }: { signal: AbortSignal }) => {
          signals.push(signal);
          if (answer === 'true later') await turns(2);
          return true as const;
        };
        const { server, port } = await echo({ server: http, ...(asks && { authenticate }) });
        await using client = await opened(port);
        const [, socket] = (await upgraded) as [IncomingMessage, Socket];
        const [ws] = server.connections;
        counts.push(events.map((event) => socket.listenerCount(event)));
        client.socket.destroy();
        expect((await ws!.closed).code).toBe(1006);
        await turns(3);
      }
      const aborted = signals.map((signal) => signal.aborted);
      expect([counts[1], aborted]).toEqual([counts[0], [false]]);
    },
  );
});

describe('a process that stands still for longer than handshakeTimeout', () => {
  test('[X-28] authenticate whose own answer is in the kernel: accepted', async () => {
    const database = createTcpServer((socket) => {
      socket.on('data', () => {
        socket.end('yes');
        block(150);
      });
    }).listen(0, '127.0.0.1');
    await once(database, 'listening');
    const ask = async (): Promise<boolean> => {
      const socket = connectTcp((database.address() as AddressInfo).port, '127.0.0.1');
      socket.write('may it?');
      const [answer] = await once(socket, 'data');
      socket.destroy();
      return `${answer}` === 'yes';
    };
    const { port } = await echo({ handshakeTimeout: 60, authenticate: ask });
    await using client = await opened(port);
    expect(client.ended).toBe(false);
    database.close();
  });

  test('[X-28] a request that is in the kernel: accepted, while a peer that sent none gets 408', async () => {
    const { server, port } = await echo({ handshakeTimeout: 100 });
    await using client = await RawClient.connect(port);
    await using silent = await RawClient.connect(port);
    // Both are accepted by now
    await turns(10);
    await new Promise((resolve) => setTimeout(resolve, 20));
    // From an immediate on, the timers are next, and the kernel is asked after them
    await turns(1);
    client.write(requestText());
    block(200);
    expect((await client.response()).status).toBe(101);
    expect((await silent.response()).status).toBe(408);
    expect(server.connections.size).toBe(1);
  });
});

describe('§10.2 the origin behind a proxy', () => {
  const status = async (port: number, fields: RequestFields): Promise<number> => {
    await using client = await RawClient.connect(port);
    return (await client.write(requestText({ Host: 'a.example', ...fields })).response()).status;
  };

  test('[X-23] an https page of the same host on a plain request is accepted, as a proxy may have ended TLS', async () => {
    const { port } = await echo();
    expect(await status(port, { Origin: 'https://a.example' })).toBe(101);
    expect(await status(port, { Origin: 'https://a.example:443' })).toBe(101);
    expect(await status(port, { Host: 'a.example:8443', Origin: 'https://a.example:8443' })).toBe(101);
    for (const Origin of [
      'https://b.example',
      'https://a.example:8443',
      'https://sub.a.example',
      'wss://a.example',
    ]) {
      expect([Origin, await status(port, { Origin })]).toEqual([Origin, 403]);
    }
    // Without trustProxy nobody may say so
    const forged = { 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' };
    expect(await status(port, { Origin: 'https://evil.example', ...forged })).toBe(403);
    await expectEcho(port, { origin: `https://127.0.0.1:${port}` });
  });

  test('[X-23] an http page at a TLS server gets 403', async () => {
    const https = createTlsServer({ key, cert }) as Server;
    httpServers.push(https.listen(0, '127.0.0.1'));
    await once(https, 'listening');
    const { port } = await echo({ server: https });
    const answers: number[] = [];
    for (const Origin of ['http://localhost', 'https://localhost']) {
      await using client = new RawClient(tlsConnect({ port, host: '127.0.0.1', ca: cert }));
      answers.push((await client.write(requestText({ Origin })).response()).status);
    }
    expect(answers).toEqual([403, 101]);
  });

  test('[X-23] trustProxy: X-Forwarded-Proto and X-Forwarded-Host decide', async () => {
    const { port } = await echo({ trustProxy: true });
    const rows: [number, RequestFields][] = [
      [
        101,
        { Origin: 'https://pub.example', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'pub.example' },
      ],
      [101, { Origin: 'https://pub.example', 'X-Forwarded-Proto': 'wss', 'X-Forwarded-Host': 'PUB.example' }],
      [
        403,
        { Origin: 'http://pub.example', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'pub.example' },
      ],
      [
        403,
        { Origin: 'https://pub.example', 'X-Forwarded-Proto': 'http', 'X-Forwarded-Host': 'pub.example' },
      ],
      [403, { Origin: 'https://a.example', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'pub.example' }],
      [101, { Origin: 'https://a.example', 'X-Forwarded-Proto': 'https' }],
      // A proxy that appends has its own element last; what stands in front came with the request
      [403, { Origin: 'https://evil.example', 'X-Forwarded-Host': 'evil.example, pub.example' }],
      [101, { Origin: 'https://pub.example', 'X-Forwarded-Host': ['evil.example', 'pub.example'] }],
      [101, { Origin: 'http://a.example' }],
      [403, { Origin: 'http://b.example' }],
    ];
    for (const [expected, fields] of rows) {
      expect([fields, await status(port, fields)]).toEqual([fields, expected]);
    }
    await expectEcho(port);
  });

  test('[X-23] a runtime whose plain sockets have encrypted: false is not over TLS', async () => {
    const http = createServer();
    http.on('connection', (socket: Socket) => Object.assign(socket, { encrypted: false }));
    httpServers.push(http.listen(0, '127.0.0.1'));
    await once(http, 'listening');
    const { port } = await echo({ server: http });
    expect(await status(port, { Origin: 'http://a.example' })).toBe(101);
  });

  test('trustProxy of another type is a TypeError', async () => {
    expect(() => new WebSocketServer({ noServer: true, trustProxy: 1 as never })).toThrow(TypeError);
  });
});

describe('a rejection', () => {
  test.each([204, 205, 304])('[X-20] with status %i has no body, whatever it says', async (status) => {
    const rejection = {
      status,
      body: 'not to be sent',
      headers: { 'X-A': 'b', 'Content-Type': 'text/html' },
    };
    const { server, port } = await echo({
      authenticate: (request) => (request.url === '/' ? true : rejection),
    });
    const rejected = once(server, 'rejected');
    const answer = await refused(port, {}, line);
    expect(answer).toMatchObject({ status, body: '', headers: { connection: 'close', 'x-a': 'b' } });
    expect(answer.headers['content-length']).toBe(status === 205 ? '0' : undefined);
    expect(((await rejected)[0] as HandshakeError).body).toBe('');
    await expectEcho(port);
  });

  test.each([100, 101, 103, 199])('[X-20] with status %i is not sent: 500', async (status) => {
    const { port } = await echo({ authenticate: (request) => request.url === '/' || { status } });
    expect((await refused(port, {}, line)).status).toBe(500);
    await expectEcho(port);
  });
});
