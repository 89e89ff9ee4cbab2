/** Sentences of the public API that say what the package exports, which errors and options there are, and where that is documented. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as sluice from '../src/index.js';
import {
  ConnectionClosedError,
  type ConnectOptions,
  connect,
  HandshakeError,
  InvalidPayloadError,
  MessageTooBigError,
  ProtocolError,
  resolveConnectionOptions,
  TimeoutError,
  WebSocketError,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../src/index.js';
import * as protocol from '../src/protocol.js';
import { type Node, nodesOf } from './ast.js';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('[P-01] [P-48] the package exports connect, accept, WebSocketServer, CloseCode and permessageDeflate, and no WebSocket', () => {
  const { accept, connect, WebSocketServer, CloseCode, permessageDeflate } = sluice;
  for (const each of [accept, connect, WebSocketServer, permessageDeflate])
    expect(each).toBeTypeOf('function');
  expect(CloseCode.NormalClosure).toBe(1000);
  expect(permessageDeflate().name).toBe('permessage-deflate');
  expect('WebSocket' in sluice).toBe(false);
});

describe('errors', () => {
  const rows: readonly (readonly [error: Error, parents: readonly unknown[], fields: object])[] = [
    [
      new HandshakeError(404, 'Not found'),
      [HandshakeError, WebSocketError, Error],
      { name: 'HandshakeError', code: 'ERR_HANDSHAKE', status: 404 },
    ],
    [
      new ProtocolError(1002, 'RFC 6455 §5.2', 'Reserved opcode'),
      [ProtocolError, WebSocketError, Error],
      { name: 'ProtocolError', code: 'ERR_PROTOCOL', closeCode: 1002, section: 'RFC 6455 §5.2' },
    ],
    [
      new InvalidPayloadError('RFC 6455 §8.1', 'Not UTF-8'),
      [InvalidPayloadError, ProtocolError, WebSocketError, Error],
      { name: 'InvalidPayloadError', code: 'ERR_INVALID_PAYLOAD', closeCode: 1007, section: 'RFC 6455 §8.1' },
    ],
    [
      new MessageTooBigError('RFC 6455 §10.4', 'Too big'),
      [MessageTooBigError, ProtocolError, WebSocketError, Error],
      { name: 'MessageTooBigError', code: 'ERR_MESSAGE_TOO_BIG', closeCode: 1009, section: 'RFC 6455 §10.4' },
    ],
    [
      new ConnectionClosedError(4000, 'bye'),
      [ConnectionClosedError, WebSocketError, Error],
      { name: 'ConnectionClosedError', code: 4000, reason: 'bye' },
    ],
    [
      new TimeoutError('Too late'),
      [TimeoutError, WebSocketError, Error],
      { name: 'TimeoutError', code: 'ERR_TIMEOUT' },
    ],
  ];

  test.each(rows)('[P-71] %s has its class, and all above it', (error, parents, fields) => {
    const chain: unknown[] = [];
    for (let one = error.constructor; one !== Function.prototype; one = Object.getPrototypeOf(one))
      chain.push(one);
    expect(chain).toEqual(parents);
    expect(error).toMatchObject(fields);
  });

  test('[P-72] every code of an error is in the README', () => {
    const codes = new Set(read('src/errors.ts').match(/\bERR_[A-Z_]+\b/g));
    expect(codes.size).toBeGreaterThan(7);
    const readme = read('README.md');
    expect([...codes].filter((code) => !readme.includes(`\`${code}\``))).toEqual([]);
    // None is raised that is not of the list
    const rows = [...readme.matchAll(/^\|.*`(ERR_\w+)`/gm)].map(([, code]) => code);
    expect(rows.filter((code) => !codes.has(code!))).toEqual([]);
  });
});

test('[P-66] that views stay valid, and pin their buffer, is said in the README and at every method that gives one', () => {
  expect(read('README.md')).toMatch(/valid for as long as you hold it/);
  expect(read('README.md')).toMatch(/view handed out pins the receive buffer/);
  const reader = read('src/connection/receiving/message-reader.ts').replace(/\s+\*\s+|\s+/g, ' ');
  const said = reader.match(/valid for as long as it is held, and pinning that buffer for that time/g);
  // read(), chunks() and iteration
  expect(said).toHaveLength(3);
});

describe('options', () => {
  const files: readonly (readonly [name: string, path: string])[] = [
    ['ConnectionOptions', 'src/connection/options.ts'],
    ['ConnectOptions', 'src/client/options.ts'],
    ['AcceptOptions', 'src/server/accept-options.ts'],
    ['WebSocketServerOptions', 'src/server/server-options.ts'],
  ];

  test.each(files)(
    '[P-67] every field of %s is readonly and has a doc comment, with its default',
    (name, path) => {
      const text = read(path);
      const declared = nodesOf(text).find(
        (node) => node.type === 'TSInterfaceDeclaration' && (node as Node & { id: Node }).id.name === name,
      ) as (Node & { body: { body: (Node & { start: number; readonly?: boolean })[] } }) | undefined;
      const fields = declared!.body.body;
      expect(fields.length).toBeGreaterThan(5);
      const without: unknown[] = [];
      for (const field of fields) {
        expect(field.readonly).toBe(true);
        // A comment for the linter may stand between the two
        const above = text.slice(0, field.start).replace(/\s*\/\/ biome-ignore .*\s*$/, '');
        expect(above.trimEnd().endsWith('*/')).toBe(true);
        const comment = above.slice(above.lastIndexOf('/**'));
        if (!/Default|default/.test(comment)) without.push(field.key?.name);
      }
      // These have none: without them nothing happens, or another one has to be given
      const optional = ['port', 'server', 'noServer', 'tls', 'signal'];
      expect(without.filter((field) => !optional.includes(field as string))).toEqual([]);
    },
  );

  test('[P-68] resolveConnectionOptions() has every default', () => {
    const defaults = {
      maxMessageSize: 16 * 1024 * 1024,
      maxStreamSize: Number.POSITIVE_INFINITY,
      highWaterMark: 64 * 1024,
      maxBufferedAmount: 64 * 1024 * 1024,
      pingInterval: 20_000,
      pingTimeout: 20_000,
      closeTimeout: 5_000,
    };
    expect(resolveConnectionOptions()).toEqual(defaults);
    expect(resolveConnectionOptions({ closeTimeout: 1 })).toEqual({ ...defaults, closeTimeout: 1 });
  });

  const shared: readonly (readonly [name: string, type: unknown, range: unknown])[] = [
    ['maxMessageSize', '1', -1],
    ['maxStreamSize', '1', -1],
    ['highWaterMark', '1', -1],
    ['maxBufferedAmount', null, -1],
    ['pingInterval', '1', -1],
    ['pingTimeout', '1', 0],
    ['closeTimeout', '1', 0.5],
    ['handshakeTimeout', '1', 0],
    ['compression', 5, undefined],
    ['extensions', 5, undefined],
    ['headers', 5, undefined],
    ['signal', 5, undefined],
    ['unheardOf', 1, undefined],
  ];
  const ofClients = [
    ['requireSubprotocol', 'no', undefined],
    ['tls', 5, undefined],
    ['agent', 5, undefined],
    ['maxRedirects', '1', 101],
  ] as const;
  const ofServers = [
    ['origins', 5, undefined],
    ['trustProxy', 1, undefined],
    ['authenticate', 1, undefined],
    ['refuse', 1, undefined],
    ['path', 5, undefined],
    ['maxConnections', '1', -1],
  ] as const;

  test.each([...shared, ...ofClients])(
    '[P-69] [P-70] connect() with a wrong %s: an error that names it',
    async (name, type, range) => {
      for (const [value, error] of [
        [type, TypeError],
        [range, RangeError],
      ] as const) {
        if (value === undefined) continue;
        const given = { [name]: value } as ConnectOptions;
        const rejected = await connect('ws://127.0.0.1:1/', given).catch((reason: unknown) => reason);
        expect(rejected).toBeInstanceOf(error);
        expect((rejected as Error).message).toContain(name);
      }
    },
  );

  test.each([...shared, ...ofServers])(
    '[P-69] [P-70] new WebSocketServer() with a wrong %s: an error that names it',
    (name, type, range) => {
      const make = (value: unknown) => () =>
        new WebSocketServer({ noServer: true, [name]: value } as WebSocketServerOptions);
      const named = expect.objectContaining({ message: expect.stringContaining(name) });
      expect(make(type)).toThrow(TypeError);
      expect(make(type)).toThrow(named);
      if (range === undefined) return;
      expect(make(range)).toThrow(RangeError);
      expect(make(range)).toThrow(named);
    },
  );
});

test('[P-99] sluice/protocol is exported, and its endpoints need no transport', () => {
  const { exports } = JSON.parse(read('package.json')) as { exports: Record<string, { default: string }> };
  expect(exports['./protocol']?.default).toBe('./dist/protocol.js');
  const { Endpoint, EndpointEvent, Opcode } = protocol;
  const [client, server] = [new Endpoint({ role: 'client' }), new Endpoint({ role: 'server' })];
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    void from.send(Opcode.Text, 'by hand');
    for (const bytes of from.take()) to.push(Buffer.from(bytes));
    expect(to.next()).toBe(EndpointEvent.Data);
    expect(to.chunk.toString('utf8', to.start, to.end)).toBe('by hand');
    expect([to.opcode, to.last, to.next()]).toEqual([Opcode.Text, true, EndpointEvent.NeedData]);
  }
});
