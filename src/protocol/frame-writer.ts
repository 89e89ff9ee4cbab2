/**
 * Messages and fragments to bytes, RFC 6455 §5.2, §6.1.
 *
 * Frames are laid one behind the other until `take()` collects them, so that many small ones leave in one
 * write. Header and small payload share a buffer; a large payload of a server goes out by reference.
 *
 *     shared slab   ...[frame][frame][frame]       the first piece, if nobody else wrote behind it meanwhile
 *     own block     [frame][frame]                 then the writer's own
 *     by reference  [header] + payload
 */
import { headerSize, MASK, MAX_HEADER_SIZE, writeHeader } from './frame-header.js';
import { mask, maskingKey } from './masking.js';

/** A larger payload is not copied, unless it has to be masked. */
const COPY_LIMIT = 8 * 1024;
const SLAB = 64 * 1024;
/** A larger frame has a block of its own. */
const MOST_SHARED = 16 * 1024 + MAX_HEADER_SIZE;
const FIRST_BLOCK = 4 * 1024;
/** Up to this length a loop over characters beats a call into native code. */
const SHORT_TEXT = 64;

const empty: Buffer = Buffer.alloc(0);

let slab: Buffer = empty;
let slabEnd = 0;

/** Serializes the frames that one endpoint sends. */
export class FrameWriter {
  /** Bytes laid down and not taken yet. */
  size = 0;
  #pieces: Buffer[] = [];
  /** The open piece is `#block[#start, #end)`. */
  #block: Buffer = empty;
  #start = 0;
  #end = 0;
  /** The block is, or was, the shared slab: others may have written behind the open piece. */
  #shared = false;
  #blockSize = FIRST_BLOCK;
  #key = 0;
  readonly #masked: boolean;

  /** @param masked - whether this endpoint is a client, which "MUST mask all frames that it sends" (§5.1) */
  constructor(masked: boolean) {
    this.#masked = masked;
  }

  /**
   * Lays down a frame.
   *
   * @param first - its first byte: FIN, RSV and opcode
   * @param payload - never changed; a large one is kept by reference until its bytes have left
   */
  frame(first: number, payload: Uint8Array): void {
    const length = payload.length;
    if (!this.#masked && length > COPY_LIMIT) {
      this.#commit(this.#header(first, length, 0));
      this.#refer(payload);
      return;
    }
    const at = this.#header(first, length, length);
    this.#block.set(payload, at);
    this.#finish(at, at + length);
  }

  /** Lays down a frame with the UTF-8 bytes of `text`. */
  text(first: number, text: string): void {
    if (text.length <= SHORT_TEXT && this.#shortText(first, text)) return;
    const size = Buffer.byteLength(text);
    const at = this.#header(first, size, size);
    this.#block.write(text, at, size);
    this.#finish(at, at + size);
  }

  /** Lays down bytes that are frames already. */
  raw(frames: Buffer): void {
    if (this.#end === this.#start || frames.length > FIRST_BLOCK) {
      this.#refer(frames);
      return;
    }
    const at = this.#reserve(frames.length);
    this.#block.set(frames, at);
    this.#commit(at + frames.length);
  }

  /** Takes all bytes laid down, in order. */
  take(_max: number = Number.POSITIVE_INFINITY): Buffer[] {
    this.size = 0;
    this.#blockSize = FIRST_BLOCK;
    const pieces = this.#pieces;
    if (pieces.length === 0 && this.#end > this.#start) return [this.#close()];
    this.#seal();
    this.#pieces = [];
    return pieces;
  }

  /** Lays down a text of ASCII; false, with nothing done, when it is more than that. */
  #shortText(first: number, text: string): boolean {
    const length = text.length;
    const at = this.#header(first, length, length);
    const block = this.#block;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) return false;
      block[at + i] = code;
    }
    this.#finish(at, at + length);
    return true;
  }

  /** Writes a header in front of `room` bytes; returns where they begin. */
  #header(first: number, length: number, room: number): number {
    const offset = this.#reserve(headerSize(length, this.#masked) + room);
    if (!this.#masked) return writeHeader(this.#block, offset, first, length, 0);
    this.#key = maskingKey();
    return this.#block.writeInt32BE(this.#key, writeHeader(this.#block, offset, first, length, MASK));
  }

  #finish(start: number, end: number): void {
    if (this.#masked) mask(this.#block, start, end, this.#key, 0);
    this.#commit(end);
  }

  #commit(end: number): void {
    this.size += end - this.#end;
    this.#end = end;
    if (this.#block === slab) slabEnd = end;
  }

  #refer(payload: Uint8Array): void {
    this.#seal();
    this.size += payload.length;
    const { buffer, byteOffset, length } = payload;
    this.#pieces.push(Buffer.isBuffer(payload) ? payload : Buffer.from(buffer, byteOffset, length));
  }

  /** Finds room for `size` bytes in one run; returns its offset in `#block`. */
  #reserve(size: number): number {
    const block = this.#block;
    const mine = !this.#shared || (block === slab && this.#end === slabEnd);
    if (mine && block.length - this.#end >= size) return this.#end;
    this.#seal();
    if (this.#pieces.length === 0 && size <= MOST_SHARED) this.#openShared(size);
    else this.#openOwn(size);
    return this.#end;
  }

  #openShared(size: number): void {
    if (slab.length - slabEnd < size) {
      slab = Buffer.allocUnsafeSlow(SLAB);
      slabEnd = 0;
    }
    this.#block = slab;
    this.#shared = true;
    this.#start = slabEnd;
    this.#end = slabEnd;
  }

  /** Behind a piece in the shared slab: what a slow peer does not take must not pin other connections' bytes. */
  #openOwn(size: number): void {
    this.#block = Buffer.allocUnsafeSlow(Math.max(size, this.#blockSize));
    this.#shared = false;
    this.#blockSize = Math.min(SLAB, this.#blockSize * 2);
    this.#start = 0;
    this.#end = 0;
  }

  #seal(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#close());
    else this.#block = empty;
  }

  /** Ends the open piece. */
  #close(): Buffer {
    const piece = this.#block.subarray(this.#start, this.#end);
    this.#block = empty;
    this.#start = 0;
    this.#end = 0;
    return piece;
  }
}
