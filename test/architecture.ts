/**
 * The rules on `src`: which layer may import which, and what no file may contain.
 *
 *     cli                       the public API only; any module of Node
 *     toolkit   compat          the public API only
 *     index.ts  protocol.ts     the public API: what the layers below offer
 *     server    client          node:http, node:https, node:http2, node:net, node:tls
 *     connection                node:stream, node:events, node:async_hooks, node:diagnostics_channel
 *     extensions                node:zlib
 *     handshake                 no I/O; node:crypto
 *     protocol                  no I/O; node:buffer, node:crypto
 *     errors.ts  options.ts     import nothing
 *     turn.ts  deadline.ts      import nothing; set immediates and timers
 *     socket.ts                 node:net, node:tls, to recognize a socket; not for connection and below
 *
 * One concept a file: no file has more than 300 lines.
 */

import { posix } from 'node:path';
import { type Node, nodesOf } from './ast.js';

interface Layer {
  /** Imports go from a higher rank to a lower one, or stay inside the layer. */
  readonly rank: number;
  /** Built on the public API: imports nothing else of the package. */
  readonly publicOnly?: boolean;
  /** No I/O, no timers. */
  readonly pure?: boolean;
  /** Modules of Node by name without `node:`; absent means any. */
  readonly builtins?: readonly string[];
}

const core = ['buffer', 'crypto'];
const connection = ['async_hooks', 'buffer', 'diagnostics_channel', 'events', 'stream', 'stream/web'];
const network = [...connection, 'http', 'https', 'http2', 'net', 'tls'];

const layers = new Map<string, Layer>([
  ['cli', { rank: 8, publicOnly: true }],
  ['toolkit', { rank: 7, publicOnly: true, builtins: [] }],
  ['compat', { rank: 7, publicOnly: true, builtins: [] }],
  ['entry', { rank: 6, builtins: [] }],
  ['server', { rank: 5, builtins: network }],
  ['client', { rank: 5, builtins: network }],
  ['socket', { rank: 4, builtins: ['net', 'stream', 'tls'] }],
  ['connection', { rank: 4, builtins: connection }],
  ['extensions', { rank: 3, builtins: ['buffer', 'zlib'] }],
  ['handshake', { rank: 2, pure: true, builtins: core }],
  ['protocol', { rank: 1, pure: true, builtins: core }],
  ['errors', { rank: 0, pure: true, builtins: [] }],
  ['options', { rank: 0, pure: true, builtins: [] }],
  ['turn', { rank: 0, builtins: [] }],
  ['deadline', { rank: 0, builtins: [] }],
]);

/** Of any file of `src`. */
const maxLines = 300;
const timers = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'nextTick'];

/** The layer of a file, whose path is relative to `src`: its folder, or for a file of `src` itself its role. */
function layerOf(path: string): string {
  const [first = '', ...rest] = path.split('/');
  if (rest.length > 0) return first;
  if (path === 'index.ts' || path === 'protocol.ts') return 'entry';
  return first.replace(/\.ts$/, '');
}

/** What is wrong with a file of `src`: one line for each fault, empty when there is none. */
export function checkSource(path: string, text: string): string[] {
  const name = layerOf(path);
  const layer = layers.get(name);
  if (!layer) return [`${path}: belongs to no layer`];
  const faults: string[] = [];
  const lines = text.split('\n').length - 1;
  if (lines > maxLines) faults.push(`has ${lines} lines, over ${maxLines}`);
  for (const node of nodesOf(text)) {
    const specifier = importOf(node);
    const fault = specifier === undefined ? checkNode(node, name, layer) : checkImport(path, specifier);
    if (fault) faults.push(fault);
  }
  return faults.map((fault) => `${path}: ${fault}`);
}

/** What is wrong with the manifest: a package without runtime dependencies. */
export function checkManifest(manifest: Readonly<Record<string, unknown>>): string[] {
  return ['dependencies', 'optionalDependencies']
    .filter((field) => field in manifest)
    .map((field) => `package.json: has ${field}`);
}

function checkImport(path: string, specifier: string): string | undefined {
  const name = layerOf(path);
  const layer = layers.get(name)!;
  if (specifier.startsWith('node:')) {
    const allowed = layer.builtins?.includes(specifier.slice('node:'.length)) ?? true;
    return allowed ? undefined : `imports ${specifier}, which is not for ${name}`;
  }
  if (!specifier.startsWith('.')) return `imports the package ${specifier}`;
  const target = layerOf(posix.join(posix.dirname(path), specifier.replace(/\.js$/, '.ts')));
  if (target === name) return undefined;
  const below = layer.publicOnly ? target === 'entry' : (layers.get(target)?.rank ?? 9) < layer.rank;
  return below ? undefined : `imports ${specifier}: ${name} is not above ${target}`;
}

/** What a node imports: declarations, re-exports, `import()`, `import('x').Type` and `require()`. */
function importOf(node: Node): string | undefined {
  const required = node.type === 'CallExpression' && node.callee?.name === 'require';
  const source = required ? node.arguments?.[0] : node.source;
  if (!source) return undefined;
  return typeof source.value === 'string' ? source.value : '(computed)';
}

function checkNode(node: Node, name: string, { pure }: Layer): string | undefined {
  const property = nameOf(node.property) ?? '';
  const object = nameOf(node.object) ?? '';
  if (node.type === 'MemberExpression') {
    if (object === 'Math' && property === 'random') return 'uses Math.random';
    if (object === 'process' && property === 'binding') return 'uses process.binding';
    if (object === 'console' && name !== 'cli') return `uses console.${property}`;
    if (property.startsWith('_')) return `uses the undocumented ${property}`;
  }
  if (node.type === 'Property' && nameOf(node.key)?.startsWith('_')) {
    return `uses the undocumented ${nameOf(node.key)}`;
  }
  if (node.type === 'CallExpression' && pure) {
    const called = nameOf(node.callee) ?? nameOf(node.callee?.property) ?? '';
    if (timers.includes(called)) return `calls ${called} in ${name}, which is without I/O`;
  }
  return undefined;
}

/** The name of an identifier or of a string in brackets. */
function nameOf(node: Node | undefined): string | undefined {
  const name = node?.name ?? node?.value;
  return typeof name === 'string' ? name : undefined;
}
