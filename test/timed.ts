/** The test files that measure how long a turn of the event loop takes: a busy machine can fail them. */
export const timed: readonly string[] = [
  'test/connection/event-loop.test.ts',
  'test/connection/composition/fairness.test.ts',
  'test/connection/composition/memory.test.ts',
  'test/server/server-listeners.test.ts',
];
