/**
 * `npm run bench:micro`: the parts of the protocol, each against the naive way and, where there is one, the part of
 * `ws`. One process, pinned to a core where `taskset` exists; the sides in turn, medians of the rounds.
 *
 *     --quick      shorter rounds
 *     --only NAME  the rows whose name has NAME in it
 *     --json FILE  writes the figures
 */

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { Deflater } from '../dist/extensions/permessage-deflate/deflater.js';
import { Inflater } from '../dist/extensions/permessage-deflate/inflater.js';
import { mask } from '../dist/protocol/masking.js';
import { Utf8Validator } from '../dist/protocol/utf8.js';
import { Endpoint } from '../dist/protocol.js';
import { clientFrame, header, makePayloads } from './frames.js';
import { MEASURED, pinned } from './process.js';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
    here: { type: 'boolean', default: false },
  },
});

if (pinned && !options.here) {
  const command = ['-c', String(MEASURED), process.execPath, ...process.argv.slice(1), '--here'];
  process.exit(spawnSync('taskset', command, { stdio: 'inherit' }).status ?? 1);
}

process.env['WS_NO_BUFFER_UTIL'] = '1';
const { Receiver, Sender } = /** @type {any} */ (await import('ws'));

const ROUNDS = options.quick ? 5 : 9;
const ROUND = options.quick ? 20 : 100;
/** What is computed is looked at, so that no compiler leaves it out. */
let sink = 0;

/** @typedef {{ name: string, sides: Record<string, () => number> }} Row Each side does the work once. */

/** @type {Row[]} */
const rows = [];

for (const size of [20, 1024, 65_536]) {
  const frame = clientFrame(0x82, randomBytes(size));
  const endpoint = new Endpoint({ role: 'server' });
  const receiver = new Receiver({ isServer: true, allowSynchronousEvents: true, maxPayload: 2 ** 30 });
  receiver.on('message', (/** @type {Buffer} */ data) => {
    sink += data.length;
  });
  // All sides unmask in place, again and again: what the bytes are does not matter to them
  rows.push({
    name: `parse a frame, ${size} B`,
    sides: {
      sluice() {
        endpoint.push(frame);
        let bytes = 0;
        while (endpoint.next() !== 0) bytes += endpoint.end - endpoint.start;
        return bytes;
      },
      naive: () => naiveParse(frame),
      ws() {
        receiver._write(frame, 'buffer', () => {});
        return size;
      },
    },
  });
}

for (const size of [20, 1024, 65_536]) {
  const payload = randomBytes(size);
  const server = new Endpoint({ role: 'server' });
  const client = new Endpoint({ role: 'client' });
  let written = 0;
  const socket = {
    cork() {},
    uncork() {},
    write(/** @type {Buffer} */ bytes) {
      written += bytes.length;
    },
  };
  const sender = { server: new Sender(socket, {}), client: new Sender(socket, {}) };
  const settings = { binary: true, compress: false, fin: true };
  const sides = (/** @type {Endpoint} */ endpoint, /** @type {boolean} */ masked) => ({
    sluice() {
      endpoint.send(2, payload);
      return endpoint.take().length;
    },
    naive: () => naiveFrame(payload, masked).length,
    ws() {
      sender[masked ? 'client' : 'server'].send(payload, { ...settings, mask: masked });
      return written;
    },
  });
  rows.push({ name: `write a frame, ${size} B`, sides: sides(server, false) });
  rows.push({ name: `write a masked frame, ${size} B`, sides: sides(client, true) });
}

for (const size of [20, 125, 1024, 65_536, 1_048_576]) {
  const bytes = randomBytes(size);
  const key = randomBytes(4);
  rows.push({
    name: `mask ${size} B`,
    sides: {
      sluice() {
        mask(bytes, 0, size, key.readInt32BE(0), 0);
        return bytes[0];
      },
      naive() {
        for (let i = 0; i < size; i++) bytes[i] ^= key[i % 4];
        return bytes[0];
      },
    },
  });
}

