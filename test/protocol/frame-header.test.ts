import { expect, test } from 'vitest';
import { headerSize, MASK, writeHeader } from '../../src/protocol/frame-header.js';

const rows: readonly (readonly [length: number, hex: string])[] = [
  [0, '8200'],
  [1, '8201'],
  [125, '827d'],
  [126, '827e007e'],
  [127, '827e007f'],
  [65535, '827effff'],
  [65536, '827f0000000000010000'],
  [2 ** 32 - 1, '827f00000000ffffffff'],
  [2 ** 32, '827f0000000100000000'],
  [Number.MAX_SAFE_INTEGER, '827f001fffffffffffff'],
];

test.each(rows)('§5.2 the length %i takes the fewest bytes: %s', (length, hex) => {
  const target = Buffer.alloc(20, 0xee);
  const end = writeHeader(target, 3, 0x82, length, 0);
  expect(target.subarray(3, end).toString('hex')).toBe(hex);
  expect([target[2], target[end]]).toEqual([0xee, 0xee]);
  expect(headerSize(length, false)).toBe(end - 3);
  expect(headerSize(length, true)).toBe(end - 3 + 4);
});

test.each(rows)('§5.2 the mask bit stands in front of the length %i', (length, hex) => {
  const target = Buffer.alloc(20);
  const end = writeHeader(target, 0, 0x82, length, MASK);
  const expected = Buffer.from(hex, 'hex');
  expected[1]! |= 0x80;
  expect(target.subarray(0, end)).toEqual(expected);
});
