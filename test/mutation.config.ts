/** The tests that `npm run mutation` runs against mutants of `protocol/` and `handshake/`. */
import { setFlagsFromString } from 'node:v8';
import { defineConfig } from 'vitest/config';

// Tests of what is retained collect the garbage first. The runner's workers are threads, which take no such option.
setFlagsFromString('--expose-gc');

export default defineConfig({
  test: {
    include: ['test/protocol/**/*.test.ts', 'test/handshake/**/*.test.ts'],
    // It measures memory, which the mutants' own code changes.
    exclude: ['test/protocol/allocation.test.ts'],
    testTimeout: 20_000,
  },
});
