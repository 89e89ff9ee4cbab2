/** One program on its way: its connections and applications, its steps, and what is noted of it. */
import type { WebSocketConnection } from '../../src/index.js';
import { Application } from './application.js';
import type { VirtualClock } from './clock.js';
import { type Coverage, LifeCycle } from './lifecycle.js';
import { checkLatency, watchLost } from './liveness.js';
import { End, type Report } from './model.js';
import { type Cable, makeCable } from './network.js';
import { makeSocket, negotiate } from './parts.js';
import {
  type LinkPlan,
  leadOf,
  type Op,
  type Program,
  type Reaction,
  type Step,
  targetOf,
} from './program.js';
import { OwnError, Promises, signatureOf } from './promises.js';
import { RawPeer } from './raw.js';
import { ServerHost } from './server-host.js';

/** Bytes that may be read in front of a consumer: what streams and the connection hold. */
const MAX_HELD = 192 * 1024;

/** Listeners of an open connection; another one for `close` is that of the simulation. */
const SOCKET_LISTENERS = { data: 1, end: 1, error: 1, finish: 1, close: 2 };

/** Of the messages that its peer sent, the one with this number is within the limit for sure. */
function isSmall({ peer: { sent }, plan, unobserved }: End, number: number): boolean {
  const message = sent[number - 1];
  if (message === undefined || unobserved > 0) return false;
  if (sent.slice(0, number).some(({ fate }) => fate !== 'whole')) return false;
  return message.size * (message.form === 'unicode' ? 3 : 1) <= plan.options.maxMessageSize;
}

export type Library = typeof import('../../src/index.js');

/** A failed check. */
export interface Finding {
  readonly check: string;
  readonly signature: string;
  readonly detail: string;
}

/** Both ends of one connection. */
export interface Link {
  readonly index: number;
  readonly plan: LinkPlan;
  readonly cable: Cable;
  readonly a: End;
  readonly b: End;
}

export class World {
  readonly clock: VirtualClock;
  readonly library: Library;
  readonly program: Program;
  readonly links: Link[] = [];
  readonly applications: Map<End, Application> = new Map();
  readonly raws: Map<End, RawPeer> = new Map();
  readonly findings: Finding[] = [];
  readonly lines: string[] = [];
  readonly promises: Promises;
  readonly host: ServerHost;
  /** Milliseconds that the event loop was blocked. */
  blocked = 0;
  /** When it was blocked last. */
  blockedAt = Number.NEGATIVE_INFINITY;
  readonly #began: number;
  readonly #atEnd: (() => void)[] = [];
  readonly #counts: Map<string, number> = new Map();
  readonly #seen: Set<string> = new Set();

  /** The library has properties of connections, and streams of writers: an older one can be simulated as well. */
  readonly complete: boolean;
  /** Messages are read in parts, and `close()` may receive. */
  readonly parts: boolean;

  constructor(library: Library, clock: VirtualClock, coverage: Coverage, program: Program) {
    this.library = library;
    this.complete = 'stats' in library.WebSocketConnection.prototype;
    this.parts = 'skip' in library.MessageReader.prototype;
    this.clock = clock;
    this.program = program;
    this.#began = clock.now;
    this.promises = new Promises(this.report);
    program.links.forEach((given, index) => {
      // All connections of one server have its options
      const served = program.links.find(({ via }) => via === given.via);
      const plan: LinkPlan =
        (given.via === 'server' || given.via === 'upgrade') && served !== undefined
          ? {
              ...given,
              deflate: served.deflate,
              authenticate: served.authenticate ?? -1,
              a: { ...given.a, options: served.a.options },
            }
          : given;
      const cable = makeCable(clock, plan.path, plan.via !== 'direct');
      const a = new End(`${index}a`, plan.a, cable.up, cable.down, new LifeCycle(coverage, clock));
      const b = new End(`${index}b`, plan.b, cable.down, cable.up, new LifeCycle(coverage, clock));
      a.peer = b;
      b.peer = a;
      this.links.push({ index, plan, cable, a, b });
    });
    this.host = new ServerHost(this);
  }

  /** Milliseconds since the program began. */
  get now(): number {
    return this.clock.now - this.#began;
  }

