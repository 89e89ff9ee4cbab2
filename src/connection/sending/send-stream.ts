/** Sends what a source yields as one message, chunk by chunk, RFC 6455 §5.4. */
import { onAbort } from '../abort.js';
import type { MessageWriter } from './message-writer.js';
import type { BytesLike } from './payload.js';

/** Where a streamed message comes from: a Readable, a web ReadableStream, a MessageReader, a generator. */
export type MessageSource =
  | AsyncIterable<string | BytesLike>
  // A string is none, though it can be iterated over
  | (Iterable<string | BytesLike> & object)
  // Types of browsers do not say that it can be iterated over
  | ReadableStream<string | BytesLike>;

type Step = IteratorResult<string | BytesLike, unknown>;

/** A source that is read step by step and can be stopped at any time. */
interface Source {
  next(): Promise<Step> | Step;
  /** Ends the source, also while a step is pending. */
  stop(reason: unknown): void;
}

/**
 * Writes all chunks and ends the message. When the source throws, the signal aborts or the connection ends, the source
 * is destroyed, cancelled or returned, the message is aborted, and the call rejects.
 */
export async function sendStream(
  writer: MessageWriter,
  source: Source,
  signal: AbortSignal | undefined,
): Promise<void> {
  let interrupt: (reason: unknown) => void = () => {};
  let interrupted: { readonly reason: unknown } | null = null;
  const stop = (reason: unknown): void => {
    if (interrupted !== null) return;
    interrupted = { reason };
    writer.abort(reason);
    interrupt(reason);
  };
  // Once all chunks were given, the message is complete whatever the signal does
  const stopListening = onAbort(signal, (reason) => {
    if (!writer.ending) stop(reason);
  });
  const stopWatching = writer.onCancelled(stop);
  // A step may take for ever: what interrupts must not wait for it
  const step = <T>(make: () => Promise<T> | T): Promise<T> =>
    new Promise((resolve, reject) => {
      interrupt = reject;
      if (interrupted !== null) reject(interrupted.reason);
      else Promise.resolve(make()).then(resolve, reject);
    });
  try {
    for (let next = await step(() => source.next()); !next.done; next = await step(() => source.next())) {
      const { value } = next;
      await step(() => writer.write(value));
    }
    await step(() => writer.end());
  } catch (error) {
    writer.abort(error);
    source.stop(error);
    throw error;
  } finally {
    stopWatching();
    stopListening();
  }
}

/** Begins to read a source; throws a TypeError for what cannot be iterated over. */
export function openSource(source: MessageSource): Source {
  if (typeof source === 'object' && source !== null) {
    // A web stream: leaving its iterator waits for the read that is pending, cancelling its reader does not
    if ('getReader' in source && typeof source.getReader === 'function')
      return openWebStream(source as never);
    if (Symbol.asyncIterator in source) return openIterable(source, source[Symbol.asyncIterator]());
    if (Symbol.iterator in source && !ArrayBuffer.isView(source)) {
      return openIterable(source, source[Symbol.iterator]());
    }
  }
  throw new TypeError(`Tried to send a stream of something that cannot be iterated over: ${String(source)}`);
}

function openWebStream(stream: ReadableStream<string | BytesLike>): Source {
  const reader = stream.getReader();
  return {
    async next(): Promise<Step> {
      const step = await reader.read();
      if (step.done) reader.releaseLock();
      return step as Step;
    },
    stop(reason): void {
      reader.cancel(reason).catch(() => {});
      reader.releaseLock();
    },
  };
}

type Iterating = AsyncIterator<string | BytesLike> | Iterator<string | BytesLike>;

function openIterable(source: MessageSource, iterator: Iterating): Source {
  return {
    next: () => iterator.next(),
    stop: (reason): void => {
      const { destroy, on } = source as {
        destroy?: unknown;
        on?: (event: string, listener: () => void) => void;
      };
      try {
        // A Readable: its iterator, too, waits for a step that is pending
        if (typeof destroy === 'function') {
          // Its own error has been reported by the call that rejects
          if (typeof on === 'function') on.call(source, 'error', () => {});
          destroy.call(source, reason instanceof Error ? reason : undefined);
        }
        Promise.resolve(iterator.return?.()).catch(() => {});
      } catch {
        // A source that cannot be left has nothing more to say
      }
    },
  };
}
