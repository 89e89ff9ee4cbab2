import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket as UndiciWebSocket } from 'undici';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer as WsServer } from 'ws';
import {
  connect,
  type WebSocketConnection,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../src/index.js';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** Our echo server, whole messages or streamed. */
async function ours(
  streamed: boolean,
  options: WebSocketServerOptions = {},
): Promise<{ url: string; next: Promise<WebSocketConnection> }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', subprotocols: ['v2'], ...options });
  closers.push(() => server.close({ timeout: 100 }));
  const next = new Promise<WebSocketConnection>((resolve) => {
    server.on('connection', async (ws) => {
      resolve(ws);
      if (!streamed) {
        ws.on('message', (data, type) => ws.send(data, { type }));
        return;
      }
      try {
        for await (const message of ws) await ws.sendStream(message, { type: message.type });
      } catch {
        // A client that is done terminates
      }
    });
  });
  await once(server, 'listening');
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`, next };
}

/** The echo server of `ws`. */
async function theirs(compress = false): Promise<{ url: string; next: Promise<WebSocket> }> {
  const server = new WsServer({
    port: 0,
    host: '127.0.0.1',
    perMessageDeflate: compress && { threshold: 0 },
    handleProtocols: (offered) => (offered.has('v2') ? 'v2' : false),
  });
  closers.push(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const next = new Promise<WebSocket>((resolve) => {
    server.on('connection', (ws) => {
      resolve(ws);
      ws.on('message', (data, binary) => ws.send(data as Buffer, { binary }));
    });
  });
  await once(server, 'listening');
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`, next };
}

const payloads: readonly (string | Buffer)[] = [
  '',
  'text',
  'Grüße 😀'.repeat(1000),
  Buffer.alloc(0),
  Buffer.from([0, 255, 128]),
  Buffer.alloc(65_536, 'abc'),
  Buffer.alloc(1024 * 1024, 'large '),
  JSON.stringify(Array.from({ length: 50 }, (_, i) => ({ id: i, name: `item ${i}` }))),
];

const compressions = [
  ['without compression', false],
  ['with compression', true],
] as const;

