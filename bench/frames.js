/** Frames as the load generator sends and expects them, made before the clock runs. */

import { randomBytes } from 'node:crypto';
import { constants, deflateRawSync } from 'node:zlib';

/** Header of one frame; `key` masks it (RFC 6455 §5.2). */
export function header(
  /** @type {number} */ byte0,
  /** @type {number} */ length,
  /** @type {Buffer?} */ key,
) {
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const bytes = Buffer.alloc(2 + extended + (key === null ? 0 : 4));
  bytes[0] = byte0;
  bytes[1] = (extended === 0 ? length : extended === 2 ? 126 : 127) | (key === null ? 0 : 0x80);
  if (extended === 2) bytes.writeUInt16BE(length, 2);
  if (extended === 8) bytes.writeBigUInt64BE(BigInt(length), 2);
  key?.copy(bytes, 2 + extended);
  return bytes;
}

function mask(/** @type {Buffer} */ data, /** @type {Buffer} */ key) {
  const masked = Buffer.from(data);
  for (let i = 0; i < masked.length; i++) masked[i] ^= key[i & 3];
  return masked;
}

export function clientFrame(/** @type {number} */ byte0, /** @type {Buffer} */ payload) {
  const key = randomBytes(4);
  return Buffer.concat([header(byte0, payload.length, key), mask(payload, key)]);
}

export function serverFrame(/** @type {number} */ byte0, /** @type {Buffer} */ payload) {
  return Buffer.concat([header(byte0, payload.length, null), payload]);
}

/** Messages of one size, none like another. */
export function makePayloads(
  /** @type {number} */ count,
  /** @type {number} */ size,
  /** @type {string} */ kind,
) {
  return Array.from({ length: count }, (_, number) => {
    if (kind === 'same') return Buffer.alloc(size, 'x');
    if (kind === 'json') return json(number, size);
    if (kind === 'utf8') return utf8(size);
    if (kind === 'text') return Buffer.from(randomBytes(size).toString('hex').slice(0, size));
    return randomBytes(size);
  });
}

function utf8(/** @type {number} */ size) {
  const letters = 'Grüße aus Köln, 你好, привет, καλημέρα, 👋 ';
  const bytes = Buffer.from(letters.repeat(Math.ceil(size / letters.length)));
  let end = size;
  while ((bytes[end] & 0xc0) === 0x80) end--;
  return Buffer.concat([bytes.subarray(0, end), Buffer.from('.'.repeat(size - end))]);
}

/** Records as an API sends them: known keys, values that differ from record to record. */
function json(/** @type {number} */ number, /** @type {number} */ size) {
  const states = ['open', 'closed', 'pending', 'failed'];
  const records = [];
  for (let length = 0; length < size + 200; ) {
    const some = randomBytes(8);
    const record = {
      id: number * 1000 + records.length,
      user: `user-${some.readUInt16LE(0) % 5000}`,
      state: states[some[2] & 3],
      price: some.readUInt32LE(3) / 1e5,
      at: new Date(1.7e12 + some.readUInt32LE(4)).toISOString(),
      tags: [states[some[7] & 3], `tag${some[6] % 20}`],
    };
    length += JSON.stringify(record).length + 1;
    records.push(record);
  }
  const text = JSON.stringify(records).slice(0, size - 2);
  return Buffer.from(`${text}"]`);
}

/**
 * Frames one behind the other, and where each of them ends.
 *
 * @typedef {{ bytes: Buffer, ends: number[] }} Frames
 */

/** @returns {Frames} */
function joinFrames(/** @type {Buffer[]} */ frames) {
  const ends = [];
  let end = 0;
  for (const frame of frames) {
    end += frame.length;
    ends.push(end);
  }
  return { bytes: Buffer.concat(frames), ends };
}

/**
 * What one connection sends over and over, and what must come back.
 *
 * @typedef {object} Script
 * @property {Buffer[]} payloads
 * @property {number} count Messages of one round.
 * @property {Frames} first What is sent once, before all others: with compression, a round that fills the window.
 * @property {Frames} again What is sent over and over.
 * @property {number} replySize Bytes of each frame that comes back; 0 when that is not known.
 * @property {Buffer} replies All frames that come back in one round; empty when that is not known.
 */

/** @returns {Script} */
export function makeScript(
  /** @type {{ size: number, kind?: string, window: number, deflate?: boolean, bare: boolean }} */ options,
) {
  const { size, kind = 'binary', window, deflate = false, bare } = options;
  const count = deflate
    ? Math.max(window, Math.ceil(65_536 / size))
    : Math.max(window, Math.min(64, Math.ceil(262_144 / Math.max(1, size))));
  const payloads = makePayloads(count, size, kind);
  const opcode = kind === 'binary' || kind === 'same' ? 0x82 : 0x81;
  const [first, again] = deflate ? compressAll(payloads) : [[], payloads];
  const byte0 = deflate ? opcode | 0x40 : opcode;
  const frames = again.map((payload) => clientFrame(byte0, payload));
  const known = deflate ? [] : bare ? frames : payloads.map((payload) => serverFrame(opcode, payload));
  return {
    payloads,
    count,
    first: joinFrames(first.map((payload) => clientFrame(byte0, payload))),
    // Twice, so that each run of up to `count` frames is contiguous
    again: joinFrames([...frames, ...frames]),
    replySize: known[0]?.length ?? 0,
    replies: Buffer.concat(known),
  };
}

/**
 * Compressed with context takeover (RFC 7692 §7.2.3.2), once from an empty window, and once more from the window that
 * this leaves: as all of them fill a window, the second ones may be sent over and over.
 */
function compressAll(/** @type {Buffer[]} */ payloads) {
  const rounds = [];
  let before = Buffer.alloc(0);
  for (let round = 0; round < 2; round++) {
    const compressed = [];
    for (const payload of payloads) {
      const dictionary = before.subarray(-32_768);
      const deflated = deflateRawSync(payload, {
        finishFlush: constants.Z_SYNC_FLUSH,
        ...(dictionary.length > 0 && { dictionary }),
      });
      compressed.push(deflated.subarray(0, -4));
      before = Buffer.concat([before, payload]).subarray(-32_768);
    }
    rounds.push(compressed);
  }
  return rounds;
}
