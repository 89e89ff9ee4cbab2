import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scenarios } from './scenarios.js';
import { titlesOf } from './titles.js';

const tag = /\[([A-Z]-\d\d)\]/g;

const named = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts') && path !== 'scenarios.test.ts')
  .flatMap((path) => titlesOf(readFileSync(join(import.meta.dirname, path), 'utf8')))
  .flatMap((title) => [...title.matchAll(tag)].map(([, id]) => id!));

const ids = scenarios.map(({ id }) => id);

test('every hostile input has a test that names it', () => {
  const missing = scenarios.filter(({ id }) => !named.includes(id));
  expect(missing.map(({ id, input }) => `${id} ${input}`)).toEqual([]);
});

test('every id in a title is one of the list', () => {
  expect(named.filter((id) => !ids.includes(id))).toEqual([]);
});

test('every id is used once in the list', () => {
  expect(ids).toEqual([...new Set(ids)]);
});

test('titles are found in every form, but not of tests that do not run', () => {
  const text = `
    describe('a', () => {
      test('b', { timeout: 1 }, () => {});
      it.concurrent(\`c \${d} e\`, async () => {});
      test.each([['x', 1]])('f %s', (name: string) => {});
      test.each\`x\`('g', () => {});
      test.skipIf(process.platform === 'win32')('h', () => {});
    });
    test.skip('i', () => {});
    it.todo('j');
    other('k');
    // test('l')`;
  expect(titlesOf(text)).toEqual(['a', 'b', 'c * e', 'f %s', 'g', 'h']);
});
