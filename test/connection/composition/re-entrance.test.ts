/** Every call from inside every callback, two at once, and a peer that leaves at every moment. */
import { describe, expect, test } from 'vitest';
import type { WebSocketConnection } from '../../../src/index.js';
import { extensionOf } from '../../fuzz/targets/endpoint.js';
import { consumers, endsOnce, record } from '../../support/consumers.js';
import { frameTo, roles } from '../../support/frames.js';
import { checkNothingLeft, expectedFault } from '../../support/nothing-left.js';
import { pair, type RawPeer, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

const code = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const callbacks = ['message', 'ping', 'pong', 'drain', 'close', 'error'] as const;

/** Calls of the application; each may return promises that have to settle. */
const actions: Readonly<Record<string, (ws: WebSocketConnection) => unknown>> = {
  close: (ws) => ws.close(4001),
  terminate: (ws) => ws.terminate(),
  send: (ws) => ws.send('from inside'),
  'send much': (ws) => ws.send(Buffer.alloc(200_000)),
  Blob: (ws) => ws.send(new Blob(['from inside'])),
  writer: (ws) => {
    const writer = ws.createWriter('text');
    return [writer.write('from '), writer.end('inside')];
  },
  'writer left open': (ws) => ws.createWriter('text').write('begun'),
  abort: (ws) => {
    const writer = ws.createWriter('text');
    const writing = writer.write('begun');
    return writing.then(
      () => writer.abort(),
      () => {},
    );
  },
  sendStream: (ws) => ws.sendStream(['a', 'b'], { type: 'text' }),
  pause: (ws) => {
    ws.pause();
    setImmediate(() => ws.resume());
  },
  'pause and resume': (ws) => {
    ws.pause();
    ws.resume();
  },
  // A wrong use: its rejection is not marked as handled
  receive: (ws) => ws.receive().catch(() => {}),
  ping: (ws) => ws.ping(undefined, { timeout: 500 }),
  pong: (ws) => ws.pong('from inside'),
  drained: (ws) => ws.drained(),
  listeners: (ws) => ws.on('message', () => {}).once('close', () => {}),
};

/** Calls that are made right after another one. */
const seconds = [
  () => null,
  ...['close', 'terminate', 'writer left open', 'pause'].map((name) => actions[name]!),
];

/** Does something in each kind of callback, the first time that it is called. */
async function play(
  ws: WebSocketConnection,
  peer: RawPeer,
  act: (event: string) => unknown,
): Promise<[event: string, detail: unknown][]> {
  const seen = record(ws);
  const done = new Set<string>();
  const results: unknown[] = [];
  let closed = false;
  const late: string[] = [];
  for (const event of callbacks) {
    ws.on(event, () => {
      if (closed) late.push(event);
      if (event === 'close') closed = true;
      if (done.has(event)) return;
      done.add(event);
      results.push(act(event));
    });
  }
  ws.send('over the mark');
  peer.send(9, 'x').send(1, 'one').send(10, 'x').send(1, 'two').send(2, 'three').send(9, 'y').send(1, 'four');
  await turns(4);
  peer.send(3);
  await turns(2);
  peer.socket.end(frameTo(peer.role, 8, code(4000)));
  await ws.closed;
  await turns(4);
  expect(late).toEqual([]);
  await Promise.race([
    Promise.allSettled(results.flat()),
    new Promise((_, reject) => setTimeout(reject, 1_000, new Error('A promise does not settle')).unref()),
  ]);
  return seen;
}

describe.each(roles)('a %s', (role) => {
  describe.each(callbacks)("inside of '%s'", (callback) => {
    test.each(Object.entries(actions))(
      '[L-08] [X-17] %s, alone and with a second call at once',
      async (name, action) => {
        await Promise.all(
          seconds.map(async (second) => {
            const [ws, peer] = await rawPair(role, { options: { highWaterMark: 10, closeTimeout: 20 } });
            const seen = await play(ws, peer, (event) =>
              event === callback ? [action(ws), second(ws)].flat() : null,
            );
            expect([name, endsOnce(seen, await ws.closed)]).toEqual([name, true]);
            expect(seen.filter(([event]) => event === 'error').length).toBeLessThan(2);
          }),
        );
      },
    );
  });

  test('[X-17] every call from inside every callback at once: one end, nothing after it', async () => {
    await Promise.all(
      Object.values(actions).map(async (action) => {
        const [ws, peer] = await rawPair(role, { options: { highWaterMark: 10, closeTimeout: 20 } });
        const seen = await play(ws, peer, () => action(ws));
        expect(endsOnce(seen, await ws.closed)).toBe(true);
      }),
    );
  });

  test.each([false, true])(
    '[X-09] [X-17] a peer that leaves after every number of bytes (an extension: %s): whole messages, one end',
    async (extended) => {
      const bytes = Buffer.concat([
        frameTo(role, 1, 'one'),
        frameTo(role, 9, 'ping'),
        frameTo(role, 2, 'tw', { fin: false }),
        frameTo(role, 0, 'o'),
        frameTo(role, 1, 'three'),
        frameTo(role, 8, code(4000)),
      ]);
      const all = ['one', 'two', 'three'];
      const leave = async (cut: number, by: 'end' | 'resetAndDestroy' | 'destroy'): Promise<void> => {
        const [ws, peer] = await rawPair(role, {
          options: { closeTimeout: 20 },
          ...(extended && { extension: () => extensionOf(role) }),
        });
        const seen = record(ws);
        const consumer = cut % 2 === 0 ? 'message events' : 'iteration';
        const consumed = consumers[consumer]!(ws);
        peer.socket.write(bytes.subarray(0, cut), () => peer.socket[by]());
        const info = await ws.closed;
        const end = await consumed.end;
        expect(consumed.got).toEqual(all.slice(0, consumed.got.length));
        expect(endsOnce(seen, info)).toBe(true);
        if (info.code === 4000) expect(consumed.got).toEqual(all);
        else expect(info).toEqual({ code: 1006, reason: '', wasClean: false });
        if (consumer === 'iteration') expect(end === null).toBe(info.wasClean);
      };
      for (let cut = 0; cut <= bytes.length; cut++) {
        await Promise.all([leave(cut, 'end'), leave(cut, 'resetAndDestroy'), leave(cut, 'destroy')]);
      }
    },
  );

  test("[X-17] a 'close' or 'error' listener that throws: the other events still come, and the exception is thrown", async () => {
    for (const event of ['error', 'close'] as const) {
      const [ws, peer] = await rawPair(role, { options: { closeTimeout: 20 } });
      const bug = new Error(`a bug in ${event}`);
      ws.on(event, () => {
        throw bug;
      });
      const seen = record(ws);
      ws.resume();
      const calls = [ws.ping(), ws.drained()];
      peer.send(3);
      const info = await ws.closed;
      await turns(3);
      expect(await expectedFault()).toBe(bug);
      if (event === 'error') expect(seen).toEqual([['close', info]]);
      await Promise.allSettled(calls);
      expect(ws.state).toBe('closed');
    }
  });

  test('[X-17] a message listener that terminates, closes or throws, in the middle of a batch of both connections', async () => {
    const [ws, peer] = await pair(role, {}, {});
    const [seen, peerSeen] = [record(ws), record(peer)];
    let count = 0;
    ws.on('message', () => {
      if (++count === 10) peer.terminate();
      if (count === 20) ws.terminate();
    });
    peer.on('message', () => {});
    for (let i = 0; i < 1_000; i++) {
      peer.send(`${i}`);
      ws.send(`${i}`);
    }
    const [info, peerInfo] = await Promise.all([ws.closed, peer.closed]);
    expect([endsOnce(seen, info), endsOnce(peerSeen, peerInfo)]).toEqual([true, true]);
  });
});
