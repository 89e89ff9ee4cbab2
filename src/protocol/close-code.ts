/**
 * Close codes, RFC 6455 §7.4 and the IANA registry of §11.7.
 *
 *     0-999      never used (§7.4.2)
 *     1000-1003  defined by the RFC                         send, receive
 *     1004       reserved, no meaning yet
 *     1005 1006 1015  told to the application only, "MUST NOT be set" in a frame (§7.4.1)
 *     1007-1014  RFC and registry                           send, receive
 *     1016-2999  for later revisions and extensions
 *     3000-3999  registered by libraries and frameworks     send, receive
 *     4000-4999  private use                                send, receive
 */
export const CloseCode = {
  NormalClosure: 1000,
  GoingAway: 1001,
  ProtocolError: 1002,
  UnsupportedData: 1003,
  NoStatusReceived: 1005,
  AbnormalClosure: 1006,
  InvalidPayload: 1007,
  PolicyViolation: 1008,
  MessageTooBig: 1009,
  MandatoryExtension: 1010,
  InternalError: 1011,
  ServiceRestart: 1012,
  TryAgainLater: 1013,
  BadGateway: 1014,
  TlsHandshake: 1015,
} as const;

/** A close code that has a name; any number of 3000-4999 may be used beside them. */
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** Whether a code may stand in a Close frame, sent or received (§7.4.1, §7.4.2). */
export function isValidCloseCode(code: number): boolean {
  if (!Number.isInteger(code)) return false;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
