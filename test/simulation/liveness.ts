/** DESIGN §4, Liveness: when keepalive may count a peer as gone. */
import type { End } from './model.js';
import type { World } from './world.js';

/** Why the peer of `end` was alive when keepalive ended the connection; null when it may have been gone. */
export function isAlive(world: World, end: End): string | null {
  const { socket } = end;
  if (socket === null) return null;
  const { pingTimeout } = end.plan.options;
  const { now } = world.clock;
  // Keepalive looks at the clock in steps
  const tolerance = Math.ceil(pingTimeout / 8) + 1;
  const recent = (at: number): boolean => now - at < pingTimeout - tolerance;
  if (socket.input.readable > 0 || socket.readableLength > 0) return 'bytes were unread';
  if (recent(socket.readAt)) return 'bytes arrived';
  if (socket.stalled && recent(socket.progressedAt)) return 'a stalled write made progress';
  if (recent(world.blockedAt)) return 'this process was blocked';
  const pings = end.output.tap.frames.filter(({ opcode }) => opcode === 9);
  if (pings.length === 0 && !socket.stalled) return 'no Ping was sent';
  return null;
}
