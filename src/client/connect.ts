/** RFC 6455 §4.1: a client opens a connection. */
import { Socket } from 'node:net';
import { onAbort } from '../connection/abort.js';
import { WebSocketConnection } from '../connection/websocket-connection.js';
import { deadline } from '../deadline.js';
import { TimeoutError } from '../errors.js';
import { parseUri } from '../handshake/uri.js';
import { takesSharedMemory } from '../socket.js';
import { type ConnectOptions, resolveConnectOptions } from './options.js';
import { follow } from './redirect.js';

/**
 * Opens a connection to a `ws:`, `wss:`, `http:` or `https:` URL, or to a Unix socket
 * (`ws+unix:/path/to/socket:/resource`). A user in the URL is sent as basic authentication.
 *
 * Rejects with a SyntaxError for the URL, and a TypeError or RangeError for an option, before anything is
 * sent; with a `HandshakeError` when the server refuses or cannot be reached, a `TimeoutError` after
 * `handshakeTimeout`, the reason of `signal` when that aborts.
 *
 * @typeParam Data - what the application keeps in `ws.data`
 *
 * @example
 * ```ts
 * const ws = await connect('wss://example.com/feed', { subprotocols: ['v2'] });
 * ws.send('hello');
 * for await (const message of ws) console.log(await message.text());
 * ```
 */
export async function connect<Data = unknown>(
  url: string | URL,
  options: ConnectOptions = {},
): Promise<WebSocketConnection<Data>> {
  const resolved = resolveConnectOptions(options);
  const uri = parseUri(url);
  const { signal, handshakeTimeout, connection } = resolved;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const stop = onAbort(signal, (reason) => controller.abort(reason));
  const cancel = deadline(handshakeTimeout, () => {
    controller.abort(new TimeoutError(`The opening handshake took more than ${handshakeTimeout} ms`));
  });
  try {
    const {
      extensions,
      head,
      headers,
      socket,
      subprotocol,
      url: opened,
    } = await follow(String(url), uri, resolved, controller.signal);
    if (socket instanceof Socket) socket.setTimeout(0).setNoDelay(true);
    try {
      return new WebSocketConnection<Data>(socket, {
        role: 'client',
        options: connection,
        subprotocol,
        extensions,
        head,
        sharedMemory: takesSharedMemory(socket),
        url: opened,
        responseHeaders: headers,
      });
    } catch (error) {
      socket.on('error', () => {}).destroy();
      throw error;
    }
  } finally {
    cancel();
    stop();
  }
}
