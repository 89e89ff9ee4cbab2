import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  type AcceptOptions,
  accept,
  HandshakeError,
  type Rejection,
  type WebSocketConnection,
} from '../../src/index.js';
import { fakeExtension } from '../handshake/extensions.js';
import { cert, key } from './certificate.js';
import {
  closeFrame,
  maskedFrame,
  opened,
  RawClient,
  type RequestFields,
  refused,
  requestText,
} from './raw.js';

/** An HTTP server that accepts by hand, and remembers what came of it. */
class Acceptor {
  readonly server: Server;
  readonly connections: WebSocketConnection[] = [];
  readonly errors: unknown[] = [];
  readonly sockets: Duplex[] = [];
  /** Emits `upgrade` when accept() was called, and `done` when it has settled. */
  readonly events: EventEmitter = new EventEmitter();

  constructor(options: AcceptOptions, server: Server) {
    this.server = server;
    server.on('upgrade', async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.sockets.push(socket);
      const accepted = accept(request, socket, head, options);
      this.events.emit('upgrade', socket, request);
      try {
        this.connections.push(await accepted);
      } catch (error) {
        this.errors.push(error);
      }
      this.events.emit('done');
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** The only error so far. */
  get error(): HandshakeError {
    expect(this.errors).toHaveLength(1);
    expect(this.errors[0]).toBeInstanceOf(HandshakeError);
    return this.errors[0] as HandshakeError;
  }
}

const acceptors: Acceptor[] = [];

async function serve(options: AcceptOptions = {}, server: Server = createServer()): Promise<Acceptor> {
  const acceptor = new Acceptor(options, server);
  acceptors.push(acceptor);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return acceptor;
}

// Every test: nothing was thrown behind its back (vitest fails on that), and no socket is left. A server
// closes only when all of its sockets are closed.
afterEach(async () => {
  for (const { server, connections } of acceptors.splice(0)) {
    for (const ws of connections) ws.terminate();
    server.closeAllConnections();
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
});

describe('§4.2.1 a request that breaks a rule gets a whole HTTP answer', () => {
  const rows: [title: string, status: number, fields: RequestFields, line?: string][] = [
    ['[H-01] the method POST', 405, {}, 'POST / HTTP/1.1'],
    ['[H-02] another protocol to upgrade to', 426, { Upgrade: 'h2c' }],
    ['[H-03] no version', 426, { 'Sec-WebSocket-Version': null }],
    ['[H-03] version 12', 426, { 'Sec-WebSocket-Version': '12' }],
    ['[H-03] versions 13, 8', 426, { 'Sec-WebSocket-Version': '13, 8' }],
    ['[H-04] HTTP/1.0', 505, {}, 'GET / HTTP/1.0'],
    ['[H-06] no key', 400, { 'Sec-WebSocket-Key': null }],
    ['[H-06] a key of 15 bytes', 400, { 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') }],
    [
      '[H-07] two keys',
      400,
      { 'Sec-WebSocket-Key': ['dGhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZSBub25jZQ=='] },
    ],
    ['[H-07] two versions', 400, { 'Sec-WebSocket-Version': ['13', '13'] }],
    ['[H-07] two hosts', 400, { Host: ['localhost', 'localhost'] }],
    ['[H-07] two origins', 400, { Origin: ['http://localhost', 'http://localhost'] }],
    ['[H-08] a body that is announced', 400, { 'Content-Length': '3' }],
    ['[H-08] a chunked body', 400, { 'Transfer-Encoding': 'chunked' }],
    ['[H-09] subprotocols with a trailing comma', 400, { 'Sec-WebSocket-Protocol': 'a,' }],
    ['[H-09] a subprotocol twice', 400, { 'Sec-WebSocket-Protocol': ['a', 'a'] }],
    ['[H-13] subprotocols of 15,000 spaces', 400, { 'Sec-WebSocket-Protocol': ' '.repeat(15_000) }],
    ['[H-13] subprotocols of open quotes', 400, { 'Sec-WebSocket-Protocol': '"'.repeat(15_000) }],
    ['[H-13] extensions of 15,000 spaces', 400, { 'Sec-WebSocket-Extensions': ' '.repeat(15_000) }],
    ['[H-13] extensions of backslashes', 400, { 'Sec-WebSocket-Extensions': `a;b="${'\\'.repeat(15_000)}` }],
    ['[H-11] another origin', 403, { Origin: 'http://good.com.evil' }],
  ];

  test.each(rows)('[P-07] %s gets %i', async (_title, status, fields, line) => {
    const acceptor = await serve();
    const answer = await refused(acceptor.port, fields, line);
    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject({ connection: expect.stringMatching(/^close/) });
    expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(answer.body).not.toBe('');
    expect(acceptor.error.status).toBe(status);
    expect(acceptor.error.body).toBe(answer.body);
    expect(acceptor.error.headers).toEqual(answer.headers);
    expect(acceptor.error.message).toContain(`Refused the opening handshake with ${status}: `);
    // The server is as good as before.
    await using client = await opened(acceptor.port);
    expect(client.ended).toBe(false);
  });

  test('405 has Allow, 426 has Upgrade as RFC 9110 asks for, and the version of ours', async () => {
    const { port } = await serve();
    expect((await refused(port, {}, 'PUT / HTTP/1.1')).headers).toHaveProperty('allow', 'GET');
    const { headers } = await refused(port, { 'Sec-WebSocket-Version': '12' });
    expect(headers).toMatchObject({
      upgrade: 'websocket',
      connection: 'close, Upgrade',
      'sec-websocket-version': '13',
    });
  });

  test.each([1, 3, 20])('[H-14] maxHeadersCount of %i hides Upgrade: 400 or 431, no crash', async (count) => {
    const server = createServer();
    server.maxHeadersCount = count;
    const acceptor = await serve({}, server);
    const filler = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`X-${i}`, 'x']));
    await using client = await RawClient.connect(acceptor.port);
    const request = requestText({ ...filler, Upgrade: null });
    client.write(request.replace('\r\n\r\n', '\r\nUpgrade: websocket\r\n\r\n'));
    const { status } = await client.refusal();
    // Later versions of Node.js refuse it themselves, with 431, before the upgrade event.
    if (status === 431) expect(acceptor.errors).toEqual([]);
    else expect([status, acceptor.error.status]).toEqual([400, 400]);
  });

  test('[H-08] the answer reaches a peer that goes on sending; its socket is destroyed within a second or so', async () => {
    const acceptor = await serve();
    await using client = await RawClient.connect(acceptor.port, true);
    client.write(`${requestText({ 'Content-Length': '1000000' })}${'x'.repeat(100_000)}`);
    expect((await client.response()).status).toBe(400);
    const [socket] = acceptor.sockets as [Socket];
    expect(socket.destroyed).toBe(false);
    client.write('x'.repeat(100_000));
    await once(socket, 'close');
    expect(client.ended).toBe(true);
  });
});

describe('§4.2.2 what is agreed on', () => {
  test.each([
    { Upgrade: 'WebSocket, h2c', Connection: 'keep-alive, Upgrade' },
    { upgrade: 'WEBSOCKET', Upgrade: null, connection: 'UPGRADE', Connection: null },
  ])('[H-05] %j is accepted', async (fields) => {
    const { port } = await serve();
    await using client = await RawClient.connect(port);
    const { status, headers } = await client.write(requestText(fields)).response();
    expect(status).toBe(101);
    expect(headers).toEqual({
      upgrade: 'websocket',
      connection: 'Upgrade',
      'sec-websocket-accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    });
  });

  test('[H-10] no subprotocol in common is 101 without the field; the first one offered is never echoed', async () => {
    const acceptor = await serve({ subprotocols: ['x'] });
    await using client = await RawClient.connect(acceptor.port);
    const { status, headers } = await client
      .write(requestText({ 'Sec-WebSocket-Protocol': 'a, b' }))
      .response();
    expect(status).toBe(101);
    expect(headers).not.toHaveProperty('sec-websocket-protocol');
    expect(acceptor.connections[0]!.subprotocol).toBe('');
  });

  test('a subprotocol is chosen by a function that sees the request', async () => {
    const acceptor = await serve({
      subprotocols: (offered, request) => offered.find((name) => request.url === `/${name}`),
    });
    await using client = await RawClient.connect(acceptor.port);
    client.write(requestText({ 'Sec-WebSocket-Protocol': 'a, b' }, 'GET /b HTTP/1.1'));
    expect((await client.response()).headers['sec-websocket-protocol']).toBe('b');
    expect(acceptor.connections[0]!.subprotocol).toBe('b');
  });

  test('an extension is negotiated', async () => {
    const acceptor = await serve({ extensions: [fakeExtension('x', 0x40)] });
    await using client = await RawClient.connect(acceptor.port);
    client.write(requestText({ 'Sec-WebSocket-Extensions': 'y, x; level=9, x' }));
    expect((await client.response()).headers['sec-websocket-extensions']).toBe('x; level=9');
    expect(acceptor.connections[0]!.extensions).toBe('x');
  });

  test('[H-12] extensions named constructor and __proto__ are left out of the answer', async () => {
    const { port } = await serve({ extensions: [fakeExtension('x', 0x40)] });
    await using client = await RawClient.connect(port);
    client.write(
      requestText({ 'Sec-WebSocket-Extensions': 'constructor; toString, __proto__; __proto__=1' }),
    );
    const { status, headers } = await client.response();
    expect(status).toBe(101);
    expect(headers).not.toHaveProperty('sec-websocket-extensions');
  });

  test('more header fields come from a record, or a function of the request', async () => {
    const record = await serve({ headers: { 'X-A': 'b', 'Set-Cookie': ['c=1', 'd=2'] } });
    await using first = await RawClient.connect(record.port);
    expect((await first.write(requestText()).response()).headers).toMatchObject({
      'x-a': 'b',
      'set-cookie': 'c=1, d=2',
    });
    const made = await serve({ headers: (request) => ({ 'X-Path': request.url }) });
    await using second = await RawClient.connect(made.port);
    expect((await second.write(requestText()).response()).headers['x-path']).toBe('/');
  });

  test('[H-18] [P-06] frames in the same segment as the request are delivered, in order, before later ones', async () => {
    const acceptor = await serve();
    await using client = await RawClient.connect(acceptor.port);
    client.write(Buffer.concat([Buffer.from(requestText()), maskedFrame(1, '61'), maskedFrame(2, '62')]));
    await client.response();
    client.write(maskedFrame(1, '63'));
    const [ws] = acceptor.connections as [WebSocketConnection];
    const messages: string[] = [];
    ws.on('message', (data, type) => {
      messages.push(`${type} ${data}`);
      if (messages.length === 3) ws.send(messages.join());
    });
    expect(await client.bytes(24)).toBe(`8116${Buffer.from('text a,binary b,text c').toString('hex')}`);
  });

  test('the socket has no timeout of the HTTP server, and sends small segments at once', async () => {
    const server = createServer();
    server.timeout = 50;
    const acceptor = await serve({}, server);
    await using client = await opened(acceptor.port);
    expect((acceptor.sockets[0] as Socket).timeout).toBe(0);
    client.write(closeFrame);
    expect(await client.bytes(4)).toBe('880203e8');
  });
});

describe('§10.2 the origin', () => {
  const status = async (origin: string, options: AcceptOptions = {}): Promise<number> => {
    const { port } = await serve(options);
    await using client = await RawClient.connect(port);
    client.write(requestText({ Host: 'good.com', Origin: origin }));
    return (await client.response()).status;
  };

  test.each([
    ['http://good.com', 101],
    ['HTTP://GOOD.com:80', 101],
    ['http://evil.com', 403],
    ['http://good.com:8080', 403],
    ['null', 403],
    ['http://good.com.evil', 403],
  ])('[H-11] %s at http://good.com gets %i', async (origin, expected) => {
    expect(await status(origin)).toBe(expected);
  });

  test('[H-11] §4.2.1 item 8 without an Origin, which only browsers must send, it is accepted', async () => {
    const acceptor = await serve({ origins: [] });
    await using client = await opened(acceptor.port);
    expect(client.ended).toBe(false);
    expect(acceptor.connections).toHaveLength(1);
  });

  test('[H-11] on a TLS server the own origin is https', async () => {
    const acceptor = await serve({}, createTlsServer({ key, cert }));
    const statuses: number[] = [];
    for (const origin of ['https://localhost', 'http://localhost']) {
      const socket = tlsConnect({ port: acceptor.port, host: '127.0.0.1', ca: cert });
      await using client = new RawClient(socket);
      client.write(requestText({ Origin: origin }));
      statuses.push((await client.response()).status);
    }
    expect(statuses).toEqual([101, 403]);
  });

  test('a list, a star, and a function that decides later', async () => {
    expect(await status('https://public.com', { origins: ['https://public.com'] })).toBe(101);
    expect(await status('http://good.com', { origins: ['https://public.com'] })).toBe(403);
    expect(await status('null', { origins: '*' })).toBe(101);
    expect(await status('http://a', { origins: async (origin) => origin === 'http://a' })).toBe(101);
    expect(await status('http://b', { origins: async (origin) => origin === 'http://a' })).toBe(403);
    expect(await status('http://b', { origins: () => 'yes' as unknown as boolean })).toBe(403);
  });
});

describe('authentication', () => {
  test.each([
    ['undefined', undefined, 500],
    ['true', true, 101],
    ['data', { data: 1 }, 101],
    ['data that is undefined', { data: undefined }, 101],
    ['maxMessageSize', { maxMessageSize: 0 }, 101],
    ['false', false, 401],
    ['a rejection', { status: 402 }, 402],
    ['a redirect', { status: 307, headers: { Location: '/there' } }, 307],
    ['a success that is no upgrade', { status: 200 }, 200],
    ['a status without a name', { status: 599 }, 599],
    ['null', null, 500],
    ['a number', 1, 500],
    ['a string', 'yes', 500],
    ['a function', () => true, 500],
    ['an empty object', {}, 500],
    ['an array', [true], 500],
    ['a user', { name: 'Ann' }, 500],
    ['data and a user', { data: 1, name: 'Ann' }, 500],
    ['both data and a status', { data: 1, status: 403 }, 500],
    ['a maxMessageSize that is negative', { maxMessageSize: -1 }, 500],
    ['a maxMessageSize that is no number', { maxMessageSize: '1' }, 500],
    ['the status 101', { status: 101 }, 500],
    ['the status 600', { status: 600 }, 500],
    ['a body of bytes', { status: 400, body: Buffer.of(1) }, 500],
    ['[H-21] a field with a line end', { status: 400, headers: { 'X-A': 'a\r\nb' } }, 500],
  ])('that returns %s is answered as said', async (_title, result, status) => {
    for (const authenticate of [
      () => result,
      async () => result,
    ] as Required<AcceptOptions>['authenticate'][]) {
      const acceptor = await serve({ authenticate });
      await using client = await RawClient.connect(acceptor.port);
      expect((await client.write(requestText()).response()).status).toBe(status);
      if (status !== 101) expect(acceptor.error.status).toBe(status);
    }
  });

  test('a rejection has header fields and a body of its own; what frames it is not up to it', async () => {
    const rejection: Rejection = {
      status: 401,
      headers: {
        'WWW-Authenticate': ['Basic realm="a"', 'Bearer'],
        'content-type': 'application/json',
        'Content-Length': '1',
        Connection: 'keep-alive',
      },
      body: '{"error":"no tökens"}',
    };
    const { port } = await serve({ authenticate: () => rejection });
    const answer = await refused(port);
    expect(answer.headers).toEqual({
      'www-authenticate': 'Basic realm="a", Bearer',
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(rejection.body!)),
      connection: 'close',
    });
    expect(answer.body).toBe(rejection.body);
  });

  test('a throw is answered with 500, says nothing to the peer, and is the cause of the error', async () => {
    const failure = new Error('The database at 10.0.0.1 is down');
    for (const authenticate of [
      () => {
        throw failure;
      },
      () => Promise.reject(failure),
      () => Promise.reject(new HandshakeError(418, failure.message)),
    ]) {
      const acceptor = await serve({ authenticate });
      const answer = await refused(acceptor.port);
      expect(answer.status).toBe(500);
      expect(answer.body).toBe('Internal Server Error');
      expect(acceptor.error.status).toBe(500);
      expect(acceptor.error.cause).toHaveProperty('message', failure.message);
      expect(acceptor.error.message).toContain(failure.message);
    }
  });

  test.each<[string, AcceptOptions]>([
    ['headers', { headers: () => ({ 'X-A': 'a\r\nb' }) }],
    ['subprotocols', { subprotocols: () => 'b' }],
    [
      'origins',
      {
        origins: () => {
          throw new TypeError('x');
        },
      },
    ],
  ])('[H-21] %s from a function that are wrong get 500 before a byte of 101', async (_name, options) => {
    const acceptor = await serve(options);
    const answer = await refused(acceptor.port, {
      'Sec-WebSocket-Protocol': 'a',
      Origin: 'http://localhost',
    });
    expect(answer.status).toBe(500);
    expect(acceptor.error.cause).toBeInstanceOf(TypeError);
  });

  test('comes behind all other checks, and gets the request', async () => {
    const urls: unknown[] = [];
    const { port } = await serve({ authenticate: (request) => urls.push(request.url) > 0 });
    await refused(port, { Origin: 'http://evil' }, 'GET /a HTTP/1.1');
    await refused(port, { 'Sec-WebSocket-Key': 'x' }, 'GET /b HTTP/1.1');
    await using client = await opened(port, {}, 'GET /c HTTP/1.1');
    expect(urls).toEqual(['/c']);
    expect(client.ended).toBe(false);
  });

  test('[H-16] [P-85] that never settles gets 503 within the handshake timeout; signal aborted, socket destroyed', async () => {
    let aborted: AbortSignal | undefined;
    const acceptor = await serve({
      handshakeTimeout: 50,
      authenticate: (_request, { signal }) => {
        aborted = signal;
        return new Promise<never>(() => {});
      },
    });
    const start = performance.now();
    const answer = await refused(acceptor.port);
    expect(answer.status).toBe(503);
    expect(performance.now() - start).toBeGreaterThan(45);
    expect(aborted!.aborted).toBe(true);
    expect(acceptor.error.message).toContain('took too long');
    const [socket] = acceptor.sockets as [Socket];
    if (!socket.closed) await once(socket, 'close');
    expect(socket.destroyed).toBe(true);
  });

  test('that fails when its time is over is not an unhandled rejection', async () => {
    const { port } = await serve({
      handshakeTimeout: 20,
      authenticate: (_request, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    });
    expect((await refused(port)).status).toBe(503);
  });

  test('the signal of the application refuses handshakes under way, and later ones', async () => {
    const controller = new AbortController();
    const acceptor = await serve({
      signal: controller.signal,
      authenticate: () => new Promise<never>(() => {}),
    });
    await using client = await RawClient.connect(acceptor.port);
    client.write(requestText());
    await once(acceptor.events, 'upgrade');
    controller.abort();
    expect((await client.refusal()).status).toBe(503);
    expect((await refused(acceptor.port)).status).toBe(503);
  });
});

describe('§7.1.7 the peer is gone', () => {
  test('[H-17] a reset while the application decides: status 0, the signal is aborted, no crash', async () => {
    let aborted: AbortSignal | undefined;
    const acceptor = await serve({
      authenticate: (_request, { signal }) => {
        aborted = signal;
        return new Promise<never>(() => {});
      },
    });
    const client = await RawClient.connect(acceptor.port);
    client.write(requestText());
    await once(acceptor.events, 'upgrade');
    client.socket.resetAndDestroy();
    await once(acceptor.events, 'done');
    expect(acceptor.error.status).toBe(0);
    expect(aborted!.aborted).toBe(true);
  });

  for (const [title, options, fields] of [
    ['of an origin check', { origins: async () => true }, { Origin: 'http://a.example' }],
    ['of authenticate()', { authenticate: async () => true }, {}],
  ] as const) {
    test(`[H-17] a reset that is told between the upgrade event and the answer ${title}: no crash`, async () => {
      const acceptor = await serve(options);
      for (const name of ['ECONNRESET', 'EPIPE']) {
        acceptor.events.once('upgrade', (socket: Socket) => socket.destroy(new Error(name)));
        const client = await RawClient.connect(acceptor.port);
        client.write(requestText(fields));
        await once(acceptor.events, 'done');
      }
      expect(acceptor.connections).toEqual([]);
      expect(acceptor.errors.map((error) => (error as HandshakeError).status)).toEqual([0, 0]);
      await using client = await opened(acceptor.port, fields);
      expect(client.socket.destroyed).toBe(false);
    });
  }

  test('[H-17] a reset that is told right behind the answer: the connection ends, no crash', async () => {
    const acceptor = await serve();
    for (const name of ['ECONNRESET', 'EPIPE']) {
      acceptor.events.once('upgrade', (socket: Socket) => socket.destroy(new Error(name)));
      const client = await RawClient.connect(acceptor.port);
      client.write(requestText());
      await once(acceptor.events, 'done');
      expect(await acceptor.connections.at(-1)!.closed).toMatchObject({ code: 1006, wasClean: false });
    }
    expect(acceptor.errors).toEqual([]);
    await using client = await opened(acceptor.port);
    expect(client.socket.destroyed).toBe(false);
  });

  test('a signal that is aborted already: 503, and origins are not asked, whose error nobody would see', async () => {
    const origins = vi.fn(async () => {
      throw new Error('asked');
    });
    const acceptor = await serve({ signal: AbortSignal.abort(), origins });
    expect((await refused(acceptor.port, { Origin: 'http://a.example' })).status).toBe(503);
    expect(origins).not.toHaveBeenCalled();
  });

  test('[H-17] a peer that is gone before it is refused: status 0, no crash', async () => {
    const acceptor = await serve();
    acceptor.events.once('upgrade', (socket: Socket) => socket.destroy(new Error('ECONNRESET')));
    const client = await RawClient.connect(acceptor.port);
    client.write(requestText({ 'Sec-WebSocket-Key': null }));
    await once(acceptor.events, 'done');
    expect(acceptor.errors).toHaveLength(1);
    await client[Symbol.asyncDispose]();
  });
});

describe('a stream that is no net.Socket', () => {
  /** A request as the tests of a framework inject it. */
  class Injected extends Duplex {
    written = '';
    failure: Error | null = null;
    override _read(): void {}
    override _write(chunk: Buffer, _encoding: string, done: (error: Error | null) => void): void {
      this.written += chunk.toString('latin1');
      done(this.failure);
    }
  }

  const inject = (
    stream: Injected,
    fields: RequestFields = {},
    headers: object = { upgrade: '' },
  ): Promise<WebSocketConnection> => {
    const rawHeaders = requestText(fields)
      .trimEnd()
      .split('\r\n')
      .slice(1)
      .flatMap((line) => line.split(': '));
    const request = {
      method: 'GET',
      url: '/',
      httpVersion: '1.1',
      rawHeaders,
      headers,
      socket: stream,
    };
    return accept(request as unknown as IncomingMessage, stream, Buffer.alloc(0));
  };

  test('is upgraded', async () => {
    const stream = new Injected();
    const ws = await inject(stream);
    expect(stream.written).toMatch(/^HTTP\/1\.1 101 /);
    ws.send('a');
    await ws.drained();
    expect(stream.written.slice(-3)).toBe('\x81\x01a');
    ws.terminate();
    await ws.closed;
  });

  test('[H-14] is refused with 400 when its Upgrade field is hidden, as by maxHeadersCount', async () => {
    const stream = new Injected();
    await expect(inject(stream, {}, {})).rejects.toMatchObject({ status: 400 });
    expect(stream.written).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    stream.destroy();
  });

  test('is refused, and may fail while the answer is on its way', async () => {
    const stream = new Injected();
    stream.failure = new Error('EPIPE');
    await expect(inject(stream, { Connection: 'close' })).rejects.toMatchObject({ status: 426 });
    if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve));
    expect(stream.errored).toHaveProperty('message', 'EPIPE');
  });
});

describe('misuse', () => {
  test('[H-19] a socket upgraded twice throws, and the connection goes on', async () => {
    const acceptor = await serve();
    let again: Promise<unknown> | undefined;
    acceptor.events.once('upgrade', (socket: Socket, request: IncomingMessage) => {
      again = expect(accept(request, socket, Buffer.alloc(0))).rejects.toThrow(/upgraded already/);
    });
    await using client = await opened(acceptor.port);
    await again;
    const [ws] = acceptor.connections as [WebSocketConnection];
    await expect(accept({} as IncomingMessage, acceptor.sockets[0]!, Buffer.alloc(0))).rejects.toThrow(
      HandshakeError,
    );
    ws.send('a');
    expect(await client.bytes(3)).toBe('810161');
  });

  test.each<[string, unknown]>([
    ['an unknown name', { subProtocols: [] }],
    ['no object', null],
    ['origins', { origins: 'example.com' }],
    ['subprotocols', { subprotocols: ['a\r\nb'] }],
    ['extensions', { extensions: {} }],
    ['headers', { headers: { 'X-A': 'a\nb' } }],
    ['headers of the handshake', { headers: { 'Sec-WebSocket-Accept': 'a' } }],
    ['authenticate', { authenticate: true }],
    ['handshakeTimeout', { handshakeTimeout: '1' }],
    ['closeTimeout', { closeTimeout: null }],
  ])(
    '[H-21] options with wrong %s reject with a TypeError, and the peer gets 500',
    async (_name, options) => {
      const acceptor = await serve(options as AcceptOptions);
      expect((await refused(acceptor.port)).status).toBe(500);
      expect(acceptor.errors[0]).toBeInstanceOf(TypeError);
    },
  );

  test('a handshakeTimeout of 0 is a RangeError', async () => {
    const acceptor = await serve({ handshakeTimeout: 0 });
    expect((await refused(acceptor.port)).status).toBe(500);
    expect(acceptor.errors[0]).toBeInstanceOf(RangeError);
  });
});
