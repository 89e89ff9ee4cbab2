/** What is checked with each peer, in both directions. A connection each: its path names the check. */

import { once } from 'node:events';
import { connect, WebSocketServer } from '../../../dist/index.js';

/** The checks, as the programs of the peers name them, and the columns of the matrix that they belong to. */
export const checks = {
  text: 'text',
  binary: 'binary',
  large: '1 MiB',
  fragments: 'fragments',
  ping: 'ping',
  close: 'close codes',
  closed: 'close codes',
  subprotocol: 'subprotocol',
  compression: 'compression',
};
export const columns = [...new Set(Object.values(checks))];

/** @typedef {keyof typeof checks} Check */
/** @typedef {import('../../../dist/index.js').WebSocketConnection} Connection */
/** @typedef {{ url: string, tls?: { ca: string }, lacks: Partial<Record<Check, string>> }} Target */

const MILLISECONDS = 10_000;
const PARTS = ['frag', 'men', 'ted'];

/**
 * Sluice as the server of a peer: echoes messages and does what some of them ask for, as the peers' servers do.
 *
 * @param {import('node:http').Server | import('node:https').Server} http
 */
export function startServer(http) {
  const server = new WebSocketServer({
    server: http,
    subprotocols: ['interop'],
    compression: { threshold: 0 },
  });
  /** What was seen of a check. @type {Map<string, { compressed: boolean, end: Promise<unknown> }>} */
  const seen = new Map();
  server.on('connection', (ws, request) => {
    const compressed = ws.extensions.startsWith('permessage-deflate');
    seen.set(request.url?.slice(1) ?? '', { compressed, end: ws.closed });
    answer(ws);
  });
  /** Rejects when the server saw something else than the client told of a check. */
  const verify = async (/** @type {string} */ check) => {
    const one = seen.get(check);
    if (one === undefined) throw new Error('the server saw no connection');
    if (check === 'compression' && !one.compressed) throw new Error('the server saw no compression');
    if (check !== 'close') return;
    const { code, reason, wasClean } = /** @type {import('../../../dist/index.js').CloseInfo} */ (
      await within(one.end)
    );
    same(`${code} ${reason} ${wasClean}`, '4002 done true');
  };
  return { verify, close: () => server.close({ timeout: 500 }) };
}

/** Echoes messages and does what some of them ask for. */
function answer(/** @type {Connection} */ ws) {
  ws.on('message', (data, type) => {
    const [command, ...rest] = typeof data === 'string' ? data.split(' ') : [];
    if (command === 'close') void ws.close(Number(rest[0]), rest[1]);
    else if (command === 'ping') pingAndTell(ws, rest[0] ?? '').catch(() => ws.terminate());
    else if (command === 'fragments') sendFragments(ws).catch(() => ws.terminate());
    else ws.send(data, { type });
  });
}

async function pingAndTell(/** @type {Connection} */ ws, /** @type {string} */ data) {
  await ws.ping(data);
  ws.send(`pong ${data}`);
}

async function sendFragments(/** @type {Connection} */ ws) {
  const writer = ws.createWriter('text');
  for (const part of PARTS) await writer.write(part);
  await writer.end();
}

/** @type {Record<Check, (ws: Connection, next: () => Promise<unknown>) => Promise<void>>} */
const clientChecks = {
  async text(ws, next) {
    ws.send('Grüße, 世界 😀');
    same(await next(), 'Grüße, 世界 😀');
  },
  binary: (ws, next) => echoes(ws, next, Buffer.from(Array.from({ length: 256 }, (_, i) => i))),
  large: (ws, next) =>
    echoes(
      ws,
      next,
      Buffer.alloc(
        2 ** 20,
        Uint8Array.from({ length: 251 }, (_, i) => i),
      ),
    ),
  async fragments(ws, next) {
    await sendFragments(ws);
    same(await next(), PARTS.join(''));
    ws.send('fragments');
    same(await next(), PARTS.join(''));
  },
  async ping(ws, next) {
    await ws.ping('hello');
    const pinged = once(ws, 'ping');
    ws.send('ping back');
    await pinged;
    same(await next(), 'pong back');
  },
  async close(ws) {
    const { code, reason, wasClean } = await ws.close(4002, 'done');
    // §5.5.1: who answers echoes the code; some leave the reason out
    same(`${code} ${reason || 'done'} ${wasClean}`, '4002 done true');
  },
  async closed(ws) {
    ws.send('close 4001 bye');
    const { code, reason, wasClean } = await ws.closed;
    same(`${code} ${reason} ${wasClean}`, '4001 bye true');
  },
  async subprotocol(ws, next) {
    same(ws.subprotocol, 'interop');
    ws.send('after');
    same(await next(), 'after');
  },
  async compression(ws, next) {
    same(ws.extensions.split(';')[0], 'permessage-deflate');
    for (let round = 0; round < 3; round++) {
      const message = JSON.stringify(Array.from({ length: 100 }, (_, id) => ({ id, round })));
      ws.send(message);
      same(await next(), message);
    }
  },
};

async function echoes(
  /** @type {Connection} */ ws,
  /** @type {() => Promise<unknown>} */ next,
  /** @type {Buffer} */ data,
) {
  ws.send(data);
  const got = await next();
  if (!(got instanceof Buffer && got.equals(data)))
    throw new Error(`other bytes: ${String(got).slice(0, 80)}`);
}

/**
 * Sluice as the client of a peer. Tells each outcome.
 *
 * @param {Target} target
 * @param {(check: string, problem: string | null) => void} tell
 */
export async function checkServer({ url, tls, lacks }, tell) {
  for (const check of /** @type {Check[]} */ (Object.keys(checks))) {
    if (lacks[check] !== undefined) continue;
    try {
      await within(checkOne(`${url}/${check}`, check, tls));
      tell(check, null);
    } catch (error) {
      tell(check, /** @type {Error} */ (error).message);
    }
  }
}

async function checkOne(
  /** @type {string} */ url,
  /** @type {Check} */ check,
  /** @type {{ ca: string } | undefined} */ tls,
) {
  const ws = await connect(url, {
    ...(tls && { tls }),
    ...(check === 'subprotocol' && { subprotocols: ['other', 'interop'] }),
    ...(check === 'compression' && { compression: { threshold: 0 } }),
  });
  try {
    /** @type {unknown[]} */
    const messages = [];
    ws.on('message', (data) => messages.push(data));
    const next = async () => {
      while (messages.length === 0) await once(ws, 'message');
      return messages.shift();
    };
    await clientChecks[check](ws, next);
    const { wasClean } = await ws.close();
    same(String(wasClean), 'true');
  } finally {
    ws.terminate();
  }
}

function same(/** @type {unknown} */ got, /** @type {string | undefined} */ expected) {
  if (got !== expected)
    throw new Error(`${String(got).slice(0, 80)} instead of ${String(expected).slice(0, 80)}`);
}

/** What a promise resolves to, unless it takes too long. */
export async function within(/** @type {Promise<unknown>} */ promise, milliseconds = MILLISECONDS) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
