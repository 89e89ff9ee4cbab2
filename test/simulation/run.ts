/** Runs one program from its first step to its end, and checks everything that must hold then. */
import { createHash } from 'node:crypto';
import type { CloseInfo } from '../../src/index.js';
import { realTurn, type VirtualClock } from './clock.js';
import { consumption, endAll, isConsuming } from './ending.js';
import { checkReadAhead } from './events.js';
import type { LifeTable } from './life-table.js';
import type { Coverage } from './lifecycle.js';
import type { End } from './model.js';
import type { Program } from './program.js';
import { usePool } from './stubs.js';
import { type Finding, type Library, World } from './world.js';

/** What came of a program. */
export interface Outcome {
  readonly findings: readonly Finding[];
  /** Everything that happened, in order. */
  readonly trace: readonly string[];
  readonly connections: number;
  /** Virtual milliseconds. */
  readonly duration: number;
  /**
   * Something of it is left in this process, so that no other program may use the same copy of the library.
   */
  readonly dirty: boolean;
}

/** Milliseconds in which everything under way must come to rest, while the network works. */
const SETTLE = 120_000;
/** Bytes that may be read in front of a consumer. */
const MAX_HELD = 256 * 1024;
/** Milliseconds for what was only scheduled for the next turns. */
const LAST = 20;

export async function runProgram(
  library: Library,
  clock: VirtualClock,
  coverage: Coverage,
  table: LifeTable,
  program: Program,
): Promise<Outcome> {
  const began = clock.now;
  const world = new World(library, clock, coverage, program);
  let jobs = 0;
  usePool((size, run) => {
    jobs++;
    clock.schedule(program.pool + size / 100_000, () => {
      jobs--;
      run();
    });
  });
  clock.cost = program.cost;
  table.onImpossible = (cell) => world.report('life cycle', `cannot happen: ${cell}`);
  const stopWatching = watch(world, clock);
  try {
    world.start();
    const ends = world.links.flatMap(({ a, b }) => [a, b]);
    await clock.run(() => false, clock.now + world.duration);
    await settle(world, () => jobs === 0);
    checkDelivered(world);
    checkAnswered(world);
    checkHeld(world, ends);
    await endAll(world, ends);
    clock.cost = 0;
    await clock.run(() => jobs === 0 && clock.pendingEvents === 0, clock.now + SETTLE);
    await clock.run(() => false, clock.now + LAST);
    await realTurn();
    world.finish();
    for (const end of ends) checkEnd(world, end);
    checkLeft(world, ends);
    await realTurn();
    return {
      findings: world.findings,
      trace: world.lines,
      connections: program.links.length,
      duration: clock.now - began,
      dirty: clock.libraryTimers > 0 || ends.some(({ socket }) => socket?.destroyed === false),
    };
  } finally {
    clock.cost = 0;
    stopWatching();
  }
}

/** A hash of a trace. */
export function hashOf(trace: readonly string[]): string {
  return createHash('sha256').update(trace.join('\n')).digest('hex').slice(0, 16);
}

const watched = ['uncaughtException', 'unhandledRejection', 'warning'] as const;

/** Listens to what the process reports, in place of all other listeners, while the program runs. */
function watch(world: World, clock: VirtualClock): () => void {
  const others = watched.map((event) => process.listeners(event as 'warning'));
  for (const event of watched) process.removeAllListeners(event);
  const onException = (error: unknown): void => world.onUncaught('uncaught exception', error);
  process.on('uncaughtException', onException);
  process.on('unhandledRejection', (error) => world.onUncaught('unhandled rejection', error));
  process.on('warning', ({ name }) => {
    // Of rejections that the program leaves alone for a while
    if (name !== 'PromiseRejectionHandledWarning') world.report('warning', name);
  });
  clock.onException = onException;
  clock.onSpin = () => world.report('spin', 'the event loop turns without an end');
  return () => {
    watched.forEach((event, i) => {
      process.removeAllListeners(event);
      for (const listener of others[i]!) process.on(event as 'warning', listener);
    });
  };
}

