/** A message framed once for many receivers, RFC 6455 §6.1. */
import type { Extension } from './extension.js';
import { FIN } from './frame-header.js';
import { FrameWriter } from './frame-writer.js';
import { type MessageOpcode, Opcode } from './opcode.js';

/**
 * A message for many connections: a server frames it once, and all its connections send the same bytes.
 * (A client masks each frame with a key of its own (§5.3), so it frames the message for each connection.)
 */
export class PreparedMessage {
  readonly opcode: MessageOpcode;
  /** The message as it was given; it must not change while connections still send it. */
  readonly data: string | Uint8Array;
  #frame: Buffer | null = null;
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

  /** The unmasked frame of the payload that `extension` makes of the message, made once for its `key`. */
  encodedFrame(key: string, extension: Extension): Buffer | Promise<Buffer> {
    let frame = this.#encoded.get(key);
    if (frame !== undefined) return frame;
    const first = FIN | extension.rsv | this.opcode;
    const payload = extension.encoder.encode(
      typeof this.data === 'string' ? Buffer.from(this.data) : this.data,
      true,
    );
    if (payload instanceof Promise) {
      frame = payload.then((encoded) => frameOf(first, encoded));
      frame.then(
        (made) => this.#encoded.set(key, made),
        // What failed once may succeed for the next connection
        () => this.#encoded.delete(key),
      );
    } else frame = frameOf(first, payload);
    this.#encoded.set(key, frame);
    return frame;
  }
}

function frameOf(first: number, payload: string | Uint8Array): Buffer {
  const writer = new FrameWriter(false);
  if (typeof payload === 'string') writer.text(first, payload);
  else writer.frame(first, payload);
  return Buffer.concat(writer.take());
}
