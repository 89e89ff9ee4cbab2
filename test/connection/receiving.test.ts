import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connect, MessageReader, WebSocketServer } from '../../src/index.js';
import { sliceOver } from '../../src/turn.js';
import { chunkings, frameTo, roles, sizes } from '../support/frames.js';
import { leftovers, open, pair, rawPair, sockets, turns } from '../support/wire.js';
import { makeXor } from '../support/xor.js';

afterEach(async () => {
  expect(await leftovers()).toBe(0);
});

const consumers = ['message', 'bytes', 'chunks'] as const;

describe.each(roles)('a %s', (role) => {
  describe.each(chunkings)('received %s', (_, cut) => {
    test.each(consumers)('[P-05] [P-11] takes messages of all boundary sizes by %s', async (consumer) => {
      // Byte by byte, the large sizes stand for themselves in the tests of the endpoint
      const lengths = sizes.filter(
        (size) => cut(Buffer.alloc(2)).length < 2 || size < 1000 || _ !== 'byte by byte',
      );
      const [ws, peer] = await rawPair(role);
      const got: [string, string][] = [];
      const reading = (async () => {
        if (consumer === 'message') {
          ws.on('message', (data, type) => got.push([type, String(data)]));
          return;
        }
        for await (const message of ws) {
          expect(message).toBeInstanceOf(MessageReader);
          if (consumer === 'bytes') got.push([message.type, Buffer.from(await message.bytes()).toString()]);
          else {
            const chunks: Buffer[] = [];
            for await (const chunk of message) chunks.push(chunk);
            expect(chunks.every((chunk) => chunk.length > 0)).toBe(true);
            got.push([message.type, Buffer.concat(chunks).toString()]);
          }
        }
      })();
      const bytes = lengths.flatMap((size) => [
        frameTo(role, 1, 't'.repeat(size)),
        frameTo(role, 2, 'b'.repeat(size >> 1), { fin: false }),
        frameTo(role, 9, 'between'),
        frameTo(role, 0, 'c'.repeat(size - (size >> 1))),
      ]);
      for (const chunk of cut(Buffer.concat([...bytes, frameTo(role, 8, Buffer.from('03e8', 'hex'))]))) {
        peer.socket.write(chunk);
        if (_ === 'byte by byte') await turns(1);
      }
      await peer.until(({ frames }) => frames.length === lengths.length + 1);
      peer.socket.end();
      await ws.closed;
      await reading;
      expect(got).toEqual(
        lengths.flatMap((size) => [
          ['text', 't'.repeat(size)],
          ['binary', 'b'.repeat(size >> 1) + 'c'.repeat(size - (size >> 1))],
        ]),
      );
    });
  });

  test('[P-13] the body of a message is read like that of a response, once', async () => {
    const [ws, peer] = await pair(role);
    const next = async (): Promise<MessageReader> => {
      peer.send('{"é":[1]}');
      return (await ws.receive())!;
    };
    expect(await (await next()).text()).toBe('{"é":[1]}');
    expect(await (await next()).json()).toEqual({ é: [1] });
    expect(Buffer.from(await (await next()).bytes()).toString()).toBe('{"é":[1]}');
    const buffer = await (await next()).arrayBuffer();
    expect([buffer instanceof ArrayBuffer, Buffer.from(buffer).toString()]).toEqual([true, '{"é":[1]}']);
    expect(await new Response((await next()).stream() as never).text()).toBe('{"é":[1]}');
    const once = await next();
    expect(once.bodyUsed).toBe(false);
    await once.text();
    expect(once.bodyUsed).toBe(true);
    for (const method of ['text', 'json', 'bytes', 'arrayBuffer'] as const)
      await expect(once[method]()).rejects.toThrow(TypeError);
    expect(() => once[Symbol.asyncIterator]()).toThrow(TypeError);
    expect(() => once.stream()).toThrow(TypeError);
    peer.send('no JSON');
    await expect((await ws.receive())!.json()).rejects.toThrow(SyntaxError);
    ws.terminate();
  });

  test('what is unread is dropped: by the next receive(), cancel(), leaving the loop, or cancelling the stream', async () => {
    const [ws, peer] = await pair(role);
    const drops: ((message: MessageReader) => unknown)[] = [
      () => {},
      (message) => message.cancel(),
      async (message) => {
        for await (const chunk of message) return chunk.length;
        return 0;
      },
      async (message) => {
        const reader = message.stream().getReader();
        await reader.read();
        await reader.cancel();
      },
    ];
    for (const drop of drops) {
      peer.send(Buffer.alloc(3_000_000));
      peer.send('after it');
      const message = (await ws.receive())!;
      await drop(message);
      expect(await (await ws.receive())?.text()).toBe('after it');
    }
    const [waiting, writer] = [ws.receive(), peer.createWriter('binary')];
    await writer.write('begun');
    const message = (await waiting)!;
    const chunks = message[Symbol.asyncIterator]();
    expect(String((await chunks.next()).value)).toBe('begun');
    const pending = chunks.next();
    await expect(chunks.next()).rejects.toThrow('twice at once');
    message.cancel();
    await expect(pending).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
    await expect(chunks.next()).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
    await writer.end('dropped');
    peer.send('next');
    expect(await (await ws.receive())?.text()).toBe('next');
    ws.terminate();
  });

  test('receive() ahead of a read that is under way does not cut it off; cancel() rejects it', async () => {
    const [ws, peer] = await pair(role);
    const writer = peer.createWriter('text');
    await writer.write('in ');
    const text = (await ws.receive())!.text();
    const next = ws.receive();
    await writer.end('two parts');
    peer.send('next');
    expect([await text, await (await next)?.text()]).toEqual(['in two parts', 'next']);
    const another = peer.createWriter('text');
    await another.write('never read');
    const message = (await ws.receive())!;
    const bytes = message.bytes();
    message.cancel();
    await expect(bytes).rejects.toThrow('cancelled');
    ws.terminate();
  });

  test('a message that is dropped unread is bounded by maxMessageSize', async () => {
    const [ws, peer] = await pair(role, { options: { maxMessageSize: 100_000 } }, {});
    peer.resume();
    const writer = peer.createWriter('binary');
    await writer.write(Buffer.alloc(70_000));
    await ws.receive();
    const next = ws.receive();
    await writer.end(Buffer.alloc(70_000)).catch(() => {});
    await expect(next).rejects.toMatchObject({ closeCode: 1009 });
    expect((await peer.closed).code).toBe(1009);
  });

  test('maxMessageSize bounds what is collected, not what is iterated over; maxStreamSize bounds that', async () => {
    const options = { maxMessageSize: 1000, maxStreamSize: 2000 };
    for (const collect of ['text', 'bytes', 'json', 'arrayBuffer'] as const) {
      for (const size of [1001, 1500]) {
        const [ws, peer] = await pair(role, { options }, {});
        peer.send('x'.repeat(size));
        peer.resume();
        await expect((await ws.receive())![collect]()).rejects.toMatchObject({
          code: 'ERR_MESSAGE_TOO_BIG',
          closeCode: 1009,
        });
        expect((await peer.closed).code).toBe(1009);
      }
    }
    const [ws, peer] = await rawPair(role, { options });
    peer.send(2, Buffer.alloc(1000));
    expect((await (await ws.receive())!.bytes()).length).toBe(1000);
    peer.send(2, Buffer.alloc(1500), { fin: false }).send(0, Buffer.alloc(500));
    let read = 0;
    for await (const chunk of (await ws.receive())!) read += chunk.length;
    expect(read).toBe(2000);
    peer.send(2, Buffer.alloc(600), { fin: false });
    const collected = (await ws.receive())!.bytes();
    peer.send(0, Buffer.alloc(600));
    await expect(collected).rejects.toMatchObject({ closeCode: 1009 });
    peer.socket.end();
    await ws.closed;
    const [streamed, other] = await rawPair(role, { options });
    other.send(2, Buffer.alloc(2001));
    await expect(streamed.receive()).rejects.toMatchObject({ closeCode: 1009 });
    other.socket.end();
    await streamed.closed;
    const [listened, third] = await rawPair(role, { options });
    third.send(2, Buffer.alloc(1001));
    await turns(10);
    const failed = once(listened, 'error');
    await turns();
    listened.on('message', () => {});
    expect(await failed).toEqual([expect.objectContaining({ closeCode: 1009 })]);
    third.socket.end();
    await listened.closed;
  });

  describe('maxMessageSize 1000, maxStreamSize 2000: the next message, iterated over, may have', () => {
    async function limited(): Promise<Awaited<ReturnType<typeof rawPair>>> {
      return rawPair(role, { options: { maxMessageSize: 1000, maxStreamSize: 2000 } });
    }
    async function expectStream(message: Promise<MessageReader | null>, size: number): Promise<void> {
      let read = 0;
      for await (const chunk of (await message)!) read += chunk.length;
      expect(read).toBe(size);
    }

    test.each(['text', 'bytes'] as const)(
      '2000 bytes after %s() of one that came in parts',
      async (collect) => {
        const [ws, peer] = await limited();
        peer.send(1, 'hel', { fin: false });
        const collected = (await ws.receive())![collect]();
        peer.send(0, 'lo');
        expect(Buffer.from(await collected).toString()).toBe('hello');
        for (const size of [1500, 2000]) {
          peer.send(2, Buffer.alloc(size));
          await expectStream(ws.receive(), size);
        }
        peer.send(2, Buffer.alloc(2001));
        await expect(ws.receive()).rejects.toMatchObject({ closeCode: 1009 });
        peer.socket.end();
        await ws.closed;
      },
    );

    test.each(['receive()', 'cancel()'] as const)(
      '2000 bytes after one that was received whole, and dropped unread by %s',
      async (drop) => {
        const [ws, peer] = await limited();
        peer.send(1, 'whole').send(9, 'after it');
        const dropped = (await ws.receive())!;
        await peer.until(({ frames }) => frames.length === 1);
        if (drop === 'cancel()') dropped.cancel();
        const next = ws.receive();
        peer.send(2, Buffer.alloc(2000));
        await expectStream(next, 2000);
        ws.terminate();
      },
    );
  });

  test('[F-15] §8.1 text that is streamed fails at its first bad byte', async () => {
    const [ws, peer] = await rawPair(role);
    peer.send(1, 'good', { fin: false });
    const chunks = (await ws.receive())![Symbol.asyncIterator]();
    expect(String((await chunks.next()).value)).toBe('good');
    const next = chunks.next();
    peer.socket.write(frameTo(role, 0, Buffer.from('ff', 'hex'), { fin: false, length: 1000n }));
    await expect(next).rejects.toMatchObject({ code: 'ERR_INVALID_PAYLOAD', closeCode: 1007 });
    peer.socket.end();
    await ws.closed;
  });

  test('[P-50] how messages are consumed is fixed by the first use', async () => {
    const [events, first] = await pair(role);
    events.once('message', () => {});
    await expect(events.receive()).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
    expect(() => events[Symbol.asyncIterator]()).toThrow('consumed by');
    const [pulled, second] = await pair(role);
    const waiting = pulled.receive();
    for (const add of ['on', 'once', 'addListener', 'prependListener', 'prependOnceListener'] as const) {
      expect(() => pulled[add]('message', () => {})).toThrow('receive() or iteration');
    }
    expect(() => pulled.resume()).toThrow('receive() or iteration');
    second.send('still works');
    expect(await (await waiting)?.text()).toBe('still works');
    for (const ws of [events, first, pulled, second]) ws.terminate();
  });

  test('[P-51] nothing is lost before the first use, however late it is', async () => {
    for (const use of ['message', 'receive'] as const) {
      const [ws, peer] = await rawPair(role);
      for (let i = 0; i < 100; i++) peer.send(1, `message ${i}`);
      await turns(20);
      const got: string[] = [];
      if (use === 'message') {
        const done = new Promise<void>((resolve) => {
          ws.on('message', (data) => {
            got.push(String(data));
            if (got.length === 100) resolve();
          });
        });
        await done;
      } else {
        for (let i = 0; i < 100; i++) got.push((await (await ws.receive())?.text()) ?? '');
      }
      expect(got).toEqual(Array.from({ length: 100 }, (_, i) => `message ${i}`));
      ws.terminate();
    }
  });

  test('the bytes read behind the handshake come first', async () => {
    const [first, second] = await sockets();
    const [socket, other] = role === 'server' ? [first, second] : [second, first];
    const { WebSocketConnection, resolveConnectionOptions } = await import('../../src/index.js');
    const ws = new WebSocketConnection(socket, {
      role,
      options: resolveConnectionOptions(),
      head: frameTo(role, 1, 'from the head'),
    });
    other.write(frameTo(role, 1, 'from the socket'));
    expect(await (await ws.receive())?.text()).toBe('from the head');
    expect(await (await ws.receive())?.text()).toBe('from the socket');
    ws.terminate();
    other.destroy();
    await ws.closed;
    expect(
      () =>
        new WebSocketConnection(socket, {
          role,
          options: resolveConnectionOptions(),
          extensions: [makeXor(), makeXor()],
        }),
    ).toThrow(TypeError);
  });

  test('[P-53] pause() and resume() hold the flow of events', async () => {
    const [ws, peer] = await rawPair(role);
    const got: string[] = [];
    ws.on('message', (data) => {
      got.push(String(data));
      if (data === '2') ws.pause();
    });
    for (let i = 0; i < 5; i++) peer.send(1, String(i));
    await turns(20);
    expect(got).toEqual(['0', '1', '2']);
    ws.resume();
    await turns(20);
    expect(got).toEqual(['0', '1', '2', '3', '4']);
    ws.terminate();
  });

  test('pause() before a listener is added holds its messages', async () => {
    const [ws, peer] = await rawPair(role);
    const got: string[] = [];
    ws.pause();
    ws.on('message', (data) => got.push(String(data)));
    peer.send(9, 'p').send(1, 'held');
    await peer.until(({ frames }) => frames.length === 1);
    await turns(20);
    expect(got).toEqual([]);
    const first = once(ws, 'message');
    ws.resume();
    await first;
    expect(got).toEqual(['held']);
    ws.terminate();
  });

  test.each(['by its listener', 'before it has a listener'])(
    '[L-09] paused %s: a few buffers are read in front of it, the rest after resume()',
    async (when) => {
      const total = 100;
      const message = frameTo(role, 2, Buffer.alloc(64 * 1024));
      let taken = 0;
      const stream = new Duplex({
        read() {
          if (taken < total) this.push(Buffer.from(message));
          taken++;
        },
        write: (_chunk, _encoding, done) => done(),
      });
      const ws = open(stream, role);
      let got = 0;
      const paused = when === 'by its listener' ? 1 : 0;
      if (paused === 0) ws.pause();
      ws.on('message', () => {
        got++;
        if (got === paused) ws.pause();
        if (got === total) ws.terminate();
      });
      await turns(50);
      expect(got).toBe(paused);
      expect(taken).toBeLessThan(8);
      ws.resume();
      await ws.closed;
      expect(got).toBe(total);
    },
  );

  test('resume() without a listener reads and drops', async () => {
    const [ws, peer] = await rawPair(role);
    ws.resume();
    peer.send(1, 'dropped').send(9, 'p');
    await peer.until(({ frames }) => frames.length === 1);
    ws.on('message', (data) => ws.send(data));
    peer.send(1, 'echoed');
    await peer.until(({ frames }) => frames.length === 2);
    expect(peer.frames[1]!.payload.toString()).toBe('echoed');
    ws.terminate();
  });

  test('[X-11] [P-16] [P-56] a second receive() while one waits rejects; the signal stops the first', async () => {
    const [ws, peer] = await pair(role);
    const controller = new AbortController();
    const aborted = ws.receive({ signal: controller.signal });
    await expect(ws.receive()).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await expect(ws.receive({ signal: controller.signal })).rejects.toThrow('enough');
    const ahead = ws.receive();
    peer.send('one');
    peer.send('two');
    expect(await (await ahead)?.text()).toBe('one');
    expect(await (await ws.receive())?.text()).toBe('two');
    const last = ws.receive();
    peer.resume();
    void peer.close();
    expect(await last).toBe(null);
    expect(await ws.receive()).toBe(null);
    for await (const message of ws) throw new Error(`Unexpected ${message.type}`);
  });

  test('[X-11] [P-55] receive() waits while a message is read, until it is read, cancelled or left', async () => {
    const [ws, peer] = await pair(role);
    const ends: ((chunks: AsyncIterableIterator<Buffer>, message: MessageReader) => unknown)[] = [
      async (chunks) => {
        while (!(await chunks.next()).done);
      },
      (_, message) => message.cancel(),
      (chunks) => chunks.return!(),
    ];
    for (const end of ends) {
      const writer = peer.createWriter('text');
      await writer.write('first, ');
      const message = (await ws.receive())!;
      const chunks = message[Symbol.asyncIterator]();
      expect(String((await chunks.next()).value)).toBe('first, ');
      await writer.end('second');
      peer.send('next');
      let received: MessageReader | null = null;
      const next = ws.receive().then((reader) => {
        received = reader;
        return reader;
      });
      await turns(10);
      expect(received).toBe(null);
      await end(chunks, message);
      expect(await (await next)?.text()).toBe('next');
    }
    ws.terminate();
  });

  test('[X-11] stream() and an iterator begin a message, before they are asked for the first chunk', async () => {
    const [ws, peer] = await pair(role);
    for (const by of ['stream', 'iterator'] as const) {
      peer.send('first');
      peer.send('next');
      const message = (await ws.receive())!;
      const chunks = by === 'stream' ? message.stream().values() : message[Symbol.asyncIterator]();
      const next = ws.receive();
      await turns(10);
      let text = '';
      for await (const chunk of { [Symbol.asyncIterator]: () => chunks })
        text += Buffer.from(chunk).toString();
      expect(text).toBe('first');
      expect(await (await next)?.text()).toBe('next');
    }
    ws.terminate();
  });

  test('[X-11] [P-54] a message never begun is discarded by the next receive(), and reading it later rejects', async () => {
    const [ws, peer] = await pair(role);
    for (const text of ['one', 'two', 'x'.repeat(200_000), 'four']) peer.send(text);
    const skipped = (await ws.receive())!;
    const second = (await ws.receive())!;
    await expect(skipped.text()).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
    expect(await second.text()).toBe('two');
    const large = (await ws.receive())!;
    expect(await (await ws.receive())?.text()).toBe('four');
    await expect(large[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'ERR_CONSUMPTION' });
    ws.terminate();
  });

  test('leaving the loop over messages leaves the connection open', async () => {
    const [ws, peer] = await pair(role);
    peer.send('one');
    peer.send('two');
    for await (const message of ws) {
      expect(await message.text()).toBe('one');
      break;
    }
    expect(await (await ws.receive())?.text()).toBe('two');
    expect(ws.state).toBe('open');
    ws.terminate();
  });

  test('[P-65] a view stays as it is for as long as it is held', async () => {
    const [ws, peer] = await rawPair(role);
    const views: Buffer[] = [];
    ws.on('message', (data) => views.push(data as Buffer));
    for (let i = 0; i < 300; i++) peer.send(2, Buffer.alloc(500, i));
    while (views.length < 300) await turns(1);
    for (const [i, view] of views.entries()) expect(view.equals(Buffer.alloc(500, i))).toBe(true);
    ws.terminate();
  });

  test('an extension whose decoder returns a string fails the connection with 1011', async () => {
    const extension = makeXor();
    extension.decoder.read = () => 'text' as never;
    const [ws, peer] = await rawPair(role, { extension: () => extension });
    const errors: Error[] = [];
    const got: unknown[] = [];
    ws.on('error', (error) => errors.push(error));
    ws.on('message', (data) => got.push(data));
    peer.send(1, 'abc', { rsv: 0x40 });
    await peer.until(({ frames }) => frames.length === 1);
    expect(peer.frames[0]!.payload.readUInt16BE()).toBe(1011);
    peer.socket.end();
    await ws.closed;
    expect(got).toEqual([]);
    expect(errors).toMatchObject([{ name: 'TypeError', message: expect.stringContaining('x-xor') }]);
  });

  test('an extension that works elsewhere: reading pauses meanwhile, and messages come in order', async () => {
    const [ws, peer] = await pair(role, { extension: () => makeXor(true) });
    for (let i = 0; i < 5; i++) peer.send(`message ${i}`);
    for (let i = 0; i < 5; i++) expect(await (await ws.receive())?.text()).toBe(`message ${i}`);
    await Promise.all([peer.close(), ws.closed]);
    const broken = () => ({
      ...makeXor(),
      decoder: {
        ...makeXor().decoder,
        read: (): null => {
          throw new Error('of the codec');
        },
      },
    });
    const [failing, other] = await rawPair(role, { extension: broken });
    other.send(1, 'abc', { rsv: 0x40 });
    await expect(failing.receive()).rejects.toThrow('of the codec');
    await other.until(({ frames }) => frames.length === 1);
    expect(other.frames[0]!.payload.readUInt16BE()).toBe(1011);
    other.socket.end();
    await failing.closed;
  });

  test('[F-09] a frame that claims 100 MiB and sends one byte allocates nothing for it', async () => {
    const [ws, peer] = await rawPair(role, { options: { maxMessageSize: Number.POSITIVE_INFINITY } });
    ws.on('message', () => {});
    const before = process.memoryUsage().arrayBuffers;
    peer.send(2, 'x', { length: 100n * 1024n * 1024n }).send(2);
    await turns(20);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
    ws.terminate();
  });

  test('[F-12] a frame of 1 MiB in writes of 1 byte retains at most twice its bytes', async () => {
    const { Duplex } = await import('node:stream');
    const stream = new Duplex({ read() {}, write: (_c, _e, done) => done() });
    const ws = open(stream, role);
    let message: Buffer | string | undefined;
    ws.on('message', (data) => {
      message = data;
    });
    const bytes = frameTo(role, 2, Buffer.alloc(1024 * 1024, 'abc'));
    // A first collection may leave buffers that a later one frees
    const collected = async (): Promise<number> => {
      for (let i = 0; i < 3; i++) {
        globalThis.gc!();
        await turns(2);
      }
      return process.memoryUsage().arrayBuffers;
    };
    const before = await collected();
    for (let i = 0; i < bytes.length - 1; i++) stream.push(Buffer.from(bytes.subarray(i, i + 1)));
    // A chunk that the stream has not emitted yet is the test's own: each takes 8 bytes of the Buffer pool
    while (stream.readableLength > 0) await turns(1);
    await turns(5);
    expect((await collected()) - before).toBeLessThan(2 * 1024 * 1024 + 512 * 1024);
    stream.push(bytes.subarray(-1));
    while (message === undefined) await turns(1);
    expect(Buffer.alloc(1024 * 1024, 'abc').equals(message as Buffer)).toBe(true);
    ws.terminate();
  });
});

