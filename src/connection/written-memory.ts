/**
 * The memory of what is written. Invariant: only a stream that is done with a buffer natively is given memory that
 * others use, such as the slab of all connections, a frame of a broadcast, or a buffer of the application.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/**
 * Whether the stream may pass on the buffers that it is given: then each frame needs memory that belongs to nobody else.
 * A socket of `node:net` or `node:tls` does not: its bytes go to the kernel or the cipher, and no JavaScript sees the
 * buffer again. Any other stream may, as one in memory does, and so may a socket of a derived class, or with another
 * `write()`. Streams of `node:http2` have no public class, and count as those.
 */
export function passesOn(stream: Duplex): boolean {
  const type = stream.constructor;
  return (type !== Socket && type !== TLSSocket) || stream.write !== Socket.prototype.write;
}

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

/** The data of a message that was queued; throws when it has not the `size` any more that it had then. */
export function unchanged(data: string | Uint8Array, size: number): string | Uint8Array {
  if (typeof data !== 'string' && data.length !== size) throw memoryChanged();
  return data;
}
