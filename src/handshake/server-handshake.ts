/**
 * RFC 6455 §4.2: the server's side of the opening handshake, over plain header records.
 *
 *     check, in this order                                        section     refused with
 *     the method is GET                                           §4.2.1 1    405 Allow: GET
 *     Upgrade has "websocket", Connection has "Upgrade"           §4.2.1 3-4  426 Upgrade: websocket
 *     HTTP/1.1 or higher                                          §4.2.1 1    505
 *     Sec-WebSocket-Version is 13                                 §4.4        426 Sec-WebSocket-Version: 13
 *     the target has a path                                       §4.2.1 1    400
 *     there is no body                                            §4.1        400
 *     Host, Sec-WebSocket-Key, -Version once, Origin once at most §4.2.1 2-8  400
 *     Sec-WebSocket-Key is base64 of 16 bytes                     §4.2.1 5    400
 *     Sec-WebSocket-Protocol is a list of different tokens        §4.1 10     400
 *     Sec-WebSocket-Extensions follows its grammar                §9.1        400
 */

import type { Extension, ExtensionFactory } from '../protocol/extension.js';
import { acceptKey, isValidKey } from './challenge.js';
import {
  checkExtraHeaders,
  type ExtensionElement,
  Fields,
  formatExtensions,
  type HeaderRecord,
  parseExtensions,
} from './fields.js';
import { pathOf } from './path.js';
import { parseSubprotocols } from './subprotocol.js';

/** The head of a request: `rawHeaders` as those of `node:http`, `target` as its `url`. */
export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** Such as `1.1`. */
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
}

/** An HTTP answer in place of the upgrade. */
export interface Rejection {
  /** HTTP status code, 200 to 599. */
  readonly status: number;
  /** More header fields. What frames the answer (`Connection`, `Content-Length`) is replaced. */
  readonly headers?: HeaderRecord;
  /** Sent as `text/plain` unless `headers` has a `Content-Type`. Default: the reason phrase of the status. */
  readonly body?: string;
}

/** A request that asks for a WebSocket connection and breaks no rule. */
export interface ServerHandshake {
  readonly key: string;
  /** `Host`, as sent: a host name, and a port unless it is the default one. */
  readonly host: string;
  /** `Origin`, as sent; browsers send it always (§10.2). */
  readonly origin: string | undefined;
  /** What the client offers, best first. */
  readonly subprotocols: readonly string[];
  /** What the client offers, best first (§9.1). */
  readonly extensions: readonly ExtensionElement[];
}

/** What the server answers to a {@link ServerHandshake}. */
export interface ServerChoice {
  /** One that was offered; `''` for none, which is the default. */
  readonly subprotocol?: string;
  /** Extensions that the server can speak; one of them at most is agreed on. Default none. */
  readonly extensions?: readonly ExtensionFactory[];
  /** More header fields. */
  readonly headers?: HeaderRecord;
}

/** The head of the answer, to be written as latin1, and what is spoken after it. */
export interface SwitchingProtocols {
  readonly head: string;
  /** `''` for none. */
  readonly subprotocol: string;
  readonly extensions: readonly Extension[];
}

const singleFields = ['host', 'sec-websocket-key', 'sec-websocket-version', 'origin'];

/**
 * Whether a request asks for an upgrade to WebSocket (§4.2.1 items 3 and 4), whatever else is wrong with it.
 */
export function asksForUpgrade(rawHeaders: readonly string[]): boolean {
  return upgrades(new Fields(rawHeaders));
}

/** Both are lists, whose elements are compared without regard to letter case. */
function upgrades(fields: Fields): boolean {
  return fields.includes('upgrade', 'websocket') && fields.includes('connection', 'upgrade');
}

