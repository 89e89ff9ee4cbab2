import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ConnectionClosedError, prepareMessage } from '../../src/index.js';
import { frameTo, parse, roles, sizes } from '../support/frames.js';
import { checkNothingLeft } from '../support/nothing-left.js';
import { asSocket, open, pair, rawPair, turns } from '../support/wire.js';
import { makeXor } from '../support/xor.js';

checkNothingLeft();

/** A stream that keeps what is written, and lets it leave when told to. */
class Slow extends Duplex {
  readonly writes: Buffer[] = [];
  held = false;
  #callback: (() => void) | null = null;

  override _read(): void {}

  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    this.writes.push(Buffer.concat(chunks.map(({ chunk }) => chunk)));
    if (this.held) this.#callback = callback;
    else callback();
  }

  override _write(chunk: Buffer, _: string, callback: () => void): void {
    this._writev([{ chunk }], callback);
  }

  release(): void {
    const callback = this.#callback;
    this.#callback = null;
    callback?.();
  }

  get sent(): Buffer {
    return Buffer.concat(this.writes);
  }
}
asSocket(Slow.prototype);

describe.each(roles)('a %s', (role) => {
  test('[S-01] [P-83] what cannot be sent throws or rejects, and nothing is sent', async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    for (const wrong of [5, null, undefined, {}, true, Symbol('s')]) {
      expect(() => ws.send(wrong as never)).toThrow(TypeError);
      expect(() => ws.send(wrong as never, { type: 'text' })).toThrow(TypeError);
    }
    expect(() => ws.send('a', { type: 'blob' as never })).toThrow(TypeError);
    expect(() => ws.send(Buffer.from([0xff]), { type: 'text' })).toThrow(TypeError);
    expect(() => ws.createWriter('x' as never)).toThrow(TypeError);
    expect(() => ws.pong(Buffer.alloc(126))).toThrow(RangeError);
    expect(() => ws.pong(5 as never)).toThrow(TypeError);
    expect(() => prepareMessage(5 as never)).toThrow(TypeError);
    await expect(ws.ping(Buffer.alloc(126))).rejects.toThrow(RangeError);
    await expect(ws.ping('é'.repeat(63))).rejects.toThrow(RangeError);
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
      await expect(ws.close(code)).rejects.toThrow(RangeError);
    await expect(ws.close(1000, 'x'.repeat(124))).rejects.toThrow(RangeError);
    await expect(ws.close(1000, 'é'.repeat(62))).rejects.toThrow(RangeError);
    await turns();
    expect([ws.state, stream.sent.length]).toEqual(['open', 0]);
    ws.terminate();
  });

  test('[S-02] [P-25] every kind of view at every offset is sent as exactly its bytes', async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    await expect(ws.close(1000, new Float32Array(20) as never)).rejects.toThrow(TypeError);
    const store = Uint8Array.from({ length: 64 }, (_, i) => i + 1).buffer;
    const shared = new SharedArrayBuffer(5);
    new Uint8Array(shared).fill(7);
    const views = [
      new Uint8Array(store, 3, 5),
      new Int8Array(store, 1, 2),
      new Uint16Array(store, 2, 3),
      new Float32Array(store, 4, 2),
      new Float64Array(store, 8, 1),
      new BigInt64Array(store, 16, 2),
      new DataView(store, 5, 6),
      Buffer.from(store, 9, 11),
      store,
      shared,
      new Uint8Array(0),
    ];
    const bytes = (view: ArrayBufferView | ArrayBufferLike): Buffer =>
      ArrayBuffer.isView(view)
        ? Buffer.from(view.buffer, view.byteOffset, view.byteLength)
        : Buffer.from(view);
    for (const view of views) {
      ws.send(view as ArrayBuffer);
      ws.pong(view as ArrayBuffer);
      ws.ping(view as ArrayBuffer).catch(() => {});
      await ws.createWriter('binary').end(view as ArrayBuffer);
    }
    await turns();
    expect(parse(stream.sent).map(({ opcode, payload }) => [opcode, payload.toString('hex')])).toEqual(
      views.flatMap((view) => [2, 10, 9, 2].map((opcode) => [opcode, bytes(view).toString('hex')])),
    );
    ws.terminate();
  });

  test('[S-02] [P-25] [P-27] text is sent as UTF-8, from a string or from bytes; binary from a string, too', async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    ws.send('é');
    ws.send(Buffer.from('é'), { type: 'text' });
    ws.send('é', { type: 'binary' });
    ws.send('plain', {});
    ws.ping('ü').catch(() => {});
    await turns();
    expect(parse(stream.sent).map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([
      [1, 'é'],
      [1, 'é'],
      [2, 'é'],
      [1, 'plain'],
      [9, 'ü'],
    ]);
    ws.terminate();
  });

  test('[S-04] [P-29] a peer that never reads: send() returns false, and who goes on has the connection failed', async () => {
    const stream = new Slow();
    stream.held = true;
    const ws = open(stream, role, { options: { highWaterMark: 1000, maxBufferedAmount: 5000 } });
    const errors: unknown[] = [];
    ws.on('error', (error) => errors.push(error));
    const waiting = ws.drained();
    expect(ws.send('a'.repeat(900))).toBe(true);
    const drained = ws.drained();
    expect(ws.send('b'.repeat(20_000))).toBe(false);
    await turns();
    expect(ws.state).toBe('open');
    expect(ws.bufferedAmount).toBeGreaterThan(20_900);
    expect(ws.send('c')).toBe(false);
    await expect(drained).rejects.toMatchObject({ code: 1006, cause: { code: 'ERR_SEND_QUEUE_FULL' } });
    await waiting;
    expect(await ws.closed).toEqual({ code: 1006, reason: '', wasClean: false });
    expect(errors).toEqual([expect.objectContaining({ code: 'ERR_SEND_QUEUE_FULL' })]);
  });

  test('[S-04] a peer that never reads: a writer waits, and what it holds is one chunk', async () => {
    const stream = new Slow();
    stream.held = true;
    const ws = open(stream, role, { options: { maxBufferedAmount: 5000 } });
    let written = 0;
    const sending = ws.sendStream(
      (function* () {
        for (let i = 0; i < 50; i++) {
          written++;
          yield Buffer.alloc(1000, i);
        }
      })(),
    );
    await turns(10);
    expect([written, ws.bufferedAmount < 1100]).toEqual([1, true]);
    for (let i = 0; i < 60; i++) {
      stream.release();
      await turns();
    }
    await sending;
    const frames = parse(stream.sent);
    expect(Buffer.concat(frames.map((frame) => frame.payload)).length).toBe(50_000);
    expect(frames.map((frame) => [frame.opcode, frame.fin])).toEqual(
      Array.from({ length: 51 }, (_, i) => [i === 0 ? 2 : 0, i === 50]),
    );
    ws.terminate();
  });

  test('frames of one tick leave in one write, one frame alone leaves in its tick', async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    for (let i = 0; i < 64; i++) ws.send(`message ${i}`);
    ws.ping().catch(() => {});
    expect(stream.writes.length).toBe(0);
    await Promise.resolve();
    await new Promise((resolve) => process.nextTick(resolve));
    expect([stream.writes.length, parse(stream.sent).length]).toEqual([1, 65]);
    ws.send('alone');
    await new Promise((resolve) => process.nextTick(resolve));
    expect(stream.writes.length).toBe(2);
    ws.terminate();
  });

  test('answers to one batch of input leave in one write, unless others have a turn meanwhile', async () => {
    // Before all time: the slice that all connections share does not end within the batch
    vi.spyOn(performance, 'now').mockReturnValue(0);
    onTestFinished(() => void vi.restoreAllMocks());
    const stream = new Slow();
    const ws = open(stream, role);
    ws.on('message', (data) => ws.send(data));
    stream.push(
      Buffer.concat(Array.from({ length: 50 }, (_, i) => frameTo(role, i % 5 === 4 ? 9 : 1, `${i}`))),
    );
    await turns();
    expect(stream.writes.length).toBe(1);
    expect(parse(stream.sent).map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual(
      Array.from({ length: 50 }, (_, i) => [i % 5 === 4 ? 10 : 1, `${i}`]),
    );
    ws.terminate();
  });

  test('[F-20] §5.5.3 a flood of Pings from a peer that does not read is answered once, and the queue stays small', async () => {
    const stream = new Slow();
    stream.held = true;
    const ws = open(stream, role);
    ws.send('held back by the system');
    await turns();
    let pings = 0;
    ws.on('ping', () => pings++);
    for (let i = 0; i < 20_000; i++) stream.push(frameTo(role, 9, `ping ${i}`));
    while (pings < 20_000) await turns();
    expect(ws.bufferedAmount).toBeLessThan(100);
    stream.held = false;
    stream.release();
    await turns();
    expect(parse(stream.sent).map(({ payload }) => payload.toString())).toEqual([
      'held back by the system',
      'ping 19999',
    ]);
    ws.terminate();
  });

  test("§5.5.3 a Pong has the payload of its Ping, also when a 'ping' listener changes that before it leaves", async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    ws.on('ping', (payload) => payload.fill('x'));
    stream.push(frameTo(role, 9, 'sent at once'));
    await turns();
    stream.held = true;
    ws.send('held back by the system');
    await turns();
    stream.push(frameTo(role, 9, 'sent after it'));
    await turns();
    stream.held = false;
    stream.release();
    await turns();
    expect(parse(stream.sent).map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([
      [10, 'sent at once'],
      [1, 'held back by the system'],
      [10, 'sent after it'],
    ]);
    ws.terminate();
  });

  test('[S-02] §5.5.2 a buffer that changes after ping() and pong(): its bytes at the call are sent, and their Pong awaited', async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    const bytes = new Uint8Array(4);
    for (const data of [bytes, bytes.buffer, new DataView(bytes.buffer)]) {
      bytes.fill(1);
      const latency = ws.ping(data);
      ws.pong(data);
      bytes.fill(2);
      await turns();
      const sent = parse(stream.sent).slice(-2);
      expect(sent.map(({ opcode, payload }) => [opcode, payload.toString('hex')])).toEqual([
        [9, '01010101'],
        [10, '01010101'],
      ]);
      stream.push(frameTo(role, 10, sent[0]!.payload));
      expect(await Promise.race([latency, turns().then(() => 'no Pong')])).toEqual(expect.any(Number));
    }
    ws.terminate();
  });

  test('what others wrote into the stream, such as the response of the handshake, holds nothing up', async () => {
    const stream = new Slow();
    stream.held = true;
    stream.write('HTTP/1.1 101 ...');
    const ws = open(stream, role);
    ws.send('behind the response');
    await turns();
    stream.held = false;
    stream.release();
    await turns();
    expect(parse(stream.writes[1]!)).toMatchObject([{ payload: Buffer.from('behind the response') }]);
    expect(ws.bufferedAmount).toBe(0);
    ws.terminate();
  });

  test('[P-29] [P-30] [P-31] drain and drained() tell when everything has left', async () => {
    const stream = new Slow();
    stream.held = true;
    const ws = open(stream, role, { options: { highWaterMark: 100 } });
    const drains: number[] = [];
    ws.on('drain', () => drains.push(ws.bufferedAmount));
    expect(ws.send('x'.repeat(200))).toBe(false);
    await turns();
    expect(ws.send('more')).toBe(false);
    const drained = ws.drained();
    stream.release();
    await turns();
    expect(drains).toEqual([]);
    stream.release();
    await drained;
    expect([drains, ws.bufferedAmount]).toEqual([[0], 0]);
    await ws.drained();
    ws.terminate();
  });

  test.each(sizes)(
    '[P-19] [P-26] a writer sends %i bytes as fragments, other messages wait behind it in order, Pings do not',
    async (size) => {
      const stream = new Slow();
      const ws = open(stream, role);
      const writer = ws.createWriter('binary');
      const second = ws.createWriter('text');
      ws.send('between');
      ws.send(new Blob(['of a ', 'blob']));
      ws.send(prepareMessage('prepared'));
      expect(ws.bufferedAmount).toBe(7 + 9 + 8);
      const late = second.end('second writer');
      await writer.write(Buffer.alloc(size, 'a'));
      ws.pong('in between');
      await writer.write('text as bytes');
      await writer.end();
      await late;
      await ws.drained();
      expect(parse(stream.sent).map(({ opcode, fin, payload }) => [opcode, fin, payload.toString()])).toEqual(
        [
          [2, false, 'a'.repeat(size)],
          [10, true, 'in between'],
          [0, false, 'text as bytes'],
          [0, true, ''],
          [1, true, 'second writer'],
          [1, true, 'between'],
          [2, true, 'of a blob'],
          [1, true, 'prepared'],
        ],
      );
      await expect(writer.write('late')).rejects.toThrow(TypeError);
      await expect(writer.end()).rejects.toThrow(TypeError);
      ws.terminate();
    },
  );

  test('§5.5.2 a Ping of the peer is answered while a writer has its message open', async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    ws.resume();
    const writer = ws.createWriter('text');
    await writer.write('begun, ');
    stream.push(frameTo(role, 9, 'inside'));
    await once(ws, 'ping');
    await writer.end('ended');
    expect(parse(stream.sent).map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([
      [1, 'begun, '],
      [10, 'inside'],
      [0, 'ended'],
    ]);
    ws.terminate();
  });

  test('§8.1 text may be written as strings and as bytes, cut anywhere', async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    const writer = ws.createWriter('text');
    await writer.write('a\ud83d');
    await writer.write('\ude00b');
    await writer.write(Buffer.from('é').subarray(0, 1));
    await writer.write(Buffer.from('é').subarray(1));
    await writer.end('\ud800');
    expect(Buffer.concat(parse(stream.sent).map(({ payload }) => payload)).toString()).toBe('a😀bé\ufffd');
    ws.terminate();
  });

  test('§8.1 bytes that are no text give a text message up, with nothing wrong sent', async () => {
    for (const write of [[Buffer.from([0xff])], [Buffer.from([0xc3]), 'a'], ['ok', Buffer.from([0xc3])]]) {
      const stream = new Slow();
      const ws = open(stream, role, { options: { closeTimeout: 20 } });
      const writer = ws.createWriter('text');
      const results = await Promise.allSettled([...write.map((chunk) => writer.write(chunk)), writer.end()]);
      expect(
        results.some(
          ({ status, reason }: { status: string; reason?: unknown }) =>
            status === 'rejected' && reason instanceof TypeError,
        ),
      ).toBe(true);
      expect(parse(stream.sent).every(({ payload, opcode }) => opcode === 8 || !payload.includes(0xff))).toBe(
        true,
      );
      ws.terminate();
      await ws.closed;
    }
  });

  test('[X-02] §5.4 abort() before the first fragment lets others go on, after it the connection closes with 1011', async () => {
    const stream = new Slow();
    const ws = open(stream, role);
    const idle = ws.createWriter('text');
    ws.send('waits');
    await turns();
    idle.abort();
    idle.abort();
    await expect(idle.write('late')).rejects.toThrow('was aborted');
    await ws.drained();
    expect(parse(stream.sent).map(({ payload }) => payload.toString())).toEqual(['waits']);
    {
      await using scoped = ws.createWriter('binary');
      expect(scoped.type).toBe('binary');
    }
    const writer = ws.createWriter('text');
    await writer.write('begun');
    ws.send('behind it');
    writer.abort(new Error('no more'));
    await expect(writer.end()).rejects.toThrow('no more');
    await turns();
    const close = parse(stream.sent).at(-1)!;
    expect([close.opcode, close.payload.readUInt16BE()]).toEqual([8, 1011]);
    expect(ws.send('late')).toBe(false);
    ws.terminate();
  });

  test.each(['drained()', 'drain'])(
    '[P-29] [P-30] who waits by %s after false may send one message of any size, though nothing was queued',
    async (by) => {
      const stream = new Slow();
      const ws = open(stream, role, { options: { maxBufferedAmount: 1024 * 1024 } });
      ws.resume();
      for (let i = 0; i < 5; i++) {
        while (ws.send(Buffer.alloc(65_536)));
        expect(ws.bufferedAmount).toBe(0);
        if (by === 'drain') await once(ws, 'drain');
        else await ws.drained();
        stream.held = true;
        expect(ws.send(Buffer.alloc(4 * 1024 * 1024))).toBe(false);
        expect(ws.state).toBe('open');
        stream.held = false;
        stream.release();
        await ws.drained();
      }
      ws.terminate();
    },
  );

  test('drained() waits for nothing of writers that were given nothing, and for what is queued behind them', async () => {
    const [ws, peer] = await pair(role);
    const first = ws.createWriter('text');
    const second = ws.createWriter('text');
    await ws.drained();
    await first.write('a');
    await ws.drained();
    ws.send('behind them');
    let drained = false;
    const waiting = ws.drained().then(() => {
      drained = true;
    });
    await turns(3);
    expect(drained).toBe(false);
    await Promise.all([first.end('b'), second.end('c')]);
    await waiting;
    for (const text of ['ab', 'c', 'behind them']) expect(await (await peer.receive())?.text()).toBe(text);
    for (const each of [ws, peer]) each.terminate();
  });

  test('[P-21] sendStream takes what can be iterated over, and ends it when it fails', async () => {
    const [ws, peer] = await pair(role);
    const { Readable } = await import('node:stream');
    const sources = [
      Readable.from(['a', 'b']),
      new Response('ab').body!,
      ['a', Buffer.from('b')],
      new Set(['a', 'b']),
      (async function* () {
        yield 'a';
        await turns(1);
        yield 'b';
      })(),
    ];
    for (const source of sources) {
      await ws.sendStream(source as never, { type: 'text' });
      expect(await (await peer.receive())?.text()).toBe('ab');
    }
    for (const wrong of [null, 5, 'text', Buffer.from('b')]) {
      await expect(ws.sendStream(wrong as never)).rejects.toThrow(TypeError);
    }
    let ended = false;
    const failing = (async function* () {
      try {
        yield 'begun';
        throw new Error('of the source');
      } finally {
        ended = true;
      }
    })();
    await expect(ws.sendStream(failing)).rejects.toThrow('of the source');
    expect(ended).toBe(true);
    await expect((await peer.receive())!.text()).rejects.toMatchObject({ code: 1011 });
    expect((await peer.closed).code).toBe(1011);
    expect((await ws.closed).code).toBe(1011);
  });

  test('[P-22] sendStream stops on its signal, and when the connection closes, while the source hangs', async () => {
    const hanging = (): AsyncIterable<string> & { returned: boolean } => ({
      returned: false,
      [Symbol.asyncIterator]() {
        return {
          next: () => new Promise(() => {}),
          return: async () => {
            this.returned = true;
            return { done: true, value: undefined };
          },
        };
      },
    });
    const [ws, peer] = await pair(role);
    peer.resume();
    const aborted = hanging();
    const controller = new AbortController();
    const sending = ws.sendStream(aborted, { signal: controller.signal });
    ws.send('waits for its turn');
    await turns();
    controller.abort(new Error('enough'));
    await expect(sending).rejects.toThrow('enough');
    await expect(ws.sendStream(['x'], { signal: controller.signal })).rejects.toThrow('enough');
    await ws.drained();
    expect([aborted.returned, ws.state]).toEqual([true, 'open']);
    const closed = hanging();
    const doomed = ws.sendStream(closed);
    await turns();
    await ws.close();
    await expect(doomed).rejects.toBeInstanceOf(ConnectionClosedError);
    expect(closed.returned).toBe(true);
  });

  test('an extension that works elsewhere keeps messages in order, and counts what it holds', async () => {
    const [ws, peer] = await pair(role, { extension: () => makeXor(true) });
    const got: string[] = [];
    peer.on('message', (data) => {
      got.push(String(data));
      if (data === 'the end') peer.emit('drain');
    });
    const done = once(peer, 'drain');
    ws.send('first message');
    expect(ws.bufferedAmount).toBe(13);
    ws.send('ab');
    ws.send(prepareMessage('prepared'));
    ws.send('plain', { compress: false });
    await ws.sendStream(['in ', 'parts']);
    ws.send('the end');
    await done;
    expect(got).toEqual(['first message', 'ab', 'prepared', 'plain', 'in parts', 'the end']);
    await ws.drained();
    await ws.close();
  });

  test('an extension that fails to encode closes the connection with 1011', async () => {
    const broken = () => {
      const extension = makeXor();
      return {
        ...extension,
        encoder: { wants: () => true, encode: () => Promise.reject(new Error('of the codec')) },
      };
    };
    const [ws, peer] = await rawPair(role, { extension: broken });
    const errors: string[] = [];
    ws.on('error', (error) => errors.push(error.message));
    ws.send('never');
    await peer.until(({ frames }) => frames.length === 1);
    expect(peer.frames[0]!.payload.readUInt16BE()).toBe(1011);
    peer.socket.end();
    await ws.closed;
    expect(errors).toEqual(['of the codec']);
  });
});
