/** `server.broadcast()`: which connections get a message, and what its result may be. */
import type { BroadcastResult, WebSocketConnection, WebSocketServer } from '../../src/index.js';
import { content, typeOf } from './content.js';
import type { End, Sent } from './model.js';
import type { Op } from './program.js';
import { OwnError } from './promises.js';
import type { World } from './world.js';

/** Bytes of memory that a message may take beside its payload, at most: those of a writer have several fragments. */
const MESSAGE_COST = 1024;

type BroadcastOp = Extract<Op, { op: 'broadcast' }>;

/** Calls `broadcast()`, and notes its message for the connections that have to get it. */
export class Broadcasts {
  readonly #world: World;
  /** The end of each connection that the application knows. */
  readonly #ends: ReadonlyMap<WebSocketConnection, End>;
  /** What was sent to connections whose 'connection' event is still to come. */
  readonly #early: Map<WebSocketConnection, Sent[]> = new Map();
  #count = 0;

  constructor(world: World, ends: ReadonlyMap<WebSocketConnection, End>) {
    this.#world = world;
    this.#ends = ends;
  }

  /** What was sent to a connection before its 'connection' event. */
  early(ws: WebSocketConnection): readonly Sent[] {
    return this.#early.get(ws) ?? [];
  }

  send(server: WebSocketServer, operation: BroadcastOp): void {
    const world = this.#world;
    // An older library sends to all of them
    const selects = world.parts;
    const { compress, except = [], filter = 'none', message, typed = false } = operation;
    const { form, size } = message;
    const owner = `bc${this.#count++}~`;
    const excluded = selects ? except.flatMap((number) => this.#connectionOf(number)) : [];
    const passes = (ws: WebSocketConnection): boolean => {
      if (filter === 'none' || !selects) return true;
      return filter !== 'throws' && (this.#numberOf(ws) % 2 === 0) === (filter === 'even');
    };
    const receivers = [...server.connections].filter(
      (ws) => ws.state === 'open' && !excluded.includes(ws) && passes(ws),
    );
    for (const ws of receivers) {
      const end = this.#ends.get(ws);
      if (end !== undefined) end.begin(form, size, 'whole', owner);
      else this.#early.set(ws, [...this.early(ws), { owner, form, size, fate: 'whole' }]);
    }
    const data = content(owner, form, size);
    const options = {
      compress,
      ...(excluded.length === 0 ? {} : { except: inSomeForm(excluded) }),
      ...(filter === 'none' || !selects ? {} : { filter: this.#filter(filter, passes) }),
    };
    const result = world.guard('broadcast', () =>
      typed && selects
        ? server.broadcast(Buffer.from(data as string), { ...options, type: typeOf(form) })
        : server.broadcast(data, options),
    );
    if (result !== undefined && selects) this.#checkResult(result, receivers);
  }

  #filter(filter: string, passes: (ws: WebSocketConnection) => boolean): typeof passes {
    if (filter !== 'throws') return passes;
    return () => {
      throw new OwnError('thrown by a filter');
    };
  }

  /**
   * `sent` counts the receivers, but not always those that closed meanwhile; `full` those whose queue takes memory up to
   * the high-water mark, which is more than its bytes.
   */
  #checkResult({ full, sent }: BroadcastResult, receivers: readonly WebSocketConnection[]): void {
    const { report, links } = this.#world;
    const { options } = links.find(({ plan }) => plan.via === 'server')!.plan.a;
    const highWaterMark = Math.min(options.highWaterMark, options.maxBufferedAmount);
    const open = receivers.filter(({ state }) => state === 'open');
    const lost = receivers.length - open.length;
    const over = open.filter(({ bufferedAmount }) => bufferedAmount > highWaterMark).length;
    // Each message may take so much memory beside its bytes
    const memory = (ws: WebSocketConnection): number =>
      ws.bufferedAmount + MESSAGE_COST * (this.#ends.get(ws)?.sent ?? this.early(ws)).length;
    const most = open.filter((ws) => memory(ws) >= highWaterMark).length + lost;
    if (sent < open.length || sent > receivers.length)
      report('broadcast', 'sent is wrong', `${sent} of ${open.length} to ${receivers.length}`);
    if (full > sent || full < over || full > most)
      report('broadcast', 'full is wrong', `${full} of ${over} to ${most}, sent ${sent}`);
  }

  #connectionOf(number: number): WebSocketConnection[] {
    const { applications, links } = this.#world;
    const application = applications.get(links[number % links.length]!.a);
    return application === undefined ? [] : [application.ws];
  }

  /** The number of its link; 0 for one that the application does not know yet. */
  #numberOf(ws: WebSocketConnection): number {
    const end = this.#ends.get(ws);
    return end === undefined ? 0 : this.#world.links.findIndex(({ a }) => a === end);
  }
}

/** One connection as itself, two as an array, more as a Set. */
function inSomeForm(
  excluded: readonly WebSocketConnection[],
): WebSocketConnection | Iterable<WebSocketConnection> {
  if (excluded.length > 2) return new Set(excluded);
  return excluded.length === 1 ? excluded[0]! : excluded;
}
