/** What the handshake says when it refuses: which rule was broken, and the actual value at the end. */
import { describe, expect, test } from 'vitest';
import { acceptKey } from '../../src/handshake/challenge.js';
import { checkResponse, requestFields } from '../../src/handshake/client-handshake.js';
import { checkFieldName, checkFieldValue, formatExtensions } from '../../src/handshake/fields.js';
import { compileOrigins } from '../../src/handshake/origin.js';
import { pathOf } from '../../src/handshake/path.js';
import { checkRequest } from '../../src/handshake/server-handshake.js';
import { checkSubprotocols } from '../../src/handshake/subprotocol.js';
import { closeBody } from '../../src/protocol/close-frame.js';
import { Endpoint, violations } from '../../src/protocol.js';
import { frameTo, roles } from '../support/frames.js';

const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const base = {
  Host: 'a',
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Key': key,
  'Sec-WebSocket-Version': '13',
};

describe('the body of a refusal', () => {
  test.each<[fields: Record<string, string>, head: object, body: string]>([
    [{}, { method: 'POST' }, 'Expected method GET: POST'],
    [{ Upgrade: 'h2c' }, {}, 'Expected an upgrade to websocket'],
    [{}, { httpVersion: '1.0' }, 'Expected HTTP/1.1: 1.0'],
    [{ 'Sec-WebSocket-Version': '8' }, {}, 'Expected Sec-WebSocket-Version 13: "8"'],
    [{ 'Sec-WebSocket-Version': '' }, {}, 'Expected Sec-WebSocket-Version 13: ""'],
    [{}, { target: '*' }, 'Expected a path: "*"'],
    [{ Host: '' }, {}, 'Expected a Host field'],
    [{ 'Sec-WebSocket-Key': 'no' }, {}, 'Expected a Sec-WebSocket-Key of 16 bytes in base64: "no"'],
    [{ 'Sec-WebSocket-Protocol': 'a b' }, {}, 'Malformed Sec-WebSocket-Protocol: "a b"'],
    [{ 'Sec-WebSocket-Extensions': 'a b' }, {}, 'Malformed Sec-WebSocket-Extensions: "a b"'],
    [{ 'Content-Length': '1' }, {}, 'Expected a request without a body'],
  ])('%j %j: %s', (fields, head, body) => {
    const rawHeaders = Object.entries({ ...base, ...fields }).flat();
    expect(
      checkRequest({ method: 'GET', target: '/', httpVersion: '1.1', rawHeaders, ...head }),
    ).toMatchObject({ body });
  });

  test('what the peer sent is quoted, cut behind 100 characters, and none when it is absent', () => {
    const bodyOf = (version: string | null): string | undefined => {
      const { 'Sec-WebSocket-Version': _, ...others } = base;
      const fields = { ...others, ...(version !== null && { 'Sec-WebSocket-Version': version }) };
      const rawHeaders = Object.entries(fields).flat();
      const answer = checkRequest({ method: 'GET', target: '/', httpVersion: '1.1', rawHeaders });
      return 'body' in answer ? answer.body?.split(': ')[1] : undefined;
    };
    expect(bodyOf(null)).toBe('none');
    expect(bodyOf('"')).toBe('"\\""');
    expect(bodyOf('v'.repeat(100))).toBe(`"${'v'.repeat(100)}"`);
    expect(bodyOf('v'.repeat(101))).toBe(`"${'v'.repeat(100)}..."`);
  });
});

describe('the error of a response', () => {
  const accept = acceptKey(key);
  test.each<[fields: Record<string, string>, message: string]>([
    [{}, 'Expected one Upgrade field of websocket: none'],
    [{ Upgrade: 'h2c' }, 'Expected one Upgrade field of websocket: h2c'],
    [{ Upgrade: 'websocket' }, 'Expected a Connection field with upgrade: none'],
    [{ Upgrade: 'websocket', Connection: 'close' }, 'Expected a Connection field with upgrade: close'],
    [{ Upgrade: 'websocket', Connection: 'upgrade' }, `Expected one Sec-WebSocket-Accept of ${accept}: none`],
    [
      { Upgrade: 'websocket', Connection: 'upgrade', 'Sec-WebSocket-Accept': 'wrong' },
      `Expected one Sec-WebSocket-Accept of ${accept}: wrong`,
    ],
  ])('%j: %s', (fields, message) => {
    const response = { status: 101, rawHeaders: Object.entries(fields).flat() };
    expect(() => checkResponse(response, { key })).toThrow(message);
  });

  test('a response may name an extension only when one was offered', () => {
    const rawHeaders = ['Upgrade', 'websocket', 'Connection', 'upgrade', 'Sec-WebSocket-Accept', accept];
    expect(checkResponse({ status: 101, rawHeaders }, { key })).toEqual({ subprotocol: '', extensions: [] });
    const named = [...rawHeaders, 'Sec-WebSocket-Extensions', 'x'];
    expect(() => checkResponse({ status: 101, rawHeaders: named }, { key })).toThrow(/extension.*x$/);
  });
});

