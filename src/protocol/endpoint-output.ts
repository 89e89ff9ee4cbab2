/** The sending half of an endpoint, RFC 6455 §6.1: messages, control frames and the Close frame to bytes. */
import { closeBody } from './close-frame.js';
import { ClosingHandshake } from './closing-handshake.js';
import { checkBytes, type Extension } from './extension.js';
import { FIN, headerSize, MAX_CONTROL_PAYLOAD } from './frame-header.js';
import { FrameWriter } from './frame-writer.js';
import { type MessageOpcode, Opcode } from './opcode.js';
import type { PreparedMessage } from './prepared-message.js';
import { releaseTextBytes, textBytes } from './text-bytes.js';

/** Which side of the connection an endpoint is: clients mask what they send, servers do not (§5.1). */
export type Role = 'server' | 'client';

/** Sends messages and control frames; `Endpoint` adds the receiving half. */
export class EndpointOutput {
  readonly role: Role;
  readonly closing: ClosingHandshake = new ClosingHandshake();
  /**
   * Set while bytes that were taken before are not flushed. Control frames go in front of what is queued then, and of
   * several Pings only the latest is answered.
   */
  congested = false;
  /** Messages that were framed whole, and bytes of payload that were framed, counted before compression. */
  messagesSent = 0;
  bytesSent = 0;
  protected readonly extension: Extension | null;
  /** The payload of the latest Ping that arrived while congested. */
  #pong: Buffer | null = null;
  /** A message was begun to be sent and not finished. */
  #sending = false;
  #encoding = false;
  /** A promise of the encoder is not settled yet. */
  #waiting = false;
  /** Nothing is sent any more: the connection under the endpoint is lost. */
  #muted = false;
  readonly #writer: FrameWriter;
  /** Control frames that go in front of what is queued. */
  #urgent: FrameWriter | null = null;

  constructor(role: Role, extension: Extension | null, ownMemory = false) {
    this.role = role;
    this.extension = extension;
    this.#writer = new FrameWriter(this.masks, ownMemory);
  }

