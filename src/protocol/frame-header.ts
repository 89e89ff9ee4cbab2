/**
 * The header of a frame, RFC 6455 §5.2.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *     |F|R|R|R| opcode|M| Payload len |  Extended payload length      |
 *     |I|S|S|S|  (4)  |A|     (7)     |  0, 2 or 8 bytes              |
 *     |N|V|V|V|       |S|             |                               |
 *     | |1|2|3|       |K|             |                               |
 *     +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
 *     |  Masking key, 4 bytes when MASK is set                        |
 *     +---------------------------------------------------------------+
 */

/** First byte: the last fragment of a message. */
export const FIN = 0x80;
/** First byte: the three reserved bits, 0x40, 0x20 and 0x10. */
export const RSV = 0x70;
/** First byte: the opcode. */
export const OPCODE = 0x0f;
/** Second byte: the payload is masked. */
export const MASK = 0x80;
/** Second byte: the 7-bit payload length. */
export const LENGTH = 0x7f;

/** The 7-bit length that says "the following 2 bytes". */
export const LENGTH_16 = 126;
/** The 7-bit length that says "the following 8 bytes". */
export const LENGTH_64 = 127;

/** Most bytes of a header: 2, 8 of length, 4 of masking key. */
export const MAX_HEADER_SIZE = 14;

/** "All control frames MUST have a payload length of 125 bytes or less" (§5.5). */
export const MAX_CONTROL_PAYLOAD = 125;

/** Bytes of the header in front of `length` bytes of payload. */
export function headerSize(length: number, masked: boolean): number {
  return (length < LENGTH_16 ? 2 : length < 0x1_0000 ? 4 : 10) + (masked ? 4 : 0);
}

/** Bytes of the header that begins at `offset`. */
export function headerSizeOf(source: Buffer, offset: number = 0): number {
  const second = source[offset + 1]!;
  const length = second & LENGTH;
  return (length < LENGTH_16 ? 2 : length === LENGTH_16 ? 4 : 10) + ((second & MASK) === 0 ? 0 : 4);
}

/** Bytes of the frame whose header begins at `offset`. */
export function frameSizeOf(source: Buffer, offset: number): number {
  const length = source[offset + 1]! & LENGTH;
  const header = headerSizeOf(source, offset);
  if (length < LENGTH_16) return header + length;
  if (length === LENGTH_16) return header + source.readUInt16BE(offset + 2);
  return header + source.readUInt32BE(offset + 2) * 0x1_0000_0000 + source.readUInt32BE(offset + 6);
}

/**
 * Writes the header up to its masking key, with the length in the minimal number of bytes.
 *
 * @param first - the first byte: FIN, RSV and opcode
 * @param maskBit - {@link MASK} or 0
 * @returns the offset behind what was written
 */
export function writeHeader(
  target: Buffer,
  offset: number,
  first: number,
  length: number,
  maskBit: number,
): number {
  target[offset] = first;
  if (length < LENGTH_16) {
    target[offset + 1] = maskBit | length;
    return offset + 2;
  }
  if (length < 0x1_0000) {
    target[offset + 1] = maskBit | LENGTH_16;
    target[offset + 2] = length >>> 8;
    target[offset + 3] = length;
    return offset + 4;
  }
  target[offset + 1] = maskBit | LENGTH_64;
  target.writeUInt32BE(Math.floor(length / 0x1_0000_0000), offset + 2);
  return target.writeUInt32BE(length % 0x1_0000_0000, offset + 6);
}
