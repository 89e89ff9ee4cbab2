/**
 * Which limit applies to a message that is received, RFC 6455 §10.4.
 *
 *     limit in bytes                          text                                   binary
 *     consumed by 'message' events            maxMessageSize, V8's longest string    maxMessageSize
 *     collected by text(), bytes() ...        maxMessageSize, V8's longest string    maxMessageSize
 *     dropped without being begun             maxMessageSize                         maxMessageSize
 *     iterated over, read in parts, or not    maxStreamSize                          maxStreamSize
 *         begun
 *
 * Of a message that was read in parts first, what is left counts as collected. A part that is collected, by `read()`, is
 * as large as its caller says, `maxMessageSize` at most.
 *
 * `Endpoint.checkSize()` compares with them, wherever a size becomes known. What is discarded as the connection closes
 * is neither decoded nor limited.
 */
import { constants } from 'node:buffer';
import type { ProtocolError } from '../../errors.js';
import type { Lifecycle } from '../lifecycle.js';

/** Messages are read one by one from here on, in chunks if so wanted; fails the connection when the current one is over the limit. */
export function limitStreamed(life: Lifecycle): void {
  check(life, () => life.endpoint.limit(life.options.maxStreamSize));
}

/** The current message was received; the next one may be read in chunks. */
export function limitNext({ endpoint, options }: Lifecycle): void {
  endpoint.maxMessageSize = endpoint.maxTextSize = options.maxStreamSize;
}

/**
 * The current message, of which `taken` bytes were read before, and all from here on, are collected in memory; the
 * error, which fails the connection, when it is over the limit.
 */
export function limitCollected(life: Lifecycle, taken = 0): ProtocolError | null {
  const most = maxCollected(life) + taken;
  return check(life, () => life.endpoint.limit(most, Math.min(most, constants.MAX_STRING_LENGTH + taken)));
}

/** A message that was received whole is collected in memory; the error, likewise, when its `size` is over the limit. */
export function limitReceived(life: Lifecycle, size: number): ProtocolError | null {
  return check(life, () => life.endpoint.checkSize(size, maxCollected(life)));
}

/** Most bytes that are collected in memory. */
export function maxCollected({ options }: Lifecycle): number {
  return Math.min(options.maxMessageSize, constants.MAX_LENGTH);
}

function check(life: Lifecycle, exceeds: () => void): ProtocolError | null {
  try {
    exceeds();
    return null;
  } catch (error) {
    life.receiver.fail(error as Error);
    return error as ProtocolError;
  }
}
