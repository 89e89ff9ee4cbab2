/** Async listeners and promises that nobody awaits: whatever the peer does, the process lives. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { connect, type WebSocketConnection, WebSocketServer } from '../../../src/index.js';
import { roles } from '../../support/frames.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { pair, RawPeer, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

const code = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);

/** Frames of a peer to both roles are different; what it does is the same. */
type Leave = (peer: RawPeer) => void;

/** How a peer can leave. */
const leaves: Readonly<Record<string, Leave>> = {
  'a Close frame': (peer) => peer.send(8, code(1000)).socket.end(),
  'a Close frame without FIN': (peer) => void peer.send(8, code(1000)),
  'messages and a Close frame': (peer) => peer.send(1, 'a').send(1, 'b').send(8, code(4000)).socket.end(),
  FIN: (peer) => peer.socket.end(),
  'FIN inside a message': (peer) => peer.send(1, 'cut', { fin: false }).socket.end(),
  RST: (peer) => peer.socket.resetAndDestroy(),
  'a message and RST': (peer) => peer.send(1, 'a').socket.resetAndDestroy(),
  'ff ff': (peer) => peer.socket.write(Buffer.from('ffff', 'hex')),
  'a message and ff ff': (peer) => peer.send(1, 'a').socket.write(Buffer.from('ffff', 'hex')),
  'bad UTF-8': (peer) => void peer.send(1, Buffer.from([0xff])),
  'a message over the limit': (peer) => void peer.send(2, '', { length: 1n << 40n }),
};

/** Calls that nobody awaits. */
const calls: Readonly<Record<string, (ws: WebSocketConnection) => unknown>> = {
  "on('message')": (ws) => ws.on('message', () => {}),
  "once('message')": (ws) => ws.once('message', () => {}),
  'resume()': (ws) => ws.resume(),
  'pause(), resume()': (ws) => {
    ws.pause();
    ws.resume();
  },
  'send()': (ws) => ws.send('late'),
  'send(Blob)': (ws) => ws.send(new Blob(['late'])),
  'ping()': (ws) => ws.ping(),
  'pong()': (ws) => ws.pong(),
  'drained()': (ws) => {
    ws.send(Buffer.alloc(4_000_000));
    return ws.drained();
  },
  'receive()': (ws) => ws.receive(),
  'receive() twice': (ws) => [ws.receive(), ws.receive()],
  'receive() in a loop': async (ws) => {
    try {
      for (let message = await ws.receive(); message !== null; message = await ws.receive())
        void message.text();
    } catch {
      // That is how the application sees the end
    }
  },
  'next() of an iterator': (ws) => ws[Symbol.asyncIterator]().next(),
  'text() of a message': (ws) =>
    void ws.receive().then(
      (message) => void message?.text(),
      () => {},
    ),
  'next() of a message': (ws) =>
    void ws.receive().then(
      (message) => void message?.[Symbol.asyncIterator]().next(),
      () => {},
    ),
  'write() and end() of a writer': (ws) => {
    const writer = ws.createWriter('text');
    void writer.write('late');
    void writer.end();
  },
  'abort() of a writer': (ws) => {
    const writer = ws.createWriter('text');
    void writer.write('late');
    writer.abort();
  },
  'sendStream()': (ws) => ws.sendStream(['late', 'too late'], { type: 'text' }),
  'close()': (ws) => ws.close(),
  'close() and terminate()': (ws) => {
    void ws.close();
    ws.terminate();
  },
  closed: (ws) => ws.closed,
};

/** A client of a server that does the opening handshake by hand. */
async function rawClient(port: number): Promise<RawPeer> {
  const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true }) as Socket;
  socket.write(
    'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await once(socket, 'data');
  return new RawPeer(socket, 'server');
}

describe.each(Object.entries(leaves))('a peer that leaves by %s', (_, leave) => {
  test('[X-04] [P-73] while an async connection handler awaits: nothing throws, nothing is unhandled', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', closeTimeout: 50 });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const names = Object.keys(calls);
    let opened = 0;
    const states: string[] = [];
    const handled: Promise<void>[] = [];
    server.on('connection', (ws) => {
      const call = calls[names[opened++]!]!;
      const handle = async (): Promise<void> => {
        // A query of a database, while the peer leaves
        await new Promise((resolve) => setTimeout(resolve, 5));
        await turns(3);
        states.push(ws.state);
        call(ws);
        await ws.closed;
      };
      handled.push(handle());
    });
    for (let i = 0; i < names.length; i++) leave(await rawClient(port));
    await expect.poll(() => handled.length).toBe(names.length);
    // What is left to consume would hold the end: the application leaves
    await new Promise((resolve) => setTimeout(resolve, 60));
    for (const ws of server.connections) ws.terminate();
    await Promise.all(handled);
    expect(states.length).toBe(names.length);
    await server.close();
  });

  describe.each(roles)('to a %s', (role) => {
    test('[X-06] [P-73] [P-75] calls that are not awaited: the process lives, and every promise settles', async () => {
      const all: WebSocketConnection[] = [];
      const settled: Promise<unknown>[] = [];
      for (const call of Object.values(calls)) {
        const [ws, peer] = await rawPair(role, { options: { closeTimeout: 30 } });
        all.push(ws);
        const result = call(ws);
        // No handler is attached before the process had the chance to see them unhandled
        await turns(1);
        leave(peer);
        settled.push(ws.closed.then(() => turns(2)).then(() => Promise.allSettled([result].flat())));
      }
      await turns(5);
      await new Promise((resolve) => setTimeout(resolve, 40));
      for (const ws of all) ws.terminate();
      await Promise.all(settled);
    });

    test('[X-06] [P-75] calls after the end that are not awaited: the process lives', async () => {
      for (const call of Object.values(calls)) {
        const [ws, peer] = await rawPair(role, { options: { closeTimeout: 20 } });
        leave(peer);
        await turns(4);
        ws.terminate();
        await ws.closed;
        await Promise.allSettled([call(ws)].flat());
        await turns(1);
      }
    });
  });
});

