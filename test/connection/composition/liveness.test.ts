/** Liveness over slow links and slow consumers, in virtual time: a live peer is kept, a lost one is noticed. */
import { describe, expect, test, vi } from 'vitest';
import { type ConnectionOptions, TimeoutError, type WebSocketConnection } from '../../../src/index.js';
import { consumers, record } from '../../support/consumers.js';
import { frameTo, parse, type Role, roles } from '../../support/frames.js';
import { type LinkEnd, type LinkOptions, link, pass, passUntil, virtualTime } from '../../support/link.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { open, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');
const MBIT = 125_000;
/** Bytes of the send buffer, and bytes that were sent fast before. */
const paths = [
  [65_536, 0],
  [4_000_000, 0],
] as const;

/** Two connections over a slow link. */
function slowPair(
  role: Role,
  options: ConnectionOptions,
  { peer = options, ...path }: LinkOptions & { peer?: ConnectionOptions },
): [WebSocketConnection, WebSocketConnection, LinkEnd, LinkEnd] {
  const [near, far] = link(path);
  return [open(near, role, { options }), open(far, other(role), { options: peer }), near, far];
}

/** Both sides close, in bounded time. */
async function closeBoth(ws: WebSocketConnection, peer: WebSocketConnection): Promise<void> {
  const closing = ws.close();
  await passUntil(Promise.all([closing, peer.closed]), 120_000, 200);
  expect(await closing).toEqual({ code: 1000, reason: '', wasClean: true });
}

