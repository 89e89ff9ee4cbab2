/** A message as a WritableStream: every way to write into it, and every end. */
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { describe, expect, test } from 'vitest';
import { openSource, sendStream } from '../../../src/connection/sending/send-stream.js';
import { ConnectionClosedError, type MessageWriter, type WebSocketConnection } from '../../../src/index.js';
import { extensionOf } from '../../fuzz/targets/endpoint.js';
import { type Role, roles } from '../../support/frames.js';
import { link, pass, passUntil, virtualTime } from '../../support/link.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { type Ends, open, pair, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

const compressions: Readonly<Record<string, (role: Role) => Ends>> = {
  'without compression': () => ({}),
  compressed: (role) => ({ extension: () => extensionOf(role) }),
};

/** A source of `chunks`, and what came of it. */
class Source {
  pulled = 0;
  cancelled: unknown = null;
  readonly stream: ReadableStream<Buffer>;

  /** @param idle - it never ends; @param failure - it fails after its chunks */
  constructor(
    chunks: readonly Buffer[],
    { idle = false, failure }: { idle?: boolean; failure?: Error } = {},
  ) {
    this.stream = new ReadableStream<Buffer>(
      {
        pull: (controller): Promise<void> | void => {
          const chunk = chunks[this.pulled];
          if (chunk !== undefined) {
            this.pulled++;
            controller.enqueue(chunk);
          } else if (failure !== undefined) controller.error(failure);
          else if (idle) return new Promise(() => {});
          else controller.close();
        },
        cancel: (reason): void => {
          this.cancelled = reason;
        },
      },
      { highWaterMark: 0 },
    );
  }
}

/** The messages that a connection receives whole, and the error that ends it. */
function collect(ws: WebSocketConnection): { readonly got: string[]; readonly end: Promise<unknown> } {
  const got: string[] = [];
  const all = async (): Promise<null> => {
    for await (const message of ws) got.push(`${message.type} ${Buffer.from(await message.bytes())}`);
    return null;
  };
  return { got, end: all().catch((error: unknown) => error) };
}

const parts = [Buffer.from('one '), Buffer.from('two '), Buffer.from('three')];

