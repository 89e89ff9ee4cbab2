/** Sends what a source yields as one message, chunk by chunk, RFC 6455 §5.4. */
import { onAbort } from './abort.js';
import type { MessageWriter } from './message-writer.js';
import type { BytesLike } from './payload.js';

/** Where a streamed message comes from: a Readable, a web ReadableStream, a MessageReader, a generator. */
export type MessageSource = AsyncIterable<string | BytesLike> | Iterable<string | BytesLike>;

/**
 * Writes all chunks and ends the message. When the source throws, the signal aborts or the connection closes
 * (`onClosed` tells), the source is ended (`return()`), the message is given up, and the call rejects.
 */
export async function sendStream(
  createWriter: () => MessageWriter,
  source: MessageSource,
  signal: AbortSignal | undefined,
  onClosed: (listener: (error: Error) => void) => () => void,
): Promise<void> {
  const iterator = iterate(source);
  const writer = createWriter();
  let interrupt: (reason: unknown) => void = () => {};
  let interrupted: { readonly reason: unknown } | null = null;
  const stop = (reason: unknown): void => {
    interrupted = { reason };
    writer.abort(reason);
    interrupt(reason);
  };
  const stopListening = [onAbort(signal, stop), onClosed(stop)];
  // The source may wait for long: what interrupts must not wait with it
  const next = (): Promise<IteratorResult<string | BytesLike>> =>
    new Promise((resolve, reject) => {
      interrupt = reject;
      if (interrupted !== null) reject(interrupted.reason);
      else Promise.resolve(iterator.next()).then(resolve, reject);
    });
  try {
    for (let step = await next(); !step.done; step = await next()) await writer.write(step.value);
    await writer.end();
  } catch (error) {
    writer.abort(error);
    Promise.resolve(iterator.return?.()).catch(() => {});
    throw error;
  } finally {
    for (const each of stopListening) each();
  }
}

function iterate(source: MessageSource): AsyncIterator<string | BytesLike> | Iterator<string | BytesLike> {
  if (typeof source === 'object' && source !== null) {
    if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
    if (Symbol.iterator in source && !ArrayBuffer.isView(source)) return source[Symbol.iterator]();
  }
  throw new TypeError(`Tried to send a stream that cannot be iterated over: ${String(source)}`);
}
