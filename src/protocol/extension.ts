/**
 * The interface of an extension, RFC 6455 §9. The core knows extensions only through this file: which RSV
 * bits they own (§5.2), and how they transform the payload of a message that carries those bits.
 *
 *     received payload -> decoder.write() -> decoder.read() ... -> message
 *     message -> encoder.encode() -> sent payload
 */

/**
 * Parameters of one extension in the order of the header field; a parameter without a value is `true` (§9.1).
 */
export type ExtensionParameters = readonly (readonly [name: string, value: string | true])[];

/** What an application configures: makes an {@link Extension} out of a negotiation. */
export interface ExtensionFactory {
  /** The registered name, such as `permessage-deflate`. */
  readonly name: string;
  /** Client: what to offer, best first. */
  offers(): readonly ExtensionParameters[];
  /** Server: takes one offer, or declines it with `null`. */
  accept(offer: ExtensionParameters): AcceptedExtension | null;
  /** Client: the server took an offer with these parameters; throws when they are not what was offered. */
  confirm(response: ExtensionParameters): Extension;
}

/** An offer that the server takes, and what it answers. */
export interface AcceptedExtension {
  readonly parameters: ExtensionParameters;
  readonly extension: Extension;
}

/** A negotiated extension of one connection. */
export interface Extension {
  readonly name: string;
  /**
   * The RSV bits it owns in the first byte of the first frame of a message: of 0x40, 0x20, 0x10 one or more.
   */
  readonly rsv: number;
  readonly decoder: MessageDecoder;
  readonly encoder: MessageEncoder;
  /**
   * Frees what it holds; nothing is called after it. From here on it calls nothing either, not even
   * `onready`, and what a pending promise of the encoder gives is dropped: it should settle soon, with
   * anything. What it throws is emitted as `error`, unless the connection has failed before; it ends all the same.
   */
  close(): void;
}

/** Throws a TypeError unless an extension gave bytes: anything else would become a message that nobody sent. */
export function checkBytes(name: string, bytes: unknown): asserts bytes is Uint8Array {
  if (bytes instanceof Uint8Array) return;
  const type = bytes === null ? 'null' : typeof bytes;
  throw new TypeError(`Expected the extension ${name} to return bytes, not what is of type ${type}`);
}

/** Turns the received payload of one message after another into its data. */
export interface MessageDecoder {
  /**
   * Takes a part of the payload; `last` marks the end of the message. Never called while `read()` has more.
   *
   * @param frameEnds - the part is the last one of its frame. The sender may have flushed there and wait for an answer:
   *   what can be decoded is to be read before more comes
   */
  write(payload: Buffer, last: boolean, frameEnds: boolean): void;
  /**
   * The next part of the data, or `null`: then it wants more payload, works elsewhere (`busy`), or the
   * message is complete (`done`). Throws a `ProtocolError` to fail the connection. What is neither bytes nor
   * `null` is a TypeError, and fails the connection with 1011.
   *
   * @param most - what the size limit leaves: to produce more than one byte over it is of no use
   */
  read(most: number): Buffer | null;
  /**
   * Works outside of the calling thread. The decoder has to call `onready` once `read()` is worth calling: until
   * then nothing more is read from the peer, not even its Close frame. Only `close()` or `terminate()` of this side
   * ends a connection whose decoder never does.
   */
  readonly busy: boolean;
  /** All data of the message has been read. */
  readonly done: boolean;
  /** Set by the connection. */
  onready: (() => void) | null;
}

/** Turns the data of one message after another into the payload to send. */
export interface MessageEncoder {
  /** Whether a message is worth it; asked once, before its first part. `size` is -1 when not known. */
  wants(size: number): boolean;
  /**
   * Set when endpoints may share a payload, so that a message for many of them is encoded once: each endpoint
   * with the same key can send what one of them made of it. That is what `encode()` makes when there is no
   * `encodeShared()`: a key then says that each message is encoded on its own. Without a key each endpoint
   * encodes the message.
   */
  readonly shareKey?: string | null;
  /**
   * Encodes a whole message for every endpoint with this `shareKey`: without reference to earlier messages,
   * and without any effect on this encoder. Closing this extension does not stop it.
   *
   * @param data - stays as it is, and may be kept until the promise settles
   * @returns as of `encode()`
   */
  encodeShared?(data: Uint8Array): Buffer | Promise<Buffer>;
  /**
   * A payload that `encodeShared()` made, of this encoder or of another one with the same key, is sent next,
   * in place of one of `encode()`. Where later messages may refer to earlier ones, `data`, which it was made
   * of, counts among those. `data` is to be read within the call.
   */
  sentShared?(data: Uint8Array): void;
  /**
   * Encodes a part of a message; a promise means that later parts and messages wait for it.
   *
   * @param data - belongs to the caller: to be read within the call, or until the returned promise settles,
   *   and never changed or kept. The application may change it until then. Text lies in memory that the next
   *   text of any connection overwrites, unless a promise was returned
   * @returns the payload to send, which may be `data` itself; anything but bytes fails the connection with 1011. A
   *   buffer of at most 8 KiB that is returned at once may be reused by the next call: it has been copied by then. Any
   *   other must stay unchanged
   */
  encode(data: Uint8Array, last: boolean): Buffer | Promise<Buffer>;
}
