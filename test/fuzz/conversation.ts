/** What a peer may send: sequences of frames, most of them valid, and changes to them that know frames. */
import { constants, deflateRawSync } from 'node:zlib';
import { type FrameOptions, frameTo, type Role } from '../support/frames.js';
import { mutate } from './mutate.js';
import type { Random } from './random.js';

const lengths = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 47, 48, 49, 63, 64, 100, 124, 125, 126, 127, 128, 200, 1000];
const longLengths = [4096, 16_384, 65_535, 65_536, 70_000];
/** What a header may say the length is. */
const saidLengths = [0, 1, 125, 126, 127, 65_535, 65_536, 999, 1001, 2 ** 20, 2 ** 20 + 1, 2 ** 31, 2 ** 32];
const hugeLengths = [2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, 2n ** 63n, 2n ** 64n - 1n];
const closeCodes = [
  0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1014, 1015, 1016, 2999, 3000, 4999, 5000,
];
const characters = [
  'a',
  'Z',
  '\n',
  '\0',
  '\x7f',
  '\x80',
  'é',
  '\u07ff',
  '\u0800',
  '€',
  '\ufeff',
  '\ufffd',
  '😀',
];
/** None of them is UTF-8, most from their first or second byte on. */
const notUtf8 = [
  '80',
  'c0af',
  'c1bf',
  'c3',
  'e08080',
  'e282',
  'eda080',
  'edbfbf',
  'f0808080',
  'f09f98',
  'f4908080',
];

/** Text of about `length` bytes. */
function text(random: Random, length: number): Buffer {
  const kinds = random.oneIn(3) ? characters : characters.slice(0, 2);
  let made = '';
  while (made.length < length) made += random.pick(kinds);
  const bytes = Buffer.from(made);
  if (!random.oneIn(6)) return bytes;
  const at = random.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), Buffer.from(random.pick(notUtf8), 'hex'), bytes.subarray(at)]);
}

function payload(random: Random, isText: boolean): Buffer {
  const length = random.pick(random.oneIn(100) ? longLengths : lengths);
  if (isText) return text(random, length);
  return length > 1000 ? Buffer.alloc(length, random.word()) : random.bytes(length);
}

function controlFrame(random: Random, role: Role, key: FrameOptions): Buffer {
  const opcode = random.oneIn(8) ? 8 : random.pick([9, 10]);
  if (opcode !== 8) return frameTo(role, opcode, random.bytes(random.pick([0, 0, 1, 4, 20, 124, 125])), key);
  if (random.oneIn(4)) return frameTo(role, opcode, random.bytes(random.below(4)), key);
  const code = Buffer.alloc(2);
  code.writeUInt16BE(random.pick(closeCodes));
  return frameTo(role, opcode, Buffer.concat([code, text(random, random.pick([0, 0, 3, 20]))]), key);
}

/** One message in fragments, with control frames between them. */
function message(random: Random, role: Role, compressed: boolean): Buffer[] {
  const opcode = random.pick([1, 2]);
  let data = payload(random, opcode === 1);
  const deflates = compressed && !random.oneIn(4);
  if (deflates) data = deflate(data);
  const frames: Buffer[] = [];
  const count = random.pick([1, 1, 1, 2, 3, 5]);
  for (let i = 0, at = 0; i < count; i++) {
    const last = i === count - 1;
    const end = last ? data.length : at + random.below(data.length - at + 1);
    if (random.oneIn(6)) frames.push(controlFrame(random, role, maskOf(random, role)));
    const rsv = deflates && i === 0 ? 0x40 : 0;
    const options = { fin: last, rsv, ...maskOf(random, role) };
    frames.push(frameTo(role, i === 0 ? opcode : 0, data.subarray(at, end), options));
    at = end;
  }
  return frames;
}

/** Keys that are zero, or the same in all bytes, beside random ones. */
function maskOf(random: Random, role: Role): FrameOptions {
  if (role === 'client') return {};
  return { key: random.pick([[0, 0, 0, 0], [255, 255, 255, 255], [...random.bytes(4)]]) };
}