  readonly report: Report = (check, signature, detail = '') => {
    const key = `${check}: ${signature}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.findings.push({ check, signature, detail });
    this.lines.push(`${this.now} FAILED ${key} ${detail}`);
  };

  trace(end: End | null, text: string): void {
    this.lines.push(`${this.now} ${end?.name ?? '-'} ${text}`);
  }

  /** Runs a call that must not throw. */
  guard<T>(api: string, run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      // What a listener threw may propagate through the call that emitted
      if (error instanceof OwnError) return undefined;
      this.report('threw', `${api} ${signatureOf(error)}`, String(error));
      return undefined;
    }
  }

  /** Runs it at the end of the program, once everything has settled. */
  atEnd(run: () => void): void {
    this.#atEnd.push(run);
  }

  /** Runs it once what is known at the same moment is known. */
  later(run: () => void): void {
    this.clock.schedule(1, run);
  }

  finish(): void {
    for (const run of this.#atEnd.splice(0)) run();
  }

  onUncaught(kind: 'uncaught exception' | 'unhandled rejection', error: unknown): void {
    this.lines.push(`${this.now} ${kind} ${signatureOf(error)}`);
    this.clock.thrown = true;
    // Misuse is not marked as handled
    const misuse = kind === 'unhandled rejection' && (error as { code?: unknown }).code === 'ERR_CONSUMPTION';
    if (!(error instanceof OwnError) && !misuse) this.report(kind, signatureOf(error), String(error));
  }

  /** Makes all connections, and schedules the steps. */
  start(): void {
    for (const link of this.links) this.#connect(link);
    let at = leadOf(this.program);
    let tick: Step[] = [];
    for (const step of this.program.steps) {
      if (step.wait > 0) {
        this.#schedule(at, tick);
        tick = [];
        at += step.wait;
      }
      tick.push(step);
    }
    this.#schedule(at, tick);
  }

  /** When the last step is done. */
  get duration(): number {
    return this.program.steps.reduce((sum, { wait }) => sum + wait, leadOf(this.program));
  }

  /** A connection of the library exists for `end`: watches it, and lets its application begin. */
  open(end: End, ws: WebSocketConnection): Application {
    const application = new Application(this, end, ws);
    this.applications.set(end, application);
    this.trace(end, 'open');
    for (const event of ['ping', 'pong', 'drain'] as const) {
      ws.on(event, (payload?: Buffer) => {
        this.trace(end, event);
        this.checkEvent(end, event);
        if (event === 'pong') checkLatency(this, end, ws.latency, payload!);
        return this.react(end, event);
      });
    }
    ws.on('error', (error) => {
      this.trace(end, `error ${signatureOf(error)}`);
      // A listener for `close` may fail, and that is reported
      if (end.info !== null && !(error instanceof OwnError)) this.report('event after close', 'error');
      this.#failed(end, error);
      return this.react(end, 'error');
    });
    ws.on('close', (info) => {
      this.trace(end, `close ${info.code} ${info.wasClean}`);
      if (end.info !== null) this.report('event after close', 'close');
      end.info ??= info;
      end.endedAt = this.clock.now;
      end.lifeCycle.end();
      if (ws.state !== 'closed') this.report('end', `state is ${ws.state} in the close event`);
      application.properties.check();
      return this.react(end, 'close');
    });
    this.later(() => this.#checkListeners(end));
    ws.closed.then((info) => {
      end.closed = info;
      this.trace(end, `closed ${info.code}`);
    });
    return application;
  }

  /** Nothing is emitted after `close`, and of what was received nothing after `terminate()`. */
  checkEvent(end: End, event: 'message' | 'ping' | 'pong' | 'drain'): void {
    if (end.info !== null) this.report('event after close', event);
    else if (end.terminated) this.report('event after terminate()', event);
    else if (event === 'message' && end.paused) this.report('pause', 'a message came while paused', end.name);
    if (event === 'drain') end.drainDue = false;
  }

  /** No more is read in front of a consumer than a few buffers, and the message that comes. */
  checkHeld(end: End): void {
    const { closedAt, held, left, name, peer, unobserved } = end;
    const over =
      left || unobserved > 0 || closedAt !== null || this.applications.get(end)?.ws.state !== 'open';
    if (over || held <= MAX_HELD + 2 * peer.largest) return;
    this.report('memory', 'input in front of a consumer was read', `${name} ${held} bytes`);
  }

  /** Does what the program wants from inside of a callback; throws what it throws. */
  react(end: End, event: Reaction['on']): Promise<void> | undefined {
    const key = `${end.name} ${event}`;
    const nth = this.#counts.get(key) ?? 0;
    this.#counts.set(key, nth + 1);
    const promises: Promise<void>[] = [];
    for (const reaction of end.plan.reactions) {
      if (reaction.on !== event || reaction.nth !== nth) continue;
      if (reaction.wait < 0) this.perform(end, reaction.does);
      else promises.push(this.clock.sleep(reaction.wait).then(() => this.#performLater(end, reaction.does)));
    }
    return promises.length === 0 ? undefined : Promise.all(promises).then(() => {});
  }

  /** In an async listener, which rejects by what is thrown. */
  #performLater(end: End, operation: Op): void {
    end.rejected ||= operation.op === 'throw';
    this.perform(end, operation);
  }

  /** Does one operation at one end. */
  perform(end: End, operation: Op): void {
    switch (operation.op) {
      case 'block':
        this.trace(null, 'block');
        this.blocked += operation.ms;
        this.blockedAt = this.clock.now + operation.ms;
        this.clock.block(operation.ms);
        break;
      case 'fin':
        end.output.injectFin();
        break;
      case 'destroySocket':
        end.output.untouched = false;
        end.input.untouched = false;
        end.socket?.destroy();
        break;
      case 'reset':
        // To both ends
        end.output.injectReset(operation.lossy);
        end.input.injectReset(operation.lossy);
        break;
      case 'cut':
        end.output.cut();
        end.input.cut();
        for (const one of [end, end.peer]) watchLost(this, one);
        break;
      case 'stall':
        end.output.stall(operation.ms);
        break;
      case 'broadcast':
      case 'sendAll':
      case 'closeServer':
        this.host.perform(operation);
        break;
      default: {
        const raw = this.raws.get(end);
        if (raw === undefined) this.applications.get(end)?.perform(operation);
        else this.#performRaw(end, raw, operation);
      }
    }
  }

  #performRaw(end: End, raw: RawPeer, operation: Op): void {
    this.trace(end, `raw ${operation.op}`);
    switch (operation.op) {
      case 'send':
        raw.burst([{ item: 'message', message: operation.message, fragments: 1 }]);
        break;
      case 'ping':
      case 'pong':
        raw.burst([{ item: operation.op, size: 4 }]);
        break;
      case 'close':
        raw.burst([{ item: 'close', code: operation.code }]);
        break;
      case 'terminate':
        raw.destroy();
        break;
      case 'rawReading':
        raw.reading(operation.on);
        break;
      case 'burst':
        raw.burst(operation.items);
        if (operation.after === 'fin') raw.afterwards(() => end.output.fin());
        else if (operation.after !== 'stay') raw.afterwards(() => raw.reset(operation.after === 'lost'));
    }
  }

  /** Sizes are limited by each side for itself: messages that are collected. */
  #checkLimit(end: End): void {
    const last = end.received.at(-1);
    const dropped = last?.limited === true && last.data === null && !isSmall(end, end.received.length);
    const limited =
      end.events || end.unobserved > 0 || dropped || [...end.reading].some((message) => message.limited);
    if (limited && end.peer.largest > end.plan.options.maxMessageSize) return;
    this.report('limit', 'a message was refused that is within the limit, or streamed', end.name);
  }

  #schedule(at: number, steps: readonly Step[]): void {
    if (steps.length === 0) return;
    this.clock.schedule(at, () => {
      for (const step of steps) {
        const target = targetOf(this.program, step);
        if (target === null) continue;
        try {
          this.perform(this.links[target.link]![target.side], step.does);
        } catch (error) {
          this.onUncaught('uncaught exception', error);
        }
      }
    });
  }

  #connect(link: Link): void {
    const { a, b, plan } = link;
    for (const end of [a, b]) {
      if (end.plan.raw) this.raws.set(end, new RawPeer(end, end === b, plan.via !== 'direct' && end === b));
      else end.socket = makeSocket(this, end, end === a);
    }
    if (plan.via !== 'direct') {
      this.host.connect(link);
      return;
    }
    const { permessageDeflate, resolveConnectionOptions, WebSocketConnection } = this.library;
    const extensions =
      plan.deflate === null || plan.a.raw || plan.b.raw ? null : negotiate(permessageDeflate, plan);
    for (const end of [a, b]) {
      if (end.socket === null) continue;
      const role = end === a ? 'server' : 'client';
      const options = resolveConnectionOptions(end.plan.options);
      const extension = extensions === null ? {} : { extensions: [extensions[role]] };
      const ws = new WebSocketConnection(end.socket, { role, options, sharedMemory: true, ...extension });
      this.open(end, ws).start();
    }
  }

  /** Nothing but the connection listens to its socket: nothing of the opening handshake. */
  #checkListeners({ name, socket }: End): void {
    for (const [event, most] of Object.entries(SOCKET_LISTENERS)) {
      if (socket!.listenerCount(event) > most)
        this.report('leak', `a listener for ${event} of the socket`, name);
    }
  }

  #failed(end: End, error: Error): void {
    end.failure ??= error;
    const { code } = error as { code?: unknown };
    if ('closeCode' in error) {
      end.lifeCycle.on('violation');
      if (error.closeCode === 1009) this.#checkLimit(end);
      else if (!end.peer.plan.raw) {
        this.report('violation', `by an end of the library: ${signatureOf(error)}`, String(error));
      }
    } else if (code === 'ERR_SEND_QUEUE_FULL') end.lifeCycle.on('queue full');
    else if (error.name === 'TimeoutError') {
      end.lifeCycle.on('keepalive timeout');
      const why = end.signOfLife;
      if (why !== null) this.report('liveness', `a healthy peer was killed: ${why}`);
    }
  }
}