/** Waits until nothing moves any more. */
async function settle(world: World, idle: () => boolean): Promise<void> {
  const { clock } = world;
  const quiet = (): boolean =>
    idle() &&
    clock.pendingEvents === 0 &&
    world.links.every(({ cable }) => cable.up.quiet && cable.down.quiet);
  const limit = clock.now + SETTLE + consumption(world.links.flatMap(({ a, b }) => [a, b]));
  let since = Number.POSITIVE_INFINITY;
  await clock.run(() => {
    since = quiet() ? Math.min(since, clock.now) : Number.POSITIVE_INFINITY;
    return clock.now - since > 3;
  }, limit);
}

/** Without a consumer no more is read than a few buffers, unless this side's own close() discards it. */
function checkHeld(world: World, ends: readonly End[]): void {
  for (const end of ends) {
    checkReadAhead(world, end);
    const { closedAt, consuming, info, input, left, name, socket } = end;
    // A request that was refused is read and dropped
    const application = world.applications.get(end);
    // An end that fails by itself discards
    const failing = end.aborts && application?.ws.state !== 'open';
    const ends = left || closedAt !== null || info !== null || application === undefined || failing;
    if (socket === null || consuming || ends || input.pulled <= MAX_HELD) continue;
    world.report('memory', 'input without a consumer was read', `${name} ${input.pulled} bytes`);
  }
}

/** On a connection that works, everything sent has been delivered by now. */
function checkDelivered(world: World): void {
  for (const { a, b, cable, plan } of world.links) {
    if (!cable.up.untouched || !cable.down.untouched || plan.a.raw || plan.b.raw) continue;
    if (!isOpen(world, a) || !isOpen(world, b) || !cable.up.quiet || !cable.down.quiet) continue;
    for (const end of [a, b]) {
      const { sent } = end.peer;
      const blocked = sent.some(({ fate }) => fate === 'open');
      if (blocked || !isConsuming(end) || end.paused) continue;
      if (world.applications.get(end.peer)?.ws.bufferedAmount !== 0) {
        world.report('stuck', 'output is left on an open connection', end.peer.name);
      }
      const whole = sent.filter(({ fate }) => fate === 'whole').length;
      if (end.received.length < whole) {
        world.report(
          'stuck',
          'a message was not delivered on an open connection',
          `${end.name} ${end.received.length} of ${whole}`,
        );
      }
    }
  }
}

/** What waits for this side only is settled on a connection that works, and its Pings are answered. */
function checkAnswered(world: World): void {
  for (const { a, b, cable } of world.links) {
    if (!cable.up.untouched || !cable.down.untouched || !cable.up.quiet || !cable.down.quiet) continue;
    for (const end of [a, b]) {
      if (!isOpen(world, end)) continue;
      if (isConsuming(end) && !end.paused && end.reading.size === 0) checkPongs(world, end);
      const unfinished = end.sent.some(({ fate }) => fate === 'open' || fate === 'maybe');
      if (unfinished || world.applications.get(end)!.ws.bufferedAmount > 0) continue;
      if (end.drainDue)
        world.report('stuck', "'drain' did not follow a send() that returned false", end.name);
      const waiting = world.promises.pendingOf(end).filter((api) => api !== 'ping' && api !== 'receive');
      if (waiting.length > 0)
        world.report('stuck', `${waiting[0]} waits though everything is flushed`, end.name);
    }
  }
}

/** §5.5.3: the latest Ping is answered, by a Pong with its payload; and no Pong answers what was not asked. */
function checkPongs(world: World, { input, name, output }: End): void {
  const pings = input.tap.controls.filter(({ end, opcode }) => opcode === 9 && end <= input.pulled);
  const pongs = output.tap.controls.filter(({ opcode }) => opcode === 10);
  const last = pings.at(-1);
  if (last !== undefined && !pongs.some(({ payload }) => payload!.equals(last.payload!)))
    world.report('pong', 'a Ping was not answered', name);
  for (const { payload } of pongs) {
    // Of the application, and of keepalive while reading is paused
    const unsolicited = payload!.length === 0 || payload!.toString() === 'p';
    if (!unsolicited && !pings.some((ping) => ping.payload!.equals(payload!)))
      world.report('pong', 'a Pong answers no Ping', name);
  }
}

