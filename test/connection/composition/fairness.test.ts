/** Output without end, and many connections: none keeps the event loop for itself. */
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { type WebSocketConnection, WebSocketServer } from '../../../src/index.js';
import { extensionOf } from '../../fuzz/targets/endpoint.js';
import { roles } from '../../support/frames.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { duration, longestStall, MAX_STALL, shortestOf } from '../../support/stalls.js';
import { upgradeInMemory } from '../../support/upgrade.js';
import { asSocket, open, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

/** A stream whose reader is as fast as can be. */
class FastReader extends Duplex {
  bytes = 0;
  override _read(): void {}
  override _write(chunk: Buffer, _: string, callback: () => void): void {
    this.bytes += chunk.length;
    callback();
  }
  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    for (const { chunk } of chunks) this.bytes += chunk.length;
    callback();
  }
}
asSocket(FastReader.prototype);

/** Ways to send without end; each stops when the connection is over. */
const streams: Readonly<Record<string, (ws: WebSocketConnection, chunk: Buffer) => Promise<unknown>>> = {
  'a writer': async (ws, chunk) => {
    const writer = ws.createWriter('binary');
    for (;;) await writer.write(chunk);
  },
  'writers of small messages': async (ws, chunk) => {
    for (;;) await ws.createWriter('binary').end(chunk);
  },
  'sendStream()': (ws, chunk) =>
    ws.sendStream(
      (function* () {
        for (;;) yield chunk;
      })(),
    ),
  'sendStream() of an async generator': (ws, chunk) =>
    ws.sendStream(
      (async function* () {
        for (;;) yield chunk;
      })(),
    ),
  'send() and drained()': async (ws, chunk) => {
    for (;;) if (!ws.send(chunk)) await ws.drained();
  },
  'send() and drained() each time': async (ws, chunk) => {
    for (;;) {
      ws.send(chunk);
      await ws.drained();
    }
  },
  "send() and 'drain'": async (ws, chunk) => {
    while (ws.state === 'open') if (!ws.send(chunk)) await Promise.race([once(ws, 'drain'), ws.closed]);
  },
  Blobs: async (ws, chunk) => {
    const blob = new Blob([chunk]);
    while (ws.state === 'open') if (!ws.send(blob)) await ws.drained();
  },
};

