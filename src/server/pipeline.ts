/**
 * RFC 9112 §9.3.2: a client may send requests without waiting for the answers. An upgrade behind a request
 * that is not answered yet must not be answered first, nor switch protocols: the pending answer would be
 * written into the frames.
 */

import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { onAbort } from '../connection/abort.js';
import { deadline } from '../deadline.js';

/**
 * On a socket: its responses that are not sent yet. A WeakMap would cost each handshake some microseconds.
 */
const kResponses = Symbol('responses');

type Tracked = Duplex & { [kResponses]?: Set<ServerResponse> };

/** Counts a response among those of its socket until it is sent, or its connection is lost. */
export function trackResponse(response: ServerResponse): void {
  const socket = response.req.socket as Tracked;
  socket[kResponses] ??= new Set();
  socket[kResponses].add(response);
  response.once('close', forget);
}

function forget(this: ServerResponse): void {
  (this.req.socket as Tracked)[kResponses]?.delete(this);
}

/** The responses of a socket that are not sent yet; undefined when there is none. */
export function openResponses(socket: Duplex): ReadonlySet<ServerResponse> | undefined {
  const responses = (socket as Tracked)[kResponses];
  return responses === undefined || responses.size === 0 ? undefined : responses;
}

/**
 * Resolves once the responses are sent, and the socket can be answered; destroys the socket when that takes
 * longer than `timeout` milliseconds, or `signal` is aborted.
 */
export function afterResponses(
  socket: Duplex,
  responses: ReadonlySet<ServerResponse>,
  timeout: number,
  signal?: AbortSignal,
): Promise<void> {
  // Nothing else listens any more: node:http has removed its own listener
  socket.on('error', ignore);
  return new Promise((resolve) => {
    const stop = (): void => {
      socket.destroy();
      done();
    };
    const check = (): void => {
      if (responses.size === 0) done();
    };
    const cancel = deadline(timeout, stop);
    let unlisten = (): void => {};
    const done = (): void => {
      cancel();
      unlisten();
      socket.off('close', done);
      for (const response of responses) response.off('close', check);
      resolve();
    };
    socket.once('close', done);
    for (const response of responses) response.once('close', check);
    unlisten = onAbort(signal, stop);
  });
}

function ignore(): void {}
