/**
 * One endpoint of a connection, RFC 6455 §6-§7, without I/O: bytes in, events out; messages in, bytes out.
 *
 *     push(bytes) ─▶ frames ─▶ [extension] ─▶ next(): Data, Ping, Pong, Close
 *     send…()     ─▶ [extension] ─▶ frames ─▶ take(): bytes
 */
import { ProtocolError } from '../errors.js';
import { closeBody, parseCloseBody, shortenReason } from './close-frame.js';
import { ClosingHandshake, State } from './closing-handshake.js';
import { EndpointEvent } from './endpoint-event.js';
import type { Extension } from './extension.js';
import { FIN, headerSize, MAX_CONTROL_PAYLOAD } from './frame-header.js';
import { FrameEvent, FrameParser } from './frame-parser.js';
import { FrameWriter } from './frame-writer.js';
import { type MessageOpcode, Opcode } from './opcode.js';
import type { PreparedMessage } from './prepared-message.js';
import { releaseTextBytes, textBytes } from './text-bytes.js';
import { Utf8Validator } from './utf8.js';
import { violation } from './violation.js';

/** Which side of the connection an endpoint is: clients mask what they send, servers do not (§5.1). */
export type Role = 'server' | 'client';

export { EndpointEvent };

/** What an {@link Endpoint} is made with. */
export interface EndpointOptions {
  readonly role: Role;
  /** Most bytes of a message, counted behind the extensions. Default `Infinity`. */
  readonly maxMessageSize?: number;
  /** The negotiated extension that transforms payloads, if any. */
  readonly extension?: Extension;
}

const empty: Buffer = Buffer.alloc(0);

/** Enforces fragmentation, UTF-8, the size limit and the closing handshake. */
export class Endpoint {
  /** Of the data event at hand; no buffer is pinned behind `NeedData`. */
  opcode: MessageOpcode = Opcode.Binary;
  first = false;
  last = false;
  chunk: Buffer = empty;
  start = 0;
  end = 0;
  /** The payload of the Ping or Pong at hand. */
  control: Buffer = empty;
  /** Bytes of the message at hand: those of its frames whose headers came, or those its extension gave. */
  received = 0;
  /** Most bytes of a message; a change applies from the next header on. */
  maxMessageSize: number;
  /** Set while the bytes taken last cannot leave: then only the latest Ping is answered, once they can. */
  congested = false;
  readonly closing: ClosingHandshake = new ClosingHandshake();

  /** A message was begun and not finished. */
  #receiving = false;
  /** No data event has told of it yet. */
  #fresh = false;
  /** Its payload goes through the extension. */
  #decoding = false;
  /** The extension was given payload, and may have data of it. */
  #undecoded = false;
  /** The payload of the latest Ping that came while congested. */
  #pong: Buffer | null = null;
  /** A message was begun to be sent and not finished. */
  #sending = false;
  #encoding = false;
  /** A promise of the encoder is not settled yet. */
  #waiting = false;
  #failed = false;
  readonly role: Role;
  readonly #masks: boolean;
  readonly #parser: FrameParser;
  readonly #writer: FrameWriter;
  readonly #utf8: Utf8Validator = new Utf8Validator();
  readonly #extension: Extension | null;

  constructor(options: EndpointOptions) {
    this.role = options.role;
    this.#masks = options.role === 'client';
    this.#extension = options.extension ?? null;
    this.#parser = new FrameParser(!this.#masks, this.#extension?.rsv);
    this.#writer = new FrameWriter(this.#masks);
    this.maxMessageSize = options.maxMessageSize ?? Number.POSITIVE_INFINITY;
  }

