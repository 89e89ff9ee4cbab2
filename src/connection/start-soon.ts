/** When a connection begins to read: after its listeners were added. */

/** A connection that was made. */
interface Startable {
  start(): void;
}

const settled: Promise<void> = Promise.resolve();

/**
 * Starts a connection as soon as the code that made it has added its listeners: in ticks that are queued already, such
 * as that of the server's `connection`, or after it has awaited `accept()` or `connect()`. The tick after the
 * microtasks is the first one after all of that, and costs no turn of the event loop.
 */
export function startSoon(life: Startable): void {
  process.nextTick(afterTicks, life);
}

function afterTicks(life: Startable): void {
  void settled.then(() => process.nextTick(start, life));
}

function start(life: Startable): void {
  life.start();
}
