/** This process stands still for longer than a timeout, while what the peer has sent lies in the kernel. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect as dial } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { connect } from '../../../src/index.js';
import { record } from '../../support/consumers.js';
import { farPeer } from '../../support/far-peer.js';
import { frameTo, roles } from '../../support/frames.js';
import { pass, virtualTime } from '../../support/link.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { asSocket, open, rawPair, turns } from '../../support/wire.js';
import { makeXor } from '../../support/xor.js';

checkNothingLeft();

/** Blocks this process, as a long computation does, or SIGSTOP. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** A stream whose send buffer can be full. */
class Kernel extends Duplex {
  full = false;
  accept: (() => void) | null = null;
  override _read(): void {}
  override _write(_chunk: Buffer, _: string, callback: () => void): void {
    if (!this.full) callback();
    else
      this.accept = (): void => {
        this.full = false;
        callback();
      };
  }
}
asSocket(Kernel.prototype);

describe.each(roles)('a %s', (role) => {
  test('[X-28] a Pong lies in the kernel while this process stalls for longer than pingTimeout: not killed', async () => {
    const [ws, peer] = await rawPair(role, { options: { pingInterval: 40, pingTimeout: 200 } });
    ws.resume();
    const seen = record(ws);
    await peer.until(({ frames }) => frames.some(({ opcode }) => opcode === 9));
    peer.send(10, peer.frames.at(-1)!.payload);
    block(300);
    await turns(5);
    expect(ws.state).toBe('open');
    expect(seen.map(([event]) => event)).toEqual(['pong']);
    ws.terminate();
  });

  test('[X-28] this process stands still while a write is stalled: that says nothing of the peer, close() takes closeTimeout', async () => {
    const stream = new Kernel();
    const ws = open(stream, role, { options: { pingInterval: 0, closeTimeout: 100 } });
    ws.resume();
    await turns(2);
    stream.full = true;
    ws.send(Buffer.alloc(1000));
    await turns(2);
    block(1_500);
    stream.accept?.();
    await turns(2);
    const began = performance.now();
    expect(await ws.close()).toMatchObject({ code: 1006 });
    expect(performance.now() - began).toBeLessThan(1_200);
  });

  test('[X-28] TCP has acknowledged a stalled write while this process stood still: not killed', async () => {
    virtualTime();
    const stream = new Kernel();
    const ws = open(stream, role, { options: { pingInterval: 1_000, pingTimeout: 1_000 } });
    ws.resume();
    // The Ping leaves, and is not answered; then the write stalls, as a beat sees
    await pass(1_500);
    stream.full = true;
    ws.send(Buffer.alloc(100_000));
    await pass(300);
    expect(ws.state).toBe('open');
    // Timers come first, then the poll that reports the write
    vi.advanceTimersByTime(5_000);
    stream.accept?.();
    await turns(3);
    expect(ws.state).toBe('open');
    ws.terminate();
  });

  test('[X-34] an extension that works for longer than interval + timeout, while Pongs lie unread: not killed', async () => {
    virtualTime();
    const stream = new Kernel();
    const extension = makeXor();
    const { decoder } = extension;
    let busy = true;
    Object.defineProperty(decoder, 'busy', { get: () => busy, set: () => {} });
    const { read } = decoder;
    decoder.read = (): Buffer | null => (busy ? null : read(0));
    const ws = open(stream, role, {
      options: { pingInterval: 1_000, pingTimeout: 1_000 },
      extension: () => extension,
    });
    const got: unknown[] = [];
    ws.on('message', (data) => got.push(String(data)));
    await turns(2);
    stream.push(frameTo(role, 1, 'slow', { rsv: 0x40 }));
    await pass(20_000);
    expect([ws.state, got]).toEqual(['open', []]);
    busy = false;
    decoder.onready?.();
    await turns(3);
    expect(got.length).toBe(1);
    // And from here on it is watched again
    await pass(4_000);
    expect(ws.state).toBe('closed');
  });

  test('[X-28] the Close frame of the peer lies in the kernel while this process stalls for longer than closeTimeout', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 200 } });
    ws.resume();
    const closing = ws.close(4_000, 'bye');
    await peer.until(({ frames }) => frames.length === 1);
    peer.send(8, Buffer.concat([Buffer.from([4_000 >> 8, 4_000 & 255]), Buffer.from('bye')]));
    peer.socket.end();
    block(300);
    expect(await closing).toEqual({ code: 4_000, reason: 'bye', wasClean: true });
  });

  test('[X-28] messages and the Close frame lie in the kernel while this process stalls: delivered, then the end', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 200 } });
    const got: unknown[] = [];
    ws.on('message', (data) => got.push(String(data)));
    peer.socket.write(
      Buffer.concat([
        frameTo(role, 1, 'one'),
        frameTo(role, 1, 'two'),
        frameTo(role, 8, Buffer.from([3, 232])),
      ]),
    );
    peer.socket.end();
    block(300);
    expect(await ws.closed).toEqual({ code: 1000, reason: '', wasClean: true });
    expect(got).toEqual(['one', 'two']);
  });

  test('[X-28] ping() whose Pong lies in the kernel while this process stalls for longer than its timeout', async () => {
    const [ws, peer] = await rawPair(role);
    ws.resume();
    const ping = ws.ping('here?', { timeout: 200 });
    await peer.until(({ frames }) => frames.length === 1);
    peer.send(10, 'here?');
    block(300);
    expect(await ping).toBeGreaterThan(0);
    ws.terminate();
  });

  test.each([0, 50])(
    '[X-28] ping(), then %i ms, then this process stalls for longer than its timeout: the Pong is in time',
    async (ms) => {
      const peer = await farPeer();
      const socket = dial({ port: peer.port, host: '127.0.0.1' });
      await once(socket, 'connect');
      const ws = open(socket, role);
      ws.resume();
      // After 50 ms the Pong has been read, and the process may stall as it likes
      const ping = ws.ping(undefined, { timeout: 200 });
      if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
      block(600);
      expect(await ping).toBeGreaterThan(0);
      ws.terminate();
      await ws.closed;
      await peer.stop();
    },
  );
});

test.each(['127.0.0.1', 'localhost'])(
  '[X-28] connect() to %s, then this process stalls for longer than handshakeTimeout: it opens',
  async (host) => {
    const peer = await farPeer();
    for (const turnsBefore of [0, 1, 2, 3]) {
      const opening = connect(`ws://${host}:${peer.port}`, { handshakeTimeout: 200 });
      await turns(turnsBefore);
      block(600);
      const ws = await opening;
      ws.terminate();
      await ws.closed;
    }
    await peer.stop();
  },
);

test('[X-28] the answer of the opening handshake lies in the kernel for longer than handshakeTimeout', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (head) => {
      const key = /sec-websocket-key: (.*)\r\n/i.exec(String(head))![1]!;
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      block(450);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const ws = await connect(`ws://127.0.0.1:${port}`, { handshakeTimeout: 300 });
  ws.terminate();
  await ws.closed;
  server.close();
});
