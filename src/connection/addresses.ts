/**
 * The addresses of a stream. To have them takes two system calls, and 200 bytes that the socket keeps for good: a
 * connection whose addresses nothing asks for has none, and no field for them.
 */
import type { Duplex } from 'node:stream';

/** Where a stream comes from and leads to, as a `net.Socket` says it; undefined where it does not. */
export interface Addresses {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** On a stream: a WeakMap costs each connection some microseconds, most of them in garbage collections. */
const kAddresses = Symbol('addresses');

type Known = Duplex & { [kAddresses]?: Addresses };

/** Read on first use, and when the stream is about to be closed, which they do not outlast otherwise. */
export function addressesOf(stream: Duplex): Addresses {
  const before = (stream as Known)[kAddresses];
  if (before !== undefined) return before;
  const addresses = read(stream);
  if (addresses.localAddress !== undefined) (stream as Known)[kAddresses] = addresses;
  return addresses;
}

function read(stream: Duplex): Addresses {
  try {
    const { remoteAddress, remotePort, localAddress, localPort } = stream as Duplex & Addresses;
    return { remoteAddress, remotePort, localAddress, localPort };
  } catch {
    // Such as the socket of an HTTP/2 session that is closed
    return { remoteAddress: undefined, remotePort: undefined, localAddress: undefined, localPort: undefined };
  }
}
