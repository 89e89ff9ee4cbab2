/** What a connection reports to the server that made it, whatever listeners the application adds or removes. */
import type { EventEmitter } from 'node:events';

/** One for all connections of a server. */
export interface Owner {
  /** The connection is closed; before `close` is emitted. */
  readonly closed: (ws: EventEmitter) => void;
  /** An async listener of a connection rejected, by a mistake of the application. */
  readonly rejected: (error: Error) => void;
}
