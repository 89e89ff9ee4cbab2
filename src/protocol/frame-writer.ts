/**
 * Messages and fragments to bytes, RFC 6455 §5.2, §6.1.
 *
 * Frames are appended until `take()` collects them, so that many small ones leave in one write. Header and
 * small payload share a block; a large payload of a server goes out by reference.
 *
 *     shared slab   ...[frame][frame][frame]   the first piece, until another writer appends after it
 *     own block     [frame][frame]             the pieces after that
 *     by reference  [header] + payload         a large payload, or a frame made before for many connections
 */
import { frameSizeOf, headerSize, MASK, MAX_HEADER_SIZE, writeHeader } from './frame-header.js';
import { mask, maskingKey } from './masking.js';

/** A larger payload is not copied, unless it has to be masked. */
const MAX_COPIED = 8 * 1024;
/** A frame made before that is larger is not copied. */
const MAX_COPIED_FRAME = 4 * 1024;
/** Pieces up to which a small one is not copied. */
const MAX_REFERENCES = 16;
const SLAB_SIZE = 64 * 1024;
/** A larger frame has a block of its own. */
const MAX_SHARED = 16 * 1024 + MAX_HEADER_SIZE;
/** Own blocks double from one to the next, this often: 4 KiB after the slab, then up to 64 KiB. */
const SMALLEST_BLOCK = 2 * 1024;
const MAX_DOUBLINGS = 5;
/** Up to this length a loop over characters beats a call into native code. */
const SHORT_TEXT = 64;
/** Memory that a piece takes beside its bytes: a Buffer, its ArrayBuffer, and its place in the list. */
const PIECE_COST = 256;
/** Places of pieces already taken that a list may hold before it is renewed. */
const MAX_STALE_PIECES = 1024;

const empty: Buffer = Buffer.alloc(0);
/** The list of a writer without closed pieces: most have none for most of the time. */
const none: Buffer[] = [];

/**
 * Memory of the first pieces of all writers. Invariant: a byte below `slabEnd` belongs to one piece of one
 * writer, is written once, and never again, for as long as a view of it exists. So a piece may be held
 * without limit, by a stream that has not written it yet. Only a writer whose open piece ends at `slabEnd`
 * may append in place; a full slab is replaced, never reused. A writer has one piece in it at a time: a peer
 * that reads slowly keeps no more than that of the bytes of other connections alive. Pieces of it are given
 * only to streams that pass no buffer on: a view of one byte gives access to all of it, and can detach it.
 */
let slab: Buffer = empty;
let slabEnd = 0;

/** Serializes the frames that one endpoint sends. */
export class FrameWriter {
  /** Bytes appended and not taken yet. */
  size = 0;
  /** Closed pieces; those from `#head` on are not taken yet. All but headers of payloads end with a frame. */
  #pieces: Buffer[] = none;
  #head = 0;
  /** The open piece is `#block[#start, #end)`. */
  #block: Buffer = empty;
  #start = 0;
  #end = 0;
  /** The block is, or was, the shared slab: other writers may have appended after the open piece. */
  #shared = false;
  /** Blocks opened since everything was taken. */
  #blocks = 0;
  #key = 0;
  readonly #masked: boolean;
  readonly own: boolean;

  /**
   * @param masked - whether this endpoint is a client, which "MUST mask all frames that it sends" (§5.1)
   * @param own - what is taken goes to a stream that may pass the buffers on: everything is copied to blocks of
   *   this writer, and these hold nothing else
   */
  constructor(masked: boolean, own = false) {
    this.#masked = masked;
    this.own = own;
  }

