/** Messages that are sent by way of web streams. */

/** A `MessageWriter`, or a stream that is used like one. */
export interface Writer {
  write(chunk: string | Buffer, options?: { readonly signal?: AbortSignal }): Promise<void>;
  end(): Promise<void>;
  abort(reason: unknown): void;
}

/** The writer of a stream, whose promises are left alone or not as those of a `MessageWriter` are. */
export function asWriter(stream: WritableStream<string | Uint8Array>): Writer {
  const writer = stream.getWriter();
  return {
    write: (chunk) => writer.write(chunk),
    end: () => writer.close(),
    abort: (reason) => void writer.abort(reason),
  };
}

/** A stream that has failed, as its connection has ended, cannot be closed: it rejects in a way of its own. */
export function isInvalidState(error: unknown): boolean {
  return error instanceof TypeError && (error as { code?: unknown }).code === 'ERR_INVALID_STATE';
}

/** Pipes what a source yields into a stream. Its promise belongs to the source: the library cannot mark it as handled. */
export function pipe(
  source: AsyncIterable<Buffer> | Iterable<Buffer>,
  stream: WritableStream<string | Uint8Array>,
  options: { readonly signal?: AbortSignal },
): Promise<void> {
  const readable = 'getReader' in source ? (source as ReadableStream<Buffer>) : fromIterable(source);
  const piping = readable.pipeTo(stream, options);
  piping.catch(() => {});
  return piping;
}

/** A stream of what can be iterated over. Unlike that of Node.js, it leaves its source also while a step is pending. */
function fromIterable(source: AsyncIterable<Buffer> | Iterable<Buffer>): ReadableStream<Buffer> {
  const iterator: AsyncIterator<Buffer> | Iterator<Buffer> =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  return new ReadableStream<Buffer>(
    {
      async pull(controller): Promise<void> {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel(): void {
        if ('destroy' in source && typeof source.destroy === 'function') source.destroy();
        void Promise.resolve(iterator.return?.()).catch(() => {});
      },
    },
    { highWaterMark: 0 },
  );
}