for (const kind of ['text', 'utf8']) {
  for (const size of [20, 1024, 65_536]) {
    const [bytes] = makePayloads(1, size, kind);
    const validator = new Utf8Validator();
    rows.push({
      name: `validate ${kind === 'text' ? 'ASCII' : 'UTF-8'}, ${size} B`,
      sides: {
        sluice() {
          validator.reset();
          return Number(validator.push(bytes, 0, size) && validator.complete);
        },
        naive: () => new TextDecoder('utf-8', { fatal: true }).decode(bytes).length,
      },
    });
  }
}

/** Of the level that is the default, and the window that Sluice looks back into at that level. */
const LEVEL = 3;
const DEFLATE_WINDOW = 4096;
const INFLATE_WINDOW = 32_768;
const flush = { finishFlush: constants.Z_SYNC_FLUSH };

// The naive way has the same level and the same window: one-shot zlib with what was sent before as its dictionary, which
// is made ready outside the time. The messages come in turn, and are more than a window: none finds itself in it.
for (const size of [300, 2000, 16_384]) {
  const payloads = makePayloads(Math.ceil(131_072 / size), size, 'json');
  const twice = Buffer.concat([...payloads, ...payloads]);
  const before = (/** @type {number} */ i, /** @type {number} */ window) => {
    const end = twice.length / 2 + payloads.slice(0, i).reduce((sum, { length }) => sum + length, 0);
    return Buffer.from(twice.subarray(end - window, end));
  };
  const short = payloads.map((_, i) => before(i, DEFLATE_WINDOW));
  const long = payloads.map((_, i) => before(i, INFLATE_WINDOW));
  const compressed = payloads.map((payload, i) =>
    deflateRawSync(payload, { ...flush, dictionary: long[i] }).subarray(0, -4),
  );
  const naiveDeflate = (/** @type {number} */ i) =>
    deflateRawSync(payloads[i], { ...flush, level: LEVEL, windowBits: 12, dictionary: short[i] });
  const back = (/** @type {Buffer} */ bytes, /** @type {Buffer} */ dictionary) =>
    inflateRawSync(Buffer.concat([bytes, Buffer.from([0, 0, 255, 255])]), { ...flush, dictionary });
  const naiveInflate = (/** @type {number} */ i) => back(compressed[i], long[i]);
  const deflater = new Deflater({
    windowBits: 15,
    contextTakeover: true,
    level: LEVEL,
    memLevel: 8,
    threshold: 0,
    offloadSize: Number.POSITIVE_INFINITY,
  });
  const deflate = (/** @type {number} */ i) => /** @type {Buffer} */ (deflater.encode(payloads[i], true));
  const inflater = new Inflater(15, true);
  const inflate = (/** @type {number} */ i) => {
    inflater.write(compressed[i], true);
    return inflater.read(2 ** 20);
  };
  // The window fills by messages that reach back into none; then each side is looked at once
  for (const payload of payloads) {
    inflater.write(deflateRawSync(payload, flush).subarray(0, -4), true);
    inflater.read(2 ** 20);
    deflater.encode(payload, true);
  }
  let bytes = { sluice: 0, naive: 0 };
  for (const [i, payload] of payloads.entries()) {
    const [own, theirs] = [Buffer.from(deflate(i)), naiveDeflate(i).subarray(0, -4)];
    bytes = { sluice: bytes.sluice + own.length, naive: bytes.naive + theirs.length };
    const same = [back(own, long[i]), back(theirs, short[i]), naiveInflate(i), inflate(i)];
    if (!same.every((data) => data?.equals(payload))) throw new Error('Other data came back');
  }
  const saved = (/** @type {number} */ size) => (100 - (100 * size * 2) / twice.length).toFixed(0);
  const inTurn = (/** @type {(i: number) => Buffer | null} */ work) => {
    let next = 0;
    return () => {
      const done = work(next)?.length ?? 0;
      next = (next + 1) % payloads.length;
      return done;
    };
  };
  rows.push({
    name: `deflate JSON, ${size} B (saves ${saved(bytes.sluice)} %, ${saved(bytes.naive)} %)`,
    sides: { sluice: inTurn(deflate), naive: inTurn(naiveDeflate) },
  });
  rows.push({
    name: `inflate JSON, ${size} B`,
    sides: { sluice: inTurn(inflate), naive: inTurn(naiveInflate) },
  });
}

