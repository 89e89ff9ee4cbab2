/** Options of a connection, their defaults and their checks: resolved once, here. */
import { checkBoolean, checkNames, checkNumber, checkOptions } from '../options.js';
import type { ConnectionInit } from './connection-types.js';

/** Options that servers and clients share; each applies to one connection. */
export interface ConnectionOptions {
  /**
   * Most bytes of a message collected in memory, counted after decompression: whole messages of the `message`
   * event, and `text()`, `json()`, `bytes()` and `arrayBuffer()` of a streamed one. A larger message fails the
   * connection with 1009. Default 16 MiB (16_777_216); `Infinity` lifts the limit.
   */
  readonly maxMessageSize?: number;
  /**
   * Most bytes of a message read chunk by chunk. Memory does not depend on it: backpressure bounds that.
   * A larger message fails the connection with 1009. Default `Infinity`.
   */
  readonly maxStreamSize?: number;
  /**
   * Queued outgoing bytes from which `send()` returns false, counted as for `maxBufferedAmount`, which is the most that
   * it can be. Default 64 KiB (65_536).
   */
  readonly highWaterMark?: number;
  /**
   * Queued outgoing bytes at which the connection is failed: a peer that does not read costs no more than
   * this. One message alone may be larger. Messages, writers, Pings and calls of `drained()` that wait count with the
   * memory that they take, about. Default 64 MiB (67_108_864); `Infinity` lifts the cap.
   */
  readonly maxBufferedAmount?: number;
  /** Milliseconds between keepalive pings, 0 for none. Default 20_000. */
  readonly pingInterval?: number;
  /**
   * Milliseconds without a byte after a keepalive ping has left until the peer counts as gone. Default 20_000. What is
   * sent and may lie in the system's buffers in front of the ping is given 10 ms a kilobyte to leave.
   */
  readonly pingTimeout?: number;
  /**
   * Milliseconds that the closing handshake may take before the socket is destroyed, from when the Close frame has left
   * as {@link pingTimeout} says it, or nothing has moved for so long. Default 5_000.
   */
  readonly closeTimeout?: number;
}

/** {@link ConnectionOptions} with every default filled in. */
export type ResolvedConnectionOptions = Required<ConnectionOptions>;

const defaults: ResolvedConnectionOptions = {
  maxMessageSize: 16 * 1024 * 1024,
  maxStreamSize: Number.POSITIVE_INFINITY,
  highWaterMark: 64 * 1024,
  maxBufferedAmount: 64 * 1024 * 1024,
  pingInterval: 20_000,
  pingTimeout: 20_000,
  closeTimeout: 5_000,
};

/** The names of {@link ConnectionOptions}, for {@link checkNames}. */
export const connectionOptionNames: readonly string[] = Object.keys(defaults);

/** Fills in the defaults; throws a TypeError or RangeError by name for options that are unknown or wrong. */
export function resolveConnectionOptions(options: ConnectionOptions = {}): ResolvedConnectionOptions {
  checkNames('resolveConnectionOptions()', options, connectionOptionNames);
  return pickConnectionOptions(options);
}

/** Package-internal: {@link resolveConnectionOptions} of those among `options`, whose names are checked. */
export function pickConnectionOptions(options: ConnectionOptions): ResolvedConnectionOptions {
  const timer = (name: 'pingInterval' | 'pingTimeout' | 'closeTimeout', least: number): number =>
    checkNumber(name, options[name], defaults[name], least, 0x7fff_ffff);
  const size = (
    name: 'maxMessageSize' | 'maxStreamSize' | 'highWaterMark' | 'maxBufferedAmount',
    least: number,
  ): number => checkNumber(name, options[name], defaults[name], least, Number.POSITIVE_INFINITY);
  const maxBufferedAmount = size('maxBufferedAmount', 0);
  return {
    maxMessageSize: size('maxMessageSize', 0),
    maxStreamSize: size('maxStreamSize', 0),
    highWaterMark: Math.min(size('highWaterMark', 0), maxBufferedAmount),
    maxBufferedAmount,
    pingInterval: timer('pingInterval', 0),
    pingTimeout: timer('pingTimeout', 1),
    closeTimeout: timer('closeTimeout', 0),
  };
}

const initNames = [
  'role',
  'options',
  'subprotocol',
  'extensions',
  'head',
  'sharedMemory',
  'url',
  'responseHeaders',
  'data',
];

/** Throws a TypeError, by name, for what a connection cannot be made with. */
export function checkInit(init: ConnectionInit): void {
  checkNames('new WebSocketConnection()', init ?? null, initNames);
  const { role, options, sharedMemory } = init;
  if (role !== 'server' && role !== 'client')
    throw new TypeError(`Expected role to be 'server' or 'client': ${String(role)}`);
  checkBoolean('sharedMemory', sharedMemory);
  checkOptions('new WebSocketConnection()', options ?? null);
  for (const name of connectionOptionNames as readonly (keyof ResolvedConnectionOptions)[]) {
    // Without one of them there would be no limit, and nothing would say so
    if (typeof options[name] !== 'number')
      throw new TypeError(`Option ${name} is not a number: give what resolveConnectionOptions() returns`);
  }
}
