/** Options of `accept()`, their defaults and their checks. */

import type { IncomingMessage } from 'node:http';
import {
  type ConnectionOptions,
  connectionOptionNames,
  pickConnectionOptions,
  type ResolvedConnectionOptions,
} from '../connection/options.js';
import {
  compressionExtensions,
  type PermessageDeflateOptions,
} from '../extensions/permessage-deflate/index.js';
import { checkExtraHeaders, type HeaderRecord } from '../handshake/fields.js';
import { compileOrigins, type OriginCheck, type OriginPolicy } from '../handshake/origin.js';
import type { Rejection } from '../handshake/server-handshake.js';
import { checkSubprotocols, type SubprotocolChoice } from '../handshake/subprotocol.js';
import { checkBoolean, checkExtensions, checkNumber, checkSignal } from '../options.js';
import type { ExtensionFactory } from '../protocol/extension.js';
import type { Authenticate } from './authentication.js';

/**
 * Options of {@link accept}.
 *
 * @typeParam Data - what `authenticate` puts into `ws.data`
 */
export interface AcceptOptions<Data = unknown> extends ConnectionOptions {
  /** Which web pages may connect (RFC 6455 §10.2). Default: those of the server's own origin. */
  readonly origins?: OriginPolicy<IncomingMessage>;
  /**
   * Reads the server's own origin from `X-Forwarded-Proto` and `X-Forwarded-Host` where a request has them;
   * of a list the last element counts. Only for a server that is reached through a proxy alone, and one that
   * overwrites both fields: anything else lets a client choose the origin that it is compared with. Default
   * false.
   */
  readonly trustProxy?: boolean;
  /** Subprotocols, best first, or a function that chooses among those offered (§1.9). Default none. */
  readonly subprotocols?: SubprotocolChoice<IncomingMessage>;
  /**
   * permessage-deflate (RFC 7692): true for its defaults, or its options. What it costs and when it pays is
   * in the README. Default false.
   */
  readonly compression?: boolean | PermessageDeflateOptions;
  /** Other extensions that may be negotiated (§9.1); a connection uses one at most. Default none. */
  readonly extensions?: readonly ExtensionFactory[];
  /** More header fields of the 101 response. Default none. */
  readonly headers?: HeaderRecord | ((request: IncomingMessage) => HeaderRecord);
  /**
   * Decides whether the request is accepted, after all other checks (§4.2.2 item 4). `true` accepts; so does
   * `{ data, maxMessageSize }`, either of which may be left out: `ws.data`, and the option `maxMessageSize` of
   * this connection alone, in bytes. `false` refuses with 401, a {@link Rejection} with any HTTP status. What
   * it throws is answered with 500, and so is any other result, also none: a forgotten `return` accepts
   * nobody. The `cause` of the `HandshakeError` is that error, else a TypeError or RangeError. `signal` is
   * aborted when the time is over, the peer has closed or reset its connection, or the server closes.
   * Default: every request is accepted.
   *
   * @example
   * ```ts
   * const server = new WebSocketServer<User>({
   *   port: 8080,
   *   async authenticate(request, { cookies, signal }) {
   *     const user = await findUser(cookies['sid'], { signal });
   *     return user !== null && { data: user, maxMessageSize: 1024 };
   *   },
   * });
   * server.on('connection', (ws) => console.log(ws.data?.name));
   * ```
   */
  readonly authenticate?: Authenticate<Data>;
  /**
   * Rewrites the answer of a refusal, such as its body or its header fields; nothing returned leaves it as it
   * is. What it throws is answered with 500. Default: refusals are answered as they are.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing changes nothing.
  readonly refuse?: (rejection: Rejection, request: IncomingMessage) => Rejection | undefined | void;
  /**
   * Milliseconds that `origins` and `authenticate` may take together; 503 when they are over. A
   * `WebSocketServer` with a `port` gives the head of a request the same time, and answers 408; other HTTP
   * servers have `headersTimeout` for that. Time for which this process itself stands still ends no handshake
   * whose answer has arrived. Default 10_000.
   */
  readonly handshakeTimeout?: number;
  /** Refuses handshakes in progress with 503 when it is aborted; later ones too. Default none. */
  readonly signal?: AbortSignal;
}

/** {@link AcceptOptions} checked, with every default filled in. */
export interface ResolvedAcceptOptions {
  readonly connection: ResolvedConnectionOptions;
  readonly checkOrigin: OriginCheck<IncomingMessage>;
  readonly trustProxy: boolean;
  readonly subprotocols: SubprotocolChoice<IncomingMessage>;
  readonly extensions: readonly ExtensionFactory[];
  readonly headers: (request: IncomingMessage) => HeaderRecord;
  readonly authenticate: AcceptOptions['authenticate'];
  readonly refuse: AcceptOptions['refuse'];
  readonly handshakeTimeout: number;
  readonly signal: AbortSignal | undefined;
}

/** The names of {@link AcceptOptions}, for `checkNames`. */
export const acceptOptionNames: readonly string[] = [
  ...connectionOptionNames,
  'origins',
  'trustProxy',
  'subprotocols',
  'compression',
  'extensions',
  'headers',
  'authenticate',
  'refuse',
  'handshakeTimeout',
  'signal',
];

/** Checks the options; throws TypeError or RangeError by name. */
export function resolveAcceptOptions(options: AcceptOptions): ResolvedAcceptOptions {
  const {
    subprotocols = [],
    extensions = [],
    headers = {},
    authenticate,
    refuse,
    trustProxy = false,
  } = options;
  if (typeof subprotocols !== 'function') checkSubprotocols(subprotocols);
  checkExtensions(extensions, ['accept']);
  checkSignal(options.signal);
  if (typeof headers !== 'function') {
    if (typeof headers !== 'object' || headers === null || Symbol.iterator in headers) {
      throw new TypeError('Option headers is neither a record of header fields nor a function');
    }
    checkExtraHeaders(headers);
  }
  if (authenticate !== undefined && typeof authenticate !== 'function') {
    throw new TypeError('Option authenticate is not a function');
  }
  if (refuse !== undefined && typeof refuse !== 'function') {
    throw new TypeError('Option refuse is not a function');
  }
  checkBoolean('trustProxy', trustProxy);
  return {
    connection: pickConnectionOptions(options),
    checkOrigin: compileOrigins(options.origins),
    trustProxy,
    subprotocols,
    extensions: [...compressionExtensions(options.compression), ...extensions],
    headers: typeof headers === 'function' ? headers : () => headers,
    authenticate,
    refuse,
    handshakeTimeout: checkNumber('handshakeTimeout', options.handshakeTimeout, 10_000, 1, 0x7fff_ffff),
    signal: options.signal,
  };
}