/** Checks a request by the table above. */
export function checkRequest(request: RequestHead): ServerHandshake | Rejection {
  const fields = new Fields(request.rawHeaders);
  if (request.method !== 'GET') {
    return { status: 405, headers: { Allow: 'GET' }, body: `Expected method GET: ${request.method}` };
  }
  // §4.2.1 items 3 and 4
  if (!upgrades(fields)) {
    return { status: 426, headers: { Upgrade: 'websocket' }, body: 'Expected an upgrade to websocket' };
  }
  // RFC 9110 §7.8: "A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request."
  if (!(Number(request.httpVersion) >= 1.1)) {
    return { status: 505, body: `Expected HTTP/1.1: ${request.httpVersion}` };
  }
  const repeated = singleFields.find((name) => fields.repeats(name));
  if (repeated !== undefined) return badRequest(`Expected one ${repeated} field`);
  // §4.4: "If this version does not match a version understood by the server", it lists the versions it
  // speaks.
  const version = fields.single('sec-websocket-version');
  if (version !== '13') {
    return {
      status: 426,
      headers: { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' },
      body: `Expected Sec-WebSocket-Version 13: ${shown(version)}`,
    };
  }
  if (pathOf(request.target) === null) return badRequest(`Expected a path: ${shown(request.target)}`);
  if (
    fields.all('transfer-encoding').length > 0 ||
    fields.all('content-length').some((size) => size !== '0')
  ) {
    return badRequest('Expected a request without a body');
  }
  const host = fields.single('host');
  if (host === undefined || host === '') return badRequest('Expected a Host field');
  const key = fields.single('sec-websocket-key');
  if (key === undefined || !isValidKey(key)) {
    return badRequest(`Expected a Sec-WebSocket-Key of 16 bytes in base64: ${shown(key)}`);
  }
  const protocols = fields.list('sec-websocket-protocol');
  const subprotocols = protocols === undefined ? [] : parseSubprotocols(protocols);
  if (subprotocols === null) return badRequest(`Malformed Sec-WebSocket-Protocol: ${shown(protocols)}`);
  const offers = fields.list('sec-websocket-extensions');
  const extensions = offers === undefined ? [] : parseExtensions(offers);
  if (extensions === null) return badRequest(`Malformed Sec-WebSocket-Extensions: ${shown(offers)}`);
  return { key, host, origin: fields.single('origin'), subprotocols, extensions };
}

/**
 * Answers a request with 101 (§4.2.2 item 5).
 *
 * @throws TypeError for `headers` that hold CR, LF or NUL, or name a field of the handshake itself.
 */
export function switchProtocols(handshake: ServerHandshake, choice: ServerChoice = {}): SwitchingProtocols {
  const { subprotocol = '' } = choice;
  const extra = checkExtraHeaders(choice.headers ?? {});
  const { accepted, extensions } = negotiate(handshake.extensions, choice.extensions ?? []);
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptKey(handshake.key)}`,
  ];
  if (subprotocol !== '') lines.push(`Sec-WebSocket-Protocol: ${subprotocol}`);
  if (accepted.length > 0) lines.push(`Sec-WebSocket-Extensions: ${formatExtensions(accepted)}`);
  for (const [name, value] of extra) lines.push(`${name}: ${value}`);
  lines.push('\r\n');
  return { head: lines.join('\r\n'), subprotocol, extensions };
}

/**
 * §9.1: the client's order is its preference. The first offer that the server accepts is agreed on, and no
 * other: an endpoint uses one extension.
 */
function negotiate(
  offers: readonly ExtensionElement[],
  factories: readonly ExtensionFactory[],
): { accepted: ExtensionElement[]; extensions: Extension[] } {
  for (const { name, parameters } of offers) {
    const factory = factories.find((candidate) => candidate.name === name);
    const agreed = factory?.accept(parameters) ?? null;
    if (agreed === null) continue;
    return { accepted: [{ name, parameters: agreed.parameters }], extensions: [agreed.extension] };
  }
  return { accepted: [], extensions: [] };
}

function badRequest(body: string): Rejection {
  return { status: 400, body };
}

/** A peer's value for a message: quoted, and cut when it is long. */
function shown(value: string | undefined): string {
  if (value === undefined) return 'none';
  return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}...` : value);
}
