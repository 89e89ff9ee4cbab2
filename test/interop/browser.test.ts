import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { type PermessageDeflateOptions, WebSocketServer } from '../../src/index.js';
import { hasChromium, withPage } from '../support/chromium.js';

declare const location: { readonly host: string };

/** Runs in the page: sends texts and bytes of all sizes twice, and tells what came back otherwise. */
async function visit(path: string): Promise<{ extensions: string; received: number; wrong: string[] }> {
  const sizes = [0, 1, 125, 126, 127, 300, 1024, 1025, 5000, 16_384, 65_535, 65_536, 300_000, 1_000_000];
  const ws = new WebSocket(`ws://${location.host}${path}`);
  ws.binaryType = 'arraybuffer';
  await new Promise((resolve, reject) => {
    ws.onopen = resolve;
    ws.onerror = reject;
  });
  const sent: (string | Uint8Array<ArrayBuffer>)[] = [];
  for (const size of [...sizes, ...sizes]) {
    let text = '';
    for (let i = 0; text.length < size; i++) text += `{"id":${i},"name":"Käse ${(i * 7919) % 1000} 😀"},`;
    sent.push(text.slice(0, size).replace(/[\ud800-\udbff]$/, ''));
    // Half of it random, half of it not
    const bytes = new Uint8Array(size).fill(7);
    for (let i = 0; i < size / 2; i += 65_536) {
      crypto.getRandomValues(bytes.subarray(i, Math.min(size >> 1, i + 65_536)));
    }
    sent.push(bytes);
  }
  const wrong: string[] = [];
  let received = 0;
  const done = new Promise<void>((resolve, reject) => {
    ws.onclose = (event): void => reject(new Error(`closed with ${event.code} ${event.reason}`));
    ws.onmessage = ({ data }): void => {
      const want = sent[received++]!;
      const bytes = typeof data === 'string' ? null : new Uint8Array(data);
      const same =
        bytes === null || typeof want === 'string'
          ? data === want
          : bytes.length === want.length && bytes.every((byte, i) => byte === want[i]);
      if (!same) wrong.push(`message ${received} of ${want.length}`);
      if (received === sent.length) resolve();
    };
  });
  for (const one of sent) ws.send(one);
  await done;
  const closed = new Promise<{ code: number; wasClean: boolean }>((resolve) => {
    ws.onclose = resolve;
  });
  ws.close(3001, 'done');
  const { code, wasClean } = await closed;
  if (code !== 3001 || !wasClean) wrong.push(`closed with ${code}`);
  return { extensions: ws.extensions, received, wrong };
}

const shapes: readonly [string, boolean | PermessageDeflateOptions, string][] = [
  ['without compression', false, ''],
  ['with compression', { threshold: 0 }, 'permessage-deflate'],
  [
    'without context takeover',
    { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
  ],
  [
    'with windows of 2^9',
    { threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
    'permessage-deflate; server_max_window_bits=9; client_max_window_bits=9',
  ],
  ['with everything in the thread pool', { threshold: 0, offloadSize: 0, level: 9 }, 'permessage-deflate'],
];

test.skipIf(!hasChromium)(
  'a browser and a server read what each other sends, whole and streamed, whatever the compression',
  { timeout: 60_000 },
  async () => {
    const httpServer = createServer((_request, response) => response.end('<!doctype html>')).listen(
      0,
      '127.0.0.1',
    );
    await once(httpServer, 'listening');
    const servers = shapes.map(([, compression], i) => {
      const server = new WebSocketServer({ server: httpServer, path: `/${i}`, compression });
      server.on('connection', (ws) => ws.on('message', (data, type) => ws.send(data, { type })));
      return server;
    });
    const streaming = new WebSocketServer({
      server: httpServer,
      path: '/streamed',
      compression: { threshold: 0 },
    });
    streaming.on('connection', async (ws) => {
      for await (const message of ws) await ws.sendStream(message, { type: message.type });
    });
    try {
      await withPage(async (page) => {
        await page.goto(`http://127.0.0.1:${(httpServer.address() as AddressInfo).port}/`);
        for (const [i, [what, , extensions]] of shapes.entries()) {
          const result = await page.evaluate(visit, `/${i}`);
          expect([what, result]).toEqual([what, { extensions, received: 56, wrong: [] }]);
        }
        const result = await page.evaluate(visit, '/streamed');
        expect(result).toEqual({ extensions: 'permessage-deflate', received: 56, wrong: [] });
      });
    } finally {
      for (const server of [...servers, streaming]) await server.close();
      httpServer.closeAllConnections();
      httpServer.close();
    }
  },
);
