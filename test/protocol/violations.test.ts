import { describe, expect, test } from 'vitest';
import {
  Endpoint,
  type Extension,
  ProtocolError,
  type Role,
  type ViolationName,
  violations,
} from '../../src/protocol.js';
import { chunkings, type FrameOptions, feed, frameTo, output, parse, roles } from '../support/frames.js';

/** An extension that owns RSV1 and changes nothing. */
const plain = (): Extension => {
  let data: Buffer | null = null;
  let last = false;
  const decoder = {
    busy: false,
    done: false,
    onready: null,
    write(payload: Buffer, isLast: boolean) {
      data = payload;
      last = isLast;
      decoder.done = false;
    },
    read() {
      const out = data;
      data = null;
      decoder.done = last;
      return out;
    },
  };
  return {
    name: 'plain',
    rsv: 0x40,
    decoder,
    encoder: { wants: () => false, encode: (bytes) => Buffer.from(bytes) },
    close() {},
  };
};

interface Setup {
  readonly extension?: boolean;
  readonly max?: number;
}

const make = (role: Role, { extension, max }: Setup): Endpoint =>
  new Endpoint({
    role,
    ...(extension && { extension: plain() }),
    ...(max !== undefined && { maxMessageSize: max }),
  });

/** In every chunking: the frames fail the connection by this row, at the last of them, and all input behind is ignored. */
function fails(role: Role, bytes: readonly Buffer[], name: ViolationName, setup: Setup = {}): void {
  for (const [, cut] of chunkings) {
    const endpoint = make(role, setup);
    const before = feed(endpoint, cut(Buffer.concat(bytes.slice(0, -1))));
    expect(before.error).toBe(null);
    output(endpoint);
    const { error } = feed(endpoint, cut(bytes.at(-1)!));
    const row = violations[name];
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error).toMatchObject({ closeCode: row.closeCode, section: `RFC 6455 ${row.section}` });
    expect(error!.message.startsWith(row.message)).toBe(true);
    const [close, ...more] = parse(output(endpoint));
    expect(more).toEqual([]);
    expect(close).toMatchObject({ fin: true, rsv: 0, opcode: 8 });
    expect(close!.payload.readUInt16BE()).toBe(row.closeCode);
    expect(close!.key === null).toBe(role === 'server');
    expect(feed(endpoint, [frameTo(role, 1, 'later'), frameTo(role, 9, 'p')])).toEqual({
      told: [],
      error: null,
    });
    expect(endpoint.pending).toBe(0);
  }
}

