/** The process of one peer's server: `server.js PEER`. */

import { setTimeout as delay } from 'node:timers/promises';
import { getHeapSpaceStatistics, writeHeapSnapshot } from 'node:v8';
import { serveCalls } from './process.js';

/** Milliseconds between two looks at the event loop. */
const RESOLUTION = 1;

const { connections, listen } = await import(`./peers/${process.argv[2]}.js`);
/** The longest that one look at the event loop came late, in milliseconds. */
const longest = { stall: 0, stallByClock: 0 };
let looked = { wall: 0, cpu: 0 };
/** @type {NodeJS.Timeout | undefined} */
let watch;

/** CPU time so far, in microseconds. */
function cpu() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** JavaScript heap, and what it holds outside of it: ArrayBuffers are a part of `external`. */
function heapBytes() {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function look() {
  const now = { wall: performance.now(), cpu: cpu() };
  const late = now.wall - looked.wall - RESOLUTION;
  longest.stallByClock = Math.max(longest.stallByClock, late);
  // A core that another process has meanwhile is not this one's doing: no stall takes longer than its threads used
  longest.stall = Math.max(longest.stall, Math.min(late, (now.cpu - looked.cpu) / 1e3));
  looked = now;
}

serveCalls({
  listen: ({ behaviour, options }) => listen(behaviour, options),
  /** Ends by itself, which writes a profile if one was asked for. */
  exit: () => process.exit(),
  cpu,
  /**
   * Resident memory in bytes, after garbage collection; of that, the young generation of the heap, whose size
   * follows the garbage of the last moments; the peak of resident memory; and what JavaScript objects take.
   */
  async memory() {
    let heap = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      // The least of them: a Ping that is under way takes some as well
      heap = Math.min(heap, heapBytes());
      await delay(100);
    }
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    return {
      rss: process.memoryUsage.rss(),
      heap,
      young: young?.physical_space_size ?? 0,
      peak: process.resourceUsage().maxRSS * 1024,
    };
  },
  collect: () => globalThis.gc?.(),
  snapshot: (/** @type {string} */ file) => writeHeapSnapshot(file),
  rss: () => process.memoryUsage.rss(),
  /** How many connections are open, and on which port; where the peer tells. */
  connections: () => connections(),
  /** From now on. */
  watchStalls() {
    clearInterval(watch);
    watch = setInterval(look, RESOLUTION);
    looked = { wall: performance.now(), cpu: cpu() };
    longest.stall = longest.stallByClock = 0;
  },
  longestStalls() {
    clearInterval(watch);
    return longest;
  },
});
