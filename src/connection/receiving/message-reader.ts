/** A received message as a body, read like a `fetch()` response, RFC 6455 §6.2. */
import { handled } from '../handled.js';
import type { MessageBody } from './message-body.js';
import { checkCount, chunksOfPart, readPart, skipPart } from './message-parts.js';

/** Whether a message is UTF-8 text or arbitrary bytes (RFC 6455 §5.6). */
export type MessageType = 'text' | 'binary';

/**
 * One received message. Its body is read once: by iterating over its chunks, or by one of the methods; a second
 * use rejects with a TypeError. In front of that, {@link read}, {@link chunks} and {@link skip} read parts of it, one
 * after another; two at once reject with a TypeError.
 *
 * A message that is not begun when the next one is asked for is discarded: reading it later rejects with ERR_CONSUMPTION.
 * While it is being read, the next one waits; one that is read in parts is left, and discarded, where the next one is asked
 * for and no part is being read: ask for it after the last part.
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
  /** A part of it was read, or is being read. */
  #inParts = false;
  #cancelled = false;

  /** @internal */
  constructor(type: MessageType, body: MessageBody) {
    this.type = type;
    this.#body = body;
  }

  /** Whether the body is being read or was read. */
  get bodyUsed(): boolean {
    return this.#used || this.#inParts || this.#cancelled;
  }

  /**
   * Exactly the next `size` bytes: a view of the receive buffer where they lie in one chunk, valid for as long as it is
   * held, and pinning that buffer for that time. Nothing is allocated before it comes. The parts of a text are bytes
   * of UTF-8.
   *
   * @example
   * ```ts
   * for (let head = await message.read(4); head !== null; head = await message.read(4)) {
   *   await peer.sendStream(message.chunks(head.readUInt32BE()));
   * }
   * ```
   * @param size - an integer from 0 to `maxMessageSize`: check one that the peer has sent first
   * @returns null when the message is over before the first of them
   * @throws RangeError for any other size, TypeError while another part is read, or after {@link text} and its like.
   * Rejects with ERR_UNEXPECTED_END when the message is over before the last of them; so does what is read after that
   */
  read(size: number): Promise<Buffer | null> {
    return this.#readPart(size, this.#body.maxCollected, readPart);
  }

  /**
   * The next `size` bytes, chunk by chunk as by iteration: however many they are, memory does not depend on it. Leaving
   * them early leaves the rest of them unread. They count from the call on: nothing else can be read of the message
   * until they have come or are left.
   *
   * @example
   * ```ts
   * for await (const chunk of message.chunks(1_000_000)) file.write(chunk);
   * const rest = await message.bytes();
   * ```
   * @param size - an integer from 0 to `Number.MAX_SAFE_INTEGER`
   * @throws RangeError for any other size, TypeError as {@link read}. The iteration throws ERR_UNEXPECTED_END when the
   * message is over before the last of them
   */
  chunks(size: number): AsyncIterableIterator<Buffer> {
    checkCount(size, Number.MAX_SAFE_INTEGER);
    this.#usePart();
    return chunksOfPart(this.#body, size);
  }

  /**
   * Drops the next `size` bytes as they come.
   *
   * @example
   * ```ts
   * await message.skip(16);
   * const rest = await message.bytes();
   * ```
   * @param size - an integer from 0 to `Number.MAX_SAFE_INTEGER`
   * @throws RangeError and TypeError as {@link read}. Rejects with ERR_UNEXPECTED_END when the message is over before the
   * last of them
   */
  skip(size: number): Promise<void> {
    return this.#readPart(size, Number.MAX_SAFE_INTEGER, skipPart);
  }

  /**
   * The whole message as a string, at most `maxMessageSize` bytes; a larger one fails the connection with 1009. Rejects
   * with a TypeError when parts of the message were read: the rest of a text may begin within a character.
   */
  text(): Promise<string> {
    return this.#read(() => this.#body.collectText(), true);
  }

  /** {@link text} parsed as JSON. Rejects with a SyntaxError if it is none. */
  json(): Promise<unknown> {
    return this.#read(() => this.#body.collectText().then((text): unknown => JSON.parse(text)), true);
  }

  /**
   * What is unread of the message, at most `maxMessageSize` bytes. A message that arrived in one piece is a view of the
   * receive buffer: valid for as long as it is held, and pinning that buffer for that time.
   */
  bytes(): Promise<Uint8Array> {
    return this.#read(() => this.#body.collect());
  }

  /** What is unread of the message in an ArrayBuffer of its own, at most `maxMessageSize` bytes. */
  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#read(() =>
      this.#body
        .collect()
        .then(
          ({ buffer, byteOffset, length }) => buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer,
        ),
    );
  }

  /** The chunks that are unread as a web stream; cancelling it drops the rest of the message. */
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
   * Drops what is unread of the message: what waits for it, or reads it later, rejects with ERR_CONSUMPTION. A
   * message that is dropped without being begun fails the connection with 1009 when it is over
   * `maxMessageSize`.
   */
  cancel(): void {
    this.#cancelled = true;
    this.#body.cancel();
  }

  /**
   * The chunks of the message, or of what is unread of it, as they come, of any size but 0. Each is a view of a receive
   * buffer, valid for as long as it is held, and pinning that buffer for that time. The next one is not received before
   * the last is taken: a slow reader slows the sender down through the TCP window. Leaving the loop drops the rest.
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

  #read<T>(collect: () => Promise<T>, whole = false): Promise<T> {
    try {
      if (whole && this.#inParts)
        throw new TypeError('Tried to read a message as text or JSON after parts of it: use bytes()');
      this.#use();
    } catch (error) {
      return Promise.reject(error);
    }
    return handled(collect());
  }

  #readPart<T>(
    size: number,
    most: number,
    read: (body: MessageBody, size: number) => Promise<T>,
  ): Promise<T> {
    try {
      checkCount(size, most);
      this.#usePart();
    } catch (error) {
      return Promise.reject(error);
    }
    return handled(read(this.#body, size));
  }

  #use(): void {
    this.#checkUse();
    this.#used = true;
    this.#body.begin();
  }

  #usePart(): void {
    this.#checkUse();
    this.#inParts = true;
  }

  #checkUse(): void {
    if (this.#used) throw new TypeError('Tried to read the body of a message twice');
    if (this.#body.inPart) throw new TypeError('Tried to read a message while a part of it is being read');
  }
}
