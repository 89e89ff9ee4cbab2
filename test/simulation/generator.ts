/**
 * Random programs, by fast-check, which also shortens those that fail. Nothing is made for one fault: every
 * call, at every end, with sizes around every threshold, at any moment. Most programs are small; a few have
 * many connections.
 */
import fc, { type Arbitrary } from 'fast-check';
import type { PathOptions } from './network.js';
import {
  type ConsumerPlan,
  type DeflatePlan,
  type LinkPlan,
  type MessagePlan,
  type Op,
  type Program,
  quietPath,
  quietSide,
  type RawItem,
  type Reaction,
  type SideName,
  type SideOptions,
  type SidePlan,
  type Step,
} from './program.js';

/** One of the values; it shrinks to the first. */
function among<T>(...values: readonly T[]): Arbitrary<T> {
  return fc.constantFrom(...values);
}

/** Mostly the first value. */
function mostly<T>(usual: T, ...others: readonly T[]): Arbitrary<T> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant(usual) }, { weight: 2, arbitrary: among(...others) });
}

function weighted<T>(
  ...choices: readonly (readonly [weight: number, arbitrary: Arbitrary<T>])[]
): Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}

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

function op<Name extends Op['op']>(
  name: Name,
  fields: {
    [Field in Exclude<keyof Extract<Op, { op: Name }>, 'op'>]: Arbitrary<Extract<Op, { op: Name }>[Field]>;
  },
): Arbitrary<Op> {
  return fc.record({ op: fc.constant(name), ...fields }) as unknown as Arbitrary<Op>;
}

const send = op('send', {
  message,
  carrier: mostly('plain', 'view', 'arraybuffer', 'dataview', 'blob', 'prepared', 'broken blob'),
  compress: among(true, false),
});

const receive = op('receive', { awaited, abort: never });

/** What an application does with an open connection. */
const talk: Arbitrary<Op> = weighted(
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
  [1, op('broadcast', { message, compress: among(true, false) })],
  [1, op('sendAll', { message })],
);

