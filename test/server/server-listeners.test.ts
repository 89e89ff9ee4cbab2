import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import {
  connect,
  HandshakeError,
  type WebSocketConnection,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../src/index.js';
import { checkSideConditions, expectEcho, expectedFault } from '../support/side-conditions.js';
import { longestStall, MAX_STALL, shortestOf } from '../support/stalls.js';
import { upgradeInMemory } from '../support/upgrade.js';
import { turns } from '../support/wire.js';
import { xorFactory } from '../support/xor.js';
import { maskedFrame, opened, RawClient, refused, requestText } from './raw.js';

checkSideConditions();

const servers: WebSocketServer[] = [];
const httpServers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close({ timeout: 0 });
  for (const server of httpServers.splice(0)) {
    server.closeAllConnections();
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
});

async function start(options: Partial<WebSocketServerOptions> = {}): Promise<WebSocketServer> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
  servers.push(server);
  await once(server, 'listening');
  return server;
}

const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;

const echo = (ws: WebSocketConnection): void => void ws.on('message', (data) => ws.send(data));

describe('an application that removes all listeners of a connection', () => {
  test('changes nothing for the server: it knows when the connection is closed, and shuts down', async () => {
    const server = await start();
    server.on('connection', (ws) => {
      echo(ws);
      ws.removeAllListeners().resume();
    });
    const [first, second] = [await RawClient.connect(portOf(server)), await opened(portOf(server))];
    await using _first = first;
    await using _second = second;
    await first.write(requestText()).response();
    const [ws, other] = [...server.connections].toReversed();
    expect(ws!.listenerCount('close')).toBe(0);
    ws!.terminate();
    await ws!.closed;
    expect([...server.connections]).toEqual([other]);
    await server.close({ timeout: 0 });
    expect([other!.state, server.connections.size]).toEqual(['closed', 0]);
  });

  test('leaves rejections of its async listeners to the server', async () => {
    const server = await start();
    const errors: unknown[] = [];
    server.on('error', (error) => errors.push(error));
    const failure = new Error('A mistake of the application');
    server.on('connection', (ws) => {
      ws.removeAllListeners().on('message', async () => {
        throw failure;
      });
    });
    const ws = await connect(`ws://127.0.0.1:${portOf(server)}/`);
    ws.send('a');
    expect(await ws.closed).toMatchObject({ code: 1011 });
    expect(errors).toEqual([failure]);
  });
});

test('a connection is gone from connections when its close listeners run', async () => {
  const server = await start();
  const sizes: number[] = [];
  server.on('connection', (ws) => ws.prependListener('close', () => sizes.push(server.connections.size)));
  const ws = await connect(`ws://127.0.0.1:${portOf(server)}/`);
  const [own] = server.connections;
  own!.terminate();
  await ws.closed;
  await own!.closed;
  expect(sizes).toEqual([0]);
});

