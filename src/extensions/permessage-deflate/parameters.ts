/**
 * Negotiation of permessage-deflate, RFC 7692 §5.1, §7.1.
 *
 *     parameter                     in an offer                          in a response
 *     server_no_context_takeover    the server has to answer with it     the server drops its window after each message
 *     client_no_context_takeover    a hint: the client will do so        the client has to do so
 *     server_max_window_bits=8-15   the server answers with no more      the server's window; only so if offered
 *     client_max_window_bits        a hint: the client understands it    not allowed
 *     client_max_window_bits=8-15   ... and its window is no larger      the client's window; allowed only if offered
 *
 *     unknown, repeated or with another value: an offer is declined, a response fails the connection (§7.1)
 */
import type { ExtensionParameters } from '../../protocol/extension.js';

/** What both sides agreed on. */
export interface DeflateParameters {
  readonly serverNoContextTakeover: boolean;
  readonly clientNoContextTakeover: boolean;
  /** The window of the server's compressor is 2 to the power of this many bytes. */
  readonly serverMaxWindowBits: number;
  readonly clientMaxWindowBits: number;
}

/** Parameters as one side sent them; `true` for `client_max_window_bits` without a value. */
interface Received {
  serverNoContextTakeover: boolean;
  clientNoContextTakeover: boolean;
  serverMaxWindowBits: number | undefined;
  clientMaxWindowBits: number | true | undefined;
}

/** The window of DEFLATE (RFC 1951 §2), and what is meant without a parameter. */
export const MAX_WINDOW_BITS = 15;
export const MIN_WINDOW_BITS = 8;

/** What a client with these wishes offers. */
export function offerParameters(wishes: DeflateParameters): ExtensionParameters {
  const offer: [string, string | true][] = [];
  if (wishes.serverNoContextTakeover) offer.push(['server_no_context_takeover', true]);
  if (wishes.clientNoContextTakeover) offer.push(['client_no_context_takeover', true]);
  if (wishes.serverMaxWindowBits < MAX_WINDOW_BITS) {
    offer.push(['server_max_window_bits', String(wishes.serverMaxWindowBits)]);
  }
  const { clientMaxWindowBits: bits } = wishes;
  offer.push(['client_max_window_bits', bits < MAX_WINDOW_BITS ? String(bits) : true]);
  return offer;
}

/** What a server with these wishes answers to an offer and how it goes on; null declines. */
export function acceptParameters(
  offer: ExtensionParameters,
  wishes: DeflateParameters,
): { response: ExtensionParameters; agreed: DeflateParameters } | null {
  const received = parse(offer);
  if (typeof received === 'string') return null;
  const { clientMaxWindowBits: clientBits } = received;
  const agreed: DeflateParameters = {
    serverNoContextTakeover: wishes.serverNoContextTakeover || received.serverNoContextTakeover,
    clientNoContextTakeover: wishes.clientNoContextTakeover || received.clientNoContextTakeover,
    serverMaxWindowBits: Math.min(
      wishes.serverMaxWindowBits,
      received.serverMaxWindowBits ?? MAX_WINDOW_BITS,
    ),
    // §7.1.2.2: the server cannot limit a client that did not say it understands that
    clientMaxWindowBits:
      clientBits === undefined
        ? MAX_WINDOW_BITS
        : Math.min(wishes.clientMaxWindowBits, clientBits === true ? MAX_WINDOW_BITS : clientBits),
  };
  const response: [string, string | true][] = [];
  if (agreed.serverNoContextTakeover) response.push(['server_no_context_takeover', true]);
  if (agreed.clientNoContextTakeover) response.push(['client_no_context_takeover', true]);
  if (agreed.serverMaxWindowBits < MAX_WINDOW_BITS || received.serverMaxWindowBits !== undefined) {
    response.push(['server_max_window_bits', String(agreed.serverMaxWindowBits)]);
  }
  if (agreed.clientMaxWindowBits < MAX_WINDOW_BITS) {
    response.push(['client_max_window_bits', String(agreed.clientMaxWindowBits)]);
  }
  return { response, agreed };
}

/**
 * What a client that offered these wishes has agreed to by a response; throws an Error that says what is
 * wrong.
 */
export function confirmParameters(
  response: ExtensionParameters,
  wishes: DeflateParameters,
): DeflateParameters {
  const received = parse(response);
  if (typeof received === 'string') throw new Error(received);
  const { serverMaxWindowBits = MAX_WINDOW_BITS, clientMaxWindowBits = MAX_WINDOW_BITS } = received;
  if (wishes.serverNoContextTakeover && !received.serverNoContextTakeover) {
    throw new Error('Expected server_no_context_takeover, which was offered');
  }
  if (serverMaxWindowBits > wishes.serverMaxWindowBits) {
    throw new Error(
      `Expected server_max_window_bits of ${wishes.serverMaxWindowBits} at most: ${serverMaxWindowBits}`,
    );
  }
  if (clientMaxWindowBits === true) throw new Error('Expected a value of client_max_window_bits');
  return {
    serverNoContextTakeover: received.serverNoContextTakeover,
    clientNoContextTakeover: received.clientNoContextTakeover || wishes.clientNoContextTakeover,
    serverMaxWindowBits,
    // A window smaller than allowed is always right (§7.1.2.2)
    clientMaxWindowBits: Math.min(clientMaxWindowBits, wishes.clientMaxWindowBits),
  };
}

/** Reads parameters; a string says what is wrong with them. */
function parse(parameters: ExtensionParameters): Received | string {
  const received: Received = {
    serverNoContextTakeover: false,
    clientNoContextTakeover: false,
    serverMaxWindowBits: undefined,
    clientMaxWindowBits: undefined,
  };
  const seen = new Set<string>();
  for (const [name, value] of parameters) {
    if (seen.has(name)) return `Received the parameter ${name} twice`;
    seen.add(name);
    const bits = value === true ? undefined : windowBits(value);
    const wrong = `Received a wrong value of ${name}: ${value}`;
    switch (name) {
      case 'server_no_context_takeover':
        if (value !== true) return wrong;
        received.serverNoContextTakeover = true;
        break;
      case 'client_no_context_takeover':
        if (value !== true) return wrong;
        received.clientNoContextTakeover = true;
        break;
      case 'server_max_window_bits':
        if (bits === undefined) return wrong;
        received.serverMaxWindowBits = bits;
        break;
      case 'client_max_window_bits':
        if (value !== true && bits === undefined) return wrong;
        received.clientMaxWindowBits = bits ?? true;
        break;
      default:
        return `Received an unknown parameter: ${name}`;
    }
  }
  return received;
}

/** "a decimal integer value without leading zeroes between 8 to 15, inclusive" (§7.1.2). */
function windowBits(value: string): number | undefined {
  const bits = Number(value);
  return String(bits) === value &&
    bits >= MIN_WINDOW_BITS &&
    bits <= MAX_WINDOW_BITS &&
    Number.isInteger(bits)
    ? bits
    : undefined;
}
