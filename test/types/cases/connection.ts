/** Connections: their properties, methods and streams. */
import { createReadStream } from 'node:fs';
import type { Duplex } from 'node:stream';
import {
  type CloseInfo,
  type ConnectionStats,
  connect,
  HandshakeError,
  type MessageReader,
  type MessageType,
  ProtocolError,
  prepareMessage,
  resolveConnectionOptions,
  TimeoutError,
  WebSocketConnection,
  WebSocketError,
} from 'sluice';
import { is } from './same.js';

const ws = await connect('ws://localhost/', { subprotocols: ['a'], signal: AbortSignal.timeout(1) });

is<WebSocketConnection>()(ws);
is<unknown>()(ws.data);
is<{ readonly name: string } | undefined>()((await connect<{ readonly name: string }>('ws://a/')).data);

is<'server' | 'client'>()(ws.role);
is<'open' | 'closing' | 'closed'>()(ws.state);
is<string>()(ws.url);
is<string>()(ws.subprotocol);
is<string | undefined>()(ws.remoteAddress);
is<number | undefined>()(ws.remotePort);
is<string | undefined>()(ws.localAddress);
is<number | undefined>()(ws.localPort);
is<string | string[] | undefined>()(ws.responseHeaders?.['set-cookie']);
is<ConnectionStats>()(ws.stats);
is<number>()(ws.stats.bytesReceived);
// @ts-expect-error - a snapshot
ws.stats.bytesReceived = 0;
// @ts-expect-error - decided by the handshake
ws.url = '';

is<boolean>()(ws.send('text'));
for (const bytes of [
  new Uint8Array(1),
  Buffer.alloc(1),
  new DataView(new ArrayBuffer(1)),
  new Float64Array(1),
]) {
  ws.send(bytes, { type: 'binary', compress: false });
}
ws.send(new ArrayBuffer(1));
ws.send(new SharedArrayBuffer(1));
ws.send(new Blob(['a']), { type: 'text' });
ws.send(prepareMessage('tick'));
// @ts-expect-error - neither text nor bytes
ws.send(1);
// @ts-expect-error - no such type
ws.send('a', { type: 'blob' });

is<Promise<CloseInfo>>()(ws.close(1000, 'bye'));
is<Promise<CloseInfo>>()(ws.close(1000, '', { receive: true }));
// @ts-expect-error - it is a boolean
ws.close(1000, '', { receive: 'yes' });
is<Promise<CloseInfo>>()(ws.closed);
is<Promise<number>>()(ws.ping());
is<Promise<void>>()(ws.drained());
is<Promise<void>>()(ws.drained({ signal: AbortSignal.timeout(1) }));
is<Promise<void>>()(ws.createWriter('text').write('a', { signal: AbortSignal.timeout(1) }));
is<Promise<MessageReader | null>>()(ws.receive());

for await (const message of ws) {
  is<MessageReader>()(message);
  is<MessageType>()(message.type);
  is<string>()(await message.text());
  is<Uint8Array>()(await message.bytes());
  is<unknown>()(await message.json());
  is<Buffer | null>()(await message.read(4));
  for await (const chunk of message.chunks(4)) is<Buffer>()(chunk);
  is<void>()(await message.skip(4));
  await ws.sendStream(message.chunks(4));
  for await (const chunk of message) is<Buffer>()(chunk);
  await ws.sendStream(message, { type: message.type });
  await message.stream().pipeTo(ws.createWriter('binary').writable);
  await new Response(message.stream()).text();
}

await ws.sendStream(createReadStream('file'));
await ws.sendStream(['a', Buffer.alloc(1)], { type: 'text', signal: AbortSignal.timeout(1) });
// @ts-expect-error - a string is no source: send() takes it
ws.sendStream('text');

// Web streams, as the globals declare them
const writer = ws.createWriter('binary');
is<Promise<void>>()(writer.write(Buffer.alloc(1)));
is<Promise<void>>()(writer.end());
const response = await fetch('http://localhost/');
if (response.body !== null) await ws.sendStream(response.body);
await response.body?.pipeTo(writer.writable);
await new Blob(['a']).stream().pipeTo(writer.writable, { preventClose: true });
await new ReadableStream<string>().pipeTo(ws.createWriter('text').writable);
// @ts-expect-error - a stream of numbers
await new ReadableStream<number>().pipeTo(writer.writable);
const inner = writer.writable.getWriter();
await inner.write('text');
await inner.close();

// Over any Duplex
const byHand = new WebSocketConnection(null as never as Duplex, {
  role: 'server',
  options: resolveConnectionOptions({ maxMessageSize: 1 }),
  data: { name: 'ada' },
  sharedMemory: true,
});
is<{ name: string } | undefined>()(byHand.data);

try {
  await ws.close();
} catch (error) {
  if (error instanceof HandshakeError) is<number>()(error.status);
  else if (error instanceof ProtocolError) is<string>()(error.section);
  else if (error instanceof TimeoutError) is<'ERR_TIMEOUT'>()(error.code);
  else if (error instanceof WebSocketError) is<string>()(error.message);
}