describe.each(roles)('a %s', (role) => {
  const other = (opcode: number, payload: string | Uint8Array = '', options: FrameOptions = {}): Buffer =>
    frameTo(role, opcode, payload, options);

  test('[F-01] §5.1 an unmasked frame to a server, a masked one to a client, fails the connection with 1002', () => {
    const wrong = role === 'server' ? null : [1, 2, 3, 4];
    const name = role === 'server' ? 'unmaskedFrame' : 'maskedFrame';
    for (const opcode of [1, 2, 8, 9, 10]) fails(role, [other(opcode, '', { key: wrong })], name);
    fails(role, [other(2, 'abc', { key: wrong })], name);
  });

  test('[F-02] §5.2 reserved bits that no extension owns fail the connection with 1002', () => {
    for (const rsv of [0x10, 0x20, 0x40, 0x70]) {
      for (const opcode of [1, 2, 8, 9, 10]) fails(role, [other(opcode, '', { rsv })], 'reservedBits');
    }
    for (const rsv of [0x10, 0x20, 0x50])
      fails(role, [other(1, 'a', { rsv })], 'reservedBits', { extension: true });
  });

  test('[F-02] RFC 7692 §6.1 RSV1 on a control or continuation frame fails with 1002, on a first frame it is taken', () => {
    for (const opcode of [8, 9, 10])
      fails(role, [other(opcode, '', { rsv: 0x40 })], 'reservedBits', { extension: true });
    const begun = other(1, 'a', { fin: false, rsv: 0x40 });
    fails(role, [begun, other(0, 'b', { rsv: 0x40 })], 'reservedBits', { extension: true });
    const endpoint = make(role, { extension: true });
    expect(feed(endpoint, [begun, other(0, 'b')]).told).toEqual([['message', 1, 'ab']]);
  });

  test('[F-03] §5.2 opcodes 3-7 and B-F fail the connection with 1002', () => {
    for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
      fails(role, [other(opcode, 'a')], 'unknownOpcode');
  });

  test('[F-04] §5.5 a control frame that is fragmented or over 125 bytes fails the connection with 1002', () => {
    for (const opcode of [8, 9, 10]) {
      fails(role, [other(opcode, '', { fin: false })], 'controlFragmented');
      fails(role, [other(opcode, Buffer.alloc(126))], 'controlTooLong');
      fails(role, [other(opcode, 'a', { lengthBytes: 8 })], 'controlTooLong');
    }
  });

  test('[F-05] §5.4 a continuation of nothing, a message inside a message, fail the connection with 1002', () => {
    fails(role, [other(0, 'a')], 'unexpectedContinuation');
    fails(role, [other(0, '', { fin: false })], 'unexpectedContinuation');
    fails(role, [other(1, 'a'), other(0, 'b')], 'unexpectedContinuation');
    fails(role, [other(1, 'a', { rsv: 0x40 }), other(0, 'b')], 'unexpectedContinuation', { extension: true });
    fails(role, [other(1, 'a', { fin: false }), other(1, 'b')], 'unfinishedMessage');
    fails(role, [other(1, 'a', { fin: false }), other(9), other(2, 'b')], 'unfinishedMessage');
  });

  test('[F-06] §5.2 a length that is not minimally encoded fails the connection with 1002', () => {
    for (const length of [0n, 1n, 125n]) {
      fails(role, [other(2, '', { length, lengthBytes: 2 })], 'lengthNotMinimal');
    }
    for (const length of [0n, 125n, 126n, 65535n]) {
      fails(role, [other(2, '', { length, lengthBytes: 8 })], 'lengthNotMinimal');
    }
  });

  test('[F-07] §5.2 a 64-bit length with the top bit set fails with 1002, one over 2^53 or the limit with 1009', () => {
    fails(role, [other(2, '', { length: 0x0080000000000001n + (1n << 63n) })], 'lengthTopBit');
    fails(role, [other(2, '', { length: 1n << 63n })], 'lengthTopBit');
    fails(role, [other(2, '', { length: 0x0080000000000001n })], 'messageTooBig');
    fails(role, [other(2, '', { length: 1n << 53n })], 'messageTooBig');
    fails(role, [other(2, '', { length: 1001n })], 'messageTooBig', { max: 1000 });
  });

  test('[F-08] §5.2 a continuation of 2^63 bytes and more fails at its header, behind a fragment', () => {
    const begun = other(2, 'A', { fin: false });
    fails(role, [begun, other(0, '', { fin: false, length: 0x8000000000000000n })], 'lengthTopBit');
    fails(role, [begun, other(0, '', { fin: false, length: (1n << 53n) - 1n })], 'messageTooBig', {
      max: 2 ** 53 - 1,
    });
  });

  test('[F-09] a frame that claims 100 MiB allocates nothing in front of its bytes', () => {
    const endpoint = make(role, {});
    const before = process.memoryUsage().arrayBuffers;
    feed(endpoint, [other(2, 'x', { length: 100n * 1024n * 1024n })]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });

  test('[F-10] §10.4 fragments of 6 + 6 bytes are over a limit of 10, those of 5 + 5 are not', () => {
    fails(role, [other(2, '123456', { fin: false }), other(0, '789012')], 'messageTooBig', { max: 10 });
    fails(role, [other(1, '12345678901')], 'messageTooBig', { max: 10 });
    for (const [, cut] of chunkings) {
      const bytes = Buffer.concat([
        other(2, '12345', { fin: false }),
        other(0, '67890'),
        other(1, '1234567890'),
      ]);
      expect(feed(make(role, { max: 10 }), cut(bytes))).toEqual({
        told: [
          ['message', 2, '1234567890'],
          ['message', 1, '1234567890'],
        ],
        error: null,
      });
    }
  });

  test('[F-15] §8.1 text that is not UTF-8 fails with 1007 at its first bad byte, however it is cut', () => {
    const samples = [
      'ff',
      'c080',
      'c3',
      'e28228',
      'eda080',
      'f0808080',
      'f4908080',
      'f5',
      '61c3',
      '80',
      'e282',
      'f09f98',
    ];
    for (const hex of samples) {
      const bad = Buffer.from(hex, 'hex');
      fails(role, [other(1, bad)], 'invalidUtf8');
      fails(
        role,
        [other(1, Buffer.concat([Buffer.alloc(300, 'é'), bad, Buffer.from('end')]))],
        'invalidUtf8',
      );
      fails(role, [other(1, bad, { fin: false }), other(0, '')].slice(0, isCut(hex) ? 2 : 1), 'invalidUtf8');
    }
    // The message goes on: its first bad byte is enough
    const endpoint = make(role, {});
    const start = other(1, Buffer.from('61ff', 'hex'), { fin: false, length: 1000n });
    expect(feed(endpoint, [start]).error).toMatchObject({ closeCode: 1007, code: 'ERR_INVALID_PAYLOAD' });
    // A character cut by frames and chunks is none
    for (const [, cut] of chunkings) {
      const bytes = Buffer.concat([
        other(1, Buffer.from('f09f', 'hex'), { fin: false }),
        other(9),
        other(0, Buffer.from('9880', 'hex')),
      ]);
      expect(feed(make(role, {}), cut(bytes)).told).toEqual([
        ['ping', ''],
        ['message', 1, Buffer.from('😀').toString('latin1')],
      ]);
    }
  });

  test('[F-16] §5.5.1 §7.4 a Close body of 1 byte, and codes that must not be sent, fail the connection with 1002', () => {
    fails(role, [other(8, 'a')], 'closeTooShort');
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535]) {
      fails(role, [other(8, Buffer.from([code >> 8, code & 255]))], 'closeCode');
    }
  });

  test('[F-17] §8.1 a Close reason that is not UTF-8 fails the connection with 1007', () => {
    fails(role, [other(8, Buffer.from('03e8ff', 'hex'))], 'closeReason');
    fails(role, [other(8, Buffer.from('03e8c3', 'hex'))], 'closeReason');
  });
});

const isCut = (hex: string): boolean => ['c3', 'e282', 'f09f98', '61c3'].includes(hex);

test('every row of the table has a section, a code and a message in its style', () => {
  for (const [name, row] of Object.entries(violations)) {
    expect([name, row.section]).toEqual([name, expect.stringMatching(/^§\d+(\.\d+)*$/)]);
    expect([1002, 1007, 1009]).toContain(row.closeCode);
    expect(row.message).toMatch(/^[A-Z].*[^.]$/);
  }
});