  /** About the memory that what is not taken yet holds: `size`, and what each piece takes beside its bytes. */
  get cost(): number {
    return this.size + (this.#pieces.length - this.#head) * PIECE_COST;
  }

  /**
   * Appends a frame.
   *
   * @param first - its first byte: FIN, RSV and opcode
   * @param payload - never changed; one of a server over 8 KiB is kept by reference until its bytes have left,
   *   unless the writer has its own memory
   */
  frame(first: number, payload: Uint8Array): void {
    const length = payload.length;
    if (!this.#masked && length > MAX_COPIED && !this.own) {
      this.#commit(this.#header(first, length, 0));
      this.#refer(payload);
      return;
    }
    const at = this.#header(first, length, length);
    this.#block.set(payload, at);
    this.#finish(at, at + length);
  }

  /** Appends a frame with the UTF-8 bytes of `text`; returns how many these are. */
  text(first: number, text: string): number {
    if (text.length <= SHORT_TEXT && this.#shortText(first, text)) return text.length;
    const size = Buffer.byteLength(text);
    const at = this.#header(first, size, size);
    this.#block.write(text, at, size);
    this.#finish(at, at + size);
    return size;
  }

  /**
   * Appends bytes that are whole frames already, unmasked. They are kept by reference, and must not change,
   * when they are over 4 KiB, or among the first: a few references leave in less time than it takes to copy
   * them into a block. Any other is copied: for a peer that does not read, a reference takes many times the
   * memory of a small frame.
   */
  raw(frames: Buffer): void {
    const early = this.#end === this.#start && this.#pieces.length < MAX_REFERENCES;
    if (!this.own && (early || frames.length > MAX_COPIED_FRAME)) {
      if (frames.length > 0) this.#refer(frames);
      return;
    }
    const at = this.#reserve(frames.length);
    this.#block.set(frames, at);
    this.#commit(at + frames.length);
  }

  /**
   * Takes bytes in the order in which they were appended, ending with a whole frame.
   *
   * @param max - about the most bytes to take: the first frame is taken whatever its size, and more as long
   *   as all together are no more than this. Default: everything
   */
  take(max?: number): Buffer[] {
    if (max !== undefined && this.size > max) return this.#takePart(max);
    this.size = 0;
    this.#blocks = 0;
    if (this.#end > this.#start) this.#append(this.#close());
    else this.#drop();
    const pieces = this.#pieces;
    const head = this.#head;
    this.#pieces = none;
    this.#head = 0;
    return head === 0 && pieces !== none ? pieces : pieces.slice(head);
  }

  /** Takes whole frames from the front. Nothing records where they end: their headers say it. */
  #takePart(max: number): Buffer[] {
    const pieces = this.#pieces;
    let index = this.#head;
    let at = 0;
    let total = 0;
    let piece = this.#pieceAt(index);
    do {
      const size = Math.min(frameSizeOf(piece, at), this.size - total);
      if (total > 0 && total + size > max) break;
      total += size;
      const beyond = size - (piece.length - at);
      if (beyond < 0) at += size;
      else {
        piece = this.#pieceAt(++index);
        at = 0;
        if (beyond === 0) continue;
        // The next piece is the payload of this header, unless its memory was transferred: everything is taken then,
        // fewer bytes than `size`, which fails the write
        if (piece.length !== beyond) return this.take();
        piece = this.#pieceAt(++index);
      }
    } while (total < max);
    // One frame that is larger than that, and nothing after it
    if (total >= this.size) return this.take();
    const taken = pieces.slice(this.#head, index);
    if (at > 0) {
      taken.push(piece.subarray(0, at));
      if (index < pieces.length) pieces[index] = piece.subarray(at);
      else this.#start += at;
    }
    this.size -= total;
    pieces.fill(empty, this.#head, index);
    this.#head = index;
    if (index > MAX_STALE_PIECES && index > pieces.length >> 1) {
      this.#pieces = pieces.slice(index);
      this.#head = 0;
    }
    return taken;
  }

  /** A piece of the list, or the open one, which follows the last. */
  #pieceAt(index: number): Buffer {
    return this.#pieces[index] ?? this.#open();
  }

  /** The open piece; without bytes when the memory of its block was transferred, so that only its write fails. */
  #open(): Buffer {
    return this.#block.length === 0 ? empty : this.#block.subarray(this.#start, this.#end);
  }

  /** Appends a text of ASCII; false, with nothing appended, when it is more than that. */
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
    this.#append(Buffer.isBuffer(payload) ? payload : Buffer.from(buffer, byteOffset, length));
  }

  #append(piece: Buffer): void {
    if (this.#pieces === none) this.#pieces = [piece];
    else this.#pieces.push(piece);
  }

  /** Finds room for `size` bytes in one run; returns its offset in `#block`. */
  #reserve(size: number): number {
    const block = this.#block;
    const mine = !this.#shared || (block === slab && this.#end === slabEnd);
    if (mine && block.length - this.#end >= size) return this.#end;
    this.#seal();
    if (this.own || this.#blocks > 0 || size > MAX_SHARED) this.#openOwn(size);
    else this.#openShared(size);
    return this.#end;
  }

  #openShared(size: number): void {
    if (slab.length - slabEnd < size) {
      slab = Buffer.allocUnsafeSlow(SLAB_SIZE);
      slabEnd = 0;
    }
    this.#block = slab;
    this.#shared = true;
    this.#blocks = 1;
    this.#start = slabEnd;
    this.#end = slabEnd;
  }

  #openOwn(size: number): void {
    const usual = SMALLEST_BLOCK << Math.min(this.#blocks++, MAX_DOUBLINGS);
    const room = Math.max(size, usual);
    // Who has a view has the whole block: the rest of it must hold nothing
    this.#block = this.own ? Buffer.alloc(room) : Buffer.allocUnsafeSlow(room);
    this.#shared = false;
    this.#start = 0;
    this.#end = 0;
  }

  /** Ends the open piece. The next one follows it in an own block; room in the slab is for all writers. */
  #seal(): void {
    if (this.#end > this.#start) this.#append(this.#open());
    this.#start = this.#end;
    if (this.#shared) this.#drop();
  }

  /** Ends the open piece, and the use of its block. */
  #close(): Buffer {
    const piece = this.#open();
    this.#drop();
    return piece;
  }

  #drop(): void {
    this.#block = empty;
    this.#start = 0;
    this.#end = 0;
  }
}
