import { describe, expect, test } from 'vitest';
import {
  checkExtraHeaders,
  checkFieldName,
  checkFieldValue,
  checkHeaders,
  Fields,
  formatExtensions,
  isToken,
  parseExtensions,
  parseTokenList,
} from '../../src/handshake/fields.js';

describe('Fields', () => {
  test('RFC 9110 §5.1 names are found without regard to letter case', () => {
    const fields = new Fields(['UPGRADE', 'websocket', 'Host', 'a']);
    expect(fields.single('upgrade')).toBe('websocket');
    expect(fields.all('host')).toEqual(['a']);
    expect(fields.all('origin')).toEqual([]);
  });

  test('a repeated field is kept as often as it was sent, and is not single', () => {
    const fields = new Fields(['Origin', 'a', 'origin', 'b']);
    expect(fields.all('origin')).toEqual(['a', 'b']);
    expect(fields.single('origin')).toBeUndefined();
    expect(fields.single('host')).toBeUndefined();
    expect(fields.list('origin')).toBe('a, b');
    expect(fields.list('host')).toBeUndefined();
    expect(fields.repeats('origin')).toBe(true);
  });

  test('a value is no name, and a single field does not repeat', () => {
    const fields = new Fields(['x', 'host', 'Host', 'x', 'y', 'host']);
    expect(fields.all('host')).toEqual(['x']);
    expect(fields.all('x')).toEqual(['host']);
    expect(fields.repeats('host')).toBe(false);
    expect(fields.repeats('origin')).toBe(false);
  });

  test('__proto__ and constructor are names like any other', () => {
    const fields = new Fields(['__proto__', 'a', 'constructor', 'b', 'toString', 'c']);
    expect(fields.single('__proto__')).toBe('a');
    expect(fields.single('constructor')).toBe('b');
    expect(fields.all('hasownproperty')).toEqual([]);
    const record = fields.toRecord();
    expect(Object.keys(record)).toEqual(['__proto__', 'constructor', 'tostring']);
    expect(Object.getPrototypeOf(record)).toBeNull();
  });

  test('a record joins repeated fields, and has an array of cookies', () => {
    const record = new Fields(['Via', 'a', 'via', 'b', 'Set-Cookie', 'x=1', 'Set-Cookie', 'y=2']).toRecord();
    expect({ ...record }).toEqual({ via: 'a, b', 'set-cookie': ['x=1', 'y=2'] });
  });

  test('RFC 9110 §5.5 white space around a value is not part of it, a no-break space is', () => {
    const fields = new Fields(['a', ' \t x y\t ', 'b', '   ', 'c', '\u00a0x']);
    expect(fields.single('a')).toBe('x y');
    expect(fields.single('b')).toBe('');
    expect(fields.single('c')).toBe('\u00a0x');
  });

  test('an odd list ends at its last pair', () => {
    expect(new Fields(['a', '1', 'b']).all('b')).toEqual([]);
  });

  test('RFC 9110 §5.6.1 an element of a list field is found in any line, any letter case', () => {
    const fields = new Fields(['Connection', 'keep-alive, , UpGrade', 'connection', 'x']);
    expect(fields.includes('connection', 'upgrade')).toBe(true);
    expect(fields.includes('connection', 'x')).toBe(true);
    expect(fields.includes('connection', 'keep')).toBe(false);
    expect(fields.includes('upgrade', 'websocket')).toBe(false);
  });
});

describe('tokens', () => {
  test('RFC 9110 §5.6.2 a token has only its 77 characters', () => {
    let characters = '';
    for (let code = 0; code < 0x180; code++) {
      const character = String.fromCharCode(code);
      if (isToken(character)) characters += character;
    }
    expect(characters).toBe("!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~");
    expect(characters).toHaveLength(77);
    expect(isToken('')).toBe(false);
    expect(isToken('a b')).toBe(false);
    expect(isToken('permessage-deflate')).toBe(true);
  });

  test('a 1#token list is split, and refused when an element is empty or no token', () => {
    expect(parseTokenList('a ,\tb,c')).toEqual(['a', 'b', 'c']);
    for (const bad of ['', ' ', ',', 'a,', ',a', 'a,,b', 'a b', '"a"', 'a;b', 'é']) {
      expect(parseTokenList(bad), bad).toBeNull();
    }
  });
});