/** A payload of permessage-deflate (RFC 7692 §7.2.1). */
function deflate(data: Buffer): Buffer {
  return deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH, memLevel: 1, windowBits: 10 }).subarray(
    0,
    -4,
  );
}

/** A frame that breaks a rule, or goes to its limit. */
function oddFrame(random: Random, role: Role): Buffer {
  const body = random.bytes(random.pick([0, 1, 2, 5, 125, 126]));
  const key = maskOf(random, role);
  switch (random.below(8)) {
    case 0:
      return frameTo(role, random.below(16), body, { ...key, rsv: random.below(8) << 4 });
    case 1:
      return frameTo(role, random.pick([0, 1, 2, 8, 9, 10]), body, { ...key, fin: false });
    case 2: // The wrong role
      return frameTo(role, random.pick([1, 2, 9]), body, { key: role === 'server' ? null : [1, 2, 3, 4] });
    case 3: // Not the shortest length
      return frameTo(role, random.pick([0, 1, 2, 9]), body, { ...key, lengthBytes: random.pick([2, 8]) });
    case 4:
      return frameTo(role, random.pick([0, 1, 2]), body, { ...key, length: random.pick(hugeLengths) });
    case 5: {
      const length = BigInt(random.pick(saidLengths));
      return frameTo(role, random.pick([0, 1, 2]), body, { ...key, length });
    }
    case 6: // Continues nothing, or interrupts
      return frameTo(role, random.below(3), body, key);
    default:
      return frameTo(role, random.pick([8, 9, 10]), random.bytes(random.pick([126, 200])), key);
  }
}

/** Changes to the sequence: frames that are odd, doubled, left out, swapped, or cut and joined. */
function rearrange(random: Random, role: Role, frames: Buffer[]): void {
  const at = random.below(frames.length + 1);
  const frame = frames[at] ?? Buffer.alloc(0);
  switch (random.below(6)) {
    case 0:
    case 1:
      frames.splice(at, 0, oddFrame(random, role));
      break;
    case 2:
      frames.splice(at, 0, frame);
      break;
    case 3:
      frames.splice(at, 1);
      break;
    case 4:
      frames.push(...frames.splice(at, 1));
      break;
    default: {
      const other = random.pick([frame, ...frames]);
      const end = other.subarray(random.below(other.length + 1));
      frames.splice(at, 1, Buffer.concat([frame.subarray(0, random.below(frame.length + 1)), end]));
    }
  }
}

/** The bytes of a conversation as the peer of `role` sends it: raw, valid, rearranged, or with bytes changed. */
export function conversation(random: Random, role: Role, compressed = false): Buffer {
  if (random.oneIn(12)) return random.bytes(random.below(100));
  const frames = random.times(random.between(1, 6), () => message(random, role, compressed)).flat();
  if (random.oneIn(3)) frames.push(controlFrame(random, role, maskOf(random, role)));
  const changes = random.pick([0, 1, 1, 2, 4]);
  for (let i = 0; i < changes; i++) rearrange(random, role, frames);
  const bytes = Buffer.concat(frames);
  return random.oneIn(3) ? mutate(random, bytes) : bytes;
}

/** Where the frames of a conversation begin, `from` on, as far as it can be told. */
export function framesOf(bytes: Buffer, from: number): number[] {
  const places: number[] = [];
  for (let at = from; at + 10 <= bytes.length; ) {
    places.push(at);
    const second = bytes[at + 1]!;
    const short = second & 0x7f;
    const extended = short < 126 ? 0 : short === 126 ? 2 : 8;
    const length =
      extended === 0
        ? short
        : extended === 2
          ? bytes.readUInt16BE(at + 2)
          : Number(bytes.readBigUInt64BE(at + 2));
    at += 2 + extended + (second >= 0x80 ? 4 : 0) + length;
  }
  return places;
}
