import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 20_000,
    // Tests of what is retained collect the garbage first.
    execArgv: ['--expose-gc'],
    // The counts, for .ci/run.
    reporters: 'CI' in process.env ? ['default', 'json'] : ['default'],
    outputFile: { json: '.cache/vitest.json' },
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text', 'html'],
      thresholds: { lines: 97, branches: 95 },
    },
  },
});
