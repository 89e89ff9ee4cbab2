/** Closes everything at the end of a program, and checks that it ends in time. */
import type { Stop } from './clock.js';
import type { End } from './model.js';
import type { World } from './world.js';

/** Milliseconds of grace for the end of a connection that nobody consumes. */
const LEFT = 1_000;
/**
 * Milliseconds in which all connections must end after the last `close()`, besides the timeouts of the
 * program.
 */
const ENDING = 60_000;

/** Milliseconds that the slowest consumer takes for all messages. */
export function consumption(ends: readonly End[]): number {
  return ends.reduce((most, { peer, plan: { consumer } }) => {
    const { dwell = 0, pace } = consumer;
    return Math.max(most, (pace + dwell) * peer.sent.length);
  }, 0);
}

/** Milliseconds for what kernels may hold in front of Close frames, by the pace that stalls showed, or 100 bytes each. */
function transmission({ links, program }: World): number {
  const { steps } = program;
  // What the library takes for the pace of the network
  const stalls = steps.reduce((sum, { does }) => sum + (does.op === 'stall' ? does.ms : 0), 0);
  return links.reduce((most, { a, b, plan: { path } }) => {
    const size = Math.max(a.output.tap.size, b.output.tap.size);
    return Math.max(most, 3 * ((path.rate > 0 ? size / path.rate : 0) + stalls), size / 100);
  }, 0);
}

export function isConsuming(end: End): boolean {
  return end.consuming && !end.left && end.plan.consumer.leaveAfter === 0;
}

/** Closes what is still open, and waits for the end of everything. */
export async function endAll(world: World, ends: readonly End[]): Promise<void> {
  const { clock } = world;
  world.host.close(true);
  for (const end of ends) {
    const application = world.applications.get(end);
    if (application !== undefined && end.info === null && (end.name.endsWith('a') || end.peer.plan.raw)) {
      application.close(1000, true);
    }
  }
  const slow = (end: End): boolean => !isConsuming(end) || end.paused;
  const longest =
    ends.reduce((most, { plan }) => Math.max(most, plan.options.closeTimeout), 0) +
    consumption(ends) +
    transmission(world);
  const ended = (): boolean => ends.every((end) => end.info !== null || !world.applications.has(end));
  // What is on its way takes its time; nothing of it is there without end
  const moving = (): boolean => world.links.some(({ cable }) => !cable.up.quiet || !cable.down.quiet);
  let stop: Stop = 'time';
  for (let times = 0; times === 0 || (times < 20 && !ended() && moving()); times++) {
    stop = await clock.run(ended, clock.now + longest + ENDING);
  }
  for (const end of ends) {
    const application = world.applications.get(end);
    if (application === undefined || end.info !== null) continue;
    // Without a consumer the socket is not read, and its end is not seen; on a silent network neither
    const unseen = !isOver(world, end, stop) && (slow(end) || !end.input.untouched || !end.output.untouched);
    if (end.closedAt !== null || end.receivesSince < clock.now || !unseen) {
      world.report('end', `not closed in time ${whereOf(end)}`, end.name);
    }
    application.close(1000, true);
  }
  await clock.run(ended, clock.now + longest + ENDING);
  for (const end of ends) {
    const application = world.applications.get(end);
    if (application === undefined || end.info !== null) continue;
    world.report('end', `not closed in time by close() ${whereOf(end)}`, end.name);
    application.terminate();
  }
  for (const raw of world.raws.values()) raw.destroy();
  await clock.run(ended, clock.now + ENDING);
  for (const end of ends) {
    if (world.applications.has(end) && end.info === null)
      world.report('end', 'not closed by terminate()', end.name);
    // What never became a connection: a handshake that failed
    if (end.socket !== null && !end.socket.destroyed && !world.applications.has(end)) end.socket.destroy();
  }
}

/** The state in which an end stays, and whether a message that it began holds it there. */
function whereOf({ lifeCycle, sent }: End): string {
  const inside = sent.some(({ fate }) => fate === 'open');
  return `(${lifeCycle.state})${inside ? ', inside a message' : ''}`;
}

/** Nothing holds the end of this connection any more: its socket is gone, and there is no consumer for what is left. */
function isOver({ clock }: World, end: End, stop: Stop): boolean {
  const { consuming, leftIteration, paused, plan, reading, socket } = end;
  if (socket === null || socket.goneAt === null) return false;
  // Where nothing is left to happen, time changes nothing
  const since = stop === 'idle' ? Number.POSITIVE_INFINITY : clock.now - socket.goneAt;
  if (since < plan.options.closeTimeout + LEFT || reading.size > 0) return false;
  return leftIteration || (!consuming && !paused);
}
