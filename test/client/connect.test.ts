import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { Agent, createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type ConnectOptions,
  connect,
  HandshakeError,
  TimeoutError,
  WebSocketServer,
} from '../../src/index.js';
import { cert, key } from '../server/certificate.js';
import { frame, parse } from '../support/frames.js';
import { timers, timersLeft, turns } from '../support/wire.js';
import { xorFactory } from '../support/xor.js';
import { acceptOf, closeServers, field, open, serve, sockets, switching } from './raw-server.js';

const faults: unknown[] = [];
const onFault = (error: unknown): void => void faults.push(error);
let before = 0;

beforeEach(() => {
  before = timers();
  process.on('unhandledRejection', onFault).on('uncaughtException', onFault);
});

afterEach(async () => {
  closeServers();
  await turns(5);
  process.off('unhandledRejection', onFault).off('uncaughtException', onFault);
  expect(faults).toEqual([]);
  expect(await timersLeft(before)).toBe(0);
});

/** What a connection attempt rejects with; the server's side of the socket has to be gone then. */
async function refusal(url: string, options?: ConnectOptions): Promise<HandshakeError> {
  const error = await connect(url, options).then(
    () => Promise.reject(new Error('Connected')),
    (reason) => reason as HandshakeError,
  );
  for (const socket of sockets)
    if (!socket.destroyed) await new Promise((resolve) => socket.resume().once('close', resolve));
  return error;
}