describe.each(compressions)('%s', (_, compress) => {
  describe.each([
    ['whole messages', false],
    ['streamed messages', true],
  ] as const)('the client of ws and our server, %s', (_, streamed) => {
    const open = async (
      options: WebSocketServerOptions = {},
    ): Promise<{ ws: WebSocket; next: Promise<WebSocketConnection> }> => {
      const { url, next } = await ours(streamed, { compression: compress, ...options });
      const ws = new WebSocket(url, ['v1', 'v2'], { perMessageDeflate: compress && { threshold: 0 } });
      await once(ws, 'open');
      expect([ws.protocol, ws.extensions]).toEqual(['v2', compress ? 'permessage-deflate' : '']);
      return { ws, next };
    };

    test('text and binary of all sizes, in order', async () => {
      const { ws } = await open();
      const got: (string | Buffer)[] = [];
      const done = new Promise<void>((resolve) => {
        ws.on('message', (data, binary) => {
          got.push(binary ? (data as Buffer) : String(data));
          if (got.length === payloads.length) resolve();
        });
      });
      for (const payload of payloads) ws.send(payload);
      await done;
      expect(
        got.map((one, i) =>
          typeof one === 'string' ? one === payloads[i] : one.equals(payloads[i] as Buffer),
        ),
      ).toEqual(payloads.map(() => true));
      ws.terminate();
    });

    test('fragments, Pings inside of them, Pongs', async () => {
      const { ws, next } = await open();
      const peer = await next;
      ws.send('frag', { fin: false });
      ws.ping('inside');
      ws.send('mented', { fin: true });
      const [[pong], [data]] = await Promise.all([once(ws, 'pong'), once(ws, 'message')]);
      expect([String(pong), String(data)]).toEqual(['inside', 'fragmented']);
      expect(await peer.ping('from us')).toBeGreaterThanOrEqual(0);
      ws.terminate();
    });

    test('close codes and reasons, both ways', async () => {
      const first = await open();
      first.ws.close(4001, 'from them');
      expect(await (await first.next).closed).toEqual({ code: 4001, reason: 'from them', wasClean: true });
      const second = await open();
      const closed = once(second.ws, 'close');
      expect(await (await second.next).close(4002, 'from us')).toMatchObject({ code: 4002, wasClean: true });
      expect((await closed).map(String)).toEqual(['4002', 'from us']);
    });

    test('thousands of small messages at once', async () => {
      const { ws } = await open();
      // Each of them takes ws a turn of the thread pool
      const total = compress ? 2_000 : 10_000;
      let count = 0;
      const done = new Promise<void>((resolve) => {
        ws.on('message', (data) => {
          if (String(data) !== `message ${count}`) throw new Error(`Wrong order: ${data}`);
          if (++count === total) resolve();
        });
      });
      for (let i = 0; i < total; i++) ws.send(`message ${i}`);
      await done;
      ws.terminate();
    });
  });

  test('our client and the server of ws: text and binary of all sizes, streams, Pings, close', async () => {
    const { url, next } = await theirs(compress);
    const ws = await connect(url, { subprotocols: ['v2'], compression: compress });
    expect([ws.subprotocol, ws.extensions]).toEqual(['v2', compress ? 'permessage-deflate' : '']);
    for (const payload of payloads) {
      ws.send(payload);
      const message = (await ws.receive())!;
      expect(message.type).toBe(typeof payload === 'string' ? 'text' : 'binary');
      expect(Buffer.from(await message.bytes()).equals(Buffer.from(payload as string))).toBe(true);
    }
    await ws.sendStream(Array.from({ length: 100 }, (_, i) => Buffer.alloc(10_000, i)));
    let size = 0;
    for await (const chunk of (await ws.receive())!) size += chunk.length;
    expect(size).toBe(1_000_000);
    const peer = await next;
    const pinged = once(peer, 'ping');
    expect(await ws.ping('hello')).toBeGreaterThanOrEqual(0);
    expect(String((await pinged)[0])).toBe('hello');
    const closed = once(peer, 'close');
    expect(await ws.close(4003, 'done')).toMatchObject({ code: 4003, wasClean: true });
    expect((await closed).map(String)).toEqual(['4003', 'done']);
  });

  test('our client is closed by the server of ws', async () => {
    const { url, next } = await theirs(compress);
    const ws = await connect(url, { compression: compress });
    ws.resume();
    (await next).close(1012, 'restart');
    expect(await ws.closed).toEqual({ code: 1012, reason: 'restart', wasClean: true });
  });

  test('the client of undici and our server', async () => {
    const { url, next } = await ours(false, { compression: compress });
    const ws = new UndiciWebSocket(url, ['v2']);
    ws.binaryType = 'arraybuffer';
    await new Promise((resolve) => ws.addEventListener('open', resolve));
    expect(ws.protocol).toBe('v2');
    for (const payload of payloads) {
      ws.send(payload);
      const { data } = await new Promise<{ data: string | ArrayBuffer }>((resolve) =>
        ws.addEventListener('message', resolve, { once: true }),
      );
      expect(Buffer.from(data as string).equals(Buffer.from(payload as string))).toBe(true);
    }
    expect(await (await next).ping()).toBeGreaterThanOrEqual(0);
    const closed = new Promise<{ code: number; reason: string; wasClean: boolean }>((resolve) =>
      ws.addEventListener('close', resolve),
    );
    ws.close(4004, 'bye');
    const { code, reason, wasClean } = await closed;
    expect([code, reason, wasClean]).toEqual([4004, 'bye', true]);
    expect(await (await next).closed).toEqual({ code: 4004, reason: 'bye', wasClean: true });
  });
});

test('our client and our server, both streaming, 256 MiB in one message: memory stays flat', async () => {
  const { url } = await ours(true);
  const ws = await connect(url);
  const chunk = Buffer.alloc(64 * 1024, 'stream');
  const count = 4096;
  const { rss } = process.memoryUsage();
  let peak = 0;
  const sending = ws.sendStream(
    (function* () {
      for (let i = 0; i < count; i++) yield chunk;
    })(),
  );
  let size = 0;
  for await (const part of (await ws.receive())!) {
    size += part.length;
    peak = Math.max(peak, process.memoryUsage.rss() - rss);
  }
  await sending;
  expect(size).toBe(count * chunk.length);
  expect(peak).toBeLessThan(96 * 1024 * 1024);
  await ws.close();
});
