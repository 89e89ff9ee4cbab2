/** What an application does with its connection: each operation of a program as calls of the public API. */
import type { WebSocketConnection } from '../../src/index.js';
import { consume, listen, receiveOne, take } from './consumer.js';
import type { End } from './model.js';
import type { Op } from './program.js';
import { isLawful, OwnError, signalOf, signatureOf } from './promises.js';
import { Properties } from './properties.js';
import { Sending } from './sending.js';
import type { World } from './world.js';

type OpOf<Name extends Op['op']> = Extract<Op, { op: Name }>;

/** The application at one end. */
export class Application {
  readonly end: End;
  readonly ws: WebSocketConnection;
  readonly sending: Sending;
  readonly properties: Properties;
  readonly #world: World;

  constructor(world: World, end: End, ws: WebSocketConnection) {
    this.#world = world;
    this.end = end;
    this.ws = ws;
    this.properties = new Properties(world, end, ws);
    this.sending = new Sending(world, end, ws);
  }

  /** Begins to consume, as the plan says. */
  start(): void {
    const { late } = this.end.plan.consumer;
    if (late < 0) consume(this.#world, this.end, this.ws);
    else this.#world.clock.schedule(late, () => consume(this.#world, this.end, this.ws));
  }

  /** Does one operation; only `throw` throws. */
  perform(operation: Op): void {
    this.#world.trace(this.end, operation.op);
    this.end.aborts ||=
      ['abortWriter', 'sendStream', 'throw'].includes(operation.op) ||
      (operation.op === 'write' && (operation.broken === true || (operation.abort ?? -1) >= 0)) ||
      (operation.op === 'send' && operation.carrier === 'broken blob');
    switch (operation.op) {
      case 'send':
      case 'flood':
      case 'createWriter':
      case 'write':
      case 'endWriter':
      case 'abortWriter':
      case 'sendStream':
        this.sending.perform(operation);
        break;
      case 'ping':
        this.end.pinged = true;
        this.#call(
          'ping',
          () => this.ws.ping(undefined, signalOf(this.#world, operation.abort)),
          operation.awaited,
        );
        break;
      case 'pong':
        this.#guard('pong', () => this.ws.pong('p'));
        break;
      case 'drained':
        this.#drained(operation);
        break;
      case 'receive':
        this.#receive(operation);
        break;
      case 'listen':
        listen(this.#world, this.end, this.ws);
        break;
      case 'pause':
        this.#pause();
        break;
      case 'resume':
        this.#resume();
        break;
      case 'close':
        this.close(operation.code, operation.awaited, operation.receive);
        break;
      case 'terminate':
        this.terminate();
        break;
      case 'look':
        this.#look();
        break;
      case 'throw':
        // As a rejection it closes the connection: what was to be received is discarded
        if (this.end.receivesSince < Number.POSITIVE_INFINITY) this.end.closedAt ??= this.end.received.length;
        throw new OwnError('thrown by the application');
    }
  }

  close(code: number, awaited: boolean, receives = false): void {
    const { end, ws } = this;
    const receive = receives && this.#world.parts;
    end.lifeCycle.on('close()');
    const reason = `by ${end.name}`;
    if (ws.state === 'open' && end.closedAt === null) end.sayGoodbye(reason);
    if (receive) end.receivesSince = Math.min(end.receivesSince, this.#world.clock.now);
    else {
      end.closedAt ??= end.received.length;
      end.paused = false;
    }
    const closing = this.#try('close', () =>
      receive ? ws.close(code, reason, { receive }) : ws.close(code, reason),
    );
    const own = (error: unknown): boolean => error instanceof OwnError;
    if (closing !== undefined) this.#world.promises.track('close', closing, awaited, own);
  }

  terminate(): void {
    const { end, ws } = this;
    end.lifeCycle.on('terminate()');
    end.closedAt ??= end.received.length;
    end.terminated = true;
    end.paused = false;
    this.#guard('terminate', () => ws.terminate());
  }

  #drained({ abort = -1, awaited }: OpOf<'drained'>): void {
    const { signal } = signalOf(this.#world, abort);
    this.#call('drained', () => this.ws.drained(signal === undefined ? undefined : { signal }), awaited);
  }

  #receive({ abort, awaited }: OpOf<'receive'>): void {
    const { end, ws } = this;
    if (end.plan.consumer.mode === 'events') return;
    if (!end.consuming) end.lifeCycle.on('consumer arrives');
    end.consuming = true;
    end.pulled = true;
    end.leftIteration = false;
    const { signal } = signalOf(this.#world, abort);
    if (!awaited) {
      end.left = true;
      end.unobserved++;
      end.interrupt();
      this.#call('receive', () => ws.receive(signal === undefined ? {} : { signal }), false);
      return;
    }
    const work = async (): Promise<void> => {
      const message = await receiveOne(this.#world, end, ws, signal);
      if (message !== null) await take(this.#world, end, message);
    };
    this.#world.promises.track('receive', work(), true);
    end.left = true;
  }

  #pause(): void {
    const { end, ws } = this;
    end.lifeCycle.on('pause()');
    try {
      ws.pause();
      end.paused = true;
    } catch (error) {
      if (!end.pulled || !isLawful(error)) this.#world.report('threw', `pause ${signatureOf(error)}`);
    }
  }

  #resume(): void {
    const { end, ws } = this;
    end.lifeCycle.on('resume()');
    end.paused = false;
    end.events ||= !end.pulled;
    // Without a listener, messages are read and dropped
    if (!end.consuming) {
      end.left = true;
      end.unobserved = Number.POSITIVE_INFINITY;
    }
    try {
      ws.resume();
    } catch (error) {
      // What a listener throws may propagate
      const lawful = error instanceof OwnError || (end.pulled && isLawful(error));
      if (!lawful) this.#world.report('threw', `resume ${signatureOf(error)}`);
    }
  }

  /** All properties can be read at any time, and agree with what happened. */
  #look(): void {
    const { end, ws } = this;
    this.#guard('look', () => {
      void [ws.latency, ws.role, ws.extensions, ws.subprotocol, ws.bufferedAmount];
      this.properties.check();
      if (end.info !== null && ws.state !== 'closed') {
        this.#world.report('end', `state is ${ws.state} after close`);
      }
      if (end.info === null && ws.state === 'closed' && end.lifeCycle.state === 'open') {
        this.#world.report('end', 'state is closed before close');
      }
    });
  }

  #call(api: string, run: () => Promise<unknown>, awaited: boolean): void {
    const promise = this.#try(api, run);
    if (promise !== undefined) this.#world.promises.track(api, promise, awaited, isLawful, this.end);
  }

  #guard(api: string, run: () => void): void {
    this.#try(api, run);
  }

  #try<T>(api: string, run: () => T): T | undefined {
    return this.#world.guard(api, run);
  }
}
