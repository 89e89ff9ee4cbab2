import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Utf8Validator } from '../../src/protocol.js';

/** Whether the bytes are valid, fed in pieces of a size, and how many bytes were taken up to the failure. */
function validate(bytes: Buffer, step: number): boolean {
  const validator = new Utf8Validator();
  for (let at = 0; at < bytes.length; at += step) {
    if (!validator.push(bytes, at, Math.min(bytes.length, at + step))) return false;
  }
  return validator.complete;
}

test('§8.1 every sequence of one to four bytes at the borders of the table is judged as by Node.js', () => {
  const borders = [
    0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
    0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
  ];
  for (const a of borders) {
    for (const b of borders) {
      for (const c of borders) {
        for (const d of [0x00, 0x7f, 0x80, 0xbf, 0xc0]) {
          for (const length of [1, 2, 3, 4]) {
            const bytes = Buffer.from([a, b, c, d].slice(0, length));
            if (validate(bytes, 1) !== isUtf8(bytes)) throw new Error(bytes.toString('hex'));
            if (validate(bytes, 4) !== isUtf8(bytes)) throw new Error(bytes.toString('hex'));
          }
        }
      }
    }
  }
});

test('§8.1 any bytes, in any pieces, are judged as by a fatal TextDecoder', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }).map((text) => Buffer.from(text)),
    fc.string({ maxLength: 120 }).map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), fc.integer({ min: 1, max: 130 }), (pieces, step) => {
      const bytes = Buffer.concat(pieces);
      let valid = true;
      try {
        new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
      } catch {
        valid = false;
      }
      expect(validate(bytes, step)).toBe(valid);
    }),
    { numRuns: 2000 },
  );
});

test('§8.1 fails at the first bad byte, also behind long text', () => {
  for (const length of [0, 1, 47, 48, 49, 1000]) {
    for (const text of ['a', 'é', '€', '😀']) {
      const good = Buffer.from(text.repeat(length));
      const validator = new Utf8Validator();
      expect(validator.push(good, 0, good.length)).toBe(true);
      expect(validator.ascii).toBe(text === 'a' || length === 0);
      expect(validator.push(Buffer.from([0xff]), 0, 1)).toBe(false);
      validator.reset();
      expect([validator.ascii, validator.complete]).toEqual([true, true]);
      expect(validator.push(Buffer.concat([good, Buffer.from([0xc0]), good]), 0, good.length * 2 + 1)).toBe(
        false,
      );
    }
  }
});

/** Whether more bytes can make valid UTF-8 of it: some three bytes at most, if any. */
function viable(start: Buffer): boolean {
  const ends = ['', ...['80', '90', 'a0'].flatMap((next) => [next, `${next}80`, `${next}8080`])];
  return ends.some((end) => isUtf8(Buffer.concat([start, Buffer.from(end, 'hex')])));
}

test('[F-15] §8.1 of any bytes, one by one, the first is refused behind which no text is left', () => {
  const noise = fc.array(fc.constantFrom(0x41, 0x80, 0x9f, 0xa0, 0xbf, 0xc3, 0xe0, 0xed, 0xef, 0xf0, 0xf4), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 30 }), noise, (text, bad) => {
      const bytes = Buffer.concat([Buffer.from(text), Buffer.from(bad)]);
      const validator = new Utf8Validator();
      for (let at = 0; at < bytes.length; at++) {
        const taken = validator.push(bytes, at, at + 1);
        expect(taken).toBe(viable(bytes.subarray(0, at + 1)));
        if (!taken) break;
      }
    }),
    { numRuns: 500 },
  );
});
