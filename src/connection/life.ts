/** The states of a connection, RFC 6455 §7, and the trace of what happens in them: `lifecycle.ts` has the table. */
import { channel } from 'node:diagnostics_channel';

/** States of a connection, in the order in which they can follow each other. */
export const Life = { Open: 0, Closing: 1, Answered: 2, Failing: 3, Ending: 4, Closed: 5 } as const;

const events = channel('sluice:connection:event');

/** Publishes an event of the table, before it takes effect. */
export function trace(connection: unknown, state: number, event: string): void {
  if (events.hasSubscribers) events.publish({ connection, state, event });
}
