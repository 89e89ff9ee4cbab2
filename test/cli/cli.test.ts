import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../../src/cli/run.js';
import { type WebSocketConnection, WebSocketServer, type WebSocketServerOptions } from '../../src/index.js';
import { cert, key } from '../server/certificate.js';

const root = join(import.meta.dirname, '..', '..');
const folder = join(root, '.cache', 'cli');

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A run of the command with streams of the test. */
function start(argv: string[], { isTTY = false } = {}) {
  const controller = new AbortController();
  const [stdin, stdout, stderr] = [
    new PassThrough(),
    Object.assign(new PassThrough(), { isTTY }),
    new PassThrough(),
  ];
  const chunks: Buffer[] = [];
  stdout.on('data', (chunk) => {
    chunks.push(chunk);
    stdout.emit('more');
  });
  let errors = '';
  stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const code = run(argv, { stdin, stdout, stderr, signal: controller.signal });
  const out = (): string => Buffer.concat(chunks).toString();
  return {
    stdin,
    code,
    out,
    err: () => errors,
    bytes: () => Buffer.concat(chunks),
    stop: () => controller.abort(),
    async until(pattern: RegExp): Promise<RegExpExecArray> {
      for (;;) {
        const match = pattern.exec(out());
        if (match !== null) return match;
        await once(stdout, 'more');
      }
    },
  };
}

const finish = async (argv: string[], options = {}): Promise<{ code: number; out: string; err: string }> => {
  const started = start(argv, options);
  started.stdin.end();
  const code = await started.code;
  return { code, out: started.out(), err: started.err() };
};

/** A server for the terminal client; its URL. */
async function serve(
  onConnection: (ws: WebSocketConnection, request: IncomingMessage) => void,
  options: WebSocketServerOptions = {},
): Promise<{ url: string; server: WebSocketServer }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
  server.on('connection', onConnection);
  await once(server, 'listening');
  return { server, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

describe('sluice', () => {
  test('tells its usage and its version', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(await finish(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
    for (const flag of ['--help', '-h', 'help'])
      expect((await finish([flag])).out).toContain('Usage: sluice <verb>');
    expect(await finish([])).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('Usage: sluice <verb>'),
    });
    for (const verb of ['demo', 'echo', 'connect']) {
      expect(await finish([verb, '--help'])).toMatchObject({
        code: 0,
        out: expect.stringContaining(`Usage: sluice ${verb}`),
      });
    }
  });

  test.each([
    ['fly'],
    ['demo', 'a', 'b'],
    ['demo', '--fast'],
    ['echo', '--port', 'http'],
    ['echo', '--port', '65536'],
    ['connect'],
    ['connect', 'ftp://example.com'],
    ['connect', 'ws://example.com', '--wait', 'long'],
    ['connect', 'ws://example.com', '-H', 'no colon'],
  ])('tells a wrong call in one line: %s %s %s %s', async (...argv) => {
    const { code, out, err } = await finish(argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^sluice[^\n]*: [^\n]+\n$/);
  });
});

describe('sluice demo', () => {
  test('sends a file there and back, and compares the digests', async () => {
    const file = join(folder, 'some file');
    const content = Buffer.alloc(3_000_001, 'content ');
    writeFileSync(file, content);
    for (const isTTY of [false, true]) {
      const { code, out } = await finish(['demo', file], { isTTY });
      const digest = createHash('sha256').update(content).digest('hex');
      expect(code).toBe(0);
      expect(out.match(new RegExp(digest, 'g'))?.length).toBe(2);
      expect(out).toMatch(/digests {3}equal/);
      expect(out).toMatch(/100 %/);
      expect(out.includes('\r')).toBe(isTTY);
    }
  });

  test('sends an empty file, refuses what is none', async () => {
    const file = join(folder, 'empty');
    writeFileSync(file, '');
    expect(await finish(['demo', file])).toMatchObject({
      code: 0,
      out: expect.stringContaining('e3b0c44298fc1c14'),
    });
    expect(await finish(['demo', join(folder, 'none')])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^sluice demo: ENOENT[^\n]*\n$/),
    });
    expect(await finish(['demo', folder])).toMatchObject({
      code: 1,
      err: expect.stringContaining('not a regular file'),
    });
  });
});