/** One frame, as a first version would parse it: a copy, byte by byte. */
function naiveParse(/** @type {Buffer} */ frame) {
  let length = frame[1] & 0x7f;
  let at = 2;
  if (length === 126) {
    length = frame.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    length = Number(frame.readBigUInt64BE(2));
    at = 10;
  }
  const key = frame.subarray(at, at + 4);
  const payload = Buffer.alloc(length);
  for (let i = 0; i < length; i++) payload[i] = frame[at + 4 + i] ^ key[i % 4];
  return payload.length;
}

function naiveFrame(/** @type {Buffer} */ payload, /** @type {boolean} */ masked) {
  if (!masked) return Buffer.concat([header(0x82, payload.length, null), payload]);
  const key = randomBytes(4);
  const copy = Buffer.alloc(payload.length);
  for (let i = 0; i < payload.length; i++) copy[i] = payload[i] ^ key[i % 4];
  return Buffer.concat([header(0x82, payload.length, key), copy]);
}

/** Nanoseconds of one call, over `milliseconds`. */
function time(/** @type {() => number} */ work, /** @type {number} */ milliseconds) {
  let calls = 0;
  const began = performance.now();
  let now = began;
  for (let batch = 1; now - began < milliseconds; batch *= 2) {
    for (let i = 0; i < batch; i++) sink += work();
    calls += batch;
    now = performance.now();
  }
  return ((now - began) / calls) * 1e6;
}

const median = (/** @type {number[]} */ values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const shown = (/** @type {number} */ ns) =>
  ns < 1e4 ? `${ns.toFixed(0)} ns` : `${(ns / 1e3).toFixed(1)} us`;

const results = [];
console.log(
  `Node ${process.version}, ${cpus()[0]?.model.trim()}, ${ROUNDS} rounds of ${ROUND} ms, the sides in turn`,
);
console.log(`${'work'.padEnd(42)}${['sluice', 'naive', '', 'ws', ''].map((s) => s.padStart(11)).join('')}`);
for (const { name, sides } of rows.filter((row) => row.name.includes(options.only))) {
  const names = Object.keys(sides);
  /** @type {Record<string, number[]>} */
  const rounds = Object.fromEntries(names.map((side) => [side, []]));
  for (const side of names) time(sides[side], ROUND);
  for (let round = 0; round < ROUNDS; round++) {
    for (const side of round % 2 === 0 ? names : names.toReversed())
      rounds[side].push(time(sides[side], ROUND));
  }
  const medians = Object.fromEntries(names.map((side) => [side, median(rounds[side])]));
  const cells = [shown(medians['sluice'])];
  for (const side of names.slice(1)) {
    cells.push(shown(medians[side]), `${(medians[side] / medians['sluice']).toFixed(2)}x`);
  }
  console.log(`${name.padEnd(42)}${cells.map((cell) => cell.padStart(11)).join('')}`);
  results.push({ name, nanoseconds: medians, rounds });
}
if (Number.isNaN(sink)) throw new Error('Nothing was computed');
if (options.json !== undefined) {
  const machine = { date: new Date().toISOString(), node: process.version, cpu: cpus()[0]?.model };
  writeFileSync(options.json, `${JSON.stringify({ machine, results }, null, 1)}\n`);
}
