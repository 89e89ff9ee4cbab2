import { once } from 'node:events';
import { Agent } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { type ConnectOptions, connect, type HandshakeError, TimeoutError } from '../../src/index.js';
import { cert, key } from '../server/certificate.js';
import { checkSideConditions } from '../support/side-conditions.js';
import { xorFactory } from '../support/xor.js';
import { closeServers, field, open, serve, sockets, switching } from './raw-server.js';

checkSideConditions();
afterEach(closeServers);

const moved = (location: string): string =>
  `HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;

/** The names of the header fields of a request, in order. */
const names = (head: string): string[] =>
  head
    .trimEnd()
    .split('\r\n')
    .slice(1)
    .map((line) => line.split(':')[0]!);

const own = ['Host', 'Upgrade', 'Connection', 'Sec-WebSocket-Key', 'Sec-WebSocket-Version'];

/** An HTTPS server that asks for a certificate, redirects `/moved`, and switches protocols elsewhere. */
async function secure(location: () => string): Promise<{
  readonly port: number;
  readonly seen: { readonly certificate: boolean; readonly servername: unknown }[];
}> {
  const seen: { certificate: boolean; servername: unknown }[] = [];
  const server = createHttpsServer({ key, cert, requestCert: true, rejectUnauthorized: false });
  server.on('upgrade', (request, socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const { servername } = request.socket as TLSSocket & { servername?: unknown };
    const certificate = Object.keys((request.socket as TLSSocket).getPeerCertificate()).length > 0;
    seen.push({ certificate, servername });
    if (request.url === '/moved') socket.end(moved(location()));
    else socket.write(switching(`Sec-WebSocket-Key: ${request.headers['sec-websocket-key']}`));
  });
  server.listen(0, '127.0.0.1');
  open.push(server);
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, seen };
}

describe('a redirect to another origin', () => {
  const options: ConnectOptions = {
    headers: {
      Authorization: 'Bearer x',
      Cookie: 'sid=1',
      'Proxy-Authorization': 'Basic y',
      'X-Api-Key': 'secret',
      'CF-Access-Client-Secret': 'secret',
      Host: 'internal.example',
    },
    origin: 'https://page.example',
    subprotocols: ['v1'],
    extensions: [xorFactory()],
    maxRedirects: 5,
  };

  test('[X-18] only the fields of the handshake itself are sent', async () => {
    const requests: string[] = [];
    const last = await serve((head, socket) => {
      requests.push(head);
      socket.write(switching(head, { 'Sec-WebSocket-Protocol': 'v1' }));
    });
    // The redirecting server names a user: that is no field of the handshake either
    const target = last.replace('//', '//us:er@');
    const first = await serve((head, socket) => {
      requests.push(head);
      socket.end(moved(requests.length === 1 ? '/again' : target));
    });
    const ws = await connect(first.replace('//', '//user:pass@'), options);
    const fields = [...own, 'Sec-WebSocket-Protocol', 'Sec-WebSocket-Extensions'];
    expect(names(requests[2]!)).toEqual(fields);
    expect(field(requests[2]!, 'Host')).toBe(new URL(last).host);
    for (const head of requests.slice(0, 2)) {
      expect(names(head).toSorted()).toEqual(
        [...new Set([...fields, ...Object.keys(options.headers!), 'Origin'])].toSorted(),
      );
      expect(field(head, 'Host')).toBe('internal.example');
    }
    expect(ws.subprotocol).toBe('v1');
    ws.terminate();
    await ws.closed;
  });

  test('[X-18] and back to the first one: nothing comes back that was left out', async () => {
    const requests: string[] = [];
    let first = '';
    const second = await serve((head, socket) => {
      requests.push(head);
      socket.end(moved(first));
    });
    first = await serve((head, socket) => {
      requests.push(head);
      if (requests.length > 2) socket.write(switching(head));
      else socket.end(moved(second));
    });
    const ws = await connect(first.replace('//', '//user:pass@'), {
      headers: { Cookie: 'sid=1' },
      maxRedirects: 2,
    });
    expect(names(requests[0]!)).toEqual([...own, 'Cookie', 'Authorization']);
    expect(names(requests[2]!)).toEqual(own);
    ws.terminate();
    await ws.closed;
  });

  test('[X-18] no certificate and no server name of the first one go along; how servers are checked does', async () => {
    const second = await secure(() => '');
    const first = await secure(() => `wss://127.0.0.1:${second.port}/`);
    const lookups: string[] = [];
    const tls = {
      cert,
      key,
      ca: cert,
      servername: 'localhost',
      checkServerIdentity: (host: string) => void lookups.push(host),
    };
    const ws = await connect(`wss://127.0.0.1:${first.port}/moved`, { tls, maxRedirects: 1 });
    expect(first.seen).toEqual([{ certificate: true, servername: 'localhost' }]);
    expect(second.seen).toEqual([{ certificate: false, servername: false }]);
    expect(lookups).toEqual(['localhost', '127.0.0.1']);
    ws.terminate();
    await ws.closed;
  });

  test('[X-18] to the same origin the certificate is used again', async () => {
    const server = await secure(() => '/');
    const ws = await connect(`wss://127.0.0.1:${server.port}/moved`, {
      tls: { cert, key, ca: cert },
      maxRedirects: 1,
    });
    expect(server.seen.map(({ certificate }) => certificate)).toEqual([true, true]);
    ws.terminate();
    await ws.closed;
  });

  test('[X-18] with an agent it is refused by a HandshakeError that says so; the same origin is not', async () => {
    let requests = 0;
    const last = await serve((head, socket) => {
      requests++;
      socket.write(switching(head));
    });
    let location = last;
    const first = await serve((head, socket) => {
      if (field(head, 'X-A') === '1') socket.end(moved(location));
      if (location === '/') socket.write(switching(head));
    });
    const agent = new Agent();
    const error = (await connect(first, { agent, headers: { 'X-A': '1' }, maxRedirects: 1 }).catch(
      (reason) => reason,
    )) as HandshakeError;
    expect(error).toMatchObject({ name: 'HandshakeError', status: 302 });
    expect(error.message).toContain('option agent');
    expect(error.headers['location']).toBe(last);
    expect(requests).toBe(0);
    location = '/';
    const again = await serve((head, socket) => {
      if (head.startsWith('GET /moved ')) socket.end(moved('/'));
      else socket.write(switching(head));
    });
    const ws = await connect(`${again}moved`, { agent, maxRedirects: 1 });
    ws.terminate();
    await ws.closed;
    agent.destroy();
  });
});

