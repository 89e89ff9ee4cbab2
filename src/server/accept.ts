/**
 * RFC 6455 §4.2.2: a server answers the opening handshake, on a socket that `node:http` has read the request
 * from.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketConnection } from '../connection/websocket-connection.js';
import { HandshakeError } from '../errors.js';
import {
  asksForUpgrade,
  checkRequest,
  type Rejection,
  type RequestHead,
  type ServerHandshake,
  type SwitchingProtocols,
  switchProtocols,
} from '../handshake/server-handshake.js';
import { chooseSubprotocol } from '../handshake/subprotocol.js';
import { checkNames } from '../options.js';
import { takesSharedMemory } from '../socket.js';
import {
  type AcceptOptions,
  acceptOptionNames,
  type ResolvedAcceptOptions,
  resolveAcceptOptions,
} from './accept-options.js';
import { type Admission, admit } from './admission.js';
import { afterResponses } from './pipeline.js';
import { answer, refuse } from './refuse.js';
import { RequestContext } from './request-context.js';

/** Marks a socket. A WeakSet costs each handshake 7 us, most of it in garbage collections. */
const kUpgraded = Symbol('upgraded');

/** The connection, or why there is none. */
export type UpgradeResult<Data = unknown> = WebSocketConnection<Data> | HandshakeError;

type Marked = Duplex & { [kUpgraded]?: boolean };

/** Whether {@link upgrade} was called for a socket. */
export function isUpgraded(socket: Duplex): boolean {
  return (socket as Marked)[kUpgraded] === true;
}

/**
 * Answers one upgrade request of a `node:http` or `node:https` server, and opens the connection (RFC 6455
 * §4.2.2). Call it in the `upgrade` event, before anything is awaited: until then nothing listens to errors
 * of the socket.
 *
 * A client may send the upgrade behind another request of the same socket. Where that is not answered yet,
 * refuse the upgrade, as a `WebSocketServer` does that has the option `server`: the answer would be written
 * into the frames. Only the application knows; `accept()` sees one request.
 *
 * ```ts
 * httpServer.on('upgrade', (request, socket, head) => {
 *   accept(request, socket, head, { subprotocols: ['chat'] }).then(
 *     (ws) => ws.on('message', (data) => ws.send(data)),
 *     () => {},   // HandshakeError: refused, and answered already
 *   );
 * });
 * ```
 *
 * @typeParam Data - what `authenticate` puts into `ws.data`
 * @throws HandshakeError when the request was refused; the peer has been answered then, and the socket is
 *   closed. Its `status` is 0 when the peer was gone before it could be answered, or the socket was upgraded
 *   already.
 * @throws TypeError or RangeError for an option that is wrong; the peer is answered with 500. TypeError for
 *   an argument that is no request, socket or head.
 */
export async function accept<Data = unknown>(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  options: AcceptOptions<Data> = {},
): Promise<WebSocketConnection<Data>> {
  checkUpgrade(request, socket, head);
  let resolved: ResolvedAcceptOptions;
  try {
    checkNames('accept()', options, acceptOptionNames);
    resolved = resolveAcceptOptions(options);
  } catch (error) {
    refuse(socket, { status: 500 });
    throw error;
  }
  const context = new RequestContext(request, resolved.trustProxy);
  const result = await upgrade({ request, socket, head, options: resolved, context });
  if (result instanceof HandshakeError) throw result;
  // Its data is what `authenticate` of these options returned
  return result as WebSocketConnection<Data>;
}

/** Throws a TypeError unless the arguments are those of an `upgrade` event. */
export function checkUpgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): void {
  if (typeof request !== 'object' || request === null)
    throw new TypeError('Argument request is not a request');
  if (typeof socket?.write !== 'function') throw new TypeError('Argument socket is not a Duplex stream');
  if (!(head instanceof Uint8Array)) throw new TypeError('Argument head is not a Buffer');
}

/**
 * Whether a request asks for an upgrade to WebSocket, whatever else is wrong with it: for routers, which then
 * call `accept()` or `handleUpgrade()`, and leave all other upgrades alone.
 */
export function isUpgrade(request: IncomingMessage): boolean {
  return asksForUpgrade(request.rawHeaders);
}

/** One upgrade request, and what decides about it. */
export interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Uint8Array;
  readonly options: ResolvedAcceptOptions;
  readonly context: RequestContext;
  /** An answer in place of the upgrade. */
  readonly refusal?: Rejection | undefined;
  /** The HTTP server hides none of up to this number of header fields. Default 0. */
  readonly maxFields?: number;
  /** Responses of the same socket that are not sent yet. */
  readonly responses?: ReadonlySet<ServerResponse> | undefined;
}

/**
 * {@link accept} with options that are checked already, at once unless the application takes its time. What
 * refuses the request is a result, not thrown.
 */
