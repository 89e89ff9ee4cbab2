import { expect, test } from 'vitest';
import { parseCookies } from '../../src/handshake/cookies.js';

test.each<[string, [string, string][]]>([
  ['', []],
  ['a=1', [['a', '1']]],
  [
    'a=1; b=2;c=3 ;  d=4',
    [
      ['a', '1'],
      ['b', '2'],
      ['c', '3'],
      ['d', '4'],
    ],
  ],
  ['a=1; a=2', [['a', '1']]],
  [
    'a=b=c; empty=; noequals; =noname; ;',
    [
      ['a', 'b=c'],
      ['empty', ''],
    ],
  ],
  [
    'q="x y"; half="x; one="',
    [
      ['q', 'x y'],
      ['half', '"x'],
      ['one', '"'],
    ],
  ],
  [
    'u=%C3%A9%20x; bad=%ff; percent=100%',
    [
      ['u', 'é x'],
      ['bad', '%ff'],
      ['percent', '100%'],
    ],
  ],
  [
    '__proto__=1; constructor=2; toString=3',
    [
      ['__proto__', '1'],
      ['constructor', '2'],
      ['toString', '3'],
    ],
  ],
])('RFC 6265 §4.2 %j', (header, cookies) => {
  const parsed = parseCookies(header);
  expect(Object.getPrototypeOf(parsed)).toBe(null);
  expect(Object.entries(parsed)).toEqual(cookies);
});

test('hostile cookies take linear time', () => {
  const began = performance.now();
  for (const text of [';'.repeat(500_000), '='.repeat(500_000), ' '.repeat(500_000), '%'.repeat(500_000)]) {
    parseCookies(text);
    parseCookies(`a=${text}`);
  }
  expect(performance.now() - began).toBeLessThan(2_000);
});
