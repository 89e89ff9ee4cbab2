/** One program on its way: its connections and applications, its steps, and what is noted of it. */
import type { WebSocketConnection } from '../../src/index.js';
import { Application } from './application.js';
import type { VirtualClock } from './clock.js';
import { watch } from './events.js';
import { type Coverage, LifeCycle } from './lifecycle.js';
import { watchLost } from './liveness.js';
import { End, type Report } from './model.js';
import { type Cable, makeCable } from './network.js';
import { connectDirectly, makeSocket } from './parts.js';
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
    watch(this, application);
    return application;
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
    connectDirectly(this, link);
  }
}