  /** Every byte of the text at hand so far is ASCII. */
  get ascii(): boolean {
    return this.#utf8.ascii;
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
      if (error instanceof ProtocolError) this.fail(error.closeCode, error.message);
      throw error;
    }
  }

  /**
   * Sends a message, or one fragment of it. The first fragment sets the opcode, `fin` marks the last.
   *
   * @returns a promise when an extension works on it elsewhere: no other message may be sent before it settles
   */
  send(
    opcode: MessageOpcode,
    data: string | Uint8Array,
    fin = true,
    compress = true,
  ): Promise<void> | undefined {
    this.#assertOpen();
    let first: number = this.#sending ? Opcode.Continuation : opcode;
    if (fin) first |= FIN;
    const begins = !this.#sending;
    this.#sending = !fin;
    if (this.#extension === null) return this.#write(first, data);
    if (begins) {
      this.#encoding = compress && this.#extension.encoder.wants(fin ? Buffer.byteLength(data) : -1);
      if (this.#encoding) first |= this.#extension.rsv;
    }
    return this.#encoding ? this.#encode(first, data, fin) : this.#write(first, data);
  }

  /** Sends a message that is framed, and encoded, once for all endpoints that can use the frame. */
  sendPrepared(message: PreparedMessage, compress = true): Promise<void> | undefined {
    if (this.#sending) throw new Error('Tried to send a prepared message inside another message');
    const encoder = this.#extension?.encoder;
    const encodes = compress && encoder?.wants(message.bytes.length) === true;
    const key = encoder?.shareKey ?? null;
    if (this.#masks || (encodes && key === null))
      return this.send(message.opcode, message.bytes, true, compress);
    this.#assertOpen();
    const append = (frame: Buffer): undefined => {
      if (encodes) encoder.sentShared?.(message.bytes);
      this.#writer.raw(frame);
    };
    const frame = encodes ? message.encodedFrame(key!, this.#extension!) : message.frame;
    return frame instanceof Promise ? this.#later(frame, append) : append(frame);
  }

  /** Sends a Ping (§5.5.2); throws a RangeError for a payload of more than 125 bytes. */
  sendPing(payload: Uint8Array): void {
    this.#sendControl(Opcode.Ping, payload);
  }

  /** Sends a Pong that no Ping asked for, "a unidirectional heartbeat" (§5.5.3). */
  sendPong(payload: Uint8Array): void {
    this.#sendControl(Opcode.Pong, payload);
  }

  /** Begins the closing handshake (§7.1.2); throws a RangeError or TypeError for what no Close frame may hold. */
  sendClose(code?: number, reason?: string): void {
    const body = closeBody(code, reason);
    if (!this.closing.sent) this.#close(body);
  }

  /** Fails the connection (§7.1.7): sends a Close frame, unless one was sent, and ignores all input. */
  fail(code: number, reason: string): void {
    if (!this.closing.sent) this.#close(closeBody(code, shortenReason(reason)));
    this.#failed = true;
  }

  /** The connection under the endpoint is closed; `closing.info` tells how. */
  closed(): void {
    this.closing.state = State.Closed;
    this.#extension?.close();
  }

  /** Bytes that {@link take} would give. */
  get pending(): number {
    const pong = this.#pong;
    return this.#writer.size + (pong === null ? 0 : headerSize(pong.length, this.#masks) + pong.length);
  }

  /**
   * Takes the bytes to send. Of the Pings that came while `congested` only the latest is answered: an endpoint
   * "MAY elect to send a Pong frame for only the most recently processed Ping frame" (§5.5.3).
   */
  take(): Buffer[] {
    this.#answerPing();
    return this.#writer.take();
  }

  get #ended(): boolean {
    return this.#failed || this.closing.received;
  }

  #next(): EndpointEvent {
    const parser = this.#parser;
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
          const last = parser.fin && parser.remaining === 0;
          if (!this.#decoding) return this.#onData(parser.chunk, parser.start, parser.end, last);
          this.#extension!.decoder.write(parser.chunk.subarray(parser.start, parser.end), last);
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
      this.#utf8.reset();
    }
    if (!this.#decoding) this.#count(length);
  }

  #count(length: number): void {
    this.received += length;
    if (this.received > this.maxMessageSize) throw violation('messageTooBig', `${this.received} bytes`);
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
      const valid = this.#utf8.push(chunk, start, end) && (!last || this.#utf8.complete);
      if (!valid) throw violation('invalidUtf8');
    }
    return EndpointEvent.Data;
  }

  #decode(): EndpointEvent {
    const { decoder } = this.#extension!;
    const data = decoder.read(this.maxMessageSize - this.received);
    if (data === null && !decoder.done) {
      this.#undecoded = decoder.busy;
      return decoder.busy ? EndpointEvent.Busy : EndpointEvent.NeedData;
    }
    const part = data ?? empty;
    this.#count(part.length);
    if (decoder.done) this.#undecoded = false;
    return this.#onData(part, 0, part.length, decoder.done);
  }

  #onControl(): EndpointEvent {
    const { opcode, control } = this.#parser;
    this.control = control;
    if (opcode === Opcode.Pong) return EndpointEvent.Pong;
    if (opcode === Opcode.Ping) {
      // §5.5.2: a Pong is due "unless it already received a Close frame"; after our own none may be sent
      if (!this.closing.sent) this.#pong = control;
      if (!this.congested) this.#answerPing();
      return EndpointEvent.Ping;
    }
    const { code, reason } = parseCloseBody(control);
    this.closing.onReceived(code, reason);
    // §5.5.1: "it typically echos the status code it received"; the reason goes with it
    if (!this.closing.sent) this.#close(control);
    return EndpointEvent.Close;
  }

  /** §5.4: control frames may stand between the frames of a message, so that they do not wait for an extension. */
  #sendControl(opcode: number, payload: Uint8Array): void {
    this.#assertNotClosed();
    const { length } = payload;
    if (length > MAX_CONTROL_PAYLOAD)
      throw new RangeError(`Tried to send a control frame with more than 125 bytes: ${length}`);
    this.#writer.frame(FIN | opcode, payload);
  }

  #assertNotClosed(): void {
    if (this.closing.sent) throw new Error('Tried to send behind a Close frame');
  }

  #assertOpen(): void {
    this.#assertNotClosed();
    if (this.#waiting) throw new Error('Tried to send while an extension still works on the last message');
  }

  #write(first: number, data: string | Uint8Array): undefined {
    if (typeof data === 'string') this.#writer.text(first, data);
    else this.#writer.frame(first, data);
  }

  #encode(first: number, data: string | Uint8Array, fin: boolean): Promise<void> | undefined {
    const bytes = typeof data === 'string' ? textBytes(data) : data;
    const payload = this.#extension!.encoder.encode(bytes, fin);
    const later = payload instanceof Promise;
    // An encoder may return its input, and a large payload is sent by reference
    if (later || payload.buffer === bytes.buffer) releaseTextBytes();
    if (!later) return this.#write(first, payload);
    return this.#later(payload, (encoded) => this.#write(first, encoded));
  }

  /** Appends what an extension works on, unless the end comes first; no other message may be sent before. */
  #later(payload: Promise<Buffer>, append: (encoded: Buffer) => void): Promise<void> {
    this.#waiting = true;
    const settle = (encoded: unknown): void => {
      this.#waiting = false;
      if (this.closing.sent || this.closing.state === State.Closed) return;
      if (!Buffer.isBuffer(encoded)) throw encoded;
      append(encoded);
    };
    return payload.then(settle, settle);
  }

  #close(body: Uint8Array): void {
    this.#answerPing();
    this.#writer.frame(FIN | Opcode.Close, body);
    this.closing.onSent();
  }

  #answerPing(): void {
    if (this.#pong === null) return;
    this.#writer.frame(FIN | Opcode.Pong, this.#pong);
    this.#pong = null;
  }
}
