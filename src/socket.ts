/** Sockets of Node.js, as the makers of connections recognize them. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/**
 * Whether the stream is done with a buffer natively, so that what it is given may lie in memory that others use. A
 * socket of `node:net` or `node:tls` is: its bytes go to the kernel or the cipher, and no JavaScript sees the buffer
 * again. Any other stream may pass the buffer on, as one in memory does, and so may a socket of a derived class, or
 * with another `write()`. Streams of `node:http2` have no public class, and count as those.
 */
export function takesSharedMemory(stream: Duplex): boolean {
  const type = stream.constructor;
  return (type === Socket || type === TLSSocket) && stream.write === Socket.prototype.write;
}
