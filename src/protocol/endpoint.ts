/**
 * One endpoint of a connection, RFC 6455 §6-§7, without I/O: bytes in, events out; messages in, bytes out.
 *
 *     push(bytes) ─▶ frames ─▶ [extension] ─▶ next(): Data, Ping, Pong, Close
 *     send…()     ─▶ [extension] ─▶ frames ─▶ take(): bytes
 */
import { ProtocolError } from '../errors.js';
import { closeBody, parseCloseBody, shortenReason } from './close-frame.js';
import { State } from './closing-handshake.js';
import { EndpointEvent } from './endpoint-event.js';
import { EndpointOutput, type Role } from './endpoint-output.js';
import { checkBytes, type Extension } from './extension.js';
import { FrameEvent, FrameParser } from './frame-parser.js';
import { type MessageOpcode, Opcode } from './opcode.js';
import { Utf8Validator } from './utf8.js';
import { violation } from './violation.js';

export { EndpointEvent, type Role };

/** What an {@link Endpoint} is made with. */
export interface EndpointOptions {
  readonly role: Role;
  /** Most bytes of a message, counted behind the extensions. Default `Infinity`. */
  readonly maxMessageSize?: number;
  /** The negotiated extension that transforms payloads, if any. */
  readonly extension?: Extension;
  /** What is sent lies in memory that nothing else uses, for a stream that passes buffers on; see `FrameWriter`. */
  readonly ownMemory?: boolean;
}

const empty: Buffer = Buffer.alloc(0);

/** The receiving half, on top of the sending half: enforces fragmentation, UTF-8, the size limit and the closing handshake. */
export class Endpoint extends EndpointOutput {
  /** Of the data event at hand; no buffer is pinned behind `NeedData`. */
  opcode: MessageOpcode = Opcode.Binary;
  first = false;
  last = false;
  chunk: Buffer = empty;
  start = 0;
  end = 0;
  /** The payload of the Ping or Pong at hand. */
  control: Buffer = empty;
  /** Messages that were delivered whole, and bytes of payload that were delivered; see {@link countDelivered}. */
  messagesReceived = 0;
  bytesReceived = 0;
  /** Bytes of the message at hand: those of its frames whose headers came, or those its extension gave. */
  received = 0;
  /** Limit of a binary message, in bytes; see {@link limit}. */
  maxMessageSize: number;
  /** Limit of a text message, in bytes; at most the other one. */
  maxTextSize: number;

  /** A message was begun and not finished. */
  #receiving = false;
  /** No data event has told of it yet. */
  #fresh = false;
  /** Its payload goes through the extension. */
  #decoding = false;
  /** The extension was given payload, and may have data of it. */
  #undecoded = false;
  /** Received data is dropped; see {@link discard}. */
  #discarding = false;
  #failed = false;
  readonly #parser: FrameParser;
  /** Made for the first text. */
  #utf8: Utf8Validator | null = null;

  constructor(options: EndpointOptions) {
    super(options.role, options.extension ?? null, options.ownMemory);
    this.#parser = new FrameParser(!this.masks, this.extension?.rsv);
    this.maxMessageSize = this.maxTextSize = options.maxMessageSize ?? Number.POSITIVE_INFINITY;
  }

  /** Sets the limits; throws a MessageTooBigError when the current message is over its limit already. */
  limit(maxMessageSize: number, maxTextSize: number = maxMessageSize): void {
    this.maxMessageSize = maxMessageSize;
    this.maxTextSize = maxTextSize;
    this.checkSize(this.received);
  }

  /** The one place where a size is compared with its limit; throws a MessageTooBigError. */
  checkSize(size: number, limit: number = this.#limit): void {
    if (size > limit)
      throw violation('messageTooBig', `${size} bytes, of at most ${limit} (maxMessageSize, maxStreamSize)`);
  }

