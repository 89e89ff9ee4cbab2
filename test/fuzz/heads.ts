/** Heads of HTTP messages for the opening handshake: valid ones, with fields changed, doubled and left out. */
import { mutate } from './mutate.js';
import type { Random } from './random.js';

/** The key of RFC 6455 §1.2, and what a server answers to it. */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** The first is the right one. */
const keys = [KEY, 'AAAAAAAAAAAAAAAAAAAAAA==', 'dGhlIHNhbXBsZSBub25jZR==', 'short==', `${KEY}=`];
const accepts = [ACCEPT, ACCEPT.toLowerCase(), `${ACCEPT}, ${ACCEPT}`, ACCEPT.slice(1)];
const upgrades = ['websocket', 'WebSocket', 'h2c, websocket', 'websocket/13', 'websocketx'];
const connections = ['Upgrade', 'upgrade', 'keep-alive, Upgrade', 'close', 'Upgrade, Upgrade', 'upgraded'];
const subprotocols = ['chat', 'superchat', 'chat, superchat', 'chat,chat', 'chat, ', 'Chat', 'a b', ''];
const hosts = ['example.com', 'example.com:8080', '[::1]:80', ''];
const versions = ['13', '8', '13, 8', '013'];
const methods = ['GET', 'POST', 'get'];
const targets = [
  '/',
  '/chat?x=1',
  'http://example.com/chat',
  'ws://h',
  '*',
  '',
  '//',
  'example.com:80',
  ':///',
];
const httpVersions = ['1.1', '1.0', '2.0', ''];
const statuses = ['101', '200', '401', ''];
const names = ['permessage-deflate', 'x-other', '__proto__', 'permessage-deflat'];
/** Parameters, each with its values, of which the first ones are right. */
const parameters: readonly (readonly [name: string, values: readonly string[]])[] = [
  ['server_no_context_takeover', ['']],
  ['client_no_context_takeover', ['']],
  ['server_max_window_bits', ['=10', '=8', '="9"', ' = 15']],
  ['client_max_window_bits', ['=9', '', '=15', '="1\\2"']],
];
const oddParameters = ['constructor', 'server_max_window_bit', 'SERVER_NO_CONTEXT_TAKEOVER'];
const oddValues = ['=7', '=16', '=08', '=', '=""', '="a b"', '=1e1', '=true', '="9'];

/** The first one, as a rule. */
function mostly(random: Random, items: readonly string[]): string {
  return random.oneIn(8) ? random.pick(items) : items[0]!;
}

/** The value of Sec-WebSocket-Extensions. */
export function extensionList(random: Random): string {
  const separator = mostly(random, [', ', ',', ' ,\t', ',,']);
  return random
    .times(random.pick([1, 1, 1, 2, 4]), () => {
      const made = random.times(random.pick([0, 1, 1, 2, 4]), () => {
        const [parameter, right] = random.pick(parameters);
        const name = random.oneIn(12) ? random.pick(oddParameters) : parameter;
        return name + random.pick(random.oneIn(8) ? oddValues : right);
      });
      return [mostly(random, names), ...made].join(mostly(random, ['; ', ';', ' ; ']));
    })
    .join(separator);
}

const base = (random: Random): [string, string][] => [
  ['Upgrade', mostly(random, upgrades)],
  ['Connection', mostly(random, connections)],
];

function requestFields(random: Random): [string, string][] {
  const fields: [string, string][] = [
    ['Host', mostly(random, hosts)],
    ...base(random),
    ['Sec-WebSocket-Key', mostly(random, keys)],
    ['Sec-WebSocket-Version', mostly(random, versions)],
  ];
  if (random.oneIn(2)) fields.push(['Origin', random.pick(['http://example.com', 'null', '', 'x'])]);
  if (random.oneIn(12)) fields.push(['Content-Length', random.pick(['0', '1', '00', '-1'])]);
  if (random.oneIn(20)) fields.push(['Transfer-Encoding', 'chunked']);
  return fields;
}

/** A field name in another letter case, or with white space that does not belong there. */
function odd(random: Random, name: string): string {
  return random.pick([
    name.toLowerCase(),
    name.toUpperCase(),
    ` ${name}`,
    `${name} `,
    name.slice(1),
    '__proto__',
    '',
  ]);
}

/** The lines of a head; fields as `Name: value`, without regard to how they may be written. */
function head(random: Random, first: string, fields: [string, string][]): Buffer {
  if (random.oneIn(3)) fields.push(['Sec-WebSocket-Protocol', mostly(random, subprotocols)]);
  if (random.oneIn(2)) fields.push(['Sec-WebSocket-Extensions', extensionList(random)]);
  for (let changes = random.pick([0, 0, 0, 1, 2]); changes > 0; changes--) {
    const at = random.below(fields.length);
    const [name, value] = fields[at]!;
    const change = random.below(4);
    if (change === 0) fields.splice(at, 1);
    else if (change === 1) fields.push([name, value]);
    else if (change === 2) fields[at] = [odd(random, name), value];
    else
      fields[at] = [
        name,
        random.pick(['', ' ', ',', `${value},`, `${value} `, '\t"', 'x'.repeat(random.below(3000))]),
      ];
  }
  const bytes = Buffer.from(
    [first, ...fields.map(([name, value]) => `${name}: ${value}`)].join('\r\n'),
    'latin1',
  );
  return random.oneIn(3) ? mutate(random, bytes) : bytes;
}

export function requestHead(random: Random): Buffer {
  const first = `${mostly(random, methods)} ${mostly(random, targets)} HTTP/${mostly(random, httpVersions)}`;
  return head(random, first, requestFields(random));
}

export function responseHead(random: Random): Buffer {
  return head(random, `HTTP/1.1 ${mostly(random, statuses)} Switching Protocols`, [
    ...base(random),
    ['Sec-WebSocket-Accept', mostly(random, accepts)],
  ]);
}

/** A head taken apart as `node:http` hands it over: the first line, and `rawHeaders`. */
export function parseHead(bytes: Buffer): { first: string; rawHeaders: string[] } {
  const [first = '', ...lines] = bytes.toString('latin1').split('\r\n');
  const rawHeaders = lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1)];
  });
  return { first, rawHeaders };
}
