import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { closeBody, FrameWriter, parseCloseBody } from '../../src/protocol.js';
import { parse } from '../support/frames.js';
import { cpuTime } from '../support/stalls.js';

/** The header of an unmasked binary message. */
function headerOf(length: number): Buffer {
  const writer = new FrameWriter(false);
  writer.frame(0x82, Buffer.alloc(length));
  const bytes = Buffer.concat(writer.take());
  return bytes.subarray(0, bytes.length - length);
}

function bytesIn(pieces: readonly Buffer[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

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

test('frames made before go out by reference: the first small ones, unless they follow others, and large ones', () => {
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
  writer.raw(Buffer.alloc(0));
  expect(writer.size).toBe(3 + 5000 + 3);
  const [text, ...referred] = writer.take();
  expect(text!.toString('hex')).toBe('810161');
  expect([referred.length, referred[0] === large, referred[1] === small]).toEqual([2, true, true]);
});

describe('[X-29] small frames made before, to a peer that does not read,', () => {
  test.each([2, 20])('of %i bytes of payload take memory in proportion to their bytes', (size) => {
    const count = 380_000;
    const total = count * (2 + size);
    let writer!: FrameWriter;
    // Others, such as the compiler, take memory meanwhile as well: once of three times they take little
    const held = Array.from({ length: 3 }, () => {
      writer = new FrameWriter(false);
      globalThis.gc!();
      const before = process.memoryUsage();
      // A frame of its own each time, as each broadcast has
      for (let i = 0; i < count; i++) writer.raw(Buffer.alloc(2 + size, Buffer.from([0x82, size])));
      globalThis.gc!();
      const after = process.memoryUsage();
      return after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers;
    });
    // By reference they take thirty times their bytes
    expect(Math.min(...held)).toBeLessThan(total * 2);
    expect(writer.cost).toBeGreaterThanOrEqual(writer.size);
    expect(writer.cost).toBeLessThan(total * 1.1);
    const pieces = writer.take();
    expect(pieces.length).toBeLessThan(200);
    const all = Buffer.concat(pieces);
    expect([all.length, all.equals(Buffer.alloc(total, all.subarray(0, 2 + size)))]).toEqual([total, true]);
  });

  test('the cost of what is kept by reference counts what a piece takes beside its bytes', () => {
    const writer = new FrameWriter(false);
    const payload = Buffer.alloc(9000);
    expect(writer.cost).toBe(0);
    for (let i = 0; i < 1000; i++) writer.frame(0x82, payload);
    expect(writer.cost - writer.size).toBeGreaterThan(1000 * 100);
    expect(writer.cost - writer.size).toBeLessThan(1000 * 1000);
    const { cost } = writer;
    writer.take(writer.size / 2);
    expect(writer.cost).toBeLessThan(cost * 0.51);
    writer.take();
    expect(writer.cost).toBe(0);
  });

  test('the headers of large payloads lie in one block', () => {
    const writer = new FrameWriter(false);
    for (let i = 0; i < 500; i++) writer.frame(0x82, Buffer.alloc(9000));
    const stores = new Set(
      writer
        .take()
        .filter((piece) => piece.length < 9000)
        .map(({ buffer }) => buffer),
    );
    expect(stores.size).toBeLessThan(3);
  });
});

describe('take(max)', () => {
  const payloads = [0, 1, 2, 125, 126, 1000, 4090, 8 * 1024, 8 * 1024 + 1, 20_000, 65_536, 70_000];
  const step = fc.oneof(
    fc.record({
      kind: fc.constantFrom('frame', 'text', 'raw'),
      size: fc.oneof(fc.constantFrom(...payloads), fc.nat(300)),
    }),
    fc.record({ kind: fc.constantFrom('take', 'other'), size: fc.oneof(fc.nat(400), fc.nat(100_000)) }),
  );

  test.each([
    ['a server', false],
    ['a client', true],
  ])(
    '%s takes whole frames, in order, at most max bytes or one frame, whatever comes in between',
    (_, masked) => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
          const writer = new FrameWriter(masked);
          const other = new FrameWriter(masked);
          const expected: Buffer[] = [];
          const held: { pieces: Buffer[]; count: number }[] = [];
          const take = (max?: number): void => {
            const before = writer.size;
            const pieces = writer.take(max);
            const bytes = Buffer.concat(pieces);
            const frames = parse(bytes);
            expect(writer.size).toBe(before - bytes.length);
            if (before > 0) expect(frames.length).toBeGreaterThan(0);
            if (max !== undefined && frames.length > 1) expect(bytes.length).toBeLessThanOrEqual(max);
            if (max === undefined) expect(writer.size).toBe(0);
            held.push({ pieces, count: frames.length });
          };
          let index = 0;
          for (const { kind, size } of steps) {
            const mark = String.fromCharCode(97 + (index++ % 26));
            if (kind === 'take') take(size);
            else if (kind === 'other') other.text(0x81, mark.repeat(size % 300));
            else {
              expected.push(Buffer.alloc(size, mark));
              if (kind === 'text') writer.text(0x81, mark.repeat(size));
              else if (kind === 'frame' || masked) writer.frame(0x82, expected.at(-1)!);
              else writer.raw(Buffer.concat([headerOf(size), expected.at(-1)!]));
            }
          }
          while (writer.size > 0) take(20_000);
          take();
          // Looked at last: nothing that was taken may have changed since
          const got = held.flatMap(({ pieces, count }) => {
            const frames = parse(Buffer.concat(pieces));
            expect(frames.length).toBe(count);
            return frames.map(({ payload }) => payload);
          });
          expect(got.length).toBe(expected.length);
          expect(got.every((payload, i) => payload.equals(expected[i]!))).toBe(true);
          expect(writer.cost).toBe(0);
        }),
        { numRuns: 300 },
      );
    },
  );

  test('a part ends as near to max as whole frames allow', () => {
    const writer = new FrameWriter(false);
    for (let i = 0; i < 1000; i++) writer.frame(0x82, Buffer.alloc(98));
    for (const [max, bytes] of [
      [1, 100],
      [100, 100],
      [199, 100],
      [200, 200],
      [70_050, 70_000],
    ] as const) {
      expect(Buffer.concat(writer.take(max)).length).toBe(bytes);
    }
    expect(writer.size).toBe(100_000 - 70_500);
  });

  test('a backlog of many pieces is taken in linear time, and what was taken is not kept', () => {
    const writer = new FrameWriter(false);
    const payload = Buffer.alloc(9000);
    const count = 200_000;
    for (let i = 0; i < count; i++) writer.frame(0x82, payload);
    let taken = 0;
    let slowest = 0;
    const began = cpuTime();
    while (writer.size > 0) {
      const at = cpuTime();
      taken += writer.take(64 * 1024).length;
      slowest = Math.max(slowest, cpuTime() - at);
    }
    expect(taken).toBeGreaterThanOrEqual(2 * count);
    expect(cpuTime() - began).toBeLessThan(2000);
    expect(slowest).toBeLessThan(200);
    const kept = new FrameWriter(false);
    let last: WeakRef<Buffer> | null = null;
    for (let i = 0; i < 10; i++) {
      const large = Buffer.alloc(9000);
      last ??= new WeakRef(large);
      kept.frame(0x82, large);
    }
    kept.take(10_000);
    return new Promise<void>((resolve) =>
      setImmediate(() => {
        globalThis.gc!();
        expect([last!.deref(), kept.size]).toEqual([undefined, 9 * 9004]);
        resolve();
      }),
    );
  });

  test('bytes that are cut off inside a frame do not keep it busy for ever', () => {
    const writer = new FrameWriter(false);
    writer.raw(Buffer.from([0x82, 100, 1, 2, 3]));
    writer.text(0x81, 'a');
    const bytes = Buffer.concat(writer.take(2));
    expect([bytes.length, writer.size]).toEqual([8, 0]);
    writer.raw(Buffer.from([0x82, 100, 1, 2, 3]));
    expect([Buffer.concat(writer.take(2)).length, writer.size]).toEqual([5, 0]);
  });
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

