import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { timed } from './test/timed.js';

export default defineConfig({
  // What examples import
  resolve: { alias: [{ find: /^sluice$/, replacement: join(import.meta.dirname, 'src/index.ts') }] },
  test: {
    pool: 'forks',
    testTimeout: 20_000,
    // Tests of what is retained collect the garbage first.
    execArgv: ['--expose-gc'],
    projects: [
      {
        extends: true,
        test: {
          name: 'rules',
          include: ['test/**/*.test.ts'],
          exclude: [...timed],
          // Also on two cores: a file often waits, for a timer or a peer.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        // Each file runs alone, after the others.
        test: { name: 'times', include: [...timed], maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
    // The counts, for .ci/run.
    reporters: 'CI' in process.env ? ['default', 'json'] : ['default'],
    outputFile: { json: '.cache/vitest.json' },
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text', 'html'],
      thresholds: { lines: 98, branches: 96 },
    },
  },
});