describe.each(roles)('§5.4 the WritableStream of a writer of a %s', (role) => {
  describe.each(Object.entries(compressions))('%s', (_name, ends) => {
    const make = (): Promise<[WebSocketConnection, WebSocketConnection]> =>
      pair(role, ends(role), ends(other(role)));

    test.each<[string, (ws: WebSocketConnection) => Promise<unknown>]>([
      ['pipeTo()', (ws) => new Source(parts).stream.pipeTo(ws.createWriter('binary').writable)],
      [
        'pipeTo() of a Readable',
        (ws) => Readable.toWeb(Readable.from(parts)).pipeTo(ws.createWriter('binary').writable),
      ],
      [
        'several pipes, and calls of the writer',
        async (ws) => {
          const writer = ws.createWriter('binary');
          await new Source(parts.slice(0, 1)).stream.pipeTo(writer.writable, { preventClose: true });
          await writer.write(parts[1]!);
          await new Source(parts.slice(2)).stream.pipeTo(writer.writable);
        },
      ],
      [
        'its own writer, without awaiting',
        async (ws) => {
          const writer = ws.createWriter('binary').writable.getWriter();
          for (const part of parts) void writer.write(part);
          await writer.close();
        },
      ],
      [
        'a stream that is made for each use',
        async (ws) => {
          const writer = ws.createWriter('binary');
          expect(writer.writable).toBe(writer.writable);
          for (const part of parts) {
            const one = writer.writable.getWriter();
            await one.write(part);
            one.releaseLock();
          }
          await writer.writable.close();
        },
      ],
    ])('[P-23] %s makes one message, and later ones follow it', async (_how, write) => {
      const [ws, peer] = await make();
      const { got, end } = collect(peer);
      const writing = write(ws);
      ws.send('after');
      await writing;
      await ws.close();
      expect(await end).toBe(null);
      expect(got).toEqual(['binary one two three', 'text after']);
      expect(ws.stats).toMatchObject({ messagesSent: 2, bytesSent: 18 });
    });

    test.each<[string, (ws: WebSocketConnection, failure: Error) => Promise<unknown>]>([
      [
        'a source that fails',
        (ws, failure) => new Source(parts, { failure }).stream.pipeTo(ws.createWriter('binary').writable),
      ],
      [
        'the signal of the pipe',
        async (ws, failure) => {
          const controller = new AbortController();
          const { signal } = controller;
          const source = new Source(parts, { idle: true });
          const piping = source.stream.pipeTo(ws.createWriter('binary').writable, { signal });
          piping.catch(() => {});
          while (source.pulled < 3) await turns(1);
          controller.abort(failure);
          await piping.finally(() => expect(source.cancelled).toBe(failure));
        },
      ],
      [
        'abort() of the stream',
        async (ws, failure) => {
          const { writable } = ws.createWriter('binary');
          const writer = writable.getWriter();
          await writer.write(parts[0]!);
          await writer.abort(failure);
          await writer.closed;
        },
      ],
      [
        'abort() of the writer, while the source is idle',
        async (ws, failure) => {
          const writer = ws.createWriter('binary');
          const source = new Source(parts, { idle: true });
          const piping = source.stream.pipeTo(writer.writable);
          piping.catch(() => {});
          while (source.pulled < 3) await turns(1);
          writer.abort(failure);
          await piping.finally(() => expect(source.cancelled).toBe(failure));
        },
      ],
    ])('%s aborts the message: 1011, and the peer never receives it as whole', async (_how, write) => {
      const [ws, peer] = await make();
      const { got } = collect(peer);
      const failure = new Error('Given up');
      await expect(write(ws, failure)).rejects.toBe(failure);
      expect((await ws.closed).code).toBe(1011);
      await peer.closed;
      expect(got).toEqual([]);
    });
  });

  test('an abort before the first fragment leaves the connection open, and sends nothing', async () => {
    const [ws, peer] = await pair(role);
    const { got, end } = collect(peer);
    const failure = new Error('Given up');
    const controller = new AbortController();
    const { writable } = ws.createWriter('binary');
    const piping = new Source([], { idle: true }).stream.pipeTo(writable, { signal: controller.signal });
    controller.abort(failure);
    await expect(piping).rejects.toBe(failure);
    ws.send('next');
    await ws.close();
    expect(await end).toBe(null);
    expect(got).toEqual(['text next']);
  });

  test('text is checked: a chunk that is not UTF-8, or none at all, is a TypeError, and 1011', async () => {
    for (const wrong of [Buffer.of(0xff), 5 as never]) {
      const [ws, peer] = await pair(role);
      const { got } = collect(peer);
      await expect(
        new Source([parts[0]!, wrong]).stream.pipeTo(ws.createWriter('text').writable),
      ).rejects.toThrow(TypeError);
      expect((await ws.closed).code).toBe(1011);
      await peer.closed;
      expect(got).toEqual([]);
    }
  });

  test('after end() of the writer the stream rejects with a TypeError; the message is whole', async () => {
    const [ws, peer] = await pair(role);
    const { got, end } = collect(peer);
    const writer = ws.createWriter('text');
    const stream = writer.writable.getWriter();
    await writer.end('whole');
    await expect(stream.write('more')).rejects.toThrow(TypeError);
    await ws.close();
    expect(await end).toBe(null);
    expect(got).toEqual(['text whole']);
  });

  test.each<[string, (ws: WebSocketConnection, writable: WritableStream, reason: Error) => unknown]>([
    ['abort() of the stream', (_ws, writable, reason) => writable.abort(reason)],
    ['the end of the connection', (ws) => ws.terminate()],
  ])('%s also ends what sendStream() sends by the same writer', async (_how, end) => {
    const [ws, peer] = await rawPair(role);
    const writer = ws.createWriter('binary');
    const { writable } = writer;
    const source = new Readable({ read: () => {} });
    const reason = new Error('No more');
    const sending = sendStream(writer, openSource(source), undefined).catch((error: unknown) => error);
    await turns();
    end(ws, writable, reason);
    const error = await sending;
    if (ws.state === 'open') expect(error).toBe(reason);
    else expect(error).toBeInstanceOf(ConnectionClosedError);
    expect(source.destroyed).toBe(true);
    await expect(writable.getWriter().closed).rejects.toBe(error);
    ws.terminate();
    peer.socket.destroy();
    await ws.closed;
  });

  test('sendStream() that is done leaves the stream of the same writer with its errors', async () => {
    const [ws, peer] = await rawPair(role);
    const writer = ws.createWriter('binary');
    const { closed } = writer.writable.getWriter();
    const failure = new Error('Source failed');
    const source = new Readable({ read: () => void source.destroy(failure) });
    await expect(sendStream(writer, openSource(source), undefined)).rejects.toBe(failure);
    await expect(closed).rejects.toBe(failure);
    expect(ws.state).toBe('open');
    ws.terminate();
    peer.socket.destroy();
    await ws.closed;
  });

  describe('the end of the connection', () => {
    const finishes: Readonly<
      Record<string, (ws: WebSocketConnection, peer: WebSocketConnection) => unknown>
    > = {
      'close()': (ws) => void ws.close(),
      'terminate()': (ws) => ws.terminate(),
      "the peer's close()": (_ws, peer) => void peer.close(),
      "the peer's terminate()": (_ws, peer) => peer.terminate(),
    };

    test.each(Object.entries(finishes))(
      'by %s errors the stream; the source is cancelled',
      async (_how, finish) => {
        const [ws, peer] = await pair(role);
        peer.resume();
        ws.resume();
        const source = new Source(parts, { idle: true });
        const piping = source.stream.pipeTo(ws.createWriter('binary').writable);
        piping.catch(() => {});
        while (source.pulled < 3) await turns(1);
        finish(ws, peer);
        await expect(piping).rejects.toThrow(ConnectionClosedError);
        expect(source.cancelled).toBeInstanceOf(ConnectionClosedError);
        await Promise.all([ws.closed, peer.closed]);
      },
    );

    test.each(Object.entries(finishes))(
      'by %s: a promise that is not awaited is no unhandled rejection',
      async (...given) => {
        const [, finish] = given;
        const [ws, peer] = await pair(role);
        peer.resume();
        ws.resume();
        const begun = ws.createWriter('binary').writable.getWriter();
        await begun.write('begun');
        const waiting = ws.createWriter('binary').writable.getWriter();
        void waiting.write('waits for its turn');
        void waiting.close();
        finish(ws, peer);
        void begun.write('more');
        void begun.abort(new Error('late'));
        void ws.createWriter('text').writable.getWriter().write('too late');
        void ws.createWriter('text').writable.close();
        void ws.createWriter('text').writable.abort();
        await Promise.all([ws.closed, peer.closed]);
        const late = ws.createWriter('text').writable.getWriter();
        void late.write('after the end');
        await expect(late.closed).rejects.toThrow(ConnectionClosedError);
        await turns(5);
      },
    );

    test('from inside of the source: close() while it is pulled, and while a write is pending', async () => {
      const [ws, peer] = await pair(role);
      peer.resume();
      let pulls = 0;
      const source = new ReadableStream<Buffer>({
        pull(controller): void {
          controller.enqueue(parts[0]!);
          if (++pulls === 3) void ws.close();
        },
      });
      await expect(source.pipeTo(ws.createWriter('binary').writable)).rejects.toThrow(ConnectionClosedError);
      await Promise.all([ws.closed, peer.closed]);
    });
  });

  describe('§6.1 a peer that does not read slows the source down', () => {
    const failure = new Error('Given up');

    /** Writes into a connection whose peer does not read, until nothing moves. */
    async function stall(): Promise<{
      readonly ws: WebSocketConnection;
      readonly writer: MessageWriter;
      readonly source: Source;
      readonly piping: Promise<void>;
      readonly abortPipe: () => void;
    }> {
      const [ws, peer] = await rawPair(role, { options: { closeTimeout: 50 } });
      peer.socket.pause();
      const source = new Source(Array.from({ length: 1000 }, () => Buffer.alloc(256 * 1024)));
      const controller = new AbortController();
      const writer = ws.createWriter('binary');
      const piping = source.stream.pipeTo(writer.writable, { signal: controller.signal });
      piping.catch(() => {});
      let before = -1;
      while (source.pulled !== before) {
        before = source.pulled;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      // The kernel's buffers of both ends, and the chunk that is being written
      expect(source.pulled).toBeLessThan(100);
      return { ws, writer, source, piping, abortPipe: () => controller.abort(failure) };
    }

    test('abort() of the writer does not wait for it', async () => {
      const { piping, source, writer, ws } = await stall();
      writer.abort(failure);
      await expect(piping).rejects.toBe(failure);
      expect(source.cancelled).toBe(failure);
      expect((await ws.closed).code).toBe(1006);
    });

    test('abort() of the stream does not wait for it', async () => {
      const [ws, peer] = await rawPair(role, { options: { closeTimeout: 50 } });
      peer.socket.pause();
      const stream = ws.createWriter('binary').writable.getWriter();
      const writing = stream.write(Buffer.alloc(64 * 1024 * 1024));
      await turns(5);
      await stream.abort(failure);
      await expect(writing).rejects.toThrow();
      expect((await ws.closed).code).toBe(1006);
    });

    test('the signal of the pipe waits for its pending write, as pipes do, or for the end', async () => {
      const { abortPipe, piping, ws } = await stall();
      abortPipe();
      await turns(5);
      expect(ws.state).toBe('open');
      ws.terminate();
      await expect(piping).rejects.toThrow();
      expect((await ws.closed).code).toBe(1006);
    });
  });

  test('a slow network: the source is one chunk ahead, and all of it arrives', async () => {
    virtualTime();
    const [a, b] = link({ bandwidth: 100_000, delay: 20 });
    const ws = open(a, role, { options: { pingInterval: 0 } });
    const peer = open(b, other(role), { options: { pingInterval: 0 } });
    const source = new Source(Array.from({ length: 20 }, () => Buffer.alloc(50_000, 'x')));
    const { got, end } = collect(peer);
    const piping = source.stream.pipeTo(ws.createWriter('binary').writable);
    await pass(500);
    // 64 KiB of the send buffer, and what left in half a second
    expect(source.pulled).toBeLessThanOrEqual(4);
    await passUntil(piping, 20_000);
    await passUntil(ws.close(), 5_000);
    await passUntil(end, 5_000);
    expect(got).toEqual([`binary ${'x'.repeat(1_000_000)}`]);
  });
});