describe('[F-11] [F-13] [F-14] one peer', () => {
  /** A server whose other connections have to be served meanwhile. */
  async function serve(consume: 'message' | 'receive') {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    let count = 0;
    server.on('connection', async (ws) => {
      if (consume === 'message') {
        ws.on('message', (data) => {
          count++;
          if (data.length > 0) ws.send(data);
        });
      } else {
        for await (const message of ws) {
          count++;
          const data = await message.bytes();
          if (data.length > 0) ws.send(data);
        }
      }
    });
    const { port } = server.address() as { port: number };
    const other = await connect(`ws://127.0.0.1:${port}`);
    const echo = async (): Promise<number> => {
      const begun = performance.now();
      other.send('prompt');
      await (await other.receive())?.text();
      return performance.now() - begun;
    };
    await echo();
    return { server, port, echo, count: () => count };
  }

  test.each([
    ['message', 1_000_000],
    // A promise for each
    ['receive', 200_000],
  ] as const)(
    '[F-14] sends empty frames in one buffer: others are served meanwhile (%s, %i frames)',
    async (consume, total) => {
      const { server, echo, count } = await serve(consume);
      const { Duplex } = await import('node:stream');
      const stream = new Duplex({ read() {}, write: (_c, _e, done) => done() });
      const ws = open(stream, 'server');
      let got = 0;
      if (consume === 'message') ws.on('message', () => got++);
      else
        void (async () => {
          for (;;) {
            const message = await ws.receive();
            if (message === null) break;
            got++;
          }
        })().catch(() => {});
      stream.push(Buffer.alloc(6 * total, frameTo('server', 2)));
      await turns(2);
      expect(got).toBeLessThan(total);
      const waits: number[] = [];
      while (got < total) waits.push(await echo());
      expect(waits.length).toBeGreaterThan(3);
      expect(Math.max(...waits)).toBeLessThan(1000);
      expect(count()).toBeGreaterThan(3);
      ws.terminate();
      await server.close();
    },
  );

  test('[F-11] [F-13] sends floods of tiny and empty fragments on 50 connections: memory stays in proportion, others are served', async () => {
    const { server, port, echo } = await serve('message');
    const flood = Buffer.concat([
      frameTo('server', 2, 'x', { fin: false }),
      Buffer.alloc(7 * 20_000, frameTo('server', 0, 'x', { fin: false })),
    ]);
    const empty = Buffer.concat([
      frameTo('server', 2, '', { fin: false }),
      Buffer.alloc(6 * 20_000, frameTo('server', 0, '', { fin: false })),
    ]);
    const clients = await Promise.all(Array.from({ length: 50 }, () => connect(`ws://127.0.0.1:${port}`)));
    await Promise.all(clients.map((ws) => ws.close()));
    const raws = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const { RawClient, requestText } = await import('../server/raw.js');
        const client = await RawClient.connect(port);
        client.write(requestText());
        await once(client.socket, 'data');
        return client;
      }),
    );
    const before = process.memoryUsage().arrayBuffers;
    for (const [i, client] of raws.entries()) client.write(i % 2 === 0 ? flood : empty);
    while (raws.some(({ socket }) => socket.writableLength > 0)) await turns(1);
    expect(await echo()).toBeLessThan(2000);
    globalThis.gc!();
    // 25 messages of 20,001 bytes are unfinished, and 25 of none; the rest is receive buffers of the moment
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(25 * 2 * 20_001 + 40 * 1024 * 1024);
    for (const client of raws) client.socket.destroy();
    await server.close();
  });
});

