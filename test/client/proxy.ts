/** Proxies of the tests: each takes the user `user` with the password `pass` only, and remembers what it was asked. */

import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface TestProxy {
  /** With user and password. */
  readonly url: string;
  readonly requests: string[];
  close(): void;
}

const login = `Basic ${Buffer.from('user:pass').toString('base64')}`;

/** A proxy of HTTP: it tunnels by CONNECT, and forwards upgrade requests in absolute-form. */
export async function httpProxy(): Promise<TestProxy> {
  const requests: string[] = [];
  const server = createHttpServer((_request, response) => response.writeHead(403).end('No tunnel'));
  const sockets = track(server);
  const admit = (request: IncomingMessage, socket: Socket): boolean => {
    requests.push(`${request.method} ${request.url}`);
    if (request.headers['proxy-authorization'] === login) return true;
    socket.end('HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n');
    return false;
  };
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    if (!admit(request, socket)) return;
    const target = join(socket, Number(request.url!.split(':')[1]), sockets);
    target.once('connect', () => socket.write('HTTP/1.1 200 Connection established\r\n\r\n'));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    if (!admit(request, socket)) return;
    const { pathname, search, port } = new URL(request.url!);
    const lines = request.rawHeaders
      .flatMap((name, index, all) => (index % 2 === 0 ? [[name, all[index + 1]!] as const] : []))
      .filter(([name]) => !name.toLowerCase().startsWith('proxy-'))
      .map(([name, value]) => `${name}: ${value}`);
    join(socket, Number(port), sockets).write(
      [`GET ${pathname}${search} HTTP/1.1`, ...lines, '\r\n'].join('\r\n'),
    );
  });
  return listening(server, 'http', requests, sockets);
}

/** A proxy of SOCKS5, RFC 1928, with the user and password of RFC 1929. */
export async function socksProxy(): Promise<TestProxy> {
  const requests: string[] = [];
  const server = createServer(async (socket) => {
    socket.on('error', () => {});
    const read = async (length: number): Promise<Buffer> => {
      for (;;) {
        const chunk = socket.read(length) as Buffer | null;
        if (chunk !== null) return chunk;
        if (socket.destroyed) throw new Error('The client is gone');
        await once(socket, 'readable');
      }
    };
    const text = async (): Promise<string> => (await read((await read(1))[0]!)).toString();
    const [, methods = 0] = await read(2);
    await read(methods);
    socket.write(Buffer.of(5, 2));
    await read(1);
    const user = `${await text()}:${await text()}`;
    socket.write(Buffer.of(1, user === 'user:pass' ? 0 : 1));
    if (user !== 'user:pass') return;
    const type = (await read(4))[3];
    const host = type === 3 ? await text() : [...(await read(4))].join('.');
    const port = (await read(2)).readUInt16BE();
    requests.push(`SOCKS ${host}:${port}`);
    socket.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    join(socket, port, sockets);
  });
  const sockets = track(server);
  return listening(server, 'socks5h', requests, sockets);
}

function track(server: Server): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  return sockets;
}

/** Joins a client and the server at a port of this machine. */
function join(client: Socket, port: number, sockets: Set<Socket>): Socket {
  const target = connect(port, '127.0.0.1');
  sockets.add(target);
  for (const one of [client, target]) one.on('error', () => {});
  client.pipe(target).pipe(client);
  return target;
}

async function listening(
  server: Server,
  scheme: string,
  requests: string[],
  sockets: Set<Socket>,
): Promise<TestProxy> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `${scheme}://user:pass@127.0.0.1:${port}`, requests, close };
}