describe('an async connection listener', () => {
  test('[P-78] that rejects with the end of its own connection is no failure', async () => {
    const server = await start();
    let rejections = 0;
    server.on('connection', async (ws, request) => {
      if (request.url === '/echo') return echo(ws);
      try {
        for await (const message of ws) await message.text();
      } catch (error) {
        rejections++;
        throw error;
      }
    });
    const frames = [Buffer.from('ffff', 'hex'), Buffer.from('81850000000061', 'hex')];
    for (const end of [
      (client: RawClient) => client.socket.end(),
      (client: RawClient) => client.socket.resetAndDestroy(),
      (client: RawClient) => client.write(frames[0]!).socket.end(),
      (client: RawClient) => client.write(frames[1]!).socket.end(),
    ]) {
      await using client = await opened(portOf(server));
      const [ws] = server.connections;
      end(client);
      await ws!.closed;
      await expectEcho(portOf(server), {}, '/echo');
    }
    expect(rejections).toBe(4);
  });

  test('[P-79] that rejects with anything else: the connection closes with 1011, and error is emitted', async () => {
    const server = await start();
    const failure = new Error('A mistake of the application');
    const errors: unknown[] = [];
    server.on('error', (error) => errors.push(error));
    server.on('connection', async (ws, request) => {
      if (request.url === '/echo') return echo(ws);
      await turns(2);
      throw failure;
    });
    const ws = await connect(`ws://127.0.0.1:${portOf(server)}/`);
    expect(await ws.closed).toMatchObject({ code: 1011, wasClean: true });
    expect(errors).toEqual([failure]);
    await expectEcho(portOf(server), {}, '/echo');
  });

  test('that rejects with the end of another connection fails, as with anything else', async () => {
    const server = await start();
    const errors: unknown[] = [];
    server.on('error', (error) => errors.push(error));
    const other = await connect(`ws://127.0.0.1:${portOf(server)}/echo`);
    other.terminate();
    await other.closed;
    server.on('connection', async () => {
      await other.drained();
    });
    const ws = await connect(`ws://127.0.0.1:${portOf(server)}/`);
    expect(await ws.closed).toMatchObject({ code: 1011 });
    expect(errors).toHaveLength(1);
  });

  test('[P-81] that rejects where error has no listener: thrown, as a bug of the application', async () => {
    const server = await start();
    const failure = new Error('A mistake of the application');
    server.on('connection', async (ws, request) => {
      if (request.url === '/echo') return echo(ws);
      throw failure;
    });
    const ws = await connect(`ws://127.0.0.1:${portOf(server)}/`);
    expect(await expectedFault()).toBe(failure);
    expect(await ws.closed).toMatchObject({ code: 1011 });
    await expectEcho(portOf(server), {}, '/echo');
  });

  test('[P-79] of a connection, such as of message, that rejects: 1011, and error is emitted on the server', async () => {
    const server = await start();
    const errors: unknown[] = [];
    server.on('error', (error) => errors.push(error));
    server.on('connection', (ws, request) => {
      if (request.url === '/echo') return echo(ws);
      ws.on('message', async (data) => {
        await turns(1);
        JSON.parse(`${data}`);
      });
    });
    const ws = await connect(`ws://127.0.0.1:${portOf(server)}/`);
    ws.send('no JSON');
    expect(await ws.closed).toMatchObject({ code: 1011 });
    expect(errors).toEqual([expect.any(SyntaxError)]);
    await expectEcho(portOf(server), {}, '/echo');
  });

  test('[P-79] of another event that rejects: error; one of error itself that rejects: thrown, once', async () => {
    const server = await start();
    const failure = new Error('A mistake of the application');
    server.on('rejected', async () => {
      throw failure;
    });
    const errors: unknown[] = [];
    server.on('error', async (error) => {
      errors.push(error);
      throw new Error('Another one');
    });
    expect((await refused(portOf(server), { Upgrade: 'h2c' })).status).toBe(426);
    expect(await expectedFault()).toHaveProperty('message', 'Another one');
    expect(errors).toEqual([failure]);
  });
});

describe('handleUpgrade() that is not awaited', () => {
  async function byHand(options: Partial<WebSocketServerOptions> = {}) {
    const server = new WebSocketServer({ noServer: true, ...options });
    servers.push(server.on('connection', echo));
    const http = createServer();
    httpServers.push(http.listen(0, '127.0.0.1'));
    await once(http, 'listening');
    http.on('upgrade', (request, socket, head) => {
      server.handleUpgrade(request, socket, head);
    });
    return { server, port: portOf(http) };
  }

  test('[X-06] [P-75] of a request that is refused: the process lives, rejected is emitted', async () => {
    const { server, port } = await byHand({ origins: [] });
    const statuses: number[] = [];
    server.on('rejected', (error) => statuses.push(error.status));
    expect((await refused(port, { 'Sec-WebSocket-Key': 'x' })).status).toBe(400);
    expect((await refused(port, { Origin: 'http://evil.example' })).status).toBe(403);
    await turns(5);
    expect(statuses).toEqual([400, 403]);
    await expectEcho(port);
  });

  test('[X-06] of a peer that is gone: the process lives', async () => {
    let decide: (() => void) | undefined;
    const { server, port } = await byHand({
      authenticate: (request) =>
        request.url === '/' || new Promise<boolean>((resolve) => (decide = () => resolve(false))),
    });
    const rejected = once(server, 'rejected');
    const client = await RawClient.connect(port);
    client.write(requestText({}, 'GET /slow HTTP/1.1'));
    while (decide === undefined) await turns(1);
    client.socket.resetAndDestroy();
    expect((await rejected)[0]).toBeInstanceOf(HandshakeError);
    decide();
    await expectEcho(port);
  });

  test.each<[string, unknown[]]>([
    ['request', [null, new Duplex(), Buffer.alloc(0)]],
    ['socket', [{}, {}, Buffer.alloc(0)]],
    ['socket', [{}, null, Buffer.alloc(0)]],
    ['head', [{}, new Duplex(), undefined]],
  ])('[X-06] [P-77] with a wrong %s is an unhandled TypeError', async (name, parameters) => {
    const server = new WebSocketServer({ noServer: true });
    server.handleUpgrade(...(parameters as Parameters<WebSocketServer['handleUpgrade']>));
    const error = await expectedFault();
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(`Argument ${name}`);
    await server.close();
  });
});

