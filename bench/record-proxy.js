// @ts-check
/** A process of `records.js`: the proxy of examples/record-proxy.ts, or the target behind it. */
import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { serveCalls } from './process.js';

const SAMPLE = 20;
/** The example as `tsc -p examples` builds it. */
const example = join(import.meta.dirname, '..', '.cache', 'examples', 'record-proxy.js');

let peak = 0;
const memory = () => {
  const rss = process.memoryUsage.rss();
  peak = Math.max(peak, rss);
  const { system, user } = process.cpuUsage();
  return { rss, peak, cpu: (system + user) / 1e6 };
};

let records = 0;
let bytes = 0;
let onRecord = () => {};

const roles = {
  /** @returns {Promise<number>} */
  async proxy(/** @type {{ target: string }} */ { target }) {
    const { startProxy } = await import(pathToFileURL(example).href);
    const server = await startProxy({ port: 0, target });
    globalThis.gc?.();
    memory();
    setInterval(memory, SAMPLE);
    return server.address().port;
  },

  /** @returns {Promise<number>} */
  async target() {
    const { WebSocketServer } = await import(process.env['SLUICE'] ?? '../dist/index.js');
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    server.on('connection', async (/** @type {any} */ ws) => {
      for await (const message of ws) {
        for await (const chunk of message) bytes += chunk.length;
        records++;
        onRecord();
      }
    });
    await once(server, 'listening');
    return server.address().port;
  },
};

serveCalls({
  listen: (options) => roles[process.argv[2] === 'proxy' ? 'proxy' : 'target'](options),
  memory,
  /** Resolves once all records have come. */
  async received({ records: expected }) {
    while (records < expected) {
      await new Promise((resolve) => {
        onRecord = () => resolve(undefined);
      });
    }
    return { records, bytes };
  },
});