describe.each(roles)('what comes to a %s when the turn is used up', (role) => {
  async function lateComer(): Promise<{ stream: Duplex; log: unknown[]; ended: Promise<unknown> }> {
    const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
    const ws = open(stream, role);
    const log: unknown[] = [];
    vi.spyOn(stream, 'pause').mockImplementation(function (this: Duplex) {
      log.push('pause');
      return Duplex.prototype.pause.call(this);
    });
    ws.on('message', (data) => log.push(data));
    ws.on('close', ({ code, wasClean }) => log.push(code, wasClean));
    await turns(2);
    log.length = 0;
    while (!sliceOver(0, true));
    return { stream, log, ended: once(ws, 'close') };
  }

  test('waits, while it is little, in front of the end, and without an end to reading', async () => {
    const { stream, log, ended } = await lateComer();
    stream.push(frameTo(role, 1, 'one'));
    stream.push(null);
    await once(stream, 'end');
    expect(log).toEqual([]);
    await ended;
    expect(log).toEqual(['one', 1006, false]);
  });

  test('waits in front of the end of the closing handshake, too', async () => {
    const { stream, log, ended } = await lateComer();
    const close = frameTo(role, 8, Buffer.from('03e8', 'hex'));
    stream.push(Buffer.concat([frameTo(role, 1, 'one'), close]));
    stream.push(null);
    await ended;
    expect(log).toEqual(['one', 1000, true]);
  });

  test('is read no more when more of it comes, until all has had its turn', async () => {
    const { stream, log, ended } = await lateComer();
    const large = 'two'.repeat(3000);
    stream.push(frameTo(role, 1, 'one'));
    stream.push(frameTo(role, 1, large));
    await new Promise((resolve) => process.nextTick(resolve));
    expect(log).toEqual(['pause']);
    // Each of them may have to wait for its turn
    const rest = (): unknown[] => log.filter((event) => event !== 'pause');
    while (rest().length < 2) await turns(1);
    expect(rest()).toEqual(['one', large]);
    while (stream.isPaused()) await turns(1);
    stream.push(null);
    await ended;
    expect(rest().slice(2)).toEqual([1006, false]);
  });
});
