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
