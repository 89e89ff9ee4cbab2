/** The context of AsyncLocalStorage in which the listeners of a connection run, and what becomes of their exceptions. */
import { AsyncResource } from 'node:async_hooks';
import type { EventEmitter } from 'node:events';
import type { ConnectionEvents } from './connection-types.js';

/**
 * The context that a connection was made in. Timers, immediates and calls of other connections' listeners lead to
 * events as well, so every batch of events enters it.
 */
export class ListenerContext extends AsyncResource {
  constructor() {
    super('WebSocketConnection');
  }

  /** Calls `work` in the context. */
  run<T>(work: (argument: T) => void, argument: T): void {
    this.runInAsyncScope(work, undefined, argument);
  }

  /** Emits an event in the context. */
  emit<K extends keyof ConnectionEvents>(
    emitter: EventEmitter<ConnectionEvents>,
    event: K,
    ...details: ConnectionEvents[K]
  ): void {
    try {
      this.runInAsyncScope(emit, undefined, emitter, event, details);
    } catch (error) {
      throwLater(error);
    }
  }
}

/** A listener has thrown: an uncaught exception, but not one of the call or the stream that led to the event. */
export function throwLater(error: unknown): void {
  process.nextTick(throwNow, error);
}

function throwNow(error: unknown): never {
  throw error;
}

function emit<K extends keyof ConnectionEvents>(
  emitter: EventEmitter<ConnectionEvents>,
  event: K,
  details: ConnectionEvents[K],
): void {
  emitter.emit(event, ...(details as never));
}
