/**
 * `sluice/protocol`: the protocol of RFC 6455 without I/O, for those who bring their own transport.
 *
 * @module
 */
export {
  ConnectionClosedError,
  type ErrorCode,
  HandshakeError,
  InvalidPayloadError,
  MessageTooBigError,
  ProtocolError,
  TimeoutError,
  WebSocketError,
} from './errors.js';
export { acceptKey, isValidKey, makeKey } from './handshake/challenge.js';
export {
  type Agreement,
  type ClientOffer,
  checkResponse,
  type ResponseHead,
  requestFields,
} from './handshake/client-handshake.js';
export type { ExtensionElement, HeaderRecord } from './handshake/fields.js';
export {
  checkRequest,
  type Rejection,
  type RequestHead,
  type ServerChoice,
  type ServerHandshake,
  type SwitchingProtocols,
  switchProtocols,
} from './handshake/server-handshake.js';
export { parseUri, type WebSocketUri } from './handshake/uri.js';
export { CloseCode, isValidCloseCode } from './protocol/close-code.js';
export { closeBody, parseCloseBody } from './protocol/close-frame.js';
export { type CloseInfo, ClosingHandshake, State } from './protocol/closing-handshake.js';
export { Endpoint, EndpointEvent, type EndpointOptions, type Role } from './protocol/endpoint.js';
export type {
  AcceptedExtension,
  Extension,
  ExtensionFactory,
  ExtensionParameters,
  MessageDecoder,
  MessageEncoder,
} from './protocol/extension.js';
export { FrameEvent, FrameParser } from './protocol/frame-parser.js';
export { FrameWriter } from './protocol/frame-writer.js';
export { mask, maskingKey } from './protocol/masking.js';
export { MessageAssembler } from './protocol/message-assembler.js';
export { type MessageOpcode, Opcode } from './protocol/opcode.js';
export { PreparedMessage } from './protocol/prepared-message.js';
export { Utf8Validator } from './protocol/utf8.js';
export { type Violation, type ViolationName, violation, violations } from './protocol/violation.js';
