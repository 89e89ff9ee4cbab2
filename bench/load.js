/**
 * The load generator: bare sockets of `node:net`, frames made beforehand, replies that are only counted while the
 * clock runs, and compared byte by byte before and behind it.
 */

import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { Connection, openSocket } from './connection.js';
import { makeScript } from './frames.js';
import { serveCalls } from './process.js';

/** Handshakes under way at once. */
const OPENING = 100;

/** @type {Connection[]} */
let connections = [];
/** @type {Connection[]} */
let kept = [];
/** Those that are used again, by port. @type {Map<number, Connection[]>} */
const lasting = new Map();
/** @type {any} */
let load;

let spinning = false;
/** Replies before the load began. */
let began = 0;

/** Looks for replies without ever going to sleep: to wake this process up would cost the measured one. */
function spin() {
  if (spinning) setImmediate(spin);
}

const replies = () => connections.reduce((sum, { replies }) => sum + replies, 0);
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** Runs `work` for all connections, so many at once. */
async function forAll(
  /** @type {number} */ most,
  /** @type {(connection: Connection) => Promise<void>} */ work,
) {
  let next = 0;
  const workers = Array.from({ length: Math.min(most, connections.length) }, async () => {
    while (next < connections.length) await work(connections[next++]);
  });
  await Promise.all(workers);
}

/** Resolves when `done()`. */
async function until(/** @type {() => boolean} */ done, /** @type {string} */ what) {
  const deadline = performance.now() + 60_000;
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`Waited for a minute: ${what}`);
    await delay(1);
  }
}

/** Opens the connections of a workload. */
async function open(/** @type {any} */ options) {
  load = options;
  const script = makeScript(options);
  const checked = options.skipAccept ? '' : 'accepted';
  connections = Array.from({ length: options.connections }, (_, i) => new Connection(script, i === 0));
  if (options.pingInterval > 0 && options.answers) for (const each of connections) each.answerPings();
  await forAll(OPENING, (connection) => connection.open(options.port, checked));
}

serveCalls({
  open,

  /** The same, unless those of this port are open already. */
  async openOnce(options) {
    const before = lasting.get(options.port);
    if (before === undefined) {
      await open(options);
      lasting.set(options.port, connections);
    } else {
      load = options;
      connections = before;
    }
  },

  /** Each connection keeps `window` messages in flight; with `broadcast`, the first one alone, and all have the replies. */
  start({ broadcast = false } = {}) {
    began = replies();
    spinning = true;
    spin();
    for (const connection of connections) connection.check(true);
    if (!broadcast) {
      for (const connection of connections) connection.keep(load.window);
      return;
    }
    const [first] = connections;
    const before = first.sent;
    let received = 0;
    for (const connection of connections) {
      connection.onreplies = (count) => {
        received += count;
        first.send(before + Math.floor(received / connections.length) + load.window - first.sent);
      };
    }
    first.send(load.window);
  },

  /** Messages that came back meanwhile, and the share of the core that this process used. */
  async measure({ milliseconds }) {
    for (const connection of connections) connection.check(false);
    const before = { replies: replies(), cpu: cpu(), now: performance.now() };
    await delay(milliseconds);
    const microseconds = (performance.now() - before.now) * 1e3;
    return {
      rate: ((replies() - before.replies) / microseconds) * 1e6,
      busy: (cpu() - before.cpu) / microseconds,
      seconds: microseconds / 1e6,
    };
  },

  /** Ends the load; throws unless all that was sent came back. */
  async stop({ broadcast = false } = {}) {
    spinning = false;
    for (const connection of connections) {
      connection.check(true);
      connection.onreplies = null;
    }
    const sent = () => connections.reduce((sum, { sent }) => sum + sent, 0);
    const wanted = () => (broadcast ? sent() * connections.length : sent());
    await until(() => replies() === wanted(), `${replies()} of ${wanted()} replies`);
    for (const connection of connections) connection.verify();
    return { replySize: connections[0].meanReplySize, replies: replies() - began };
  },

  /** Each connection sends so many messages, one in flight; `concurrency` connections at once. */
  async exchange({ messages, concurrency }) {
    for (const connection of connections) connection.check(true);
    await forAll(concurrency, (connection) => connection.exchange(messages));
    for (const connection of connections) connection.verify();
  },

  /**
   * Messages at a fixed rate, whether or not those before have come back: percentiles of the time from when each was
   * due, in milliseconds.
   */
  async latency({ rate, milliseconds }) {
    /** @type {number[]} */
    const taken = [];
    for (const connection of connections) {
      connection.check(false);
      /** @type {number[]} */
      const due = [];
      connection.due = due;
      connection.onreplies = (count) => {
        const now = performance.now();
        for (let i = 0; i < count; i++) taken.push(now - /** @type {number} */ (due.shift()));
      };
    }
    const began = performance.now();
    const total = Math.floor((rate * milliseconds) / 1e3);
    for (let sent = 0; sent < total; ) {
      const most = Math.min(total, Math.floor(((performance.now() - began) * rate) / 1e3));
      for (; sent < most; sent++) {
        const connection = connections[sent % connections.length];
        connection.due.push(began + (sent * 1e3) / rate);
        connection.send(1);
      }
      await turn();
    }
    await until(() => taken.length === total, 'the last replies');
    taken.sort((a, b) => a - b);
    const at = (/** @type {number} */ share) => taken[Math.min(total - 1, Math.floor(total * share))];
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999), count: total };
  },

  /** Handshakes a second: open, upgrade, reset, again. */
  async handshakes({ port, bare, concurrency, milliseconds }) {
    const end = performance.now() + milliseconds;
    let count = 0;
    const began = performance.now();
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        while (performance.now() < end) {
          const socket = await openSocket(port, bare ? '' : 'accepted');
          socket.resetAndDestroy();
          count++;
        }
      }),
    );
    return { rate: (count / (performance.now() - began)) * 1e3, count };
  },

  /** Sends one binary message of `size` bytes, chunk by chunk, and compares what comes back. */
  async stream({ port, size }) {
    const connection = new Connection(makeScript({ size: 1, window: 1, bare: false }), false);
    await connection.open(port, 'accepted');
    const began = performance.now();
    await connection.stream(size);
    const seconds = (performance.now() - began) / 1e3;
    connection.close();
    return { seconds };
  },

  /** Each connection sends so many bytes, as far as the server takes them, and reads nothing; for so long. */
  async flood({ bytes, milliseconds }) {
    const end = performance.now() + milliseconds;
    for (const connection of connections) connection.deafen();
    await forAll(connections.length, (connection) => connection.flood(bytes, end));
    await delay(Math.max(0, end - performance.now()));
  },

  /** Answers Pings, for connections that are idle. */
  answerPings() {
    for (const connection of connections) connection.answerPings();
  },

  /** Resolves when each connection has answered a Ping. */
  firstPings: () => until(() => connections.every(({ pings }) => pings > 0), 'the first Pings'),

  pings: () => connections.reduce((sum, { pings }) => sum + pings, 0),

  /** The connections stay open, and take no part in what follows. */
  keep() {
    kept = connections;
    connections = [];
  },

  /** Ends all connections. */
  async close() {
    for (const connection of [...kept, ...connections, ...[...lasting.values()].flat()]) connection.close();
    kept = [];
    lasting.clear();
    connections = [];
    await delay(20);
  },
});
