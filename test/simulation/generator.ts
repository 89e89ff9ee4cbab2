/**
 * Random programs, by fast-check, which also shortens those that fail. Nothing is made for one fault: every
 * call, at every end, with sizes around every threshold, at any moment. Most programs are small; a few have
 * many connections.
 */
import fc, { type Arbitrary } from 'fast-check';
import { among, mostly, weighted } from './choices.js';
import type { PathOptions } from './network.js';
import { anyOp, end, op, receive, send, talk } from './operations.js';
import {
  type ConsumerPlan,
  type DeflatePlan,
  type LinkPlan,
  type Program,
  quietPath,
  quietSide,
  type Reaction,
  type SideName,
  type SideOptions,
  type SidePlan,
  type Step,
} from './program.js';

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
