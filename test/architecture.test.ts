import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkManifest, checkSource } from './architecture.js';

const root = join(import.meta.dirname, '..');
const src = join(root, 'src');

test('[P-99] every file of src keeps to its layer', () => {
  const paths = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.ts'),
  );
  expect(paths.length).toBeGreaterThan(20);
  const faults = paths.flatMap((path) =>
    checkSource(path.split(sep).join('/'), readFileSync(join(src, path), 'utf8')),
  );
  expect(faults).toEqual([]);
});

test('the package has no runtime dependency', () => {
  expect(checkManifest(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))).toEqual([]);
});

describe('the checker finds', () => {
  test.each([
    ['an import that points up', 'protocol/a.ts', `import { b } from '../connection/b.js';`],
    ['a type import that points up', 'protocol/a.ts', `import type { B } from '../handshake/b.js';`],
    ['an import for its effect', 'handshake/a.ts', `import '../server/b.js';`],
    ['a re-export', 'protocol/a.ts', `export { b } from '../extensions/b.js';`],
    ['a re-export of everything', 'protocol/a.ts', `export * from '../extensions/b.js';`],
    ['a dynamic import', 'connection/a.ts', `const b = await import('../client/b.js');`],
    ['a computed import', 'connection/a.ts', `const b = (name: string) => import(name);`],
    ['an import in a type', 'connection/a.ts', `type B = import('../client/b.js').B;`],
    ['a required module', 'cli/a.ts', `const b = require('left-pad');`],
    ['an import sideways', 'server/a.ts', `import { b } from '../client/b.js';`],
    ['an import sideways between optional parts', 'toolkit/a.ts', `import { b } from '../compat/b.js';`],
    ['an import of the public API from below', 'client/a.ts', `import { b } from '../index.js';`],
    ['the public API offering an optional part', 'index.ts', `export { b } from './compat/b.js';`],
    ['an import past the public API', 'cli/a.ts', `import { b } from '../errors.js';`],
    ['a package', 'cli/a.ts', `import { WebSocket } from 'ws';`],
    ['a module of Node without its prefix', 'server/a.ts', `import { connect } from 'net';`],
    ['a module of Node from the wrong layer', 'protocol/a.ts', `import { connect } from 'node:net';`],
    ['a socket of Node in a connection', 'connection/a.ts', `import { Socket } from 'node:net';`],
    ['the recognition of sockets in a connection', 'connection/a.ts', `import { b } from '../socket.js';`],
    ['any import in errors.ts', 'errors.ts', `import { b } from 'node:buffer';`],
    ['a file in no layer', 'util/a.ts', ''],
    ['a stray file of src', 'helpers.ts', ''],
    ['an import from no layer', 'server/a.ts', `import { b } from '../util/b.js';`],
    ['Math.random', 'protocol/a.ts', 'const key = Math.random();'],
    ['Math.random in brackets', 'protocol/a.ts', `const key = Math['random']();`],
    ['process.binding', 'server/a.ts', `process.binding('tcp_wrap');`],
    ['a handle', 'server/a.ts', `import type { Socket } from 'node:net'; (s: Socket) => s._handle;`],
    ['the state of a stream', 'connection/a.ts', 'const n = stream?._readableState.length;'],
    ['a destructured handle', 'connection/a.ts', 'const { _handle } = socket;'],
    ['console outside of cli', 'client/a.ts', `console.log('hello');`],
    ['a timer in the core', 'protocol/a.ts', 'setTimeout(() => {}, 1);'],
    ['a tick in the core', 'handshake/a.ts', 'process.nextTick(() => {});'],
    ['a long file', 'server/a.ts', '\n'.repeat(301)],
  ])('%s', (_name, path, text) => {
    expect(checkSource(path, text)).toHaveLength(1);
  });

  test.each(['dependencies', 'optionalDependencies'])('%s', (field) => {
    expect(checkManifest({ devDependencies: {}, [field]: {} })).toEqual([`package.json: has ${field}`]);
  });
});

describe('the checker accepts', () => {
  test.each([
    ['imports that point down', 'server/a.ts', `import { b } from '../protocol/b.js'; import 'node:http';`],
    ['imports inside of a layer', 'protocol/a.ts', `import { b } from './b.js';`],
    ['imports inside of a nested folder', 'extensions/x/a.ts', `import { b } from './b.js';`],
    ['the public API in a command', 'cli/a.ts', `import { connect } from '../index.js'; import 'node:fs';`],
    [
      'words in comments and strings',
      'protocol/a.ts',
      `// Math.random\nconst a = "import 'ws'; console.log";`,
    ],
    ['a timer in a connection', 'connection/a.ts', 'setTimeout(() => {}, 1);'],
    ['a file at the limit', 'server/a.ts', '\n'.repeat(300)],
  ])('%s', (_name, path, text) => {
    expect(checkSource(path, text)).toEqual([]);
  });
});
