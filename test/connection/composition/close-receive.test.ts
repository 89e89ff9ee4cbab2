/** `close(code, reason, { receive: true })`: messages are delivered until the peer's Close frame, for `closeTimeout` at most. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { WebSocketConnection } from '../../../src/index.js';
import { consumers, record, slowConsumers } from '../../support/consumers.js';
import { frameTo, roles } from '../../support/frames.js';
import { link, pass, passUntil, virtualTime } from '../../support/link.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { open, pair, type RawPeer, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();
afterEach(() => {
  vi.useRealTimers();
});

const CODE = Buffer.of(0x0f, 0xa1);

/** Answers with the Close frame 4001 after some messages. */
async function answer(peer: RawPeer, ...messages: string[]): Promise<void> {
  await peer.until(({ frames }) => frames.some(({ opcode }) => opcode === 8));
  for (const message of messages) peer.send(1, message);
  peer.send(8, CODE);
  peer.socket.end();
}

describe.each(roles)('§7.1.2 a %s', (role) => {
  test.each(Object.entries(consumers))(
    '[P-11] that closes with receive delivers what comes until the Close frame of its peer, to %s',
    async (_name, consume) => {
      const [ws, peer] = await rawPair(role);
      const seen = record(ws);
      const { got, end } = consume(ws);
      const closing = ws.close(4001, '', { receive: true });
      expect([ws.state, ws.send('late')]).toEqual(['closing', false]);
      await answer(peer, 'one', 'two', 'three');
      expect(await closing).toEqual({ code: 4001, reason: '', wasClean: true });
      expect(await end).toBeNull();
      expect(got).toEqual(['one', 'two', 'three']);
      expect(seen.map(([event]) => event)).toEqual(['close']);
    },
  );

  test.each([
    [true, 1_000],
    [false, 0],
  ])(
    'behind the end of the socket, in front of a consumer that has paused: receive %s waits %i ms',
    async (receive, ms) => {
      virtualTime();
      const [near, far] = link();
      const ws = open(near, role, { options: { closeTimeout: 1_000, pingInterval: 0 } });
      const seen = record(ws);
      ws.on('message', () => {});
      ws.pause();
      await pass(10);
      far.write(frameTo(role, 1, Buffer.from('held')));
      await pass(10);
      near.destroy();
      // A pause holds the end
      await pass(5_000, 100);
      expect(ws.state).toBe('closing');
      const took = await passUntil(ws.close(1000, '', { receive }), 5_000, 50);
      expect(Math.abs(took - ms)).toBeLessThan(200);
      expect(seen.map(([event]) => event)).toEqual(['close']);
      far.destroy();
    },
  );

  test('without receive, the same messages are discarded', async () => {
    const [ws, peer] = await rawPair(role);
    const { got } = consumers['message events']!(ws);
    for (const options of [{}, { receive: false }]) void ws.close(4001, '', options);
    await answer(peer, 'one');
    await ws.closed;
    expect(got).toEqual([]);
  });

  test('a message that is being read when it closes is read to its end', async () => {
    const [ws, peer] = await rawPair(role);
    peer.send(1, 'in ', { fin: false });
    const text = (await ws.receive())!.text();
    const closing = ws.close(1000, '', { receive: true });
    await peer.until(({ frames }) => frames.length === 1);
    peer.send(0, 'two parts').send(8, CODE);
    peer.socket.end();
    expect(await text).toBe('in two parts');
    expect(await ws.receive()).toBeNull();
    await closing;
  });

  test('close() from within a listener of that discards the rest; a later close with receive brings nothing back', async () => {
    const [ws, peer] = await rawPair(role);
    const got: string[] = [];
    ws.on('message', (data) => {
      got.push(String(data));
      void ws.close();
      void ws.close(1000, '', { receive: true });
    });
    const closing = ws.close(1000, '', { receive: true });
    await answer(peer, 'one', 'two');
    expect(await closing).toMatchObject({ code: 4001, wasClean: true });
    expect(got).toEqual(['one']);
  });

  test('terminate(), a violation, and a listener that rejects, end it at once', async () => {
    for (const how of ['terminate', 'violation', 'rejects'] as const) {
      const [ws, peer] = await rawPair(role);
      const seen = record(ws);
      const got: string[] = [];
      ws.on('message', async (data) => {
        got.push(String(data));
        if (how === 'terminate') ws.terminate();
        else if (how === 'rejects') throw new Error('of the application');
      });
      const closing = ws.close(1000, '', { receive: true });
      await peer.until(({ frames }) => frames.length === 1);
      peer.send(1, 'one');
      await turns(10);
      if (how === 'violation') peer.send(3, 'no opcode');
      await turns(10);
      peer.send(1, 'two').send(8, CODE);
      peer.socket.end();
      expect((await closing).wasClean).toBe(how === 'rejects');
      expect(got).toEqual(['one']);
      expect(seen.map(([event]) => event)).toEqual(how === 'terminate' ? ['close'] : ['error', 'close']);
    }
  });

  test('two ends that close with receive at once exchange what both had sent', async () => {
    const [ws, peer] = await pair(role);
    const [here, there] = [consumers['iteration']!(ws), consumers['message events']!(peer)];
    ws.send('to the peer');
    peer.send('to this side');
    const infos = await Promise.all([
      ws.close(1000, '', { receive: true }),
      peer.close(1000, '', { receive: true }),
    ]);
    await Promise.all([here.end, there.end]);
    expect(infos.map(({ wasClean }) => wasClean)).toEqual([true, true]);
    expect([here.got, there.got]).toEqual([['to this side'], ['to the peer']]);
  });

  describe('with a peer that never closes', () => {
    const ends = (): [WebSocketConnection, ReturnType<typeof link>[1]] => {
      virtualTime();
      const [near, far] = link();
      far.on('error', () => {});
      far.resume();
      return [open(near, role, { options: { closeTimeout: 1000, pingInterval: 0 } }), far];
    };
    const message = (text: string): Buffer =>
      role === 'server'
        ? Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0, ...Buffer.from(text)])
        : Buffer.from([0x81, text.length, ...Buffer.from(text)]);

    test('it delivers for closeTimeout at most, however much comes meanwhile', async () => {
      const [ws, far] = ends();
      const { got, end } = consumers['message events']!(ws);
      const closing = ws.close(1000, '', { receive: true });
      const sending = setInterval(() => far.write(message('more')), 100);
      expect(await passUntil(closing, 3000)).toBeLessThan(1300);
      clearInterval(sending);
      await end;
      expect(await closing).toMatchObject({ code: 1006, wasClean: false });
      expect(got.length).toBeGreaterThan(5);
      far.destroy();
    });

    test.each(Object.entries(slowConsumers))(
      'a slow consumer does not hold its end: what it has not asked for by then is dropped (%s)',
      async (_name, consume) => {
        const [ws, far] = ends();
        const { got, end } = consume(ws, () => new Promise((resolve) => setTimeout(resolve, 700)));
        const closing = ws.close(1000, '', { receive: true });
        far.write(Buffer.concat(['one', 'two', 'three', 'four'].map(message)));
        expect(await passUntil(closing, 5000)).toBeLessThan(1300);
        await pass(1500);
        await end;
        expect(got).toEqual(['one', 'two']);
        far.destroy();
      },
    );

    test('a consumer that asks no more does not hold it either, also where the socket is gone before', async () => {
      for (const gone of [false, true]) {
        const [ws, far] = ends();
        const receiving = ws.receive();
        const closing = ws.close(1000, '', { receive: true });
        far.write(Buffer.concat(['one', 'two'].map(message)));
        await pass(100);
        expect(await (await receiving)?.text()).toBe('one');
        if (gone) far.destroy();
        expect(await passUntil(closing, 5000)).toBeLessThan(2300);
        far.destroy();
        vi.useRealTimers();
      }
    });

    test('where nothing asks for messages they are discarded then, and the end comes', async () => {
      const [ws, far] = ends();
      const seen = record(ws);
      const closing = ws.close(1000, '', { receive: true });
      far.write(message('unread'));
      expect(await passUntil(closing, 3000)).toBeLessThan(1300);
      expect(seen.map(([event]) => event)).toEqual(['close']);
      far.destroy();
    });

    test('a pause does not hold it', async () => {
      const [ws, far] = ends();
      const { got } = consumers['message events']!(ws);
      ws.pause();
      const closing = ws.close(1000, '', { receive: true });
      far.write(message('held'));
      expect(await passUntil(closing, 3000)).toBeLessThan(1300);
      expect(got).toEqual([]);
      far.destroy();
    });
  });

  test.each([['yes'], [1], [null]])('receive: %o is a TypeError, and nothing is sent', async (wrong) => {
    const [ws, peer] = await rawPair(role);
    await expect(ws.close(1000, '', { receive: wrong as never })).rejects.toThrow(
      'Option receive is not a boolean',
    );
    expect(ws.state).toBe('open');
    expect(peer.bytes).toHaveLength(0);
    ws.terminate();
    await ws.closed;
  });
});
