import { expect, test } from 'vitest';
import { acceptKey, isValidKey, makeKey } from '../../src/handshake/challenge.js';

test('§1.3 the example of the RFC: the accept value of its sample nonce', () => {
  expect(acceptKey('dGhlIHNhbXBsZSBub25jZQ==')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
});

test('§4.1 item 7 a key is 16 random bytes in base64, a new one each time', () => {
  const keys = new Set(Array.from({ length: 1000 }, makeKey));
  expect(keys.size).toBe(1000);
  for (const key of keys) {
    expect(Buffer.from(key, 'base64')).toHaveLength(16);
    expect(isValidKey(key)).toBe(true);
  }
});

test.each([
  ['empty', ''],
  ['15 bytes', Buffer.alloc(15).toString('base64')],
  ['17 bytes', Buffer.alloc(17).toString('base64')],
  ['18 bytes', Buffer.alloc(18).toString('base64')],
  ['no padding', 'dGhlIHNhbXBsZSBub25jZQ'],
  ['not base64', 'dGhlIHNhbXBsZSBub25j!Q=='],
  ['base64url', 'dGhlIHNhbXBsZSBub25-_Q=='],
  ['an inner space', 'dGhlIHNhbXBs SBub25jZQ=='],
  ['a line end', 'dGhlIHNhbXBsZSBub25jZQ=\n'],
  ['longer, with the same end', `${'A'.repeat(26)}==`],
  ['inner padding', 'dGhlIHNhbXBsZSBub25j===='],
])('[H-06] §4.2.1 item 5 a key that is %s is not valid', (_name, key) => {
  expect(isValidKey(key)).toBe(false);
});