describe('what the application gives wrongly', () => {
  test.each<[message: string | RegExp, work: () => unknown]>([
    ['Invalid header field name: "a b"', () => checkFieldName('a b')],
    ['Invalid character in header field A: "\\u0001"', () => checkFieldValue('A', '\u0001')],
    ['Invalid character in header field Host: "a\\n"', () => requestFields('a\n', { key })],
    ['Invalid token in an extension: "a b"', () => formatExtensions([{ name: 'a b', parameters: [] }])],
    ["Expected origins to be '*', an array of strings or a function: 5", () => compileOrigins(5 as never)],
    [
      "Expected origins to be '*', an array of strings or a function: a.com",
      () => compileOrigins('a.com' as never),
    ],
    ['Option origins has an entry that is no host or origin: a/b', () => compileOrigins(['a/b'])],
    ['Expected subprotocols to be an array: a', () => checkSubprotocols('a' as never)],
    ['Subprotocol is not a token: "a b"', () => checkSubprotocols(['a b'])],
    ['Subprotocol is not a token: 5', () => checkSubprotocols([5] as never)],
    ['Subprotocol is given twice: a', () => checkSubprotocols(['a', 'b', 'a'])],
    ['Expected the close reason to be a string: 5', () => closeBody(1000, 5 as never)],
    ['Expected a close code in front of the close reason', () => closeBody(undefined, 'why')],
    ['Expected the close code to be a number: 1000', () => closeBody('1000' as never)],
    ['Tried to close with a code that must not be sent: 1005', () => closeBody(1005)],
    ['Tried to close with a reason of more than 123 bytes: 124', () => closeBody(1000, 'r'.repeat(124))],
    [
      'Tried to send a control frame with more than 125 bytes: 126',
      () => new Endpoint({ role: 'server' }).sendPing(Buffer.alloc(126)),
    ],
  ])('%s', (message, work) => {
    expect(work).toThrow(message);
  });

  test('values that look wrong and are right', () => {
    expect(checkFieldValue('A', '\t a\xff~')).toBe('\t a\xff~');
    expect(closeBody(1000, 'r'.repeat(123))).toHaveLength(125);
  });
});

describe.each(roles)('the violations that a %s tells', (role) => {
  test.each<[message: string, frame: Buffer]>([
    [`${violations.unknownOpcode.message}: 0x03`, frameTo(role, 3)],
    [`${violations.unknownOpcode.message}: 0x0B`, frameTo(role, 11)],
    [`${violations.reservedBits.message}: 0xA1`, frameTo(role, 1, '', { rsv: 0x20 })],
    [`${violations.messageTooBig.message}: 11 bytes`, frameTo(role, 1, 'eleven byte')],
  ])('%s', (message, frame) => {
    const endpoint = new Endpoint({ role, maxMessageSize: 10 });
    endpoint.push(frame);
    expect(() => endpoint.next()).toThrow(message);
  });

  test('a length of 2^53 - 1 can be counted, one more cannot', () => {
    const header = (length: bigint): Buffer => frameTo(role, 2, '', { lengthBytes: 8, length });
    const most = new Endpoint({ role });
    most.push(header(2n ** 53n - 1n));
    expect(most.next()).toBe(0);
    const over = new Endpoint({ role });
    over.push(header(2n ** 53n));
    expect(() => over.next()).toThrow(violations.messageTooBig.message);
  });
});

describe('the path of a request target', () => {
  test.each([
    ['/a?b', '/a'],
    ['/', '/'],
    ['http://a', '/'],
    ['http://a/b?c/d', '/b'],
    ['h://a/b', '/b'],
    ['?/a', null],
    ['://a/b', null],
    ['a', null],
    ['', null],
    ['*', null],
  ])('of %j is %j', (target, path) => {
    expect(pathOf(target)).toBe(path);
  });
});
