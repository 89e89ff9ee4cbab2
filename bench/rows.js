/** What is measured. Figures to reach are ratios: `ws` against the `ws` package, `net` against bare `node:net`. */

const KIB = 1024;
const MIB = 1024 * KIB;

/** How many times the rounds tell sides apart that are close to each other. */
export const CLOSE = 3;

const servers = ['sluice', 'ws', 'ws+bufferutil', 'websocket', 'faye-websocket', 'uws', 'net'];
const compressing = ['sluice', 'ws', 'uws'];

/**
 * @typedef {object} Row
 * @property {string} id
 * @property {string} title
 * @property {'echo' | 'broadcast' | 'client' | 'handshakes' | 'latency' | 'memory' | 'idle' | 'stream'} kind
 * @property {string} unit
 * @property {string[]} peers
 * @property {Record<string, number>} [targets] Ratios to reach, by peer.
 * @property {number} [rounds] At the most.
 * @property {boolean} [close] The sides are close to each other: {@link CLOSE}.
 * @property {boolean} [stalls] The longest stalls of the event loop are told, of connections that stay open from round to round.
 * @property {'heap'} [measures] Of memory: JavaScript heap and what it holds outside of it, not what is resident.
 * @property {boolean} [design] Whether the design names the row: the others are told for information.
 * @property {any} load
 */

/** @type {Row[]} */
export const rows = [
  echo('echo-20-64', 'echo, 20 B, 64 in flight', { connections: 10, size: 20, window: 64 }, { ws: 10 }),
  echo('echo-1k-16', 'echo, 1 KiB, 16 in flight', { connections: 10, size: KIB, window: 16 }, { ws: 3 }),
  {
    ...echo(
      'echo-20-1',
      'echo, 20 B, one in flight',
      { connections: 100, size: 20, window: 1 },
      { ws: 1.1, net: 0.95 },
    ),
    close: true,
  },
  {
    ...echo(
      'echo-1k-1',
      'echo, 1 KiB, one in flight',
      { connections: 100, size: KIB, window: 1 },
      { ws: 1.3, net: 0.95 },
    ),
    close: true,
  },
  echo(
    'echo-16k-1',
    'echo, 16 KiB, one in flight',
    { connections: 100, size: 16 * KIB, window: 1 },
    { ws: 1.8, net: 0.95 },
  ),
  echo(
    'echo-1m-1',
    'echo, 1 MiB, one in flight',
    { connections: 4, size: MIB, window: 1 },
    { ws: 1.5, net: 0.9 },
  ),
  broadcast('broadcast-100', 'broadcast to 500, 100 B', 100),
  broadcast('broadcast-1000', 'broadcast to 500, 1000 B', 1000),
  {
    id: 'client-20-64',
    title: 'client, 20 B, 64 in flight',
    kind: 'client',
    unit: 'messages/s',
    peers: ['sluice', 'ws', 'ws+bufferutil', 'undici'],
    targets: { ws: 8 },
    design: true,
    load: { connections: 10, size: 20, window: 64 },
  },
  deflate('deflate-300', 'permessage-deflate, 300 B JSON', 300, 5),
  deflate('deflate-16k', 'permessage-deflate, 16 KiB JSON', 16 * KIB, 1.5),
  {
    ...deflate('deflate-16k-level', 'permessage-deflate, 16 KiB JSON, both at level 6', 16 * KIB, 0, 6),
    targets: {},
    design: false,
  },
  memory('memory', 'memory, idle connection', { connections: 10_000, peers: servers, target: 0.8 }),
  {
    ...memory(
      'memory-pinged',
      'memory, idle connection, after its first keepalive Ping: JavaScript objects',
      {
        connections: 10_000,
        peers: ['sluice', 'ws', 'websocket', 'faye-websocket'],
        target: 0.7,
        pingInterval: 3000,
      },
    ),
    measures: 'heap',
  },
  memory('memory-deflate', 'memory, permessage-deflate, after one message', {
    connections: 2000,
    peers: compressing,
    target: 0.1,
    deflate: true,
    size: 300,
    messages: 1,
  }),
  memory('memory-deflate-1m', 'memory, permessage-deflate, after 1 MB each', {
    connections: 2000,
    peers: compressing,
    target: 0.35,
    deflate: true,
    size: 16 * KIB,
    messages: 64,
    most: 1,
  }),
  {
    id: 'stream-1g',
    title: 'streaming 1 GiB through an echo server: peak memory over idle',
    kind: 'stream',
    unit: 'bytes',
    peers: ['sluice'],
    rounds: 1,
    design: true,
    load: { size: 1024 * MIB, most: 64 * MIB },
  },
  {
    ...echo('echo-utf8', 'echo, 1 KiB of UTF-8 text, 16 in flight', {
      connections: 10,
      size: KIB,
      window: 16,
      kind: 'utf8',
    }),
    design: false,
  },
  {
    id: 'handshakes',
    title: 'handshakes, 50 at once',
    kind: 'handshakes',
    unit: 'handshakes/s',
    peers: servers,
    close: true,
    load: { concurrency: 50 },
  },
  {
    id: 'latency',
    title: 'latency at half of the peak load, 20 B, 100 connections',
    kind: 'latency',
    unit: 'ms',
    peers: ['sluice', 'ws', 'net'],
    load: { connections: 100, size: 20, window: 1 },
  },
  {
    id: 'idle-10k',
    title: '10,000 idle connections, a Ping each 5 s',
    kind: 'idle',
    unit: 'bytes',
    peers: ['sluice', 'ws'],
    rounds: 1,
    load: { connections: 10_000, pingInterval: 5000 },
  },
];

/** How cost grows: echo with one message in flight. */
export const curves = {
  sizes: {
    title: 'Echo by message size, 10 connections, one in flight',
    peers: ['sluice', 'ws', 'net'],
    points: Array.from({ length: 13 }, (_, i) => ({
      x: 4 ** i,
      connections: 4 ** i > MIB ? 2 : 10,
      size: 4 ** i,
      window: 1,
    })),
  },
  connections: {
    title: 'Echo by connections, 20 B, one in flight each',
    peers: ['sluice', 'ws', 'net'],
    points: [1, 10, 100, 1000, 10_000].map((x) => ({ x, connections: x, size: 20, window: 1 })),
  },
};

/** @returns {Row} */
function echo(id, title, load, targets = {}) {
  return { id, title, kind: 'echo', unit: 'messages/s', peers: servers, targets, design: true, load };
}

/** @returns {Row} */
function broadcast(id, title, size) {
  return {
    id,
    title,
    kind: 'broadcast',
    unit: 'deliveries/s',
    peers: servers,
    targets: { ws: 1.6, net: 0.95 },
    design: true,
    load: { connections: 500, size, window: 4, kind: 'same', behaviour: 'broadcast' },
  };
}

/** @returns {Row} */
function deflate(id, title, size, target, level) {
  return {
    id,
    title,
    kind: 'echo',
    unit: 'messages/s',
    peers: compressing,
    targets: { ws: target },
    stalls: true,
    design: true,
    load: { connections: 100, size, window: 1, kind: 'json', deflate: true, level },
  };
}

/** @returns {Row} */
function memory(id, title, { peers, target, most, ...load }) {
  return {
    id,
    title,
    kind: 'memory',
    unit: 'bytes',
    peers,
    rounds: most ?? 3,
    targets: { ws: target },
    design: true,
    load: { window: 1, size: 1, kind: 'json', ...load },
  };
}
