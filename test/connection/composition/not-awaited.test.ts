/** Calls that wait for the peer and are not awaited: what they take is bounded by maxBufferedAmount. */
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { WebSocketConnection } from '../../../src/index.js';
import { record } from '../../support/consumers.js';
import { roles } from '../../support/frames.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { open, turns } from '../../support/wire.js';

checkNothingLeft();

/** A stream whose first write is never flushed, unless `flushes`. */
class Stalled extends Duplex {
  flushes = false;
  override _read(): void {}
  override _write(_chunk: Buffer, _: string, callback: () => void): void {
    if (this.flushes) callback();
  }
}

/** Calls, and the bytes that one of them counts. */
const calls: [name: string, cost: number, call: (ws: WebSocketConnection) => unknown][] = [
  ['createWriter()', 1024, (ws) => ws.createWriter('text')],
  ['createWriter() and write()', 1024, (ws) => ws.createWriter('text').write('x')],
  ['createWriter() and end()', 1024, (ws) => ws.createWriter('text').end('x')],
  ['sendStream()', 1024, (ws) => ws.sendStream(['x'])],
  ['drained()', 512, (ws) => ws.drained()],
  ['ping()', 512, (ws) => ws.ping()],
];

describe.each(roles)('a %s', (role) => {
  test.each(calls)(
    '[S-04] %s in a loop that does not await it: lost with ERR_SEND_QUEUE_FULL over maxBufferedAmount',
    async (_, cost, call) => {
      const ws = open(new Stalled(), role, { options: { maxBufferedAmount: 64 * 1024 } });
      const seen = record(ws);
      ws.resume();
      await turns(2);
      ws.send('takes the stream');
      await turns(2);
      const results: unknown[] = [];
      while (ws.state === 'open' && results.length < 1000) results.push(call(ws));
      // The one that is over it, and one more where the first has its turn
      expect(results.length).toBeLessThanOrEqual(64 * (1024 / cost) + 3);
      expect(results.length).toBeGreaterThan(60 * (1024 / cost));
      const promises = results.filter((result) => result instanceof Promise);
      for (const { status } of await Promise.allSettled(promises)) expect(status).toBe('rejected');
      await ws.closed;
      expect(seen[0]).toEqual(['error', expect.objectContaining({ code: 'ERR_SEND_QUEUE_FULL' })]);
      expect((seen[0]![1] as Error).message).toMatch(
        /^About \d+ bytes wait to be sent, over maxBufferedAmount \(65536\)/,
      );
    },
  );

  test.each<[string, number, (ws: WebSocketConnection) => boolean]>([
    ['empty messages behind a writer', 0, (ws) => ws.send('')],
    ['Blobs behind a writer', 0, (ws) => ws.send(new Blob([]))],
    ['messages to a peer that does not read', 1000, (ws) => ws.send(Buffer.alloc(1000))],
  ])(
    '[S-04] %s, a few each turn, highWaterMark over maxBufferedAmount: false in front of it, then lost',
    async (_, size, send) => {
      const options = { maxBufferedAmount: 64 * 1024, highWaterMark: Number.POSITIVE_INFINITY };
      const ws = open(new Stalled(), role, { options });
      const seen = record(ws);
      ws.resume();
      await turns(2);
      const begun = ws.createWriter('binary').write('begun');
      const results: boolean[] = [];
      while (ws.state === 'open' && results.length < 1000) {
        results.push(send(ws), send(ws));
        await turns(1);
      }
      await expect(begun).rejects.toThrow();
      await ws.closed;
      expect(results.length).toBeLessThanOrEqual((64 * 1024) / (size + 128) + 4);
      expect(results.indexOf(false)).toBeGreaterThan(results.length - 6);
      expect(seen[0]).toEqual(['error', expect.objectContaining({ code: 'ERR_SEND_QUEUE_FULL' })]);
    },
  );

  test('[S-04] drained() in a loop that does not await it, while nothing waits to be sent: it stays open', async () => {
    const stream = new Stalled();
    stream.flushes = true;
    const ws = open(stream, role, { options: { maxBufferedAmount: 1024 } });
    ws.resume();
    const drained: Promise<void>[] = [];
    for (let i = 0; i < 100_000; i++) drained.push(ws.drained());
    await Promise.all(drained);
    expect(ws.state).toBe('open');
    ws.terminate();
  });

  test('the connection ends: each of 50,000 messages that wait rejects with its end', async () => {
    const ws = open(new Stalled(), role);
    ws.resume();
    const ends = Array.from({ length: 50_000 }, () => ws.createWriter('text').end('x'));
    await turns(3);
    ws.terminate();
    const reasons = new Set<unknown>();
    for (const end of ends) await end.catch((reason) => reasons.add(reason));
    expect([...reasons]).toEqual([expect.objectContaining({ name: 'ConnectionClosedError', code: 1006 })]);
  });
});
