/** One connection of the load generator. */

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { constants, inflateRawSync } from 'node:zlib';
import { header } from './frames.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
/** Where all sockets read to; what comes is looked at before the next one reads. */
const input = Buffer.allocUnsafeSlow(256 * 1024);
const CHUNK = 64 * 1024;

/** Resolves to a socket behind the handshake; `onBytes(buffer)` has what comes then, valid during the call. */
export function openSocket(
  /** @type {number} */ port,
  /** @type {string} */ checked,
  deflate = false,
  /** @type {(bytes: Buffer) => void} */ onBytes = () => {},
) {
  return new Promise((resolve, reject) => {
    let head = '';
    const socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: input,
        callback(size) {
          const bytes = input.subarray(0, size);
          if (head === null) onBytes(bytes);
          else {
            head += bytes.toString('latin1');
            if (!head.includes('\r\n\r\n')) return true;
            const wrong =
              !head.startsWith('HTTP/1.1 101') ||
              (checked !== '' && !head.includes(ACCEPT)) ||
              (deflate && !head.includes('permessage-deflate'));
            if (wrong) reject(new Error(`The handshake failed: ${head}`));
            const rest = head.length - head.indexOf('\r\n\r\n') - 4;
            head = null;
            resolve(socket);
            // Once the socket is known
            if (rest > 0) queueMicrotask(() => onBytes(bytes.subarray(size - rest)));
          }
          return true;
        },
      },
    });
    socket.on('error', reject);
    socket.write(
      `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n` +
        `${deflate ? 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n' : ''}\r\n`,
    );
  });
}

export class Connection {
  sent = 0;
  pings = 0;
  /** Called with how many replies came. @type {((count: number) => void) | null} */
  onreplies = null;
  /** @type {number[]} */
  due = [];
  /** Whole replies, when they are told apart by their headers. */
  #parsed = 0;
  /** Bytes that came behind the handshake. */
  #received = 0;
  #rest = 0;
  #partial = Buffer.alloc(0);
  #checking = false;
  /** @type {Buffer[] | null} */
  #captured = null;
  #socket;
  #script;
  #deflate;
  #onBytes = (bytes) => this.#count(bytes);

