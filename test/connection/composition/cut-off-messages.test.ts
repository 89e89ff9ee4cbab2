/** Messages that are cut off: what a sender did not finish is never received as whole, nor holds up the end. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  ConnectionClosedError,
  connect,
  type MessageWriter,
  type WebSocketConnection,
  WebSocketServer,
} from '../../../src/index.js';
import { extensionOf } from '../../fuzz/targets/endpoint.js';
import { consumers } from '../../support/consumers.js';
import { type Role, roles } from '../../support/frames.js';
import { link, passUntil, virtualTime } from '../../support/link.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { type Ends, open, pair, rawPair, sockets, turns } from '../../support/wire.js';
import { makeXor } from '../../support/xor.js';

checkNothingLeft();

const extensions: Readonly<Record<string, (role: Role) => Ends>> = {
  'no extension': () => ({}),
  'an extension that works elsewhere': () => ({ extension: () => makeXor(true) }),
  'permessage-deflate': (role) => ({ extension: () => extensionOf(role) }),
};
const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

/** What cuts the message of a writer off, whose first fragment was sent. */
const cuts: Readonly<Record<string, (ws: WebSocketConnection, writer: MessageWriter) => unknown>> = {
  'abort()': (_, writer) => writer.abort(),
  'close()': (ws) => ws.close(),
  'close(), then abort()': (ws, writer) => {
    void ws.close();
    writer.abort();
  },
  'abort(), then close()': (ws, writer) => {
    writer.abort();
    void ws.close();
  },
  'leaving its block': (_, writer) => writer[Symbol.asyncDispose](),
  'a chunk that is not UTF-8': (_, writer) => void writer.write(Buffer.from([0xff])).catch(() => {}),
  'a chunk that is none': (_, writer) => void writer.write(5 as never).catch(() => {}),
  'terminate()': (ws) => ws.terminate(),
};

/** Messages of every kind that are queued after the writer's. */
function queueBehind(ws: WebSocketConnection): void {
  ws.send('queued');
  ws.send(Buffer.from('queued'));
  ws.send(new Blob(['queued']));
  void ws
    .createWriter('text')
    .end('queued')
    .catch(() => {});
  void ws.sendStream(['queued'], { type: 'text' });
}

describe.each(roles)('a %s', (role) => {
  describe.each(Object.entries(extensions))('with %s', (_, ends) => {
    test.each(Object.entries(cuts))(
      '[X-02] messages queued after a writer that is cut off by %s: nothing made of both arrives',
      async (__, cutOff) => {
        const [ws, peer] = await pair(
          role,
          { options: { closeTimeout: 200 }, ...ends(role) },
          ends(other(role)),
        );
        const got: string[] = [];
        peer.on('message', (data) => got.push(String(data)));
        ws.resume();
        ws.send('before');
        const writer = ws.createWriter('text');
        await writer.write('begun, ');
        queueBehind(ws);
        const draining = ws.drained();
        const cutting = cutOff(ws, writer);
        queueBehind(ws);
        await Promise.all([ws.closed, peer.closed, Promise.resolve(cutting).catch(() => {})]);
        expect(got).toEqual(['before']);
        // What it waited for was dropped, not flushed
        await expect(draining).rejects.toBeInstanceOf(ConnectionClosedError);
        await expect(writer.end('and ended')).rejects.toBeInstanceOf(Error);
      },
    );

    test.each(Object.entries(cuts))(
      '[X-02] the writer is cut off by %s while its fragment is on the way: nothing made of both arrives',
      async (__, cutOff) => {
        const [ws, peer] = await pair(
          role,
          { options: { closeTimeout: 200 }, ...ends(role) },
          ends(other(role)),
        );
        const got: string[] = [];
        peer.on('message', (data) => got.push(String(data)));
        ws.resume();
        const writer = ws.createWriter('text');
        const writing = writer.write('begun '.repeat(30_000)).catch(() => {});
        queueBehind(ws);
        await Promise.resolve();
        await Promise.resolve(cutOff(ws, writer)).catch(() => {});
        await Promise.all([ws.closed, peer.closed, writing]);
        expect(got.filter((text) => text !== 'queued')).toEqual([]);
      },
    );

    test.each(Object.entries(consumers))(
      '[X-02] the reader of a message that was cut off, by %s, gets no message, and rejects',
      async (name, consume) => {
        const [ws, peer] = await pair(role, ends(role), ends(other(role)));
        const consumed = consume(ws);
        peer.resume();
        const writer = peer.createWriter('text');
        await writer.write('cut '.repeat(1_000));
        await turns(3);
        await peer.close(4002);
        const info = await ws.closed;
        expect([consumed.got, info.code]).toEqual([[], 4002]);
        const end = await consumed.end;
        // An extension may have made nothing of the first fragment yet: then no consumer has seen the message
        if (!name.includes('events') && _ !== 'permessage-deflate') expect(end).toMatchObject({ code: 4002 });
      },
    );

    test('[X-03] a fragment in the thread pool and a queued message, then close(): it resolves in time', async () => {
      const [ws, peer] = await pair(
        role,
        { options: { closeTimeout: 4_000 }, ...ends(role) },
        ends(other(role)),
      );
      peer.resume();
      ws.resume();
      const writer = ws.createWriter('binary');
      const writing = writer.write(Buffer.alloc(300_000, 'abc')).catch((error: unknown) => error);
      await Promise.resolve();
      ws.send('queued');
      const began = performance.now();
      const info = await ws.close(4003, 'done');
      expect([info, await peer.closed]).toEqual([
        { code: 4003, reason: 'done', wasClean: true },
        { code: 4003, reason: 'done', wasClean: true },
      ]);
      expect(performance.now() - began).toBeLessThan(3_000);
      await writing;
    });

    test('[X-03] a writer that was never written to holds nothing up: what is queued arrives, then the Close frame', async () => {
      const [ws, peer] = await pair(role, ends(role), ends(other(role)));
      const got: string[] = [];
      peer.on('message', (data) => got.push(String(data)));
      ws.resume();
      const [first, second] = [ws.createWriter('text'), ws.createWriter('binary')];
      ws.send('one');
      ws.send(new Blob(['two']));
      const third = ws.createWriter('text');
      ws.send('three');
      const closing = ws.close();
      expect(await closing).toEqual({ code: 1000, reason: '', wasClean: true });
      expect(got).toEqual(['one', 'two', 'three']);
      for (const writer of [first, second, third]) {
        await expect(writer.write('late')).rejects.toMatchObject({ code: 1000 });
      }
    });

    test('[X-03] writers that were ended, but not awaited, arrive whole in front of the Close frame', async () => {
      const [ws, peer] = await pair(role, ends(role), ends(other(role)));
      const got: number[] = [];
      peer.on('message', (data) => got.push(data.length));
      ws.resume();
      const steps: Promise<void>[] = [];
      for (let i = 0; i < 3; i++) {
        const writer = ws.createWriter('binary');
        for (let j = 0; j < 4; j++) steps.push(writer.write(Buffer.alloc(700_000, j)));
        steps.push(writer.end(Buffer.alloc(i)));
        ws.send('between');
      }
      await turns(1);
      expect(await ws.close()).toEqual({ code: 1000, reason: '', wasClean: true });
      expect(got).toEqual([2_800_000, 7, 2_800_001, 7, 2_800_002, 7]);
      await Promise.all(steps);
    });
  });

  test('[X-03] an ended writer whose fragment waits for a slow peer is finished in front of the Close frame', async () => {
    virtualTime();
    const [near, far] = link({ bandwidth: 250_000, buffer: 16_384 });
    const ws = open(near, role, { options: { pingInterval: 0, closeTimeout: 3_000 } });
    const peer = open(far, other(role), { options: { pingInterval: 0 } });
    const got: number[] = [];
    peer.on('message', (data) => got.push(data.length));
    ws.resume();
    const writer = ws.createWriter('binary');
    const steps = [writer.write(Buffer.alloc(1_500_000)), writer.write(Buffer.alloc(10)), writer.end()];
    await turns(3);
    expect(ws.bufferedAmount).toBeGreaterThan(0);
    const closing = ws.close();
    await passUntil(Promise.all([closing, peer.closed]), 30_000);
    expect([await closing, got]).toEqual([{ code: 1000, reason: '', wasClean: true }, [1_500_010]]);
    expect((await Promise.allSettled(steps)).map(({ status }) => status)).toEqual(Array(3).fill('fulfilled'));
  });

  test('[X-03] a peer that does not read, a writer that waits, then close(): over after closeTimeout', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 100 } });
    peer.socket.pause();
    const writer = ws.createWriter('binary');
    const writing = (async () => {
      for (;;) await writer.write(Buffer.alloc(1_000_000));
    })().catch((error: unknown) => error);
    await turns(20);
    const began = performance.now();
    const info = await ws.close(1001);
    expect(info).toEqual({ code: 1006, reason: '', wasClean: false });
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(await writing).toMatchObject({ code: 1001 });
  });
});