  get #limit(): number {
    return this.opcode === Opcode.Text ? this.maxTextSize : this.maxMessageSize;
  }

  /** Counts the current data event: its payload is delivered to the application. */
  countDelivered(): void {
    this.bytesReceived += this.end - this.start;
    if (this.last) this.messagesReceived++;
  }

  /** Every byte of the text at hand so far is ASCII. */
  get ascii(): boolean {
    return this.#utf8 === null || this.#utf8.ascii;
  }

  /** Takes a received buffer, which belongs to the endpoint from here on: payloads are unmasked in place. */
  push(chunk: Buffer): void {
    if (!this.#ended) this.#parser.push(chunk);
  }

  /**
   * Finds the next event. A violation is thrown as a `ProtocolError`, with the Close frame that fails the
   * connection laid down for {@link take}; after it, and after a Close event, all input is ignored.
   */
  next(): EndpointEvent {
    if (this.#ended) return EndpointEvent.NeedData;
    try {
      return this.#next();
    } catch (error) {
      if (error instanceof ProtocolError) this.fail(error.closeCode, error.closeReason);
      throw error;
    }
  }

  /** Fails the connection (§7.1.7): sends a Close frame, unless one was sent, and ignores all input. */
  fail(code: number, reason: string): void {
    if (!this.closing.sent) this.sendCloseBody(closeBody(code, shortenReason(reason)));
    this.#failed = true;
  }

  /** Data events are empty from here on: what is received is neither decoded, nor validated, nor limited. */
  discard(): void {
    this.#discarding = true;
    // All of the message was received, and the extension is not asked for the rest of its data any more
    if (this.#undecoded && this.#parser.fin && this.#parser.remaining === 0) this.#receiving = false;
    this.#undecoded = false;
  }

  /** The connection under the endpoint is closed; `closing.info` says how. */
  closed(): void {
    this.mute();
    this.closing.state = State.Closed;
    this.extension?.close();
  }

  get #ended(): boolean {
    return this.#failed || this.closing.received;
  }

  #next(): EndpointEvent {
    const parser = this.#parser;
    // The message of the event before is delivered
    if (this.last && !this.#receiving) this.received = 0;
    for (;;) {
      if (this.#undecoded) {
        const event = this.#decode();
        if (event !== EndpointEvent.NeedData) return event;
      }
      switch (parser.next()) {
        case FrameEvent.NeedData:
          this.chunk = this.control = empty;
          return EndpointEvent.NeedData;
        case FrameEvent.Header:
          this.#onHeader();
          break;
        case FrameEvent.Payload: {
          const frameEnds = parser.remaining === 0;
          const last = parser.fin && frameEnds;
          if (this.#discarding) return this.#onDropped(last);
          if (!this.#decoding) return this.#onData(parser.chunk, parser.start, parser.end, last);
          this.extension!.decoder.write(parser.chunk.subarray(parser.start, parser.end), last, frameEnds);
          this.#undecoded = true;
          break;
        }
        case FrameEvent.Control:
          return this.#onControl();
      }
    }
  }

  /** §5.4, and the limit at the header: nothing is allocated for what a peer only announces. */
  #onHeader(): void {
    const { opcode, rsv, length } = this.#parser;
    if (opcode === Opcode.Continuation) {
      if (!this.#receiving) throw violation('unexpectedContinuation');
    } else {
      if (this.#receiving) throw violation('unfinishedMessage');
      this.#receiving = true;
      this.#fresh = true;
      this.#decoding = rsv !== 0;
      this.opcode = opcode as MessageOpcode;
      this.received = 0;
      if (opcode === Opcode.Text) this.#utf8 ??= new Utf8Validator();
      this.#utf8?.reset();
    }
    if (!this.#decoding && !this.#discarding) this.#count(length);
  }

  #count(length: number): void {
    this.received += length;
    // The smaller limit of the two, so that most sizes take one comparison
    if (this.received > this.maxTextSize) this.checkSize(this.received);
  }

  #onData(chunk: Buffer, start: number, end: number, last: boolean): EndpointEvent {
    this.chunk = chunk;
    this.start = start;
    this.end = end;
    this.first = this.#fresh;
    this.last = last;
    this.#fresh = false;
    if (last) this.#receiving = false;
    if (this.opcode === Opcode.Text) {
      const utf8 = this.#utf8!;
      const valid = utf8.push(chunk, start, end) && (!last || utf8.complete);
      if (!valid) throw violation('invalidUtf8');
    }
    return EndpointEvent.Data;
  }

  #onDropped(last: boolean): EndpointEvent {
    this.chunk = empty;
    this.start = this.end = 0;
    this.first = this.#fresh;
    this.last = last;
    this.#fresh = false;
    if (last) this.#receiving = false;
    return EndpointEvent.Data;
  }

  #decode(): EndpointEvent {
    const { decoder } = this.extension!;
    const data = decoder.read(this.#limit - this.received);
    if (data === null && !decoder.done) {
      this.#undecoded = decoder.busy;
      return decoder.busy ? EndpointEvent.Busy : EndpointEvent.NeedData;
    }
    const part = data === null ? empty : this.#checkPart(data);
    this.#count(part.length);
    if (decoder.done) this.#undecoded = false;
    return this.#onData(part, 0, part.length, decoder.done);
  }

  #checkPart(data: unknown): Buffer {
    checkBytes(this.extension!.name, data);
    return data instanceof Buffer ? data : Buffer.from(data.buffer, data.byteOffset, data.length);
  }

  #onControl(): EndpointEvent {
    const { opcode, control } = this.#parser;
    this.control = control;
    if (opcode === Opcode.Pong) return EndpointEvent.Pong;
    if (opcode === Opcode.Ping) {
      this.answer(control);
      return EndpointEvent.Ping;
    }
    const { code, reason } = parseCloseBody(control);
    this.closing.onReceived(code, reason);
    // §5.5.1: "it typically echos the status code it received"; the reason goes with it
    if (!this.closing.sent) this.sendCloseBody(control);
    return EndpointEvent.Close;
  }
}
