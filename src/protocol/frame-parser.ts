/**
 * Bytes to frames, RFC 6455 §5.2-§5.5. Parsing is pulled: `push()` takes a received buffer, `next()` names
 * what comes next in it.
 *
 *                 ┌────────────── last byte of the payload ──────────────┐
 *                 ▼                                                      │
 *     HEADER ── data frame ──▶ Header ──▶ DATA ── Payload, Payload ... ──┤
 *        └───── control frame ──────────▶ CONTROL ── Control ────────────┘
 */
import {
  FIN,
  LENGTH,
  LENGTH_16,
  MASK,
  MAX_CONTROL_PAYLOAD,
  MAX_HEADER_SIZE,
  OPCODE,
  RSV,
} from './frame-header.js';
import { mask } from './masking.js';
import { isControl, isDefined, Opcode } from './opcode.js';
import { violation } from './violation.js';

/** What {@link FrameParser.next} found. */
export const FrameEvent = {
  /** All that was pushed is used up. */
  NeedData: 0,
  /** The header of a data frame: `opcode`, `fin`, `rsv`, `length`. */
  Header: 1,
  /** A part of its payload, unmasked: `chunk[start, end)`; it is the last part when `remaining` is 0. */
  Payload: 2,
  /** A whole control frame: `opcode`, `control`. */
  Control: 3,
} as const;

/** One of {@link FrameEvent}. */
export type FrameEvent = (typeof FrameEvent)[keyof typeof FrameEvent];

const State = { Header: 0, Data: 1, Control: 2 } as const;

const empty: Buffer = Buffer.alloc(0);

/** Most bytes of a payload event: others have their turn between the parts of a huge buffer. */
const MAX_PAYLOAD = 1024 * 1024;

/** Parses the frames that one endpoint receives. Knows no socket, no message and no limit. */
export class FrameParser {
  /** Of the frame at hand. */
  opcode = 0;
  fin = false;
  /** The RSV bits where they stand in the first byte: 0x40, 0x20, 0x10. */
  rsv = 0;
  /** Bytes of payload of the frame at hand. */
  length = 0;
  /** Bytes of it that no event has told yet. */
  remaining = 0;
  /** The buffer pushed last; a payload event is `chunk[start, end)` of it. */
  chunk: Buffer = empty;
  start = 0;
  end = 0;
  /** The payload of a control event. */
  control: Buffer = empty;

  #position = 0;
  /** Bytes of the chunk when it came. */
  #size = 0;
  #state: number = State.Header;
  #key = 0;
  /** A header cut by the end of a chunk: its first bytes. */
  #cut: Buffer | null = null;
  #cutSize = 0;
  readonly #masked: boolean;
  readonly #allowedRsv: number;

  /**
   * @param masked - whether the peer must mask: it is a client (§5.1)
   * @param allowedRsv - RSV bits that negotiated extensions own in the first frame of a message
   */
  constructor(masked: boolean, allowedRsv = 0) {
    this.#masked = masked;
    this.#allowedRsv = allowedRsv;
  }

