// @ts-check
/**
 * `npm run bench:memory`: where the bytes of an idle connection are, by kind of object.
 *
 *     --connections N   that are opened, over loopback (1000)
 *     --peer NAME       sluice, or another of bench/peers (sluice)
 *     --pinged          after the first keepalive Ping of each
 *     --deflate         permessage-deflate is negotiated
 *     --messages N      that each connection exchanges first, 300 bytes of JSON (0)
 *     --least BYTES     a connection, below which a kind is not listed (8)
 *
 * Two heap snapshots of the server, before and after: what grew, a connection. An object that says little of
 * itself (an array, a closure, a plain object) is listed with the object that holds it.
 */

import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startLoad, startPeer } from './measure.js';

const { values: options } = parseArgs({
  options: {
    connections: { type: 'string', default: '1000' },
    peer: { type: 'string', default: 'sluice' },
    pinged: { type: 'boolean', default: false },
    deflate: { type: 'boolean', default: false },
    messages: { type: 'string', default: '0' },
    least: { type: 'string', default: '8' },
  },
});
const count = Number(options.connections);
const messages = Number(options.messages);
const PING_INTERVAL = 2000;
/** Connections that are open already: what the first ones make the process keep is no part of one more. */
const FIRST = 200;

/** Kinds of nodes whose name says what they are. */
const NAMED = new Set(['object', 'native']);
/** Names that many unrelated objects have. */
const VAGUE = new Set([
  'Object',
  'Array',
  'Map',
  'Set',
  'Symbol',
  'Function',
  'ArrayBuffer',
  'Buffer',
  'Promise',
]);

/**
 * @typedef {{ objects: number, bytes: number }} Size
 * @typedef {object} Snapshot
 * @property {{ meta: { node_fields: string[], node_types: any[], edge_fields: string[], edge_types: any[] } }} snapshot
 * @property {number[]} nodes
 * @property {number[]} edges
 * @property {string[]} strings
 */

/** Objects and bytes of each kind. @returns {Map<string, Size>} */
function sizesOf(/** @type {Snapshot} */ { snapshot: { meta }, nodes, edges, strings }) {
  const nodeSize = meta.node_fields.length;
  const edgeSize = meta.edge_fields.length;
  const field = (/** @type {string} */ name) => meta.node_fields.indexOf(name);
  const [type, name, selfSize, edgeCount] = ['type', 'name', 'self_size', 'edge_count'].map(field);
  const types = meta.node_types[/** @type {number} */ (type)];
  const edgeTypes = meta.edge_types[0];
  const total = nodes.length / nodeSize;
  const at = (/** @type {number} */ node, /** @type {number | undefined} */ offset) =>
    /** @type {number} */ (nodes[node * nodeSize + /** @type {number} */ (offset)]);
  const nameOf = (/** @type {number} */ node) => /** @type {string} */ (strings[at(node, name)]);
  const typeOf = (/** @type {number} */ node) => types[at(node, type)];

  const firstEdge = new Uint32Array(total + 1);
  for (let node = 0; node < total; node++) firstEdge[node + 1] = (firstEdge[node] ?? 0) + at(node, edgeCount);
  /** By which edge each node is reached first, breadth first from the root. */
  const holder = new Int32Array(total).fill(-1);
  const by = new Int32Array(total);
  const queue = [0];
  holder[0] = 0;
  for (let next = 0; next < queue.length; next++) {
    const node = /** @type {number} */ (queue[next]);
    const end = /** @type {number} */ (firstEdge[node + 1]);
    for (let edge = /** @type {number} */ (firstEdge[node]); edge < end; edge++) {
      if (edgeTypes[/** @type {number} */ (edges[edge * edgeSize])] === 'weak') continue;
      const to = /** @type {number} */ (edges[edge * edgeSize + 2]) / nodeSize;
      if (holder[to] !== -1) continue;
      holder[to] = node;
      by[to] = edge;
      queue.push(to);
    }
  }

  const edgeName = (/** @type {number} */ edge) => {
    const kind = edgeTypes[/** @type {number} */ (edges[edge * edgeSize])];
    const value = /** @type {number} */ (edges[edge * edgeSize + 1]);
    return kind === 'element' || kind === 'hidden' ? '[]' : /** @type {string} */ (strings[value]);
  };
  /** Up to the first object whose class says something. */
  const labelOf = (/** @type {number} */ node) => {
    let label = nameOf(node).slice(0, 40) || `(${typeOf(node)})`;
    if (typeOf(node) === 'closure') label = `function ${nameOf(node)}`;
    if (typeOf(node) === 'string' || typeOf(node) === 'concatenated string') label = '(string)';
    if (NAMED.has(typeOf(node)) && !VAGUE.has(nameOf(node))) return label;
    let path = '';
    let current = node;
    for (let i = 0; i < 6 && current !== 0; i++) {
      path = `.${edgeName(/** @type {number} */ (by[current]))}${path}`;
      current = /** @type {number} */ (holder[current]);
      if (NAMED.has(typeOf(current)) && !VAGUE.has(nameOf(current))) break;
    }
    return `${label}  <- ${nameOf(current).slice(0, 40)}${path}`;
  };

  /** @type {Map<string, Size>} */
  const sizes = new Map();
  for (let node = 0; node < total; node++) {
    const bytes = at(node, selfSize);
    if (bytes === 0 || holder[node] === -1) continue;
    const label = labelOf(node);
    const size = sizes.get(label) ?? { objects: 0, bytes: 0 };
    size.objects++;
    size.bytes += bytes;
    sizes.set(label, size);
  }
  return sizes;
}

