/** The checks of the protocol's rules: the places of `src` that raise a row of `violation.ts`, each left out once. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fault } from './copy.js';

/** The tests of the rules: the others take longer, and are not needed to find one left out. */
const tests = ['test/protocol', 'test/extensions', 'test/connection/receiving.test.ts'];

/** One fault for each `throw violation('name', ...)`. */
export function checksLeftOut(root: string): Fault[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('violation.ts'))
    .toSorted()
    .flatMap((file) => faultsOf(join('src', file), readFileSync(join(root, 'src', file), 'utf8')));
}

function faultsOf(file: string, source: string): Fault[] {
  return [...source.matchAll(/throw violation\('(\w+)'/g)].map((match) => {
    const find = source.slice(match.index, endOfCall(source, match.index));
    const line = source.slice(0, match.index).split('\n').length;
    const edit = { file, find, replace: 'void 0', at: match.index };
    return { name: match[1]!, what: `${file}:${line} left out`, edits: [edit], tests };
  });
}

/** Where the call that begins at `from` ends. */
function endOfCall(source: string, from: number): number {
  let depth = 0;
  let end = source.indexOf('(', from);
  do {
    if (source[end] === '(') depth++;
    if (source[end] === ')') depth--;
    end++;
  } while (depth > 0);
  return end;
}
