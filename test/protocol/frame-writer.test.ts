import { describe, expect, test } from 'vitest';
import { closeBody, FrameWriter, parseCloseBody } from '../../src/protocol.js';
import { parse } from '../support/frames.js';

const lengths = [
  0,
  1,
  63,
  64,
  65,
  125,
  126,
  127,
  5000,
  8 * 1024,
  8 * 1024 + 1,
  16 * 1024,
  16 * 1024 + 1,
  65535,
  65536,
  70_000,
  1_000_000,
];

describe.each([
  ['a server', false],
  ['a client', true],
])('%s', (_, masked) => {
  test.each(lengths)(
    '§5.2 writes %i bytes with the shortest header, and leaves them as they are',
    (length) => {
      const writer = new FrameWriter(masked);
      const payload = Buffer.alloc(length, 'payload');
      const before = Buffer.from(payload);
      writer.frame(0x82, payload);
      const size = writer.size;
      const bytes = Buffer.concat(writer.take());
      const [frame, ...more] = parse(bytes);
      expect(more).toEqual([]);
      expect(frame).toMatchObject({ fin: true, opcode: 2, rsv: 0 });
      expect(frame!.payload.equals(before)).toBe(true);
      expect(payload.equals(before)).toBe(true);
      expect(frame!.key === null).toBe(!masked);
      const extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
      expect(frame!.headerSize).toBe(2 + extended + (masked ? 4 : 0));
      expect([size, bytes.length, writer.size]).toEqual([bytes.length, bytes.length, 0]);
    },
  );

  test.each(lengths)('§5.6 writes text of %i characters of one to four bytes as UTF-8', (length) => {
    const texts = ['a', '\u0080', 'é', '€', '😀', 'a😀'].map((text) => text.repeat(length));
    const lone = '\ud800'.repeat(length);
    const writer = new FrameWriter(masked);
    for (const text of [...texts, lone]) writer.text(0x81, text);
    const frames = parse(Buffer.concat(writer.take()));
    expect(frames.map((frame) => frame.payload.toString())).toEqual([...texts, '\ufffd'.repeat(length)]);
  });

  test('writers that lay down frames by turns do not mix them', () => {
    const writers = Array.from({ length: 7 }, () => new FrameWriter(masked));
    for (let round = 0; round < 200; round++) {
      for (const [i, writer] of writers.entries()) {
        writer.frame(0x82, Buffer.alloc((round * 31 + i) % 700, `${i}`));
        if ((round + i) % 13 === 0) writer.text(0x81, `text of ${i}`);
        if ((round + i) % 29 === 0) writer.frame(0x82, Buffer.alloc(20_000, `${i}`));
      }
    }
    for (const [i, writer] of writers.entries()) {
      const frames = parse(Buffer.concat(writer.take()));
      expect(frames.length).toBeGreaterThan(200);
      for (const { opcode, payload } of frames) {
        expect(
          payload.equals(opcode === 1 ? Buffer.from(`text of ${i}`) : Buffer.alloc(payload.length, `${i}`)),
        ).toBe(true);
      }
    }
  });

  test('a writer never writes over what others laid behind it, also when the shared slab was replaced meanwhile', () => {
    const [first, second, filler] = [
      new FrameWriter(masked),
      new FrameWriter(masked),
      new FrameWriter(masked),
    ];
    first.text(0x81, 'first');
    second.text(0x81, 'second');
    for (let i = 0; i < 8; i++) {
      filler.frame(0x82, Buffer.alloc(15_000));
      filler.take();
    }
    first.text(0x81, 'third');
    const sent = (writer: FrameWriter): string[] =>
      parse(Buffer.concat(writer.take())).map((frame) => frame.payload.toString());
    expect([sent(first), sent(second)]).toEqual([['first', 'third'], ['second']]);
  });

  test('an open piece in a replaced slab is not taken for one in the new slab that ends at the same place', () => {
    const [first, second, filler] = [
      new FrameWriter(masked),
      new FrameWriter(masked),
      new FrameWriter(masked),
    ];
    const fill = (length: number): Buffer => {
      filler.frame(0x82, Buffer.alloc(length));
      return filler.take()[0]!;
    };
    const endOf = (piece: Buffer): number => piece.byteOffset + piece.length;
    for (let end = 0; end < 20_000 || end > 25_000; ) end = endOf(fill(1000));
    first.text(0x81, 'first');
    second.text(0x81, 'second');
    const bytes = second.take()[0]!;
    let last = fill(4000);
    while (last.buffer === bytes.buffer || bytes.byteOffset - endOf(last) > 8000) last = fill(4000);
    // The second frame began where the first ended
    const header = masked ? 8 : 4;
    expect(endOf(fill(bytes.byteOffset - endOf(last) - header))).toBe(bytes.byteOffset);
    first.text(0x81, 'third');
    expect(parse(bytes).map((frame) => frame.payload.toString())).toEqual(['second']);
  });

  test('many small frames leave in one piece', () => {
    const writer = new FrameWriter(masked);
    new FrameWriter(masked).frame(0x82, Buffer.alloc(60_000));
    for (let i = 0; i < 100; i++) writer.text(0x81, 'small');
    expect(writer.take().length).toBeLessThanOrEqual(2);
    expect(writer.take()).toEqual([]);
  });
});

