/** Parts of a message, each of as many bytes as its reader says, RFC 6455 §6.2. */
import { MessageAssembler } from '../../protocol/message-assembler.js';
import { handled } from '../handled.js';
import { assertHeld } from './assembly.js';
import type { MessageBody } from './message-body.js';

const over = (): IteratorResult<Buffer, undefined> => ({ done: true, value: undefined });

/** Throws a RangeError for a number of bytes that is no integer from 0 to `most`. */
export function checkCount(size: number, most: number): void {
  if (Number.isInteger(size) && size >= 0 && size <= most) return;
  throw new RangeError(`Expected a number of bytes that is an integer from 0 to ${most}: ${String(size)}`);
}

/** No bytes, of a message that can still be read. */
function nothingOf<T>(body: MessageBody, nothing: T): T {
  if (body.error === null) return nothing;
  throw body.error;
}

/** The next `size` bytes, collected; null at the end of the message. */
export async function readPart(body: MessageBody, size: number): Promise<Buffer | null> {
  body.beginPart();
  try {
    // It is there at the end of the message as well
    if (size === 0) return nothingOf(body, Buffer.alloc(0));
    const begin = body.taken;
    const first = await body.next(size);
    if (first === null || first.length === size) return first;
    // Nothing is allocated ahead: a peer that only announces bytes costs none
    const parts = new MessageAssembler();
    for (let chunk = first; ; ) {
      const part = chunk;
      // It may have been transferred since it came
      body.orLose(() => assertHeld(part, body.taken - begin - parts.size));
      parts.add(chunk, 0, chunk.length);
      if (parts.size === size) return body.orLose(() => parts.take());
      const next = await body.next(size - parts.size);
      if (next === null) throw body.endEarly(size, size - parts.size);
      chunk = next;
    }
  } finally {
    body.endPart();
  }
}

/** Drops the next `size` bytes as they come. */
export async function skipPart(body: MessageBody, size: number): Promise<void> {
  body.beginPart();
  try {
    if (size === 0) return nothingOf(body, undefined);
    for (let left = size; left > 0; ) {
      const chunk = await body.next(left);
      if (chunk === null) throw body.endEarly(size, left);
      left -= chunk.length;
    }
  } finally {
    body.endPart();
  }
}

/** The next `size` bytes, chunk by chunk; they are counted from now on, whenever they are asked for. */
export function chunksOfPart(body: MessageBody, size: number): AsyncIterableIterator<Buffer> {
  const end = body.taken + size;
  let left = false;
  const finish = (): void => {
    left = true;
    body.endPart();
  };
  const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
    if (size === 0) return nothingOf(body, over());
    const missing = end - body.taken;
    if (left || missing === 0) return over();
    const value = await body.next(missing);
    if (value !== null) {
      if (!left && body.taken === end) finish();
      return { done: false, value };
    }
    if (left) return over();
    left = true;
    throw body.endEarly(size, end - body.taken);
  };
  body.beginPart();
  if (size === 0) finish();
  return {
    next: () => handled(next()),
    return: async (): Promise<IteratorResult<Buffer, undefined>> => {
      if (!left) {
        left = true;
        body.leavePart();
      }
      return over();
    },
    [Symbol.asyncIterator](): AsyncIterableIterator<Buffer> {
      return this;
    },
  };
}
