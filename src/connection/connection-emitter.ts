/** The `EventEmitter` that a connection is, in types. */
import { EventEmitter } from 'node:events';
import type { ConnectionEvents } from './connection-types.js';
import type { MessageType } from './receiving/message-reader.js';

/** Events as the methods of an emitter take them: TypeScript wants all arguments where they are a union of lists. */
type Events = Omit<ConnectionEvents, 'message'> & {
  message: [data: string | Buffer, type: MessageType];
};

type OnMessage = (...message: ConnectionEvents['message']) => void;

/** Listeners for `message` with both arguments, in which a test of `type` narrows `data`. */
export interface MessageListeners {
  on(event: 'message', listener: OnMessage): this;
  once(event: 'message', listener: OnMessage): this;
  off(event: 'message', listener: OnMessage): this;
  addListener(event: 'message', listener: OnMessage): this;
  removeListener(event: 'message', listener: OnMessage): this;
  prependListener(event: 'message', listener: OnMessage): this;
  prependOnceListener(event: 'message', listener: OnMessage): this;
}

/** An emitter of {@link ConnectionEvents}. */
export type ConnectionEmitter = MessageListeners & EventEmitter<Events>;

type Constructor = new (options?: { readonly captureRejections?: boolean }) => ConnectionEmitter;

/** `EventEmitter`, with the events of a connection. */
export const ConnectionEmitter: Constructor = EventEmitter as unknown as Constructor;
