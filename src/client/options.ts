/** Options of `connect()`, their defaults and their checks. */
import type { Agent } from 'node:http';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
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
import { checkExtraHeaders, checkFieldValue, type HeaderRecord } from '../handshake/fields.js';
import { checkSubprotocols } from '../handshake/subprotocol.js';
import { checkBoolean, checkExtensions, checkNames, checkNumber, checkSignal } from '../options.js';
import type { ExtensionFactory } from '../protocol/extension.js';

/** Options of {@link connect}. */
export interface ConnectOptions extends ConnectionOptions {
  /** Subprotocols to offer, best first (RFC 6455 §1.9). Default none. */
  readonly subprotocols?: string | readonly string[];
  /**
   * Whether a server that agrees to none of the `subprotocols` fails the handshake, as in browsers; with
   * false, the connection has an empty `subprotocol` then. Default true.
   */
  readonly requireSubprotocol?: boolean;
  /** More request header fields: a record, or pairs such as those of `Headers`. Default none. */
  readonly headers?: HeaderRecord | Iterable<readonly [name: string, value: string]>;
  /** The `Origin` field, which browsers send (§10.2), in place of one in `headers`. Default none. */
  readonly origin?: string;
  /**
   * permessage-deflate (RFC 7692): true for its defaults, or its options. What it costs and when it pays is
   * in the README. Default false.
   */
  readonly compression?: boolean | PermessageDeflateOptions;
  /** Other extensions to offer, best first (§9.1); a server may choose one. Default none. */
  readonly extensions?: readonly ExtensionFactory[];
  /** Aborts the opening handshake; of no effect on the open connection. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds for the opening handshake, redirects included; a `TimeoutError` beyond. An answer that
   * arrives while this process itself stands still is in time. Default 10_000.
   */
  readonly handshakeTimeout?: number;
  /** Options of `tls.connect()`, such as `ca`, `cert`, `key`, `servername`, `rejectUnauthorized`. */
  readonly tls?: TlsOptions;
  /**
   * Makes the socket, such as that of a proxy; it sees the header fields, `Upgrade` too. Default: a socket of
   * its own.
   */
  readonly agent?: Agent;
  /**
   * Redirects to follow. To another scheme, host or port go the fields of the handshake itself, subprotocols
   * and extensions included, and nothing else: not `headers`, not `origin`, not the user of the URL; of
   * `tls`, only how servers are reached and checked, no certificate. With `agent` such a redirect is refused,
   * and none leads from `wss:` to `ws:`. Default 0.
   */
  readonly maxRedirects?: number;
}

/** {@link ConnectOptions} checked, with every default filled in. */
export interface ResolvedConnectOptions {
  readonly connection: ResolvedConnectionOptions;
  readonly subprotocols: readonly string[];
  readonly requireSubprotocol: boolean;
  readonly headers: HeaderRecord;
  readonly extensions: readonly ExtensionFactory[];
  readonly signal: AbortSignal | undefined;
  readonly handshakeTimeout: number;
  readonly tls: TlsOptions;
  readonly agent: Agent | undefined;
  readonly maxRedirects: number;
}

const optionNames = [
  ...connectionOptionNames,
  'subprotocols',
  'requireSubprotocol',
  'headers',
  'origin',
  'compression',
  'extensions',
  'signal',
  'handshakeTimeout',
  'tls',
  'agent',
  'maxRedirects',
];

/** Checks the options; throws a TypeError or RangeError by name. */
export function resolveConnectOptions(options: ConnectOptions): ResolvedConnectOptions {
  checkNames('connect()', options, optionNames);
  const { subprotocols = [], requireSubprotocol = true, extensions = [], origin, tls = {} } = options;
  const offered = typeof subprotocols === 'string' ? [subprotocols] : subprotocols;
  checkSubprotocols(offered);
  checkExtensions(extensions, ['offers', 'confirm']);
  checkSignal(options.signal);
  if (tls === null || typeof tls !== 'object')
    throw new TypeError(`Option tls is not an object: ${String(tls)}`);
  checkBoolean('requireSubprotocol', requireSubprotocol);
  if (options.agent !== undefined && (options.agent === null || typeof options.agent !== 'object'))
    throw new TypeError(`Option agent is not an http.Agent: ${String(options.agent)}`);
  const headers = toRecord(options.headers === undefined ? {} : options.headers);
  checkExtraHeaders(headers);
  return {
    connection: pickConnectionOptions(options),
    subprotocols: offered,
    requireSubprotocol,
    headers: origin === undefined ? headers : withOrigin(headers, checkFieldValue('Origin', origin)),
    extensions: [...compressionExtensions(options.compression), ...extensions],
    signal: options.signal,
    handshakeTimeout: checkNumber('handshakeTimeout', options.handshakeTimeout, 10_000, 1, 0x7fff_ffff),
    tls,
    agent: options.agent,
    maxRedirects: checkNumber('maxRedirects', options.maxRedirects, 0, 0, 100),
  };
}

function withOrigin(headers: HeaderRecord, origin: string): HeaderRecord {
  const others = Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'origin');
  return { ...Object.fromEntries(others), Origin: origin };
}

function toRecord(headers: NonNullable<ConnectOptions['headers']>): HeaderRecord {
  if (typeof headers !== 'object' || headers === null) {
    throw new TypeError(`Option headers is not an object: ${String(headers)}`);
  }
  if (!(Symbol.iterator in headers)) return headers;
  const record: Record<string, string[]> = Object.create(null);
  for (const [name, value] of headers as Iterable<readonly [string, string]>) {
    record[name] = [...(record[name] ?? []), value];
  }
  return record;
}
