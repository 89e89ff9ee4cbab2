/**
 * The bound on what waits to be sent, `maxBufferedAmount`: memory counts, as an entry without a payload takes some.
 * Each kind of entry is compared with it on its own.
 */
import { WebSocketError } from '../../errors.js';
import type { Lifecycle } from '../lifecycle.js';

/** Bytes of memory, about: of a queued message or fragment, beside its payload; */
export const ENTRY_COST = 128;
/** of a Ping of the application, until its Pong comes; */
export const PING_COST = 512;
/** of a writer, until its turn comes; */
export const WRITER_COST = 1024;
/** of a call that waits until everything is flushed. */
export const WAITER_COST = 512;

/** Whether what waits, at `cost` bytes, is within the limit; if not, the connection is lost. */
export function affords(life: Lifecycle, cost: number): boolean {
  const { maxBufferedAmount } = life.options;
  if (cost <= maxBufferedAmount) return true;
  life.onLost(
    new WebSocketError(
      'ERR_SEND_QUEUE_FULL',
      `About ${cost} bytes wait to be sent, over maxBufferedAmount (${maxBufferedAmount}): the peer does not read, or calls are not awaited`,
    ),
  );
  return false;
}
