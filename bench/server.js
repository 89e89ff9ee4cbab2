/** The process of one peer's server: `server.js PEER`. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';
import { serveCalls } from './process.js';

/** Milliseconds between two looks at the event loop. */
const RESOLUTION = 1;

const { connections, listen } = await import(`./peers/${process.argv[2]}.js`);
const stalls = monitorEventLoopDelay({ resolution: RESOLUTION });

serveCalls({
  listen: ({ behaviour, options }) => listen(behaviour, options),
  /** Ends by itself, which writes a profile if one was asked for. */
  exit: () => process.exit(),
  /** CPU time so far, in microseconds. */
  cpu() {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  /**
   * Resident memory in bytes, when what is not needed has been freed; of that, the young generation of the heap, whose
   * size follows the garbage of the last moments; and the most that was ever resident.
   */
  async memory() {
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await delay(100);
    }
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    return {
      rss: process.memoryUsage.rss(),
      young: young?.physical_space_size ?? 0,
      peak: process.resourceUsage().maxRSS * 1024,
    };
  },
  rss: () => process.memoryUsage.rss(),
  /** How many connections are open, and on which port; where the peer tells. */
  connections: () => connections(),
  watchStalls() {
    stalls.reset();
    stalls.enable();
  },
  /** The longest turn of the event loop since `watchStalls`, in milliseconds. */
  longestStall() {
    stalls.disable();
    return Math.max(0, stalls.max / 1e6 - RESOLUTION);
  },
});
