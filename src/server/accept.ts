/** RFC 6455 §4.2.2: a server answers the opening handshake, on a socket that `node:http` has read the request from. */

import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type ConnectionOptions,
  connectionOptionNames,
  type ResolvedConnectionOptions,
  resolveConnectionOptions,
} from '../connection/options.js';
import { WebSocketConnection } from '../connection/websocket-connection.js';
import { HandshakeError } from '../errors.js';
import {
  compressionExtensions,
  type PermessageDeflateOptions,
} from '../extensions/permessage-deflate/index.js';
import { checkExtraHeaders, type HeaderRecord } from '../handshake/fields.js';
import { compileOrigins, type OriginCheck, type OriginPolicy } from '../handshake/origin.js';
import {
  checkRequest,
  type Rejection,
  type RequestHead,
  type ServerHandshake,
  type SwitchingProtocols,
  switchProtocols,
} from '../handshake/server-handshake.js';
import { checkSubprotocols, chooseSubprotocol, type SubprotocolChoice } from '../handshake/subprotocol.js';
import { checkNames, checkNumber } from '../options.js';
import type { ExtensionFactory } from '../protocol/extension.js';
import { answer, refuse } from './refuse.js';

/** What {@link AcceptOptions.authenticate} decides: nothing or `true` accepts, `false` is 401. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing accepts.
export type Authentication = Rejection | boolean | undefined | void;

/** Options of {@link accept}. */
export interface AcceptOptions extends ConnectionOptions {
  /** Which web pages may connect (RFC 6455 §10.2). Default: those of the server's own origin. */
  readonly origins?: OriginPolicy<IncomingMessage>;
  /** Subprotocols, best first, or a function that chooses among those offered (§1.9). Default none. */
  readonly subprotocols?: SubprotocolChoice<IncomingMessage>;
  /**
   * permessage-deflate (RFC 7692): true for its defaults, or its options. What it costs and when it pays is in the
   * README. Default false.
   */
  readonly compression?: boolean | PermessageDeflateOptions;
  /** Other extensions that may be negotiated (§9.1). Default none. */
  readonly extensions?: readonly ExtensionFactory[];
  /** More header fields of the 101 response. */
  readonly headers?: HeaderRecord | ((request: IncomingMessage) => HeaderRecord);
  /**
   * Decides whether the request is accepted, after all other checks. It can answer any HTTP status with a
   * {@link Rejection}; what it throws is answered with 500. `signal` is aborted when the time is over, the peer is
   * gone, or the server closes.
   */
  readonly authenticate?: (
    request: IncomingMessage,
    context: { readonly signal: AbortSignal },
  ) => Authentication | Promise<Authentication>;
  /**
   * Milliseconds that `origins` and `authenticate` may take together; 503 when they are over. A `WebSocketServer` with
   * a `port` gives the head of a request the same time, and answers 408; other HTTP servers have `headersTimeout` for
   * that. Default 10_000.
   */
  readonly handshakeTimeout?: number;
  /** Refuses handshakes under way with 503 when it is aborted; later ones too. */
  readonly signal?: AbortSignal;
}

/** {@link AcceptOptions} checked, with every default filled in. */
export interface ResolvedAcceptOptions {
  readonly connection: ResolvedConnectionOptions;
  readonly checkOrigin: OriginCheck<IncomingMessage>;
  readonly subprotocols: SubprotocolChoice<IncomingMessage>;
  readonly extensions: readonly ExtensionFactory[];
  readonly headers: (request: IncomingMessage) => HeaderRecord;
  readonly authenticate: AcceptOptions['authenticate'];
  readonly handshakeTimeout: number;
  readonly signal: AbortSignal | undefined;
}

/** The names of {@link AcceptOptions}, for `checkNames`. */
export const acceptOptionNames: readonly string[] = [
  ...connectionOptionNames,
  'origins',
  'subprotocols',
  'compression',
  'extensions',
  'headers',
  'authenticate',
  'handshakeTimeout',
  'signal',
];

/** Marks a socket. A WeakSet costs each handshake 7 us, most of it in garbage collections. */
const kUpgraded = Symbol('upgraded');

/** The connection, or why there is none. */
export type UpgradeResult = WebSocketConnection | HandshakeError;

