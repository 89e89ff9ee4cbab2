/**
 * How the messages of a connection are consumed; fixed by the first use.
 *
 *     UNDECIDED ── on('message'), resume() ──▶ EVENTS   whole messages; pause() and resume() hold the flow
 *         └─────── receive(), iteration ─────▶ PULL     message by message, chunk by chunk
 */
import { WebSocketError } from '../../errors.js';

/** The states of the drawing. */
export const Mode = { Undecided: 0, Events: 1, Pull: 2 } as const;

type Used = typeof Mode.Events | typeof Mode.Pull;

/** By the mode that was wanted: why it cannot be. */
const mixed: Readonly<Record<Used, string>> = {
  [Mode.Events]: 'Tried to listen for messages that are read by receive() or iteration',
  [Mode.Pull]: "Tried to receive messages that are consumed by 'message' listeners",
};

/** Throws when messages that are consumed in one mode cannot be consumed in another as well. */
export function checkMode(mode: number, wanted: Used): void {
  if (mode !== Mode.Undecided && mode !== wanted) throw new WebSocketError('ERR_CONSUMPTION', mixed[wanted]);
}
