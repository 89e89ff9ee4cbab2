/**
 * Redirects of the opening handshake, which a client "MAY" follow (RFC 6455 §4.1), and what is sent there.
 *
 *     from         to                         option headers, origin, user of the URL    certificate, agent
 *     any          same scheme, host, port    sent again                                 used again
 *     any          another                    left out                                   left out; with an agent refused
 *     wss, https   ws, http                   refused
 *
 * An application may put a secret into any field, so that no list of names tells which ones are harmless: to
 * another origin go the fields of the handshake itself only. An agent may hold a certificate or the password
 * of a proxy.
 */
import { HandshakeError } from '../errors.js';
import type { HeaderRecord } from '../handshake/fields.js';
import { parseUri, type WebSocketUri } from '../handshake/uri.js';
import { attempt, type Switched } from './attempt.js';
import type { ResolvedConnectOptions } from './options.js';

const statuses: readonly number[] = [301, 302, 303, 307, 308];
/**
 * Options of `tls` that hold no secret and no name of the first server: how to reach and check any server.
 */
const harmlessTls: readonly string[] = [
  'ca',
  'checkServerIdentity',
  'ciphers',
  'crl',
  'ecdhCurve',
  'family',
  'hints',
  'localAddress',
  'lookup',
  'maxVersion',
  'minDHSize',
  'minVersion',
  'rejectUnauthorized',
  'secureOptions',
  'secureProtocol',
  'sigalgs',
];

/** Asks the server, and those that it redirects to, until `signal` aborts: then rejects with its reason. */
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
      // The time may have ended the body of the redirect
      signal.throwIfAborted();
      const next = resolve(location, base, uri, error as HandshakeError);
      const target = new URL(location, base);
      if (next.secure === uri.secure && next.host === uri.host) {
        uri = uri.credentials === undefined ? next : { credentials: uri.credentials, ...next };
      } else {
        if (current.agent !== undefined) throw refusal(error as HandshakeError, agentRefuses, location);
        current = forAnotherOrigin(current);
        const { credentials: _, ...rest } = next;
        uri = rest;
        target.username = target.password = '';
      }
      base = target.href;
    }
  }
}

function locationOf(error: unknown): string | undefined {
  if (!(error instanceof HandshakeError) || !statuses.includes(error.status)) return undefined;
  const location = error.headers['location'];
  return typeof location === 'string' ? location : undefined;
}

const agentRefuses = 'The server redirected to another origin, for which the option agent is not used';

function refusal(error: HandshakeError, why: string, location: string, cause?: unknown): HandshakeError {
  const { status, headers, body } = error;
  return new HandshakeError(status, `${why}: ${location}`, { headers, body, cause });
}

function resolve(location: string, base: string, from: WebSocketUri, error: HandshakeError): WebSocketUri {
  const refuse = (why: string, cause?: unknown): never => {
    throw refusal(error, why, location, cause);
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

function forAnotherOrigin(options: ResolvedConnectOptions): ResolvedConnectOptions {
  const tls = Object.entries(options.tls).filter(([name]) => harmlessTls.includes(name));
  return { ...options, tls: Object.fromEntries(tls), headers: {} };
}
