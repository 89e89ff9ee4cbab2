/** RFC 6455 §1.9, §4.1 item 10 and §4.2.2 item 5.5: subprotocols. */

import { isToken, parseTokenList } from './fields.js';

/**
 * How a server chooses: its subprotocols, best first, or a function that gets the offered ones, in the order
 * of the client's preference, and returns one of them, or `undefined` for none.
 */
export type SubprotocolChoice<Request> =
  | readonly string[]
  | ((offered: readonly string[], request: Request) => string | undefined);

/**
 * Parses `Sec-WebSocket-Protocol` of a request; `null` unless it is a list of different tokens (§4.1 item
 * 10).
 */
export function parseSubprotocols(value: string): readonly string[] | null {
  const offered = parseTokenList(value);
  return offered !== null && new Set(offered).size === offered.length ? offered : null;
}

/** Throws a TypeError unless `subprotocols` are different tokens (§4.1 item 10). */
export function checkSubprotocols(subprotocols: readonly string[]): void {
  if (!Array.isArray(subprotocols)) {
    throw new TypeError(`Expected subprotocols to be an array: ${String(subprotocols)}`);
  }
  for (const [index, name] of subprotocols.entries()) {
    if (typeof name !== 'string' || !isToken(name)) {
      throw new TypeError(`Subprotocol is not a token: ${JSON.stringify(name)}`);
    }
    if (subprotocols.indexOf(name) !== index) throw new TypeError(`Subprotocol is given twice: ${name}`);
  }
}

/**
 * The subprotocol to speak, `''` for none. §4.2.2: when the server agrees to none of those offered, none is
 * sent back; never one that the client did not offer, so that a function which returns one throws a
 * TypeError.
 */
export function chooseSubprotocol<Request>(
  offered: readonly string[],
  choice: SubprotocolChoice<Request>,
  request: Request,
): string {
  if (offered.length === 0) return '';
  if (typeof choice !== 'function') return choice.find((name) => offered.includes(name)) ?? '';
  const chosen = choice(offered, request);
  if (chosen === undefined) return '';
  if (!offered.includes(chosen)) throw new TypeError(`Chosen subprotocol was not offered: ${String(chosen)}`);
  return chosen;
}
