/** One measurement of one peer. Servers live as long as their row, the load generator as long as the bench. */

import { setTimeout as delay } from 'node:timers/promises';
import { DRIVER, MEASURED, startProcess } from './process.js';

/**
 * @typedef {{ value: number, [detail: string]: any }} Sample `cost`: microseconds of CPU of the measured process for one message.
 * @typedef {{ warmup: number, window: number }} Times Milliseconds.
 * @typedef {ReturnType<typeof startProcess>} Process
 */

/** The process of a peer's server, or client. */
export function startPeer(
  /** @type {string} */ peer,
  /** @type {'server.js' | 'client.js'} */ file,
  /** @type {Record<string, string>} */ env = {},
) {
  const all = { WS_NO_BUFFER_UTIL: peer === 'ws+bufferutil' ? '' : '1', ...env };
  return startProcess(file, { core: MEASURED, args: [peer.replace('+bufferutil', '')], env: all });
}

export function startLoad() {
  return startProcess('load.js', { core: DRIVER });
}

/** Messages, or deliveries, a second; with what the processes used meanwhile. @returns {Promise<Sample>} */
async function throughput(/** @type {Context} */ { server, load, port, peer, row, times, keep }) {
  const broadcast = row.kind === 'broadcast';
  const bare = peer === 'net';
  const options = { ...row.load, port, bare: bare && !broadcast, skipAccept: bare };
  const lasts = keep || row.stalls;
  await load.call(lasts ? 'openOnce' : 'open', options);
  const idle = await server.call('cpu');
  await load.call('start', { broadcast });
  if (row.stalls) await server.call('watchStalls');
  await delay(times.warmup);
  if (row.stalls) await server.call('watchStalls');
  const before = await server.call('cpu');
  const { rate, busy, seconds } = await load.call('measure', { milliseconds: times.window });
  const used = ((await server.call('cpu')) - before) / 1e6 / seconds;
  const stalls = row.stalls ? await server.call('longestStalls') : {};
  const { replySize, replies } = await load.call('stop', { broadcast });
  const cost = ((await server.call('cpu')) - idle) / replies;
  if (!lasts) await load.call('close');
  return { value: rate, serverBusy: used, loadBusy: busy, replySize, cost, ...stalls };
}

/** An exchange that is not counted, behind which there is nothing left to compile, nor to collect of the handshakes. */
async function settle(/** @type {Context} */ context) {
  const { load, server, port, row, times } = context;
  await load.call('openOnce', { ...row.load, port });
  await server.call('collect');
  await throughput({ ...context, times: { ...times, warmup: times.window * 5 } });
}

/** A server process that this measurement has for itself, as memory does not come back. */
async function withServer(
  /** @type {Context} */ { peer, row, env },
  /** @type {(server: Process, port: number) => any} */ use,
) {
  const server = startPeer(peer, 'server.js', env);
  try {
    return await use(
      server,
      await server.call('listen', { behaviour: row.load.behaviour ?? 'echo', options: row.load }),
    );
  } finally {
    server.stop();
  }
}

/**
 * Bytes of a server's memory: resident, without the young generation of its heap, and what JavaScript objects take.
 *
 * @returns {Promise<{ rss: number, heap: number }>}
 */
async function memoryOf(/** @type {Process} */ server) {
  const { rss, young, heap } = await server.call('memory');
  return { rss: rss - young, heap };
}

