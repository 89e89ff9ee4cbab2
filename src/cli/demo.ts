/** `sluice demo`: one message of any size, there and back, in flat memory. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { connect, type WebSocketConnection, WebSocketServer } from '../index.js';
import { formatSize, type Io, UsageError } from './io.js';
import { Meter } from './meter.js';

const help = `Usage: sluice demo [file]

Starts an echo server on a free port of this machine, sends the file through it as ONE streamed
WebSocket message, reads the echo as a stream, and compares the SHA-256 of both. Memory stays flat
however large the file is. Without a file, the Node.js executable itself is sent.

Exit codes: 0 the echo is equal, 1 it is not, or something failed.
`;

const CHUNK = 64 * 1024;

/** Runs the verb; resolves to the exit code. */
export async function demo(argv: readonly string[], io: Io): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  if (values.help) {
    io.stdout.write(help);
    return 0;
  }
  if (positionals.length > 1) throw new UsageError(`expected one file: ${positionals.join(' ')}`);
  const path = positionals[0] ?? process.execPath;
  // Asked before opening: to open a named pipe would wait for a writer
  const found = await stat(path);
  if (!found.isFile()) throw new Error(`not a regular file: ${path}`);
  const file = await open(path);
  try {
    return await sendThere(file, path, found.size, io);
  } finally {
    await file.close();
  }
}

async function sendThere(file: FileHandle, path: string, size: number, io: Io): Promise<number> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  server.on('connection', async (ws) => {
    try {
      for await (const message of ws) await ws.sendStream(message, { type: message.type });
    } catch {
      // The client is gone, and says so itself
    }
  });
  const url = `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
  const ws = await connect(url, { signal: io.signal });
  try {
    io.stdout.write('\nOne WebSocket message, there and back\n\n');
    io.stdout.write(`  file      ${path}, ${formatSize(size)}\n  server    ${url}\n`);
    const meter = new Meter(size, io.stdout);
    let sent: string;
    let received: string;
    try {
      [sent, received] = await Promise.all([send(file, ws, io.signal), receive(ws, meter, io.signal)]);
      meter.show();
    } finally {
      meter.stop();
    }
    const equal = sent === received;
    io.stdout.write(`  sent      sha256 ${sent}\n  received  sha256 ${received}\n`);
    io.stdout.write(equal ? '  digests   equal\n\n' : '  digests   NOT EQUAL\n\n');
    await ws.close();
    return equal ? 0 : 1;
  } finally {
    ws.terminate();
    await server.close();
  }
}

/** Sends the file as one message; resolves to the digest of what was read. */
async function send(file: FileHandle, ws: WebSocketConnection, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  async function* chunks(): AsyncGenerator<Buffer> {
    // One buffer for all: a chunk has left when the next one is asked for
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK);
      if (bytesRead === 0) return;
      const chunk = buffer.subarray(0, bytesRead);
      hash.update(chunk);
      yield chunk;
    }
  }
  await ws.sendStream(chunks(), { signal });
  return hash.digest('hex');
}

/** Reads the echo as a stream; resolves to its digest. */
async function receive(ws: WebSocketConnection, meter: Meter, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const message = await ws.receive({ signal });
  if (message === null) throw new Error('The server closed the connection');
  for await (const chunk of message) {
    hash.update(chunk);
    meter.add(chunk.length);
  }
  return hash.digest('hex');
}