  /** @param {import('./frames.js').Script} script; @param {boolean} witness - keeps compressed replies, to inflate them */
  constructor(script, witness) {
    this.#script = script;
    this.#deflate = script.replySize === 0;
    if (witness && this.#deflate) this.#captured = [];
  }

  async open(port, checked) {
    this.#socket = await openSocket(port, checked, this.#deflate, (bytes) => this.#onBytes(bytes));
    this.#socket.on('error', (error) => {
      throw error;
    });
  }

  get replies() {
    return this.#deflate ? this.#parsed : this.#received / this.#script.replySize;
  }

  get meanReplySize() {
    return this.#received / this.replies;
  }

  /** Compares each byte from here on, or only counts. */
  check(on) {
    this.#checking = on;
  }

  /** Keeps so many messages in flight. */
  keep(window) {
    this.onreplies = (count) => this.send(count);
    this.send(window);
  }

  /** Sends the next messages. */
  send(count) {
    const { first, again, count: round } = this.#script;
    while (count > 0) {
      const behind = this.sent - first.ends.length;
      const { bytes, ends } = behind < 0 ? first : again;
      const from = behind < 0 ? this.sent : behind % round;
      const some = Math.min(count, behind < 0 ? -behind : round);
      this.#socket.write(bytes.subarray(from === 0 ? 0 : ends[from - 1], ends[from + some - 1]));
      this.sent += some;
      count -= some;
    }
  }

  exchange(messages) {
    return new Promise((resolve) => {
      let left = messages;
      this.onreplies = (count) => {
        left -= count;
        if (left === 0) resolve(undefined);
        else this.send(1);
      };
      this.send(1);
    });
  }

  /** Throws unless the replies that were kept are what was sent. */
  verify() {
    if (this.#captured === null) return;
    const { payloads } = this.#script;
    const tail = Buffer.from([0, 0, 255, 255]);
    const stream = Buffer.concat(this.#captured.flatMap((payload) => [payload, tail]));
    const data = inflateRawSync(stream, { finishFlush: constants.Z_SYNC_FLUSH });
    let at = 0;
    for (let i = 0; i < this.#captured.length; i++) {
      const payload = payloads[i % payloads.length];
      if (data.compare(payload, 0, payload.length, at, at + payload.length) !== 0) {
        throw new Error(`Reply ${i} is not what was sent`);
      }
      at += payload.length;
    }
    if (at !== data.length) throw new Error(`${data.length - at} bytes too much`);
  }

  close() {
    this.#socket.removeAllListeners('error');
    this.#socket.on('error', () => {});
    this.#socket.resetAndDestroy();
  }

  /** One message of `size` bytes there and back. */
  async stream(size) {
    const pattern = randomBytes(CHUNK);
    const key = randomBytes(4);
    const masked = Buffer.from(pattern);
    for (let i = 0; i < masked.length; i++) masked[i] ^= key[i & 3];
    let back = 0;
    const done = new Promise((resolve) => {
      this.#onBytes = (bytes) => {
        this.#parse(bytes, (part) => {
          for (let i = 0; i < part.length; ) {
            const from = (back + i) % CHUNK;
            const length = Math.min(part.length - i, CHUNK - from);
            if (pattern.compare(part, i, i + length, from, from + length) !== 0) {
              throw new Error(`What came back differs near byte ${back + i}`);
            }
            i += length;
          }
          back += part.length;
          if (back === size) resolve(undefined);
        });
      };
    });
    this.#socket.write(header(0x82, size, key));
    for (let sent = 0; sent < size; sent += CHUNK) {
      const chunk = masked.subarray(0, Math.min(CHUNK, size - sent));
      if (!this.#socket.write(chunk)) await once(this.#socket, 'drain');
    }
    await done;
  }

  /** Reads nothing from here on, and does not mind being cut off. */
  deafen() {
    this.#socket.removeAllListeners('error');
    this.#socket.on('error', () => {});
    this.#socket.pause();
  }

  /** Sends until so many bytes have left, the connection is over, or the time. */
  async flood(bytes, end) {
    for (let sent = 0; sent < bytes && !this.#socket.destroyed && performance.now() < end; ) {
      const before = this.#socket.bytesWritten;
      this.send(1);
      sent += this.#socket.bytesWritten - before;
      if (this.#socket.writableLength === 0) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      await this.#room(end);
    }
  }

  /** Waits until the socket takes more, is closed, or the time is over. */
  #room(end) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#socket.off('drain', done).off('close', done);
        resolve(undefined);
      };
      const timer = setTimeout(done, Math.max(0, end - performance.now()));
      this.#socket.on('drain', done).on('close', done);
    });
  }

  answerPings() {
    this.#onBytes = (bytes) => this.#parse(bytes, null);
  }

  /** A control frame: a Ping of keepalive. */
  #answer(frame) {
    if (frame[0] !== 0x89) throw new Error(`Not a Ping: ${frame.toString('hex')}`);
    this.pings++;
    const payload = frame.subarray(2, 2 + frame[1]);
    this.#socket.write(Buffer.concat([header(0x8a, payload.length, Buffer.alloc(4)), payload]));
  }

  #count(bytes) {
    const before = Math.floor(this.replies);
    if (this.#deflate) this.#parse(bytes, this.#captured === null ? null : (part) => this.#capture(part));
    else if (this.#checking) this.#compare(bytes);
    this.#received += bytes.length;
    const count = Math.floor(this.replies) - before;
    if (count > 0) this.onreplies?.(count);
  }

  #compare(bytes) {
    const { replies } = this.#script;
    for (let i = 0; i < bytes.length; ) {
      const at = (this.#received + i) % replies.length;
      const length = Math.min(bytes.length - i, replies.length - at);
      if (replies.compare(bytes, i, i + length, at, at + length) !== 0) {
        throw new Error(`What came back differs near byte ${this.#received + i}`);
      }
      i += length;
    }
  }

  #capture(part) {
    const last = this.#captured.length - 1;
    const copy = Buffer.from(part);
    if (this.#continues) this.#captured[last] = Buffer.concat([this.#captured[last], copy]);
    else this.#captured.push(copy);
  }

  #continues = false;

  /** Unmasked frames: counts them, and hands the parts of their payloads to `onPart`. */
  #parse(bytes, onPart) {
    let i = 0;
    while (i < bytes.length) {
      if (this.#rest > 0) {
        const part = Math.min(this.#rest, bytes.length - i);
        onPart?.(bytes.subarray(i, i + part));
        this.#continues = true;
        this.#rest -= part;
        i += part;
        if (this.#rest === 0) this.#parsed++;
        continue;
      }
      const head =
        this.#partial.length === 0 ? bytes.subarray(i) : Buffer.concat([this.#partial, bytes.subarray(i)]);
      const extended = head.length < 2 ? 0 : head[1] < 126 ? 0 : head[1] === 126 ? 2 : 8;
      if (head.length < 2 + extended) {
        this.#partial = Buffer.from(head);
        return;
      }
      if ((head[0] & 0x08) !== 0) {
        if (head.length < 2 + head[1]) {
          this.#partial = Buffer.from(head);
          return;
        }
        i += 2 + head[1] - this.#partial.length;
        this.#partial = Buffer.alloc(0);
        this.#answer(head);
        continue;
      }
      i += 2 + extended - this.#partial.length;
      this.#partial = Buffer.alloc(0);
      if (this.#deflate && head[0] !== 0xc1 && head[0] !== 0xc2) {
        throw new Error(`Not one compressed frame: ${head.subarray(0, 16).toString('hex')}`);
      }
      this.#rest =
        extended === 0 ? head[1] : extended === 2 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2));
      this.#continues = false;
      if (this.#rest === 0) this.#parsed++;
    }
  }
}
