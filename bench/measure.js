/** One measurement of one peer. Servers live as long as their row, the load generator as long as the bench. */

import { setTimeout as delay } from 'node:timers/promises';
import { DRIVER, MEASURED, startProcess } from './process.js';

/**
 * @typedef {{ value: number, [detail: string]: any }} Sample
 * @typedef {{ warmup: number, window: number }} Times Milliseconds.
 * @typedef {ReturnType<typeof startProcess>} Process
 */

/** The process of a peer's server, or client. */
export function startPeer(/** @type {string} */ peer, /** @type {'server.js' | 'client.js'} */ file) {
  const env = { WS_NO_BUFFER_UTIL: peer === 'ws+bufferutil' ? '' : '1' };
  return startProcess(file, { core: MEASURED, args: [peer.replace('+bufferutil', '')], env });
}

export function startLoad() {
  return startProcess('load.js', { core: DRIVER });
}

/** Messages, or deliveries, a second; with what the processes used meanwhile. @returns {Promise<Sample>} */
async function throughput(/** @type {Context} */ { server, load, port, peer, row, times }) {
  const broadcast = row.kind === 'broadcast';
  const bare = peer === 'net';
  const options = { ...row.load, port, bare: bare && !broadcast, skipAccept: bare };
  await load.call(row.stalls ? 'openOnce' : 'open', options);
  await load.call('start', { broadcast });
  if (row.stalls) await server.call('watchStalls');
  await delay(times.warmup);
  if (row.stalls) await server.call('watchStalls');
  const before = await server.call('cpu');
  const { rate, busy, seconds } = await load.call('measure', { milliseconds: times.window });
  const used = ((await server.call('cpu')) - before) / 1e6 / seconds;
  const stalls = row.stalls ? await server.call('longestStalls') : {};
  const { replySize } = await load.call('stop', { broadcast });
  if (!row.stalls) await load.call('close');
  return { value: rate, serverBusy: used, loadBusy: busy, replySize, ...stalls };
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
  /** @type {Context} */ { peer, row },
  /** @type {(server: Process, port: number) => any} */ use,
) {
  const server = startPeer(peer, 'server.js');
  try {
    return await use(
      server,
      await server.call('listen', { behaviour: row.load.behaviour ?? 'echo', options: row.load }),
    );
  } finally {
    server.stop();
  }
}

/** Resident bytes of a server, without the young generation of its heap. @returns {Promise<number>} */
async function resident(/** @type {Process} */ server) {
  const { rss, young } = await server.call('memory');
  return rss - young;
}

const kinds = {
  echo: throughput,
  broadcast: throughput,

  /** @returns {Promise<Sample>} */
  async client({ server, client, port, row, times }) {
    await client.call('open', { ...row.load, port });
    await delay(times.warmup);
    const before = await server.call('cpu');
    const { rate, busy, seconds } = await client.call('measure', { milliseconds: times.window });
    const used = ((await server.call('cpu')) - before) / 1e6 / seconds;
    await client.call('close');
    return { value: rate, serverBusy: used, loadBusy: busy };
  },

  /** @returns {Promise<Sample>} */
  async handshakes({ load, port, peer, row, times }) {
    const work = { port, bare: peer === 'net', concurrency: row.load.concurrency };
    await load.call('handshakes', { ...work, milliseconds: times.warmup });
    const { rate } = await load.call('handshakes', { ...work, milliseconds: times.window });
    return { value: rate };
  },

  /** At half of the load that the peer bears in the same round. @returns {Promise<Sample>} */
  async latency(context) {
    const { load, port, peer, row, times } = context;
    const { value: peak } = await throughput(context);
    await load.call('open', { ...row.load, port, bare: peer === 'net', skipAccept: peer === 'net' });
    const { p50, p99, p999 } = await load.call('latency', { rate: peak / 2, milliseconds: times.window * 2 });
    await load.call('close');
    return { value: p50, p99, p999, peak };
  },

  /** Resident bytes of one more connection. @returns {Promise<Sample>} */
  memory: (context) =>
    withServer(context, async (server, port) => {
      const { load, peer, row } = context;
      const { connections, messages = 0 } = row.load;
      /** What the server has when there are so many more, each of which exchanged its messages. */
      const withMore = async (/** @type {number} */ count) => {
        const bare = peer === 'net';
        await load.call('open', { ...row.load, port, bare, skipAccept: bare, connections: count });
        if (messages > 0) await load.call('exchange', { messages, concurrency: 50 });
        return resident(server);
      };
      // Of what one more costs, what the first ones make the process compile, and its heap grow to, is no part
      const before = await withMore(connections / 2);
      await load.call('keep');
      const after = await withMore(connections);
      await load.call('close');
      return { value: (after - before) / connections };
    }),

  /** Resident bytes a connection, and the share of a core that keepalive takes. @returns {Promise<Sample>} */
  idle: (context) =>
    withServer(context, async (server, port) => {
      const { load, row, times } = context;
      const { connections, pingInterval } = row.load;
      const idle = await resident(server);
      await load.call('open', { size: 1, window: 1, bare: false, connections, port });
      await load.call('answerPings');
      const rss = await resident(server);
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
      const pinged = await resident(server);
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
 * @property {import('./rows.js').Row} row
 * @property {Times} times
 * @property {Process} load
 * @property {Process} server
 * @property {Process} [client]
 * @property {number} port
 */

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
  const own = row.kind === 'memory' || row.kind === 'idle' || row.kind === 'stream';
  /** @type {Context[]} */
  const contexts = [];
  const started = [];
  try {
    for (const peer of peers) {
      const context = { peer, row, times, load };
      if (row.kind === 'client') {
        const server = startProcess('server.js', { core: DRIVER, args: ['replies'] });
        const client = startPeer(peer, 'client.js');
        started.push(server, client);
        contexts.push({
          ...context,
          server,
          client,
          port: await server.call('listen', { options: row.load }),
        });
      } else if (!own) {
        const server = startPeer(peer, 'server.js');
        started.push(server);
        const port = await server.call('listen', {
          behaviour: row.load.behaviour ?? 'echo',
          options: row.load,
        });
        contexts.push({ ...context, server, port });
      } else contexts.push({ ...context, server: load, port: 0 });
    }
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
    for (const child of started) child.stop();
  }
}