export const kinds = {
  echo: throughput,
  broadcast: throughput,

  /** @returns {Promise<Sample>} */
  async client({ server, client, port, row, times }) {
    await client.call('open', { ...row.load, port });
    await delay(times.warmup);
    const before = await server.call('cpu');
    const { rate, busy, seconds } = await client.call('measure', { milliseconds: times.window });
    const used = ((await server.call('cpu')) - before) / 1e6 / seconds;
    const { replies, cpu } = await client.call('close');
    return { value: rate, serverBusy: used, loadBusy: busy, cost: cpu / replies };
  },

  /** @returns {Promise<Sample>} */
  async handshakes({ load, server, port, peer, row, times }) {
    const work = { port, bare: peer === 'net', concurrency: row.load.concurrency };
    await load.call('handshakes', { ...work, milliseconds: times.warmup });
    const before = await server.call('cpu');
    const { rate, count } = await load.call('handshakes', { ...work, milliseconds: times.window });
    return { value: rate, cost: ((await server.call('cpu')) - before) / count };
  },

  /** At half of the load that the peer bears in the same round. @returns {Promise<Sample>} */
  async latency(context) {
    const { load, port, peer, row, times } = context;
    const { value: peak } = await throughput({ ...context, keep: false });
    await load.call('open', { ...row.load, port, bare: peer === 'net', skipAccept: peer === 'net' });
    const { p50, p99, p999 } = await load.call('latency', { rate: peak / 2, milliseconds: times.window * 2 });
    await load.call('close');
    return { value: p50, p99, p999, peak };
  },

  /** Bytes of one more connection. @returns {Promise<Sample>} */
  memory: (context) =>
    withServer(context, async (server, port) => {
      const { load, peer, row } = context;
      const { connections, messages = 0, pingInterval = 0 } = row.load;
      /** What the server has with `count` more connections, each of which exchanged its messages and one Ping. */
      const withMore = async (/** @type {number} */ count) => {
        const bare = peer === 'net';
        const answers = pingInterval > 0;
        await load.call('open', { ...row.load, port, bare, skipAccept: bare, connections: count, answers });
        if (messages > 0) await load.call('exchange', { messages, concurrency: 50 });
        if (answers) await load.call('firstPings');
        return memoryOf(server);
      };
      // The first ones do not count: the process compiles, and its heap grows
      const before = await withMore(connections / 2);
      await load.call('keep');
      const after = await withMore(connections);
      await load.call('close');
      const rss = (after.rss - before.rss) / connections;
      const heap = (after.heap - before.heap) / connections;
      return row.measures === 'heap' ? { value: heap, rss } : { value: rss, heap };
    }),

  /** Resident bytes a connection, and the share of a core that keepalive takes. @returns {Promise<Sample>} */
  idle: (context) =>
    withServer(context, async (server, port) => {
      const { load, row, times } = context;
      const { connections, pingInterval } = row.load;
      const { rss: idle } = await memoryOf(server);
      await load.call('open', { size: 1, window: 1, bare: false, connections, port });
      await load.call('answerPings');
      const { rss } = await memoryOf(server);
      // The first Ping builds what a connection needs to send: it is not counted
      await delay(pingInterval * 1.2);
      const rounds = Math.max(1, Math.round((times.window * 10) / pingInterval));
      const before = {
        cpu: await server.call('cpu'),
        pings: await load.call('pings'),
        now: performance.now(),
      };
      await delay(rounds * pingInterval);
      const milliseconds = performance.now() - before.now;
      const cpu = ((await server.call('cpu')) - before.cpu) / 1e3 / milliseconds;
      const pings = (await load.call('pings')) - before.pings;
      const { rss: pinged } = await memoryOf(server);
      await load.call('close');
      return { value: (rss - idle) / connections, pinged: (pinged - idle) / connections, cpu, pings };
    }),

  /** Peak memory of the server over what it had before. @returns {Promise<Sample>} */
  stream: (context) =>
    withServer(
      { ...context, row: { ...context.row, load: { behaviour: 'stream' } } },
      async (server, port) => {
        const { rss } = await server.call('memory');
        const { seconds } = await context.load.call('stream', { port, size: context.row.load.size });
        const { peak } = await server.call('memory');
        return { value: peak - rss, seconds };
      },
    ),
};

/**
 * @typedef {object} Context
 * @property {string} peer
 * @property {Record<string, string>} [env] Of the measured process.
 * @property {import('./rows.js').Row} row
 * @property {Times} times
 * @property {Process} load
 * @property {Process} server
 * @property {Process} [client]
 * @property {number} port
 * @property {boolean} [keep] Connections stay open from round to round.
 * @property {() => void} stop Ends the processes that it started.
 */

/** Starts the processes that measure one peer in one row. @returns {Promise<Context>} */
export async function startContext(/** @type {Omit<Context, 'server' | 'port' | 'stop'>} */ context) {
  const { peer, env, row, load } = context;
  // Memory does not come back: each measurement of it starts a server of its own
  if (row.kind in { memory: 1, idle: 1, stream: 1 }) return { ...context, server: load, port: 0, stop() {} };
  const started =
    row.kind === 'client'
      ? [startProcess('server.js', { core: DRIVER, args: ['replies'] }), startPeer(peer, 'client.js', env)]
      : [startPeer(peer, 'server.js', env)];
  const stop = () => {
    for (const child of started) child.stop();
  };
  const [server, client] = started;
  try {
    const behaviour = row.load.behaviour ?? 'echo';
    const port = await server.call('listen', { behaviour, options: row.load });
    return { ...context, server, client, port, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

/** Measures `row` so many rounds, the peers in turn. @returns {Promise<Record<string, Sample[]>>} */
export async function measureRow(
  /** @type {import('./rows.js').Row} */ row,
  /** @type {{ peers: string[], rounds: number, times: Times, load: Process }} */ {
    peers,
    rounds,
    times,
    load,
  },
) {
  /** @type {Context[]} */
  const contexts = [];
  try {
    for (const peer of peers) contexts.push(await startContext({ peer, row, times, load }));
    /** @type {Record<string, Sample[]>} */
    const samples = Object.fromEntries(peers.map((peer) => [peer, []]));
    if (row.stalls) for (const context of contexts) await settle(context);
    for (let round = 0; round < rounds; round++) {
      // Every other round backwards: nobody has the better place
      for (const context of round % 2 === 0 ? contexts : contexts.toReversed()) {
        samples[context.peer].push(await kinds[row.kind](context));
      }
    }
    if (row.stalls) await load.call('close');
    return samples;
  } finally {
    for (const { stop } of contexts) stop();
  }
}