/** Opening handshakes over loopback, at the same time; resolves when all are answered with 101. */
async function handshakes(port: number, count: number): Promise<void> {
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connectTcp(port, '127.0.0.1');
      socket.write(
        `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
      );
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(String(answer)).toContain('101');
      socket.destroy();
    }),
  );
}

describe.each(roles)('a %s', (role) => {
  describe.each([
    ['20 bytes', 20, false],
    ['16 KiB', 16_384, false],
    ['1 KiB, compressed', 1_024, true],
  ] as const)('that sends chunks of %s without end', (_, size, compressed) => {
    test.each(Object.entries(streams))(
      '[X-26] by %s to a fast reader: others are served, no stall over 20 ms',
      async (__, stream) => {
        const chunk = Buffer.alloc(size, 'some text ');
        const least = await shortestOf(async () => {
          const reader = new FastReader();
          const ws = open(reader, role, { ...(compressed && { extension: () => extensionOf(role) }) });
          ws.resume();
          const sending = stream(ws, chunk).catch(() => {});
          const longest = await longestStall(async () => {
            // Timers, I/O and immediates of others go on
            for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 5));
            await turns(5);
          });
          expect(reader.bytes).toBeGreaterThan(0);
          ws.terminate();
          await Promise.all([ws.closed, sending]);
          return longest;
        });
        expect(least).toBeLessThan(MAX_STALL);
      },
    );
  });

  test('[X-12] 160,000 sends after an open writer: linear time, bufferedAmount stays bytes', async () => {
    let stall = Number.POSITIVE_INFINITY;
    const measure = async (count: number): Promise<number> => {
      const ws = open(new FastReader(), role);
      ws.resume();
      const writer = ws.createWriter('binary');
      await writer.write('open');
      const took = await duration(async () => {
        for (let i = 0; i < count; i++) ws.send('0123456789');
        expect(ws.bufferedAmount).toBe(count * 10);
        // They leave in turns, too
        const longest = await longestStall(async () => {
          await turns(1);
          await writer.end();
          await ws.drained();
        });
        if (count === 160_000) stall = Math.min(stall, longest);
      });
      expect(ws.bufferedAmount).toBe(0);
      ws.terminate();
      await ws.closed;
      return took;
    };
    await measure(20_000);
    const small = Math.min(await measure(40_000), await measure(40_000), await measure(40_000));
    const large = await shortestOf(() => measure(160_000), Math.min(small * 8 + 50, 2_000));
    expect(large).toBeLessThan(small * 8 + 50);
    expect(large).toBeLessThan(2_000);
    await shortestOf(async () => {
      if (stall >= MAX_STALL) await measure(160_000);
      return stall;
    });
    expect(stall).toBeLessThan(MAX_STALL);
  });

  test.each(['0123456789', ''])(
    '[X-12] messages of %j after an open writer: the limit counts the cost of each entry',
    async (data) => {
      const [ws, peer] = await rawPair(role, {
        options: { maxBufferedAmount: 1_000_000, highWaterMark: 1_000 },
      });
      const errors: Error[] = [];
      ws.on('error', (error) => errors.push(error));
      ws.resume();
      const writer = ws.createWriter('binary');
      await writer.write('open');
      let sent = 0;
      for (; ws.state === 'open' && sent < 1_000_000; sent++) ws.send(data);
      expect([ws.state, ws.bufferedAmount < 1_000_000]).toEqual(['closing', true]);
      expect(sent).toBeLessThan(200_000);
      expect((await ws.closed).code).toBe(1006);
      expect(errors).toEqual([expect.objectContaining({ code: 'ERR_SEND_QUEUE_FULL' })]);
      await expect(writer.end()).rejects.toMatchObject({ code: 1006 });
      await peer.until(({ socket, ended }) => ended || socket.destroyed);
    },
  );
});

test('[X-26] 200 opening handshakes while connections stream without end to fast readers: at once', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const took = await shortestOf(async () => {
    const all = Object.values(streams).map((stream) => {
      const ws = open(new FastReader(), 'server');
      ws.resume();
      const sending = stream(ws, Buffer.alloc(20)).catch(() => {});
      return { ws, sending };
    });
    const began = performance.now();
    await handshakes(port, 200);
    const milliseconds = performance.now() - began;
    for (const { ws } of all) ws.terminate();
    await Promise.all(all.map(({ sending }) => sending));
    return milliseconds;
  }, 1_500);
  expect(took).toBeLessThan(1_500);
  await server.close({ timeout: 0 });
});

describe('[X-35] thousands of connections of one server', () => {
  /** A stream whose writes take 20 µs, as those to a kernel do. */
  class Costly extends FastReader {
    override _write(chunk: Buffer, encoding: string, callback: () => void): void {
      const end = performance.now() + 0.02;
      while (performance.now() < end);
      super._write(chunk, encoding, callback);
    }
  }

  /** Connections in memory, made by a server. */
  async function fill(server: WebSocketServer, count: number): Promise<void> {
    for (let i = 0; i < count; i++) (await upgradeInMemory(server, new Costly())).resume();
  }

  async function filled(count = 2_000): Promise<WebSocketServer> {
    const server = new WebSocketServer({
      noServer: true,
      pingInterval: 300,
      pingTimeout: 60_000,
      closeTimeout: 50,
    });
    await fill(server, count);
    await turns(3);
    return server;
  }

  test('[X-35] one message each, where a write takes a tenth of a millisecond: spread over turns', async () => {
    let written = 0;
    class Busy extends FastReader {
      override _write(chunk: Buffer, encoding: string, callback: () => void): void {
        for (const began = performance.now(); performance.now() - began < 0.1; );
        written++;
        super._write(chunk, encoding, callback);
      }
    }
    const all = Array.from({ length: 400 }, () => open(new Busy(), 'server'));
    await turns(3);
    for (const ws of all) ws.send('to all');
    let most = 0;
    for (let last = 0; written < all.length; last = written) {
      await turns(1);
      most = Math.max(most, written - last);
    }
    expect(most).toBeLessThan(150);
    for (const ws of all) ws.terminate();
    await Promise.all(all.map((ws) => ws.closed));
  });

  test('[X-35] a beat of keepalive, a broadcast, close(): no stall over 20 ms', {
    timeout: 60_000,
  }, async () => {
    // So that the code is compiled
    const few = await filled(100);
    for (let i = 0; i < 300; i++) {
      few.broadcast('to all');
      await turns(1);
    }
    await few.close();
    let server = await filled();
    const beat = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 400));
    const broadcast = async (): Promise<void> => {
      server.broadcast('to all');
      await turns(3);
    };
    const stalls = {
      beat: await shortestOf(() => longestStall(beat)),
      broadcast: await shortestOf(() => longestStall(broadcast)),
      close: await shortestOf(async () => {
        if (server.connections.size === 0) server = await filled();
        return longestStall(() => server.close({ timeout: 100 }));
      }),
    };
    const long = Object.entries(stalls).filter(([, milliseconds]) => milliseconds >= MAX_STALL);
    expect(long).toEqual([]);
  });
});
