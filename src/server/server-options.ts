/** Options of `WebSocketServer`, their defaults and their checks. */

import { checkBoolean, checkNames, checkNumber, checkSignal } from '../options.js';
import { CloseCode } from '../protocol/close-code.js';
import { closeBody } from '../protocol/close-frame.js';
import { type AcceptOptions, acceptOptionNames } from './accept-options.js';
import type { HttpServer } from './dispatcher.js';

/**
 * Options of {@link WebSocketServer}: exactly one of `port`, `server` and `noServer`, and those of
 * `accept()`.
 *
 * @typeParam Data - what `authenticate` puts into `ws.data`
 */
export interface WebSocketServerOptions<Data = unknown> extends AcceptOptions<Data> {
  /** Listens on a port of its own; 0 for any that is free. */
  readonly port?: number;
  /** With `port`: the address to listen on. Default: all of them. */
  readonly host?: string;
  /** With `port`: how many connections the system may queue. Default 511. */
  readonly backlog?: number;
  /**
   * Takes the upgrade requests of this server, which stays the application's: `close()` does not close it.
   * One of `node:http` or `node:https`, or a secure one of `node:http2` with `allowHTTP1`, also where a
   * framework types it as any of these; a TypeError for anything else. An upgrade that a
   * client has sent behind a request without an answer yet is refused with 400, after that answer.
   */
  readonly server?: HttpServer;
  /** Takes no requests by itself: the application calls `handleUpgrade()`. */
  readonly noServer?: boolean;
  /**
   * Takes only requests for this path, compared without the query and percent-decoded. A segment `:name`
   * matches any that is not empty, and is in `params` of the event `connection`; a literal segment is
   * preferred to a name. Other requests are answered with 404 (a malformed path with 400): at once, or once
   * `handshakeTimeout` is over and no other `upgrade` listener has written to the socket. Default: every
   * path.
   */
  readonly path?: string;
  /** Most connections at a time, handshakes in progress included; 503 beyond. Default `Infinity`. */
  readonly maxConnections?: number;
}

/** Options of {@link WebSocketServer.close}. */
export interface CloseOptions {
  /** Close code for all connections. Default 1001, going away. */
  readonly code?: number;
  /** Close reason, at most 123 bytes of UTF-8. Default empty. */
  readonly reason?: string;
  /**
   * Milliseconds from the call until the sockets of peers that did not answer are destroyed. Default 5_000.
   */
  readonly timeout?: number;
}

const optionNames = [
  ...acceptOptionNames,
  'port',
  'host',
  'backlog',
  'server',
  'noServer',
  'path',
  'maxConnections',
];

/**
 * Checks what {@link AcceptOptions} do not have; throws a TypeError or RangeError by name. Returns
 * `maxConnections`.
 */
export function checkServerOptions(options: WebSocketServerOptions): number {
  checkNames('new WebSocketServer()', options, optionNames);
  checkSignal(options.signal);
  const { port, host, server, noServer = false, backlog } = options;
  checkBoolean('noServer', noServer);
  if (Number(port !== undefined) + Number(server !== undefined) + Number(noServer) !== 1) {
    throw new TypeError('Expected exactly one of the options port, server and noServer');
  }
  if (port === undefined && (host !== undefined || backlog !== undefined)) {
    throw new TypeError('Options host and backlog need the option port');
  }
  if (server !== undefined && !isHttpServer(server)) {
    throw new TypeError(
      'Option server is no HTTP/1.1 server: give what createServer() of node:http or node:https returns, or createSecureServer() of node:http2 with allowHTTP1',
    );
  }
  // A string such as that of an environment variable is checked by node:net
  if (typeof port !== 'string') checkNumber('port', port, 0, 0, 65_535);
  if (host !== undefined && typeof host !== 'string') {
    throw new TypeError(`Option host is not a string: ${String(host)}`);
  }
  checkNumber('backlog', backlog, 511, 1, 0x7fff_ffff);
  const unlimited = Number.POSITIVE_INFINITY;
  return checkNumber('maxConnections', options.maxConnections, unlimited, 0, unlimited);
}

/**
 * Whether it speaks HTTP/1.1: of the servers of `node:net`, `tls` and `http2`, those have this property that
 * do.
 */
function isHttpServer(server: unknown): boolean {
  return typeof server === 'object' && server !== null && 'headersTimeout' in server && 'listeners' in server;
}

/** Checks {@link CloseOptions} and fills in the defaults; throws a TypeError or RangeError by name. */
export function resolveCloseOptions(options: CloseOptions): Required<CloseOptions> {
  checkNames('close()', options, ['code', 'reason', 'timeout']);
  const { code = CloseCode.GoingAway, reason = '' } = options;
  closeBody(code, reason);
  return { code, reason, timeout: checkNumber('timeout', options.timeout, 5_000, 0, 0x7fff_ffff) };
}