function isOpen(world: World, end: End): boolean {
  const { closedAt, lifeCycle } = end;
  // An end whose Blob cannot be read fails by itself
  return lifeCycle.state === 'open' && closedAt === null && world.applications.get(end)?.ws.state === 'open';
}

/** What must hold for one end once it is over. */
function checkEnd(world: World, end: End): void {
  const application = world.applications.get(end);
  const { report } = world;
  const { faults } = end.output.tap;
  if (!end.plan.raw && faults.length > 0) report('wire', faults[0]!, end.name);
  end.checkContent(report);
  if (application === undefined || end.info === null) return;
  const { info } = end;
  application.properties.checkLast();
  if (end.closed === null) report('end', 'ws.closed did not resolve');
  else if (end.closed.code !== info.code || end.closed.wasClean !== info.wasClean) {
    report('end', 'close and ws.closed disagree', `${info.code} and ${end.closed.code}`);
  }
  checkReason(world, end, info);
  const left = end.terminated || (end.failure !== null && !deliversAfterReset(end));
  const { peerCode } = end;
  if (info.code !== 1006 && info.code !== peerCode) {
    report('code', 'the code is not that of the peer', `${info.code} for ${peerCode}`);
  }
  if (info.wasClean && (peerCode === undefined || end.output.tap.close === null)) {
    report('code', 'clean without both Close frames', `${end.name} ${info.code}`);
  }
  // A message that was aborted closes the connection with 1011, as this side's own close() does; that may not leave
  const aborted =
    end.rejected ||
    end.output.tap.closeWithin(Number.POSITIVE_INFINITY) === 1011 ||
    (end.aborts && !end.resetOpen && !info.wasClean);
  // What close() was to receive is dropped then
  const late = end.endedAt - end.receivesSince >= end.plan.options.closeTimeout;
  if (left || aborted || late || !isConsuming(end) || end.closedAt !== null) return;
  if (end.received.length < end.arrived) {
    report(
      'lost',
      'messages that had arrived were not delivered',
      `${end.name} ${end.received.length} of ${end.arrived}`,
    );
  } else if (info.code === 1006 && peerCode !== undefined) {
    report('code', 'the Close frame of the peer was lost', `${end.name} ${peerCode}`);
  }
}

/** §7.1.6: the reason is that of the peer's Close frame; an own close() sends its own, behind all that was finished before. */
function checkReason({ report }: World, end: End, info: CloseInfo): void {
  const { aborts, input, name, output, peer } = end;
  const { goodbye } = end;
  const theirs = input.tap.reasonWithin(input.pulled);
  if (info.code !== 1006 && info.reason !== theirs)
    report('reason', 'the reason is not that of the peer', `${name} ${info.reason} for ${theirs}`);
  // An end that answers, or fails, sends another Close frame
  const closes = peer.closedAt !== null || peer.goodbye !== null;
  const other =
    aborts || peer.aborts || peer.plan.raw || closes || peer.failure !== null || end.failure !== null;
  if (goodbye === null || other || output.tap.close === null) return;
  const sent = output.tap.reasonWithin(Number.POSITIVE_INFINITY);
  if (sent !== goodbye.reason)
    report('reason', 'the reason of close() was not sent', `${name} ${sent} for ${goodbye.reason}`);
  const whole = output.tap.messageEnds.length;
  if (!goodbye.blocked && whole < goodbye.messages)
    report('lost', 'close() left out what was finished before it', `${name} ${whole} of ${goodbye.messages}`);
}

/** The connection failed by a reset, and nothing that was read before it is discarded. */
function deliversAfterReset({ peer, plan, resetOpen }: End): boolean {
  return resetOpen && !peer.violates && peer.largest <= plan.options.maxMessageSize;
}

/** Nothing is left. */
function checkLeft(world: World, ends: readonly End[]): void {
  const { report } = world;
  for (const api of world.promises.pending) report('unsettled', api);
  for (const { sending } of world.applications.values()) {
    for (const source of sending.leftSources) {
      if (!source.released()) report('leak', 'the source of sendStream() was not released');
    }
  }
  for (const { name, socket } of ends) {
    if (socket !== null && !socket.destroyed) report('leak', 'a socket is open', name);
  }
  if (world.clock.libraryTimers > 0) report('leak', 'a timer is left', `${world.clock.libraryTimers}`);
}
