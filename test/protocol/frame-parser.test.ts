import { describe, expect, test } from 'vitest';
import { FrameEvent, FrameParser } from '../../src/protocol.js';
import { chunkings, frameTo, roles } from '../support/frames.js';

describe.each(roles)('the parser of a %s', (role) => {
  const make = (rsv = 0): FrameParser => new FrameParser(role === 'server', rsv);

  test('§5.2 tells the header, then its payload as a view of the chunk, unmasked in place', () => {
    const parser = make(0x40);
    const chunk = frameTo(role, 2, 'payload', { fin: false, rsv: 0x40 });
    parser.push(chunk);
    expect(parser.next()).toBe(FrameEvent.Header);
    expect(parser).toMatchObject({ opcode: 2, fin: false, rsv: 0x40, length: 7, remaining: 7 });
    expect(parser.next()).toBe(FrameEvent.Payload);
    expect(parser.chunk).toBe(chunk);
    expect([parser.start, parser.end, parser.remaining]).toEqual([chunk.length - 7, chunk.length, 0]);
    expect(chunk.toString('latin1', parser.start, parser.end)).toBe('payload');
    expect(parser.next()).toBe(FrameEvent.NeedData);
  });

  test('§5.3 bytes behind the payload at hand stay as they came until it is their turn', () => {
    const parser = make();
    const second = frameTo(role, 1, 'second');
    const chunk = Buffer.concat([frameTo(role, 1, 'first'), second]);
    parser.push(chunk);
    parser.next();
    parser.next();
    expect(chunk.subarray(-second.length)).toEqual(second);
  });

  test('§5.2 an empty frame has one empty payload event', () => {
    const parser = make();
    parser.push(Buffer.concat([frameTo(role, 2), frameTo(role, 2)]));
    for (let i = 0; i < 2; i++) {
      expect([parser.next(), parser.length]).toEqual([FrameEvent.Header, 0]);
      expect([parser.next(), parser.end - parser.start, parser.remaining]).toEqual([
        FrameEvent.Payload,
        0,
        0,
      ]);
    }
    expect([parser.next(), parser.next()]).toEqual([FrameEvent.NeedData, FrameEvent.NeedData]);
  });

  test('§5.2 a payload cut into chunks is told in parts, with what remains', () => {
    const parser = make();
    const bytes = frameTo(role, 2, 'abcdef');
    const told: (readonly [string, number])[] = [];
    for (const chunk of [
      bytes.subarray(0, -4),
      bytes.subarray(-4, -1),
      Buffer.alloc(0),
      bytes.subarray(-1),
    ]) {
      parser.push(Buffer.from(chunk));
      for (let event = parser.next(); event !== FrameEvent.NeedData; event = parser.next()) {
        if (event === FrameEvent.Payload)
          told.push([parser.chunk.toString('latin1', parser.start, parser.end), parser.remaining]);
      }
    }
    expect(told).toEqual([
      ['ab', 4],
      ['cde', 1],
      ['f', 0],
    ]);
  });

  test.each(chunkings)('§5.5 control frames are told whole, %s', (_, cut) => {
    const parser = make();
    const told: (readonly [number, string])[] = [];
    const long = 'x'.repeat(125);
    for (const chunk of cut(
      Buffer.concat([frameTo(role, 9), frameTo(role, 10, long), frameTo(role, 8, 'ab')]),
    )) {
      parser.push(chunk);
      for (let event = parser.next(); event !== FrameEvent.NeedData; event = parser.next()) {
        expect(event).toBe(FrameEvent.Control);
        told.push([parser.opcode, parser.control.toString()]);
      }
    }
    expect(told).toEqual([
      [9, ''],
      [10, long],
      [8, 'ab'],
    ]);
  });

  test('a header cut at any place is the same header', () => {
    for (const size of [3, 126, 65536]) {
      const bytes = frameTo(role, 2, Buffer.alloc(size, 'z'));
      for (let at = 0; at < 15; at++) {
        const parser = make();
        parser.push(Buffer.from(bytes.subarray(0, at)));
        let header = parser.next() === FrameEvent.Header;
        while (parser.next() !== FrameEvent.NeedData);
        parser.push(Buffer.from(bytes.subarray(at)));
        if (!header) header = parser.next() === FrameEvent.Header;
        expect([header, parser.length, parser.opcode]).toEqual([true, size, 2]);
      }
    }
  });

  test('a chunk that is used up is let go of, also inside a payload, a header or a control frame', () => {
    const endings = [
      Buffer.alloc(0),
      frameTo(role, 2, 'abc').subarray(0, -1),
      frameTo(role, 2, 'abc').subarray(0, 1),
      frameTo(role, 9, 'abc').subarray(0, -1),
    ];
    for (const ending of endings) {
      const parser = make();
      parser.push(Buffer.concat([frameTo(role, 10, 'pong'), frameTo(role, 1, 'message'), ending]));
      while (parser.next() !== FrameEvent.NeedData);
      expect(parser.chunk.length).toBe(0);
    }
  });
});

test('a control payload is let go of with its chunk', () => {
  const parser = new FrameParser(false);
  parser.push(frameTo('client', 9, 'ping'));
  expect([parser.next(), parser.control.toString()]).toEqual([FrameEvent.Control, 'ping']);
  expect([parser.next(), parser.control.length]).toEqual([FrameEvent.NeedData, 0]);
});

test('[F-14] 1,000,000 empty frames in one buffer are told one by one, without a deep stack', () => {
  const parser = new FrameParser(false);
  parser.push(Buffer.alloc(2_000_000, Buffer.from([0x82, 0])));
  let frames = 0;
  for (let event = parser.next(); event !== FrameEvent.NeedData; event = parser.next()) {
    if (event === FrameEvent.Payload) frames++;
  }
  expect(frames).toBe(1_000_000);
});
