/** Connections over loopback, and peers that are played byte by byte. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, resolveConnectionOptions, WebSocketConnection } from '../../src/index.js';
import type { Extension, Role } from '../../src/protocol.js';
import { takesSharedMemory } from '../../src/socket.js';
import { frameTo, type Parsed, parse } from './frames.js';

/** Two sockets that are connected; this side of half-open ones stays open behind a FIN. */
export async function sockets(allowHalfOpen = false): Promise<[Socket, Socket]> {
  const listener = createServer({ allowHalfOpen }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen });
  const [[server]] = (await Promise.all([once(listener, 'connection'), once(client, 'connect')])) as [
    [Socket],
    unknown,
  ];
  listener.close();
  for (const socket of [client, server]) socket.setNoDelay(true);
  return [server, client];
}

const kSocket = Symbol('written to as a socket is');

/**
 * A stream in memory, or the prototype of such streams, that {@link open} has written to as a socket is: it is given
 * shared memory, as it passes no buffer on.
 */
export function asSocket<T extends object>(stream: T): T {
  return Object.assign(stream, { [kSocket]: true });
}

export interface Ends {
  readonly options?: ConnectionOptions;
  readonly extension?: () => Extension;
}

export function open(
  socket: Duplex,
  role: Role,
  { options = {}, extension }: Ends = {},
): WebSocketConnection {
  owned.add(socket);
  return new WebSocketConnection(socket, {
    role,
    options: resolveConnectionOptions(options),
    sharedMemory: kSocket in socket || takesSharedMemory(socket),
    ...(extension && { extensions: [extension()] }),
  });
}

/** A connection of the role under test, and its peer. */
export async function pair(
  role: Role,
  ends: Ends = {},
  peerEnds: Ends = ends,
): Promise<[WebSocketConnection, WebSocketConnection]> {
  const [server, client] = await sockets();
  return role === 'server'
    ? [open(server, 'server', ends), open(client, 'client', peerEnds)]
    : [open(client, 'client', ends), open(server, 'server', peerEnds)];
}

/** A peer that the test plays: what it writes, and the frames that came. */
export class RawPeer {
  readonly socket: Socket;
  readonly role: Role;
  bytes: Buffer = Buffer.alloc(0);
  ended = false;

  /** @param role - of the connection that it talks to */
  constructor(socket: Socket, role: Role) {
    this.socket = socket;
    this.role = role;
    played.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      socket.emit('progress');
    });
    socket.on('end', () => {
      this.ended = true;
      socket.emit('progress');
    });
    socket.on('close', () => socket.emit('progress'));
  }

  send(opcode: number, payload: string | Uint8Array = '', options: Parameters<typeof frameTo>[3] = {}): this {
    this.socket.write(frameTo(this.role, opcode, payload, options));
    return this;
  }

  get frames(): Parsed[] {
    return parse(this.bytes, true);
  }

  /** Waits until so many bytes or frames came, or the condition holds. */
  async until(condition: (peer: RawPeer) => boolean): Promise<this> {
    while (!condition(this)) await new Promise((resolve) => this.socket.once('progress', resolve));
    return this;
  }
}

/** A connection of the role, and a raw peer. */
export async function rawPair(
  role: Role,
  ends: Ends = {},
  allowHalfOpen = true,
): Promise<[WebSocketConnection, RawPeer]> {
  const [server, client] = await sockets(allowHalfOpen);
  return role === 'server'
    ? [open(server, 'server', ends), new RawPeer(client, role)]
    : [open(client, 'client', ends), new RawPeer(server, role)];
}

/** Sockets of connections under test, and those that a test plays itself. */
const owned = new Set<Duplex>();
const played = new Set<Socket>();

/** Timers of this process that are alive. */
export function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
}

/** How many timers more than `before` stay alive; the runner has some of its own, which end within three seconds. */
export async function timersLeft(before: number): Promise<number> {
  for (let i = 0; i < 150 && timers() > before; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    // The timer of this wait is gone in the turn after
    await turns(2);
  }
  return Math.max(0, timers() - before);
}

/** Ends what the test played; how many sockets of connections are not gone then. */
export async function leftovers(): Promise<number> {
  for (const socket of played) socket.destroy();
  for (let i = 0; i < 50 && [...owned].some((socket) => !socket.destroyed); i++) await turns(1);
  const left = [...owned].filter((socket) => !socket.destroyed);
  for (const socket of left) socket.destroy();
  owned.clear();
  played.clear();
  return left.length;
}

/** Waits until the event loop has turned some times, so that all that is due has happened. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
