/** One request of the opening handshake, RFC 6455 §4.1, and what came of it. */
import * as http from 'node:http';
import * as https from 'node:https';
import type { Duplex } from 'node:stream';
import { HandshakeError } from '../errors.js';
import { makeKey } from '../handshake/challenge.js';
import {
  type Agreement,
  type ClientOffer,
  checkResponse,
  type ResponseHead,
  requestFields,
} from '../handshake/client-handshake.js';
import type { HeaderRecord } from '../handshake/fields.js';
import { formatUri, type WebSocketUri } from '../handshake/uri.js';
import type { ResolvedConnectOptions } from './options.js';

/** The server switched protocols: the socket, and what was read after the response. */
export interface Switched extends Agreement {
  readonly socket: Duplex;
  readonly head: Buffer;
  /** The URL that was asked for, and the header fields of the response. */
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
}

/** Bytes of the body of a refusal that are kept. */
const MAX_BODY = 4096;

/**
 * Asks a server to switch protocols. Rejects with a HandshakeError: with status, headers and the start of the
 * body when it refused, with status 0 when no answer came; with the reason of `signal` when that aborts. When
 * it aborts while the body of a refusal is read, the refusal counts, unless it is the application that
 * aborted.
 */
export function attempt(
  uri: WebSocketUri,
  headers: HeaderRecord,
  options: ResolvedConnectOptions,
  signal: AbortSignal,
): Promise<Switched> {
  // An aborted signal emits no event any more
  if (signal.aborted) return Promise.reject(signal.reason);
  const { subprotocols, requireSubprotocol, extensions, tls, agent } = options;
  const offer: ClientOffer = { key: makeKey(), subprotocols, requireSubprotocol, extensions };
  const request = (uri.secure ? https : http).request({
    ...(uri.secure && tls),
    host: uri.hostname,
    port: uri.port,
    path: uri.resource,
    ...(uri.socketPath !== undefined && { socketPath: uri.socketPath }),
    agent: agent ?? false,
    setHost: false,
    // Agents and instrumentation look fields up by name, and add some: neither works on a flat list
    headers: toHeaders(requestFields(uri.host, offer, headers)),
  });
  return new Promise<Switched>((resolve, reject) => {
    let refused = false;
    const aborted = (): void => {
      request.destroy();
      reject(signal.reason);
    };
    const fail = (error: unknown): void => {
      signal.removeEventListener('abort', aborted);
      request.destroy();
      reject(error);
    };
    signal.addEventListener('abort', aborted);
    // For good: a socket may fail at any time until its connection listens
    request.on('error', (cause) => {
      // What came of the refusal counts, however its connection ended
      if (refused) return;
      const target = uri.socketPath ?? uri.host;
      fail(new HandshakeError(0, `Could not connect to ${target}: ${cause.message}`, { cause }));
    });
    request.on('upgrade', (response, socket, head) => {
      signal.removeEventListener('abort', aborted);
      try {
        const { headers, statusCode: status = 0, rawHeaders } = response;
        const agreement = checkResponse({ status, rawHeaders }, offer);
        resolve({ ...agreement, socket, head, url: formatUri(uri), headers });
      } catch (error) {
        socket.on('error', () => {}).destroy();
        reject(error);
      }
    });
    request.on('response', (response) => {
      const { statusCode: status = 0, headers, rawHeaders } = response;
      // To node:http a 101 without "Upgrade" or "Connection: Upgrade" is a response as any other; it has no body
      if (status === 101) return fail(faultOf({ status, rawHeaders }, offer));
      refused = true;
      signal.removeEventListener('abort', aborted);
      readStart(response, signal).then((body) => {
        if (options.signal?.aborted) return fail(options.signal.reason);
        fail(
          new HandshakeError(status, `The server refused to switch protocols: ${status}`, { headers, body }),
        );
      });
    });
    request.end();
  });
}

/** What is wrong with a 101 that did not switch protocols. */
function faultOf(response: ResponseHead, offer: ClientOffer): unknown {
  try {
    checkResponse(response, offer);
    return new HandshakeError(response.status, 'The server did not switch protocols');
  } catch (error) {
    return error;
  }
}

/** A record as `node:http` takes it: in order, a repeated name once with all of its values. */
function toHeaders(fields: readonly [name: string, value: string][]): Record<string, string | string[]> {
  const headers = new Map<string, [name: string, value: string | string[]]>();
  for (const [name, value] of fields) {
    const field = headers.get(name.toLowerCase());
    if (field === undefined) headers.set(name.toLowerCase(), [name, value]);
    else field[1] = [field[1], value].flat();
  }
  return Object.fromEntries(headers.values());
}

/** The start of a body, for as long as there is time. */
function readStart(response: http.IncomingMessage, signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const done = (): void => {
      signal.removeEventListener('abort', done);
      resolve(Buffer.concat(chunks).subarray(0, MAX_BODY).toString());
    };
    signal.addEventListener('abort', done);
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= MAX_BODY) done();
    });
    response.on('error', done).on('close', done);
  });
}
