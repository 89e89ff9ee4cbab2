import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CloseInfo, connect, type WebSocketConnection, WebSocketServer } from '../../src/index.js';
import { BadNetwork, type Fault, type Faults } from './bad-network.js';

/** Short, as some wait for what a bad network swallowed; many handshakes at once are given time. */
const options = { handshakeTimeout: 3_000, closeTimeout: 300, pingInterval: 100, pingTimeout: 150 };

let server: WebSocketServer;
let proxy: BadNetwork;
/** What the server's connections told. */
let closes: CloseInfo[];
let before: string[];

/** Timers and sockets of this process. */
const resources = (): string[] =>
  process.getActiveResourcesInfo().filter((name) => /TCP|Timeout|TLS/.test(name));

async function serve(compression: boolean): Promise<void> {
  before = resources();
  server = new WebSocketServer({ port: 0, host: '127.0.0.1', compression, ...options });
  closes = [];
  server.on('connection', async (ws) => {
    let told = 0;
    ws.on('close', (info) => {
      told++;
      expect(told).toBe(1);
      closes.push(info);
    });
    try {
      for await (const message of ws) await ws.sendStream(message, { type: message.type });
    } catch {
      // Told by 'close' as well
    }
  });
  await once(server, 'listening');
  proxy = await BadNetwork.start((server.address() as AddressInfo).port);
}

