/** How long bytes may stay in the buffers of the kernel, which nothing reports. */

/** Bytes a millisecond that a peer takes at least: what a kernel holds is given the time to leave at this pace. */
export const PACE = 100;
/** Bytes that a kernel may hold, of the sender and of the receiver: the limits of Linux, 4 and 6 MiB. */
const MAX_HELD = 10 * 1024 * 1024;
/** A stalled kernel reports that it takes more when a third of its buffer is free: all of it leaves in so many times the stall. */
const STALLS = 3;

/**
 * Milliseconds that `size` bytes may take which the kernel has accepted.
 *
 * @param slowBytes - bytes for which it had no room lately; @param slowTime - milliseconds until it had
 */
export function timeToLeave(size: number, slowBytes: number, slowTime: number): number {
  const held = Math.min(size, MAX_HELD);
  if (held <= 0) return 0;
  const measured = slowTime === 0 ? 0 : (held / slowBytes) * slowTime;
  return Math.ceil(Math.max(held / PACE, Math.min(measured, slowTime * STALLS)));
}
