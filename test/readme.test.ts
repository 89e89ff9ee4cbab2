import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { programsOf } from './readme.js';

const root = join(import.meta.dirname, '..');
const folder = join(root, '.cache', 'readme');
const out = join(folder, 'out');
const readme = join(root, 'README.md');
const programs = programsOf(existsSync(readme) ? readFileSync(readme, 'utf8') : '');

const run = promisify(execFile);

/** Compiles the sources and the programs together, so that `sluice` is the code as it stands. */
async function compile(): Promise<string> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'in'), { recursive: true });
  mkdirSync(out);
  for (const { line, language, code } of programs) {
    writeFileSync(join(folder, 'in', `line-${line}.${language}`), code);
  }
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: {
      noEmit: false,
      rootDir: '../..',
      outDir: 'out',
      allowJs: true,
      noUnusedLocals: false,
      noUnusedParameters: false,
      paths: { sluice: ['../../src/index.ts'], 'sluice/protocol': ['../../src/protocol.ts'] },
    },
    include: ['in', '../../src'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const manifest = {
    name: 'sluice',
    type: 'module',
    exports: { '.': './src/index.js', './protocol': './src/protocol.js' },
  };
  writeFileSync(join(out, 'package.json'), JSON.stringify(manifest));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  return run(process.execPath, [tsc, '-p', folder]).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  );
}

describe('the README', () => {
  let diagnostics = '';

  beforeAll(async () => {
    diagnostics = await compile();
  });

  test('has programs, whose types are right', () => {
    expect(programs.length).toBeGreaterThan(0);
    expect(diagnostics).toBe('');
  });

  test.each(programs)('runs the program of line $line', async ({ line, prints }) => {
    const file = join(out, '.cache', 'readme', 'in', `line-${line}.js`);
    // Rejects with all of the output when the exit code is not 0, or at the deadline.
    const { stdout } = await run(process.execPath, [file], { timeout: 15_000 });
    const lines = stdout.split('\n');
    expect(prints.filter((text) => !lines.includes(text))).toEqual([]);
  });
});

describe('programs of a Markdown text', () => {
  test('are its ts and js blocks, each with the code around it', () => {
    const markdown = [
      '# Title',
      '```sh',
      'npm install',
      '```',
      '```js',
      'console.log(1); // prints 1',
      '```',
      '',
      '<!-- before',
      'const before = 1;',
      '-->',
      '',
      '```ts',
      'const body = before;',
      '```',
      '',
      '<!-- after',
      'const after = body;',
      '-->',
      'Text, and inline ```ts``` too',
    ].join('\n');
    expect(programsOf(markdown)).toEqual([
      { line: 5, language: 'js', code: 'console.log(1); // prints 1\n', prints: ['1'] },
      {
        line: 13,
        language: 'ts',
        code: 'const before = 1;\nconst body = before;\nconst after = body;\n',
        prints: [],
      },
    ]);
  });
});
