import { expect, test } from 'vitest';
import { readReport } from './report.js';
import { only, selects, union } from './selection.js';

const row = { files: ['test/server'], title: '\\[X-01\\]' };

test('only failed tests count as failed, not a file that failed to load', () => {
  const report = {
    success: false,
    testResults: [
      { name: '/copy/test/a.test.ts', status: 'failed', message: 'broken import', assertionResults: [] },
      {
        name: '/copy/test/b.test.ts',
        status: 'failed',
        assertionResults: [
          { fullName: 'group one [X-01]', status: 'failed' },
          { fullName: 'group two [X-01]', status: 'passed' },
          { fullName: 'group three', status: 'skipped' },
        ],
      },
    ],
  };
  expect(readReport(JSON.stringify(report), '/copy')).toEqual({
    failed: [{ file: 'test/b.test.ts', title: 'group one [X-01]' }],
    passed: [{ file: 'test/b.test.ts', title: 'group two [X-01]' }],
    broken: ['test/a.test.ts'],
  });
});

test('a selection has the tests of its files and folders that have its title', () => {
  expect(selects(row, { file: 'test/server/a.test.ts', title: 'one [X-01]' })).toBe(true);
  expect(selects(row, { file: 'test/server/a.test.ts', title: 'one [X-011]' })).toBe(false);
  expect(selects(row, { file: 'test/servers.test.ts', title: 'one [X-01]' })).toBe(false);
  expect(selects({ ...row, title: '' }, { file: 'test/server/a.test.ts', title: 'any' })).toBe(true);
});

test('the selection of one test has its title as it is', () => {
  const one = { file: 'test/server/a.test.ts', title: 'a (b) [X-01] $5 + 1?' };
  expect(selects(only([one]), one)).toBe(true);
  expect(selects(only([one]), { ...one, title: 'a b X' })).toBe(false);
});

test('a union has the files and titles of all', () => {
  const other = { files: ['test/client', 'test/server'], title: '\\[X-02\\]' };
  expect(union([row, row, other])).toEqual({
    files: ['test/server', 'test/client'],
    title: '\\[X-01\\]|\\[X-02\\]',
  });
});
