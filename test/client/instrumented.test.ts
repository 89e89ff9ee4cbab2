/** Other code that stands between `connect()` and `node:http`: instrumentation, and agents of proxies. */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type Agent, createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { ProxyAgent } from 'proxy-agent';
import { afterEach, describe, expect, test } from 'vitest';
import { connect, WebSocketServer } from '../../src/index.js';
import { cert, key } from '../server/certificate.js';
import { checkSideConditions } from '../support/side-conditions.js';

checkSideConditions();

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

/** Compiles a program of `programs/`, and runs it in a process of its own. */
async function runProgram(name: string): Promise<Record<string, unknown>> {
  const folder = join(root, '.cache', 'programs', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const config = {
    extends: '../../../tsconfig.json',
    compilerOptions: { noEmit: false, rootDir: '../../..', outDir: 'out' },
    include: [`../../../test/client/programs/${name}.ts`, '../../../src'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  await run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder]);
  const program = join(folder, 'out', 'test', 'client', 'programs', `${name}.js`);
  const { stdout } = await run(process.execPath, ['--no-warnings', program]);
  return JSON.parse(stdout);
}

test('[X-24] a process instrumented with OpenTelemetry connects, and sends the fields of its trace', {
  timeout: 60_000,
}, async () => {
  const { echo, subprotocol, fields, spans, port } = await runProgram('opentelemetry');
  expect([echo, subprotocol]).toEqual(['hello', 'v1']);
  expect(fields).toEqual([
    [
      'Host',
      'Upgrade',
      'Connection',
      'Sec-WebSocket-Key',
      'Sec-WebSocket-Version',
      'Sec-WebSocket-Protocol',
      'X-Two',
      'X-Two',
      'traceparent',
    ],
  ]);
  expect(spans).toEqual([['GET', `http://127.0.0.1:${port}/traced`]]);
});

describe('an agent of a proxy', () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  });

  /** A proxy that tunnels by CONNECT, and refuses all else. */
  async function proxy(): Promise<{ readonly url: string; readonly requests: string[] }> {
    const requests: string[] = [];
    const sockets = new Set<Socket>();
    const server = createHttpServer((request, response) => {
      requests.push(`${request.method} ${request.url}`);
      response.writeHead(403).end('No tunnel');
    });
    server.on('connection', (socket) => sockets.add(socket));
    server.on('connect', (request: IncomingMessage, socket: Socket) => {
      requests.push(`CONNECT ${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
      const [, port] = request.url!.split(':');
      const target = connectTcp(Number(port), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(target).pipe(socket);
      });
      sockets.add(target);
      for (const one of [socket, target]) one.on('error', () => {});
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
  }

  async function echo(secure: boolean): Promise<number> {
    const http = secure ? createHttpsServer({ key, cert }) : createHttpServer();
    const server = new WebSocketServer({ server: http });
    server.on('connection', (ws) => ws.on('message', (data) => ws.send(data)));
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    cleanups.push(async () => {
      await server.close({ timeout: 100 });
      http.close();
    });
    return (http.address() as AddressInfo).port;
  }

  const agents: [name: string, make: (url: string) => Agent][] = [
    ['https-proxy-agent', (url) => new HttpsProxyAgent(url)],
    ['proxy-agent', (url) => new ProxyAgent({ getProxyForUrl: () => url })],
  ];

  for (const [name, make] of agents) {
    test.each(['ws', 'wss'])(`[X-24] ${name} sees Upgrade and sends CONNECT for %s:`, async (scheme) => {
      const port = await echo(scheme === 'wss');
      const { url, requests } = await proxy();
      const agent = make(url.replace('//', '//user:pass@'));
      cleanups.push(() => agent.destroy());
      const ws = await connect(`${scheme}://localhost:${port}/`, { agent, tls: { ca: cert } });
      const login = `Basic ${Buffer.from('user:pass').toString('base64')}`;
      expect(requests).toEqual([`CONNECT localhost:${port} ${login}`]);
      ws.send('through the proxy');
      expect(await (await ws.receive())?.text()).toBe('through the proxy');
      await ws.close();
    });
  }

  test('[X-24] a proxy that refuses the tunnel is a HandshakeError', async () => {
    const port = await echo(false);
    const { url } = await proxy();
    const refusing = new HttpsProxyAgent(url, { headers: { 'X-A': 'b' } });
    cleanups.push(() => refusing.destroy());
    const silent = createHttpServer();
    silent.on('connect', (_request, socket) =>
      socket.end('HTTP/1.1 407 Authenticate\r\nContent-Length: 0\r\n\r\n'),
    );
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    cleanups.push(() => silent.close());
    const agent = new HttpsProxyAgent(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
    await expect(connect(`ws://localhost:${port}/`, { agent })).rejects.toMatchObject({
      code: 'ERR_HANDSHAKE',
      status: 407,
    });
    const ws = await connect(`ws://localhost:${port}/`, { agent: refusing });
    await ws.close();
  });
});
