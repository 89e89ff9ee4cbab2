/**
 * WebSocket URIs, RFC 6455 §3, and two forms that the RFC does not know:
 *
 *     ws-URI   = "ws:"  "//" host [ ":" port ] path [ "?" query ]      port 80
 *     wss-URI  = "wss:" "//" host [ ":" port ] path [ "?" query ]      port 443
 *     http: and https: are read as ws: and wss:
 *     ws+unix:/path/to.sock[:/resource]   wss+unix:/path/to.sock[:/resource]   a ":" in the path is "%3A"
 */

/** The parts of a URL that the opening handshake needs (§3, §4.1). */
export interface WebSocketUri {
  /** Whether the connection is over TLS. */
  readonly secure: boolean;
  /** The host to connect to, without the brackets of an IPv6 address. */
  readonly hostname: string;
  readonly port: number;
  /** The value of the Host header field: the default port is left out, an IPv6 address is in brackets. */
  readonly host: string;
  /** The "/resource name/" of §3: path and query, at least `/`. */
  readonly resource: string;
  /** `user:password` with percent-encoding undone, when the URL has one of the two. */
  readonly credentials?: string;
  /** The Unix socket to connect to instead of host and port. */
  readonly socketPath?: string;
}

const schemes: ReadonlyMap<string, boolean> = new Map([
  ['ws:', false],
  ['http:', false],
  ['ws+unix:', false],
  ['wss:', true],
  ['https:', true],
  ['wss+unix:', true],
]);

/**
 * Takes a URL apart. Throws a SyntaxError when it does not parse, has another scheme, has a fragment, or has
 * a port that nothing can listen on; its message never contains the password.
 */
export function parseUri(url: string | URL): WebSocketUri {
  const parsed = parse(String(url));
  const secure = schemes.get(parsed.protocol);
  if (secure === undefined) {
    throw new SyntaxError(
      `Expected a URL with the scheme ws, wss, http, https, ws+unix or wss+unix: ${parsed.protocol}`,
    );
  }
  // §3 "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used"
  const fragment = parsed.href.indexOf('#');
  if (fragment !== -1) {
    throw new SyntaxError(`Expected a URL without a fragment: ${parsed.href.slice(fragment)}`);
  }
  if (parsed.protocol.endsWith('+unix:')) return unixSocket(parsed, secure);
  if (parsed.port === '0') throw new SyntaxError('Expected a URL with a port between 1 and 65535: 0');

  const credentials = `${parsed.username}:${parsed.password}`;
  return {
    secure,
    hostname: parsed.hostname.startsWith('[') ? parsed.hostname.slice(1, -1) : parsed.hostname,
    port: parsed.port === '' ? (secure ? 443 : 80) : Number(parsed.port),
    host: parsed.host,
    resource: parsed.pathname + parsed.search,
    ...(credentials !== ':' && { credentials: decode(credentials, 'credentials') }),
  };
}

/** The URL that the parts are of, without credentials and with the scheme of a WebSocket. */
export function formatUri({ host, resource, secure, socketPath }: WebSocketUri): string {
  const scheme = secure ? 'wss' : 'ws';
  if (socketPath === undefined) return `${scheme}://${host}${resource}`;
  return `${scheme}+unix:${socketPath.split('/').map(encodeURIComponent).join('/')}:${resource}`;
}

function unixSocket(parsed: URL, secure: boolean): WebSocketUri {
  const colon = parsed.pathname.indexOf(':');
  const end = colon === -1 ? parsed.pathname.length : colon;
  const socketPath = decode(parsed.pathname.slice(0, end), 'socket path');
  const path = parsed.pathname.slice(end + 1) || '/';
  if (parsed.host !== '' || !socketPath.startsWith('/') || socketPath.includes('\0')) {
    throw new SyntaxError(`Expected a URL with the absolute path of a Unix socket: ${parsed.pathname}`);
  }
  if (!path.startsWith('/')) throw new SyntaxError(`Expected "/" after the socket path of a URL: ${path}`);
  return {
    secure,
    hostname: 'localhost',
    port: 0,
    host: 'localhost',
    resource: path + parsed.search,
    socketPath,
  };
}

function parse(text: string): URL {
  try {
    return new URL(text);
  } catch {
    // What stands before the last "@" may be a password; the caught error repeats it, so it is no cause
    // either.
    throw new SyntaxError(`Cannot parse the URL: ${text.slice(text.lastIndexOf('@') + 1)}`);
  }
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new SyntaxError(`Expected percent-encoded UTF-8 in the ${what} of a URL`);
  }
}
