/** What is put behind the payload of a message, and was not sent. */
import { constants, deflateRawSync } from 'node:zlib';

/**
 * The end of an empty stored block: a sender removes "4 octets (that are 0x00 0x00 0xff 0xff)" (RFC 7692
 * §7.2.1), a receiver appends them (§7.2.2).
 */
export const TAIL: Buffer = Buffer.from(Uint8Array.of(0x00, 0x00, 0xff, 0xff).buffer);

/**
 * zlib gets a last block after that, and data that ends in this mark came from a payload that was whole. One
 * that is cut off within a block may happen to be completed by what is appended, but not to these bytes, as
 * no peer knows them.
 */
export const MARK: Buffer = crypto.getRandomValues(Buffer.alloc(8));

/** A last block that holds {@link MARK}, in a Huffman code: its bytes are others than the mark's. */
export const MARKED_BLOCK: Buffer = deflateRawSync(MARK, { strategy: constants.Z_FIXED });

/**
 * What data is without the {@link MARK} at its end; throws when there is none, or zlib has left bytes of
 * {@link MARKED_BLOCK} `unused`: the payload was cut off. A stored block that takes a part of that as its own data may
 * be followed by bytes that are a last block by chance.
 */
export function withoutMark(data: Buffer, unused: number): Buffer {
  const end = data.length - MARK.length;
  if (unused > 0 || end < 0 || !data.subarray(end).equals(MARK))
    throw new Error('unexpected end of the payload');
  return data.subarray(0, end);
}
