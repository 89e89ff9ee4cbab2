import { once } from 'node:events';
import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import {
  type ConnectionStats,
  type MessageReader,
  permessageDeflate,
  prepareMessage,
  type WebSocketConnection,
} from '../../src/index.js';
import { roles } from '../support/frames.js';
import { link } from '../support/link.js';
import { checkNothingLeft } from '../support/nothing-left.js';
import { type Ends, open, pair, rawPair, turns } from '../support/wire.js';

checkNothingLeft();

const none: ConnectionStats = { messagesReceived: 0, messagesSent: 0, bytesReceived: 0, bytesSent: 0 };

/** Both ends of permessage-deflate; a client and a server need one each. */
function deflates(offloadSize: number): readonly [Ends, Ends] {
  const factory = permessageDeflate({ threshold: 0, offloadSize });
  const { extension, parameters } = factory.accept(factory.offers()[0]!)!;
  return [{ extension: () => extension }, { extension: () => factory.confirm(parameters) }];
}

const compressions: readonly [name: string, ends: () => readonly [Ends, Ends]][] = [
  ['without compression', () => [{}, {}]],
  ['compressed', () => deflates(1_000_000)],
  ['compressed in the thread pool', () => deflates(0)],
];

async function pairOf(
  role: (typeof roles)[number],
  [server, client]: readonly [Ends, Ends],
): Promise<[WebSocketConnection, WebSocketConnection]> {
  return role === 'server' ? pair(role, server, client) : pair(role, client, server);
}

/** Sends a message of each kind; how many there are, and their bytes. */
async function sendAll(ws: WebSocketConnection): Promise<[messages: number, bytes: number]> {
  ws.send('é€');
  ws.send('a'.repeat(1000));
  ws.send(Buffer.alloc(70_000));
  ws.send(new Blob(['blob']));
  ws.send(prepareMessage('prepared'));
  ws.send('');
  const writer = ws.createWriter('text');
  await writer.write('é');
  await writer.end('bc');
  await ws.sendStream([Buffer.alloc(10), Buffer.alloc(0), Buffer.alloc(20)]);
  await ws.ping();
  return [8, 5 + 1000 + 70_000 + 4 + 8 + 0 + 4 + 30];
}

describe.each(roles)('§6 stats of a %s', (role) => {
  describe.each(compressions)('%s', (_name, ends) => {
    test('[P-95] count messages and bytes of payload on both sides, and stay after the end', async () => {
      const [ws, peer] = await pairOf(role, ends());
      const seen: number[] = [];
      peer.on('message', () => seen.push(peer.stats.messagesReceived));
      expect(ws.stats).toEqual(none);
      const [messages, bytes] = await sendAll(ws);
      await ws.close();
      await peer.closed;
      expect(ws.stats).toEqual({ ...none, messagesSent: messages, bytesSent: bytes });
      expect(peer.stats).toEqual({ ...none, messagesReceived: messages, bytesReceived: bytes });
      // A message is counted when its event is emitted
      expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    });

    test.each<[string, (message: MessageReader) => Promise<unknown>]>([
      ['bytes()', (message) => message.bytes()],
      [
        'chunks',
        async (message) => {
          for await (const _chunk of message);
        },
      ],
      ['cancel()', async (message) => message.cancel()],
      ['nothing', async () => {}],
    ])('[P-95] count messages that receive() delivers, read by %s', async (_method, read) => {
      const [ws, peer] = await pairOf(role, ends());
      const sent = sendAll(ws);
      const reading = (async () => {
        for await (const message of peer) await read(message);
      })();
      const [messages, bytes] = await sent;
      await ws.close();
      await reading;
      expect(peer.stats).toEqual({ ...none, messagesReceived: messages, bytesReceived: bytes });
    });
  });

  test('a message of a writer counts with end(), its bytes write by write; an aborted one does not', async () => {
    const [ws, peer] = await pair(role);
    const received = peer.receive();
    const writer = ws.createWriter('binary');
    ws.send('queued');
    await writer.write(Buffer.alloc(5));
    expect(ws.stats).toEqual({ ...none, bytesSent: 5 });
    const message = await received;
    const chunks = message![Symbol.asyncIterator]();
    await chunks.next();
    expect(peer.stats).toEqual({ ...none, bytesReceived: 5 });
    writer.abort();
    await Promise.all([ws.closed, peer.closed]);
    expect(ws.stats).toEqual({ ...none, bytesSent: 5 });
    expect(peer.stats).toEqual({ ...none, bytesReceived: 5 });
  });

  test('nothing is counted that nobody has asked for, or that close() discards', async () => {
    const [ws, peer] = await rawPair(role);
    peer.send(1, 'one').send(1, 'two');
    await turns(5);
    expect(ws.stats).toEqual(none);
    await ws.receive();
    expect(ws.stats).toEqual({ ...none, messagesReceived: 1, bytesReceived: 3 });
    const closing = ws.close();
    peer.send(1, 'three').send(8, Buffer.of(3, 232));
    peer.socket.end();
    await closing;
    expect(ws.stats).toEqual({ ...none, messagesReceived: 1, bytesReceived: 3 });
  });

  test('resume() without a listener drops messages, and counts them', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    ws.send('dropped');
    await ws.close();
    expect(peer.stats).toEqual({ ...none, messagesReceived: 1, bytesReceived: 7 });
  });

  test('are a snapshot', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    const before = ws.stats;
    ws.send('a');
    expect(before).toEqual(none);
    expect(ws.stats.messagesSent).toBe(1);
    await ws.close();
  });
});