describe('sluice connect', () => {
  test('sends lines, prints what comes, and closes at the end of the input', async () => {
    const { url, server } = await serve((ws) => ws.on('message', (data, type) => ws.send(data, { type })));
    const client = start(['connect', url, '--wait', '50']);
    client.stdin.write('one\ntwo\r\n');
    await client.until(/one\ntwo\n/);
    client.stdin.end('three');
    expect(await client.code).toBe(0);
    expect([client.out(), client.err()]).toEqual([
      'one\ntwo\nthree\n',
      `connected to ${url}\nclosed with 1000\n`,
    ]);
    await server.close();
  });

  test('binary messages: bytes into a pipe, a dump on a terminal', async () => {
    const { url, server } = await serve((ws) =>
      ws.on('message', (data, type) =>
        ws.send(type === 'binary' ? Buffer.concat([data as Buffer, Buffer.from([0, 255])]) : 'text'),
      ),
    );
    for (const isTTY of [false, true]) {
      const client = start(['connect', url, '--binary', '--wait', '50'], { isTTY });
      client.stdin.end('0123456789abcdefg\n');
      expect(await client.code).toBe(0);
      if (isTTY) {
        expect(client.out()).toBe(
          'binary, 19 bytes\n' +
            '  00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n' +
            '  00000010  67 00 ff                                         g..\n',
        );
      } else expect(client.bytes().equals(Buffer.from('0123456789abcdefg\0\xff', 'latin1'))).toBe(true);
    }
    await server.close();
  });

  test('--binary sends the bytes of a line as they are, without its line end', async () => {
    const got: Buffer[] = [];
    const { url, server } = await serve((ws) => ws.on('message', (data) => got.push(Buffer.from(data))));
    const client = start(['connect', url, '--binary', '--wait', '50']);
    client.stdin.write(Buffer.from([0xff, 0xfe]));
    client.stdin.end(Buffer.from([0, 0x0d, 0x0a, 0x0a, 0xe2, 0x80, 0xa8, 0x41]));
    expect(await client.code).toBe(0);
    expect(got.map((data) => data.toString('hex'))).toEqual(['fffe00', '', 'e280a841']);
    await server.close();
  });

  test('a message over the limit, and an input that fails, are told in one line', async () => {
    const big = await serve((ws) => {
      ws.resume();
      ws.send('x'.repeat(17 << 20));
    });
    const client = start(['connect', big.url]);
    expect(await client.code).toBe(3);
    expect(client.err()).toContain(
      'sluice connect: Received a message over the limit: 17825792 bytes, of at most 16777216',
    );
    const quiet = await serve((ws) => ws.resume());
    const failing = start(['connect', quiet.url]);
    while (!failing.err().includes('connected')) await new Promise((resolve) => setImmediate(resolve));
    failing.stdin.destroy(new Error('The input broke'));
    expect(await failing.code).toBe(1);
    expect(failing.err()).toContain('sluice connect: The input broke\n');
    await Promise.all([big.server.close(), quiet.server.close()]);
  });

  test('headers, subprotocol, origin, and the exit code by the close code', async () => {
    const seen: unknown[] = [];
    const { url, server } = await serve(
      (ws, request) => {
        seen.push(request.headers['x-one'], request.headers['x-two'], request.headers.origin);
        ws.close(Number(new URL(request.url ?? '', 'http://x').searchParams.get('code')), 'bye');
      },
      { subprotocols: ['v2'], origins: '*' },
    );
    const options = [
      '-H',
      'X-One: 1',
      '--header',
      'X-Two:2',
      '--subprotocol',
      'v1',
      '--subprotocol',
      'v2',
      '--origin',
      'https://a.b',
    ];
    for (const [code, exit] of [
      [1000, 0],
      [1001, 0],
      [1008, 3],
      [4000, 3],
    ]) {
      const client = start(['connect', `${url}?code=${code}`, ...options]);
      expect(await client.code).toBe(exit);
      expect(client.err()).toContain('subprotocol v2');
      expect(client.err()).toContain(`closed with ${code} bye`);
    }
    expect(seen.slice(0, 3)).toEqual(['1', '2', 'https://a.b']);
    const lost = await serve((ws) => ws.terminate());
    expect(await start(['connect', lost.url]).code).toBe(3);
    await Promise.all([server.close(), lost.server.close()]);
  });

  test('is interrupted by a signal with 1000, and tells a refusal in one line', async () => {
    let closed: unknown;
    const { url, server } = await serve((ws) => {
      ws.resume();
      ws.on('close', (info) => {
        closed = info;
      });
    });
    const client = start(['connect', url]);
    while (!client.err().includes('connected')) await new Promise((resolve) => setImmediate(resolve));
    client.stop();
    expect(await client.code).toBe(0);
    await server.close();
    expect(closed).toEqual({ code: 1000, reason: '', wasClean: true });
    const http = createServer((_, response) => response.writeHead(403).end('Not you')).listen(0, '127.0.0.1');
    await once(http, 'listening');
    const refused = await finish(['connect', `http://127.0.0.1:${(http.address() as AddressInfo).port}/`]);
    expect(refused).toMatchObject({
      code: 1,
      out: '',
      err: 'sluice connect: The server refused to switch protocols: 403: Not you\n',
    });
    http.close();
  });

  test('[X-21] what a peer says cannot drive the terminal: close reason, text, refusal, redirect', async () => {
    const hostile = '\x1b]0;owned\x07\x1b[2J\x9b31m\rfake\u202etxt.exe\u2028\x7f';
    const shown = '\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\x0dfake\\u202etxt.exe\\u2028\\x7f';
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be printed
    const control = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;
    const { url, server } = await serve((ws) => {
      ws.resume();
      ws.send(`${hostile}\n\tnext é 😀`);
      ws.close(4000, hostile);
    });
    const terminal = await finish(['connect', url], { isTTY: true });
    expect(terminal.out).toBe(`${shown}\n\tnext é 😀\n`);
    expect(terminal.err).toContain(`closed with 4000 ${shown}\n`);
    expect(terminal.out + terminal.err).not.toMatch(control);
    // A pipe gets the text as it came; what is said about the connection is for people
    const pipe = await finish(['connect', url]);
    expect(pipe.out).toBe(`${hostile}\n\tnext é 😀\n`);
    expect(pipe.err).not.toMatch(control);
    await server.close();

    const http = createServer((request, response) => {
      if (request.url === '/moved') response.writeHead(302, { Location: '/\x9b2J' }).end(hostile);
      else response.writeHead(403).end(hostile);
    }).listen(0, '127.0.0.1');
    await once(http, 'listening');
    const { port } = http.address() as AddressInfo;
    for (const path of ['', 'moved']) {
      const refused = await finish(['connect', `http://127.0.0.1:${port}/${path}`], { isTTY: true });
      expect(refused.code).toBe(1);
      expect(refused.err).toContain('fake');
      expect(refused.err).not.toMatch(control);
    }
    http.close();
  });

  test('checks certificates unless told not to', async () => {
    const http = createHttpsServer({ key, cert }).listen(0, '127.0.0.1');
    const server = new WebSocketServer({ server: http });
    server.on('connection', (ws) => ws.send('over TLS'));
    await once(http, 'listening');
    const url = `wss://127.0.0.1:${(http.address() as AddressInfo).port}/`;
    expect((await finish(['connect', url])).code).toBe(1);
    expect(await finish(['connect', url, '--insecure', '--wait', '100'])).toMatchObject({
      code: 0,
      out: 'over TLS\n',
    });
    await server.close();
    http.close();
  });
});

