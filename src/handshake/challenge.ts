/** RFC 6455 §1.3, §4.1 item 7 and §4.2.2 item 5.4: the challenge that proves a server speaks WebSocket. */

import { hash, randomBytes } from 'node:crypto';

/** §1.3: no server that does not know the protocol would join a key with this. */
const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/**
 * A new value of `Sec-WebSocket-Key`: "a randomly selected 16-byte value that has been base64-encoded"
 * (§4.1).
 */
export function makeKey(): string {
  return randomBytes(16).toString('base64');
}

/**
 * The value of `Sec-WebSocket-Accept` for a key: base64 of SHA-1 of the key joined with a constant (§4.2.2).
 */
export function acceptKey(key: string): string {
  return hash('sha1', key + guid, 'base64');
}

/** Whether `key` is 24 base64 characters that decode to 16 bytes (§4.2.1 item 5). */
export function isValidKey(key: string): boolean {
  if (key.length !== 24 || !key.endsWith('==')) return false;
  for (let i = 0; i < 22; i++) {
    if (!base64.includes(key[i]!)) return false;
  }
  return true;
}

/** RFC 4648 §4 without the padding. */
const base64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
