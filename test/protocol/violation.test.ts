import { expect, test } from 'vitest';
import {
  Endpoint,
  EndpointEvent,
  InvalidPayloadError,
  MessageTooBigError,
  Opcode,
  ProtocolError,
  type ViolationName,
  violation,
  violations,
} from '../../src/protocol.js';

/** Written down apart from the table, so that a row cannot change unseen. */
const rows: Readonly<Record<ViolationName, readonly [section: string, closeCode: number]>> = {
  unmaskedFrame: ['§5.1', 1002],
  maskedFrame: ['§5.1', 1002],
  reservedBits: ['§5.2', 1002],
  unknownOpcode: ['§5.2', 1002],
  lengthNotMinimal: ['§5.2', 1002],
  lengthTopBit: ['§5.2', 1002],
  controlTooLong: ['§5.5', 1002],
  controlFragmented: ['§5.5', 1002],
  unexpectedContinuation: ['§5.4', 1002],
  unfinishedMessage: ['§5.4', 1002],
  closeTooShort: ['§5.5.1', 1002],
  closeCode: ['§7.4', 1002],
  closeReason: ['§8.1', 1007],
  invalidUtf8: ['§8.1', 1007],
  messageTooBig: ['§10.4', 1009],
};

test('§7.4.1 each violation fails the connection with its code, and names its section', () => {
  const actual = Object.entries(violations).map(([name, row]) => [name, [row.section, row.closeCode]]);
  expect(Object.fromEntries(actual)).toEqual(rows);
});

test('a violation is an error of the class of its close code, with the actual value at the end', () => {
  const [protocol, payload, size] = [
    violation('unknownOpcode', '0x03'),
    violation('invalidUtf8'),
    violation('messageTooBig', 11n),
  ];
  expect(protocol).toMatchObject({
    name: 'ProtocolError',
    code: 'ERR_PROTOCOL',
    closeCode: 1002,
    section: 'RFC 6455 §5.2',
    message: 'Received a frame with an unknown opcode: 0x03',
  });
  expect(payload).toBeInstanceOf(InvalidPayloadError);
  expect(payload).toMatchObject({ code: 'ERR_INVALID_PAYLOAD', closeCode: 1007 });
  expect(payload.message).toBe('Received a text message that is not UTF-8');
  expect(size).toBeInstanceOf(MessageTooBigError);
  expect(size).toMatchObject({ code: 'ERR_MESSAGE_TOO_BIG', closeCode: 1009 });
  expect(size.message).toBe('Received a message over the limit: 11');
  for (const error of [protocol, payload, size]) expect(error).toBeInstanceOf(ProtocolError);
});

test('§5.5.1 every message fits a Close frame with a value behind it', () => {
  for (const { message } of Object.values(violations)) expect(Buffer.byteLength(message)).toBeLessThan(103);
});

test.each(['server', 'client'] as const)(
  '§7.1.6 the reason that a %s sends is the text of the rule; sizes and limits are in its own error only',
  (role) => {
    const endpoint = new Endpoint({ role, maxMessageSize: 10 });
    const peer = new Endpoint({ role: role === 'server' ? 'client' : 'server' });
    peer.send(Opcode.Binary, Buffer.alloc(1234));
    for (const chunk of peer.take()) endpoint.push(chunk);
    expect(() => endpoint.next()).toThrow(/over the limit: 1234 bytes, of at most 10 /);
    for (const chunk of endpoint.take()) peer.push(chunk);
    while (peer.next() !== EndpointEvent.NeedData);
    expect(peer.closing).toMatchObject({ code: 1009, reason: violations.messageTooBig.message });
  },
);
