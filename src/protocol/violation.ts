/**
 * Every MUST of RFC 6455 §5-§8 that an endpoint enforces on its peer, one row each: the section, the code of
 * the Close frame that fails the connection (§7.1.7, §7.4.1), and what is said.
 */
import { InvalidPayloadError, MessageTooBigError, ProtocolError } from '../errors.js';

/** One rule that a peer can break. */
export interface Violation {
  readonly section: string;
  readonly closeCode: 1002 | 1007 | 1009;
  readonly message: string;
}

/** The name of a row of the table. */
export type ViolationName =
  | 'unmaskedFrame'
  | 'maskedFrame'
  | 'reservedBits'
  | 'unknownOpcode'
  | 'lengthNotMinimal'
  | 'lengthTopBit'
  | 'controlTooLong'
  | 'controlFragmented'
  | 'unexpectedContinuation'
  | 'unfinishedMessage'
  | 'closeTooShort'
  | 'closeCode'
  | 'closeReason'
  | 'invalidUtf8'
  | 'messageTooBig';

export const violations: Readonly<Record<ViolationName, Violation>> = {
  // §5.1 "The server MUST close the connection upon receiving a frame that is not masked"
  unmaskedFrame: {
    section: '§5.1',
    closeCode: 1002,
    message: 'Received a frame from the client that is not masked',
  },
  // §5.1 "A client MUST close a connection if it detects a masked frame"
  maskedFrame: {
    section: '§5.1',
    closeCode: 1002,
    message: 'Received a frame from the server that is masked',
  },
  // §5.2 "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values"
  reservedBits: {
    section: '§5.2',
    closeCode: 1002,
    message: 'Received a frame with reserved bits set that no extension defines',
  },
  // §5.2 "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_"
  unknownOpcode: { section: '§5.2', closeCode: 1002, message: 'Received a frame with an unknown opcode' },
  // §5.2 "the minimal number of bytes MUST be used to encode the length"
  lengthNotMinimal: {
    section: '§5.2',
    closeCode: 1002,
    message: 'Received a payload length that is not minimally encoded',
  },
  // §5.2 "a 64-bit unsigned integer (the most significant bit MUST be 0)"
  lengthTopBit: {
    section: '§5.2',
    closeCode: 1002,
    message: 'Received a 64-bit payload length with its most significant bit set',
  },
  // §5.5 "All control frames MUST have a payload length of 125 bytes or less"
  controlTooLong: {
    section: '§5.5',
    closeCode: 1002,
    message: 'Received a control frame with a payload of more than 125 bytes',
  },
  // §5.5 "and MUST NOT be fragmented"
  controlFragmented: { section: '§5.5', closeCode: 1002, message: 'Received a fragmented control frame' },
  // §5.4 a continuation frame belongs to a message begun before it
  unexpectedContinuation: {
    section: '§5.4',
    closeCode: 1002,
    message: 'Received a continuation frame with no message to continue',
  },
  // §5.4 "The fragments of one message MUST NOT be interleaved between the fragments of another message"
  unfinishedMessage: {
    section: '§5.4',
    closeCode: 1002,
    message: 'Received a new message before the last one was finished',
  },
  // §5.5.1 "the first two bytes of the body MUST be a 2-byte unsigned integer"
  closeTooShort: {
    section: '§5.5.1',
    closeCode: 1002,
    message: 'Received a Close frame with a body of 1 byte',
  },
  // §7.4.1, §7.4.2 codes that MUST NOT be in a Close frame
  closeCode: {
    section: '§7.4',
    closeCode: 1002,
    message: 'Received a Close frame with a code that must not be sent',
  },
  // §5.5.1 "followed by UTF-8-encoded data", §8.1
  closeReason: {
    section: '§8.1',
    closeCode: 1007,
    message: 'Received a Close frame with a reason that is not UTF-8',
  },
  // §8.1 "finds that the byte stream is not, in fact, a valid UTF-8 stream"
  invalidUtf8: { section: '§8.1', closeCode: 1007, message: 'Received a text message that is not UTF-8' },
  // §10.4 implementations "MUST protect themselves against exceeding those limits"
  messageTooBig: { section: '§10.4', closeCode: 1009, message: 'Received a message over the limit' },
};

/** Makes the error that fails the connection; `actual` is the value that broke the rule: the peer is not told. */
export function violation(name: ViolationName, actual?: string | number | bigint): ProtocolError {
  const { section, closeCode, message } = violations[name];
  const detail = actual === undefined ? '' : String(actual);
  const rfc = `RFC 6455 ${section}`;
  if (closeCode === 1007) return new InvalidPayloadError(rfc, message, detail);
  if (closeCode === 1009) return new MessageTooBigError(rfc, message, detail);
  return new ProtocolError(closeCode, rfc, message, detail);
}
