/**
 * A proxy of length-prefixed records.
 *
 *     client ── message: [size, record] [size, record] ... ──▶ proxy ── a message for each record ──▶ target
 *            ◀── messages ───────────────────────────────────── proxy ◀── messages ───────────────────
 *
 * `size` is four bytes, big-endian. A record is sent on while it comes, as views of the received buffers: however large
 * it is, the proxy neither collects nor copies it, and a slow target slows the client down.
 *
 *     npx tsc -p examples && node .cache/examples/record-proxy.js 8080 ws://localhost:9000
 */
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { CloseCode, connect, type WebSocketConnection, WebSocketError, WebSocketServer } from 'sluice';

export interface ProxyOptions {
  /** Port to listen on; 0 for any. */
  readonly port: number;
  /** URL of the target. */
  readonly target: string;
  /** Bytes of the largest record that is sent on. Default 1 GiB. */
  readonly maxRecordSize?: number;
}

/** A record that is larger than the proxy allows. */
class RecordTooLargeError extends Error {}

/** Starts a proxy; it listens when the promise resolves. */
export async function startProxy({
  port,
  target,
  maxRecordSize = 2 ** 30,
}: ProxyOptions): Promise<WebSocketServer> {
  const server = new WebSocketServer({ port, host: '127.0.0.1' });
  server.on('connection', (client) => proxy(client, target, maxRecordSize));
  await once(server, 'listening');
  return server;
}

/** Serves one client: the end of either connection ends the other one. */
async function proxy(client: WebSocketConnection, url: string, maxRecordSize: number): Promise<void> {
  let target: WebSocketConnection;
  try {
    // A client that leaves meanwhile is waited for no longer
    const left = new AbortController();
    client.once('close', () => left.abort());
    target = await connect(url, { signal: left.signal });
  } catch {
    await client.close(CloseCode.BadGateway, 'The target cannot be reached');
    return;
  }
  try {
    await Promise.race([sendRecords(client, target, maxRecordSize), sendAnswers(target, client)]);
    await Promise.all([client.close(), target.close()]);
  } catch (error) {
    const [code, reason] = closeOf(error);
    await Promise.all([client.close(code, reason), target.close(CloseCode.GoingAway)]);
  }
}

/** Sends the records of all messages on, one after another, until the client closes. */
async function sendRecords(
  client: WebSocketConnection,
  target: WebSocketConnection,
  maxRecordSize: number,
): Promise<void> {
  for await (const message of client) {
    for (let head = await message.read(4); head !== null; head = await message.read(4)) {
      const size = head.readUInt32BE();
      // Before a byte of it is awaited
      if (size > maxRecordSize) throw new RecordTooLargeError(`A record has ${size} bytes`);
      await target.sendStream(message.chunks(size));
    }
  }
}

/** Sends the messages of the target back, each as a whole. */
async function sendAnswers(target: WebSocketConnection, client: WebSocketConnection): Promise<void> {
  for await (const message of target) await client.sendStream(message, { type: message.type });
}

/** What the client is told: that its records were wrong, or that the target is gone. */
function closeOf(error: unknown): [code: number, reason: string] {
  if (error instanceof RecordTooLargeError) return [CloseCode.MessageTooBig, 'A record is too large'];
  // The message ended within a record, or within its size
  if (error instanceof WebSocketError && error.code === 'ERR_UNEXPECTED_END')
    return [CloseCode.InvalidPayload, 'A record is cut off'];
  return [CloseCode.BadGateway, 'The connection to the target has ended'];
}

const [, program, port, target] = process.argv;
if (program !== undefined && import.meta.url === pathToFileURL(program).href && target !== undefined) {
  const server = await startProxy({ port: Number(port), target });
  console.log('Listening', server.address());
}
