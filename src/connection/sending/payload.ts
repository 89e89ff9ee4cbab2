/** What may be sent: strings, and bytes in any of the forms that JavaScript has for them. */
import { isUtf8 } from 'node:buffer';
import type { MessageType } from '../receiving/message-reader.js';

/** Bytes of a message: any view, at any offset, or a whole buffer. */
export type BytesLike = ArrayBufferView | ArrayBuffer | SharedArrayBuffer;

/** The bytes of `data`, without a copy; throws a TypeError for what has none, or whose memory was transferred. */
export function toBytes(data: unknown): Uint8Array {
  // A view of memory that was transferred is empty, and no other can be made of it
  if (data instanceof Uint8Array) return data.length > 0 ? data : new Uint8Array(data.buffer, 0, 0);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  throw new TypeError(`Tried to send what is neither string nor bytes: ${describe(data)}`);
}

/** Whether it is a string or bytes. */
export function isPayload(data: unknown): boolean {
  return (
    typeof data === 'string' ||
    ArrayBuffer.isView(data) ||
    data instanceof ArrayBuffer ||
    data instanceof SharedArrayBuffer
  );
}

/** Bytes that `data` has as a payload; 0 for what has none, which {@link toBytes} throws for. */
export function sizeOf(data: unknown): number {
  if (typeof data === 'string') return Buffer.byteLength(data);
  try {
    return ArrayBuffer.isView(data) || data instanceof ArrayBuffer || data instanceof SharedArrayBuffer
      ? data.byteLength
      : 0;
  } catch {
    // A DataView of memory that was transferred, or is too short for it
    return 0;
  }
}

/** The payload of a message of the given type: §5.6, text "is UTF-8 encoded". Throws a TypeError when it is not. */
export function toPayload(data: unknown, type: MessageType): string | Uint8Array {
  if (typeof data === 'string') return type === 'text' ? data : Buffer.from(data);
  const bytes = toBytes(data);
  if (type === 'text' && !isUtf8(bytes))
    throw new TypeError('Tried to send bytes as text that are not UTF-8');
  return bytes;
}

/** The payload of a Ping or Pong: at most 125 bytes (§5.5), copied; a string is encoded. */
export function toControlPayload(data: unknown): Buffer {
  const payload = Buffer.from(typeof data === 'string' ? Buffer.from(data) : toBytes(data));
  if (payload.length <= 125) return payload;
  throw new RangeError(`Tried to send a control frame with more than 125 bytes: ${payload.length}`);
}

/** Throws a TypeError for anything but a message type. */
export function checkType(type: unknown): asserts type is MessageType {
  if (type !== 'text' && type !== 'binary') {
    throw new TypeError(`Expected the type to be 'text' or 'binary': ${String(type)}`);
  }
}

function describe(value: unknown): string {
  return value === null || typeof value !== 'object'
    ? String(value)
    : (value.constructor?.name ?? 'an object');
}
