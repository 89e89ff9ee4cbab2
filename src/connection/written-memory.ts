/** The memory of what is written: it may have changed since it was queued. */
import { type BytesLike, sizeOf } from './sending/payload.js';

/** Bytes in `pieces[from...]`: memory that was transferred, or shrunk below the end of its view, has none. */
export function bytesIn(pieces: readonly Buffer[], from: number): number {
  let size = 0;
  for (let i = from; i < pieces.length; i++) size += pieces[i]!.length;
  return size;
}

/** Why a write fails whose pieces have not the bytes any more that they were queued with. */
export function memoryChanged(): TypeError {
  return new TypeError(
    'Memory that was sent was transferred or changed its length before it was written: copy the data first',
  );
}

/** The data of a message or fragment that was queued; throws when it has not the `size` any more that it had then. */
export function unchanged<Data extends string | BytesLike>(data: Data, size: number): Data {
  if (typeof data !== 'string' && sizeOf(data) !== size) throw memoryChanged();
  return data;
}
