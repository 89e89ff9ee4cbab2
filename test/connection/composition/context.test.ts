/** AsyncLocalStorage: what connections share never mixes their contexts, nor keeps one alive. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { resolveConnectionOptions, WebSocketConnection } from '../../../src/index.js';
import { frameTo, roles } from '../../support/frames.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { open, RawPeer, sockets, turns } from '../../support/wire.js';
import { makeXor } from '../../support/xor.js';

checkNothingLeft();

const storage = new AsyncLocalStorage<{ readonly id: number }>();
const COUNT = 12;

/** Listens for everything, and notes the context of each call. */
function note(ws: WebSocketConnection, calls: [event: string, id: number | undefined][]): void {
  for (const event of ['message', 'ping', 'pong', 'drain', 'close', 'error'] as const) {
    ws.on(event, () => calls.push([event, storage.getStore()?.id]));
  }
}

describe.each(roles)('connections of a %s', (role) => {
  test.each([false, true])(
    '[X-27] made in different contexts, under load, with keepalive (an extension: %s): each listener runs in its own',
    async (extended) => {
      const all: { ws: WebSocketConnection; peer: RawPeer; calls: [string, number | undefined][] }[] = [];
      for (let id = 0; id < COUNT; id++) {
        const [server, client] = await sockets(true);
        const [own, played] = role === 'server' ? [server, client] : [client, server];
        const calls: [string, number | undefined][] = [];
        const ws = storage.run({ id }, () =>
          open(own, role, {
            options: { pingInterval: 20, pingTimeout: 5_000, highWaterMark: 1_000, closeTimeout: 300 },
            ...(extended && { extension: () => makeXor(true) }),
          }),
        );
        note(ws, calls);
        all.push({ ws, peer: new RawPeer(played, role), calls });
      }
      // More input than fits into one slice, so that they wait for each other's turns
      const load = Buffer.concat(
        Array.from({ length: extended ? 150 : 800 }, (_, i) =>
          Buffer.concat([
            frameTo(role, 1, `message ${i}`),
            frameTo(role, 9, 'ping'),
            ...(extended ? [frameTo(role, 1, 'compressed', { rsv: 0x40 })] : []),
          ]),
        ),
      );
      await storage.run({ id: -1 }, async () => {
        for (const { peer } of all) peer.socket.write(load);
        // Output that stalls, and drains
        for (const { ws } of all) for (let i = 0; i < 20; i++) ws.send('x'.repeat(50_000));
        for (const { peer } of all) {
          await peer.until(({ bytes }) => bytes.length > 1_000_000);
          const ping = [...peer.frames].reverse().find(({ opcode }) => opcode === 9);
          if (ping !== undefined) peer.send(10, ping.payload);
          peer.send(10, 'a pong');
        }
        all.forEach(({ peer }, i) => {
          if (i % 3 === 0) peer.send(3, 'a violation');
          else if (i % 3 === 1) peer.send(8, Buffer.from([3, 232]));
          else peer.socket.resetAndDestroy();
          if (i % 3 !== 2) peer.socket.end();
        });
        await Promise.all(all.map(({ ws }) => ws.closed));
      });
      all.forEach(({ calls }, id) => {
        expect(new Set(calls.map(([, own]) => own))).toEqual(new Set([id]));
        const events = new Set(calls.map(([event]) => event));
        expect([events.has('message'), events.has('close')]).toEqual([true, true]);
      });
      const events = new Set(all.flatMap(({ calls }) => calls.map(([event]) => event)));
      expect([...events].toSorted()).toEqual(['close', 'drain', 'error', 'message', 'ping', 'pong']);
    },
  );

  test('[X-27] a continuation of an async consumer stays in its own context', async () => {
    const ids: (number | undefined)[] = [];
    const peers: WebSocketConnection[] = [];
    const done = Array.from({ length: 4 }, async (_, id) => {
      const [server, client] = await sockets();
      const [own, far] = role === 'server' ? [server, client] : [client, server];
      const peer = open(far, role === 'server' ? 'client' : 'server');
      peers.push(peer);
      peer.on('message', (data) => void peer.send(data));
      await storage.run({ id }, async () => {
        const ws = open(own, role);
        ws.send('hello');
        const message = await ws.receive();
        ids.push(storage.getStore()?.id);
        await message?.text();
        await ws.ping();
        ids.push(storage.getStore()?.id);
        await ws.close();
        ids.push(storage.getStore()?.id);
      });
    });
    await Promise.all(done);
    expect(ids.toSorted()).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
  });

  test('[X-27] the shared timer and the shared turns keep no context of a connection that is gone', async () => {
    const collected = new Set<number>();
    const registry = new FinalizationRegistry<number>((id) => collected.add(id));
    let last: WebSocketConnection | null = null;
    const make = async (id: number): Promise<void> => {
      const [server, client] = await sockets();
      const [own, far] = role === 'server' ? [server, client] : [client, server];
      new WebSocketConnection(far, {
        role: role === 'server' ? 'client' : 'server',
        options: resolveConnectionOptions({ pingInterval: 0 }),
      }).resume();
      const store = { id };
      registry.register(store, id);
      await storage.run(store, async () => {
        const options = resolveConnectionOptions({ pingInterval: 10_007, pingTimeout: 10_007 });
        const ws = new WebSocketConnection(own, { role, options });
        ws.resume();
        for (let i = 0; i < 200; i++) ws.send('x'.repeat(1_000));
        await ws.drained();
        if (id === 3) last = ws;
        else await ws.close();
      });
    };
    // The last one lives on, with the timer that the first one began
    for (let id = 0; id < 4; id++) await storage.run({ id: -1 }, () => make(id));
    for (let i = 0; i < 40 && collected.size < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      (globalThis as { gc?: () => void }).gc?.();
      await turns(2);
    }
    expect([...collected].toSorted()).toEqual([0, 1, 2]);
    last!.terminate();
    await once(last!, 'close');
  });
});
