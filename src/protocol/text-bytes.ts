/** The UTF-8 bytes of short texts, for an extension: in one place for all of them, as most are done with at once. */

const MOST_LENGTH = 16 * 1024;
/** UTF-8 of one UTF-16 code unit takes up to 3 bytes. */
const ROOM = MOST_LENGTH * 3;

let room: Buffer | null = null;

/** The bytes of `text`: a view that the next call overwrites, unless {@link keepTextBytes} is called before. */
export function textBytes(text: string): Buffer {
  if (text.length > MOST_LENGTH) return Buffer.from(text);
  room ??= Buffer.allocUnsafeSlow(ROOM);
  return room.subarray(0, room.write(text));
}

/** Leaves the bytes given last to who has them. */
export function keepTextBytes(): void {
  room = null;
}
