/**
 * The states of a connection, RFC 6455 §7, the table of what each event does in them, which `lifecycle.ts` carries out,
 * and the trace of these events.
 *
 *     OPEN      messages are sent and delivered
 *     CLOSING   close() was called: the Close frame is queued or sent, the peer's has not been read; messages are
 *               discarded, or delivered if `receive` was set
 *     ANSWERED  the peer's Close frame was read, and ours is sent: TCP is being closed (§7.1.1)
 *     FAILING   this side failed the connection (§7.1.7): its Close frame is the last thing sent
 *     ENDING    TCP is closed, or destroyed: nothing is sent; what was read is still delivered
 *     CLOSED    the end is reported
 *
 *     event            OPEN         CLOSING        ANSWERED    FAILING     ENDING                    CLOSED
 *     close()          CLOSING      discard        -           -           discard                   -
 *     terminate()      ENDING, stop ENDING, stop   ENDING, stop ENDING, stop stop                    -
 *     peerClose        ANSWERED     ANSWERED       x           x           code is noted             x
 *     failure          FAILING      FAILING        -           -           stop                      -
 *     sourceFailure    FAILING      FAILING        -           -           -                         -
 *     writerAborted    CLOSING      Close is next  -           -           -                         -
 *     inputHandled     ENDING       ENDING         FIN         FIN         CLOSED, if socketClosed,  x
 *                                                                          and no whole message is being read
 *     socketError      ENDING       ENDING         ENDING      ENDING      -                         -
 *     socketClosed     ENDING       ENDING         ENDING      ENDING      read the rest             -
 *     lost             ENDING       ENDING         ENDING      ENDING      -                         -
 *     deadline         x            discard,       ENDING      ENDING      discard, unless awaited;  x
 *                                   ENDING                                 as socketClosed, if not yet
 *     consumerLeft     -            -              -           -           deadline                  -
 *
 * `-` is ignored, `x` cannot happen. "stop" drops what was read. "discard" drops what was read and what still comes;
 * close() does so in CLOSING and ENDING at once, and with `receive` in no state: a consumer is awaited until the deadline
 * only then. `inputHandled` comes after FIN, or after the socket is closed, as soon as everything received in front of
 * that is delivered or dropped. `lost` is the heartbeat's timeout, or a full queue. The deadline is that of
 * `closing-deadline.ts`; in ENDING, `closeTimeout` after the socket was closed, or should have been, or after a close()
 * with `receive`. `writerAborted`: of a message that has begun. After the end of the input, `failure` is a message that
 * was received whole, and is over the limit for those that are collected.
 */
import { channel } from 'node:diagnostics_channel';

/** States of a connection, in the order in which they can follow each other. */
export const Life = { Open: 0, Closing: 1, Answered: 2, Failing: 3, Ending: 4, Closed: 5 } as const;

const events = channel('sluice:connection:event');

/** Publishes an event of the table, before it takes effect. */
export function trace(connection: unknown, state: number, event: string): void {
  if (events.hasSubscribers) events.publish({ connection, state, event });
}