describe('extensions', () => {
  test('[X-19] two are configured and offered: the first offered is agreed on, and works', async () => {
    for (const xorFirst of [true, false]) {
      const options = { extensions: [xorFactory()], compression: true };
      const server = await start(options);
      server.on('connection', echo);
      await using client = await RawClient.connect(portOf(server));
      const offers = ['x-xor', 'permessage-deflate'];
      const field = (xorFirst ? offers : offers.toReversed()).join(', ');
      const { status, headers } = await client
        .write(requestText({ 'Sec-WebSocket-Extensions': field }))
        .response();
      expect([status, headers['sec-websocket-extensions']]).toEqual([101, field.split(', ')[0]]);
      const ws = await connect(`ws://127.0.0.1:${portOf(server)}/`, options);
      expect(ws.extensions).toBe('permessage-deflate');
      ws.send('through one'.repeat(100));
      expect(await (await ws.receive())?.text()).toBe('through one'.repeat(100));
      await ws.close();
      await expectEcho(portOf(server));
    }
  });
});

describe('close() of many connections', () => {
  /** A socket in memory, whose peer reads all and says nothing. */
  class Silent extends Duplex {
    override _read(): void {}
    override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
      done();
    }
    override _writev(_chunks: unknown, done: () => void): void {
      done();
    }
  }

  test('[X-35] spreads it over turns: 19,000 of them block none for long, the timeout counts from the call', async () => {
    // 668 ms in one turn
    const stall = await shortestOf(async () => {
      const server = new WebSocketServer({ noServer: true, pingInterval: 0 });
      const sockets = Array.from({ length: 19_000 }, () => new Silent());
      for (const [index, socket] of sockets.entries()) {
        await upgradeInMemory(server, socket);
        if (index % 500 === 0) await turns(1);
      }
      await turns(5);
      expect(server.connections.size).toBe(19_000);
      const [first] = server.connections;
      first!.terminate();
      await first!.closed;
      const began = performance.now();
      const longest = await longestStall(() => server.close({ timeout: 700 }));
      expect(performance.now() - began).toBeGreaterThan(690);
      expect(server.connections.size).toBe(0);
      expect(sockets.every((socket) => socket.destroyed)).toBe(true);
      return longest;
    });
    expect(stall).toBeLessThan(MAX_STALL);
  });

  test('[X-35] new handshakes are refused at once, and connections that end meanwhile are left alone', async () => {
    const http = createServer();
    httpServers.push(http.listen(0, '127.0.0.1'));
    await once(http, 'listening');
    const server = new WebSocketServer({ server: http });
    await using leaving = await opened(portOf(http));
    await using client = await opened(portOf(http));
    const [first, second] = server.connections;
    const closed = server.close();
    first!.terminate();
    expect((await refused(portOf(http))).status).toBe(503);
    await client.bytes(4);
    client.write(maskedFrame(8, '03e9'));
    await closed;
    expect([(await first!.closed).code, (await second!.closed).code]).toEqual([1006, 1001]);
    await leaving.until(() => false);
  });
});

describe('the option server', () => {
  test.each<[string, unknown]>([
    ['a TCP server', createTcpServer()],
    ['an application', Object.assign(() => {}, { on: () => {}, listen: () => {} })],
    ['a port', 8080],
    ['null', null],
    ['an address', 'http://localhost'],
    ['a socket', { on: () => {} }],
  ])('[P-97] that is %s throws a TypeError', (_title, server) => {
    expect(() => new WebSocketServer({ server: server as Server })).toThrow(
      expect.objectContaining({ name: 'TypeError', message: expect.stringContaining('Option server') }),
    );
  });
});
