/**
 * Whole messages for `message` events, RFC 6455 §5.4: "a single larger message whose payload is equal to the
 * concatenation of the payloads of the fragments in order".
 */
import type { Endpoint } from '../../protocol/endpoint.js';
import { MessageAssembler } from '../../protocol/message-assembler.js';
import { Opcode } from '../../protocol/opcode.js';
import { type Assembler, decode, TextAssembler } from './text-assembler.js';

/** The message of a data event that is first and last: it lies in one buffer, and is a view of it. */
export function wholeMessage({ ascii, chunk, end, opcode, start }: Endpoint): string | Buffer {
  assertHeld(chunk, end);
  return opcode === Opcode.Text ? decode(chunk, start, end, ascii) : chunk.subarray(start, end);
}

/** Makes messages of the data events of an endpoint, where they come in parts. */
export class Assembly {
  /** Of the current message. */
  #parts: Assembler<string | Buffer> | null = null;

  /** Adds a data event; the message, if it is complete. */
  add(endpoint: Endpoint): string | Buffer | undefined {
    const { ascii, chunk, start, end, first, last } = endpoint;
    assertHeld(chunk, end);
    if (first) this.#parts = endpoint.opcode === Opcode.Text ? new TextAssembler() : new MessageAssembler();
    const parts = this.#parts!;
    parts.add(chunk, start, end, ascii);
    if (!last) return undefined;
    this.#parts = null;
    return parts.take(ascii);
  }

  /** Forgets what has come of a message. */
  drop(): void {
    this.#parts = null;
  }
}

/** Throws a TypeError when the memory of received bytes is gone: of a buffer that was transferred none are left. */
export function assertHeld(chunk: Buffer, end: number): void {
  if (chunk.length >= end) return;
  throw new TypeError(
    'Tried to read a message in a received buffer that was transferred: copy the data first',
  );
}
