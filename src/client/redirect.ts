/**
 * Redirects of the opening handshake, which a client "MAY" follow (RFC 6455 §4.1), and the credentials that stay at
 * home then.
 *
 *     from        to                         Authorization, Cookie, Proxy-Authorization, user, certificate
 *     any         same scheme, host, port    sent again
 *     any         another                    left out
 *     wss, https  ws, http                   refused
 */
import { HandshakeError } from '../errors.js';
import type { HeaderRecord } from '../handshake/fields.js';
import { parseUri, type WebSocketUri } from '../handshake/uri.js';
import { attempt, type Switched } from './attempt.js';
import type { ResolvedConnectOptions } from './options.js';

const statuses: readonly number[] = [301, 302, 303, 307, 308];
const secrets: readonly string[] = ['authorization', 'cookie', 'proxy-authorization'];

/** Asks the server, and those that it redirects to. */
export async function follow(
  url: string,
  first: WebSocketUri,
  options: ResolvedConnectOptions,
  signal: AbortSignal,
): Promise<Switched> {
  let base = url;
  let uri = first;
  let current = options;
  for (let redirects = 0; ; redirects++) {
    try {
      return await attempt(uri, authorized(current.headers, uri.credentials), current, signal);
    } catch (error) {
      const location = locationOf(error);
      if (location === undefined || redirects >= options.maxRedirects) throw error;
      const next = resolve(location, base, uri, error as HandshakeError);
      const same = next.secure === uri.secure && next.host === uri.host;
      if (!same) current = withoutSecrets(current);
      base = new URL(location, base).href;
      uri = same && uri.credentials !== undefined ? { credentials: uri.credentials, ...next } : next;
    }
  }
}

function locationOf(error: unknown): string | undefined {
  if (!(error instanceof HandshakeError) || !statuses.includes(error.status)) return undefined;
  const location = error.headers['location'];
  return typeof location === 'string' ? location : undefined;
}

function resolve(location: string, base: string, from: WebSocketUri, error: HandshakeError): WebSocketUri {
  const refuse = (why: string, cause?: unknown): never => {
    const { status, headers, body } = error;
    throw new HandshakeError(status, `${why}: ${location}`, { headers, body, cause });
  };
  if (from.socketPath !== undefined) return refuse('The server of a Unix socket redirected');
  let next: WebSocketUri;
  try {
    next = parseUri(new URL(location, base));
  } catch (cause) {
    return refuse('The server redirected to what is no URL of a WebSocket', cause);
  }
  if (next.socketPath !== undefined) return refuse('The server redirected to a Unix socket');
  if (from.secure && !next.secure) return refuse('The server redirected from wss to ws');
  return next;
}

function authorized(headers: HeaderRecord, credentials: string | undefined): HeaderRecord {
  const given = Object.keys(headers).some((name) => name.toLowerCase() === 'authorization');
  if (credentials === undefined || given) return headers;
  return { ...headers, Authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
}

function withoutSecrets(options: ResolvedConnectOptions): ResolvedConnectOptions {
  const { cert: _cert, key: _key, pfx: _pfx, ...tls } = options.tls;
  const headers = Object.entries(options.headers).filter(([name]) => !secrets.includes(name.toLowerCase()));
  return { ...options, tls, headers: Object.fromEntries(headers) };
}
