/**
 * A peer that speaks bytes: it writes frames as a program says, wrong ones too, and answers as RFC 6455
 * asks.
 */
import { content, typeOf } from './content.js';
import type { End } from './model.js';
import type { PathReceiver } from './network.js';
import type { RawItem } from './program.js';

const KEY = [0x12, 0x34, 0x56, 0x78];
/** Larger payloads are masked by zeros, which takes no time. */
const MAX_MASKED = 2048;

/** One frame, RFC 6455 §5.2. */
function frame(first: number, payload: Uint8Array, masked: boolean, length = payload.length): Buffer {
  const mask = masked ? 0x80 : 0;
  let header: Buffer;
  if (length < 126) header = Buffer.from([first, mask | length]);
  else if (length < 65_536) header = Buffer.from([first, mask | 126, length >> 8, length & 255]);
  else {
    header = Buffer.alloc(10);
    header[0] = first;
    header[1] = mask | 127;
    header.writeBigUInt64BE(BigInt(length), 2);
  }
  if (!masked) return Buffer.concat([header, payload]);
  if (payload.length > MAX_MASKED) return Buffer.concat([header, Buffer.alloc(4), payload]);
  const body = Buffer.from(payload);
  for (let i = 0; i < body.length; i++) body[i]! ^= KEY[i & 3]!;
  return Buffer.concat([header, Buffer.from(KEY), body]);
}

/** What no peer may send, by number. */
const violations: readonly ((masked: boolean) => Buffer)[] = [
  (masked) => Buffer.from([0xff, masked ? 0x80 : 0]),
  (masked) => frame(0x83, Buffer.from('x'), masked),
  (masked) => frame(0x80, Buffer.from('x'), masked),
  (masked) => frame(0x09, Buffer.from('x'), masked),
  (masked) => frame(0x82, Buffer.from('x'), !masked),
  (masked) => frame(0x81, Buffer.from([0xff, 0xfe]), masked),
  (masked) => frame(0x88, Buffer.from([3]), masked),
  (masked) => frame(0xa2, Buffer.from('x'), masked),
];

/** The raw end of a connection. */
export class RawPeer implements PathReceiver {
  readonly #end: End;
  readonly #masked: boolean;
  #reading = true;
  #answered = 0;
  /** Of the message that comes. */
  #opcode = 0;
  readonly #parts: Buffer[] = [];
  #closed = false;
  #finished = false;
  /** A message was begun that is never finished. */
  #begun = false;
  /** The head of the HTTP response has been read. */
  #ready: (() => void) | null;
  readonly #queue: (() => void)[] = [];
  #heads: Buffer = Buffer.alloc(0);

  /** @param waits - its frames have to wait for the answer to an opening handshake */
  constructor(end: End, masked: boolean, waits: boolean) {
    this.#end = end;
    this.#masked = masked;
    this.#ready = waits ? () => {} : null;
    end.input.receiver = this;
    end.input.tap.keep = true;
  }

  /** Writes the opening handshake of a client, §4.1. */
  shakeHands(path: string, extensions: string): void {
    const fields = [
      `GET ${path} HTTP/1.1`,
      'Host: simulated',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      ...(extensions === '' ? [] : [`Sec-WebSocket-Extensions: ${extensions}`]),
    ];
    this.#end.output.write(Buffer.from(`${fields.join('\r\n')}\r\n\r\n`));
  }

  reading(on: boolean): void {
    this.#reading = on;
    if (on) this.onReadable();
  }

  /** Writes the items in one piece. */
  burst(items: readonly RawItem[]): void {
    this.#when(() => {
      const bytes = Buffer.concat(items.map((item) => this.#bytes(item)));
      this.#end.output.write(bytes);
    });
  }

  /** Ends its side, after what waits to be written. */
  afterwards(run: () => void): void {
    this.#when(run);
  }