describe('connect', () => {
  test('[P-08] §4.1 sends the request of the RFC, and opens the connection', async () => {
    let request = '';
    const url = await serve((head, socket) => {
      request = head;
      socket.write(
        switching(head, {
          'Sec-WebSocket-Protocol': 'v1',
          Upgrade: 'WebSocket',
          Connection: 'keep-alive, UPGRADE',
        }),
      );
    });
    const ws = await connect(`${url}path?query`, {
      subprotocols: ['v2', 'v1'],
      headers: { 'X-One': '1', 'X-Two': ['a', 'b'] },
      origin: 'https://example.com',
    });
    expect(request.split('\r\n')[0]).toBe('GET /path?query HTTP/1.1');
    expect(field(request, 'Host')).toBe(new URL(url).host);
    expect(field(request, 'Upgrade')).toBe('websocket');
    expect(field(request, 'Connection')).toBe('Upgrade');
    expect(field(request, 'Sec-WebSocket-Version')).toBe('13');
    expect(Buffer.from(field(request, 'Sec-WebSocket-Key')!, 'base64').length).toBe(16);
    expect(field(request, 'Sec-WebSocket-Protocol')).toBe('v2, v1');
    expect([field(request, 'X-One'), field(request, 'Origin')]).toEqual(['1', 'https://example.com']);
    expect(request.match(/X-Two: [ab]/g)).toEqual(['X-Two: a', 'X-Two: b']);
    expect([ws.subprotocol, ws.role, ws.state]).toEqual(['v1', 'client', 'open']);
    ws.terminate();
  });

  test.each(['origin', 'Origin', 'ORIGIN'])(
    'origin is sent in place of the field %s of headers, once',
    async (name) => {
      let request = '';
      const url = await serve((head, socket) => {
        request = head;
        socket.write(switching(head));
      });
      const ws = await connect(url, {
        headers: { [name]: 'https://b.example', 'X-One': '1' },
        origin: 'https://a.example',
      });
      expect(request.match(/^origin:.*|^x-one:.*/gim)).toEqual(['X-One: 1', 'Origin: https://a.example']);
      ws.terminate();
    },
  );

  test('headers may be pairs or Headers', async () => {
    const requests: string[] = [];
    const url = await serve((head, socket) => {
      requests.push(head);
      socket.write(switching(head));
    });
    for (const headers of [
      [
        ['Cookie', 'a=1'],
        ['cookie', 'b=2'],
      ] as const,
      new Headers({ Cookie: 'a=1' }),
      new Map([['Cookie', 'a=1']]),
    ]) {
      (await connect(url, { headers })).terminate();
    }
    // RFC 6265 §5.4: "the user agent MUST NOT attach more than one Cookie header field"
    expect(requests.map((head) => field(head, 'Cookie'))).toEqual(['a=1; b=2', 'a=1', 'a=1']);
  });

  test('frames behind the 101 in the same segment come first, in order', async () => {
    const url = await serve((head, socket) => {
      socket.write(Buffer.concat([Buffer.from(switching(head)), frame(1, 'one'), frame(1, 'two')]));
      socket.write(frame(1, 'three'));
    });
    const ws = await connect(url);
    for (const text of ['one', 'two', 'three']) expect(await (await ws.receive())?.text()).toBe(text);
    ws.terminate();
  });

  test('[C-01] [P-10] a server that says nothing: timeout, AbortSignal', async () => {
    const url = await serve(() => {});
    expect(await refusal(url, { handshakeTimeout: 30 })).toBeInstanceOf(TimeoutError);
    const controller = new AbortController();
    const waiting = refusal(url, { signal: controller.signal });
    await turns(10);
    controller.abort(new Error('enough'));
    expect((await waiting).message).toBe('enough');
    await expect(connect(url, { signal: controller.signal })).rejects.toThrow('enough');
    await expect(connect(url, { signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });

  test('[C-02] half of a 101: timeout, AbortSignal, end of the connection', async () => {
    const url = await serve((head, socket) => socket.write(switching(head).slice(0, -4)));
    expect(await refusal(url, { handshakeTimeout: 30 })).toBeInstanceOf(TimeoutError);
    expect(await refusal(url, { signal: AbortSignal.timeout(30) })).toMatchObject({ name: 'TimeoutError' });
    const ending = await serve((head, socket) => socket.end(switching(head).slice(0, -4)));
    expect(await refusal(ending)).toMatchObject({
      code: 'ERR_HANDSHAKE',
      status: 0,
      cause: expect.any(Error),
    });
  });

  test('[C-03] endless header fields are a HandshakeError', async () => {
    const url = await serve((_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\n');
      const more = (): void => {
        while (!socket.destroyed && socket.write(`X-More: ${'x'.repeat(1000)}\r\n`));
        if (!socket.destroyed) socket.once('drain', more);
      };
      more();
    });
    expect(await refusal(url)).toMatchObject({ code: 'ERR_HANDSHAKE', status: 0 });
  });

  test.each([
    ['[C-04] a wrong Sec-WebSocket-Accept', { 'Sec-WebSocket-Accept': 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=' }],
    ['[C-04] no Sec-WebSocket-Accept', { 'Sec-WebSocket-Accept': null }],
    ['[C-05] no Upgrade', { Upgrade: null }],
    ['[C-05] another Upgrade', { Upgrade: 'h2c' }],
    ['[C-05] no Connection', { Connection: null }],
    ['[C-05] no Upgrade and no Connection', { Upgrade: null, Connection: null }],
    ['[C-06] a subprotocol that was not offered', { 'Sec-WebSocket-Protocol': 'v9' }],
    ['[C-06] two subprotocols', { 'Sec-WebSocket-Protocol': 'v1, v2' }],
    ['[C-06] two subprotocol fields', { 'Sec-WebSocket-Protocol': ['v1', 'v2'] }],
    ['[C-07] an extension that was not offered', { 'Sec-WebSocket-Extensions': 'x-other' }],
    ['[C-07] an extension twice', { 'Sec-WebSocket-Extensions': 'x-xor, x-xor' }],
  ])('§4.1 %s is a HandshakeError', async (_, fields) => {
    const url = await serve((head, socket) => socket.write(switching(head, fields)));
    const error = await refusal(url, {
      subprotocols: ['v1', 'v2'],
      requireSubprotocol: false,
      extensions: [xorFactory()],
    });
    expect(error).toMatchObject({ code: 'ERR_HANDSHAKE', status: 101 });
    expect(error.message).toMatch(/^(Expected|Server chose) /);
  });

  test('[C-04] two Sec-WebSocket-Accept fields are a HandshakeError', async () => {
    const url = await serve((head, socket) =>
      socket.write(switching(head, { 'Sec-WebSocket-Accept': [acceptOf(head), acceptOf(head)] })),
    );
    expect(await refusal(url)).toBeInstanceOf(HandshakeError);
  });

  test('[C-05] no Upgrade, [C-06] no such subprotocol, [C-07] no such extension: the rows by their letter', async () => {
    for (const fields of [
      { Upgrade: null },
      { 'Sec-WebSocket-Protocol': 'v9' },
      { 'Sec-WebSocket-Extensions': 'permessage-deflate' },
    ]) {
      const url = await serve((head, socket) => socket.write(switching(head, fields)));
      expect(await refusal(url)).toBeInstanceOf(HandshakeError);
    }
  });

  test('[C-08] RFC 7692 §7.1.2.1 server_max_window_bits of 1000, 7, 16, 08, empty or twice is a HandshakeError', async () => {
    for (const bad of ['=1000', '=7', '=16', '=08', '=', '', '=10; server_max_window_bits=10', '="10']) {
      const url = await serve((head, socket) =>
        socket.write(
          switching(head, { 'Sec-WebSocket-Extensions': `permessage-deflate; server_max_window_bits${bad}` }),
        ),
      );
      expect([bad, await refusal(url, { compression: true })]).toEqual([bad, expect.any(HandshakeError)]);
    }
  });

  test('an extension that both know is used', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', extensions: [xorFactory()] });
    await once(server, 'listening');
    server.on('connection', (ws) => ws.on('message', (data) => ws.send(data)));
    const ws = await connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, {
      extensions: [xorFactory()],
    });
    expect(ws.extensions).toBe('x-xor');
    ws.send('through it');
    expect(await (await ws.receive())?.text()).toBe('through it');
    await ws.close();
    await server.close();
  });

  test('[C-09] a status other than 101 is a HandshakeError with status, headers and the start of the body', async () => {
    const cases: [string, string][] = [
      ['HTTP/1.1 403 Forbidden\r\nX-Why: secret\r\nContent-Length: 7\r\n\r\nno way!', 'no way!'],
      [
        `HTTP/1.1 500 Oops\r\nX-Why: secret\r\nContent-Length: 9000\r\n\r\n${'x'.repeat(9000)}`,
        'x'.repeat(4096),
      ],
      [
        'HTTP/1.1 404 Not Found\r\nX-Why: secret\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        'abc',
      ],
      ['HTTP/1.1 200 OK\r\nX-Why: secret\r\nContent-Length: 0\r\n\r\n', ''],
    ];
    for (const [response, body] of cases) {
      const url = await serve((_, socket) => socket.write(response));
      const error = await refusal(url);
      expect(error).toMatchObject({ name: 'HandshakeError', status: Number(response.slice(9, 12)), body });
      expect(error.headers['x-why']).toBe('secret');
    }
    const endless = await serve((_, socket) =>
      socket.write('HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nstart'),
    );
    expect(await refusal(endless, { handshakeTimeout: 50 })).toMatchObject({ status: 503, body: 'start' });
  });

  test('§4.1 a server that cannot be reached, or resets, is a HandshakeError of status 0', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    await expect(connect(`ws://127.0.0.1:${port}`)).rejects.toMatchObject({
      status: 0,
      cause: { code: 'ECONNREFUSED' },
    });
    const resetting = await serve((_, socket) => socket.resetAndDestroy());
    expect(await refusal(resetting)).toMatchObject({ status: 0, cause: { code: 'ECONNRESET' } });
    const noise = await serve((_, socket) => socket.write('SSH-2.0-OpenSSH\r\n\r\n'));
    expect(await refusal(noise)).toMatchObject({ status: 0 });
  });

  const secrets = {
    Authorization: 'Bearer x',
    Cookie: 'sid=1',
    'Proxy-Authorization': 'Basic y',
    'X-Token': 'secret',
  };
  const kept = (head: string): (string | undefined)[] =>
    Object.keys(secrets).map((name) => field(head, name));

  test('[C-10] a redirect to another port drops credentials, one to the same server keeps them', async () => {
    const requests: string[] = [];
    const last = await serve((head, socket) => {
      requests.push(head);
      socket.write(switching(head));
    });
    for (const status of [301, 302, 303, 307, 308]) {
      requests.length = 0;
      let hops = 0;
      const url = await serve((head, socket) => {
        requests.push(head);
        const location = hops++ === 0 ? '/second?x=1' : last.replace('ws:', 'http:');
        socket.end(`HTTP/1.1 ${status} Moved\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
      });
      const ws = await connect(url.replace('//', '//user:pass@'), { headers: secrets, maxRedirects: 2 });
      expect(requests.map((head) => head.split(' ')[1])).toEqual(['/', '/second?x=1', '/']);
      expect(requests.map(kept)).toEqual([
        Object.values(secrets),
        Object.values(secrets),
        [undefined, undefined, undefined, undefined],
      ]);
      ws.terminate();
    }
  });

  test('[C-10] the user of the URL is basic authentication, and stays at home, too', async () => {
    const requests: string[] = [];
    const last = await serve((head, socket) => {
      requests.push(head);
      socket.write(switching(head));
    });
    const url = await serve((head, socket) => {
      requests.push(head);
      const location = requests.length === 1 ? '/again' : last;
      socket.end(`HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
    });
    const ws = await connect(url.replace('//', '//us%65r:p%C3%A4ss@'), { maxRedirects: 5 });
    const basic = `Basic ${Buffer.from('user:päss').toString('base64')}`;
    expect(requests.map((head) => field(head, 'Authorization'))).toEqual([basic, basic, undefined]);
    ws.terminate();
  });

  test('redirects are off by default, bounded, and lead to WebSocket servers only', async () => {
    let requests = 0;
    const loop = await serve((_, socket) => {
      requests++;
      socket.end('HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n');
    });
    expect(await refusal(loop)).toMatchObject({ status: 302 });
    expect(requests).toBe(1);
    expect(await refusal(loop, { maxRedirects: 3 })).toMatchObject({ status: 302 });
    expect(requests).toBe(5);
    for (const location of ['ftp://example.com/', 'ws+unix:/tmp/x.sock', 'http://[bad', '/#fragment']) {
      const url = await serve((_, socket) =>
        socket.end(`HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`),
      );
      expect(await refusal(url, { maxRedirects: 3 })).toMatchObject({ name: 'HandshakeError', status: 302 });
    }
    const nowhere = await serve((_, socket) => socket.end('HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n'));
    expect(await refusal(nowhere, { maxRedirects: 3 })).toMatchObject({ status: 302 });
  });

  test('[C-11] [P-09] a redirect from wss to ws is refused, one from ws to wss followed; TLS options', async () => {
    let location = '';
    const secure = createHttpsServer({ key, cert });
    secure.on('upgrade', (request, socket) => {
      sockets.add(socket as Socket);
      if (request.url === '/down')
        socket.end(`HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
      else socket.write(switching(`Sec-WebSocket-Key: ${request.headers['sec-websocket-key']}`));
    });
    secure.listen(0, '127.0.0.1');
    await once(secure, 'listening');
    open.push(secure);
    const { port } = secure.address() as AddressInfo;
    location = await serve((head, socket) => socket.write(switching(head)));
    const tls = { rejectUnauthorized: false };
    const error = await connect(`wss://127.0.0.1:${port}/down`, { tls, maxRedirects: 3 }).catch(
      (reason) => reason,
    );
    expect(error).toMatchObject({
      name: 'HandshakeError',
      status: 302,
      message: expect.stringContaining('wss to ws'),
    });
    await expect(connect(`wss://127.0.0.1:${port}/`)).rejects.toMatchObject({ status: 0 });
    const up = await serve((_, socket) =>
      socket.end(`HTTP/1.1 307 Moved\r\nLocation: https://127.0.0.1:${port}/\r\nContent-Length: 0\r\n\r\n`),
    );
    const ws = await connect(up, { tls, maxRedirects: 1 });
    expect(ws.state).toBe('open');
    ws.terminate();
  });

  test('[C-12] a URL with a bad scheme, a fragment or a bad port is a SyntaxError before any connection', async () => {
    for (const url of [
      'ftp://127.0.0.1/',
      'ws://127.0.0.1/#x',
      'ws://127.0.0.1:99999/',
      'ws://127.0.0.1:0/',
      'nonsense',
      '',
      'ws://',
    ]) {
      await expect(connect(url)).rejects.toBeInstanceOf(SyntaxError);
    }
  });

  test('a Unix socket, and a redirect of its server, which is refused', async () => {
    const path = join(tmpdir(), `sluice-${process.pid}.sock`);
    const server = createHttpServer().listen(path);
    await once(server, 'listening');
    const sluice = new WebSocketServer({ server, path: '/chat' });
    sluice.on('connection', (ws, request) => ws.send(`${request.url}`));
    server.on('upgrade', (request, socket) => {
      if (request.url === '/moved')
        socket.end('HTTP/1.1 302 Found\r\nLocation: /chat\r\nContent-Length: 0\r\n\r\n');
    });
    const ws = await connect(`ws+unix:${path}:/chat?x=1`);
    expect(await (await ws.receive())?.text()).toBe('/chat?x=1');
    await expect(connect(`ws+unix:${path}:/moved`, { maxRedirects: 1 })).rejects.toMatchObject({
      status: 302,
      message: expect.stringContaining('Unix'),
    });
    await ws.close();
    await sluice.close();
    server.close();
    rmSync(path, { force: true });
  });

  test('an agent makes the socket', async () => {
    let made = 0;
    class Counting extends Agent {
      override createConnection(...parameters: Parameters<Agent['createConnection']>) {
        made++;
        return super.createConnection(...parameters);
      }
    }
    const url = await serve((head, socket) => socket.write(switching(head)));
    const ws = await connect(url, { agent: new Counting() });
    expect(made).toBe(1);
    ws.terminate();
  });

  test('wrong options reject by name, before anything is sent', async () => {
    const wrong: [string, unknown][] = [
      ['unknown', 1],
      ['subprotocols', ['a', 'a']],
      ['subprotocols', 'not a token'],
      ['headers', { 'X-Bad': 'a\r\nb' }],
      ['headers', { 'X-Bad': 'a\0' }],
      ['headers', { 'Bad Name': 'a' }],
      ['headers', { Connection: 'close' }],
      ['headers', { 'Sec-WebSocket-Key': 'mine' }],
      ['headers', 5],
      ['origin', 'a\nb'],
      ['extensions', 5],
      ['compression', 5],
      ['compression', { level: 99 }],
      ['tls', 5],
      ['handshakeTimeout', -1],
      ['handshakeTimeout', 'soon'],
      ['maxRedirects', 1.5],
      ['pingInterval', Number.NaN],
      ['maxMessageSize', -1],
    ];
    for (const [name, value] of wrong) {
      const error = await connect('ws://127.0.0.1:1/', { [name]: value }).catch((reason) => reason);
      expect([name, value, error instanceof TypeError || error instanceof RangeError]).toEqual([
        name,
        value,
        true,
      ]);
    }
    await expect(connect('ws://127.0.0.1:1/', null as never)).rejects.toThrow(
      new TypeError('Expected the options of connect() to be an object: null'),
    );
  });

  test.each<[string, unknown]>([
    ['signal', null],
    ['signal', {}],
    ['signal', new EventTarget()],
    ['headers', null],
    ['extensions', [null]],
    ['extensions', [5]],
    ['extensions', [{ name: 'x', offers: () => [] }]],
  ])('%s of %o rejects with a TypeError that has the name of the option', async (name, value) => {
    await expect(connect('ws://127.0.0.1:1/', { [name]: value })).rejects.toMatchObject({
      name: 'TypeError',
      message: expect.stringContaining(`Option ${name} `),
    });
  });

  test('the first bytes of the client are masked frames', async () => {
    let bytes = Buffer.alloc(0);
    const url = await serve((head, socket) => {
      socket.write(switching(head));
      socket.on('data', (data) => {
        bytes = Buffer.concat([bytes, data]);
      });
    });
    const ws = await connect(url);
    ws.send('masked');
    while (bytes.length < 12) await turns(1);
    expect(parse(bytes)).toMatchObject([
      { opcode: 1, key: expect.any(Buffer), payload: Buffer.from('masked') },
    ]);
    ws.terminate();
  });
});
