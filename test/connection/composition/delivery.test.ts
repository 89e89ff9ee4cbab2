/** Delivery comes before the end: every message that was read is delivered, however the connection ends. */
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import {
  type CloseInfo,
  ConnectionClosedError,
  type ConnectionOptions,
  type MessageReader,
  type WebSocketConnection,
} from '../../../src/index.js';
import { consumers, endsOnce, record, slowConsumers } from '../../support/consumers.js';
import { chunkings, frameTo, type Role, roles } from '../../support/frames.js';
import { type LinkOptions, link, pass, passUntil, virtualTime } from '../../support/link.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { open, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

const five = ['one', 'two', 'three', 'four', 'five'];
const closeBody = Buffer.concat([Buffer.from([4001 >> 8, 4001 & 255]), Buffer.from('bye')]);

/** Five messages, one of them in fragments with a Ping inside, and a Close frame. */
function conversation(role: Role): Buffer {
  return Buffer.concat([
    frameTo(role, 1, 'one'),
    frameTo(role, 2, 'two'),
    frameTo(role, 1, 'th', { fin: false }),
    frameTo(role, 9, 'between'),
    frameTo(role, 0, 'ree'),
    frameTo(role, 1, 'four'),
    frameTo(role, 2, 'five'),
    frameTo(role, 8, closeBody),
  ]);
}

/** A stream that receives what it is given, and has no peer. */
class Received extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _: string, callback: () => void): void {
    callback();
  }
}

const clean: CloseInfo = { code: 4001, reason: 'bye', wasClean: true };
const cut: CloseInfo = { code: 4001, reason: 'bye', wasClean: false };

