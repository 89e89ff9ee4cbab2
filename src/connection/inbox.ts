/** Messages handed out one by one, for `receive()` and iteration: pulled, never pushed. */
import type { ProtocolError } from '../errors.js';
import type { Endpoint } from '../protocol/endpoint.js';
import { Opcode } from '../protocol/opcode.js';
import { violation } from '../protocol/violation.js';
import { onAbort } from './abort.js';
import { type BodySource, MessageBody } from './message-body.js';
import { MessageReader } from './message-reader.js';

interface Waiter {
  resolve(message: MessageReader | null): void;
  reject(error: unknown): void;
  stop(): void;
}

/** What an inbox needs of its connection. */
export interface InboxSource {
  /** There is room: deliver what there is, read on. */
  demand(): void;
  /** Sets the size limit, also of the message at hand; fails the connection when that is over it, and tells why. */
  limit(most: number): ProtocolError | null;
  /** Fails the connection. */
  fail(error: ProtocolError): void;
}

/** Keeps who waits for messages, and the message that is being received. */
export class Inbox {
  /** The message that is being received and was handed out. */
  #body: MessageBody | null = null;
  #waiters: Waiter[] = [];
  /** How the connection ended: an error, or null for a clean close. */
  #end: Error | null | undefined = undefined;
  readonly #source: InboxSource;
  readonly #maxStreamSize: number;
  readonly #bodySource: BodySource;

  constructor(source: InboxSource, maxMessageSize: number, maxStreamSize: number) {
    this.#source = source;
    this.#maxStreamSize = maxStreamSize;
    this.#bodySource = {
      demand: (): void => source.demand(),
      collecting: (body, size): void => {
        let error = body.ended ? null : source.limit(maxMessageSize);
        if (body.ended && size > maxMessageSize) {
          error = violation('messageTooBig', `${size} bytes`);
          source.fail(error);
        }
        if (error !== null) throw error;
      },
      dropping: (): void => void source.limit(maxMessageSize),
    };
    source.limit(maxStreamSize);
  }

  /** The next message; null after a clean close. The last one is dropped, unless somebody waits for more of it. */
  receive(signal?: AbortSignal): Promise<MessageReader | null> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#body !== null && !this.#body.wanted) this.#body.discard();
    if (this.#end === null) return Promise.resolve(null);
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { resolve, reject, stop: () => {} };
      waiter.stop = onAbort(signal, (reason) => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(reason);
      });
      this.#waiters.push(waiter);
      this.#source.demand();
    });
  }

  /** Takes the data event at hand, or returns false: nobody wants it yet. */
  offer(endpoint: Endpoint): boolean {
    if (this.#body === null) {
      const waiter = this.#waiters.shift();
      if (waiter === undefined) return false;
      waiter.stop();
      this.#body = new MessageBody(this.#bodySource);
      waiter.resolve(new MessageReader(endpoint.opcode === Opcode.Text ? 'text' : 'binary', this.#body));
    }
    if (!this.#body.offer(endpoint)) return false;
    if (endpoint.last) {
      this.#body = null;
      endpoint.maxMessageSize = this.#maxStreamSize;
    }
    return true;
  }

  /**
   * The connection is over.
   *
   * @param error - what waiting and later calls reject with; null after a clean close
   * @param unread - what reading a message that was not received whole rejects with
   */
  end(error: Error | null, unread: Error): void {
    if (this.#end === undefined) this.#end = error;
    this.#body?.fail(unread);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      waiter.stop();
      if (error === null) waiter.resolve(null);
      else waiter.reject(error);
    }
  }
}
