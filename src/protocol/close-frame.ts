/**
 * The body of a Close frame, RFC 6455 §5.5.1.
 *
 *     empty, or: status code (2 bytes, network byte order), reason (UTF-8, 0 to 123 bytes)
 */
import { isUtf8 } from 'node:buffer';
import { CloseCode, isValidCloseCode } from './close-code.js';
import { MAX_CONTROL_PAYLOAD } from './frame-header.js';
import { violation } from './violation.js';

/** Most bytes of the reason (§5.5): the code takes two. */
const MAX_REASON = MAX_CONTROL_PAYLOAD - 2;

const empty: Buffer = Buffer.alloc(0);

/**
 * Makes the body of a Close frame.
 *
 * @param code - without it the body is empty, and the peer is told 1005
 * @throws RangeError for a code that must not be sent (§7.4), or a reason of more than 123 bytes of UTF-8;
 * TypeError for anything but a number and a string
 */
export function closeBody(code?: number, reason = ''): Buffer {
  if (typeof reason !== 'string') throw new TypeError(`Expected the close reason to be a string: ${reason}`);
  if (code === undefined) {
    if (reason !== '') throw new TypeError('Expected a close code in front of the close reason');
    return empty;
  }
  if (typeof code !== 'number') throw new TypeError(`Expected the close code to be a number: ${code}`);
  if (!isValidCloseCode(code)) {
    throw new RangeError(`Tried to close with a code that must not be sent: ${code}`);
  }
  const size = Buffer.byteLength(reason);
  if (size > MAX_REASON) {
    throw new RangeError(`Tried to close with a reason of more than 123 bytes: ${size}`);
  }
  const body = Buffer.alloc(2 + size);
  body.writeUInt16BE(code);
  body.write(reason, 2);
  return body;
}

/** As much of a text as a Close frame can hold, cut between two characters. */
export function shortenReason(text: string): string {
  return text.slice(0, new TextEncoder().encodeInto(text, new Uint8Array(MAX_REASON)).read);
}

/** Reads the body of a received Close frame; an empty one has the code 1005 (§7.1.5). Throws a `ProtocolError`. */
export function parseCloseBody(body: Buffer): { code: number; reason: string } {
  if (body.length === 0) return { code: CloseCode.NoStatusReceived, reason: '' };
  if (body.length === 1) throw violation('closeTooShort');
  const code = body.readUInt16BE();
  if (!isValidCloseCode(code)) throw violation('closeCode', code);
  const reason = body.subarray(2);
  if (!isUtf8(reason)) throw violation('closeReason');
  return { code, reason: reason.toString() };
}
