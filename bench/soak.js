/**
 * `npm run soak`: what a server's memory does under load that lasts.
 *
 *     --minutes N   of full load (10)
 *     --only NAME   load, slow-readers or churn alone
 *
 * Prints resident memory at the start, at its peak and at the end; fails when the end is far above the start.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startLoad, startPeer } from './measure.js';

const { values: options } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, only: { type: 'string' } },
});
const minutes = Number(options.minutes);
const MIB = 2 ** 20;
const mib = (/** @type {number} */ bytes) => `${(bytes / MIB).toFixed(1)} MiB`;
let failed = 0;

/** @typedef {ReturnType<typeof startLoad>} Process */

/** Looks at the memory of `server` each second until `work` is done. */
async function watch(/** @type {Process} */ server, /** @type {Promise<any>} */ work) {
  let done = false;
  const finished = work.finally(() => {
    done = true;
  });
  let peak = 0;
  while (!done) {
    peak = Math.max(peak, await server.call('rss'));
    await Promise.race([finished, delay(1000)]);
  }
  await finished;
  return peak;
}

function tell(
  /** @type {string} */ name,
  /** @type {Record<string, string>} */ figures,
  /** @type {boolean} */ ok,
) {
  if (!ok) failed++;
  const list = Object.entries(figures).map(([what, figure]) => `${what} ${figure}`);
  console.log(`${ok ? 'ok    ' : 'FAILED'}  ${name}: ${list.join(', ')}`);
}

/** @type {Record<string, (server: Process, load: Process) => Promise<void>>} */
const scenarios = {
  /** 100 connections, 16 messages of 1 KiB in flight on each, for minutes; no Ping between them, which would be compared. */
  async load(server, load) {
    const port = await server.call('listen', { behaviour: 'echo', options: { pingInterval: 0 } });
    await load.call('open', { port, connections: 100, size: 1024, window: 16, bare: false });
    await load.call('start', {});
    // Memory grows to what full load needs first
    await delay(40_000);
    const { rss: start } = await server.call('memory');
    let messages = 0;
    const work = async () => {
      for (let i = 0; i < minutes * 6; i++) {
        const { rate, seconds } = await load.call('measure', { milliseconds: 10_000 });
        messages += rate * seconds;
      }
    };
    const peak = await watch(server, work());
    const { rss: end } = await server.call('memory');
    await load.call('stop', {});
    await load.call('close');
    const count = `${(messages / 1e6).toFixed(1)} M`;
    tell(
      `${minutes} minutes of full load`,
      { start: mib(start), peak: mib(peak), end: mib(end), messages: count },
      end < start * 1.2 + 16 * MIB,
    );
  },

  /** 1,000 peers send, and never read what is echoed; the server's application does not look at `bufferedAmount`. */
  async 'slow-readers'(server, load) {
    const maxBufferedAmount = 256 * 1024;
    const port = await server.call('listen', { behaviour: 'echo', options: { maxBufferedAmount } });
    const { rss: start } = await server.call('memory');
    await load.call('open', { port, connections: 1000, size: 16_384, window: 1, bare: false });
    const peak = await watch(server, load.call('flood', { bytes: 16 * MIB, milliseconds: 20_000 }));
    const { open, port: same } = await server.call('connections');
    await load.call('close');
    while ((await server.call('connections')).open > 0) await delay(50);
    const { rss: end } = await server.call('memory');
    const bound = start + 1000 * (maxBufferedAmount + 128 * 1024) + 64 * MIB;
    tell(
      '1,000 peers that never read, maxBufferedAmount 256 KiB',
      { start: mib(start), peak: mib(peak), bound: mib(bound), end: mib(end), 'still open': String(open) },
      same === port && peak < bound,
    );
  },

  /** 10,000 connections that stay, and others that come and go meanwhile. */
  async churn(server, load) {
    const port = await server.call('listen', { behaviour: 'echo', options: { pingInterval: 5000 } });
    const { rss: idle } = await server.call('memory');
    await load.call('open', { port, connections: 10_000, size: 1, window: 1, bare: false });
    await load.call('answerPings');
    const { rss: start } = await server.call('memory');
    let count = 0;
    const work = async () => {
      for (let i = 0; i < 6; i++) {
        const { rate } = await load.call('handshakes', {
          port,
          bare: false,
          concurrency: 50,
          milliseconds: 5000,
        });
        count += rate * 5;
      }
    };
    const peak = await watch(server, work());
    const { rss: end } = await server.call('memory');
    const { open } = await server.call('connections');
    await load.call('close');
    while ((await server.call('connections')).open > 0) await delay(50);
    tell(
      '10,000 connections, others come and go',
      {
        empty: mib(idle),
        start: mib(start),
        peak: mib(peak),
        end: mib(end),
        'came and went': count.toFixed(0),
        open: String(open),
      },
      open === 10_000 && end < start * 1.2 + 32 * MIB,
    );
  },
};

for (const [name, run] of Object.entries(scenarios)) {
  if (options.only !== undefined && options.only !== name) continue;
  const server = startPeer('sluice', 'server.js');
  const load = startLoad();
  try {
    await run(server, load);
  } finally {
    server.stop();
    load.stop();
  }
}
process.exit(failed === 0 ? 0 : 1);