type Marked = Duplex & { [kUpgraded]?: true };

/**
 * Answers one upgrade request of a `node:http` or `node:https` server, and opens the connection (RFC 6455 §4.2.2).
 * Call it in the `upgrade` event, before anything is awaited: until then nobody listens to errors of the socket.
 *
 * ```ts
 * httpServer.on('upgrade', async (request, socket, head) => {
 *   const ws = await accept(request, socket, head, { subprotocols: ['chat'] });
 *   ws.on('message', (data) => ws.send(data));
 * });
 * ```
 *
 * @throws HandshakeError when the request was refused; the peer has been answered then, and the socket is closed.
 *   Its `status` is 0 when the peer was gone before it could be answered, or the socket was upgraded already.
 * @throws TypeError or RangeError for an option that is wrong; the peer is answered with 500.
 */
export async function accept(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  options: AcceptOptions = {},
): Promise<WebSocketConnection> {
  let resolved: ResolvedAcceptOptions;
  try {
    checkNames(options, acceptOptionNames);
    resolved = resolveAcceptOptions(options);
  } catch (error) {
    refuse(socket, { status: 500 });
    throw error;
  }
  const result = await upgrade(request, socket, head, resolved);
  if (result instanceof HandshakeError) throw result;
  return result;
}

/**
 * {@link accept} with options that are checked already, at once unless the application takes its time. A given
 * `refusal` is answered in place of the upgrade. The HTTP server is known to hide none of up to `mostFields` header
 * fields. What refuses the request is a result, not thrown.
 */
export function upgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  options: ResolvedAcceptOptions,
  refusal?: Rejection,
  mostFields = 0,
): UpgradeResult | Promise<UpgradeResult> {
  if ((socket as Marked)[kUpgraded])
    return new HandshakeError(0, 'Tried to upgrade a socket that was upgraded already');
  (socket as Marked)[kUpgraded] = true;
  if (socket instanceof Socket) socket.setTimeout(0).setNoDelay(true);

  let outcome: Outcome | Promise<Outcome>;
  try {
    outcome = refusal ?? hiddenField(request, mostFields) ?? negotiate(request, socket, options);
  } catch (error) {
    return refuse(socket, { status: 500 }, error);
  }
  if (!(outcome instanceof Promise)) return open(socket, head, options, outcome);
  return outcome.then(
    (late) => open(socket, head, options, late),
    (error) => refuse(socket, { status: 500 }, error),
  );
}

function open(
  socket: Duplex,
  head: Uint8Array,
  options: ResolvedAcceptOptions,
  outcome: Outcome,
): UpgradeResult {
  if ('status' in outcome) return refuse(socket, outcome);
  // The peer has gone meanwhile
  if (!socket.writable) return refuse(socket, { status: 503 });
  let connection: WebSocketConnection;
  try {
    connection = new WebSocketConnection(socket, {
      role: 'server',
      options: options.connection,
      subprotocol: outcome.subprotocol,
      extensions: outcome.extensions,
      head,
    });
  } catch (error) {
    return refuse(socket, { status: 500 }, error);
  }
  // It writes nothing by itself in this tick: the response goes first
  socket.write(outcome.head, 'latin1');
  return connection;
}

/** Checks the options; throws TypeError or RangeError by name. */
export function resolveAcceptOptions(options: AcceptOptions): ResolvedAcceptOptions {
  const { subprotocols = [], extensions = [], headers = {}, authenticate } = options;
  if (typeof subprotocols !== 'function') checkSubprotocols(subprotocols);
  if (!Array.isArray(extensions)) throw new TypeError('Option extensions is not an array');
  if (typeof headers !== 'function') checkExtraHeaders(headers);
  if (authenticate !== undefined && typeof authenticate !== 'function') {
    throw new TypeError('Option authenticate is not a function');
  }
  return {
    connection: resolveConnectionOptions(options),
    checkOrigin: compileOrigins(options.origins),
    subprotocols,
    extensions: [...compressionExtensions(options.compression), ...extensions],
    headers: typeof headers === 'function' ? headers : () => headers,
    authenticate,
    handshakeTimeout: checkNumber('handshakeTimeout', options.handshakeTimeout, 10_000, 1, 0x7fff_ffff),
    signal: options.signal,
  };
}

