/** The tests that `npm run mutation` runs against mutants of `protocol/` and `handshake/`. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/protocol/**/*.test.ts', 'test/handshake/**/*.test.ts'],
    // It measures memory, which the mutants' own code changes.
    exclude: ['test/protocol/allocation.test.ts'],
    testTimeout: 20_000,
  },
});
