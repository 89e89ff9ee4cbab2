import { expect, test } from 'vitest';
import { checkSubprotocols, chooseSubprotocol, parseSubprotocols } from '../../src/handshake/subprotocol.js';

test('§1.9 a list of different tokens keeps its order', () => {
  expect(parseSubprotocols('chat.v2,  chat.v1 ,Chat.v1')).toEqual(['chat.v2', 'chat.v1', 'Chat.v1']);
});

test.each(['', 'a,', ',a', 'a,,b', 'a, a', 'a b', 'a/b', '"a"', 'é', 'a, __proto__, a'])(
  '[H-09] §4.1 item 10 %j is refused',
  (value) => {
    expect(parseSubprotocols(value)).toBeNull();
  },
);

test('§4.2.2 the server chooses by its own preference', () => {
  expect(chooseSubprotocol(['a', 'b', 'c'], ['x', 'c', 'a'], null)).toBe('c');
});

test('[H-10] §4.2.2 none in common is none, and so is an offer of none', () => {
  expect(chooseSubprotocol(['a', 'b'], ['x'], null)).toBe('');
  expect(chooseSubprotocol(['constructor'], [], null)).toBe('');
  expect(chooseSubprotocol([], ['a'], null)).toBe('');
});

test('§4.2.2 a function chooses by offer and request, once there is an offer', () => {
  const calls: unknown[] = [];
  const choose = (offered: readonly string[], request: string): string | undefined => {
    calls.push([offered, request]);
    return offered[1];
  };
  expect(chooseSubprotocol(['a', 'b'], choose, 'request')).toBe('b');
  expect(chooseSubprotocol(['a'], choose, 'request')).toBe('');
  expect(chooseSubprotocol([], choose, 'request')).toBe('');
  expect(calls).toEqual([
    [['a', 'b'], 'request'],
    [['a'], 'request'],
  ]);
});

test('§4.2.2 a function that chooses what was not offered throws a TypeError', () => {
  expect(() => chooseSubprotocol(['a'], () => 'b', null)).toThrow('Chosen subprotocol was not offered: b');
});

test.each([[['a\r\nb']], [['a\0']], [['']], [['a b']], [['a', 'a']], [[5]], ['a'], [null]])(
  '[H-21] §4.1 item 10 the subprotocols %j of an application throw a TypeError',
  (subprotocols) => {
    expect(() => checkSubprotocols(subprotocols as string[])).toThrow(TypeError);
  },
);