describe.each(roles)('a %s', (role) => {
  test.each([65_536, 1_000_000, 4_000_000])(
    '[X-34] sends 8 MB at 1 Mbit/s through a send buffer of %i bytes: not killed, on neither side',
    async (buffer) => {
      virtualTime();
      const times = { pingInterval: 5_000, pingTimeout: 5_000, closeTimeout: 5_000 };
      const [ws, peer] = slowPair(role, times, { bandwidth: MBIT, delay: 20, buffer });
      const seen = [record(ws), record(peer)];
      const got: number[] = [];
      peer.on('message', (data) => got.push(data.length));
      ws.resume();
      ws.send(Buffer.alloc(8_000_000));
      let amount = ws.bufferedAmount;
      let steps = 0;
      for (let i = 0; i < 8; i++) {
        await pass(8_000, 100);
        expect([ws.state, peer.state]).toEqual(['open', 'open']);
        // Pings, which are queued meanwhile, add a few bytes
        if (ws.bufferedAmount < amount - 1_000) steps++;
        amount = ws.bufferedAmount;
      }
      // Progress shows
      expect(steps).toBeGreaterThan(buffer < 4_000_000 ? 4 : 2);
      await pass(2_000, 100);
      expect(got).toEqual([8_000_000]);
      await closeBoth(ws, peer);
      for (const events of seen) expect(events.filter(([event]) => event === 'error')).toEqual([]);
    },
  );

  test.each([
    [
      '8 MB at 1 Mbit/s, default times',
      8_000_000,
      90_000,
      {},
      { bandwidth: MBIT, delay: 20, buffer: 2_600_000 },
    ],
    [
      '8 MB at 1 Mbit/s, all in the kernel',
      8_000_000,
      90_000,
      {},
      { bandwidth: MBIT, delay: 20, buffer: 8_000_000 },
    ],
    [
      '3 MB at 20 KB/s, where a stall says how slow the link is',
      3_000_000,
      160_000,
      { pingInterval: 10_000, pingTimeout: 10_000 },
      { bandwidth: 20_000, buffer: 2_000_000 },
    ],
  ] as const)(
    '[X-34] %s, to a peer that sends no Pings: not killed',
    async (_name, size, duration, times, path) => {
      virtualTime();
      const [ws, peer] = slowPair(role, times, { ...path, peer: { pingInterval: 0 } });
      const got: number[] = [];
      peer.on('message', (data) => got.push(data.length));
      ws.resume();
      ws.send(Buffer.alloc(size));
      await pass(duration, 500);
      expect([ws.state, peer.state, got]).toEqual(['open', 'open', [size]]);
      await closeBoth(ws, peer);
    },
  );

  test('[X-34] a peer that vanishes with 2 MB in the kernel: noticed once they had their time, not later', async () => {
    virtualTime();
    const [near, far] = link({ bandwidth: MBIT, buffer: 8_000_000, window: 100_000 });
    const ws = open(near, role, { options: { pingInterval: 5_000, pingTimeout: 5_000 } });
    ws.resume();
    const errors: Error[] = [];
    ws.on('error', (error) => errors.push(error));
    ws.send(Buffer.alloc(2_000_000));
    // Interval, timeout, 20 s for what is held, and the resolution of the beats
    expect(await passUntil(ws.closed, 60_000, 100)).toBeLessThan(32_000);
    expect(errors).toEqual([expect.any(TimeoutError)]);
    far.destroy();
    await pass(100);
  });

  test('[X-34] a Ping of the peer is answered in front of a backlog of 8 MB: its Pong does not wait for all of it', async () => {
    virtualTime();
    const [ws, peer] = slowPair(role, { pingInterval: 0 }, { bandwidth: MBIT, delay: 20 });
    peer.on('message', () => {});
    ws.resume();
    for (let i = 0; i < 80; i++) ws.send(Buffer.alloc(100_000));
    await pass(5_000, 100);
    const ping = peer.ping(undefined, { timeout: 60_000 });
    expect(await passUntil(ping, 60_000, 100)).toBeLessThan(16_000);
    await pass(60_000, 1_000);
    await closeBoth(ws, peer);
  });

  test('[X-34] a round trip longer than pingInterval: latency is measured, nobody is killed', async () => {
    virtualTime();
    const options = { pingInterval: 1_000, pingTimeout: 20_000, closeTimeout: 20_000 };
    const [ws, peer] = slowPair(role, options, { delay: 3_000 });
    for (const one of [ws, peer]) one.resume();
    await pass(30_000, 100);
    for (const one of [ws, peer]) {
      expect(one.state).toBe('open');
      expect(one.latency).toBeGreaterThan(5_900);
      expect(one.latency).toBeLessThan(7_000);
    }
    // Also while other bytes arrive all the time, so that Pings go on
    const talk = setInterval(() => void (peer.send('x') && ws.send('y')), 300);
    await pass(60_000, 100);
    clearInterval(talk);
    expect(ws.latency).toBeGreaterThan(5_900);
    expect(ws.latency).toBeLessThan(7_500);
    await closeBoth(ws, peer);
  });

  test('[L-06] a peer that answers the latest of many Pings only: that round trip is measured, and the next ones', async () => {
    virtualTime();
    const [near, far] = link();
    const ws = open(near, role, { options: { pingInterval: 1_000, pingTimeout: 5_000 } });
    ws.resume();
    const payloads: Buffer[] = [];
    far.on('data', (chunk: Buffer) => {
      for (const { opcode, payload } of parse(chunk)) if (opcode === 9) payloads.push(payload);
    });
    // Other bytes arrive meanwhile, so that Pings go on
    const talk = setInterval(() => far.write(frameTo(role, 10, Buffer.from('x'))), 500);
    for (const count of [12, 24]) {
      const before = ws.latency;
      await pass(12_000, 100);
      expect(payloads.length).toBeGreaterThanOrEqual(count - 1);
      expect(ws.latency).toBe(before);
      await pass(50);
      far.write(frameTo(role, 10, payloads.at(-1)!));
      await pass(10);
      expect(ws.latency).toBeLessThan(1_200);
      expect(ws.latency).not.toBe(before);
    }
    clearInterval(talk);
    ws.terminate();
    await pass(100);
  });

  test('[L-06] the latency of every heartbeat is measured, also after many of them', async () => {
    virtualTime();
    const [near, far] = link();
    const ws = open(near, role, { options: { pingInterval: 1_000, pingTimeout: 5_000 } });
    ws.resume();
    let pings = 0;
    far.on('data', (chunk: Buffer) => {
      for (const { opcode, payload } of parse(chunk)) {
        expect(opcode).toBe(9);
        // Each takes 50 ms longer than the one before
        setTimeout(() => far.write(frameTo(role, 10, payload)), 50 * ++pings);
      }
    });
    const latencies: number[] = [];
    ws.on('pong', () => latencies.push(Math.floor(ws.latency / 50)));
    await pass(35_000);
    expect(latencies.length).toBeGreaterThanOrEqual(20);
    expect(latencies).toEqual(latencies.map((_, i) => i + 1));
    ws.terminate();
    far.destroy();
    await pass(100);
  });

  test.each([...Object.keys(consumers), 'no consumer', 'pause()', 'a message that is held'])(
    '[X-34] a consumer (%s) at its first message for longer than interval + timeout: nobody is killed',
    async (name) => {
      virtualTime();
      const [ws, peer] = slowPair(role, { pingInterval: 2_000, pingTimeout: 2_000 }, { delay: 5 });
      peer.resume();
      for (let i = 0; i < 40; i++) peer.send(`${i} ${'x'.repeat(10_000)}`);
      let go: () => void = () => {};
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      const got: string[] = [];
      let end: Promise<unknown> = Promise.resolve();
      if (name === 'pause()') ws.on('message', (data) => got.push(String(data))).pause();
      else if (name === 'a message that is held') void ws.receive();
      else if (name !== 'no consumer' && name !== 'message events')
        ({ end } = consumers[name]!(ws, () => gate));
      await pass(20_000, 100);
      expect([ws.state, peer.state]).toEqual(['open', 'open']);
      go();
      if (name === 'no consumer' || name === 'message events') ws.on('message', () => {});
      if (name === 'pause()') ws.resume();
      if (name === 'a message that is held')
        for (let i = 1; i < 40; i++) await passUntil(ws.receive(), 5_000);
      await pass(1_000, 100);
      expect([ws.state, peer.state]).toEqual(['open', 'open']);
      await closeBoth(ws, peer);
      await end;
    },
  );

  test('[X-08] streams without pause to a peer that reads slowly: not killed, Pings leave as soon as they can', async () => {
    virtualTime();
    const [near, far] = link({ bandwidth: 20_000, delay: 10, buffer: 32_768, window: 32_768 });
    const ws = open(near, role, { options: { pingInterval: 2_000, pingTimeout: 4_000 } });
    // It reads, and says nothing at all: only TCP acknowledges what is sent
    const bytes: Buffer[] = [];
    far.on('data', (chunk: Buffer) => bytes.push(chunk)).on('error', () => {});
    ws.resume();
    const writer = ws.createWriter('binary');
    let going = true;
    const writing = (async () => {
      while (going) await writer.write(Buffer.alloc(50_000));
    })().catch((error: unknown) => error);
    await pass(60_000, 100);
    expect(ws.state).toBe('open');
    const pings = parse(Buffer.concat(bytes), true).filter(({ opcode }) => opcode === 9);
    expect(pings.length).toBeGreaterThan(3);
    going = false;
    ws.terminate();
    await writing;
    far.destroy();
    await pass(100);
  });

  test('[X-08] streams to a peer that stops to read and to acknowledge: lost after interval + timeout', async () => {
    virtualTime();
    const [near, far] = link({ bandwidth: 20_000, buffer: 32_768, window: 32_768 });
    const ws = open(near, role, { options: { pingInterval: 2_000, pingTimeout: 4_000 } });
    const seen = record(ws);
    ws.resume();
    await pass(10);
    // No byte comes back, not even of TCP
    far.pause();
    await passUntil(ws.closed, 8_000);
    expect(await ws.closed).toEqual({ code: 1006, reason: '', wasClean: false });
    expect(seen[0]).toEqual(['error', expect.any(TimeoutError)]);
    far.destroy();
    await pass(100);
  });

  test('[X-08] a write that stalls behind a Ping that was flushed, and never moves: lost after the timeout', async () => {
    virtualTime();
    const [near, far] = link({ buffer: 32_768, window: 32_768 });
    const ws = open(near, role, { options: { pingInterval: 2_000, pingTimeout: 4_000 } });
    const seen = record(ws);
    ws.resume();
    far.pause();
    for (let passed = 0; far.readableLength === 0 && passed < 3_000; passed += 20) await pass(20);
    expect(parse(far.read() as Buffer)).toMatchObject([{ opcode: 9 }]);
    ws.send(Buffer.alloc(1_000_000));
    await turns(3);
    expect(ws.bufferedAmount).toBeGreaterThan(800_000);
    await passUntil(ws.closed, 6_000);
    expect(await ws.closed).toEqual({ code: 1006, reason: '', wasClean: false });
    expect(seen).toEqual([
      ['error', expect.any(TimeoutError)],
      ['close', await ws.closed],
    ]);
    far.destroy();
    await pass(100);
  });

  test('[X-22] a silent peer behind unread data: TCP keepalive is asked for, and the heartbeat does not kill', async () => {
    const [ws, peer] = await rawPair(role, { options: { pingInterval: 40, pingTimeout: 40 } });
    const { setKeepAlive } = peer.socket;
    const asked: unknown[][] = [];
    const spy = vi.spyOn(Object.getPrototypeOf(peer.socket), 'setKeepAlive').mockImplementation(function (
      this: never,
      ...rest: unknown[]
    ) {
      asked.push([this, ...rest]);
      return setKeepAlive.apply(this, rest as never);
    } as never);
    try {
      peer.send(1, 'unread');
      await vi.waitFor(() => expect(asked.length).toBeGreaterThan(0), { timeout: 3_000, interval: 5 });
      const [[socket, on, delay]] = asked as [[unknown, boolean, number]];
      expect([socket !== peer.socket, on, delay]).toEqual([true, true, 40]);
      // Long enough for a missing Pong
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect([ws.state, asked.length]).toEqual(['open', 1]);
    } finally {
      spy.mockRestore();
    }
    ws.terminate();
  });

  test('[L-06] keepalive ends with the last connection of its times, and begins again with the next one', async () => {
    virtualTime();
    for (let i = 0; i < 3; i++) {
      const [near, far] = link();
      const ws = open(near, role, { options: { pingInterval: 1_000, pingTimeout: 1_000 } });
      const bytes: Buffer[] = [];
      far.on('data', (chunk: Buffer) => bytes.push(chunk));
      ws.resume();
      await pass(1_500);
      expect(parse(Buffer.concat(bytes)).map(({ opcode }) => opcode)).toEqual([9]);
      ws.terminate();
      await ws.closed;
      far.destroy();
      await pass(100);
    }
  });

  test('[L-06] a clock that goes back by an hour, as one that tests replace may: keepalive goes on', async () => {
    virtualTime();
    const [near, far] = link();
    const ws = open(near, role, { options: { pingInterval: 1_000, pingTimeout: 1_000 } });
    const seen = record(ws);
    ws.resume();
    far.on('data', () => {});
    await pass(500);
    const { now } = performance;
    const late = vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) - 3_600_000);
    try {
      await passUntil(ws.closed, 4_000);
    } finally {
      late.mockRestore();
    }
    expect(seen.map(([event]) => event)).toEqual(['error', 'close']);
    far.destroy();
    await pass(100);
  });

  test('[X-22] a silent peer without unread data is lost; unread data that is read then brings the heartbeat back', async () => {
    virtualTime();
    const [near, far] = link({ delay: 5 });
    const ws = open(near, role, { options: { pingInterval: 1_000, pingTimeout: 1_000 } });
    const seen = record(ws);
    far.on('data', () => {});
    await turns(2);
    far.write(frameTo(role, 1, 'unread'));
    await pass(30_000, 100);
    expect(ws.state).toBe('open');
    const message = await ws.receive();
    expect(await message?.text()).toBe('unread');
    await passUntil(ws.closed, 4_000);
    expect(seen.map(([event]) => event)).toEqual(['error', 'close']);
    far.destroy();
    await pass(100);
  });

  describe.each(['send', 'writer', 'sendStream', 'Blob'] as const)('that sends by %s', (by) => {
    test.each(by === 'send' ? [...paths, [65_536, 16_000_000] as const] : paths)(
      '[X-31] 4 MB over 2 Mbit/s, then close(), send buffer %i, %i bytes fast before: delivered, 1000',
      async (buffer, before) => {
        virtualTime();
        const options = { pingInterval: 0, closeTimeout: 5_000 };
        const [ws, peer, near] = slowPair(role, options, {
          bandwidth: 1e9,
          delay: 1,
          buffer,
          window: 1_000_000,
        });
        const got: number[] = [];
        peer.on('message', (data) => got.push(data.length));
        ws.resume();
        if (before > 0) {
          ws.send(Buffer.alloc(before / 2));
          ws.send(Buffer.alloc(before / 2));
          await passUntil(ws.drained(), 10_000, 100);
        }
        near.bandwidth = 2 * MBIT;
        const data = Buffer.alloc(4_000_000);
        if (by === 'send') ws.send(data);
        else if (by === 'Blob') ws.send(new Blob([data]));
        else if (by === 'writer') void ws.createWriter('binary').end(data);
        else {
          const source = [data.subarray(0, 2_000_000), data.subarray(2_000_000)];
          const sent = ws.sendStream(source);
          await passUntil(sent, 60_000, 100);
        }
        const closing = ws.close();
        await passUntil(Promise.all([closing, peer.closed]), 60_000, 100);
        expect(got.at(-1)).toBe(4_000_000);
        const clean = { code: 1000, reason: '', wasClean: true };
        expect(await peer.closed).toEqual(clean);
        // Also a Close frame that the kernel has accepted, and holds for 16 s
        expect(await closing).toEqual(clean);
      },
    );
  });

  test('[X-31] 3 MB over a link that was fast, and has 100 KB/s now, then close(): delivered, 1000', async () => {
    virtualTime();
    const [ws, peer, near] = slowPair(role, { pingInterval: 0 }, { bandwidth: 1e9, window: 1_000_000 });
    const got: number[] = [];
    peer.on('message', (data) => got.push(data.length));
    ws.resume();
    for (let i = 0; i < 4; i++) {
      ws.send(Buffer.alloc(4_000_000));
      await passUntil(ws.drained(), 10_000, 100);
    }
    near.bandwidth = 100_000;
    ws.send(Buffer.alloc(3_000_000));
    const closing = ws.close();
    await passUntil(Promise.all([closing, peer.closed]), 60_000, 100);
    expect(got.at(-1)).toBe(3_000_000);
    const clean = { code: 1000, reason: '', wasClean: true };
    expect([await closing, await peer.closed]).toEqual([clean, clean]);
  });

  test('[X-31] a peer that does not read, and close(): over closeTimeout after nothing moves any more', async () => {
    virtualTime();
    const options = { pingInterval: 0, closeTimeout: 5_000 };
    const [near, far] = link({ bandwidth: MBIT, window: 500_000 });
    const ws = open(near, role, { options });
    await pass(10);
    ws.send(Buffer.alloc(4_000_000));
    void ws.close();
    expect(await passUntil(ws.closed, 60_000, 100)).toBeLessThan(16_000);
    expect(await ws.closed).toEqual({ code: 1006, reason: '', wasClean: false });
    far.destroy();
    await pass(100);
  });

  test('[X-31] the peer closes while 4 MB are on their way to it: they arrive, closeTimeout runs while nothing moves', async () => {
    virtualTime();
    const [ws, peer] = slowPair(
      role,
      { pingInterval: 0, closeTimeout: 5_000 },
      {
        bandwidth: MBIT,
        peer: { pingInterval: 0, closeTimeout: 60_000 },
      },
    );
    ws.resume();
    peer.resume();
    ws.send(Buffer.alloc(4_000_000));
    await pass(1_000, 100);
    const closing = peer.close(4_000);
    await passUntil(Promise.all([closing, ws.closed]), 60_000, 100);
    expect([await closing, await ws.closed]).toEqual(
      Array(2).fill({ code: 4_000, reason: '', wasClean: true }),
    );
  });
});
