/** A message framed once for many receivers, RFC 6455 §6.1. */
import { checkBytes, type Extension } from './extension.js';
import { FIN, headerSizeOf } from './frame-header.js';
import { FrameWriter } from './frame-writer.js';
import { type MessageOpcode, Opcode } from './opcode.js';

/**
 * A message for many connections: a server frames it once, and all its connections send the same bytes.
 * (A client masks each frame with a key of its own (§5.3), so it frames the message for each connection.)
 *
 * Invariant of its frames, which all connections refer to: nothing writes to their memory once they are made,
 * and no view of them is given to an application.
 */
export class PreparedMessage {
  readonly opcode: MessageOpcode;
  /** The message as it was given; it must not change before the message is sent for the first time. */
  readonly data: string | Uint8Array;
  #frame: Buffer | null = null;
  #bytes: Buffer | null = null;
  /** Frames of payloads that extensions made, by their `shareKey`. */
  readonly #encoded: Map<string, Buffer | Promise<Buffer>> = new Map();

  constructor(data: string | Uint8Array, opcode?: MessageOpcode) {
    this.data = data;
    this.opcode = opcode ?? (typeof data === 'string' ? Opcode.Text : Opcode.Binary);
  }

  /** The unmasked frame. */
  get frame(): Buffer {
    this.#frame ??= frameOf(FIN | this.opcode, this.data);
    return this.#frame;
  }

  /**
   * The payload of {@link frame}: a text's UTF-8, made once, or a copy of the bytes. All connections encode
   * the same, and remember the same, whatever becomes of the data.
   */
  get bytes(): Buffer {
    if (this.#bytes === null) {
      const { frame } = this;
      this.#bytes = frame.subarray(headerSizeOf(frame));
    }
    return this.#bytes;
  }

  /** The unmasked frame of the payload that `extension` makes of the message, made once for its `key`. */
  encodedFrame(key: string, extension: Extension): Buffer | Promise<Buffer> {
    let frame = this.#encoded.get(key);
    if (frame !== undefined) return frame;
    const first = FIN | extension.rsv | this.opcode;
    const { encoder } = extension;
    const payload = encoder.encodeShared?.(this.bytes) ?? encoder.encode(this.bytes, true);
    if (payload instanceof Promise) {
      frame = payload.then((encoded) => encodedFrame(extension, first, encoded));
      frame.then(
        (made) => this.#encoded.set(key, made),
        // What failed once may succeed for the next connection
        () => this.#encoded.delete(key),
      );
    } else frame = encodedFrame(extension, first, payload);
    this.#encoded.set(key, frame);
    return frame;
  }
}

function encodedFrame({ name }: Extension, first: number, payload: unknown): Buffer {
  checkBytes(name, payload);
  return frameOf(first, payload);
}

function frameOf(first: number, payload: string | Uint8Array): Buffer {
  const writer = new FrameWriter(false);
  if (typeof payload === 'string') writer.text(first, payload);
  else writer.frame(first, payload);
  return Buffer.concat(writer.take());
}
