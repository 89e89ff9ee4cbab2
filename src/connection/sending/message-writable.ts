/**
 * A message that is sent piece by piece, as a web stream.
 *
 *     the stream            the message of the writer
 *     write(chunk)          write(chunk); the next chunk is asked for once this one is flushed
 *     close()               end()
 *     abort(reason)         abort(reason), at once, also while a write waits for the peer
 *     errors            ◀── aborted by any call, or its connection ended
 */
import { handled } from '../handled.js';
import type { MessageWriter } from './message-writer.js';
import type { BytesLike } from './payload.js';

type Chunk = string | BytesLike;

/**
 * What `MessageWriter.writable` returns. The stream reports the end of a connection by every promise that it gave out:
 * those of its methods are marked as handled. Those of `pipeTo()` belong to the stream that is read.
 */
export class MessageWritable extends WritableStream<Chunk> {
  constructor(writer: MessageWriter) {
    super({
      start(controller): void {
        // Types of Node.js 20 lack it
        const { signal } = controller as typeof controller & { readonly signal: AbortSignal };
        // Before it calls `abort`, the stream waits for a pending write, which may take for ever
        signal.addEventListener('abort', () => {
          // The stream is aborted by itself: to report that to its controller as well breaks it
          stopWatching();
          writer.abort(signal.reason);
        });
        const stopWatching = writer.onCancelled((reason) => controller.error(reason));
      },
      write: (chunk) => writer.write(chunk),
      close: () => writer.end(),
      abort: (reason) => writer.abort(reason),
    });
  }

  override getWriter(): WritableStreamDefaultWriter<Chunk> {
    const writer = super.getWriter();
    const { abort, close, write } = writer;
    writer.write = (chunk): Promise<void> => handled(write.call(writer, chunk));
    writer.close = (): Promise<void> => handled(close.call(writer));
    writer.abort = (reason): Promise<void> => handled(abort.call(writer, reason));
    return writer;
  }

  override close(): Promise<void> {
    return handled(super.close());
  }

  override abort(reason?: unknown): Promise<void> {
    return handled(super.abort(reason));
  }
}
