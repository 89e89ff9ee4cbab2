/**
 * Sluice: WebSocket for Node.js, server and client, with streaming zero-copy messages.
 *
 * @module
 */
export { connect } from './client/connect.js';
export type { ConnectOptions } from './client/options.js';
export type {
  ClosingOptions,
  ConnectionEvents,
  ConnectionInit,
  ConnectionStats,
  DrainedOptions,
  PingOptions,
  SendOptions,
  SendStreamOptions,
  WriteOptions,
} from './connection/connection-types.js';
export {
  type ConnectionOptions,
  type ResolvedConnectionOptions,
  resolveConnectionOptions,
} from './connection/options.js';
export { MessageReader, type MessageType } from './connection/receiving/message-reader.js';
export { MessageWriter } from './connection/sending/message-writer.js';
export type { BytesLike } from './connection/sending/payload.js';
export { prepareMessage } from './connection/sending/prepare-message.js';
export type { MessageSource } from './connection/sending/send-stream.js';
export { WebSocketConnection } from './connection/websocket-connection.js';
export {
  ConnectionClosedError,
  type ErrorCode,
  HandshakeError,
  type HandshakeErrorDetails,
  InvalidPayloadError,
  MessageTooBigError,
  ProtocolError,
  TimeoutError,
  WebSocketError,
} from './errors.js';
export { type PermessageDeflateOptions, permessageDeflate } from './extensions/permessage-deflate/index.js';
export type { HeaderRecord } from './handshake/fields.js';
export type { OriginPolicy } from './handshake/origin.js';
export type { Rejection } from './handshake/server-handshake.js';
export type { SubprotocolChoice } from './handshake/subprotocol.js';
export { CloseCode } from './protocol/close-code.js';
export type { CloseInfo } from './protocol/closing-handshake.js';
export type { Role } from './protocol/endpoint.js';
export type {
  AcceptedExtension,
  Extension,
  ExtensionFactory,
  ExtensionParameters,
  MessageDecoder,
  MessageEncoder,
} from './protocol/extension.js';
export type { PreparedMessage } from './protocol/prepared-message.js';
export { accept, isUpgrade } from './server/accept.js';
export type { AcceptOptions } from './server/accept-options.js';
export type {
  Acceptance,
  Authenticate,
  Authentication,
  AuthenticationContext,
} from './server/authentication.js';
export type { BroadcastOptions, BroadcastResult } from './server/broadcast-options.js';
export type { HttpServer } from './server/dispatcher.js';
export type { RequestContext } from './server/request-context.js';
export type { WebSocketServerEvents } from './server/server-events.js';
export type { CloseOptions, WebSocketServerOptions } from './server/server-options.js';
export { WebSocketServer } from './server/websocket-server.js';