  protected get masks(): boolean {
    return this.role === 'client';
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
    if (this.extension === null) return this.#write(first, data);
    if (begins) this.#encoding = compress;
    if (!this.#encoding) return this.#write(first, data);
    const bytes = typeof data === 'string' ? textBytes(data) : data;
    if (begins) {
      this.#encoding = this.extension.encoder.wants(fin ? bytes.length : -1);
      if (!this.#encoding) return this.#write(first, data);
      first |= this.extension.rsv;
    }
    return this.#encode(first, bytes, fin);
  }

  /** Sends a message that is framed, and encoded, once for all endpoints that can use the frame. */
  sendPrepared(message: PreparedMessage, compress = true): Promise<void> | undefined {
    if (this.#sending) throw new Error('Tried to send a prepared message inside another message');
    const encoder = this.extension?.encoder;
    const encodes = compress && encoder?.wants(message.bytes.length) === true;
    const key = encoder?.shareKey ?? null;
    if (this.masks || (encodes && key === null))
      return this.send(message.opcode, message.bytes, true, compress);
    this.#assertOpen();
    const append = (frame: Buffer): undefined => {
      if (encodes) encoder.sentShared?.(message.bytes);
      this.#writer.raw(frame);
      this.#count(FIN, message.bytes.length);
    };
    const frame = encodes ? message.encodedFrame(key!, this.extension!) : message.frame;
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
    if (!this.closing.sent) this.sendCloseBody(body);
  }

  /** The connection under the endpoint can send nothing any more: what is queued is dropped, received bytes are still read. */
  mute(): void {
    this.#muted = true;
    this.#pong = null;
    this.#urgent = null;
    this.#writer.take();
  }

  /** Bytes that {@link take} would give, if it took all. */
  get pending(): number {
    const { size } = this.#writer;
    return this.congested ? size + this.#urgentSize : size;
  }

  /**
   * Takes the bytes to send: about `max`, and whole frames. Control frames that were queued while `congested` come
   * first. Of the Pings received meanwhile only the latest is answered: an endpoint "MAY elect to send a Pong frame
   * for only the most recently processed Ping frame" (§5.5.3).
   */
  take(max: number = Number.POSITIVE_INFINITY): Buffer[] {
    this.#answerPing();
    const pieces = this.#writer.take(max);
    if (this.#urgent === null || this.#urgent.size === 0) return pieces;
    return this.#urgent.take().concat(pieces);
  }

  /** Answers a Ping, or keeps it to be answered. */
  protected answer(ping: Buffer): void {
    // §5.5.2: a Pong is due "unless it already received a Close frame"; after our own none may be sent
    if (this.closing.sent || this.#muted) return;
    // A copy, as the received memory is the application's by the time that the Pong leaves
    this.#pong = this.congested ? Buffer.from(ping) : ping;
    if (!this.congested) this.#answerPing();
  }

  /** §5.4: control frames may stand between the frames of a message, so that they do not wait for an extension. */
  #sendControl(opcode: number, payload: Uint8Array): void {
    this.#assertNotClosed();
    const { length } = payload;
    if (length > MAX_CONTROL_PAYLOAD)
      throw new RangeError(`Tried to send a control frame with more than 125 bytes: ${length}`);
    this.#control(FIN | opcode, payload);
  }

  /** A control frame: it need not wait for what is queued, except for a Close frame. */
  #control(first: number, payload: Uint8Array): void {
    if (!this.congested || this.closing.sent) {
      this.#writer.frame(first, payload);
      return;
    }
    this.#urgent ??= new FrameWriter(this.masks, this.#writer.own);
    this.#urgent.frame(first, payload);
  }

  /** Bytes of memory that {@link pending} takes beside its bytes, about. */
  get overhead(): number {
    return this.#writer.cost - this.#writer.size;
  }

  /** Bytes of memory that control frames take which go in front of what is queued, about. */
  get urgentCost(): number {
    return this.#urgent === null ? 0 : this.#urgent.cost;
  }

  get #urgentSize(): number {
    const pong = this.#pong;
    const urgent = this.#urgent === null ? 0 : this.#urgent.size;
    return pong === null ? urgent : urgent + headerSize(pong.length, this.masks) + pong.length;
  }

  #assertNotClosed(): void {
    if (this.closing.sent) throw new Error('Tried to send behind a Close frame');
  }

  #assertOpen(): void {
    this.#assertNotClosed();
    if (this.#waiting) throw new Error('Tried to send while an extension still works on the last message');
  }

  #write(first: number, data: string | Uint8Array): undefined {
    let size: number;
    if (typeof data === 'string') size = this.#writer.text(first, data);
    else {
      size = data.length;
      this.#writer.frame(first, data);
    }
    this.#count(first, size);
  }

  /** Frames what was made of a payload of `size` bytes. */
  #writeEncoded(first: number, encoded: Uint8Array, size: number): undefined {
    this.#writer.frame(first, encoded);
    this.#count(first, size);
  }

  /** A message, or one fragment of it, is framed. */
  #count(first: number, size: number): void {
    this.bytesSent += size;
    if (first >= FIN) this.messagesSent++;
  }

  #encode(first: number, bytes: Uint8Array, fin: boolean): Promise<void> | undefined {
    const { length } = bytes;
    const payload = this.extension!.encoder.encode(bytes, fin);
    const later = payload instanceof Promise;
    if (!later) checkBytes(this.extension!.name, payload);
    // An encoder may return its input, and a large payload is sent by reference
    if (later || payload.buffer === bytes.buffer) releaseTextBytes();
    if (!later) return this.#writeEncoded(first, payload, length);
    return this.#later(payload, (encoded) => {
      checkBytes(this.extension!.name, encoded);
      this.#writeEncoded(first, encoded, length);
    });
  }

  /** Appends what an extension works on, unless the end comes first; no other message may be sent before. */
  #later(payload: Promise<Buffer>, append: (encoded: Buffer) => void): Promise<void> {
    this.#waiting = true;
    const canSend = (): boolean => {
      this.#waiting = false;
      return !this.closing.sent && !this.#muted;
    };
    return payload.then(
      (encoded) => {
        if (canSend()) append(encoded);
      },
      (error) => {
        if (canSend()) throw error;
      },
    );
  }

  /** Sends a Close frame with this body, after which nothing else is sent. */
  protected sendCloseBody(body: Uint8Array): void {
    if (this.#muted) return;
    this.#answerPing();
    this.#writer.frame(FIN | Opcode.Close, body);
    this.closing.onSent();
  }

  #answerPing(): void {
    const pong = this.#pong;
    if (pong === null) return;
    this.#pong = null;
    this.#control(FIN | Opcode.Pong, pong);
  }
}
