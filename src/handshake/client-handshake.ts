/** RFC 6455 §4.1: the client's side of the opening handshake, over plain header records. */

import { HandshakeError } from '../errors.js';
import type { Extension, ExtensionFactory } from '../protocol/extension.js';
import { acceptKey } from './challenge.js';
import {
  checkExtraHeaders,
  checkFieldValue,
  Fields,
  formatExtensions,
  type HeaderRecord,
  parseExtensions,
} from './fields.js';
import { checkSubprotocols } from './subprotocol.js';

/** What a client offers. */
export interface ClientOffer {
  /** Value of `Sec-WebSocket-Key`, from `makeKey()`; a new one for each request. */
  readonly key: string;
  /** Subprotocols, best first (§1.9). Default none. */
  readonly subprotocols?: readonly string[];
  /** Whether a server that agrees to none of them fails the handshake, as in browsers. Default true. */
  readonly requireSubprotocol?: boolean;
  /** Extensions, best first (§9.1). Default none. */
  readonly extensions?: readonly ExtensionFactory[];
}

/** The head of a response: the status, and the fields as `rawHeaders` of `node:http`. */
export interface ResponseHead {
  readonly status: number;
  readonly rawHeaders: readonly string[];
}

/** What both sides agreed on. */
export interface Agreement {
  /** Empty when none was chosen. */
  readonly subprotocol: string;
  readonly extensions: readonly Extension[];
}

/**
 * The header fields of the request, `Host` first (§4.1 items 4 to 12). `host` is a host name and, unless it
 * is the default one, a port; a `Host` among `headers` takes its place.
 *
 * @throws TypeError for a subprotocol that is no token or there twice, and for `headers` that hold CR, LF or
 *   NUL, or name a field of the handshake itself.
 */
export function requestFields(
  host: string,
  offer: ClientOffer,
  headers: HeaderRecord = {},
): [name: string, value: string][] {
  const subprotocols = offer.subprotocols ?? [];
  checkSubprotocols(subprotocols);
  const offers = (offer.extensions ?? []).flatMap((factory) =>
    factory.offers().map((parameters) => ({ name: factory.name, parameters })),
  );
  const extra = checkExtraHeaders(headers);
  const fields: [string, string][] = [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Key', offer.key],
    ['Sec-WebSocket-Version', '13'],
  ];
  if (!extra.some(([name]) => name.toLowerCase() === 'host')) {
    fields.unshift(['Host', checkFieldValue('Host', host)]);
  }
  if (subprotocols.length > 0) fields.push(['Sec-WebSocket-Protocol', subprotocols.join(', ')]);
  if (offers.length > 0) fields.push(['Sec-WebSocket-Extensions', formatExtensions(offers)]);
  return [...fields, ...extra];
}

/**
 * Checks the server's response (§4.1, the list at the end) and returns what was agreed on.
 *
 *     response                                             outcome
 *     status other than 101                                HandshakeError
 *     Upgrade is not "websocket", once                     HandshakeError
 *     Connection has no element "Upgrade"                  HandshakeError
 *     Sec-WebSocket-Accept absent, repeated or wrong       HandshakeError
 *     an extension not offered or refused                  HandshakeError
 *     more than one extension: an endpoint uses one        HandshakeError
 *     a subprotocol not offered, or more than one          HandshakeError
 *     none, where some were offered                        HandshakeError, unless requireSubprotocol is false
 *
 * @throws HandshakeError with the status and header fields of the response.
 */
export function checkResponse(response: ResponseHead, offer: ClientOffer): Agreement {
  const fields = new Fields(response.rawHeaders);
  const fail = (message: string, cause?: unknown): never => {
    throw new HandshakeError(response.status, message, {
      headers: fields.toRecord(),
      ...(cause === undefined ? {} : { cause }),
    });
  };
  if (response.status !== 101) fail(`Expected the server to switch protocols with 101: ${response.status}`);
  if (fields.single('upgrade')?.toLowerCase() !== 'websocket') {
    fail(`Expected one Upgrade field of websocket: ${fields.list('upgrade') ?? 'none'}`);
  }
  if (!fields.includes('connection', 'upgrade')) {
    fail(`Expected a Connection field with upgrade: ${fields.list('connection') ?? 'none'}`);
  }
  const accept = acceptKey(offer.key);
  if (fields.single('sec-websocket-accept') !== accept) {
    fail(`Expected one Sec-WebSocket-Accept of ${accept}: ${fields.list('sec-websocket-accept') ?? 'none'}`);
  }
  const subprotocol = fields.list('sec-websocket-protocol');
  if (subprotocol !== undefined && !offer.subprotocols?.includes(subprotocol)) {
    fail(`Server chose a subprotocol that was not offered: ${subprotocol}`);
  }
  const required = (offer.requireSubprotocol ?? true) && (offer.subprotocols?.length ?? 0) > 0;
  if (required && subprotocol === undefined) {
    fail(
      `Server agreed to no subprotocol, which requireSubprotocol: false allows: ${offer.subprotocols?.join(', ')}`,
    );
  }
  return {
    subprotocol: subprotocol ?? '',
    extensions: confirmExtensions(fields, offer.extensions ?? [], fail),
  };
}

/** §9.1: the response may hold only what was offered; and one extension only, as an endpoint uses no more. */
function confirmExtensions(
  fields: Fields,
  factories: readonly ExtensionFactory[],
  fail: (message: string, cause?: unknown) => never,
): readonly Extension[] {
  const value = fields.list('sec-websocket-extensions');
  if (value === undefined) return [];
  const elements = parseExtensions(value) ?? fail(`Malformed Sec-WebSocket-Extensions: ${value}`);
  if (elements.length > 1) return fail(`Server chose more than one extension: ${value}`);
  const { name, parameters } = elements[0]!;
  const factory = factories.find((candidate) => candidate.name === name);
  if (factory === undefined) return fail(`Server chose an extension that was not offered: ${name}`);
  try {
    return [factory.confirm(parameters)];
  } catch (error) {
    return fail(`Server chose extension parameters that do not fit the offer: ${value}`, error);
  }
}