describe.each(roles)('addresses of a %s', (role) => {
  test('[P-40] are those of its socket', async () => {
    const [ws, peer] = await pair(role);
    expect(ws.remoteAddress).toBe('127.0.0.1');
    expect(ws.localAddress).toBe('127.0.0.1');
    expect(ws.remotePort).toBe(peer.localPort);
    expect(ws.localPort).toBe(peer.remotePort);
    expect(ws.localPort).not.toBe(ws.remotePort);
    await ws.close();
  });

  test.each<[string, (ws: WebSocketConnection, peer: WebSocketConnection) => unknown]>([
    ['close()', (ws) => ws.close()],
    ['terminate()', (ws) => ws.terminate()],
    ["the peer's close()", (_ws, peer) => peer.close()],
    ["the peer's terminate(): FIN without Close", (_ws, peer) => peer.terminate()],
  ])('are read for the first time after the end by %s', async (_how, end) => {
    const [ws, peer] = await pair(role);
    ws.resume();
    peer.resume();
    const closing = once(ws, 'close').then(() => ws.remoteAddress);
    end(ws, peer);
    expect(await closing).toBe('127.0.0.1');
    await peer.closed;
    expect(ws.remotePort).toBe(peer.localPort);
    expect(ws.localPort).toBe(peer.remotePort);
  });

  test('are kept after a reset when they were read before', async () => {
    const [ws, peer] = await rawPair(role);
    const { localPort, remotePort } = ws;
    ws.on('message', () => {});
    peer.socket.resetAndDestroy();
    await ws.closed;
    expect(ws.remoteAddress).toBe('127.0.0.1');
    expect(ws.localAddress).toBe('127.0.0.1');
    expect([ws.localPort, ws.remotePort]).toEqual([localPort, remotePort]);
  });

  test('are undefined over a stream that has none, and where asking throws', async () => {
    const [a, b] = link();
    const ws = open(a, role);
    for (const name of ['remoteAddress', 'localPort']) {
      Object.defineProperty(b, name, {
        get() {
          throw new Error('The session is gone');
        },
      });
    }
    const peer = open(b, role === 'server' ? 'client' : 'server');
    for (const name of ['remoteAddress', 'remotePort', 'localAddress', 'localPort'] as const) {
      expect([ws[name], peer[name]]).toEqual([undefined, undefined]);
    }
    expect((await ws.close()).wasClean).toBe(true);
    await peer.closed;
  });
});

describe.each(roles)('console.log() of a %s', (role) => {
  test('[P-96] shows role, state, addresses, subprotocol and stats; neither data nor url', async () => {
    const [ws, peer] = await pair(role);
    peer.resume();
    ws.data = { password: 'secret' };
    ws.send('abc');
    const text = inspect(ws, { breakLength: Number.POSITIVE_INFINITY });
    expect(text).toBe(
      `WebSocketConnection { role: '${role}', state: 'open', remoteAddress: '127.0.0.1', ` +
        `remotePort: ${peer.localPort}, localAddress: '127.0.0.1', localPort: ${peer.remotePort}, ` +
        `subprotocol: '', stats: { messagesReceived: 0, messagesSent: 1, bytesReceived: 0, bytesSent: 3 } }`,
    );
    expect(inspect({ a: { b: { c: ws } } })).toContain('[WebSocketConnection]');
    expect(inspect({ ws })).toContain("state: 'open'");
    await ws.close();
    expect(inspect(ws)).toContain("state: 'closed'");
  });

  test('shows a Proxy of a connection, and what inherits from one, by its name', async () => {
    const [ws, peer] = await pair(role);
    for (const one of [new Proxy(ws, {}), Object.create(ws)]) {
      expect(inspect(one)).toBe('[WebSocketConnection]');
    }
    for (const each of [ws, peer]) each.terminate();
  });

  test('does not begin to consume', async () => {
    const [ws, peer] = await pair(role);
    peer.send('first');
    await turns(3);
    inspect(ws);
    expect(await (await ws.receive())?.text()).toBe('first');
    await ws.close();
  });
});

describe.each(roles)('the event message of a %s', (role) => {
  test('[P-49] has a string for text, a Buffer for binary', async () => {
    const [ws, peer] = await pair(role);
    const seen: unknown[] = [];
    peer.on('message', (data, type) => {
      // The test of the type narrows the data
      if (type === 'text') seen.push(data.toUpperCase());
      else seen.push(data.readUInt8(0));
    });
    ws.send('a');
    ws.send(Buffer.of(7));
    await vi.waitFor(() => expect(seen).toEqual(['A', 7]));
    await ws.close();
  });
});