describe.each(roles)('a %s', (role) => {
  test.each(['message events', 'receive()'])(
    '§8.1 texts over 256 KiB, cut at every place within a character, consumed by %s',
    async (way) => {
      const stream = new Received();
      const ws = open(stream, role);
      const { got, end } = consumers[way]!(ws);
      // Characters of 2, 3 and 4 bytes
      const text = 'é€😀'.repeat(70_000);
      const bytes = frameTo(role, 1, text);
      const header = bytes.length - Buffer.byteLength(text);
      for (let place = 0; place < 9; place++) {
        const first = header + 256 * 1024 + place;
        const second = first + 256 * 1024;
        for (const chunk of [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)])
          stream.push(Buffer.from(chunk));
      }
      stream.push(frameTo(role, 8, closeBody));
      stream.push(null);
      expect(await end).toBe(null);
      expect(got.map((each) => each === text)).toEqual(Array(9).fill(true));
    },
  );

  describe.each(chunkings)('received %s', (chunking, cutUp) => {
    test.each(Object.entries(consumers))(
      '[X-09] five messages, Close and FIN, consumed by %s: all five, then the end',
      async (_, consume) => {
        const [ws, peer] = await rawPair(role);
        const seen = record(ws);
        const consumed = consume(ws);
        for (const chunk of cutUp(conversation(role))) {
          peer.socket.write(chunk);
          if (chunking === 'byte by byte') await turns(1);
        }
        peer.socket.end();
        const info = await ws.closed;
        expect(await consumed.end).toBe(null);
        expect([consumed.got, info]).toEqual([five, clean]);
        expect(endsOnce(seen, info)).toBe(true);
      },
    );

    test.each(Object.entries(consumers))(
      '[X-09] five messages and Close, then the stream is reset, consumed by %s: all five, then the end',
      async (_, consume) => {
        const stream = new Received();
        const ws = open(stream, role);
        const seen = record(ws);
        await turns(2);
        for (const chunk of cutUp(conversation(role))) stream.push(chunk);
        stream.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
        const consumed = consume(ws);
        const info = await ws.closed;
        expect(await consumed.end).toBe(_.includes('events') || info.wasClean ? null : await endOf(ws));
        expect([consumed.got, { ...info, wasClean: true }]).toEqual([five, clean]);
        expect(endsOnce(seen, info)).toBe(true);
      },
    );

    test.each(Object.entries(consumers))(
      '[X-09] a listener that comes after all of it, and a reset, by %s: all five, then the end',
      async (_, consume) => {
        const stream = new Received();
        const ws = open(stream, role, { options: { closeTimeout: 2_000 } });
        const seen = record(ws);
        for (const chunk of cutUp(conversation(role))) stream.push(chunk);
        await turns(5);
        stream.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
        await turns(5);
        expect([ws.state, ws.send('late')]).toEqual(['closing', false]);
        const consumed = consume(ws);
        const info = await ws.closed;
        expect(await consumed.end).toBe(_.includes('events') ? null : await endOf(ws));
        expect([consumed.got, info]).toEqual([five, cut]);
        expect(endsOnce(seen, info)).toBe(true);
      },
    );
  });

  test.each(Object.entries(consumers))(
    '[X-09] five messages, Close and RST, consumed by %s: no gap, and 1006 where the kernel lost it',
    async (_, consume) => {
      const [ws, peer] = await rawPair(role);
      const seen = record(ws);
      const consumed = consume(ws);
      peer.socket.write(conversation(role), () => peer.socket.resetAndDestroy());
      const info = await ws.closed;
      const end = await consumed.end;
      expect(consumed.got).toEqual(five.slice(0, consumed.got.length));
      if (info.code === 4001) expect(consumed.got).toEqual(five);
      else expect(info).toEqual({ code: 1006, reason: '', wasClean: false });
      if (!_.includes('events')) expect(end === null).toBe(info.wasClean);
      expect(endsOnce(seen, info)).toBe(true);
    },
  );

  test.each(Object.entries(consumers))(
    '[X-09] messages and FIN in the middle of the next, consumed by %s: all whole ones, 1006',
    async (_, consume) => {
      const [ws, peer] = await rawPair(role);
      const consumed = consume(ws);
      const bytes = Buffer.concat([...five.map((word) => frameTo(role, 1, word)), frameTo(role, 1, 'sixth')]);
      peer.socket.end(bytes.subarray(0, -2));
      expect(await ws.closed).toEqual({ code: 1006, reason: '', wasClean: false });
      const end = await consumed.end;
      expect(consumed.got).toEqual(five);
      if (!_.includes('events')) expect(end).toBeInstanceOf(ConnectionClosedError);
    },
  );

  test('[X-09] a paused connection holds the end until resume(), and reports it then', async () => {
    virtualTime();
    const stream = new Received();
    const ws = open(stream, role);
    const got: unknown[] = [];
    ws.on('message', (data) => got.push(String(data)));
    ws.pause();
    await turns(2);
    stream.push(conversation(role));
    stream.destroy();
    await pass(60_000, 5_000);
    expect([ws.state, got]).toEqual(['closing', []]);
    ws.resume();
    expect(await ws.closed).toEqual(cut);
    expect(got).toEqual(five);
  });

  test.each(['terminate', 'close'] as const)(
    '[X-09] a paused connection whose socket is gone is over by %s(), and delivers nothing after it',
    async (call) => {
      const stream = new Received();
      const ws = open(stream, role);
      const got: unknown[] = [];
      ws.on('message', (data) => got.push(String(data)));
      ws.pause();
      await turns(2);
      stream.push(conversation(role));
      stream.destroy();
      await once(stream, 'close');
      const calling = ws[call]();
      const info = await ws.closed;
      // What was discarded is not known to have been a Close frame, unless it was read
      expect([info.wasClean, got, ws.state]).toEqual([false, [], 'closed']);
      if (call === 'close') expect(await calling).toBe(info);
      ws.resume();
      await turns(3);
      expect(got).toEqual([]);
    },
  );

  test('[X-09] without any consumer, unread data is discarded closeTimeout after the socket is gone', async () => {
    virtualTime();
    const stream = new Received();
    const ws = open(stream, role, { options: { closeTimeout: 3_000 } });
    await turns(2);
    stream.push(conversation(role));
    stream.destroy();
    await pass(2_900, 100);
    expect(ws.state).toBe('closing');
    expect(await passUntil(ws.closed, 300)).toBeLessThanOrEqual(200);
    expect(await ws.closed).toEqual(cut);
  });

  test.each(Object.entries(slowConsumers))(
    '[X-09] over TCP: messages, Close and FIN of a peer that reads on, consumed by %s: the Close frame is answered',
    async (_, consume) => {
      const [ws, peer] = await rawPair(role, {}, false);
      const consumed = consume(ws, () => turns(5));
      peer.socket.write(Buffer.concat([frameTo(role, 1, 'one'), frameTo(role, 1, 'two')]));
      peer.socket.end(Buffer.concat([frameTo(role, 1, 'three'), frameTo(role, 8, Buffer.from([3, 232]))]));
      expect(await ws.closed).toEqual({ code: 1000, reason: '', wasClean: true });
      await peer.until(({ ended }) => ended);
      expect(peer.frames.map(({ opcode }) => opcode)).toEqual([8]);
      expect(consumed.got).toEqual(['one', 'two', 'three']);
    },
  );

  test.each([false, true])(
    '[X-09] an iteration that is left with messages unread lets the end come (paused before: %s)',
    async (paused) => {
      virtualTime();
      const stream = new Received();
      const ws = open(stream, role, { options: { closeTimeout: 3_000 } });
      if (paused) ws.pause();
      await turns(2);
      stream.push(conversation(role));
      stream.destroy();
      await once(stream, 'close');
      for await (const message of ws) {
        expect(await message.text()).toBe('one');
        break;
      }
      await passUntil(ws.closed, 3_300);
      await expect(ws.receive()).rejects.toMatchObject({ code: 4001 });
    },
  );

  test.each(['read to its end', 'left', 'cancelled'] as const)(
    '[X-09] an iteration that is left while its last message is read: the end comes once that is %s',
    async (how) => {
      virtualTime();
      const stream = new Received();
      const ws = open(stream, role, { options: { closeTimeout: 3_000 } });
      await turns(2);
      stream.push(
        Buffer.concat([
          frameTo(role, 1, 'begun, ', { fin: false }),
          frameTo(role, 0, 'read later'),
          frameTo(role, 1, 'never asked for'),
          frameTo(role, 8, closeBody),
        ]),
      );
      const iteration = ws[Symbol.asyncIterator]();
      const message: MessageReader = (await iteration.next()).value;
      const chunks = message[Symbol.asyncIterator]();
      expect(String((await chunks.next()).value)).toBe('begun, ');
      await iteration.return!();
      stream.destroy();
      await once(stream, 'close');
      // However late
      await pass(60_000, 5_000);
      expect(ws.state).toBe('closing');
      if (how === 'left') await chunks.return!();
      else if (how === 'cancelled') message.cancel();
      else expect(String((await chunks.next()).value)).toBe('read later');
      await pass(2_900, 100);
      expect(ws.state).toBe('closing');
      expect(await passUntil(ws.closed, 300)).toBeLessThanOrEqual(200);
      expect(await ws.closed).toEqual(cut);
    },
  );

  describe.each([true, false])('[X-10] both ends are Sluice (the sender waits: %s)', (polite) => {
    const second = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1_000));

    /** The peer sends all messages and closes: they are delivered, and then its end is reported. */
    async function expectDelivered(
      all: readonly string[],
      path: LinkOptions,
      options: ConnectionOptions,
      consume: (ws: WebSocketConnection) => ReturnType<(typeof slowConsumers)[string]>,
    ): Promise<void> {
      virtualTime();
      const [near, far] = link({ delay: 10, ...path });
      const ws = open(near, role, { options: { pingInterval: 0, ...options } });
      const peer = open(far, role === 'server' ? 'client' : 'server', {
        options: { closeTimeout: polite ? 60_000 : 500, pingInterval: 0 },
      });
      const seen = record(ws);
      for (const message of all) peer.send(message);
      const closing = peer.close(4001, 'bye');
      const consumed = consume(ws);
      await passUntil(Promise.all([ws.closed, peer.closed, consumed.end]), 20_000, 50);
      const info = await ws.closed;
      expect(consumed.got).toEqual(all);
      expect(info).toMatchObject({ code: 4001, reason: 'bye' });
      expect((await closing).wasClean).toBe(polite);
      expect(endsOnce(seen, info)).toBe(true);
    }

    test.each(Object.entries(slowConsumers))(
      '[X-10] consumed by %s, slower than closeTimeout of the sender: what arrived is delivered, then the end',
      async (_, consume) => {
        const all = Array.from({ length: 8 }, (__, i) => `${i} ${'x'.repeat(30_000)}`);
        await expectDelivered(all, { window: 4_000_000 }, {}, (ws) => consume(ws, second));
      },
    );

    test.each(Object.entries(slowConsumers))(
      '[X-10] consumed by %s, which answers a peer that may be gone: what was read is delivered, then the end',
      async (_, consume) => {
        // All of them are read at once
        const all = Array.from({ length: 8 }, (__, i) => `${i}`);
        await expectDelivered(all, {}, { closeTimeout: 2_000 }, (ws) =>
          consume(ws, async () => {
            // A peer that is gone resets the connection by it
            ws.send('answer');
            await second();
          }),
        );
      },
    );
  });
});

/** What pull consumers end with. */
async function endOf(ws: WebSocketConnection): Promise<unknown> {
  return ws.receive().catch((error: unknown) => error);
}
