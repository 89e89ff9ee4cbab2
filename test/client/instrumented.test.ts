/** Code that stands between `connect()` and `node:http`. */

import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { checkSideConditions } from '../support/side-conditions.js';

checkSideConditions();

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

/** Compiles a program of `programs/`, and runs it in a process of its own. */
async function runProgram(name: string): Promise<Record<string, unknown>> {
  const folder = join(root, '.cache', 'programs', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const config = {
    extends: '../../../tsconfig.json',
    compilerOptions: { noEmit: false, rootDir: '../../..', outDir: 'out' },
    include: [`../../../test/client/programs/${name}.ts`, '../../../src'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  await run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder]);
  const program = join(folder, 'out', 'test', 'client', 'programs', `${name}.js`);
  const { stdout } = await run(process.execPath, ['--no-warnings', program]);
  return JSON.parse(stdout);
}

test('[X-24] a process instrumented with OpenTelemetry connects, and sends the fields of its trace', {
  timeout: 60_000,
}, async () => {
  const { echo, subprotocol, fields, spans, port } = await runProgram('opentelemetry');
  expect([echo, subprotocol]).toEqual(['hello', 'v1']);
  expect(fields).toEqual([
    [
      'Host',
      'Upgrade',
      'Connection',
      'Sec-WebSocket-Key',
      'Sec-WebSocket-Version',
      'Sec-WebSocket-Protocol',
      'X-Two',
      'X-Two',
      'traceparent',
    ],
  ]);
  expect(spans).toEqual([['GET', `http://127.0.0.1:${port}/traced`]]);
});