/** What ends a connection. */
const end: Arbitrary<Op> = weighted(
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

const anyOp: Arbitrary<Op> = weighted([13, talk], [3, raw], [2, end], [1, fault]);

const reaction: Arbitrary<Reaction> = fc.record({
  on: weighted<Reaction['on']>(
    [4, fc.constant('message')],
    [2, fc.constant('chunk')],
    [3, among('ping', 'pong')],
    [4, among('close', 'drain', 'error', 'connection')],
  ),
  nth: mostly(0, 1, 2),
  wait: mostly(-1, 0, 3, 1000),
  does: weighted([5, talk], [1, receive], [2, end], [3, op('terminate', {})], [1, op('throw', {})]),
});

const consumer: Arbitrary<ConsumerPlan> = weighted<ConsumerPlan>(
  [2, fc.constant(quietSide.consumer)],
  [
    3,
    fc.record({
      mode: among('events', 'iterate', 'receive', 'none'),
      late: mostly(-1, 0, 3, 200, 8000),
      pace: mostly(0, 1, 50, 3000),
      read: mostly('whole', 'bytes', 'chunks', 'stream', 'ignore', 'cancel', 'leave', 'parts', 'skip'),
      readNext: among('whole', 'chunks', 'stream', 'leave', 'parts', 'skip'),
      dwell: mostly(0, 0, 10, 7000),
      leaveAfter: mostly(0, 0, 0, 1, 2),
      detached: among(false, true),
    }),
  ],
  // Who leaves, with messages before it or on their way
  [
    1,
    fc.record({
      mode: fc.constant('iterate' as const),
      late: among(-1, 200),
      pace: among(0, 50, 3000),
      read: among('whole', 'chunks', 'stream', 'ignore'),
      dwell: among(0, 300, 7000),
      leaveAfter: among(1, 2, 3),
      detached: among(false, true),
    }),
  ],
);

const options: Arbitrary<SideOptions> = weighted<SideOptions>(
  [2, fc.constant(quietSide.options)],
  [
    3,
    fc.record({
      highWaterMark: mostly(65_536, 0, 1000),
      maxBufferedAmount: mostly(67_108_864, 100, 50_000),
      maxMessageSize: mostly(16_777_216, 1000, 70_000),
      pingInterval: mostly(0, 2000, 20_000),
      pingTimeout: mostly(20_000, 1000, 4000),
      closeTimeout: mostly(5000, 200, 1000),
    }),
  ],
  [1, among(1000, 4000).map((pingTimeout) => ({ ...quietSide.options, pingInterval: 2000, pingTimeout }))],
);

function side(isRaw: Arbitrary<boolean>): Arbitrary<SidePlan> {
  return fc.record({ raw: isRaw, options, consumer, reactions: fc.array(reaction, { maxLength: 3 }) });
}

const path: Arbitrary<PathOptions> = weighted<PathOptions>(
  [2, fc.constant(quietPath)],
  [
    3,
    fc.record({
      delay: mostly(1, 0, 20, 500),
      rate: mostly(0, 0, 1, 10, 200),
      buffer: mostly(65_536, 1000, 16_384, 200_000),
      segment: mostly(65_536, 1, 7, 1460),
      join: among(true, false),
    }),
  ],
  // A large message takes longer than keepalive waits
  [
    1,
    fc.record({
      delay: among(1, 20),
      rate: fc.constant(10),
      buffer: among(1000, 16_384),
      segment: fc.constant(1460),
      join: fc.constant(true),
    }),
  ],
);

const deflate: Arbitrary<DeflatePlan | null> = weighted<DeflatePlan | null>(
  [3, fc.constant(null)],
  [
    2,
    fc.record({
      threshold: mostly(128, 0, 1024, 100_000),
      offloadSize: mostly(32_768, 0, 2000, 9000),
      takeover: among(true, false),
      level: mostly(3, 1, 6),
    }),
  ],
);

/** At most one end is raw. A raw server cannot answer HTTP. */
const link: Arbitrary<LinkPlan> = weighted<LinkPlan>(
  [5, linkOf('direct', false, false)],
  [2, linkOf('direct', true, false)],
  [2, linkOf('direct', false, true)],
  [2, linkOf('server', false, false)],
  [2, linkOf('server', false, true)],
  [1, linkOf('accept', false, false)],
  [1, linkOf('accept', false, true)],
  [1, linkOf('upgrade', false, false)],
  [1, linkOf('upgrade', false, true)],
);

function linkOf(via: LinkPlan['via'], rawA: boolean, rawB: boolean): Arbitrary<LinkPlan> {
  return fc.record({
    via: fc.constant(via),
    path,
    deflate,
    authenticate: mostly(-1, 0, 20),
    a: side(fc.constant(rawA)),
    b: side(fc.constant(rawB)),
  });
}

/** What happens in one tick at one end: often several things, as an application does them. */
const turn: Arbitrary<Step[]> = fc
  .record({
    wait: weighted([4, fc.constant(0)], [6, among(1, 2, 10, 100)], [1, among(1000, 6000, 25_000)]),
    link: mostly(0, 1, 2, 3),
    side: among<SideName>('a', 'b'),
    does: fc.array(anyOp, { minLength: 1, maxLength: 4 }),
  })
  .map(({ wait, does, ...where }) =>
    does.map((each, i) => ({ wait: i === 0 ? wait : 0, ...where, does: each })),
  );

/** What one tick of a busy process sends, on several connections. */
const rush: Arbitrary<Step[]> = fc.array(
  fc.record({ wait: fc.constant(0), link: mostly(0, 1, 2, 3), side: among<SideName>('a', 'b'), does: send }),
  { minLength: 2, maxLength: 6, size: 'max' },
);

/** Programs of the usual size, and a few with tens of connections. */
export const programs: Arbitrary<Program> = weighted<Program>(
  [60, programOf(1, 2, 6)],
  [20, programOf(1, 4, 12)],
  [1, programOf(8, 24, 20)],
);

function programOf(least: number, most: number, turns: number): Arbitrary<Program> {
  return fc.record({
    settled: mostly(true, false),
    // A power of two: exact whatever the clock says
    cost: mostly(0, 0, 0, 1 / 16),
    pool: among(0, 1, 30),
    links: fc.array(link, { minLength: least, maxLength: most, size: 'max' }),
    steps: fc
      .array(weighted([6, turn], [1, rush]), { maxLength: turns, size: 'max' })
      .map((each) => each.flat()),
  });
}
