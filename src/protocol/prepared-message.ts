/** A message framed once for many receivers, RFC 6455 §6.1. */
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

  constructor(data: string | Uint8Array, opcode?: MessageOpcode) {
    this.data = data;
    this.opcode = opcode ?? (typeof data === 'string' ? Opcode.Text : Opcode.Binary);
  }

  /** The unmasked frame. */
  get frame(): Buffer {
    if (this.#frame === null) {
      const writer = new FrameWriter(false);
      if (typeof this.data === 'string') writer.text(FIN | this.opcode, this.data);
      else writer.frame(FIN | this.opcode, this.data);
      this.#frame = Buffer.concat(writer.take());
    }
    return this.#frame;
  }
}
