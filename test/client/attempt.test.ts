import { getEventListeners, once } from 'node:events';
import { Agent, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connect, HandshakeError, TimeoutError, WebSocketServer } from '../../src/index.js';
import { block, checkSideConditions, expectEcho } from '../support/side-conditions.js';
import { turns } from '../support/wire.js';
import { xorFactory } from '../support/xor.js';
import { closeServers, serve, sockets, switching } from './raw-server.js';

checkSideConditions();
afterEach(closeServers);

/** What `connect()` rejects with; the server's side of every socket is closed then. */
async function refusal(...parameters: Parameters<typeof connect>): Promise<HandshakeError> {
  const error = await connect(...parameters).then(
    () => Promise.reject(new Error('Connected')),
    (reason) => reason,
  );
  for (const socket of sockets) {
    if (!socket.closed) await new Promise((resolve) => socket.resume().once('close', resolve));
  }
  return error;
}

describe('a server that takes two extensions', () => {
  test.each(['x-xor, permessage-deflate', 'permessage-deflate, x-xor'])(
    '[X-19] %s: HandshakeError, socket destroyed',
    async (field) => {
      const url = await serve((head, socket) =>
        socket.write(switching(head, { 'Sec-WebSocket-Extensions': field })),
      );
      const error = await refusal(url, { extensions: [xorFactory()], compression: true });
      expect(error).toBeInstanceOf(HandshakeError);
      expect(error).toMatchObject({
        status: 101,
        message: expect.stringContaining('more than one extension'),
      });
    },
  );
});

describe('the body of a refusal', () => {
  const unauthorized = 'HTTP/1.1 401 Unauthorized\r\nX-Why: you\r\nContent-Length: 100\r\n\r\nLog in';

  test('[X-20] that is cut by a reset, a FIN, or garbage: HandshakeError with its status', async () => {
    for (const end of [
      (socket: Socket) => socket.resetAndDestroy(),
      (socket: Socket) => socket.end(),
      (socket: Socket) => socket.destroy(),
    ]) {
      const url = await serve((_, socket) => {
        socket.write(unauthorized);
        // The client has read the head and the start of the body by then
        setTimeout(end, 20, socket);
      });
      const error = await refusal(url);
      expect(error).toBeInstanceOf(HandshakeError);
      expect(error).toMatchObject({ status: 401, body: 'Log in', headers: { 'x-why': 'you' } });
    }
    const chunked = await serve((_, socket) => {
      socket.write('HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
      setTimeout(() => socket.write('nonsense\r\n'), 20);
    });
    expect(await refusal(chunked)).toMatchObject({ status: 401, body: 'abc' });
  });

  test('[C-09] of 16 MiB: no more than its start is read, and the socket is destroyed', async () => {
    const agent = new Agent();
    const connecting = vi.spyOn(agent, 'createConnection');
    const url = await serve((_, socket) => {
      socket.write('HTTP/1.1 403 Forbidden\r\n\r\n');
      socket.end(Buffer.alloc(16 * 1024 * 1024, 'x'));
    });
    expect(await refusal(url, { agent })).toMatchObject({ status: 403, body: 'x'.repeat(4096) });
    const socket = connecting.mock.results[0]!.value as Socket;
    expect(socket.destroyed).toBe(true);
    expect(socket.bytesRead).toBeGreaterThan(4096);
    expect(socket.bytesRead).toBeLessThan(1024 * 1024);
  });

  test('[X-20] an abort while it is read rejects with the reason of the signal; a timeout with the refusal', async () => {
    const url = await serve((_, socket) => socket.write(unauthorized));
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), 30);
    expect((await refusal(url, { signal: controller.signal })).message).toBe('enough');
    const timeout = await refusal(url, { signal: AbortSignal.timeout(30) });
    expect(timeout).toMatchObject({ name: 'TimeoutError' });
    expect(timeout).not.toBeInstanceOf(TimeoutError);
    expect(await refusal(url, { handshakeTimeout: 30 })).toMatchObject({ status: 401, body: 'Log in' });
  });
});

test('[X-20] 30 calls on one AbortSignal warn of no leak, and leave no listener', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  server.on('connection', (ws) => ws.on('message', (data) => ws.send(data)));
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const controller = new AbortController();
  const { signal } = controller;
  const all = await Promise.all(
    Array.from({ length: 30 }, () => connect(`ws://127.0.0.1:${port}`, { signal })),
  );
  await turns(3);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  for (const ws of all) await ws.close();

  // And all of them in progress at once, then aborted
  const silent = await serve(() => {});
  const waiting = Array.from({ length: 30 }, () => connect(silent, { signal }).catch((reason) => reason));
  while (sockets.size < 30) await turns(1);
  controller.abort(new Error('enough'));
  for (const error of await Promise.all(waiting)) expect(error).toHaveProperty('message', 'enough');
  await expectEcho(port);
  await server.close();
});

test('[X-20] 30 handshakes of accept() in progress on one AbortSignal warn of no leak', async () => {
  const { accept } = await import('../../src/index.js');
  const controller = new AbortController();
  const http = createServer().listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { signal } = controller;
  let pending = 0;
  http.on('upgrade', (request, socket, head) => {
    const authenticate = (): Promise<never> => {
      pending++;
      return new Promise(() => {});
    };
    accept(request, socket, head, { signal, authenticate }).catch(() => {});
  });
  const { port } = http.address() as AddressInfo;
  const waiting = Array.from({ length: 30 }, () =>
    connect(`ws://127.0.0.1:${port}`).catch((reason) => reason),
  );
  while (pending < 30) await turns(1);
  controller.abort();
  for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ status: 503 });
  http.close();
});

describe('a process that stands still for longer than handshakeTimeout', () => {
  test('[X-28] the 101 is in the kernel: connected', async () => {
    const url = await serve((head, socket) => {
      socket.write(switching(head));
      block(150);
    });
    const ws = await connect(url, { handshakeTimeout: 60 });
    expect(ws.state).toBe('open');
    ws.terminate();
    await ws.closed;
  });

  test('[X-28] the refusal is in the kernel: its status', async () => {
    const url = await serve((_, socket) => {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
      block(150);
    });
    expect(await refusal(url, { handshakeTimeout: 60 })).toMatchObject({ status: 403 });
  });

  test('[X-28] nothing is there: TimeoutError', async () => {
    const url = await serve(() => block(150));
    expect(await refusal(url, { handshakeTimeout: 60 })).toBeInstanceOf(TimeoutError);
  });
});