const load = startLoad();
const server = startPeer(options.peer, 'server.js');
const keepalive = options.pinged ? { pingInterval: PING_INTERVAL, answers: true } : {};
const bare = options.peer === 'net';
const work = {
  ...{ size: 300, window: 1, kind: 'json', bare, skipAccept: bare },
  ...{ deflate: options.deflate, ...keepalive },
};
const port = await server.call('listen', { behaviour: 'echo', options: work });

/** What the server holds with `more` connections. */
async function withMore(/** @type {number} */ more) {
  await load.call('open', { ...work, port, connections: more });
  if (messages > 0) await load.call('exchange', { messages, concurrency: 50 });
  if (options.pinged) await load.call('firstPings');
  await load.call('keep');
  const { heap } = await server.call('memory');
  const file = join(tmpdir(), `sluice-${process.pid}.heapsnapshot`);
  await server.call('snapshot', file);
  const sizes = sizesOf(JSON.parse(readFileSync(file, 'utf8')));
  rmSync(file);
  return { heap, sizes };
}

const before = await withMore(FIRST);
const after = await withMore(count);
const all = [...after.sizes].map(([label, { objects, bytes }]) => {
  const size = before.sizes.get(label) ?? { objects: 0, bytes: 0 };
  return { label, objects: (objects - size.objects) / count, bytes: (bytes - size.bytes) / count };
});
load.stop();
server.stop();

const state = `${options.pinged ? ' after its first Ping' : ''}${messages > 0 ? `, ${messages} messages` : ''}`;
console.log(
  `${options.peer}, Node ${process.version}: one of ${count} idle connections${options.deflate ? ' with permessage-deflate' : ''}${state}\n`,
);
console.log('   bytes  objects  kind');
const line = (/** @type {number} */ bytes, /** @type {number} */ objects, /** @type {string} */ label) =>
  console.log(`${bytes.toFixed(0).padStart(8)} ${objects.toFixed(2).padStart(8)}  ${label}`);
const listed = all.filter(({ bytes }) => bytes >= Number(options.least)).sort((a, b) => b.bytes - a.bytes);
for (const { bytes, objects, label } of listed) line(bytes, objects, label);
const sum = (/** @type {typeof all} */ some) => some.reduce((total, { bytes }) => total + bytes, 0);
line(sum(all) - sum(listed), 0, '(less than that each)');
const total = (/** @type {number} */ bytes, /** @type {string} */ what) =>
  console.log(`${bytes.toFixed(0).padStart(8)}           ${what}`);
total(sum(all), 'in the snapshot, native memory of Node included');
total((after.heap - before.heap) / count, 'heapUsed + external of process.memoryUsage()');
process.exit();
