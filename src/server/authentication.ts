/** RFC 6455 §4.2.2 item 4, §10.5: the application decides whether a request is accepted, and what its connection has. */

import type { IncomingMessage } from 'node:http';
import type { Rejection } from '../handshake/server-handshake.js';
import { checkNumber } from '../options.js';
import { answer } from './refuse.js';
import type { RequestContext } from './request-context.js';

/** Accepts a request, and sets up its connection. */
export interface Acceptance<Data = unknown> {
  /** What `ws.data` is. Default: undefined. */
  readonly data?: Data;
  /** The option `maxMessageSize` of this connection, in bytes. Default: that of the server. */
  readonly maxMessageSize?: number;
}

/**
 * What the option `authenticate` decides: `true` or an {@link Acceptance} accepts, `false` refuses with 401, a
 * {@link Rejection} with any HTTP status. Anything else is an error of the application, answered with 500.
 */
export type Authentication<Data = unknown> = boolean | Acceptance<Data> | Rejection;

/** What `authenticate` gets beside the request. */
export type AuthenticationContext = Pick<RequestContext, 'url' | 'params' | 'cookies'> & {
  readonly signal: AbortSignal;
};

/** Decides about a request; a function of the application. */
export type Authenticate<Data = unknown> = (
  request: IncomingMessage,
  context: AuthenticationContext,
) => Authentication<Data> | Promise<Authentication<Data>>;

const accepted: Acceptance = Object.freeze({});
const names: readonly string[] = ['data', 'maxMessageSize'];

/** Asks the application; throws what it throws, and a TypeError or RangeError for what is no decision. */
export async function authenticate(
  decide: Authenticate | undefined,
  request: IncomingMessage,
  context: RequestContext,
  signal: AbortSignal,
): Promise<Acceptance | Rejection> {
  if (decide === undefined) return accepted;
  return checkDecision(await decide(request, new Context(context, signal)));
}

function checkDecision(decision: unknown): Acceptance | Rejection {
  if (decision === true) return accepted;
  if (decision === false) return { status: 401 };
  if (typeof decision !== 'object' || decision === null) {
    throw new TypeError(`Expected authenticate to return a boolean or an object: ${String(decision)}`);
  }
  const given = Object.keys(decision);
  const accepts = given.some((name) => names.includes(name));
  if ('status' in decision && !accepts) {
    answer(decision as Rejection);
    return decision as Rejection;
  }
  const wrong = given.find((name) => !names.includes(name));
  // Such as a user, which belongs into `data`: names decide, so that no object accepts by accident
  if (!accepts || wrong !== undefined) {
    throw new TypeError(
      wrong === undefined
        ? 'Expected authenticate to return true, or an object with data, maxMessageSize or status: it is empty'
        : `Expected authenticate to return { data, maxMessageSize } or { status, headers, body }: found ${wrong}`,
    );
  }
  // Read once: what was checked is what is used
  const { data, maxMessageSize } = decision as Acceptance;
  checkNumber('maxMessageSize', maxMessageSize, 0, 0, Number.POSITIVE_INFINITY);
  return maxMessageSize === undefined ? { data } : { data, maxMessageSize };
}

/** The parts of the request, parsed on first use there, and the signal. */
class Context implements AuthenticationContext {
  readonly signal: AbortSignal;
  readonly #context: RequestContext;

  constructor(context: RequestContext, signal: AbortSignal) {
    this.#context = context;
    this.signal = signal;
  }

  get url(): URL {
    return this.#context.url;
  }

  get params(): RequestContext['params'] {
    return this.#context.params;
  }

  get cookies(): RequestContext['cookies'] {
    return this.#context.cookies;
  }
}
