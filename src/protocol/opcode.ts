/**
 * Opcodes, RFC 6455 §5.2 and §11.8.
 *
 *     %x0 continuation   %x1 text   %x2 binary   %x3-7 reserved for further data frames
 *     %x8 close          %x9 ping   %xA pong     %xB-F reserved for further control frames
 */
export const Opcode = {
  Continuation: 0x0,
  Text: 0x1,
  Binary: 0x2,
  Close: 0x8,
  Ping: 0x9,
  Pong: 0xa,
} as const;

/** One of the six opcodes that RFC 6455 defines. */
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** The opcodes that begin a message. */
export type MessageOpcode = typeof Opcode.Text | typeof Opcode.Binary;

/** "Control frames are identified by opcodes where the most significant bit of the opcode is 1" (§5.5). */
export function isControl(opcode: number): boolean {
  return (opcode & 0x8) !== 0;
}

/** Whether RFC 6455 §5.2 gives the opcode a meaning. */
export function isDefined(opcode: number): opcode is Opcode {
  return opcode <= Opcode.Binary || (opcode >= Opcode.Close && opcode <= Opcode.Pong);
}
