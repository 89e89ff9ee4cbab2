/** The source of what is sent, a Blob or a stream, fails, or idles while the connection ends. */

import { openAsBlob } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { ConnectionClosedError, type MessageSource, type WebSocketConnection } from '../../../src/index.js';
import { extensionOf } from '../../fuzz/targets/endpoint.js';
import { endsOnce, record } from '../../support/consumers.js';
import { type Role, roles } from '../../support/frames.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { pair, type RawPeer, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

const code = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

/** Sources that give nothing, and how they are left. */
const idle: Readonly<Record<string, () => { source: MessageSource; left: () => boolean; chunks: number }>> = {
  'a Readable': () => {
    const source = new Readable({ read: () => {} });
    return { source, left: () => source.destroyed, chunks: 0 };
  },
  'a Readable with a chunk': () => {
    const source = new Readable({ read: () => {} });
    source.push('chunk');
    return { source, left: () => source.destroyed, chunks: 1 };
  },
  'a ReadableStream': () => {
    let cancelled = false;
    const source = new ReadableStream<Uint8Array>({
      cancel: () => {
        cancelled = true;
      },
    });
    return { source: source as never, left: () => cancelled, chunks: 0 };
  },
  'a ReadableStream with a chunk': () => {
    let cancelled = false;
    const source = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('chunk')),
      cancel: () => {
        cancelled = true;
      },
    });
    return { source: source as never, left: () => cancelled, chunks: 1 };
  },
  'an iterator': () => {
    let returned = false;
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => {}),
        return: () => {
          returned = true;
          return Promise.resolve({ done: true, value: undefined } as const);
        },
      }),
    };
    return { source, left: () => returned, chunks: 0 };
  },
};

/** What ends it, and what the call rejects with. */
const ends: Readonly<Record<string, (ws: WebSocketConnection, peer: RawPeer, abort: () => void) => unknown>> =
  {
    'the peer closes': (_, peer) => peer.send(8, code(4000)).socket.end(),
    'the peer is gone': (_, peer) => peer.socket.end(),
    'the peer resets': (_, peer) => peer.socket.resetAndDestroy(),
    'the peer breaks a rule': (_, peer) => peer.send(3),
    'close()': (ws) => void ws.close(),
    'terminate()': (ws) => ws.terminate(),
    'the signal aborts': (_, __, abort) => abort(),
  };

describe.each(roles)('a %s', (role) => {
  describe.each(Object.entries(idle))('that sends the stream of %s, which idles', (_, make) => {
    test.each(Object.entries(ends))(
      '[X-16] when %s: the source is left, and sendStream() rejects',
      async (name, end) => {
        const [ws, peer] = await rawPair(role, { options: { closeTimeout: 30 } });
        ws.resume();
        const seen = record(ws);
        const abort = new AbortController();
        const reason = new Error('enough');
        const { source, left, chunks } = make();
        const sending = ws.sendStream(source, { signal: abort.signal });
        if (chunks > 0) await peer.until(({ frames }) => frames.length === chunks);
        else await turns(3);
        end(ws, peer, () => abort.abort(reason));
        const error = await sending.catch((why: unknown) => why);
        if (name === 'the signal aborts') expect(error).toBe(reason);
        else expect(error).toBeInstanceOf(ConnectionClosedError);
        expect(left()).toBe(true);
        // A message of which nothing was sent is no reason to close
        if (name === 'the signal aborts' && chunks === 0) {
          expect(ws.send('on')).toBe(true);
          await peer.until(({ frames }) => frames.length === 1);
          expect(String(peer.frames[0]!.payload)).toBe('on');
          ws.terminate();
        }
        const info = await ws.closed;
        expect(endsOnce(seen, info)).toBe(true);
      },
    );
  });

  test('[X-16] a source whose own error comes late, or whose return() fails, is no unhandled error', async () => {
    const [ws, peer] = await rawPair(role);
    ws.resume();
    const late = new Readable({
      read: () => {},
      destroy: (_, callback) => void setImmediate(() => callback(new Error('late'))),
    });
    const failing = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => {}),
        return: () => Promise.reject(new Error('return')),
      }),
    };
    const cancel = new ReadableStream({ cancel: () => Promise.reject(new Error('cancel')) });
    const sending = [ws.sendStream(late), ws.sendStream(failing), ws.sendStream(cancel as never)];
    await turns(2);
    peer.socket.resetAndDestroy();
    const settled = await Promise.allSettled(sending);
    expect(settled.map(({ status }) => status)).toEqual(Array(3).fill('rejected'));
    await ws.closed;
    await turns(3);
  });

  describe.each([false, true])('with Blobs (permessage-deflate: %s)', (compressed) => {
    const withExtension = (own: Role) => (compressed ? { extension: () => extensionOf(own) } : {});

    test('[X-20] [P-84] as text that is not UTF-8: closes with 1011, nothing of it is sent, `error` has the cause', async () => {
      const [ws, peer] = await pair(role, withExtension(role), withExtension(other(role)));
      const [seen, got] = [record(ws), [] as unknown[]];
      peer.on('message', (data) => got.push(String(data)));
      ws.resume();
      ws.send('before');
      expect(ws.send(new Blob([Buffer.from([0x61, 0xff])]), { type: 'text' })).toBe(true);
      ws.send('after');
      const info = await ws.closed;
      expect([got, (await peer.closed).code]).toEqual([['before'], 1011]);
      expect(seen.find(([event]) => event === 'error')![1]).toMatchObject({ name: 'TypeError' });
      expect(endsOnce(seen, info)).toBe(true);
      expect(ws.send('late')).toBe(false);
    });

    test('[X-20] [P-84] that cannot be read: closes with 1011, nothing of it is sent, `error` has the cause', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'sluice-'));
      try {
        const file = join(folder, 'file');
        await writeFile(file, 'as it was');
        const blob = await openAsBlob(file);
        await writeFile(file, 'changed since, and longer');
        const [ws, peer] = await pair(role, withExtension(role), withExtension(other(role)));
        const [seen, got] = [record(ws), [] as unknown[]];
        peer.on('message', (data) => got.push(String(data)));
        ws.resume();
        ws.send(blob);
        const writer = ws.createWriter('text');
        const writing = writer.write('after').catch((error: unknown) => error);
        const draining = ws.drained().catch((error: unknown) => error);
        const info = await ws.closed;
        expect([got, (await peer.closed).code]).toEqual([[], 1011]);
        expect(seen.find(([event]) => event === 'error')![1]).toMatchObject({ name: 'NotReadableError' });
        expect(endsOnce(seen, info)).toBe(true);
        expect([await writing, await draining]).toEqual([
          expect.any(ConnectionClosedError),
          expect.any(ConnectionClosedError),
        ]);
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    test.each(['close', 'terminate'] as const)(
      '[X-20] that cannot be read, and %s() meanwhile: over, and nothing is unhandled',
      async (call) => {
        const [ws, peer] = await pair(role, withExtension(role), withExtension(other(role)));
        const seen = record(ws);
        peer.resume();
        ws.resume();
        for (let i = 0; i < 3; i++) ws.send(new Blob([Buffer.from([0xff])]), { type: 'text' });
        ws[call]();
        const info = await ws.closed;
        await peer.closed;
        await turns(5);
        expect(endsOnce(seen, info)).toBe(true);
      },
    );
  });
});
