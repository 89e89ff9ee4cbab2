import { describe, expect, test } from 'vitest';
import { compileOrigins, ownOrigins } from '../../src/handshake/origin.js';

const own = 'https://Good.com';

describe('§10.2 by default an origin must be the own one', () => {
  const check = (origin: string, own: string, request: null): unknown =>
    compileOrigins<null>(undefined)(origin, [own], request);

  test.each([
    ['https://good.com', own],
    ['HTTPS://GOOD.COM', own],
    ['https://good.com:443', own],
    ['https://good.com', 'https://good.com:443'],
    ['http://good.com', 'http://good.com:80'],
    ['http://good.com:8080', 'http://good.com:8080'],
    ['http://[::1]:8080', 'http://[::1]:8080'],
  ])('[H-11] %s is the same as %s', (origin, server) => {
    expect(check(origin, server, null)).toBe(true);
  });

  test.each([
    'http://good.com',
    'https://good.com:8443',
    'https://good.com:80',
    'https://evil.com',
    'https://good.com.evil',
    'https://evilgood.com',
    'https://sub.good.com',
    'https://good.co',
    'null',
    '',
    'good.com',
    '://good.com',
    'https://',
    'https://good.com/',
    'https://good.com@evil.com',
    'https://evil.com/https://good.com',
    'https://good.com https://good.com',
    'https://good.com, https://good.com',
    'wss://good.com',
    'https://gööd.com',
    'https://good.com\x7f',
  ])('[H-11] %j is not the same', (origin) => {
    expect(check(origin, own, null)).toBe(false);
  });

  test('[H-11] a Host that is no host is the same as nothing', () => {
    for (const host of ['https://good.com/', '://', 'https://a\x7f', 'https://\x80', 'good.com']) {
      expect(check(host, host, null)).toBe(false);
    }
    expect(check('https://good.com', 'no host', null)).toBe(false);
    expect(check('no host', 'https://good.com', null)).toBe(false);
  });
});

describe('§10.2 a list of origins', () => {
  const list = [
    'Example.com',
    'https://exact.org',
    '*.pattern.net',
    'https://*.secure.net:8443',
    'localhost:3000',
    'tls.com:443',
    'app://shell',
  ];
  const check = (origin: string, own: string, request: null): unknown =>
    compileOrigins<null>(list)(origin, [own], request);

  test.each([
    'http://example.com',
    'https://EXAMPLE.com',
    'http://example.com:80',
    'https://exact.org',
    'https://exact.org:443',
    'http://a.pattern.net',
    'https://a.b.pattern.net',
    'https://a.secure.net:8443',
    'http://localhost:3000',
    'https://tls.com',
    'app://shell',
  ])('allows %s', (origin) => {
    expect(check(origin, own, null)).toBe(true);
  });

  test.each([
    'http://example.com:8080',
    'http://example.com.evil',
    'http://evilexample.com',
    'app://example.com',
    'http://exact.org',
    'https://exact.org.evil',
    'https://pattern.net',
    'https://.pattern.net',
    'https://evilpattern.net',
    'https://a.pattern.net.evil',
    'https://a.pattern.net:1',
    'http://a.secure.net:8443',
    'https://a.secure.net',
    'http://localhost',
    'http://tls.com',
    'https://good.com',
    'null',
    'https://evil.com/.pattern.net',
    'https://evil.com?.pattern.net',
    'https://evil.com#.pattern.net',
    'https://evil.com\\.pattern.net',
    'https://user@a.pattern.net',
  ])('refuses %s', (origin) => {
    expect(check(origin, own, null)).toBe(false);
  });

  test('null and the star must be written out', () => {
    expect(compileOrigins(['null'])('null', [own], null)).toBe(true);
    expect(compileOrigins(['null'])('http://null', [own], null)).toBe(false);
    expect(compileOrigins(['*'])('null', [own], null)).toBe(true);
    expect(compileOrigins('*')('https://evil.com', [own], null)).toBe(true);
    expect(compileOrigins([])('https://good.com', [own], null)).toBe(false);
  });

  test.each([
    [['https://a.com/']],
    [['https://a.com/path']],
    [['']],
    [['a b']],
    [['a\r\n']],
    ['a.com'],
    [5],
    [['a.com', '']],
  ])('[H-21] the policy %j throws a TypeError', (policy) => {
    expect(() => compileOrigins(policy as string[])).toThrow(TypeError);
  });
});

test('§10.2 a function decides by origin and request, also later', async () => {
  const check = compileOrigins<string>(async (origin, request) => origin === 'a' && request === 'r');
  expect(await check('a', [own], 'r')).toBe(true);
  expect(await check('b', [own], 'r')).toBe(false);
});

describe('§10.2 the origins that a server may have', () => {
  test.each<[title: string, secure: boolean, proto: string | undefined, host: string | undefined, string[]]>([
    ['plain', false, undefined, undefined, ['http://a', 'https://a']],
    ['TLS', true, undefined, undefined, ['https://a']],
    ['https ended by a proxy', false, 'https', undefined, ['https://a']],
    ['wss, as some proxies say', false, 'WSS', undefined, ['https://a']],
    ['http to the proxy', true, 'http', undefined, ['http://a']],
    ['ws to the proxy', false, 'ws', undefined, ['http://a']],
    ['the last of a list', false, 'http, https', 'evil , b:8443', ['https://b:8443']],
    ['a scheme of no page', false, 'ftp', undefined, ['http://a', 'https://a']],
    ['empty values', true, '', ' ', ['https://a']],
    ['__proto__', true, '__proto__', undefined, ['https://a']],
    ['a host alone', false, undefined, 'b', ['http://b', 'https://b']],
  ])('[X-23] %s', (_title, secure, proto, host, origins) => {
    expect(ownOrigins('a', secure, { proto, host })).toEqual(origins);
  });
});