test('[X-03] open writers, then broadcast() and server.close(): all peers get 1001, in time', async () => {
  const peers: WebSocketConnection[] = [];
  const owns: WebSocketConnection[] = [];
  const http = new WebSocketServer({ port: 0, host: '127.0.0.1', compression: true });
  await once(http, 'listening');
  const { port } = http.address() as { port: number };
  http.on('connection', (ws) => {
    ws.resume();
    owns.push(ws);
  });
  for (let i = 0; i < 6; i++)
    peers.push(await connect(`ws://127.0.0.1:${port}`, { compression: i % 2 === 0 }));
  const got: string[][] = peers.map((ws) => {
    const texts: string[] = [];
    ws.on('message', (data) => texts.push(String(data)));
    return texts;
  });
  await expect.poll(() => owns.length).toBe(6);
  const writers = owns.map((ws, i) => (i < 4 ? ws.createWriter('text') : null));
  await writers[0]!.write('begun');
  void writers[1]!.write('begun '.repeat(50_000)).catch(() => {});
  void writers[2]!.end('ended');
  await turns(0);
  await Promise.resolve();
  http.broadcast('to all');
  http.broadcast('to all '.repeat(10_000));
  const began = performance.now();
  await http.close({ timeout: 3_000 });
  expect(performance.now() - began).toBeLessThan(2_000);
  const ends = await Promise.all(peers.map((ws) => ws.closed));
  expect(ends.map(({ code, wasClean }) => [code, wasClean])).toEqual(peers.map(() => [1001, true]));
  expect(got.map((texts) => texts.length)).toEqual([0, 0, 3, 2, 2, 2]);
});

test('[X-02] two connections of one process: what one cuts off does not touch the other', async () => {
  const [[near, far], [near2, far2]] = [await sockets(), await sockets()];
  const [a, b] = [open(near, 'server'), open(near2, 'server')];
  const [peerA, peerB] = [open(far, 'client'), open(far2, 'client')];
  const got: string[] = [];
  peerB.on('message', (data) => got.push(String(data)));
  for (const ws of [a, b, peerA]) ws.resume();
  const [writerA, writerB] = [a.createWriter('text'), b.createWriter('text')];
  await Promise.all([writerA.write('a'), writerB.write('b')]);
  writerA.abort();
  await writerB.end(' whole');
  await b.close();
  expect([got, (await a.closed).code]).toEqual([['b whole'], 1011]);
});
