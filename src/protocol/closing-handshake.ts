/**
 * The closing handshake, RFC 6455 §7.1.
 *
 *     state     Close sent  received
 *     OPEN      no          no
 *     CLOSING   yes         no        this endpoint began it, or failed the connection
 *     CLOSING   yes         yes       done: the server closes the TCP connection, the client waits for it (§7.1.1)
 *     CLOSED                          the TCP connection is closed
 *
 * A received Close frame is answered at once (§5.5.1), so that "received, not sent" is no state.
 */
import { CloseCode } from './close-code.js';

/** The states of a connection. */
export const State = { Connecting: 0, Open: 1, Closing: 2, Closed: 3 } as const;

/** One of {@link State}. */
export type State = (typeof State)[keyof typeof State];

/** How a connection ended. */
export interface CloseInfo {
  /** The code of the first Close frame received; 1005 if it had none, 1006 if none came (§7.1.5). */
  readonly code: number;
  /** The reason in that frame, or an empty string (§7.1.6). */
  readonly reason: string;
  /** Whether the closing handshake was completed before the TCP connection was closed (§7.1.4). */
  readonly wasClean: boolean;
}

/** Keeps the state of one connection and which Close frames were sent and received. */
export class ClosingHandshake {
  state: State = State.Open;
  sent = false;
  received = false;
  /** What the first Close frame said. */
  code: number = CloseCode.AbnormalClosure;
  reason = '';

  /** A Close frame is sent: "the application MUST NOT send any more data frames" after it (§5.5.1). */
  onSent(): void {
    this.sent = true;
    if (this.state === State.Open) this.state = State.Closing;
  }

  /** The connection is lost before the Close frame has left. */
  onLost(): void {
    this.sent = false;
  }

  /** A Close frame was received. */
  onReceived(code: number, reason: string): void {
    this.received = true;
    this.code = code;
    this.reason = reason;
    if (this.state === State.Open) this.state = State.Closing;
  }

  /** How the connection ended, or would end now. */
  get info(): CloseInfo {
    return { code: this.code, reason: this.reason, wasClean: this.sent && this.received };
  }
}