type Outcome = Rejection | SwitchingProtocols;

/**
 * All that is decided before a byte is written, at once unless the application takes its time; throws only what is
 * the application's fault.
 */
function negotiate(
  request: IncomingMessage,
  socket: Duplex,
  options: ResolvedAcceptOptions,
): Outcome | Promise<Outcome> {
  const handshake = checkRequest(requestHead(request));
  if ('status' in handshake) return hiddenField(request, 0) ?? handshake;
  const rejection = admit(request, socket, handshake, options);
  if (rejection instanceof Promise)
    return rejection.then((late) => late ?? agree(request, handshake, options));
  return rejection ?? agree(request, handshake, options);
}

/**
 * The answer when `maxHeadersCount` of the HTTP server has hidden the field Upgrade: `node:http` emits 'upgrade' for no
 * request without it. Up to `most` fields none is hidden; to look costs as much as all other checks, as `headers` is made then.
 */
function hiddenField(request: IncomingMessage, most: number): Rejection | undefined {
  const hidden = request.rawHeaders.length > most * 2 && request.headers.upgrade === undefined;
  return hidden ? { status: 400, body: 'Expected fewer header fields' } : undefined;
}

function agree(
  request: IncomingMessage,
  handshake: ServerHandshake,
  options: ResolvedAcceptOptions,
): SwitchingProtocols {
  const subprotocol = chooseSubprotocol(handshake.subprotocols, options.subprotocols, request);
  const headers = options.headers(request);
  return switchProtocols(handshake, { subprotocol, headers, extensions: options.extensions });
}

/** The head of a request of `node:http`. */
export function requestHead(request: IncomingMessage): RequestHead {
  const { method = '', url = '', httpVersion, rawHeaders } = request;
  return { method, target: url, httpVersion, rawHeaders };
}

/** The origin check of §4.2.2 item 4, then the application's authentication; most requests need not wait for either. */
function admit(
  request: IncomingMessage,
  socket: Duplex,
  { host, origin }: ServerHandshake,
  options: ResolvedAcceptOptions,
): Rejection | undefined | Promise<Rejection | undefined> {
  if (options.signal?.aborted) return { status: 503, body: closing };
  const own = `${'encrypted' in request.socket ? 'https' : 'http'}://${host}`;
  const allowed = origin === undefined || options.checkOrigin(origin, own, request);
  if (allowed === true && options.authenticate === undefined) return undefined;
  return inTime(socket, options, async (signal) => {
    if ((await allowed) !== true) return { status: 403, body: `Origin ${origin} is not allowed at ${own}` };
    return signal.aborted ? undefined : authenticate(request, options, signal);
  });
}

const closing = 'The server takes no more connections';

/** Lets the application decide, for as long as there is time, a peer, and no reason to stop. */
async function inTime(
  socket: Duplex,
  options: ResolvedAcceptOptions,
  decide: (signal: AbortSignal) => Promise<Rejection | undefined>,
): Promise<Rejection | undefined> {
  const controller = new AbortController();
  let stop!: (body: string) => void;
  const stopped = new Promise<Rejection>((resolve) => {
    stop = (body) => {
      resolve({ status: 503, body });
      controller.abort();
    };
  });
  const onAbort = (): void => stop(closing);
  const onClose = (): void => stop('The peer is gone');
  const timer = setTimeout(stop, options.handshakeTimeout, 'The opening handshake took too long');
  // The peer may reset at any moment, and node:http has taken its own listener off the socket
  socket.on('error', ignore).once('close', onClose);
  options.signal?.addEventListener('abort', onAbort);
  try {
    return await Promise.race([stopped, decide(controller.signal)]);
  } finally {
    clearTimeout(timer);
    socket.off('error', ignore).off('close', onClose);
    options.signal?.removeEventListener('abort', onAbort);
  }
}

async function authenticate(
  request: IncomingMessage,
  options: ResolvedAcceptOptions,
  signal: AbortSignal,
): Promise<Rejection | undefined> {
  if (options.authenticate === undefined) return undefined;
  const result = await options.authenticate(request, { signal });
  if (result === undefined || result === true) return undefined;
  const rejection = result === false ? { status: 401 } : result;
  answer(rejection);
  return rejection;
}

function ignore(): void {}
