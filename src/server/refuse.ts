/** RFC 6455 §4.2.2: "the server MUST ... return an appropriate HTTP error code" in place of the upgrade. */

import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { deadline } from '../deadline.js';
import { HandshakeError } from '../errors.js';
import { checkHeaders, isFraming } from '../handshake/fields.js';
import type { Rejection } from '../handshake/server-handshake.js';

/** Milliseconds that a refused peer has to read its answer and to close. */
const lingerTime = 1_000;

/** RFC 9110 §15.3.5, §15.3.6, §15.4.5: a response with one of these statuses has no content. */
const withoutContent: readonly number[] = [204, 205, 304];

/**
 * Answers with a whole HTTP response and closes the socket. Returns the error to throw: its status is 0 when
 * the peer was gone, so that nothing could be answered.
 *
 * What the peer still sends is read and dropped until it closes too, or its time is over: a socket that is
 * destroyed with unread bytes resets the connection, and the peer could lose the answer.
 */
export function refuse(socket: Duplex, rejection: Rejection, cause?: unknown): HandshakeError {
  socket.on('error', () => {});
  const details = cause === undefined ? {} : { cause };
  if (!socket.writable) {
    socket.destroy();
    return new HandshakeError(0, 'Connection was lost during the opening handshake', details);
  }
  const { fields, body } = answer(rejection);
  const head = [
    `HTTP/1.1 ${rejection.status} ${STATUS_CODES[rejection.status] ?? ''}`,
    ...fields.map(([name, value]) => `${name}: ${value}`),
    '\r\n',
  ].join('\r\n');
  socket.end(Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]));
  socket.resume();
  socket.once(
    'close',
    deadline(lingerTime, () => socket.destroy()),
  );

  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of fields) {
    const key = name.toLowerCase();
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  const reason =
    cause instanceof Error ? cause.message : body.slice(0, 200) || STATUS_CODES[rejection.status];
  return new HandshakeError(
    rejection.status,
    `Refused the opening handshake with ${rejection.status}: ${reason}`,
    {
      headers,
      body: body.slice(0, 4096),
      ...details,
    },
  );
}

/**
 * Header fields and body of the answer; throws a TypeError for a rejection that cannot be sent. The body of a
 * status without content is left out, and with it what describes one.
 */
export function answer(rejection: Rejection): { fields: [name: string, value: string][]; body: string } {
  const { status, headers = {}, body = STATUS_CODES[status] ?? '' } = rejection;
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new TypeError(`Expected a status of 200 to 599 in a rejection: ${status}`);
  }
  if (typeof body !== 'string')
    throw new TypeError(`Expected the body of a rejection to be a string: ${body}`);
  const fields = checkHeaders(headers).filter(([name]) => !isFraming(name.toLowerCase()));
  const has = (name: string): boolean => fields.some(([other]) => other.toLowerCase() === name);
  const content = !withoutContent.includes(status);
  if (content) {
    if (!has('content-type')) fields.push(['Content-Type', 'text/plain; charset=utf-8']);
    fields.push(['Content-Length', String(Buffer.byteLength(body))]);
  } else if (status === 205) {
    // RFC 9110 §8.6 forbids Content-Length to 204; a 205 without it would be read until the connection is
    // closed
    fields.push(['Content-Length', '0']);
  }
  fields.push(['Connection', 'close']);
  // RFC 9110 §7.8: "A sender of Upgrade MUST also send an 'Upgrade' connection option".
  if (has('upgrade')) fields.push(['Connection', 'Upgrade']);
  return { fields, body: content ? body : '' };
}
