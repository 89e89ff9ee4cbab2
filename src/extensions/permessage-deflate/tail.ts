/** What stands behind the payload of a message, and is not sent. */

/**
 * The end of an empty stored block: a sender removes "4 octets (that are 0x00 0x00 0xff 0xff)" (RFC 7692 §7.2.1), a
 * receiver appends them (§7.2.2).
 */
export const TAIL: Buffer = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/**
 * {@link TAIL}, and a last block without data: zlib tells by it a payload that was cut off from one that is whole,
 * unless a stored block of it lacks just these 9 bytes: then they are its data, which harms nobody but the sender.
 */
export const END: Buffer = Buffer.from([...TAIL, 0x01, 0x00, 0x00, 0xff, 0xff]);
