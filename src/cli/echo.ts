/** `sluice echo`: an echo server, with a page for browsers. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { type WebSocketConnection, WebSocketServer } from '../index.js';
import { echoPage, echoPagePolicy } from './echo-page.js';
import { type Io, UsageError } from './io.js';

const help = `Usage: sluice echo [--host 127.0.0.1] [--port 8080]

Runs a server that sends every message back as it comes, chunk by chunk, and serves a page at / that a
browser talks to it through. Runs until SIGINT or SIGTERM, then closes all connections with 1001.

  --host <address>   where to listen (default 127.0.0.1)
  --port <number>    the port, 0 for any that is free (default 8080)

Exit codes: 0 after a signal, 1 when it cannot listen.
`;

/** Runs the verb; resolves to the exit code. */
export async function echo(argv: readonly string[], io: Io): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      help: { type: 'boolean', short: 'h' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '8080' },
    },
  });
  if (values.help) {
    io.stdout.write(help);
    return 0;
  }
  const httpServer = createServer(serve);
  const server = new WebSocketServer({ server: httpServer });
  server.on('connection', (ws) => void echoAll(ws));
  httpServer.listen(portOf(values.port), values.host);
  await once(httpServer, 'listening');
  const { address, family, port } = httpServer.address() as AddressInfo;
  const host = family === 'IPv6' ? `[${address}]` : address;
  io.stdout.write(`Echo server at ws://${host}:${port}/, for a browser at http://${host}:${port}/\n`);
  if (!io.signal.aborted) await once(io.signal, 'abort');
  await server.close();
  httpServer.closeAllConnections();
  httpServer.close();
  return 0;
}

async function echoAll(ws: WebSocketConnection): Promise<void> {
  try {
    for await (const message of ws) await ws.sendStream(message, { type: message.type });
  } catch {
    // The connection was lost
  }
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  if (request.url !== '/') {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('Not found\n');
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { Allow: 'GET, HEAD' }).end();
  } else {
    response
      .writeHead(200, {
        'Content-Type': 'text/html; charset=utf-8',
        'Content-Security-Policy': echoPagePolicy,
      })
      .end(echoPage);
  }
}

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65535) throw new UsageError(`not a port: ${text}`);
  return port;
}
