/**
 * Scratch memory for the UTF-8 bytes of texts that an extension encodes: most are encoded within the call.
 */

const MAX_LENGTH = 16 * 1024;
/** UTF-8 of one UTF-16 code unit takes up to 3 bytes. */
const CAPACITY = MAX_LENGTH * 3;

/**
 * Shared by all connections. Invariant: its bytes belong to the text of the current call of an encoder, and
 * to nobody after that call, unless {@link releaseTextBytes} is called before any other text is encoded. So
 * no view of it may be queued, and only the encoder may be given one.
 */
let scratch: Buffer | null = null;

/**
 * The bytes of `text`: a view that the next call overwrites, unless {@link releaseTextBytes} is called
 * before.
 */
export function textBytes(text: string): Buffer {
  if (text.length > MAX_LENGTH) return Buffer.from(text);
  scratch ??= Buffer.allocUnsafeSlow(CAPACITY);
  return scratch.subarray(0, scratch.write(text));
}

/** Releases the scratch memory to its last user, so that it is never overwritten. */
export function releaseTextBytes(): void {
  scratch = null;
}
