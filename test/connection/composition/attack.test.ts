/** What an attack on the compositions found. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect as connectSocket } from 'node:net';
import { Duplex, Readable } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { connect, TimeoutError, WebSocketServer } from '../../../src/index.js';
import { frameTo, roles } from '../../support/frames.js';
import { leftovers, open, pair, rawPair, turns } from '../../support/wire.js';

afterEach(async () => {
  expect(await leftovers()).toBe(0);
});

describe.each(roles)('a %s', (role) => {
  test('[X-16] sendStream() on a connection that has ended rejects, and destroys its source', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    await ws.close();
    const readable = new Readable({ read: () => {} });
    const stream = new ReadableStream({});
    await expect(ws.sendStream(readable)).rejects.toMatchObject({ code: 1000 });
    await expect(ws.sendStream(stream)).rejects.toMatchObject({ code: 1000 });
    expect(readable.destroyed).toBe(true);
    expect(stream.locked).toBe(false);
  });

  test('[X-02] an aborted writer that waits for its turn rejects at once, and holds nothing up', async () => {
    const [ws, peer] = await pair(role);
    const first = ws.createWriter('text');
    const waiting = ws.createWriter('text');
    const write = waiting.write('never sent');
    waiting.abort(new Error('enough'));
    await expect(write).rejects.toThrow('enough');
    await waiting[Symbol.asyncDispose]();
    ws.send('after it');
    await first.end('first');
    expect(await (await peer.receive())?.text()).toBe('first');
    expect(await (await peer.receive())?.text()).toBe('after it');
    ws.terminate();
  });

  test('[X-09] a message that is still being read after its iteration was left is delivered whole', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 20 } });
    const parts = 'abcdefgh'.split('');
    const frames = parts.map((part, i) =>
      frameTo(role, i === 0 ? 1 : 0, part, { fin: i === parts.length - 1 }),
    );
    peer.socket.write(Buffer.concat(frames));
    let chunks: AsyncIterableIterator<Buffer> | undefined;
    for await (const message of ws) {
      chunks = message[Symbol.asyncIterator]();
      expect(String((await chunks.next()).value)).toBe('a');
      break;
    }
    peer.socket.resetAndDestroy();
    const ended = ws.closed;
    let text = 'a';
    for await (const chunk of chunks!) {
      text += chunk;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(text).toBe('abcdefgh');
    expect((await ended).code).toBe(1006);
  });

  test('[X-25] a stream that throws, and one that never closes, end the connection', async () => {
    const throwing = new Duplex({
      read: () => {},
      write: () => {
        throw new Error('of the stream');
      },
    });
    const ws = open(throwing, role);
    const failed = once(ws, 'error');
    expect(ws.send('x'.repeat(100_000))).toBe(false);
    expect(String((await failed)[0])).toContain('of the stream');
    expect((await ws.closed).code).toBe(1006);
    const silent = new Duplex({ read: () => {}, write: (_c, _e, done) => done(), destroy: () => {} });
    const other = open(silent, role, { options: { closeTimeout: 10 } });
    other.terminate();
    expect(await other.closed).toEqual({ code: 1006, reason: '', wasClean: false });
  });

  test('[X-33] queued memory that the caller transfers ends the connection, and holds nothing up', async () => {
    const [ws, peer] = await rawPair(role);
    peer.socket.pause();
    const buffers = Array.from({ length: 60 }, () => Buffer.from(new ArrayBuffer(100_000)));
    for (const buffer of buffers) ws.send(buffer);
    await turns();
    for (const { buffer } of buffers) structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
    peer.socket.resume();
    ws.terminate();
    expect((await ws.closed).code).toBe(1006);
  });

  test('[X-12] many pending Pings end in linear time', async () => {
    const [ws, peer] = await rawPair(role);
    const pings = Array.from({ length: 20_000 }, () => ws.ping());
    const before = process.cpuUsage();
    ws.terminate();
    await Promise.allSettled(pings);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(500);
    await ws.closed;
    peer.socket.destroy();
  });
});

test('[X-03] server.close() from inside what it leads to: both calls end', async () => {
  const http = createServer().listen(0, '127.0.0.1');
  await once(http, 'listening');
  const server = new WebSocketServer({ server: http });
  const closes: Promise<void>[] = [];
  const { port } = http.address() as AddressInfo;
  const opened = once(server, 'connection');
  const socket = connectSocket(port, '127.0.0.1');
  socket.on('error', () => {});
  const key = Buffer.alloc(16).toString('base64');
  socket.write(
    `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  const [ws] = await opened;
  ws.on('error', () => closes.push(server.close()));
  await once(socket, 'data');
  // Held behind a message that nobody reads: it is met when close() discards that
  socket.write(Buffer.concat([frameTo('server', 1, 'unread'), frameTo('server', 3, '')]));
  await turns(20);
  socket.on('end', () => socket.end()).resume();
  closes.push(server.close());
  await Promise.all(closes);
  expect(closes).toHaveLength(2);
  http.close();
});

test('[X-04] an async listener that rejects because of another peer does not end the process', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  server.on('connection', async (ws) => {
    ws.resume();
    await turns(1);
    throw new TimeoutError('Of another connection');
  });
  const { port } = server.address() as AddressInfo;
  const client = await connect(`ws://127.0.0.1:${port}`, { pingInterval: 0 });
  expect((await client.closed).code).toBe(1011);
  await server.close();
});
