/** A client that writes bytes as they are told, for tests of servers. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export const sampleKey = 'dGhlIHNhbXBsZSBub25jZQ==';

/** Fields of a valid handshake; null leaves one out, an array repeats it. */
export type RequestFields = Readonly<Record<string, string | readonly string[] | null>>;

/** The text of an upgrade request. */
export function requestText(fields: RequestFields = {}, line = 'GET / HTTP/1.1'): string {
  const all: RequestFields = {
    Host: 'localhost',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': sampleKey,
    'Sec-WebSocket-Version': '13',
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [value].flat().map((one) => `${name}: ${one}`),
  );
  return [line, ...lines, '\r\n'].join('\r\n');
}

export interface RawResponse {
  readonly status: number;
  /** Names in lower case; repeated fields are joined. */
  readonly headers: Readonly<Record<string, string>>;
}

const progressing = ['data', 'end', 'close'];

/** One socket, with all that came in. */
export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  received: Buffer = Buffer.alloc(0);
  ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    socket.on('end', () => {
      this.ended = true;
    });
  }

  /** Connects; `allowHalfOpen` keeps this side open behind the server's FIN. */
  static async connect(port: number, allowHalfOpen = false): Promise<RawClient> {
    const client = new RawClient(connect({ port, host: '127.0.0.1', allowHalfOpen }));
    await once(client.socket, 'connect');
    return client;
  }

  write(data: string | Uint8Array): this {
    this.socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data);
    return this;
  }

  /** Waits until `condition` holds for what came in, or the server has closed. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.ended && !this.socket.destroyed) {
      await new Promise<void>((resolve) => {
        const progress = (): void => {
          for (const event of progressing) this.socket.off(event, progress);
          resolve();
        };
        for (const event of progressing) this.socket.on(event, progress);
      });
    }
  }

  /** Takes a response head. */
  async response(): Promise<RawResponse> {
    await this.until(() => this.received.includes('\r\n\r\n'));
    const end = this.received.indexOf('\r\n\r\n');
    if (end < 0) throw new Error(`No response but ${JSON.stringify(this.received.toString('latin1'))}`);
    const [line, ...lines] = this.received.toString('latin1', 0, end).split('\r\n');
    this.received = this.received.subarray(end + 4);
    const headers: Record<string, string> = {};
    for (const field of lines) {
      const [name, value] = field.split(/: (.*)/, 2) as [string, string];
      const key = name.toLowerCase();
      headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
    }
    return { status: Number(line!.split(' ')[1]), headers };
  }

  /** Takes a whole answer behind which the server closes; checks that it is framed right. */
  async refusal(): Promise<RawResponse & { readonly body: string }> {
    const response = await this.response();
    await this.until(() => false);
    if (Number(response.headers['content-length'] ?? 0) !== this.received.length) {
      throw new Error(
        `Expected ${response.headers['content-length']} bytes of body: ${this.received.length}`,
      );
    }
    return { ...response, body: this.received.toString() };
  }

  /** Takes `length` bytes as hex. */
  async bytes(length: number): Promise<string> {
    await this.until(() => this.received.length >= length);
    const bytes = this.received.subarray(0, length).toString('hex');
    this.received = this.received.subarray(length);
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    if (!this.socket.closed) await once(this.socket, 'close');
  }
}

/** Sends a request and takes the whole refusal. */
export async function refused(
  port: number,
  fields?: RequestFields,
  line?: string,
): Promise<RawResponse & { readonly body: string }> {
  await using client = await RawClient.connect(port);
  return await client.write(requestText(fields, line)).refusal();
}

/** Opens a connection by hand. */
export async function opened(port: number, fields?: RequestFields, line?: string): Promise<RawClient> {
  const client = await RawClient.connect(port);
  const { status } = await client.write(requestText(fields, line)).response();
  if (status !== 101) throw new Error(`Expected 101: ${status}`);
  return client;
}

/** A frame with a masking key of zeros, in hex: of `opcode`, its payload given in hex. */
export function maskedFrame(opcode: number, payload: string): Buffer {
  const length = payload.length / 2;
  return Buffer.from(
    `${(0x80 | opcode).toString(16)}${(0x80 | length).toString(16).padStart(2, '0')}00000000${payload}`,
    'hex',
  );
}

export const closeFrame: Buffer = maskedFrame(8, '03e8');