describe('Sec-WebSocket-Extensions', () => {
  test('§9.1 names, parameters, flags and quoted values are read in order', () => {
    expect(parseExtensions('foo, bar; baz=2; flag; q="a\\b" , foo;x=1')).toEqual([
      { name: 'foo', parameters: [] },
      {
        name: 'bar',
        parameters: [
          ['baz', '2'],
          ['flag', true],
          ['q', 'ab'],
        ],
      },
      { name: 'foo', parameters: [['x', '1']] },
    ]);
  });

  test('§9.1 white space may stand between all words, and empty elements are ignored', () => {
    expect(parseExtensions(' ,\ta ; b = 1 ;c\t=\t"d" , ,')).toEqual([
      {
        name: 'a',
        parameters: [
          ['b', '1'],
          ['c', 'd'],
        ],
      },
    ]);
  });

  test.each([
    '',
    ',',
    ';a',
    'a;',
    'a;;b',
    'a;b=',
    'a;b=;c',
    'a=b',
    'a b',
    'a;b c',
    'a;b=1 2',
    'a;b="',
    'a;b="c',
    'a;b="c\\',
    'a;b="c\\"',
    'a;b=""',
    'a;b="c d"',
    'a;b="c"d',
    '"a"',
    'a;"b"',
    'é',
  ])('§9.1 %j is not an extension list', (value) => {
    expect(parseExtensions(value)).toBeNull();
  });

  test('[H-12] names and parameters of Object.prototype are words like any other', () => {
    expect(parseExtensions('constructor; toString; __proto__=1, __proto__')).toEqual([
      {
        name: 'constructor',
        parameters: [
          ['toString', true],
          ['__proto__', '1'],
        ],
      },
      { name: '__proto__', parameters: [] },
    ]);
  });

  test.each([
    ['spaces', ' '.repeat(200_000)],
    ['spaces inside', `a;${' '.repeat(200_000)}"`],
    ['open quotes', 'a;b="'.repeat(40_000)],
    ['quotes', `a;b=${'"'.repeat(200_000)}`],
    ['backslashes', `a;b="${'\\'.repeat(200_000)}`],
    ['commas', ','.repeat(200_000)],
    ['semicolons', `a${' ;'.repeat(100_000)}`],
  ])('[H-13] §9.1 many %s are refused in linear time', (_name, value) => {
    const before = performance.now();
    expect(parseExtensions(value)).toBeNull();
    expect(parseTokenList(value)).toBeNull();
    expect(new Fields(['a', value]).includes('a', 'upgrade')).toBe(false);
    // Quadratic time would take minutes.
    expect(performance.now() - before).toBeLessThan(10_000);
  });

  test('§9.1 what is formatted is parsed to the same', () => {
    const elements = parseExtensions('a; b; c=1, d')!;
    expect(formatExtensions(elements)).toBe('a; b; c=1, d');
    expect(formatExtensions([])).toBe('');
  });

  test.each([
    [{ name: 'a b', parameters: [] }],
    [{ name: 'a', parameters: [['', true]] as const }],
    [{ name: 'a', parameters: [['b', 'c\r\nd']] as const }],
  ])('§9.1 formatting %j throws a TypeError', (element) => {
    expect(() => formatExtensions([element])).toThrow(TypeError);
  });
});

describe('header fields of the application', () => {
  test('values may be strings, numbers and lists; undefined is left out', () => {
    expect(checkHeaders({ a: 'x\ty', b: 5, 'Set-Cookie': ['c=1', 'd=2'], e: undefined, f: 'é' })).toEqual([
      ['a', 'x\ty'],
      ['b', '5'],
      ['Set-Cookie', 'c=1'],
      ['Set-Cookie', 'd=2'],
      ['f', 'é'],
    ]);
  });

  // U+010D and U+010A would be CR and LF when only their low byte is written.
  test.each(['a\rb', 'a\nb', 'a\0b', 'a\x7fb', '\x1b', 'a\u010db', 'a\u010ab', '😀'])(
    '[H-21] RFC 9110 §5.5 the value %j throws a TypeError',
    (value) => {
      expect(() => checkFieldValue('X', value)).toThrow(TypeError);
      expect(() => checkHeaders({ X: ['fine', value] })).toThrow(TypeError);
    },
  );

  test.each(['', 'a b', 'a:', 'a\r\nb', 'é'])(
    '[H-21] RFC 9110 §5.1 the name %j throws a TypeError',
    (name) => {
      expect(() => checkFieldName(name)).toThrow(TypeError);
      expect(() => checkHeaders({ [name]: 'x' })).toThrow(TypeError);
    },
  );

  test('a value that is no string throws a TypeError that names the field', () => {
    expect(() => checkHeaders({ 'X-A': null as unknown as string })).toThrow(/X-A is not a string: null/);
  });

  test.each([
    'Connection',
    'UPGRADE',
    'content-length',
    'Transfer-Encoding',
    'Sec-WebSocket-Accept',
    'sec-websocket-anything',
  ])('the field %s of the handshake itself throws a TypeError', (name) => {
    expect(() => checkExtraHeaders({ [name]: 'x' })).toThrow(
      `Header field is set by the handshake itself: ${name}`,
    );
  });
});
