/** Stable `code` of every {@link WebSocketError} that is not a {@link ConnectionClosedError}. */
export type ErrorCode =
  | 'ERR_HANDSHAKE'
  | 'ERR_PROTOCOL'
  | 'ERR_INVALID_PAYLOAD'
  | 'ERR_MESSAGE_TOO_BIG'
  | 'ERR_SEND_QUEUE_FULL'
  | 'ERR_CONSUMPTION'
  | 'ERR_UNEXPECTED_END'
  | 'ERR_TIMEOUT';

/** Parent of every error that Sluice raises for what a peer, the network or the time did. */
export class WebSocketError extends Error {
  /** A stable name to test for; of a {@link ConnectionClosedError} the close code, a number. */
  readonly code: ErrorCode | number;

  constructor(code: ErrorCode | number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

/** What is known of an HTTP answer that was not the expected one. */
export interface HandshakeErrorDetails extends ErrorOptions {
  /** Response header fields, names in lower case; repeated fields are joined as `node:http` joins them. */
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  /** The first bytes of the response body, as text. */
  readonly body?: string;
}

/**
 * The opening handshake failed (RFC 6455 §4). On a client, `status`, `headers` and `body` are those of the
 * server's answer (`status` is 0 when there was none); on a server, `status` and `headers` are what the peer was answered.
 */
export class HandshakeError extends WebSocketError {
  declare readonly code: 'ERR_HANDSHAKE';
  /** HTTP status code, or 0 when no answer came. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The start of the response body, at most 4 KiB, empty when there was none. */
  readonly body: string;

  constructor(status: number, message: string, details: HandshakeErrorDetails = {}) {
    super('ERR_HANDSHAKE', message, details);
    this.status = status;
    this.headers = details.headers ?? {};
    this.body = details.body ?? '';
  }
}

/** The peer broke a MUST of the protocol; the connection is failed with `closeCode` (RFC 6455 §7.1.7). */
export class ProtocolError extends WebSocketError {
  declare readonly code: 'ERR_PROTOCOL' | 'ERR_INVALID_PAYLOAD' | 'ERR_MESSAGE_TOO_BIG';
  /** The status code sent in the Close frame: 1002, 1007 or 1009 (RFC 6455 §7.4.1). */
  readonly closeCode: number;
  /** The reason sent in the Close frame: which rule was broken, without values and limits of this side. */
  readonly closeReason: string;
  /** The section whose rule was broken, such as `RFC 6455 §5.2`. */
  readonly section: string;

  /** @param detail - the value that broke the rule, and the limit: it is in the message only */
  constructor(
    closeCode: number,
    section: string,
    closeReason: string,
    detail = '',
    code: 'ERR_PROTOCOL' | 'ERR_INVALID_PAYLOAD' | 'ERR_MESSAGE_TOO_BIG' = 'ERR_PROTOCOL',
  ) {
    super(code, detail === '' ? closeReason : `${closeReason}: ${detail}`);
    this.closeCode = closeCode;
    this.closeReason = closeReason;
    this.section = section;
  }
}

/** A message was not what its type says: text that is not UTF-8, data that does not inflate (1007). */
export class InvalidPayloadError extends ProtocolError {
  constructor(section: string, closeReason: string, detail = '') {
    super(1007, section, closeReason, detail, 'ERR_INVALID_PAYLOAD');
  }
}

/** A message was over the limit that applies to it (1009). */
export class MessageTooBigError extends ProtocolError {
  constructor(section: string, closeReason: string, detail = '') {
    super(1009, section, closeReason, detail, 'ERR_MESSAGE_TOO_BIG');
  }
}

/**
 * A call could not be done because the connection is closing or closed. `cause` holds the error that ended
 * it, when there was one.
 */
export class ConnectionClosedError extends WebSocketError {
  /** The close code as in RFC 6455 §7.1.5: 1005 when the Close frame had none, 1006 when no Close frame came. */
  declare readonly code: number;
  /** The reason of the peer's Close frame, empty when it gave none (RFC 6455 §7.1.6). */
  readonly reason: string;

  constructor(code: number, reason: string, options?: ErrorOptions) {
    super(code, `The connection is closed: ${code}${reason && ` ${reason}`}`, options);
    this.reason = reason;
  }
}

/** Something took longer than its limit: the opening handshake, or a Pong. */
export class TimeoutError extends WebSocketError {
  declare readonly code: 'ERR_TIMEOUT';

  constructor(message: string, options?: ErrorOptions) {
    super('ERR_TIMEOUT', message, options);
  }
}
