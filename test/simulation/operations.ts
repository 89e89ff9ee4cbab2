/** Random operations: every call, with sizes around every threshold, and every fault. */
import fc, { type Arbitrary } from 'fast-check';
import { among, mostly, weighted } from './choices.js';
import type { MessagePlan, Op, RawItem } from './program.js';

/** Sizes around the thresholds of frames, buffers, compression, and options. */
const size = weighted(
  [6, among(5, 0, 1, 125, 126, 127, 128, 300, 1024, 1025, 2048)],
  [5, among(8193, 8191, 8192, 9000, 16_384, 16_385, 20_000, 32_768)],
  [1, among(65_535, 65_536, 65_537, 65_535, 131_073, 300_000)],
);
const smallSize = among(5, 0, 1, 20, 130, 1000, 9000);

const message: Arbitrary<MessagePlan> = fc.record({
  size,
  form: among('ascii', 'binary', 'unicode', 'noise'),
});

/** Over 256 KiB. */
const large: Arbitrary<MessagePlan> = fc.record({
  size: among(160_000, 200_001, 300_002),
  form: fc.constant('unicode' as const),
});

const awaited = among(true, true, false);
const never = mostly(-1, 0, 1, 20, 400, -2);
const seldom = mostly(-1, -1, -1, -1, 0, 1, 20, 400, -2);
const code = mostly(1000, 1001, 3000, 4999);

const rawItem: Arbitrary<RawItem> = weighted<RawItem>(
  [
    6,
    fc.record({
      item: fc.constant('message' as const),
      message: fc.record({ size: smallSize, form: among('ascii', 'binary') }),
      fragments: mostly(1, 2, 5),
    }),
  ],
  [4, fc.record({ item: among('ping', 'pong'), size: among(0, 4, 125) })],
  [2, fc.record({ item: fc.constant('close' as const), code: mostly(1000, 1005, 4000) })],
  [1, fc.record({ item: fc.constant('begin' as const), size: among(2, 200, 9000) })],
  [1, fc.record({ item: fc.constant('violation' as const), kind: fc.nat({ max: 7 }) })],
);

export function op<Name extends Op['op']>(
  name: Name,
  fields: {
    [Field in Exclude<keyof Extract<Op, { op: Name }>, 'op'>]: Arbitrary<Extract<Op, { op: Name }>[Field]>;
  },
): Arbitrary<Op> {
  return fc.record({ op: fc.constant(name), ...fields }) as unknown as Arbitrary<Op>;
}

export const send = op('send', {
  message,
  carrier: mostly('plain', 'view', 'arraybuffer', 'dataview', 'blob', 'prepared', 'broken blob'),
  compress: among(true, false),
});

export const receive = op('receive', { awaited, abort: never });

/** What an application does with an open connection. */
export const talk: Arbitrary<Op> = weighted(
  [12, send],
  [
    1,
    op('flood', {
      message: fc.record({ size: among(9000, 20, 30_000), form: among('binary', 'ascii') }),
      count: among(5, 20, 60),
    }),
  ],
  [3, op('createWriter', { type: among('binary', 'text'), stream: mostly(false, true) })],
  [5, op('write', { size, awaited, broken: mostly(false, false, true), abort: seldom })],
  [3, op('endWriter', { awaited })],
  [2, op('abortWriter', {})],
  [
    2,
    op('sendStream', {
      source: among(
        'generator',
        'readable',
        'web',
        'idle readable',
        'idle web',
        'throwing generator',
        'sync',
      ),
      pipe: mostly(false, true),
      text: among(false, true),
      chunks: among(1, 0, 2, 4),
      size: smallSize,
      abort: never,
      awaited,
    }),
  ],
  [3, op('ping', { awaited, abort: never })],
  [1, op('pong', {})],
  [2, op('drained', { awaited, abort: never })],
  [3, receive],
  [1, op('listen', {})],
  [2, op('pause', {})],
  [2, op('resume', {})],
  [1, op('look', {})],
  [
    1,
    op('broadcast', {
      message,
      compress: among(true, false),
      except: mostly<readonly number[]>([], [0], [1], [0, 1], [0, 1, 2]),
      filter: mostly('none', 'even', 'odd', 'throws'),
      typed: among(false, true),
    }),
  ],
  [1, op('sendAll', { message })],
);

/** What ends a connection. */
export const end: Arbitrary<Op> = weighted(
  [5, op('close', { code, awaited, receive: mostly(false, true) })],
  [2, op('terminate', {})],
  [1, op('closeServer', { awaited: among(true, false) })],
);

/** What a raw peer does. */
const raw: Arbitrary<Op> = weighted(
  [
    5,
    op('burst', {
      items: fc.array(rawItem, { minLength: 1, maxLength: 6, size: 'max' }),
      after: mostly('stay', 'fin', 'reset', 'lost'),
    }),
  ],
  [1, op('rawReading', { on: among(false, true) })],
);

/** What the network, and the process, do. */
const fault: Arbitrary<Op> = weighted(
  [2, op('fin', {})],
  [1, op('destroySocket', {})],
  [2, op('reset', { lossy: among(false, true) })],
  [1, op('cut', {})],
  [2, op('stall', { ms: among(5, 300, 5000, 30_000) })],
  [1, op('block', { ms: among(5, 3000, 40_000) })],
);

/** Texts that the receiver decodes part by part. Each takes as long as several programs: they are rare. */
const largeText: Arbitrary<Op> = weighted(
  [2, op('send', { message: large, carrier: mostly('plain', 'view'), compress: among(true, false) })],
  [
    1,
    op('sendStream', {
      source: among('generator', 'web'),
      pipe: mostly(false, true),
      text: fc.constant(true),
      chunks: among(2, 5, 9),
      size: among(60_000, 70_001),
      abort: fc.constant(-1),
      awaited,
    }),
  ],
  [
    1,
    op('burst', {
      items: fc.tuple(
        fc.record({ item: fc.constant('message' as const), message: large, fragments: mostly(3, 1, 7) }),
      ),
      after: fc.constant('stay'),
    }),
  ],
);

export const anyOp: Arbitrary<Op> = weighted(
  [1300, talk],
  [300, raw],
  [200, end],
  [100, fault],
  [2, largeText],
);
