/** Signals of calls that wait for output: `drained({ signal })` ends a wait, `write(chunk, { signal })` a message. */
import { getEventListeners } from 'node:events';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { record } from '../../support/consumers.js';
import { parse, roles } from '../../support/frames.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { open, pair, turns } from '../../support/wire.js';

checkNothingLeft();

/** A stream that keeps each write until it is let go. */
class Held extends Duplex {
  readonly written: Buffer[] = [];
  #done: (() => void) | null = null;
  override _read(): void {}
  override _write(chunk: Buffer, _: string, callback: () => void): void {
    this.written.push(Buffer.from(chunk));
    this.#done = callback;
  }
  flush(): void {
    const done = this.#done;
    this.#done = null;
    done?.();
  }
}

const reason = new Error('the signal');

describe.each(roles)('a %s', (role) => {
  test('[P-30] drained({ signal }) rejects with the reason as soon as the signal aborts; what was sent is sent', async () => {
    const stream = new Held();
    const ws = open(stream, role);
    ws.send('sent');
    await turns(1);
    const controller = new AbortController();
    const { signal } = controller;
    const [drained, other] = [ws.drained({ signal }), ws.drained({})];
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    controller.abort(reason);
    await expect(drained).rejects.toBe(reason);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    await expect(ws.drained({ signal })).rejects.toBe(reason);
    expect(ws.state).toBe('open');
    stream.flush();
    await other;
    expect(parse(Buffer.concat(stream.written))).toHaveLength(1);
    ws.terminate();
    await ws.closed;
  });

  test('drained({ signal }) leaves no listener, however it settles', async () => {
    for (const end of ['flush', 'terminate', 'nothing waits'] as const) {
      const stream = new Held();
      const ws = open(stream, role);
      const { signal } = new AbortController();
      if (end !== 'nothing waits') ws.send('sent');
      await turns(1);
      const drained = ws.drained({ signal });
      if (end === 'flush') stream.flush();
      else if (end === 'terminate') ws.terminate();
      await (end === 'terminate' ? expect(drained).rejects.toMatchObject({ code: 1006 }) : drained);
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
      ws.terminate();
      await ws.closed;
    }
  });

  test('[S-04] waits that a signal has ended count no longer for maxBufferedAmount', async () => {
    const ws = open(new Held(), role, { options: { maxBufferedAmount: 64 * 1024 } });
    ws.send('sent');
    await turns(1);
    for (let i = 0; i < 1000; i++) {
      const controller = new AbortController();
      // Nobody awaits it
      void ws.drained({ signal: controller.signal });
      controller.abort(reason);
    }
    expect(ws.state).toBe('open');
    ws.terminate();
    await ws.closed;
  });

  test('one signal may end 20,000 waits at once', async () => {
    const ws = open(new Held(), role);
    ws.send('sent');
    await turns(1);
    const controller = new AbortController();
    const waits = Array.from({ length: 20_000 }, () => ws.drained({ signal: controller.signal }));
    const began = performance.now();
    controller.abort(reason);
    expect(performance.now() - began).toBeLessThan(2000);
    for (const { status } of await Promise.allSettled(waits)) expect(status).toBe('rejected');
    ws.terminate();
    await ws.closed;
  });

  test('[P-20] write(chunk, { signal }): a signal that aborts while the fragment waits aborts the message, with 1011', async () => {
    const stream = new Held();
    const ws = open(stream, role);
    const writer = ws.createWriter('binary');
    const controller = new AbortController();
    const writes = [writer.write('first', { signal: controller.signal }), writer.write('second')];
    await turns(2);
    expect(stream.written).toHaveLength(1);
    controller.abort(reason);
    for (const write of writes) await expect(write).rejects.toBe(reason);
    await expect(writer.end()).rejects.toBe(reason);
    expect(ws.state).toBe('closing');
    stream.flush();
    await turns(2);
    // A fragment that is not the last one, and the Close frame
    const frames = parse(Buffer.concat(stream.written));
    expect(frames.map(({ fin, opcode }) => [fin, opcode])).toEqual([
      [false, 2],
      [true, 8],
    ]);
    expect(frames[1]!.payload.readUInt16BE()).toBe(1011);
    ws.terminate();
    await ws.closed;
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  test('[P-20] write(chunk, { signal }) of a message that waits for its turn, or with a signal that has aborted: nothing is sent', async () => {
    const [ws, peer] = await pair(role);
    const got: string[] = [];
    peer.on('message', (data) => got.push(String(data)));
    const first = ws.createWriter('text');
    await first.write('first');
    const waiting = ws.createWriter('text');
    const controller = new AbortController();
    const write = waiting.write('never', { signal: controller.signal });
    controller.abort(reason);
    await expect(write).rejects.toBe(reason);
    const late = ws.createWriter('text');
    await expect(late.write('never', { signal: controller.signal })).rejects.toBe(reason);
    await expect(late.end('never')).rejects.toBe(reason);
    await first.end(' message');
    ws.send('next');
    await ws.close();
    await peer.closed;
    expect(got).toEqual(['first message', 'next']);
  });

  test('write(chunk, { signal }): neither a signal that aborts later, nor one after end(), does anything', async () => {
    const [ws, peer] = await pair(role);
    const got: string[] = [];
    peer.on('message', (data) => got.push(String(data)));
    const writer = ws.createWriter('text');
    const [early, late] = [new AbortController(), new AbortController()];
    await writer.write('a', { signal: early.signal });
    early.abort(reason);
    const write = writer.write('b', { signal: late.signal });
    const end = writer.end('c');
    late.abort(reason);
    await Promise.all([write, end]);
    await ws.close();
    await peer.closed;
    expect(got).toEqual(['abc']);
    expect(getEventListeners(late.signal, 'abort')).toHaveLength(0);
  });

  test('a write that nobody awaits, whose signal aborts from within a listener, is no unhandled rejection', async () => {
    const [ws, peer] = await pair(role);
    const seen = record(ws);
    const writer = ws.createWriter('text');
    const controller = new AbortController();
    ws.on('message', () => {
      void writer.write('more', { signal: controller.signal });
      controller.abort(reason);
    });
    await writer.write('begun');
    peer.send('now');
    peer.resume();
    expect(await peer.closed).toMatchObject({ code: 1011 });
    await ws.closed;
    expect(seen.map(([event]) => event)).toEqual(['close']);
  });

  test.each([[5], [null], [{ aborted: false }]])(
    'a signal of %o is a TypeError that names it',
    async (wrong) => {
      const ws = open(new Held(), role);
      const options = { signal: wrong as never };
      await expect(ws.drained(options)).rejects.toThrow(/^Option signal is not an AbortSignal/);
      await expect(ws.createWriter('text').write('a', options)).rejects.toThrow(/^Option signal/);
      ws.terminate();
      await ws.closed;
    },
  );

  test('receive() within the abort of another receive() waits for the next message', async () => {
    const [ws, peer] = await pair(role);
    const controller = new AbortController();
    const first = ws.receive({ signal: controller.signal });
    const second = new Promise((resolve) => {
      controller.signal.addEventListener('abort', () => resolve(ws.receive().then((next) => next?.text())));
    });
    controller.abort(reason);
    await expect(first).rejects.toBe(reason);
    peer.send('next');
    expect(await second).toBe('next');
    for (const each of [ws, peer]) each.terminate();
  });
});