test('a large payload of a server goes out by reference', () => {
  const writer = new FrameWriter(false);
  const large = new Uint8Array(Buffer.allocUnsafeSlow(100_000).buffer, 10, 50_000);
  writer.frame(0x82, large);
  const [header, payload] = writer.take();
  expect(header!.length).toBe(4);
  expect([payload!.buffer === large.buffer, payload!.byteOffset, payload!.length]).toEqual([
    true,
    10,
    50_000,
  ]);
});

test('frames made before go out by reference, but for small ones behind others, which join them', () => {
  const writer = new FrameWriter(false);
  const small = Buffer.from([0x82, 1, 7]);
  const large = Buffer.alloc(5000, Buffer.from([0x82, 0]));
  writer.raw(small);
  expect([writer.size, writer.take()[0] === small]).toEqual([3, true]);
  writer.text(0x81, 'a');
  writer.raw(small);
  const joined = writer.take();
  expect(joined.map((piece) => piece.toString('hex'))).toEqual(['810161820107']);
  writer.text(0x81, 'a');
  writer.raw(large);
  writer.raw(small);
  expect(writer.size).toBe(3 + 5000 + 3);
  const [text, ...referred] = writer.take();
  expect(text!.toString('hex')).toBe('810161');
  expect([referred.length, referred[0] === large, referred[1] === small]).toEqual([2, true, true]);
});

test('a slow peer pins little of the bytes of other connections: one piece in the shared slab', () => {
  const slow = new FrameWriter(false);
  const other = new FrameWriter(false);
  for (let i = 0; i < 1000; i++) {
    slow.text(0x81, 'a');
    other.frame(0x82, Buffer.alloc(200));
  }
  const stores = new Set(slow.take().map((piece) => piece.buffer));
  const pinned = [...stores].reduce((sum, store) => sum + store.byteLength, 0);
  expect(pinned).toBeLessThan(64 * 1024 + 16 * 1024);
});

test('behind a large tick a writer begins with a small block again', () => {
  const writer = new FrameWriter(false);
  const lastStore = (frames: number): number => {
    for (let i = 0; i < frames; i++) {
      writer.frame(0x82, Buffer.alloc(1000));
      new FrameWriter(false).text(0x81, 'behind it');
    }
    return writer.take().at(-1)!.buffer.byteLength;
  };
  expect(lastStore(200)).toBe(64 * 1024);
  expect(lastStore(2)).toBe(4 * 1024);
});

test('§5.5.1 the body of a Close frame is a code and at most 123 bytes of reason', () => {
  expect(closeBody().length).toBe(0);
  expect(closeBody(1000).toString('hex')).toBe('03e8');
  expect(parseCloseBody(closeBody(4999, 'é'.repeat(61)))).toEqual({ code: 4999, reason: 'é'.repeat(61) });
  expect(closeBody(1000, 'x'.repeat(123)).length).toBe(125);
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 1000.5, Number.NaN]) {
    expect(() => closeBody(code)).toThrow(RangeError);
  }
  expect(() => closeBody(1000, 'x'.repeat(124))).toThrow(RangeError);
  expect(() => closeBody(1000, 'é'.repeat(62))).toThrow(RangeError);
  expect(() => closeBody(undefined, 'why')).toThrow(TypeError);
  for (const wrong of [new Float32Array(20), null, 5, {}])
    expect(() => closeBody(1000, wrong as never)).toThrow(TypeError);
  for (const wrong of ['1000', null, {}]) expect(() => closeBody(wrong as never)).toThrow(TypeError);
});

test('what writers lay down by turns is never written over, wherever in the shared slab it lies', () => {
  const laid: { writer: FrameWriter; payloads: Buffer[] }[] = [];
  // More than two slabs, all of it still to be taken
  for (let i = 0; i < 1000; i++) {
    const [a, b] = [new FrameWriter(false), new FrameWriter(true)];
    const [first, other, second] = ['first', 'other', 'second'].map((name) =>
      Buffer.alloc(60, `${name} ${i} `),
    );
    a.frame(0x82, first!);
    b.frame(0x82, other!);
    // Behind the other one's, so that it has a block of its own
    a.frame(0x82, second!);
    laid.push({ writer: a, payloads: [first!, second!] }, { writer: b, payloads: [other!] });
  }
  for (const { writer, payloads } of laid) {
    expect(parse(Buffer.concat(writer.take())).map(({ payload }) => payload)).toEqual(payloads);
  }
});
