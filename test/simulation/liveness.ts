/** DESIGN §4, Liveness: when keepalive may count a peer as gone. */
import type { End } from './model.js';
import type { World } from './world.js';

/** Why the peer of `end` is alive at this moment, so that keepalive may not end the connection; null when it may be gone. */
export function signOfLife(world: World, end: End): string | null {
  const { socket } = end;
  if (socket === null) return null;
  const { pingTimeout } = end.plan.options;
  const { now } = world.clock;
  // Keepalive looks at the clock in steps
  const tolerance = Math.ceil(pingTimeout / 8) + 1;
  const recent = (at: number): boolean => now - at < pingTimeout - tolerance;
  if (socket.input.readable > 0 || socket.readableLength > 0) {
    return recent(world.blockedAt) ? 'this process was blocked' : 'bytes were unread';
  }
  if (recent(socket.readAt)) return 'bytes arrived';
  if (recent(socket.progressedAt)) return 'a stalled write made progress';
  const { pingedAt, tap } = end.output;
  if (tap.pings === 0) return 'no Ping was sent';
  // Those of the application start no timeout of keepalive
  if (recent(pingedAt) && !end.pinged) return 'its Ping was just sent';
  return null;
}

/** `latency` is the last round trip: of the Ping that this Pong answers. */
export function checkLatency(world: World, end: End, latency: number, payload: Buffer): void {
  const { input, name, output, peer, pinged } = end;
  const last = output.tap.controls.findLast(({ opcode }) => opcode === 9);
  if (pinged || payload.length !== 4 || last === undefined || !last.payload!.equals(payload)) return;
  const least = world.clock.now - output.pingedAt;
  // It waits behind what either side sends, and the clock may go on within a turn
  const silent = output.tap.payloadSize + input.tap.payloadSize === 0 && !peer.plan.raw;
  const exact = silent && output.untouched && input.untouched && world.blocked + world.program.cost === 0;
  if (latency >= least - 1 && (!exact || latency <= least + 1)) return;
  world.report('latency', 'latency is not that of the last round trip', `${name} ${latency} for ${least}`);
}

/** Milliseconds of grace: beats of keepalive, the polls at the end. */
const GRACE = 3_000;

/** From this moment on nothing reaches `end`: its keepalive has to notice, unless nothing of it can be told apart from a slow peer. */
export function watchLost(world: World, end: End): void {
  const { clock } = world;
  const application = world.applications.get(end);
  const { pingInterval, pingTimeout } = end.plan.options;
  if (application === undefined || pingInterval === 0 || end.lifeCycle.state !== 'open' || !isReading(end))
    return;
  const cutAt = clock.now;
  const look = (): void => {
    // What the kernel may hold is given its time
    const { pingedAt, tap } = end.output;
    const waited = (end.socket?.waited ?? 0) * 3;
    const begun = pingedAt > cutAt ? pingedAt : cutAt + pingInterval;
    const due = begun + pingTimeout + Math.max(Math.ceil(tap.size / 100), waited) + GRACE;
    if (clock.now < due) {
      clock.schedule(due - clock.now, look);
      return;
    }
    const { socket } = end;
    if (end.info !== null || application.ws.state !== 'open' || socket === null) return;
    const silent = socket.readAt <= cutAt && world.blockedAt < cutAt;
    const reads = socket.input.readable === 0 && isReading(end);
    // A Ping that could not be sent starts no timeout
    if (!silent || !reads || (socket.writing && (pingedAt <= cutAt || end.pinged))) return;
    world.report('liveness', 'a peer that is gone was not noticed', end.name);
  };
  look();
}

/** Nothing of its input waits for the application: keepalive sees every Pong. */
function isReading({ consuming, left, lifeCycle, plan, reading }: End): boolean {
  const paused = lifeCycle.events.has('pause()');
  return consuming && !left && !paused && plan.consumer.pace === 0 && reading.size === 0;
}
