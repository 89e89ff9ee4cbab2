/** A toy extension that owns RSV1: it combines each byte with 0x55, at once or later. */
import { type Extension, type ExtensionFactory, InvalidPayloadError } from '../../src/protocol.js';

const xor = (bytes: Uint8Array): Buffer => Buffer.from(bytes.map((byte) => byte ^ 0x55));

export interface Xor extends Extension {
  closed: boolean;
}

/** `later` makes decoder and encoder work elsewhere; a payload byte of 0xFF, encoded, is refused. */
export function makeXor(later = false): Xor {
  let parts: Buffer[] = [];
  let last = false;
  const decoder = {
    busy: false,
    done: false,
    onready: null as (() => void) | null,
    write(payload: Buffer, isLast: boolean): void {
      decoder.done = false;
      last = isLast;
      const give = (): void => {
        decoder.busy = false;
        // Two parts of each, so that reading takes several calls
        const data = xor(payload);
        parts = [data.subarray(0, data.length >> 1), data.subarray(data.length >> 1)].filter(
          (part) => part.length > 0,
        );
        if (later) decoder.onready?.();
      };
      if (!later) {
        give();
        return;
      }
      decoder.busy = true;
      setImmediate(give);
    },
    read(): Buffer | null {
      if (decoder.busy) return null;
      const part = parts.shift() ?? null;
      if (part?.includes(0xff ^ 0x55))
        throw new InvalidPayloadError('toy', 'Received a byte that is refused');
      decoder.done = parts.length === 0 && last;
      return part;
    },
  };
  const extension: Xor = {
    name: 'x-xor',
    rsv: 0x40,
    closed: false,
    decoder,
    encoder: {
      wants: (size) => size < 0 || size >= 3,
      encode: (data) =>
        later ? new Promise((resolve) => setImmediate(() => resolve(xor(data)))) : xor(data),
    },
    close(): void {
      extension.closed = true;
    },
  };
  return extension;
}

/** Offers and accepts the toy extension. */
export function xorFactory(later = false): ExtensionFactory {
  return {
    name: 'x-xor',
    offers: () => [[]],
    accept: () => ({ parameters: [], extension: makeXor(later) }),
    confirm: () => makeXor(later),
  };
}
