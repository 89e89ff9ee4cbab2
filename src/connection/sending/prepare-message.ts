/** A message that is framed once and sent to many connections. */
import { checkNames } from '../../options.js';
import { Opcode } from '../../protocol/opcode.js';
import { PreparedMessage } from '../../protocol/prepared-message.js';
import type { MessageType } from '../receiving/message-reader.js';
import { type BytesLike, checkType, toPayload } from './payload.js';

/**
 * Frames a message once for however many connections `send()` it. Leave the bytes unchanged for as long as
 * it is used.
 *
 * @param options - `type`: text for a string, binary for anything else by default
 * @throws TypeError for data that is neither string nor bytes, or bytes that are no UTF-8 as text
 *
 * @example
 * ```ts
 * const tick = prepareMessage(JSON.stringify(prices));
 * for (const ws of server.connections) ws.send(tick);
 * ```
 */
export function prepareMessage(
  data: string | BytesLike,
  options: { readonly type?: MessageType } = {},
): PreparedMessage {
  checkNames('prepareMessage()', options, ['type']);
  const type = options.type === undefined ? (typeof data === 'string' ? 'text' : 'binary') : options.type;
  checkType(type);
  return new PreparedMessage(toPayload(data, type), type === 'text' ? Opcode.Text : Opcode.Binary);
}