  /** Takes a received buffer. It belongs to the parser from here on: payloads are unmasked in place. */
  push(chunk: Buffer): void {
    if (this.#position === this.#size) this.chunk = chunk;
    else {
      if (this.chunk.length !== this.#size) throw transferred();
      this.chunk = Buffer.concat([this.chunk.subarray(this.#position), chunk]);
    }
    this.#position = 0;
    this.#size = this.chunk.length;
  }

  /** Finds the next event; throws a `ProtocolError` for a frame that §5 forbids. */
  next(): FrameEvent {
    if (this.#state === State.Data) return this.#payload();
    if (this.#state === State.Control) return this.#collect();
    return this.#header();
  }

  #header(): FrameEvent {
    let source = this.chunk;
    let at = this.#position;
    let available = this.#size - at;
    if (available > 0 && this.chunk.length !== this.#size) throw transferred();
    const cut = this.#cutSize;
    if (cut > 0) {
      source = this.#cut!;
      available = cut + this.chunk.copy(source, cut, at, at + MAX_HEADER_SIZE - cut);
      at = 0;
    }
    const size = available < 2 ? 0 : this.#parse(source, at, available);
    if (size === 0) {
      this.#keep(cut, available);
      return FrameEvent.NeedData;
    }
    this.#position += size - cut;
    this.#cutSize = 0;
    this.remaining = this.length;
    if (isControl(this.opcode)) {
      this.#state = State.Control;
      return this.#collect();
    }
    this.#state = State.Data;
    return FrameEvent.Header;
  }

  /** Keeps the header that is not whole yet, 13 bytes at most. */
  #keep(cut: number, available: number): void {
    if (cut === 0 && available > 0) {
      this.#cut ??= Buffer.alloc(MAX_HEADER_SIZE);
      this.chunk.copy(this.#cut, 0, this.#position);
    }
    this.#cutSize = available;
    this.control = empty;
    this.#release();
  }

  /** Lets go of a chunk that is used up, so that an idle connection pins none. */
  #release(): void {
    this.chunk = empty;
    this.#position = 0;
    this.#size = 0;
  }

  /** Parses a header; returns its size, or 0 when it is not whole yet. */
  #parse(source: Buffer, at: number, available: number): number {
    const first = source[at]!;
    const second = source[at + 1]!;
    const opcode = first & OPCODE;
    const rsv = first & RSV;
    const length = second & LENGTH;
    // §5.2: RSV bits "MUST be 0 unless an extension is negotiated"; RFC 7692 §6: only on the first frame
    const begins = opcode === Opcode.Text || opcode === Opcode.Binary;
    if ((rsv & ~(begins ? this.#allowedRsv : 0)) !== 0) throw violation('reservedBits', hex(first));
    if (!isDefined(opcode)) throw violation('unknownOpcode', hex(opcode));
    if ((second & MASK) === 0) {
      if (this.#masked) throw violation('unmaskedFrame');
    } else if (!this.#masked) throw violation('maskedFrame');
    if (isControl(opcode)) {
      if ((first & FIN) === 0) throw violation('controlFragmented', hex(opcode));
      if (length > MAX_CONTROL_PAYLOAD) throw violation('controlTooLong');
    }
    const extended = length < LENGTH_16 ? 0 : length === LENGTH_16 ? 2 : 8;
    const size = 2 + extended + (this.#masked ? 4 : 0);
    if (available < size) return 0;
    this.opcode = opcode;
    this.rsv = rsv;
    this.fin = (first & FIN) !== 0;
    this.length = extended === 0 ? length : this.#extendedLength(source, at + 2, length);
    if (this.#masked) this.#key = source.readInt32BE(at + size - 4);
    return size;
  }

  #extendedLength(source: Buffer, at: number, length: number): number {
    if (length === LENGTH_16) {
      const short = source.readUInt16BE(at);
      if (short < LENGTH_16) throw violation('lengthNotMinimal', short);
      return short;
    }
    const high = source.readUInt32BE(at);
    const long = high * 0x1_0000_0000 + source.readUInt32BE(at + 4);
    if (high >= 0x8000_0000) throw violation('lengthTopBit');
    if (long < 0x1_0000) throw violation('lengthNotMinimal', long);
    if (long > Number.MAX_SAFE_INTEGER) throw violation('messageTooBig', source.readBigUInt64BE(at));
    return long;
  }

  #payload(): FrameEvent {
    const start = this.#position;
    const end = Math.min(this.#size, start + this.remaining, start + MAX_PAYLOAD);
    if (start === end && this.remaining > 0) {
      this.#release();
      return FrameEvent.NeedData;
    }
    if (start < end && this.chunk.length !== this.#size) throw transferred();
    if (this.#masked) mask(this.chunk, start, end, this.#key, this.length - this.remaining);
    this.start = start;
    this.end = end;
    this.#position = end;
    this.remaining -= end - start;
    if (this.remaining === 0) this.#state = State.Header;
    return FrameEvent.Payload;
  }

  /** Collects a control frame whole: 125 bytes at most. */
  #collect(): FrameEvent {
    const whole = this.remaining === this.length;
    const event = this.#payload();
    if (event === FrameEvent.NeedData) return event;
    const part = this.chunk.subarray(this.start, this.end);
    this.control = whole ? part : Buffer.concat([this.control, part]);
    if (this.remaining === 0) return FrameEvent.Control;
    this.#release();
    return FrameEvent.NeedData;
  }
}

/** Data is delivered as views: an application that transfers their ArrayBuffer takes the rest of it away. */
function transferred(): TypeError {
  return new TypeError('Tried to read on in a received buffer that was transferred: copy the data first');
}

function hex(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(2, '0')}`;
}
