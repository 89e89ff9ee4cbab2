/**
 * A process whose node:http is instrumented: it connects to itself, and prints what was sent and recorded.
 */

import { once } from 'node:events';
import { register } from 'node:module';
import type { AddressInfo } from 'node:net';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';

register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
const exporter = new InMemorySpanExporter();
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
registerInstrumentations({ instrumentations: [new HttpInstrumentation()] });

// Imported after the hooks are there, as with `node --import`
const { connect, WebSocketServer } = await import('../../../src/index.js');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', subprotocols: ['v1'] });
await once(server, 'listening');
const fields: string[][] = [];
server.on('connection', (ws, request) => {
  const { rawHeaders } = request;
  fields.push(rawHeaders.filter((_, index) => index % 2 === 0));
  ws.on('message', (data) => ws.send(data));
});
const { port } = server.address() as AddressInfo;
const ws = await connect(`ws://127.0.0.1:${port}/traced`, {
  subprotocols: ['v1'],
  headers: { 'X-Two': ['a', 'b'] },
});
ws.send('hello');
const echo = await (await ws.receive())?.text();
await ws.close();
await server.close();
const spans = exporter.getFinishedSpans().map(({ name, attributes }) => [name, attributes['url.full']]);
console.log(JSON.stringify({ echo, subprotocol: ws.subprotocol, fields, spans, port }));
