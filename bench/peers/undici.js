/** The WebSocket of undici, which is Node's own from 22 on. A client only. */

import { once } from 'node:events';
import { WebSocket } from 'undici';

export async function open(url, onMessage) {
  const ws = new WebSocket(url);
  ws.binaryType = 'arraybuffer';
  ws.addEventListener('message', ({ data }) => onMessage(Buffer.from(data)));
  await once(ws, 'open');
  return { send: (data) => ws.send(data), terminate: () => ws.close() };
}
