import { describe, expect, test } from 'vitest';
import { pathOf } from '../../src/handshake/path.js';
import {
  checkRequest,
  type Rejection,
  type RequestHead,
  type ServerHandshake,
  switchProtocols,
} from '../../src/handshake/server-handshake.js';
import { fakeExtension } from './extensions.js';

const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const base: Readonly<Record<string, string>> = {
  Host: 'server.example.com',
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Key': key,
  'Sec-WebSocket-Version': '13',
};

/** The request of RFC 6455 §1.2 with fields replaced, removed (null), or repeated (array). */
function request(
  fields: Record<string, string | string[] | null> = {},
  head: Partial<RequestHead> = {},
): ServerHandshake | Rejection {
  const rawHeaders = Object.entries({ ...base, ...fields }).flatMap(([name, value]) =>
    value === null ? [] : [value].flat().flatMap((one) => [name, one]),
  );
  return checkRequest({ method: 'GET', target: '/chat', httpVersion: '1.1', rawHeaders, ...head });
}

const accepted = { key, host: 'server.example.com', origin: undefined, subprotocols: [], extensions: [] };

describe('§4.2.1 reading the request', () => {
  test('the smallest valid request is accepted', () => {
    expect(request()).toEqual(accepted);
  });

  test('the request of §1.2 is accepted, with all that it offers', () => {
    expect(
      request({
        Origin: 'http://example.com',
        'Sec-WebSocket-Protocol': ['chat, superchat', 'other'],
        'Sec-WebSocket-Extensions': ['a; b', 'c'],
      }),
    ).toEqual({
      ...accepted,
      origin: 'http://example.com',
      subprotocols: ['chat', 'superchat', 'other'],
      extensions: [
        { name: 'a', parameters: [['b', true]] },
        { name: 'c', parameters: [] },
      ],
    });
  });

  test.each(['POST', 'HEAD', 'CONNECT', 'get'])(
    '[H-01] item 1 method %s gets 405 with Allow: GET',
    (method) => {
      expect(request({}, { method })).toMatchObject({ status: 405, headers: { Allow: 'GET' } });
    },
  );

  test.each([{ Upgrade: null }, { Upgrade: 'h2c' }, { Upgrade: 'websocket2' }, { Upgrade: '' }])(
    '[H-02] item 3 %j gets 426 with Upgrade: websocket',
    (fields) => {
      expect(request(fields)).toMatchObject({ status: 426, headers: { Upgrade: 'websocket' } });
    },
  );

  test.each([{ Connection: null }, { Connection: 'keep-alive' }, { Connection: 'upgrades' }])(
    '[H-02] item 4 %j gets 426 with Upgrade: websocket',
    (fields) => {
      expect(request(fields)).toMatchObject({ status: 426, headers: { Upgrade: 'websocket' } });
    },
  );

  test.each([null, '12', '13, 8', '8', '013', '13.0', ''])(
    '[H-03] §4.4 Sec-WebSocket-Version %j gets 426 with the version of ours',
    (version) => {
      expect(request({ 'Sec-WebSocket-Version': version })).toMatchObject({
        status: 426,
        headers: { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' },
      });
    },
  );

  test('[H-04] item 1 HTTP/1.0 gets 505, and without an upgrade 426', () => {
    expect(request({}, { httpVersion: '1.0' })).toMatchObject({ status: 505 });
    expect(request({ Upgrade: null }, { httpVersion: '1.0' })).toMatchObject({ status: 426 });
  });

  test.each([
    { Upgrade: 'WebSocket, h2c', Connection: 'keep-alive, Upgrade' },
    { Upgrade: 'WEBSOCKET', Connection: 'UPGRADE' },
    { Upgrade: ['h2c', 'websocket'], Connection: ['keep-alive', 'upgrade'] },
  ])('[H-05] items 3 and 4 %j is accepted: both are lists, letter case is ignored', (fields) => {
    expect(request(fields)).toEqual(accepted);
  });

  test.each([
    null,
    '',
    Buffer.alloc(15).toString('base64'),
    Buffer.alloc(17).toString('base64'),
    'not base64 not base64!==',
    'dGhlIHNhbXBs SBub25jZQ==',
  ])('[H-06] item 5 the key %j gets 400', (value) => {
    expect(request({ 'Sec-WebSocket-Key': value })).toMatchObject({ status: 400 });
  });

  test.each(['Sec-WebSocket-Key', 'Sec-WebSocket-Version', 'Host', 'Origin'])(
    '[H-07] two %s fields get 400, also when they are equal',
    (name) => {
      const value = base[name] ?? 'http://server.example.com';
      expect(request({ [name]: [value, value] })).toEqual({
        status: 400,
        body: `Expected one ${name.toLowerCase()} field`,
      });
    },
  );

  test.each([{ Host: null }, { Host: '' }])('item 2 %j gets 400', (fields) => {
    expect(request(fields)).toMatchObject({ status: 400 });
  });

  test.each([
    { 'Content-Length': '5' },
    { 'Transfer-Encoding': 'chunked' },
    { 'Content-Length': ['0', '1'] },
  ])('[H-08] a request with %j gets 400', (fields) => {
    expect(request(fields)).toEqual({ status: 400, body: 'Expected a request without a body' });
  });

  test('[H-08] a body of no bytes is none', () => {
    expect(request({ 'Content-Length': '0' })).toEqual(accepted);
  });

  test.each(['a,', ',a', 'a,,b', 'a, a', 'a b', '', ' '.repeat(15_000), '"'.repeat(15_000)])(
    '[H-09] [H-13] §4.1 item 10 the subprotocols %.20j get 400',
    (value) => {
      expect(request({ 'Sec-WebSocket-Protocol': value })).toMatchObject({ status: 400 });
    },
  );

  test('[H-09] §4.1 item 10 a subprotocol repeated in another field gets 400', () => {
    expect(request({ 'Sec-WebSocket-Protocol': ['a', 'a'] })).toMatchObject({ status: 400 });
  });

  test.each(['', ';', 'a;', ' '.repeat(15_000), 'a;b="'.repeat(3_000), `a;b="${'\\'.repeat(15_000)}`])(
    '[H-13] §9.1 the extensions %.20j get 400',
    (value) => {
      expect(request({ 'Sec-WebSocket-Extensions': value })).toMatchObject({ status: 400 });
    },
  );

  test('a long value is cut in the message', () => {
    const { body } = request({ 'Sec-WebSocket-Protocol': 'a b'.repeat(5_000) }) as Rejection;
    expect(body!.length).toBeLessThan(200);
  });

  test.each(['*', '', 'chat', '://x/'])('item 1 the target %j gets 400', (target) => {
    expect(request({}, { target })).toMatchObject({ status: 400 });
  });

  test.each([
    ['/', '/'],
    ['/chat', '/chat'],
    ['/chat?a=/b', '/chat'],
    ['/a://b/c', '/a://b/c'],
    ['http://host/chat?x', '/chat'],
    ['ws://host:1/', '/'],
    ['http://host', '/'],
    ['http://host?a', '/'],
    ['http://host?a=/b', '/'],
    ['*', null],
    ['', null],
  ])('§4.2.1 item 1 the path of %j is %j', (target, path) => {
    expect(pathOf(target)).toBe(path);
  });
});

describe('§4.2.2 answering', () => {
  const handshake = (extensions = ''): ServerHandshake =>
    request(extensions ? { 'Sec-WebSocket-Extensions': extensions } : {}) as ServerHandshake;

  test('item 5 the response of §1.3, with nothing that was not agreed on', () => {
    expect(switchProtocols(handshake())).toEqual({
      head: [
        'HTTP/1.1 101 Switching Protocols',
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
        '\r\n',
      ].join('\r\n'),
      subprotocol: '',
      extensions: [],
    });
  });

  test('[H-10] no subprotocol in common is no field', () => {
    expect(switchProtocols(handshake(), { subprotocol: '' }).head).not.toMatch(/protocol:/i);
  });

  test('a subprotocol, an extension and more fields follow', () => {
    const { head, extensions } = switchProtocols(handshake('b; x=1, c'), {
      subprotocol: 'chat',
      extensions: [fakeExtension('a', 0x40), fakeExtension('b', 0x20)],
      headers: { 'Set-Cookie': ['c=1', 'd=2'], 'X-Number': 5 },
    });
    expect(head.split('\r\n').slice(4)).toEqual([
      'Sec-WebSocket-Protocol: chat',
      'Sec-WebSocket-Extensions: b; x=1',
      'Set-Cookie: c=1',
      'Set-Cookie: d=2',
      'X-Number: 5',
      '',
      '',
    ]);
    expect(extensions.map(({ name }) => name)).toEqual(['b']);
  });

  test('§9.1 the first offer of an extension that fits is taken, later ones are not', () => {
    const factory = fakeExtension('a', 0x40, (offer) => (offer.length === 1 ? offer : null));
    const { head, extensions } = switchProtocols(handshake('a; x; y, a; z, a; w'), { extensions: [factory] });
    expect(head).toContain('Sec-WebSocket-Extensions: a; z\r\n');
    expect(extensions).toHaveLength(1);
    expect(factory.open).toBe(1);
  });

  test('§9.1 an extension that no offer of it fits is left out', () => {
    const { head, extensions } = switchProtocols(handshake('a'), {
      extensions: [fakeExtension('a', 0x40, () => null)],
    });
    expect(head).not.toMatch(/extensions/i);
    expect(extensions).toEqual([]);
  });

  test('§9.1 an extension is taken once, also one that needs no bit', () => {
    const factory = fakeExtension('a', 0);
    const handshake = request({ 'Sec-WebSocket-Extensions': 'a; x, a; y' }) as ServerHandshake;
    const { head, extensions } = switchProtocols(handshake, { extensions: [factory] });
    expect(head).toContain('Sec-WebSocket-Extensions: a; x\r\n');
    expect([extensions.length, factory.open]).toEqual([1, 1]);
  });

  test.each([
    ['the bits of both differ', 0x20],
    ['both want one bit', 0x60],
    ['the second needs no bit', 0],
  ])('[X-19] §9.1 of two extensions that fit, the first offered is agreed on, where %s', (_title, rsv) => {
    const second = fakeExtension('b', rsv);
    const { head, extensions } = switchProtocols(handshake('a, b'), {
      extensions: [second, fakeExtension('a', 0x40)],
    });
    expect(head).toContain('Sec-WebSocket-Extensions: a\r\n');
    expect(extensions.map(({ name }) => name)).toEqual(['a']);
    expect(second.open).toBe(0);
  });

  test('[H-12] extensions named constructor and __proto__ are answered with 101 without them', () => {
    const { head, extensions } = switchProtocols(handshake('constructor; toString, __proto__, toString'), {
      extensions: [fakeExtension('a', 0x40)],
    });
    expect(head).toMatch(/^HTTP\/1\.1 101 /);
    expect(head).not.toMatch(/extensions/i);
    expect(extensions).toEqual([]);
  });

  test.each([
    { 'X-A': 'a\r\nSet-Cookie: b' },
    { 'X-A\r\nB': 'c' },
    { Upgrade: 'h2c' },
    { 'sec-websocket-accept': 'x' },
  ])('[H-21] the header fields %j of an application throw a TypeError', (headers) => {
    expect(() => switchProtocols(handshake(), { headers })).toThrow(TypeError);
  });
});
