/**
 * The servers of a program: real `http.Server`s, whose sockets are in memory, and clients that connect to
 * them.
 */
import { Agent, createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { AcceptOptions, WebSocketConnection, WebSocketServer } from '../../src/index.js';
import { Broadcasts } from './broadcasts.js';
import { content, typeOf } from './content.js';
import type { End } from './model.js';
import type { DeflatePlan, Op } from './program.js';
import { OwnError, signatureOf } from './promises.js';
import type { Link, World } from './world.js';

/** Milliseconds that `server.close()` waits for peers by default. */
const CLOSE_TIMEOUT = 5_000;
/** Milliseconds of grace for what is bounded. */
const GRACE = 1_000;

type ServerOp = Extract<Op, { op: 'broadcast' | 'sendAll' | 'closeServer' }>;

/** Holds the servers, made when a connection needs them. */
export class ServerHost {
  readonly #world: World;
  #server: WebSocketServer | null = null;
  #attached: Server | null = null;
  #byHand: Server | null = null;
  #upgrading: Server | null = null;
  /** The end of each connection that the application knows. */
  readonly #ends: Map<WebSocketConnection, End> = new Map();
  readonly #broadcasts: Broadcasts;

  constructor(world: World) {
    this.#world = world;
    this.#broadcasts = new Broadcasts(world, this.#ends);
  }

  /** Opens a connection by way of HTTP. */
  connect(link: Link): void {
    const { via } = link.plan;
    const http = via === 'server' ? this.#attach() : via === 'accept' ? this.#accept() : this.#upgrade();
    const { a, b, index, plan } = link;
    http.emit('connection', a.socket!);
    const path = `/${index}`;
    if (plan.b.raw) {
      this.#world.raws.get(b)!.shakeHands(path, '');
      return;
    }
    const agent = new Agent();
    agent.createConnection = (): Duplex => b.socket!;
    const connecting = this.#world.library.connect(`ws://simulated${path}`, {
      ...b.plan.options,
      agent,
      ...compression(plan.deflate),
    });
    connecting.then(
      (ws) => this.#world.open(b, ws).start(),
      (error) => this.#world.trace(b, `connect ${signatureOf(error)}`),
    );
    this.#world.promises.track('connect', connecting, true);
  }

  perform(operation: ServerOp): void {
    const server = this.#server;
    if (server === null) return;
    this.#world.trace(null, operation.op);
    if (operation.op === 'closeServer') return void this.close(operation.awaited);
    if (operation.op === 'broadcast') return void this.#broadcasts.send(server, operation);
    const { form, size } = operation.message;
    for (const ws of server.connections) {
      const end = this.#ends.get(ws);
      const application = end && this.#world.applications.get(end);
      if (end === undefined || application === undefined) continue;
      const data = content(end.nextOwner, form, size);
      application.sending.sendAs(
        'send',
        () => ws.send(data, { type: typeOf(form) }),
        () => end.begin(form, size, 'whole'),
      );
    }
  }

  /**
   * Closes the server; checks that it takes bounded time, and that each peer that could be reached got a
   * Close frame.
   */
  close(awaited: boolean): void {
    const server = this.#server;
    if (server === null) return;
    const { clock, promises, report } = this.#world;
    const began = clock.now;
    const blocked = this.#world.blocked;
    const reachable: End[] = [];
    for (const ws of server.connections) {
      const end = this.#ends.get(ws);
      if (end === undefined) continue;
      if (end.lifeCycle.state === 'open' && ws.state === 'open') reachable.push(end);
      end.lifeCycle.on('close()');
      end.closedAt ??= end.received.length;
      end.paused = false;
    }
    const closing = this.#world.guard('server.close', () => server.close());
    if (closing === undefined) return;
    promises.track('server.close', closing, awaited, (error) => error instanceof OwnError);
    if (!awaited) return;
    const bound = CLOSE_TIMEOUT + GRACE;
    closing.then(
      () => {
        const took = clock.now - began - (this.#world.blocked - blocked);
        if (took > bound) report('server.close', 'took too long', `${took} ms`);
        for (const end of reachable) this.#checkNotified(end);
      },
      () => {},
    );
  }

  /** A peer that was connected, and could read, got a Close frame. */
  #checkNotified(end: End): void {
    const { events } = end.lifeCycle;
    const lost = (
      ['reset', 'FIN', 'violation', 'queue full', 'keepalive timeout', 'terminate()'] as const
    ).some((event) => events.has(event));
    const { output, socket } = end;
    if (socket?.goneStalled) return;
    if (lost || !output.untouched || output.room === 0 || output.tap.close !== null) return;
    this.#world.report('server.close', 'a peer got no Close frame', end.name);
  }

  #attach(): Server {
    if (this.#attached !== null) return this.#attached;
    const first = this.#world.links.find(({ plan }) => plan.via === 'server')!;
    this.#attached = createServer();
    this.#server = new this.#world.library.WebSocketServer({
      server: this.#attached,
      ...first.a.plan.options,
      ...compression(first.plan.deflate),
      ...this.#authentication(first),
    });
    this.#server.on('connection', (ws, request) => this.#onConnection(ws, request));
    return this.#attached;
  }

  #accept(): Server {
    if (this.#byHand !== null) return this.#byHand;
    this.#byHand = createServer();
    this.#byHand.on('upgrade', (request, socket, head) => {
      const { a, plan } = this.#linkOf(request);
      const link = this.#linkOf(request);
      const options = { ...a.plan.options, ...compression(plan.deflate), ...this.#authentication(link) };
      const accepting = this.#world.library.accept(request, socket, head, options);
      accepting.then(
        (ws) => this.#onConnection(ws, request),
        () => {},
      );
      this.#world.promises.track('accept', accepting, true);
    });
    return this.#byHand;
  }

  /** A server that gets its sockets by `handleUpgrade()`, whose result is ignored, as in its examples. */
  #upgrade(): Server {
    if (this.#upgrading !== null) return this.#upgrading;
    const first = this.#world.links.find(({ plan }) => plan.via === 'upgrade')!;
    const server = new this.#world.library.WebSocketServer({
      noServer: true,
      ...first.a.plan.options,
      ...compression(first.plan.deflate),
      ...this.#authentication(first),
    });
    server.on('connection', (ws, request) => this.#onConnection(ws, request));
    this.#upgrading = createServer();
    this.#upgrading.on('upgrade', (request, socket, head) => {
      void server.handleUpgrade(request, socket, head);
    });
    return this.#upgrading;
  }

  #onConnection(ws: WebSocketConnection, request: IncomingMessage): unknown {
    const { a } = this.#linkOf(request);
    this.#ends.set(ws, a);
    a.sent.unshift(...this.#broadcasts.early(ws));
    const application = this.#world.open(a, ws);
    application.start();
    return this.#world.react(a, 'connection');
  }

  /** Accepts every request, with its path as data. */
  #authentication({ plan }: Link): Pick<AcceptOptions, 'authenticate'> {
    const { authenticate: ms = -1 } = this.#world.complete ? plan : {};
    if (ms < 0) return {};
    return {
      authenticate: async (request, { url }) => {
        if (ms > 0) await this.#world.clock.sleep(ms);
        const { maxMessageSize } = this.#linkOf(request).plan.a.options;
        return { data: url.pathname, maxMessageSize };
      },
    };
  }

  #linkOf(request: IncomingMessage): Link {
    return this.#world.links[Number(request.url!.slice(1))]!;
  }
}

function compression(deflate: DeflatePlan | null): { compression?: object } {
  if (deflate === null) return {};
  const { level, offloadSize, takeover, threshold } = deflate;
  const names = { serverNoContextTakeover: !takeover, clientNoContextTakeover: !takeover };
  return { compression: { level, offloadSize, threshold, ...names } };
}
