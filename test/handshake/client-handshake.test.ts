import { describe, expect, test } from 'vitest';
import { HandshakeError } from '../../src/errors.js';
import {
  type Agreement,
  type ClientOffer,
  checkResponse,
  requestFields,
} from '../../src/handshake/client-handshake.js';
import { checkRequest, type ServerHandshake, switchProtocols } from '../../src/handshake/server-handshake.js';
import { fakeExtension } from './extensions.js';

const key = 'dGhlIHNhbXBsZSBub25jZQ==';

describe('§4.1 the request', () => {
  test('items 4 to 9: the fields of the smallest request', () => {
    expect(requestFields('example.com:81', { key })).toEqual([
      ['Host', 'example.com:81'],
      ['Upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
      ['Sec-WebSocket-Key', key],
      ['Sec-WebSocket-Version', '13'],
    ]);
  });

  test('items 10 to 12: subprotocols, extensions and more fields', () => {
    const offer = {
      key,
      subprotocols: ['b', 'a'],
      extensions: [fakeExtension('x', 0x40), fakeExtension('y', 0x20)],
    };
    expect(requestFields('a', offer, { Origin: 'http://a', Cookie: ['b', 'c'] }).slice(5)).toEqual([
      ['Sec-WebSocket-Protocol', 'b, a'],
      ['Sec-WebSocket-Extensions', 'x; level=9, x, y; level=9, y'],
      ['Origin', 'http://a'],
      ['Cookie', 'b'],
      ['Cookie', 'c'],
    ]);
  });

  test('a Host of the application takes the place of the own one', () => {
    const fields = requestFields('a', { key }, { host: 'b' });
    expect(fields.filter(([name]) => name.toLowerCase() === 'host')).toEqual([['host', 'b']]);
  });

  test.each([
    [{ 'X-A': 'a\r\nb' }],
    [{ 'X-A': 'a\0' }],
    [{ 'X-A\n': 'a' }],
    [{ 'sec-websocket-key': 'x' }],
    [{ Connection: 'close' }],
    [{ Upgrade: 'h2c' }],
  ])('[H-21] the header fields %j throw a TypeError', (headers) => {
    expect(() => requestFields('a', { key }, headers)).toThrow(TypeError);
  });

  test.each([[['a', 'a']], [['a b']], [['']], [['a\r\nb']]])(
    '[H-21] item 10 the subprotocols %j throw a TypeError',
    (subprotocols) => {
      expect(() => requestFields('a', { key, subprotocols })).toThrow(TypeError);
    },
  );

  test('[H-21] a host with a line end throws a TypeError', () => {
    expect(() => requestFields('a\r\nb', { key })).toThrow(TypeError);
  });
});

describe('§4.1 the response', () => {
  const base = {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
  };

  function respond(
    fields: Record<string, string | string[] | null> = {},
    offer: Partial<ClientOffer> = {},
    status = 101,
  ): Agreement {
    const rawHeaders = Object.entries({ ...base, ...fields }).flatMap(([name, value]) =>
      value === null ? [] : [value].flat().flatMap((one) => [name, one]),
    );
    return checkResponse({ status, rawHeaders }, { key, ...offer });
  }

  function failure(...args: Parameters<typeof respond>): HandshakeError {
    try {
      respond(...args);
    } catch (error) {
      expect(error).toBeInstanceOf(HandshakeError);
      return error as HandshakeError;
    }
    throw new Error('The response was taken');
  }

  test('the smallest valid response is taken', () => {
    expect(respond()).toEqual({ subprotocol: '', extensions: [] });
    expect(respond({ Upgrade: 'WebSocket', Connection: ['x', 'keep-alive, UPGRADE'] })).toEqual({
      subprotocol: '',
      extensions: [],
    });
  });

  test('item 1 a status other than 101 fails, and the error has the status and header fields', () => {
    const error = failure({ 'X-A': ['b', 'c'] }, {}, 403);
    expect(error.status).toBe(403);
    expect(error.headers['x-a']).toBe('b, c');
    expect(error.message).toBe('Expected the server to switch protocols with 101: 403');
    expect('cause' in error).toBe(false);
  });

  test.each([
    { Upgrade: null },
    { Upgrade: 'h2c' },
    { Upgrade: 'websocket, h2c' },
    { Upgrade: ['websocket', 'websocket'] },
    { Connection: null },
    { Connection: 'keep-alive' },
  ])('[C-05] items 2 and 3 %j fails', (fields) => {
    expect(failure(fields).message).toMatch(/^Expected (one|a) (Upgrade|Connection) field/);
  });

  test.each([
    null,
    '',
    's3pPLMBiTxaQ9kYGzzhZRbK+xOO=',
    'S3PPLMBITXAQ9KYGZZHZRBK+XOO=',
    [base['Sec-WebSocket-Accept'], base['Sec-WebSocket-Accept']],
    [base['Sec-WebSocket-Accept'], 'x'],
  ])('[C-04] item 4 Sec-WebSocket-Accept %j fails', (accept) => {
    expect(failure({ 'Sec-WebSocket-Accept': accept }).message).toContain('Sec-WebSocket-Accept');
  });

  test('item 4 white space around the accept value is ignored', () => {
    expect(respond({ 'Sec-WebSocket-Accept': ` ${base['Sec-WebSocket-Accept']}\t` }).subprotocol).toBe('');
  });

  test('item 6 a subprotocol that was offered is taken', () => {
    expect(respond({ 'Sec-WebSocket-Protocol': 'b' }, { subprotocols: ['a', 'b'] }).subprotocol).toBe('b');
  });

  test('[P-98] a subprotocol that is not agreed on fails, as in browsers, unless it is not required', () => {
    const subprotocols = ['a', 'b'];
    expect(failure({}, { subprotocols }).message).toContain('requireSubprotocol: false allows: a, b');
    expect(respond({}, { subprotocols, requireSubprotocol: false }).subprotocol).toBe('');
    expect(respond({}, { subprotocols: [] }).subprotocol).toBe('');
  });

  test.each(['c', 'A', '', 'a, b', ['a', 'b'], ['a', 'a']])(
    '[C-06] item 6 the subprotocol %j fails',
    (value) => {
      expect(failure({ 'Sec-WebSocket-Protocol': value }, { subprotocols: ['a', 'b'] }).message).toContain(
        'subprotocol',
      );
    },
  );

  test('[C-06] item 6 a subprotocol fails when none was offered', () => {
    expect(failure({ 'Sec-WebSocket-Protocol': 'a' }).message).toContain('not offered: a');
  });

  test('item 5 of the extensions that were offered, the chosen one is agreed on', () => {
    const extensions = [fakeExtension('x', 0x40), fakeExtension('y', 0x20)];
    const agreed = respond({ 'Sec-WebSocket-Extensions': 'y; level=9' }, { extensions });
    expect(agreed.extensions.map(({ name }) => name)).toEqual(['y']);
  });

  test.each([
    ['of different bits', 'x, y'],
    ['of one bit', 'x, w'],
    ['in two fields', ['x', 'y']],
  ])('[X-19] §9.1 two extensions %s fail, and nothing is left open', (_title, value) => {
    const extensions = [fakeExtension('x', 0x40), fakeExtension('y', 0x20), fakeExtension('w', 0x40)];
    const error = failure({ 'Sec-WebSocket-Extensions': value }, { extensions });
    expect(error.message).toContain('more than one extension: x, ');
    expect(extensions.map(({ open }) => open)).toEqual([0, 0, 0]);
  });

  test.each([
    ['z', 'not offered: z'],
    ['__proto__', 'not offered: __proto__'],
    ['x, z', 'more than one extension: x, z'],
    ['x, x', 'more than one extension: x, x'],
    ['x; bad', 'do not fit the offer'],
    ['x;', 'Malformed'],
    ['', 'Malformed'],
  ])('[C-07] item 5 the extensions %j fail, and what was made is freed', (value, message) => {
    const onlyEmpty = fakeExtension('x', 0x40, (response) => (response.length === 0 ? [] : null));
    const extensions = [onlyEmpty, fakeExtension('y', 0x20), fakeExtension('w', 0x40)];
    const error = failure({ 'Sec-WebSocket-Extensions': value }, { extensions });
    expect(error.message).toContain(message);
    expect(error.status).toBe(101);
    expect(extensions.map(({ open }) => open)).toEqual([0, 0, 0]);
  });

  test('what an extension throws at the response is the cause', () => {
    const extensions = [fakeExtension('x', 0x40, () => null)];
    expect(failure({ 'Sec-WebSocket-Extensions': 'x' }, { extensions }).cause).toBeInstanceOf(RangeError);
  });
});

test('§4 both sides agree: the request of the client, the answer of the server', () => {
  const offer = { key, subprotocols: ['b', 'a'], extensions: [fakeExtension('x', 0x40)] };
  const handshake = checkRequest({
    method: 'GET',
    target: '/',
    httpVersion: '1.1',
    rawHeaders: requestFields('example.com', offer).flat(),
  }) as ServerHandshake;
  const { head } = switchProtocols(handshake, { subprotocol: 'a', extensions: [fakeExtension('x', 0x40)] });
  const rawHeaders = head
    .trimEnd()
    .split('\r\n')
    .slice(1)
    .flatMap((line) => line.split(/: (.*)/, 2));
  const agreed = checkResponse({ status: 101, rawHeaders }, offer);
  expect(agreed.subprotocol).toBe('a');
  expect(agreed.extensions.map(({ name }) => name)).toEqual(['x']);
});
