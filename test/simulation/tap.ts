/**
 * Reads along on one direction of a connection, RFC 6455 §5.2: which frames its sender wrote, where each
 * ends in the byte stream, and whether their sequence keeps to §5.4 and §5.5. It is written apart from the
 * code under test.
 */

/** One frame as it was written. */
export interface TappedFrame {
  readonly opcode: number;
  readonly fin: boolean;
  /** Offset in the byte stream of the byte after its last one. */
  readonly end: number;
  /** The payload, unmasked: of control frames, and of all frames when the tap keeps them. */
  readonly payload: Buffer | null;
}

const HEADER_END = Buffer.from('\r\n\r\n');

/** The frames of one direction. */
export class FrameTap {
  readonly frames: TappedFrame[] = [];
  /** Offsets of the byte after each complete message. */
  readonly messageEnds: number[] = [];
  /** The first Close frame. */
  close: TappedFrame | null = null;
  /** What the sender did wrong, in the order of the bytes. */
  readonly faults: string[] = [];
  /** Payloads of messages are kept too. */
  keep = false;
  /** Pings and Pongs. */
  readonly controls: TappedFrame[] = [];
  /** Pings seen so far. */
  pings = 0;
  /** Bytes seen so far. */
  size = 0;
  /** Bytes of payload in the frames of messages, as they are on the wire. */
  payloadSize = 0;
  #pending: Buffer = Buffer.alloc(0);
  /** Offset of the first byte of `#pending`. */
  #offset = 0;
  #http: boolean;
  #open = false;
  readonly #masked: boolean;

  /** @param masked - the sender is a client; @param http - its frames follow the head of an HTTP message */
  constructor(masked: boolean, http: boolean) {
    this.#masked = masked;
    this.#http = http;
  }

  push(bytes: Buffer): void {
    this.size += bytes.length;
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    if (this.#http) {
      const end = this.#pending.indexOf(HEADER_END);
      if (end < 0) return;
      this.#skip(end + HEADER_END.length);
      this.#http = false;
    }
    while (this.#frame());
  }

  /** Complete messages among the first `offset` bytes. */
  messagesWithin(offset: number): number {
    let count = 0;
    for (const end of this.messageEnds) if (end <= offset) count++;
    return count;
  }

  /** The code of the first Close frame if it lies within the first `offset` bytes; 1005 when it has none. */
  closeWithin(offset: number): number | undefined {
    if (this.close === null || this.close.end > offset) return undefined;
    const body = this.close.payload!;
    return body.length < 2 ? 1005 : body.readUInt16BE();
  }

  /** The reason in the first Close frame, if it lies within the first `offset` bytes. */
  reasonWithin(offset: number): string {
    if (this.close === null || this.close.end > offset) return '';
    return this.close.payload!.toString('utf8', 2);
  }

  #skip(size: number): void {
    this.#pending = this.#pending.subarray(size);
    this.#offset += size;
  }

  #frame(): boolean {
    const bytes = this.#pending;
    if (bytes.length < 2) return false;
    const first = bytes[0]!;
    const masked = (bytes[1]! & 0x80) !== 0;
    let length = bytes[1]! & 0x7f;
    let header = 2;
    if (length === 126) {
      if (bytes.length < 4) return false;
      length = bytes.readUInt16BE(2);
      header = 4;
    } else if (length === 127) {
      if (bytes.length < 10) return false;
      length = Number(bytes.readBigUInt64BE(2));
      header = 10;
    }
    const key = bytes.subarray(header, header + 4);
    if (masked) header += 4;
    if (bytes.length < header + length) return false;
    const opcode = first & 0x0f;
    const fin = first >= 0x80;
    let payload: Buffer | null = null;
    if (opcode >= 8 || this.keep) {
      payload = Buffer.from(bytes.subarray(header, header + length));
      if (masked) for (let i = 0; i < length; i++) payload[i]! ^= key[i & 3]!;
    }
    if (opcode < 8) this.payloadSize += length;
    this.#skip(header + length);
    this.#note({ opcode, fin, end: this.#offset, payload }, masked);
    return true;
  }

  #note(frame: TappedFrame, masked: boolean): void {
    const { opcode, fin, end, payload } = frame;
    this.frames.push(frame);
    if (masked !== this.#masked) this.faults.push('a frame with the wrong mask bit');
    if (this.close !== null) this.faults.push(`a frame after Close`);
    if (opcode >= 8) {
      if (!fin || payload!.length > 125) this.faults.push('a wrong control frame');
      if (opcode === 8) this.close ??= frame;
      if (opcode === 9) this.pings++;
      if (opcode >= 9) this.controls.push(frame);
      return;
    }
    if (opcode > 2) this.faults.push(`opcode ${opcode}`);
    if ((opcode === 0) !== this.#open) {
      this.faults.push(this.#open ? 'a message inside of another' : 'a continuation of nothing');
    }
    this.#open = !fin;
    if (fin) this.messageEnds.push(end);
  }
}
