/** A bad network: a TCP proxy on loopback that does to the bytes of each direction what a test tells it. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What happens to the bytes of one direction. */
export interface Fault {
  /** Lets so many bytes through; behind them, `kind`. Default: all of them. */
  readonly after?: number;
  /**
   * `reset`: RST to both. `cut`: FIN to both, nothing more in either direction. `half`: FIN to the receiver only.
   * `hole`: nothing more goes this way, and nobody is told. `deaf`: nothing more is read, so that the sender's
   * buffers fill up.
   */
  readonly kind?: 'reset' | 'cut' | 'half' | 'hole' | 'deaf';
  /** `bytes`: one write for each byte. `joined`: what came in a turn or two in one write. */
  readonly chunks?: 'bytes' | 'joined';
}

export interface Faults {
  /** From the client to the server. */
  readonly up?: Fault;
  /** From the server to the client. */
  readonly down?: Fault;
}

/** Forwards connections to `port`, with faults. */
export class BadNetwork {
  /** Asked for each connection. */
  faults: () => Faults = () => ({});
  /** Bytes that came in each direction of the last connection. */
  up = 0;
  down = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  readonly #holes: Set<'up' | 'down'> = new Set();

  private constructor(port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      const server = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      const { up = {}, down = {} } = this.faults();
      this.up = 0;
      this.down = 0;
      for (const socket of [client, server]) {
        this.#sockets.add(socket);
        socket.setNoDelay(true).on('error', () => {});
      }
      client.on('close', () => this.#closed(client, server));
      server.on('close', () => this.#closed(server, client));
      this.#forward(client, server, 'up', up, (size) => {
        this.up += size;
      });
      this.#forward(server, client, 'down', down, (size) => {
        this.down += size;
      });
    });
  }

  static async start(port: number): Promise<BadNetwork> {
    const proxy = new BadNetwork(port);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Sockets that are still open. */
  get open(): number {
    return this.#sockets.size;
  }

  /** From now on nothing goes this way any more, for all connections. */
  swallow(way: 'up' | 'down'): void {
    this.#holes.add(way);
  }

  /** Destroys what is open; a socket that is not read never learns that its peer has gone. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** What one side destroyed, the other sees too. */
  #closed(socket: Socket, other: Socket): void {
    this.#sockets.delete(socket);
    if (!other.destroyed) other.destroy();
  }

  #forward(from: Socket, to: Socket, way: 'up' | 'down', fault: Fault, count: (size: number) => void): void {
    let left = fault.after ?? Number.POSITIVE_INFINITY;
    let waiting: Buffer[] = [];
    let ended = false;
    const write = (bytes: Buffer): void => {
      if (bytes.length === 0 || to.destroyed) return;
      if (fault.chunks === 'bytes') for (let i = 0; i < bytes.length; i++) to.write(bytes.subarray(i, i + 1));
      else if (!to.write(bytes)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    };
    const flush = (): void => {
      write(Buffer.concat(waiting));
      waiting = [];
    };
    const fail = (): void => {
      ended = true;
      if (fault.kind === 'reset') {
        from.resetAndDestroy();
        to.resetAndDestroy();
      } else if (fault.kind === 'cut') {
        from.end();
        to.end();
        from.removeAllListeners('data').resume();
        to.removeAllListeners('data').resume();
      } else if (fault.kind === 'half') to.end();
      else if (fault.kind === 'deaf') from.pause();
    };
    from.on('data', (chunk: Buffer) => {
      if (ended || this.#holes.has(way)) return;
      const part = chunk.subarray(0, left);
      left -= part.length;
      count(part.length);
      if (fault.chunks === 'joined') {
        if (waiting.push(part) === 1) setImmediate(() => setImmediate(flush));
      } else write(part);
      if (left === 0 && fault.kind !== undefined) {
        // What went through has to arrive first: a reset overtakes what waits in buffers
        if (fault.kind === 'reset' && part.length > 0) {
          ended = true;
          to.write('', () => setImmediate(fail));
        } else fail();
      }
    });
    from.on('end', () => {
      if (ended) return;
      flush();
      to.end();
    });
    if (left === 0 && fault.kind !== undefined) {
      if (to.connecting) to.once('connect', fail);
      else if (from.connecting) from.once('connect', fail);
      else fail();
    }
  }
}
