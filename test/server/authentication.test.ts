import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import {
  type Authentication,
  accept,
  connect,
  HandshakeError,
  type WebSocketConnection,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../src/index.js';
import { checkNothingLeft } from '../support/nothing-left.js';

checkNothingLeft();

interface User {
  readonly name: string;
}

const servers: WebSocketServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ timeout: 100 })));
});

/** A server that knows the user of `?name=`. */
async function start(options: Omit<WebSocketServerOptions<User>, 'port'> = {}): Promise<{
  server: WebSocketServer<User>;
  url: string;
}> {
  const server = new WebSocketServer<User>({
    authenticate: (_request, { url }) => ({ data: { name: url.searchParams.get('name') ?? 'nobody' } }),
    ...options,
    port: 0,
    host: '127.0.0.1',
  });
  servers.push(server);
  await once(server, 'listening');
  return { server, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe('§10.5 data of authenticate', () => {
  test('[P-38] [P-86] [P-87] is the data of its connection, in the event, in connections and in the filter of broadcast()', async () => {
    const { server, url } = await start();
    const names: (string | undefined)[] = [];
    server.on('connection', (ws) => names.push(ws.data?.name));
    const ada = await connect(`${url}/?name=ada`);
    const bob = await connect(`${url}/?name=bob`);
    expect(names).toEqual(['ada', 'bob']);
    expect([...server.connections].map((ws) => ws.data?.name)).toEqual(['ada', 'bob']);
    expect(server.broadcast('hi', { filter: (ws) => ws.data?.name === 'bob' })).toEqual({ sent: 1, full: 0 });
    expect(await (await bob.receive())?.text()).toBe('hi');
    await Promise.all([ada.close(), bob.close()]);
  });

  test('is the same object, which the application may replace, and which stays after the end', async () => {
    const user: User = { name: 'ada' };
    const { server, url } = await start({ authenticate: async () => ({ data: user }) });
    const [[ws], client] = await Promise.all([once(server, 'connection'), connect(url)]);
    const connection = ws as WebSocketConnection<User>;
    expect(connection.data).toBe(user);
    connection.data = { name: 'bob' };
    await client.close();
    await connection.closed;
    expect(connection.data).toEqual({ name: 'bob' });
  });

  test.each<[string, Omit<WebSocketServerOptions<User>, 'port'>]>([
    ['true', { authenticate: () => true }],
    ['maxMessageSize alone', { authenticate: () => ({ maxMessageSize: 10 }) }],
    ['no authenticate', {}],
  ])('[P-38] [P-86] is undefined with %s; a client sets its own', async (_title, options) => {
    const server = new WebSocketServer<User>({ port: 0, host: '127.0.0.1', ...options });
    servers.push(server);
    await once(server, 'listening');
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [[ws], client] = await Promise.all([once(server, 'connection'), connect<User>(url)]);
    expect((ws as WebSocketConnection<User>).data).toBe(undefined);
    expect(client.data).toBe(undefined);
    client.data = { name: 'ada' };
    expect(client.data.name).toBe('ada');
    await client.close();
  });

  test('comes with accept() and handleUpgrade() as well', async () => {
    const http = createServer().listen(0, '127.0.0.1');
    await once(http, 'listening');
    const authenticate = async (): Promise<Authentication<User>> => ({ data: { name: 'ada' } });
    const byHand = new WebSocketServer<User>({ noServer: true, authenticate });
    servers.push(byHand);
    const names: unknown[] = [];
    http.on('upgrade', async (request, socket, head) => {
      const ws =
        request.url === '/accept'
          ? await accept<User>(request, socket, head, { authenticate })
          : await byHand.handleUpgrade(request, socket, head);
      names.push(ws.data?.name);
    });
    const { port } = http.address() as AddressInfo;
    for (const path of ['accept', 'upgrade']) {
      const ws = await connect(`ws://127.0.0.1:${port}/${path}`);
      await ws.close();
    }
    expect(names).toEqual(['ada', 'ada']);
    await new Promise((resolve) => http.close(resolve));
  });
});

describe('maxMessageSize of authenticate', () => {
  test.each([
    ['smaller', 10, 11],
    ['0', 0, 1],
    ['larger', 1000, 1001],
  ])(
    '[P-86] %s than that of the server bounds its connection alone: 1009 beyond',
    async (_title, limit, size) => {
      const { server, url } = await start({
        maxMessageSize: 100,
        authenticate: (request) => request.url === '/plain' || { maxMessageSize: limit },
      });
      server.on('connection', (ws) => ws.on('message', (data) => ws.send(data)));
      const ws = await connect(url);
      const plain = await connect(`${url}/plain`);
      ws.send('x'.repeat(limit));
      expect((await (await ws.receive())?.text())?.length).toBe(limit);
      ws.send('x'.repeat(size));
      expect((await ws.closed).code).toBe(1009);
      plain.send('x'.repeat(100));
      expect((await (await plain.receive())?.text())?.length).toBe(100);
      plain.send('x'.repeat(101));
      expect((await plain.closed).code).toBe(1009);
    },
  );
});

test.each<[string, unknown, typeof TypeError | typeof RangeError, RegExp]>([
  ['nothing', undefined, TypeError, /a boolean or an object: undefined/],
  ['a user', { name: 'ada' }, TypeError, /found name$/],
  ['an empty object', {}, TypeError, /it is empty$/],
  ['a maxMessageSize of -1', { maxMessageSize: -1 }, RangeError, /maxMessageSize/],
  ['a maxMessageSize of 1.5', { maxMessageSize: 1.5 }, RangeError, /maxMessageSize/],
  ['a maxMessageSize of "1"', { maxMessageSize: '1' }, TypeError, /maxMessageSize/],
  [
    'an object whose data throws',
    {
      get data(): never {
        throw new RangeError('data of the application');
      },
    },
    RangeError,
    /^data of the application$/,
  ],
])('a result that is %s is an error of the application: 500, the cause says which', async (...given) => {
  const [, result, type, message] = given;
  const { server, url } = await start({ authenticate: async () => result as Authentication<User> });
  const rejected = once(server, 'rejected');
  const error: unknown = await connect(url).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(HandshakeError);
  expect(error).toMatchObject({ status: 500, body: 'Internal Server Error' });
  const [{ status, cause }] = (await rejected) as [HandshakeError];
  expect(status).toBe(500);
  expect(cause).toBeInstanceOf(type);
  expect((cause as Error).message).toMatch(message);
});

test('a refusal whose headers throw, and one whose maxMessageSize changes: read once, or answered with 500', async () => {
  let reads = 0;
  const changing = {
    get maxMessageSize(): number {
      return reads++ === 0 ? 10 : Number.NaN;
    },
  };
  const late = {
    status: 403,
    get headers(): Record<string, string> {
      if (reads++ > 1) throw new Error('headers of the application');
      return {};
    },
  };
  const { server, url } = await start({
    authenticate: (request) => (request.url === '/late' ? late : changing),
  });
  server.on('connection', (ws) => ws.resume());
  const ws = await connect(url);
  expect(reads).toBe(1);
  ws.send('x'.repeat(11));
  expect((await ws.closed).code).toBe(1009);
  const error: unknown = await connect(`${url}/late`).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(HandshakeError);
  expect(error).toMatchObject({ status: 500 });
});
