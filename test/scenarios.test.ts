import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scenarios } from './scenarios.js';
import { titlesOf } from './titles.js';

const tag = /\[([A-Z]-\d\d)\]/g;

/** Each title with an id, and the file it is in. */
const tagged = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts') && path !== 'scenarios.test.ts')
  .toSorted()
  .flatMap((path) =>
    titlesOf(readFileSync(join(import.meta.dirname, path), 'utf8')).flatMap((title) =>
      [...title.matchAll(tag)].map(([, id]) => ({ id: id!, title, path: path.replaceAll('\\', '/') })),
    ),
  );
const named = tagged.map(({ id }) => id);

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

test('scenarios.md, the table of inputs and their tests, is up to date (npm test -- -u renews it)', async () => {
  const cell = (text: string): string => text.replace(/\s+/g, ' ').replaceAll('|', '\\|').trim();
  const rows = scenarios.map(({ id, input, outcome }) => {
    const tests = tagged.filter((one) => one.id === id);
    const named = [
      ...new Set(tests.map(({ path, title }) => `\`${path}\`: ${cell(title.replace(tag, ''))}`)),
    ];
    return `| ${id} | ${cell(input)} | ${cell(outcome)} | ${named.join('<br>')} |`;
  });
  const table = [
    '# Hostile and unusual input, what it gets, and the tests of it',
    '',
    'Written by `scenarios.test.ts` from `scenarios.ts` and the titles of the tests.',
    '',
    '| | input | outcome | tests |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
  await expect(table).toMatchFileSnapshot('scenarios.md');
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