describe('sluice echo', () => {
  test('echoes, serves its page, and goes away on a signal with 1001', async () => {
    const server = start(['echo', '--port', '0']);
    const [, url] = await server.until(/(ws:\S+), for a browser/);
    const client = start(['connect', url!, '--wait', '60000']);
    client.stdin.write('echo me\n');
    await client.until(/echo me/);
    const base = url!.replace('ws:', 'http:');
    const page = await fetch(base);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(await page.text()).toContain('<title>Sluice echo</title>');
    expect((await fetch(`${base}other`)).status).toBe(404);
    expect((await fetch(base, { method: 'POST' })).status).toBe(405);
    const port = new URL(base).port;
    expect(await finish(['echo', '--port', port])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^sluice echo: [^\n]*EADDRINUSE[^\n]*\n$/),
    });
    server.stop();
    expect(await server.code).toBe(0);
    expect(await client.code).toBe(0);
    expect(client.err()).toContain('closed with 1001');
  });
});

test('the binary runs as it is installed, through a link', async () => {
  const out = join(folder, 'package', 'dist');
  mkdirSync(out, { recursive: true });
  const exec = promisify(execFile);
  await exec(process.execPath, [
    join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    join(root, 'src'),
    '--outDir',
    out,
  ]);
  writeFileSync(
    join(folder, 'package', 'package.json'),
    JSON.stringify({ type: 'module', version: '9.9.9' }),
  );
  const link = join(folder, 'sluice');
  symlinkSync(join(out, 'cli', 'main.js'), link);
  expect((await exec(process.execPath, [link, '--version'])).stdout).toBe('9.9.9\n');
  const demo = await exec(process.execPath, [link, 'demo', link]);
  expect(demo.stdout).toContain('equal');
  const failed = await exec(process.execPath, [link, 'fly']).catch((error) => error);
  expect([failed.code, failed.stderr]).toEqual([2, 'sluice: unknown verb: fly, see sluice --help\n']);
  expect(readFileSync(link, 'utf8').startsWith('#!/usr/bin/env node\n')).toBe(true);
});
