/** The event `message`: a test of `type` narrows `data`, and shorter listeners are accepted. */
import { type EventEmitter, once } from 'node:events';
import { type ConnectionEvents, type MessageType, WebSocketConnection } from 'sluice';
import { is } from './same.js';

declare const ws: WebSocketConnection;

ws.on('message', (data, type) => {
  is<MessageType>()(type);
  if (type === 'text') is<string>()(data);
  else is<Buffer>()(data);
});
ws.once('message', async (data, type) => {
  switch (type) {
    case 'text':
      is<string>()(data);
      break;
    case 'binary':
      is<Buffer>()(data);
  }
});
ws.addListener('message', (data, type) => (type === 'text' ? data.toUpperCase() : data.readUInt8(0)));
ws.prependListener('message', (data, type) => void (type === 'binary' && data.readUInt8(0)));
ws.prependOnceListener('message', (data, type) => void (type === 'text' && data.charAt(0)));

// One parameter, or none, and what it returns is ignored
ws.on('message', (data) => is<string | Buffer>()(data));
ws.on('message', (data) => ws.send(data));
ws.on('message', () => 1);
ws.on('message', async () => {});

// Listeners with a name
const short = (_data: string | Uint8Array): void => {};
const wide = (_data: string | Buffer, _type: MessageType): void => {};
const narrow = (...[data, type]: ConnectionEvents['message']): void => {
  if (type === 'text') is<string>()(data);
};
ws.on('message', short).off('message', short).removeListener('message', short);
ws.on('message', wide).off('message', wide).removeListener('message', wide);
ws.on('message', narrow).off('message', narrow).removeListener('message', narrow);

// It is an emitter, and chains
const emitter: EventEmitter = ws;
once(emitter, 'message').then((args) => args.length);
is<WebSocketConnection>()(
  ws.on('message', (_data, _type) => {}).on('close', ({ code }) => is<number>()(code)),
);
ws.on('ping', (payload) => is<Buffer>()(payload)).on('drain', () => {});
ws.on('error', (error) => is<Error>()(error));

// @ts-expect-error - a number is never received
ws.on('message', (_data: number) => {});
// @ts-expect-error - binary data is a Buffer
ws.on('message', (data, type) => type === 'binary' && data.charAt(0));
// @ts-expect-error - there are two arguments
ws.on('message', (_data, _type, _third) => {});

class Derived extends WebSocketConnection<string> {
  own(): this {
    return this.on('message', (data, type) => void (type === 'text' && is<string>()(data)));
  }
}
is<string | undefined>()((null as unknown as Derived).data);