export function upgrade(asked: UpgradeRequest): UpgradeResult | Promise<UpgradeResult> {
  const { request, socket, maxFields = 0, responses } = asked;
  if (isUpgraded(socket)) return new HandshakeError(0, 'Tried to upgrade a socket that was upgraded already');
  (socket as Marked)[kUpgraded] = true;
  if (responses !== undefined) return behind(asked, responses);
  if (socket instanceof Socket) socket.setTimeout(0).setNoDelay(true);

  let outcome: Outcome | Promise<Outcome>;
  try {
    outcome = asked.refusal ?? hiddenField(request, maxFields) ?? negotiate(asked);
  } catch (error) {
    return refuseRequest(asked, { status: 500 }, error);
  }
  if (!(outcome instanceof Promise)) return open(asked, outcome);
  return outcome.then(
    (late) => open(asked, late),
    (error) => refuseRequest(asked, { status: 500 }, error),
  );
}

/**
 * Upgrades behind responses that are complete and on their way, and refuses to where one is not complete; in
 * either case the answer is written after them.
 */
async function behind(asked: UpgradeRequest, responses: ReadonlySet<ServerResponse>): Promise<UpgradeResult> {
  const { socket, options, refusal } = asked;
  const pending = [...responses].some((response) => !response.writableEnded);
  await afterResponses(socket, responses, options.handshakeTimeout, options.signal);
  (socket as Marked)[kUpgraded] = false;
  return upgrade({ ...asked, responses: undefined, refusal: pending ? pipelined : refusal });
}

const pipelined: Rejection = { status: 400, body: 'Expected no request in front whose answer is pending' };

function open(asked: UpgradeRequest, outcome: Outcome): UpgradeResult {
  if ('status' in outcome) return refuseRequest(asked, outcome);
  const { socket, head, options, context } = asked;
  // The peer has gone meanwhile
  if (!socket.writable) return refuse(socket, { status: 503 });
  const { acceptance, agreed, early, host } = outcome;
  const { data, maxMessageSize } = acceptance;
  let connection: WebSocketConnection;
  try {
    connection = new WebSocketConnection(socket, {
      role: 'server',
      options: maxMessageSize === undefined ? options.connection : { ...options.connection, maxMessageSize },
      data,
      url: context.href(host),
      subprotocol: agreed.subprotocol,
      extensions: agreed.extensions,
      head: early.length === 0 ? head : Buffer.concat([head, ...early]),
      sharedMemory: takesSharedMemory(socket),
    });
  } catch (error) {
    return refuseRequest(asked, { status: 500 }, error);
  }
  // It writes nothing by itself in this tick: the response goes first
  socket.write(agreed.head, 'latin1');
  return connection;
}

/** Refuses with what the option `refuse` makes of the rejection. */
function refuseRequest(
  { request, socket, options }: UpgradeRequest,
  rejection: Rejection,
  cause?: unknown,
): HandshakeError {
  try {
    // A peer that is gone gets no answer
    if (options.refuse === undefined || !socket.writable) return refuse(socket, rejection, cause);
    const rewritten = options.refuse(rejection, request) ?? rejection;
    answer(rewritten);
    return refuse(socket, rewritten, cause);
  } catch (error) {
    return refuse(socket, { status: 500 }, error);
  }
}

type Outcome = Rejection | (Admission & { readonly agreed: SwitchingProtocols; readonly host: string });

/**
 * All that is decided before a byte is written, at once unless the application takes its time; throws only
 * what is the application's fault.
 */
function negotiate(asked: UpgradeRequest): Outcome | Promise<Outcome> {
  const { request, socket, options, context } = asked;
  const handshake = checkRequest(requestHead(request));
  if ('status' in handshake) return hiddenField(request, 0) ?? handshake;
  const admission = admit(request, socket, handshake, options, context);
  if (admission instanceof Promise) return admission.then((late) => agree(request, handshake, options, late));
  return agree(request, handshake, options, admission);
}

/**
 * The answer when `maxHeadersCount` of the HTTP server has hidden the field Upgrade: `node:http` emits
 * 'upgrade' for no request without it. Up to `max` fields none is hidden; to look costs as much as all other
 * checks, as `headers` is made then.
 */
function hiddenField(request: IncomingMessage, max: number): Rejection | undefined {
  const hidden = request.rawHeaders.length > max * 2 && request.headers.upgrade === undefined;
  return hidden ? { status: 400, body: 'Expected fewer header fields' } : undefined;
}

function agree(
  request: IncomingMessage,
  handshake: ServerHandshake,
  options: ResolvedAcceptOptions,
  admission: Rejection | Admission,
): Outcome {
  if ('status' in admission) return admission;
  const subprotocol = chooseSubprotocol(handshake.subprotocols, options.subprotocols, request);
  const headers = options.headers(request);
  const agreed = switchProtocols(handshake, { subprotocol, headers, extensions: options.extensions });
  const { acceptance, early } = admission;
  return { acceptance, early, agreed, host: handshake.host };
}

/** The head of a request of `node:http`. */
export function requestHead(request: IncomingMessage): RequestHead {
  const { method = '', url = '', httpVersion, rawHeaders } = request;
  return { method, target: url, httpVersion, rawHeaders };
}
