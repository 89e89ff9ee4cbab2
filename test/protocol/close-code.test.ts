import { expect, test } from 'vitest';
import { isControl, isDefined } from '../../src/protocol/opcode.js';
import { CloseCode, isValidCloseCode } from '../../src/protocol.js';

test('§7.4 of all numbers of two bytes, 1000-1003, 1007-1014 and 3000-4999 may stand in a Close frame', () => {
  const valid: number[] = [];
  for (let code = 0; code <= 0xffff; code++) if (isValidCloseCode(code)) valid.push(code);
  const range = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_, i) => from + i);
  expect(valid).toEqual([...range(1000, 1003), ...range(1007, 1014), ...range(3000, 4999)]);
});

test('§7.4 what is no whole number is no close code', () => {
  for (const code of [1000.5, 4998.999, Number.NaN, Number.POSITIVE_INFINITY, -1000]) {
    expect(isValidCloseCode(code)).toBe(false);
  }
});

test('§7.4.1 the codes that have a name may be sent, but for the three that tell what happened', () => {
  const unsent = Object.entries(CloseCode).filter(([, code]) => !isValidCloseCode(code));
  expect(unsent).toEqual([
    ['NoStatusReceived', 1005],
    ['AbnormalClosure', 1006],
    ['TlsHandshake', 1015],
  ]);
});

test('§5.2 of the sixteen opcodes six are defined, and those with the highest bit are control frames', () => {
  const opcodes = Array.from({ length: 16 }, (_, opcode) => opcode);
  expect(opcodes.filter(isDefined)).toEqual([0, 1, 2, 8, 9, 10]);
  expect(opcodes.filter(isControl)).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
});
