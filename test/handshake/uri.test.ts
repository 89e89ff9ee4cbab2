import { describe, expect, it } from 'vitest';
import { formatUri, parseUri, type WebSocketUri } from '../../src/handshake/uri.js';

const base: WebSocketUri = {
  secure: false,
  hostname: 'example.com',
  port: 80,
  host: 'example.com',
  resource: '/',
};

describe('§3 WebSocket URIs', () => {
  it.each<[string, string, Partial<WebSocketUri>]>([
    ['the default port of ws is 80 and left out of Host', 'ws://example.com:80', {}],
    ['http is read as ws', 'http://example.com', {}],
    ['the default port of wss is 443', 'wss://example.com:443/', { secure: true, port: 443 }],
    ['https is read as wss', 'https://example.com', { secure: true, port: 443 }],
    ['another port stands in Host', 'ws://example.com:8080/', { port: 8080, host: 'example.com:8080' }],
    ['port 443 of ws stands in Host', 'ws://example.com:443/', { port: 443, host: 'example.com:443' }],
    ['scheme and host are compared in lower case', 'WS://EXAMPLE.com/A', { resource: '/A' }],
    ['the resource name is path and query', 'ws://example.com/a/b?c=d&e', { resource: '/a/b?c=d&e' }],
    ['an empty path is "/"', 'ws://example.com?q', { resource: '/?q' }],
    ['an empty query is left out', 'ws://example.com/a?', { resource: '/a' }],
    ['an encoded "#" is no fragment', 'ws://example.com/%23', { resource: '/%23' }],
    [
      'what a request line cannot hold is encoded',
      'ws://example.com/a b\u00fc',
      { resource: '/a%20b%C3%BC' },
    ],
    [
      'an international host name is ASCII',
      'ws://b\u00fccher.example/',
      { hostname: 'xn--bcher-kva.example', host: 'xn--bcher-kva.example' },
    ],
    [
      'an IPv6 address has brackets in Host only',
      'ws://[::1]:9/',
      { hostname: '::1', host: '[::1]:9', port: 9 },
    ],
    ['credentials are decoded', 'ws://u%40x:p%3A%C3%A9@example.com/', { credentials: 'u@x:p:\u00e9' }],
    ['a user without a password', 'ws://user@example.com/', { credentials: 'user:' }],
    ['a password without a user', 'ws://:secret@example.com/', { credentials: ':secret' }],
  ])('%s', (_name, url, expected) => {
    expect(parseUri(url)).toEqual({ ...base, ...expected });
    expect(parseUri(new URL(url))).toEqual({ ...base, ...expected });
  });

  it.each<[string, Partial<WebSocketUri>]>([
    ['ws+unix:/run/a.sock', { socketPath: '/run/a.sock' }],
    ['ws+unix:///run/a.sock', { socketPath: '/run/a.sock' }],
    ['wss+unix:/run/a.sock:/chat?x=1', { secure: true, socketPath: '/run/a.sock', resource: '/chat?x=1' }],
    ['ws+unix:/run/a.sock:', { socketPath: '/run/a.sock' }],
    ['ws+unix:/run/a.sock?x', { socketPath: '/run/a.sock', resource: '/?x' }],
    ['ws+unix:/run/a%3Ab%20c.sock:/d:e', { socketPath: '/run/a:b c.sock', resource: '/d:e' }],
  ])('a Unix socket: %s', (url, expected) => {
    expect(parseUri(url)).toEqual({
      ...base,
      hostname: 'localhost',
      host: 'localhost',
      port: 0,
      ...expected,
    });
  });

  it.each([
    ['no URL', 'example', 'Cannot parse the URL: example'],
    ['no host', 'ws://', 'Cannot parse the URL: ws://'],
    ['another scheme', 'ftp://example.com/', 'scheme ws, wss, http, https, ws+unix or wss+unix: ftp:'],
    ['a scheme named as a property of objects', 'constructor:/', 'wss+unix: constructor:'],
    ['a fragment', 'ws://example.com/#top', 'Expected a URL without a fragment: #top'],
    ['an empty fragment', 'wss://example.com/?a#', 'Expected a URL without a fragment: #'],
    ['a fragment behind a socket path', 'ws+unix:/run/a.sock#b', 'without a fragment: #b'],
    ['port 0', 'ws://example.com:0/', 'a port between 1 and 65535: 0'],
    ['a port over 65535', 'ws://example.com:65536/', 'Cannot parse the URL'],
    ['a port that is no number', 'ws://example.com:http/', 'Cannot parse the URL'],
    ['credentials that are not UTF-8', 'ws://%ff@example.com/', 'percent-encoded UTF-8 in the credentials'],
    ['a socket path that is not UTF-8', 'ws+unix:/run/%ff', 'percent-encoded UTF-8 in the socket path'],
    ['a relative socket path', 'ws+unix:run/a.sock', 'absolute path of a Unix socket: run/a.sock'],
    ['no socket path', 'ws+unix::/chat', 'absolute path of a Unix socket'],
    ['a host and a socket path', 'ws+unix://example.com/run/a.sock', 'absolute path of a Unix socket'],
    ['a NUL in a socket path', 'ws+unix:/run/%00.sock', 'absolute path of a Unix socket'],
    [
      'a relative resource name',
      'ws+unix:/run/a.sock:chat',
      'Expected "/" after the socket path of a URL: chat',
    ],
  ])('%s is a SyntaxError', (_name, url, message) => {
    expect(() => parseUri(url)).toThrow(SyntaxError);
    expect(() => parseUri(url)).toThrow(message);
  });

  it('no error tells the password', () => {
    for (const url of [
      'ws://u:secret@a:99999/',
      'ws://u:secret@a/#',
      'ftp://u:secret@a/',
      'ws+unix://u:secret@a/b',
    ]) {
      let error: unknown;
      try {
        parseUri(url);
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(SyntaxError);
      const { message, cause } = error as SyntaxError;
      expect(message).not.toContain('secret');
      expect(cause).toBeUndefined();
    }
  });
});

describe('§3 the URL of a connection', () => {
  it.each([
    ['ws://Example.com:80/a?b=c', 'ws://example.com/a?b=c'],
    ['https://u:secret@example.com', 'wss://example.com/'],
    ['http://[::1]:8080/x', 'ws://[::1]:8080/x'],
    ['ws+unix:/run/a%3Ab%20c.sock:/chat?x=1', 'ws+unix:/run/a%3Ab%20c.sock:/chat?x=1'],
    ['wss+unix:/run/a.sock', 'wss+unix:/run/a.sock:/'],
  ])('%s is written as %s, without user and password', (given, url) => {
    expect(formatUri(parseUri(given))).toBe(url);
    expect(formatUri(parseUri(formatUri(parseUri(given))))).toBe(url);
  });
});
