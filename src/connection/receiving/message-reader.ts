/** A received message as a body, read like a `fetch()` response, RFC 6455 §6.2. */
import { handled } from '../handled.js';
import type { MessageBody } from './message-body.js';

/** Whether a message is UTF-8 text or arbitrary bytes (RFC 6455 §5.6). */
export type MessageType = 'text' | 'binary';

/**
 * One received message. Its body is read once: by iterating over its chunks, or by one of the methods; a second
 * use rejects with a TypeError. A message that is not begun when the next one is asked for is discarded: reading it
 * later rejects with ERR_CONSUMPTION.
 *
 * Reading rejects with a `ProtocolError` when the peer breaks the protocol within the message, and with a
 * `ConnectionClosedError` when the connection ends before the message does.
 *
 * @example
 * ```ts
 * for await (const message of ws) {
 *   if (message.type === 'text') console.log(await message.text());
 *   else for await (const chunk of message) file.write(chunk);
 * }
 * ```
 */
export class MessageReader {
  readonly type: MessageType;
  readonly #body: MessageBody;
  #used = false;

  /** @internal */
  constructor(type: MessageType, body: MessageBody) {
    this.type = type;
    this.#body = body;
  }

  /** Whether the body is being read or was read. */
  get bodyUsed(): boolean {
    return this.#used;
  }

  /** The whole message as a string, at most `maxMessageSize` bytes; a larger one fails the connection with 1009. */
  text(): Promise<string> {
    return this.#read(() => this.#body.collectText());
  }

  /** The whole message parsed as JSON, at most `maxMessageSize` bytes. Rejects with a SyntaxError if it is none. */
  json(): Promise<unknown> {
    return this.#read(() => this.#body.collectText().then((text): unknown => JSON.parse(text)));
  }

  /**
   * The whole message, at most `maxMessageSize` bytes. A message that arrived in one piece is a view of the receive
   * buffer: valid for as long as it is held, and pinning that buffer for that time.
   */
  bytes(): Promise<Uint8Array> {
    return this.#read(() => this.#body.collect());
  }

  /** The whole message in an ArrayBuffer of its own, at most `maxMessageSize` bytes. */
  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#read(() =>
      this.#body
        .collect()
        .then(
          ({ buffer, byteOffset, length }) => buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer,
        ),
    );
  }

  /** The chunks as a web stream; cancelling it drops the rest of the message. */
  stream(): ReadableStream<Uint8Array> {
    const chunks = this[Symbol.asyncIterator]();
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller): Promise<void> {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: (): void => this.cancel(),
      },
      { highWaterMark: 0 },
    );
  }

  /**
   * Drops what is unread of the message: an iteration, and a method that waits, rejects with ERR_CONSUMPTION. A
   * message that is dropped without being iterated over fails the connection with 1009 when it is over
   * `maxMessageSize`.
   */
  cancel(): void {
    this.#used = true;
    this.#body.cancel();
  }

  /**
   * The chunks of the message as they come, of any size but 0. Each is a view of a receive buffer, valid for as
   * long as it is held, and pinning that buffer for that time. The next one is not received before the last is
   * taken: a slow reader slows the sender down through the TCP window. Leaving the loop drops the rest.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Buffer> {
    this.#use();
    const body = this.#body;
    return {
      next: (): Promise<IteratorResult<Buffer, undefined>> =>
        handled(
          body
            .next()
            .then((value) => (value === null ? { done: true, value: undefined } : { done: false, value })),
        ),
      return: async (): Promise<IteratorResult<Buffer, undefined>> => {
        body.leave();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator](): AsyncIterableIterator<Buffer> {
        return this;
      },
    };
  }

  #read<T>(collect: () => Promise<T>): Promise<T> {
    try {
      this.#use();
    } catch (error) {
      return Promise.reject(error);
    }
    return handled(collect());
  }

  #use(): void {
    if (this.#used) throw new TypeError('Tried to read the body of a message twice');
    this.#used = true;
    this.#body.begin();
  }
}