test.each([[undefined], [30_000]])(
  'a payload by reference whose memory is transferred is missing in what is taken, never replaced by what follows: at most %s',
  (max) => {
    const writer = new FrameWriter(false);
    writer.frame(0x82, Buffer.alloc(100, 1));
    const payload = new Uint8Array(20_000).fill(2);
    writer.frame(0x82, payload);
    structuredClone(payload.buffer, { transfer: [payload.buffer] });
    writer.frame(0x82, Buffer.alloc(19_996, 3));
    writer.frame(0x82, Buffer.alloc(20_000, 4));
    const { size } = writer;
    const pieces = writer.take(max);
    // More is said to be taken than there is
    expect(size - writer.size - bytesIn(pieces)).toBe(20_000);
  },
);

describe('memory of its own', () => {
  test.each([[true], [false]])('holds nothing but frames of one writer, and zeros; masked: %s', (masked) => {
    const writer = new FrameWriter(masked, true);
    const others = new FrameWriter(masked);
    const payload = Buffer.alloc(20_000, 'p');
    for (let round = 0; round < 3; round++) {
      others.text(0x81, 'other');
      writer.text(0x81, 'own');
      writer.frame(0x82, payload);
      if (!masked) writer.raw(Buffer.concat([headerOf(5000), Buffer.alloc(5000, 'r')]));
      const { size } = writer;
      const pieces = writer.take();
      const bytes = Buffer.concat(pieces);
      expect(bytes).toHaveLength(size);
      expect(parse(bytes).map((frame) => frame.payload.length)).toEqual([
        3,
        20_000,
        ...(masked ? [] : [5000]),
      ]);
      for (const { buffer, byteOffset, length } of pieces) {
        expect([buffer === payload.buffer, buffer === others.take()[0]?.buffer]).toEqual([false, false]);
        expect(new Uint8Array(buffer, byteOffset + length).every((byte) => byte === 0)).toBe(true);
      }
    }
  });

  test('a shared block that was transferred fails what lies in it, and nothing else', () => {
    const [one, two, three] = [new FrameWriter(false), new FrameWriter(false), new FrameWriter(false)];
    one.text(0x81, 'one');
    two.text(0x81, 'two');
    three.text(0x81, 'three');
    const { buffer } = three.take()[0]!;
    structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
    two.text(0x81, 'two');
    expect(one.size - bytesIn(one.take())).toBe(5);
    expect(two.size - bytesIn(two.take())).toBe(5);
    for (const writer of [one, two, three]) {
      writer.text(0x81, 'next');
      expect(parse(Buffer.concat(writer.take())).map(({ payload }) => payload.toString())).toEqual(['next']);
    }
  });
});