async function settle(condition: () => boolean, what: () => string): Promise<void> {
  const end = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Waited in vain: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

interface Outcome {
  /** What each call came to: a value, or the name of an error. */
  readonly calls: readonly string[];
  readonly closed: CloseInfo | null;
  readonly closeEvents: number;
}

/** One short conversation of everything: text, fragments, Ping, closing handshake. Fails when a call does not settle. */
async function converse(compression: boolean): Promise<Outcome> {
  const calls: Promise<unknown>[] = [];
  let closeEvents = 0;
  let closed: CloseInfo | null = null;
  const call = <T>(promise: Promise<T>): Promise<T> => {
    calls.push(promise);
    promise.catch(() => {});
    return promise;
  };
  const talk = async (): Promise<void> => {
    const ws = await call(connect(`ws://127.0.0.1:${proxy.port}`, { compression, ...options }));
    ws.on('close', () => closeEvents++);
    const end = call(ws.closed).then((info) => {
      closed = info;
    });
    try {
      ws.send('hello, hello, hello');
      const first = await call(ws.receive());
      if (first !== null) await call(first.text());
      const writer = ws.createWriter('binary');
      const written = [call(writer.write('in ')), call(writer.write('pieces')), call(writer.end())];
      await Promise.all(written);
      const second = await call(ws.receive());
      if (second !== null) await call(second.bytes());
      await call(ws.ping());
      await call(ws.drained());
    } catch {
      // Told by the call
    }
    await call(ws.close());
    await end;
  };
  const talked = call(talk());
  const late = new Promise<never>((_, reject) => {
    setTimeout(reject, 4000, new Error('A call did not settle')).unref();
  });
  await Promise.race([talked.catch(() => {}), late]);
  const settled = await Promise.race([Promise.allSettled(calls), late]);
  return {
    calls: settled.map((one) => (one.status === 'fulfilled' ? 'ok' : (one.reason as Error).name)),
    closed,
    closeEvents,
  };
}

/** No connection, socket or timer is left. */
async function expectClean(): Promise<void> {
  await settle(
    () => server.connections.size === 0 && proxy.open === 0,
    () => `${server.connections.size} connections, ${proxy.open} sockets of the proxy`,
  );
}

afterEach(async () => {
  await expectClean();
  await proxy.close();
  await server.close({ timeout: 100 });
  // Timers that are late by a turn
  await settle(
    () => resources().length <= before.length,
    () => `${resources()} instead of ${before}`,
  );
});

const ends = ['reset', 'cut', 'half'] as const;
const ways = ['up', 'down'] as const;

describe.each([
  ['without compression', false],
  ['with compression', true],
] as const)('%s', (_, compression) => {
  beforeEach(() => serve(compression));

  test('§7.1.4 a network that does nothing: every call succeeds, and the connection closes cleanly', async () => {
    const outcome = await converse(compression);
    expect(new Set(outcome.calls)).toEqual(new Set(['ok']));
    expect(outcome).toMatchObject({ closeEvents: 1, closed: { code: 1000, wasClean: true } });
  });

  test.each([
    ['single bytes', { chunks: 'bytes' }],
    ['joined chunks', { chunks: 'joined' }],
  ] as [string, Fault][])('%s in both directions change nothing', async (_, fault) => {
    proxy.faults = (): Faults => ({ up: fault, down: fault });
    const outcome = await converse(compression);
    expect(new Set(outcome.calls)).toEqual(new Set(['ok']));
    expect(outcome).toMatchObject({ closeEvents: 1, closed: { code: 1000, wasClean: true } });
  });

  test.each(ends.flatMap((kind) => ways.map((way) => [kind, way] as const)))(
    '§7.1.5 %s behind every byte that goes %s: every call settles, one close event, 1006 unless the Close frame had come',
    { timeout: 60_000 },
    async (kind, way) => {
      await converse(compression);
      await expectClean();
      const bytes = proxy[way];
      closes = [];
      let n = 0;
      proxy.faults = (): Faults => ({ [way]: { after: n++, kind } });
      const outcomes: Outcome[] = [];
      const worker = async (): Promise<void> => {
        while (outcomes.length + running < bytes) {
          running++;
          const outcome = await converse(compression);
          running--;
          outcomes.push(outcome);
        }
      };
      let running = 0;
      await Promise.all(Array.from({ length: 40 }, worker));
      expect(outcomes.length).toBeGreaterThanOrEqual(bytes);
      for (const { calls, closed, closeEvents } of outcomes) {
        if (closed === null) {
          expect(closeEvents).toBe(0);
          expect(['HandshakeError', 'TimeoutError']).toContain(calls[0]);
        } else {
          expect(closeEvents).toBe(1);
          expect([closed.code, closed.wasClean]).toEqual(closed.code === 1000 ? [1000, true] : [1006, false]);
        }
        const names = ['ok', 'ConnectionClosedError', 'HandshakeError', 'TimeoutError'];
        expect(calls.filter((name) => !names.includes(name))).toEqual([]);
      }
      // Some were cut off in the handshake, some behind it
      expect(new Set(outcomes.map(({ closed }) => closed === null))).toEqual(new Set([true, false]));
      await expectClean();
      for (const { code, wasClean } of closes) expect(wasClean).toBe(code === 1000);
    },
  );

  test.each(ways)('a hole for what goes %s: the handshake ends in time', async (way) => {
    proxy.faults = (): Faults => ({ [way]: { after: 0, kind: 'hole' } });
    const began = performance.now();
    const connecting = connect(`ws://127.0.0.1:${proxy.port}`, { ...options, handshakeTimeout: 300 });
    await expect(connecting).rejects.toThrow();
    expect(performance.now() - began).toBeLessThan(2000);
  });

  test.each(ways)('§5.5.2 a hole for what goes %s: keepalive finds out, on both sides', async (way) => {
    const ws = await through({ [way]: { after: 600, kind: 'hole' } }, {});
    const errors: Error[] = [];
    ws.on('error', (error) => errors.push(error));
    ws.resume();
    const timer = setInterval(() => ws.send('x'.repeat(50), { compress: false }), 5);
    const info = await ws.closed;
    clearInterval(timer);
    expect(info).toMatchObject({ code: 1006, wasClean: false });
    await settle(
      () => closes.length === 1,
      () => 'the server',
    );
    expect(closes[0]).toMatchObject({ code: 1006, wasClean: false });
  });

  test.each(ways)('§7.1.1 a hole for what goes %s: the closing handshake ends in time', async (way) => {
    const ws = await through({}, { pingInterval: 0 });
    await settle(
      () => server.connections.size === 1,
      () => 'the server',
    );
    proxy.swallow(way);
    const began = performance.now();
    // Whether the peer's Close frame comes through depends on the way
    const info = await ws.close();
    expect(performance.now() - began).toBeLessThan(2000);
    expect(info).toMatchObject({ code: 1006, wasClean: false });
  });

  test('a network that takes nothing any more: the queue is bounded, then the connection fails', async () => {
    const ws = await through(
      { up: { after: 1000, kind: 'deaf' } },
      { maxBufferedAmount: 200_000, pingInterval: 0 },
    );
    const failed = once(ws, 'error');
    let most = 0;
    const timer = setInterval(() => {
      for (let i = 0; i < 100; i++) {
        ws.send(Buffer.alloc(10_000), { compress: false });
        most = Math.max(most, ws.bufferedAmount);
      }
    }, 1);
    const [error] = await failed;
    clearInterval(timer);
    expect(error).toMatchObject({ code: 'ERR_SEND_QUEUE_FULL' });
    expect(most).toBeLessThan(200_000 + 20_000);
    expect(ws.send('more')).toBe(false);
    expect(await ws.closed).toMatchObject({ code: 1006 });
    proxy.cut();
  });

  test('a writer waits for a network that takes nothing any more, and is told when it is cut', async () => {
    const ws = await through({ up: { after: 1000, kind: 'deaf' } }, { pingInterval: 0 });
    const writer = ws.createWriter('binary');
    let written = 0;
    const writing = (async (): Promise<void> => {
      for (;;) {
        await writer.write(Buffer.alloc(100_000, written));
        written++;
      }
    })();
    let last = -1;
    await settle(
      () => {
        const stuck = written === last && ws.bufferedAmount > 0;
        last = written;
        return stuck;
      },
      () => `${written} chunks written`,
    );
    expect(ws.bufferedAmount).toBeLessThan(1_000_000);
    ws.terminate();
    await expect(writing).rejects.toMatchObject({ name: 'ConnectionClosedError' });
    proxy.cut();
  });
});

/** A connection through the proxy. */
async function through(faults: Faults, more: object): Promise<WebSocketConnection> {
  proxy.faults = (): Faults => faults;
  return connect(`ws://127.0.0.1:${proxy.port}`, { ...options, ...more });
}
