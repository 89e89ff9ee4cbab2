/** One message for many connections. */
import type { BytesLike } from '../connection/sending/payload.js';
import { prepareMessage } from '../connection/sending/prepare-message.js';
import { isFull, type WebSocketConnection } from '../connection/websocket-connection.js';
import { type BroadcastOptions, type BroadcastResult, resolveBroadcastOptions } from './broadcast-options.js';

/** Frames a message once, and sends it to those of the connections that are open and that the options ask for. */
export function broadcast<Data>(
  connections: ReadonlySet<WebSocketConnection<Data>>,
  data: string | BytesLike,
  options: BroadcastOptions<Data>,
): BroadcastResult {
  const { except, filter } = resolveBroadcastOptions(options);
  const { type, compress } = options;
  const message = prepareMessage(data, type === undefined ? {} : { type });
  const sending = compress === undefined ? undefined : { compress };
  let receivers: Iterable<WebSocketConnection<Data>> = connections;
  if (filter !== undefined) {
    receivers = [...receivers].filter((ws) => ws.state === 'open' && !except.has(ws) && filter(ws) === true);
  }
  let sent = 0;
  let full = 0;
  for (const ws of receivers) {
    if (ws.state !== 'open' || except.has(ws)) continue;
    const room = ws.send(message, sending);
    // One that exceeds maxBufferedAmount fails
    if (!room && ws.state !== 'open') continue;
    sent++;
    // A send() also returns false for the sake of other connections
    if (!room && isFull(ws)) full++;
  }
  return { sent, full };
}
