/** RFC 6455 §4.2.2 item 4, §10.2 and §10.5: whom a server lets in, decided in time. */

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { onAbort } from '../connection/abort.js';
import { deadline } from '../deadline.js';
import type { Rejection, ServerHandshake } from '../handshake/server-handshake.js';
import type { ResolvedAcceptOptions } from './accept-options.js';
import { type Acceptance, authenticate } from './authentication.js';
import { ownOriginsOf, type RequestContext } from './request-context.js';

/** The request is let in. */
export interface Admission {
  /** What the peer sent in front of the answer. */
  readonly early: readonly Buffer[];
  readonly acceptance: Acceptance;
}

/** Nothing was read, and nobody was asked. */
const admitted: Admission = { early: [], acceptance: {} };

/**
 * Bytes that a peer may send in front of the answer before its socket is left unread, and a FIN unnoticed.
 */
const MAX_EARLY = 64 * 1024;

/** The origin check, then the application's authentication; most requests need to wait for neither. */
export function admit(
  request: IncomingMessage,
  socket: Duplex,
  { host, origin }: ServerHandshake,
  options: ResolvedAcceptOptions,
  context: RequestContext,
): Rejection | Admission | Promise<Rejection | Admission> {
  if (options.signal?.aborted) return { status: 503, body: closing };
  if (origin === undefined && options.authenticate === undefined) return admitted;
  const own = origin === undefined ? [] : ownOriginsOf(request, host, options.trustProxy);
  const allowed = origin === undefined || options.checkOrigin(origin, own, request);
  if (allowed === true && options.authenticate === undefined) return admitted;
  return inTime(socket, options, async (signal) => {
    if ((await allowed) !== true)
      return { status: 403, body: `Origin ${origin} is not allowed at ${own[0]}` };
    return signal.aborted ? {} : authenticate(options.authenticate, request, context, signal);
  });
}

const closing = 'The server accepts no more connections';

/** Lets the application decide, until its time is over, the peer is gone, or the server closes. */
async function inTime(
  socket: Duplex,
  options: ResolvedAcceptOptions,
  decide: (signal: AbortSignal) => Promise<Rejection | Acceptance>,
): Promise<Rejection | Admission> {
  const controller = new AbortController();
  let stop!: (body: string) => void;
  const stopped = new Promise<Rejection>((resolve) => {
    stop = (body) => {
      resolve({ status: 503, body });
      controller.abort();
    };
  });
  const onGone = (): void => stop('The peer is gone');
  const cancel = deadline(options.handshakeTimeout, () => stop('The opening handshake took too long'));
  // The peer may reset at any moment, and node:http has removed its own listener from the socket
  socket.on('error', ignore).once('close', onGone).once('end', onGone);
  const reading = readEarly(socket);
  const unlisten = onAbort(options.signal, () => stop(closing));
  try {
    const decision = await Promise.race([stopped, decide(controller.signal)]);
    return 'status' in decision ? decision : { early: reading.early, acceptance: decision };
  } finally {
    cancel();
    unlisten();
    await reading.stop();
    socket.off('error', ignore).off('close', onGone).off('end', onGone);
  }
}

/**
 * Reads what comes, so that the FIN behind it is noticed; what was read belongs in front of the connection's
 * input.
 */
function readEarly(socket: Duplex): { readonly early: Buffer[]; stop(): Promise<void> } {
  const early: Buffer[] = [];
  let size = 0;
  const onReadable = (): void => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
      early.push(chunk);
      size += chunk.length;
    }
    if (size > MAX_EARLY) socket.off('readable', onReadable);
  };
  socket.on('readable', onReadable);
  return {
    early,
    stop: () => {
      socket.off('readable', onReadable);
      // A stream notices in a later tick that the listener is gone; only then its data may be read by another
      // one
      return new Promise((resolve) => process.nextTick(resolve));
    },
  };
}

function ignore(): void {}
