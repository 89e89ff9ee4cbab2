import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type BroadcastOptions, type WebSocketConnection, WebSocketServer } from '../../src/index.js';
import { checkSideConditions } from '../support/side-conditions.js';
import { turns } from '../support/wire.js';
import { opened, type RawClient } from './raw.js';

checkSideConditions();

let server: WebSocketServer;
const clients: RawClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  await server.close({ timeout: 0 });
});

/** A server with three connections. */
async function three(options: { maxBufferedAmount?: number } = {}): Promise<WebSocketConnection[]> {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1', pingInterval: 0, ...options });
  await once(server, 'listening');
  for (let i = 0; i < 3; i++) clients.push(await opened((server.address() as AddressInfo).port));
  while (server.connections.size < 3) await turns(1);
  return [...server.connections];
}

/** What each client has received after a last message to all, in hex. */
async function received(): Promise<string[]> {
  server.broadcast('.');
  for (const client of clients) await client.until(() => client.received.at(-1) === 0x2e);
  return clients.map((client) => client.received.toString('hex').replace(/81012e$/, ''));
}

describe('broadcast', () => {
  test('[P-42] goes to all, and counts them', async () => {
    await three();
    expect(server.broadcast('a')).toEqual({ sent: 3, full: 0 });
    expect(await received()).toEqual(['810161', '810161', '810161']);
  });

  test.each<[string, (all: WebSocketConnection[]) => BroadcastOptions, boolean[]]>([
    ['except one', ([, second]) => ({ except: second! }), [true, false, true]],
    ['except an array', ([first, , third]) => ({ except: [first!, third!] }), [false, true, false]],
    ['except a set', ([first]) => ({ except: new Set([first!]) }), [false, true, true]],
    ['except none', () => ({ except: [] }), [true, true, true]],
    ['filter', ([, , third]) => ({ filter: (ws) => ws === third }), [false, false, true]],
    ['both', ([first, second]) => ({ except: first!, filter: (ws) => ws !== second }), [false, false, true]],
  ])('[P-43] %s', async (_title, options, expected) => {
    const all = await three();
    expect(server.broadcast('a', options(all))).toEqual({ sent: expected.filter(Boolean).length, full: 0 });
    expect(await received()).toEqual(expected.map((yes) => (yes ? '810161' : '')));
  });

  test('leaves out connections that are closing, and does not ask the filter for them', async () => {
    const [first, second, third] = await three();
    void second!.close();
    const asked: unknown[] = [];
    const filter = (ws: WebSocketConnection): boolean => {
      asked.push(ws);
      // One that a filter ends is not sent to
      if (ws === first) third!.terminate();
      return true;
    };
    expect(server.broadcast('a', { filter })).toEqual({ sent: 1, full: 0 });
    expect(asked).toEqual([first]);
  });

  test('[P-42] counts connections that are full; one over maxBufferedAmount fails, and is not counted', async () => {
    const all = await three({ maxBufferedAmount: 8 * 1024 * 1024 });
    clients[0]!.socket.pause();
    const megabyte = Buffer.alloc(1024 * 1024);
    const results: { sent: number; full: number }[] = [];
    for (let i = 0; i < 40 && all[0]!.state === 'open'; i++) {
      results.push(server.broadcast(megabyte));
      while (all.slice(1).some((ws) => ws.bufferedAmount > 0)) await turns(1);
    }
    expect(results.some(({ sent, full }) => sent === 3 && full >= 1)).toBe(true);
    expect(all[0]!.state).not.toBe('open');
    expect(results.at(-1)!.sent).toBe(2);
  });

  test('a peer that reads is not full, however long the turn of the event loop takes', async () => {
    const all = await three();
    for (const began = performance.now(); performance.now() - began < 10; ) all[0]!.send('');
    const before = performance.now();
    while (performance.now() - before < 20) expect(server.broadcast('a')).toEqual({ sent: 3, full: 0 });
    expect(all[1]!.send('b')).toBe(true);
  });

  test('[P-42] counts as send() does: what a queue of small messages takes in memory is more than their bytes', async () => {
    const [first] = await three();
    const writer = first!.createWriter('text');
    await writer.write('open');
    let result = server.broadcast('a');
    for (let i = 0; i < 10_000 && result.full === 0; i++) result = server.broadcast('a');
    expect(result).toEqual({ sent: 3, full: 1 });
    expect(first!.bufferedAmount).toBeLessThan(10_000);
    expect(first!.send('b')).toBe(false);
  });

  test.each([
    ['a string', 'abc', /no connection: a$/],
    ['an array of something else', [1], /no connection: 1$/],
    ['a set of something else', new Set(['id']), /no connection: id$/],
    ['an object', {}, /not iterable/],
  ])('[P-43] except that is %s is a TypeError, and nothing is sent', async (_, except, message) => {
    const all = await three();
    expect(() => server.broadcast('a', { except: except as never })).toThrow(TypeError);
    expect(() => server.broadcast('a', { except: except as never })).toThrow(message);
    for (const ws of all) expect(ws.stats.messagesSent).toBe(0);
  });

  test('a filter that returns a promise lets nobody through', async () => {
    await three();
    const filter = (async () => true) as never;
    expect(server.broadcast('a', { filter })).toEqual({ sent: 0, full: 0 });
  });

  test('a filter that throws has nothing sent', async () => {
    const [, second] = await three();
    const filter = (ws: WebSocketConnection): boolean => {
      if (ws === second) throw new Error('A mistake of the application');
      return true;
    };
    expect(() => server.broadcast('a', { filter })).toThrow('A mistake');
    expect(await received()).toEqual(['', '', '']);
  });

  test.each<[string, unknown]>([
    ['an unknown option', { exept: [] }],
    ['except of another type', { except: 5 }],
    ['except null', { except: null }],
    ['a filter that is no function', { filter: true }],
    ['a wrong type', { type: 'json' }],
    ['no object', 5],
  ])('%s is a TypeError, nothing sent', async (_title, options) => {
    await three();
    expect(() => server.broadcast('a', options as BroadcastOptions)).toThrow(TypeError);
    expect(await received()).toEqual(['', '', '']);
  });
});
