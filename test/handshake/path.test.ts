import { describe, expect, test } from 'vitest';
import { decodePath, PathPattern } from '../../src/handshake/path.js';

const match = (pattern: string, path: string): Record<string, string> | null => {
  const params = new PathPattern(pattern).match(decodePath(path)!);
  return params && { ...params };
};

describe('a pattern of paths', () => {
  test.each([
    ['/', '/', {}],
    ['/chat', '/chat', {}],
    ['/chat/:room', '/chat/a', { room: 'a' }],
    ['/chat/:room', '/chat/a%20b', { room: 'a b' }],
    ['/chat/:room', '/chat/a%2Fb', { room: 'a/b' }],
    ['/chat/:room', '/chat/%3Aroom', { room: ':room' }],
    ['/chat/:room', '/chat/..', { room: '..' }],
    ['/chat/:room', '/%63hat/%C3%A9', { room: 'é' }],
    ['/c%68at/:room', '/chat/a', { room: 'a' }],
    ['/:a/x/:b_2', '/1/x/2', { a: '1', b_2: '2' }],
    ['/:__proto__', '/x', JSON.parse('{"__proto__":"x"}')],
    ['/:constructor', '/toString', { constructor: 'toString' }],
    ['/chat/', '/chat/', {}],
    ['/%3Aname', '/:name', {}],
    ['/a%2Fb', '/a%2fb', {}],
  ])('%s matches %s', (pattern, path, params) => {
    const found = new PathPattern(pattern).match(decodePath(path)!);
    expect(Object.getPrototypeOf(found)).toBe(null);
    expect(Object.entries(found!)).toEqual(Object.entries(params));
  });

  test.each([
    ['/chat', '/'],
    ['/chat', '/Chat'],
    ['/chat', '/chat/'],
    ['/chat/', '/chat'],
    ['/chat/:room', '/chat'],
    ['/chat/:room', '/chat/'],
    ['/chat/:room', '/chat/a/'],
    ['/chat/:room', '/chat//a'],
    ['/chat/:room', '/chat/a/b'],
    ['/:a/:b', '//b'],
    ['/a/b', '/a%2Fb'],
    ['/%3Aname', '/x'],
  ])('[P-90] %s does not match %s', (pattern, path) => {
    expect(match(pattern, path)).toBe(null);
  });

  test.each([
    ['relative', 'a'],
    ['empty', ''],
    ['with a query', '/a?b'],
    ['with a fragment', '/a#b'],
    ['with a line end', '/a\r\nb'],
    ['not ASCII', '/é'],
    ['malformed', '/%ff'],
    ['no string', 5],
    ['a name that is empty', '/:'],
    ['a name with a dash', '/:a-b'],
    ['a name that begins with a digit', '/:1'],
    ['a name with a suffix', '/:a.json'],
    ['a name that is there twice', '/:a/:b/:a'],
  ])('that is %s throws a TypeError: %s', (_title, pattern) => {
    expect(() => new PathPattern(pattern as string)).toThrow(TypeError);
  });

  test('patterns of one shape match the same paths, whatever their names', () => {
    const shape = (pattern: string): string => new PathPattern(pattern).shape;
    expect(shape('/a/:b')).toBe(shape('/%61/:c'));
    expect(shape('/a/:b')).not.toBe(shape('/:b/a'));
    expect(shape('/0')).not.toBe(shape('/:a'));
    expect(shape('/a%2Fb')).not.toBe(shape('/a/b'));
  });

  test('a path whose percent-encoding is no UTF-8 is malformed', () => {
    for (const path of ['/%', '/%f', '/%ff', '/a/%C3', '/%zz']) expect(decodePath(path)).toBe(null);
    expect(decodePath('/a%20b//c')).toEqual(['a b', '', 'c']);
  });

  test('a long path takes linear time', () => {
    const began = performance.now();
    expect(match('/:a', `/${'%41'.repeat(100_000)}`)).toEqual({ a: 'A'.repeat(100_000) });
    expect(match('/:a', '/'.repeat(100_000))).toBe(null);
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