  onReadable(): void {
    if (!this.#reading) return;
    for (;;) {
      const chunk = this.#end.input.read();
      if (chunk === null || chunk === 'reset') break;
      if (chunk === 'end') {
        this.#finish();
        break;
      }
      this.#pull(chunk);
    }
    this.#answer();
  }

  /** Closes both directions, as a process does that ends. */
  destroy(): void {
    this.#finish();
    this.#end.input.close();
  }

  /** Resets the connection, as a process does that is killed. */
  reset(lossy: boolean): void {
    this.#finished = true;
    this.#end.output.abort(lossy);
    this.#end.input.close();
  }

  #pull(chunk: Buffer): void {
    if (this.#ready === null) return;
    this.#heads = Buffer.concat([this.#heads, chunk]);
    if (!this.#heads.includes('\r\n\r\n')) return;
    this.#ready = null;
    for (const each of this.#queue.splice(0)) each();
  }

  #when(run: () => void): void {
    if (this.#ready === null) run();
    else this.#queue.push(run);
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#end.output.fin();
  }

  /** §5.5.1-§5.5.3: a Pong for each Ping, a Close frame for a Close frame. */
  #answer(): void {
    const { input, output } = this.#end;
    const { frames } = input.tap;
    for (; this.#answered < frames.length; this.#answered++) {
      const { opcode, fin, payload, end } = frames[this.#answered]!;
      if (end > input.pulled) break;
      if (opcode < 3) this.#collect(opcode, payload!, fin);
      if (opcode === 9 && !this.#closed) output.write(frame(0x8a, payload!, this.#masked));
      if (opcode !== 8) continue;
      if (!this.#closed) output.write(frame(0x88, payload!, this.#masked));
      this.#closed = true;
      // §7.1.1: the server closes the TCP connection first
      if (!this.#masked) this.#finish();
    }
  }

  /** A frame of a message came. */
  #collect(opcode: number, payload: Buffer, fin: boolean): void {
    if (opcode !== 0) this.#opcode = opcode;
    this.#parts.push(payload);
    if (!fin) return;
    const bytes = Buffer.concat(this.#parts.splice(0));
    const text = this.#opcode === 1;
    this.#end.received.push({
      type: text ? 'text' : 'binary',
      data: text ? bytes.toString() : bytes,
      part: null,
      limited: false,
    });
  }

  #bytes(item: RawItem): Buffer {
    const end = this.#end;
    const masked = this.#masked;
    switch (item.item) {
      case 'message': {
        const { form, size } = item.message;
        // Inside of another one
        if (this.#begun) end.violates = true;
        const message = end.begin(form, size, this.#closed ? 'aborted' : 'whole');
        const data = Buffer.from(content(message.owner, form, size) as string);
        return fragments(data, item.fragments, typeOf(form) === 'text' ? 1 : 2, masked);
      }
      case 'ping':
      case 'pong':
        return frame(item.item === 'ping' ? 0x89 : 0x8a, Buffer.alloc(Math.min(125, item.size), 'p'), masked);
      case 'close': {
        this.#closed = true;
        const body =
          item.code === 1005 ? Buffer.alloc(0) : Buffer.from([item.code >> 8, item.code & 255, 98]);
        return frame(0x88, body, masked);
      }
      case 'begin': {
        if (this.#begun) end.violates = true;
        const message = end.begin('binary', item.size, 'aborted');
        const data = content(message.owner, 'binary', item.size) as Buffer;
        this.#begun = true;
        return frame(2, data.subarray(0, item.size >> 1), masked);
      }
      case 'violation':
        this.#closed = true;
        end.violates = true;
        // A continuation would finish the message
        return violations[this.#begun && item.kind === 2 ? 0 : item.kind % violations.length]!(masked);
    }
  }
}

function fragments(data: Buffer, count: number, opcode: number, masked: boolean): Buffer {
  const size = Math.max(1, Math.ceil(data.length / count));
  const parts: Buffer[] = [];
  let at = 0;
  do {
    const last = at + size >= data.length;
    const part = data.subarray(at, at + size);
    parts.push(frame((last ? 0x80 : 0) | (at === 0 ? opcode : 0), part, masked));
    at += size;
  } while (at < data.length);
  return Buffer.concat(parts);
}
