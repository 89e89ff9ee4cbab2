/** `sluice connect`: a terminal client, line by line. */
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { CloseCode, connect, type WebSocketConnection } from '../index.js';
import { describeError, harmless, type Io, UsageError } from './io.js';

const help = `Usage: sluice connect <url> [options]

Connects to a WebSocket server (ws:, wss:, http:, https: or ws+unix:). Each line of the input is sent as
a message; what comes is printed: text with a newline, bytes as they are into a pipe and as a dump on a
terminal, where control characters of a text are shown as \\x1b. At the end of the input the connection is
closed, once nothing came for a while.

  -H, --header 'Name: value'   one more request header field; may be repeated
  --subprotocol <name>         a subprotocol to offer; may be repeated
  --origin <origin>            the Origin to send
  --binary                     send lines as binary messages
  --insecure                   do not check the certificate of a wss: server
  --wait <ms>                  time without a message, after the end of the input, until closing (default 1000)

Exit codes: 0 closed with 1000, 1001 or 1005; 3 closed with another code, or lost (1006); 1 the connection
could not be opened, or the input or output failed; 2 wrong usage.
`;

const options = {
  help: { type: 'boolean', short: 'h' },
  header: { type: 'string', short: 'H', multiple: true, default: [] as string[] },
  subprotocol: { type: 'string', multiple: true, default: [] as string[] },
  origin: { type: 'string' },
  binary: { type: 'boolean', default: false },
  insecure: { type: 'boolean', default: false },
  wait: { type: 'string', default: '1000' },
} as const;

const LF = 0x0a;
const CR = 0x0d;

const cleanCodes: readonly number[] = [
  CloseCode.NormalClosure,
  CloseCode.GoingAway,
  CloseCode.NoStatusReceived,
];

/** Runs the verb; resolves to the exit code. */
export async function connectVerb(argv: readonly string[], io: Io): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
  if (values.help) {
    io.stdout.write(help);
    return 0;
  }
  const [url, ...more] = positionals;
  if (url === undefined || more.length > 0) throw new UsageError('expected one URL');
  if (!/^\d{1,9}$/.test(values.wait)) throw new UsageError(`not a number of milliseconds: ${values.wait}`);
  const ws = await connect(url, {
    headers: values.header.map(headerOf),
    subprotocols: values.subprotocol,
    signal: io.signal,
    ...(values.origin !== undefined && { origin: values.origin }),
    ...(values.insecure && { tls: { rejectUnauthorized: false } }),
  }).catch((error: unknown) => {
    throw error instanceof SyntaxError ? new UsageError(describeError(error)) : error;
  });
  const protocol = ws.subprotocol === '' ? '' : `, subprotocol ${harmless(ws.subprotocol)}`;
  io.stderr.write(`connected to ${url}${protocol}\n`);
  return talk(ws, io, values.binary, Number(values.wait));
}

async function talk(ws: WebSocketConnection, io: Io, binary: boolean, wait: number): Promise<number> {
  const idle = new IdleTimer(wait, () => ws.close());
  const interrupted = (): void => void ws.close();
  io.signal.addEventListener('abort', interrupted);
  let failed = false;
  const fail = (error: unknown): void => {
    if (ws.state !== 'open') return;
    failed = true;
    io.stderr.write(`sluice connect: ${describeError(error)}\n`);
    void ws.close();
  };
  ws.on('error', (error) => io.stderr.write(`sluice connect: ${describeError(error)}\n`));
  const printing = print(ws, io, idle).catch(fail);
  const sending = sendLines(ws, io.stdin, binary).then(() => idle.start(), fail);
  const { code, reason } = await ws.closed;
  idle.stop();
  io.signal.removeEventListener('abort', interrupted);
  io.stdin.destroy();
  await Promise.all([printing, sending]);
  io.stderr.write(`closed with ${code}${reason && ` ${harmless(reason)}`}\n`);
  if (failed) return 1;
  return cleanCodes.includes(code) ? 0 : 3;
}

async function sendLines(ws: WebSocketConnection, input: Readable, binary: boolean): Promise<void> {
  for await (const line of linesOf(input)) {
    const sent = binary ? ws.send(line, { type: 'binary' }) : ws.send(line.toString(), { type: 'text' });
    if (!sent) await ws.drained();
  }
}

/** The lines of the input as bytes, so that binary ones stay what they are. */
async function* linesOf(input: Readable): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  const line = (): Buffer => {
    const whole = Buffer.concat(parts);
    parts = [];
    return whole.at(-1) === CR ? whole.subarray(0, -1) : whole;
  };
  for await (const data of input) {
    const chunk = Buffer.from(data as Buffer);
    let from = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, from)) {
      parts.push(chunk.subarray(from, end));
      yield line();
      from = end + 1;
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
  }
  if (parts.length > 0) yield line();
}

async function print(ws: WebSocketConnection, io: Io, idle: IdleTimer): Promise<void> {
  for await (const message of ws) {
    if (message.type === 'text') {
      const text = await message.text();
      // A pipe gets what came, byte for byte; a terminal would obey the escapes in it
      await write(io, `${io.stdout.isTTY ? harmless(text, true) : text}\n`);
    } else if (io.stdout.isTTY) await write(io, dump(await message.bytes()));
    else for await (const chunk of message) await write(io, chunk);
    idle.touch();
  }
}

/** Resolves when the output has room: a slow reader of ours slows the server down. */
async function write(io: Io, data: string | Uint8Array): Promise<void> {
  if (!io.stdout.write(data)) await once(io.stdout, 'drain');
}

/** Sixteen bytes a line: offset, hexadecimal, and what of it is ASCII. */
function dump(bytes: Uint8Array): string {
  const lines = [`binary, ${bytes.length} bytes\n`];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`  ${at.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  ${text}\n`);
  }
  return lines.join('');
}

function headerOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(':');
  if (colon < 1) throw new UsageError(`not a header field, expected 'Name: value': ${line}`);
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
}

/** Fires once nothing happened for a while; not before it is started. */
class IdleTimer {
  #timer: NodeJS.Timeout | undefined;
  readonly #wait: number;
  readonly #fire: () => void;

  constructor(wait: number, fire: () => void) {
    this.#wait = wait;
    this.#fire = fire;
  }

  start(): void {
    this.#timer ??= setTimeout(this.#fire, this.#wait);
  }

  touch(): void {
    this.#timer?.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