test('[P-39] §3 ws.url is where the redirects led to, without user and password; the server sees the same', async () => {
  const target = await serve((head, socket) => socket.write(switching(head)));
  const url = await serve((_head, socket) => socket.end(moved(`${target}there?x=1`)));
  const ws = await connect(url.replace('//', '//ada:secret@'), { maxRedirects: 1 });
  expect(ws.url).toBe(`${target}there?x=1`);
  ws.terminate();
});

test('[P-41] §4.1 ws.responseHeaders are those of the response that opened the connection', async () => {
  const url = await serve((head, socket) =>
    socket.write(switching(head, { 'X-Node': ['a', 'b'], 'Set-Cookie': ['a=1', 'b=2'] })),
  );
  const ws = await connect(url);
  expect(ws.responseHeaders).toMatchObject({
    upgrade: 'websocket',
    'x-node': 'a, b',
    'set-cookie': ['a=1', 'b=2'],
  });
  ws.terminate();
  await ws.closed;
  expect(ws.responseHeaders?.['upgrade']).toBe('websocket');
});

describe('a redirect whose body does not end, to a server that never answers', () => {
  const endless = async (): Promise<{ readonly url: string; readonly asked: () => number }> => {
    let asked = 0;
    const silent = await serve(() => asked++);
    const url = await serve((_, socket) => {
      socket.write(moved(silent).replace('Content-Length: 0', 'Content-Length: 1000'));
      socket.write('abc');
    });
    return { url, asked: () => asked };
  };

  test('rejects with a TimeoutError after handshakeTimeout, and is not followed', async () => {
    const { url, asked } = await endless();
    const opening = connect(url, { maxRedirects: 1, handshakeTimeout: 50 });
    await expect(opening).rejects.toThrow(TimeoutError);
    expect(asked()).toBe(0);
  });

  test('rejects with the reason of the signal, and is not followed', async () => {
    const { url, asked } = await endless();
    const reason = new Error('The user left');
    const controller = new AbortController();
    const opening = connect(url, { maxRedirects: 1, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 50);
    await expect(opening).rejects.toBe(reason);
    expect(asked()).toBe(0);
  });
});
