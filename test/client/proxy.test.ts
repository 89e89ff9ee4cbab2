/** Agents of proxies: they look at the header fields of the request, and make its socket. */

import { once } from 'node:events';
import { type Agent, createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { ProxyAgent } from 'proxy-agent';
import { SocksProxyAgent } from 'socks-proxy-agent';
import { afterEach, expect, test } from 'vitest';
import { connect, WebSocketServer } from '../../src/index.js';
import { cert, key } from '../server/certificate.js';
import { checkSideConditions, expectEcho } from '../support/side-conditions.js';
import { httpProxy, socksProxy, type TestProxy } from './proxy.js';

checkSideConditions();

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** An echo server; its port. */
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

type Make = (url: string) => Agent;
const rows: [
  agent: string,
  scheme: 'ws' | 'wss',
  proxy: () => Promise<TestProxy>,
  make: Make,
  asked: string,
][] = [
  ['https-proxy-agent', 'ws', httpProxy, (url) => new HttpsProxyAgent(url), 'CONNECT localhost:PORT'],
  ['https-proxy-agent', 'wss', httpProxy, (url) => new HttpsProxyAgent(url), 'CONNECT localhost:PORT'],
  ['http-proxy-agent', 'ws', httpProxy, (url) => new HttpProxyAgent(url), 'GET http://localhost:PORT/a?b'],
  ['socks-proxy-agent', 'ws', socksProxy, (url) => new SocksProxyAgent(url), 'SOCKS localhost:PORT'],
  ['socks-proxy-agent', 'wss', socksProxy, (url) => new SocksProxyAgent(url), 'SOCKS localhost:PORT'],
  ...(['ws', 'wss'] as const).flatMap((scheme): typeof rows => {
    const make: Make = (url) => new ProxyAgent({ getProxyForUrl: () => url });
    return [
      ['proxy-agent over HTTP', scheme, httpProxy, make, 'CONNECT localhost:PORT'],
      ['proxy-agent over SOCKS', scheme, socksProxy, make, 'SOCKS localhost:PORT'],
    ];
  }),
];

test.each(rows)('[X-24] %s, %s: with credentials', async (_agent, scheme, start, make, asked) => {
  const port = await echo(scheme === 'wss');
  const proxy = await start();
  cleanups.push(proxy.close);
  const agent = make(proxy.url);
  cleanups.push(() => agent.destroy());
  const ws = await connect(`${scheme}://localhost:${port}/a?b`, { agent, tls: { ca: cert } });
  expect(proxy.requests).toEqual([asked.replace('PORT', String(port))]);
  ws.send('through the proxy');
  expect(await (await ws.receive())?.text()).toBe('through the proxy');
  await ws.close();
  if (scheme === 'ws') await expectEcho(port);
});

test.each(rows)(
  '[X-24] %s, %s: with wrong credentials a HandshakeError',
  async (_agent, scheme, start, make) => {
    const port = await echo(scheme === 'wss');
    const proxy = await start();
    cleanups.push(proxy.close);
    const agent = make(proxy.url.replace('pass', 'wrong'));
    cleanups.push(() => agent.destroy());
    const error = await connect(`${scheme}://localhost:${port}/`, { agent, tls: { ca: cert } }).catch(
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: 'ERR_HANDSHAKE' });
    expect([0, 407]).toContain(error.status);
    if (scheme === 'ws') await expectEcho(port);
  },
);
