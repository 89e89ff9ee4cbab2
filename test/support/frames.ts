/** Frames as bytes, made apart from the code under test, and ways to cut them. */
import { type Endpoint, EndpointEvent, type Role } from '../../src/protocol.js';

export type { Role };

export interface FrameOptions {
  readonly fin?: boolean;
  /** 0x40, 0x20, 0x10. */
  readonly rsv?: number;
  /** Four bytes; null leaves the mask bit 0. */
  readonly key?: readonly number[] | null;
  /** Forces the encoding of the length. */
  readonly lengthBytes?: 1 | 2 | 8;
  /** Says another length than the payload has. */
  readonly length?: bigint;
}

/** One frame, written out by the letter of RFC 6455 §5.2. */
export function frame(opcode: number, payload: string | Uint8Array = '', options: FrameOptions = {}): Buffer {
  const { fin = true, rsv = 0, key = null } = options;
  const body = Buffer.from(payload);
  const length = options.length ?? BigInt(body.length);
  const lengthBytes = options.lengthBytes ?? (length < 126n ? 1 : length < 65536n ? 2 : 8);
  const mask = key === null ? 0 : 0x80;
  const parts: number[] = [(fin ? 0x80 : 0) | rsv | opcode];
  if (lengthBytes === 1) parts.push(mask | Number(length));
  else {
    parts.push(mask | (lengthBytes === 2 ? 126 : 127));
    for (let i = lengthBytes - 1; i >= 0; i--) parts.push(Number((length >> BigInt(8 * i)) & 0xffn));
  }
  if (key !== null) {
    parts.push(...key);
    for (let i = 0; i < body.length; i++) body[i]! ^= key[i % 4]!;
  }
  return Buffer.concat([Buffer.from(parts), body]);
}

/** A frame as the peer of `role` sends it: masked to a server. */
export function frameTo(
  role: Role,
  opcode: number,
  payload: string | Uint8Array = '',
  options: FrameOptions = {},
): Buffer {
  return frame(opcode, payload, { key: role === 'server' ? [0x12, 0x34, 0x56, 0x78] : null, ...options });
}

export const roles: readonly Role[] = ['server', 'client'];

/** Ways to cut bytes into chunks. */
export const chunkings: readonly (readonly [name: string, cut: (bytes: Buffer) => Buffer[]])[] = [
  ['whole', (bytes) => [Buffer.from(bytes)]],
  [
    'in halves',
    (bytes) =>
      [bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1)].map((b) => Buffer.from(b)),
  ],
  ['byte by byte', (bytes) => Array.from(bytes, (byte) => Buffer.from([byte]))],
];

/** Boundary sizes of payloads. */
export const sizes: readonly number[] = [0, 125, 126, 65535, 65536];

/** What an endpoint told, in order; data is joined by message. */
export type Told = readonly [event: string, ...details: unknown[]];

/** Pushes the chunks, and lists what the endpoint tells; an error ends it. */
export function feed(endpoint: Endpoint, chunks: readonly Buffer[]): { told: Told[]; error: Error | null } {
  const told: Told[] = [];
  let parts: Buffer[] = [];
  for (const chunk of chunks) {
    endpoint.push(chunk);
    for (;;) {
      let event: number;
      try {
        event = endpoint.next();
      } catch (error) {
        return { told, error: error as Error };
      }
      if (event === EndpointEvent.NeedData) break;
      if (event === EndpointEvent.Data) {
        if (endpoint.first !== (parts.length === 0)) throw new Error('Wrong first');
        parts.push(Buffer.from(endpoint.chunk.subarray(endpoint.start, endpoint.end)));
        if (!endpoint.last) continue;
        told.push(['message', endpoint.opcode, Buffer.concat(parts).toString('latin1')]);
        parts = [];
      } else if (event === EndpointEvent.Ping) told.push(['ping', endpoint.control.toString('latin1')]);
      else if (event === EndpointEvent.Pong) told.push(['pong', endpoint.control.toString('latin1')]);
      else told.push(['close', endpoint.closing.code, endpoint.closing.reason]);
    }
  }
  return { told, error: null };
}

/** All that an endpoint wants to send. */
export function output(endpoint: Endpoint): Buffer<ArrayBuffer> {
  return Buffer.concat(endpoint.take());
}

/** A parsed frame. */
export interface Parsed {
  readonly fin: boolean;
  readonly rsv: number;
  readonly opcode: number;
  readonly key: Buffer | null;
  readonly payload: Buffer;
  readonly headerSize: number;
}

/** Parses frames by the letter of §5.2, apart from the code under test; `partial` leaves out one that is cut off. */
export function parse(bytes: Buffer, partial = false): Parsed[] {
  const frames: Parsed[] = [];
  for (let at = 0; at < bytes.length; ) {
    const begin = at;
    if (partial && !isWhole(bytes, at)) break;
    const first = bytes[at++]!;
    const second = bytes[at++]!;
    let length = second & 0x7f;
    if (length === 126) {
      length = bytes.readUInt16BE(at);
      at += 2;
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at));
      at += 8;
    }
    let key: Buffer | null = null;
    if ((second & 0x80) !== 0) {
      key = Buffer.from(bytes.subarray(at, at + 4));
      at += 4;
    }
    const payload = Buffer.from(bytes.subarray(at, at + length));
    if (payload.length !== length) throw new Error('A frame is cut off');
    if (key !== null) for (let i = 0; i < length; i++) payload[i]! ^= key[i % 4]!;
    frames.push({
      fin: first >= 0x80,
      rsv: first & 0x70,
      opcode: first & 0xf,
      key,
      payload,
      headerSize: at - begin,
    });
    at += length;
  }
  return frames;
}

function isWhole(bytes: Buffer, at: number): boolean {
  if (bytes.length < at + 2) return false;
  const length = bytes[at + 1]! & 0x7f;
  const header = 2 + (length < 126 ? 0 : length === 126 ? 2 : 8) + (bytes[at + 1]! >= 0x80 ? 4 : 0);
  if (bytes.length < at + header) return false;
  const size =
    length < 126
      ? length
      : length === 126
        ? bytes.readUInt16BE(at + 2)
        : Number(bytes.readBigUInt64BE(at + 2));
  return bytes.length >= at + header + size;
}
