/** Which tests a fault is judged by. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { titlesOf } from '../titles.js';
import type { Fault } from './copy.js';
import type { Test } from './report.js';

/** Tests to run. */
export interface Selection {
  /** Files and folders. */
  readonly files: readonly string[];
  /** A part of the titles, as a regular expression; all tests of the files when it is empty. */
  readonly title: string;
}

/** The tests of a fault: those that it names, or those with its row in the title. Throws when there are none. */
export function selectionOf({ name, tests }: Fault, root: string): Selection {
  if (tests !== undefined) return { files: tests, title: '' };
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .map((path) => join('test', path))
    .filter((path) => path.endsWith('.test.ts'))
    .filter((path) =>
      titlesOf(readFileSync(join(root, path), 'utf8')).some((title) => title.includes(`[${name}]`)),
    );
  if (files.length === 0) throw new Error(`no test has [${name}] in its title`);
  return { files, title: `\\[${name}\\]` };
}

/** The selection of these tests alone. */
export function only(tests: readonly Test[]): Selection {
  const titles = tests.map(({ title }) => title.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return { files: [...new Set(tests.map(({ file }) => file))], title: titles.join('|') };
}

/** The union of selections that all have a title. */
export function union(selections: readonly Selection[]): Selection {
  return {
    files: [...new Set(selections.flatMap(({ files }) => files))],
    title: [...new Set(selections.map(({ title }) => title))].join('|'),
  };
}

export function selects({ files, title }: Selection, test: Test): boolean {
  return (
    files.some((path) => test.file === path || test.file.startsWith(`${path}/`)) &&
    new RegExp(title).test(test.title)
  );
}