describe.each(roles)('a %s', (role) => {
  test.each(['message', 'ping', 'pong', 'drain', 'close'] as const)(
    '[X-04] [P-78] an async %s listener that rejects by the end of its own connection is ignored',
    async (event) => {
      const [ws, peer] = await rawPair(role, { options: { highWaterMark: 10 } });
      const errors: unknown[] = [];
      ws.on('error', (error) => errors.push(error));
      let ran = false;
      ws.on('message', () => {});
      ws.on(event, async () => {
        ran = true;
        await ws.closed;
        await ws.createWriter('text').write('late');
      });
      ws.send('over the mark');
      peer.send(1, 'x').send(9, 'x').send(10, 'x');
      await peer.until(({ frames }) => frames.length > 0);
      await turns(5);
      peer.send(8, code(1000)).socket.end();
      await ws.closed;
      await turns(5);
      expect([ran, errors]).toEqual([true, []]);
    },
  );

  test('[X-04] [P-80] an async listener that rejects with anything else closes with 1011, and is emitted', async () => {
    const [ws, peer] = await rawPair(role, { options: { closeTimeout: 200 } });
    const errors: unknown[] = [];
    ws.on('error', (error) => errors.push(error));
    const bug = new Error('a bug');
    ws.on('message', async () => {
      await turns(1);
      throw bug;
    });
    peer.send(1, 'x').send(1, 'y');
    await peer.until(({ frames }) => frames.some(({ opcode }) => opcode === 8));
    expect(peer.frames.find(({ opcode }) => opcode === 8)!.payload).toEqual(code(1011));
    peer.send(8, code(1011)).socket.end();
    expect((await ws.closed).code).toBe(1011);
    expect(errors[0]).toBe(bug);
    expect(new Set(errors)).toEqual(new Set([bug]));
  });

  test('[X-07] a loop over connections some of which are closing: false there, the others get theirs', async () => {
    const got: string[][] = [];
    const own: WebSocketConnection[] = [];
    for (let i = 0; i < 6; i++) {
      const [ws, peer] = await pair(role);
      const texts: string[] = [];
      peer.on('message', (data) => texts.push(String(data)));
      ws.resume();
      got.push(texts);
      own.push(ws);
    }
    void own[0]!.close();
    own[1]!.terminate();
    own[2]!.createWriter('text').abort();
    await own[3]!.close();
    const sent = own.map((ws) => [ws.send('all'), ws.send(Buffer.from('all')), ws.send(new Blob(['all']))]);
    const room = [true, true, true];
    const none = [false, false, false];
    expect(sent).toEqual([none, none, room, none, room, room]);
    await Promise.all(own.map((ws) => ws.close()));
    expect(got.map((texts) => texts.length)).toEqual([0, 0, 3, 0, 3, 3]);
  });
});

test('[X-07] broadcast(), and a loop over server.connections, while one closes and one is terminated', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.on('connection', (ws) => ws.resume());
  const clients: WebSocketConnection[] = [];
  const got: string[][] = [];
  for (let i = 0; i < 5; i++) {
    const ws = await connect(`ws://127.0.0.1:${port}`);
    const texts: string[] = [];
    ws.on('message', (data) => texts.push(String(data)));
    got.push(texts);
    clients.push(ws);
  }
  await expect.poll(() => server.connections.size).toBe(5);
  const [first, second] = [...server.connections];
  void first!.close(4000);
  second!.terminate();
  for (const ws of server.connections) ws.send('to each');
  server.broadcast('to all');
  await server.close();
  await Promise.all(clients.map((ws) => ws.closed));
  expect(got.map((texts) => texts.join()).toSorted()).toEqual([
    '',
    '',
    ...Array<string>(3).fill('to each,to all'),
  ]);
});

test('[X-06] handleUpgrade() that is not awaited, of a refused request: the process lives', async () => {
  const server = new WebSocketServer({ noServer: true, authenticate: () => ({ status: 403 }) });
  const http = createServer().listen(0, '127.0.0.1');
  http.on('upgrade', (request, socket, head) => void server.handleUpgrade(request, socket, head));
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;
  await expect(connect(`ws://127.0.0.1:${port}`)).rejects.toMatchObject({ status: 403 });
  await turns(5);
  await server.close();
  http.close();
});
