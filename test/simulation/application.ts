/** What an application does with its connection: each operation of a program as calls of the public API. */
import { getEventListeners } from 'node:events';
import type { WebSocketConnection } from '../../src/index.js';
import { consume, listen, receiveOne, take } from './consumer.js';
import { carry, content, makeSource, type Source, typeOf } from './content.js';
import type { End, Sent } from './model.js';
import type { Op } from './program.js';
import { isLawful, OwnError, signatureOf } from './promises.js';
import { Properties } from './properties.js';
import { asWriter, isInvalidState, pipe, type Writer } from './streams.js';
import type { World } from './world.js';

type OpOf<Name extends Op['op']> = Extract<Op, { op: Name }>;

/** The application at one end. */
export class Application {
  readonly end: End;
  readonly ws: WebSocketConnection;
  /** Sources of `sendStream()` whose call has settled without reading them to the end. */
  readonly leftSources: Source[] = [];
  readonly properties: Properties;
  readonly #world: World;
  /** The writer that the next operations use, and the message that it writes. */
  #writer: { readonly writer: Writer; readonly message: Sent; readonly stream: boolean } | null = null;

  constructor(world: World, end: End, ws: WebSocketConnection) {
    this.#world = world;
    this.end = end;
    this.ws = ws;
    this.properties = new Properties(world, end, ws);
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
        this.#send(operation);
        break;
      case 'flood':
        this.#flood(operation);
        break;
      case 'createWriter':
        this.#createWriter(operation);
        break;
      case 'write':
      case 'endWriter':
        this.#write(operation);
        break;
      case 'abortWriter':
        this.#abortWriter();
        break;
      case 'sendStream':
        this.#sendStream(operation);
        break;
      case 'ping':
        this.end.pinged = true;
        this.#call('ping', () => this.ws.ping(undefined, this.#signal(operation.abort)), operation.awaited);
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

  /** A `send()` of any kind; it never throws, and returns false once the connection closes. */
  sendAs(api: string, run: () => boolean, begin: () => Sent): void {
    const { end, ws } = this;
    const { state } = ws;
    end.lifeCycle.on('send()');
    const message = state === 'open' ? begin() : null;
    const accepted = this.#try(api, run);
    if (state !== 'open' && accepted === true)
      this.#world.report('send', `${api}() returned true while ${state}`);
    if (accepted === false && ws.state === 'open') end.drainDue = true;
    if (message !== null) this.#checkAmount();
  }

  #flood({ count, message: { form, size } }: OpOf<'flood'>): void {
    const { end, ws } = this;
    const type = typeOf(form);
    for (let i = 0; i < count && ws.state === 'open'; i++) {
      const data = content(end.nextOwner, form, size);
      this.sendAs(
        'send',
        () => ws.send(data, { type }),
        () => end.begin(form, size, 'whole'),
      );
    }
  }

  #send({ carrier, compress, message }: OpOf<'send'>): void {
    const { end, ws } = this;
    const data = carry(end.nextOwner, message, carrier);
    const type = typeOf(message.form);
    const prepared =
      carrier === 'prepared' ? this.#world.library.prepareMessage(data as string, { type }) : null;
    const run = (): boolean => {
      if (prepared !== null) return ws.send(prepared, { compress });
      // The common call has no options
      if (typeof data === 'string' && compress) return ws.send(data);
      return ws.send(data as string, { type, compress });
    };
    this.sendAs('send', run, () =>
      end.begin(message.form, message.size, carrier === 'broken blob' ? 'aborted' : 'whole'),
    );
  }

  #createWriter({ stream = false, type }: OpOf<'createWriter'>): void {
    const { ws } = this;
    const open = ws.state === 'open';
    const writer = this.#try('createWriter', () => {
      const made = ws.createWriter(type);
      return stream && this.#world.complete ? asWriter(made.writable) : made;
    });
    if (writer === undefined || !open) return;
    const message = this.end.begin(type === 'text' ? 'ascii' : 'binary', 0, 'open');
    this.#writer = { writer, message, stream };
  }

  #write(operation: OpOf<'write'> | OpOf<'endWriter'>): void {
    if (this.#writer === null) return;
    const { message, stream, writer } = this.#writer;
    const name = operation.op === 'write' ? 'write' : 'end';
    let chunk: string | Buffer | undefined;
    if (operation.op === 'write') {
      const size = message.size + operation.size;
      chunk = content(message.owner, message.form, size).slice(message.size) as string | Buffer;
      message.size = size;
      if (operation.broken && typeOf(message.form) === 'text') {
        chunk = Buffer.from([0xff, 0xfe]);
        if (message.fate === 'open') message.fate = 'aborted';
      }
    } else {
      // It is sent as a whole unless the connection closes first
      if (message.fate === 'open') {
        message.fate = 'maybe';
        // The close() of a WritableStream reaches its writer later
        message.ended = !stream;
      }
      this.#writer = null;
    }
    // A writer that was aborted or cut off rejects with the reason
    const broken = message.fate === 'aborted';
    const lawful = (error: unknown): boolean =>
      isLawful(error) || isInvalidState(error) || (broken && error instanceof TypeError);
    const options = this.#signal(operation.op === 'write' ? (operation.abort ?? -1) : -1);
    const call = (): Promise<void> =>
      operation.op === 'write' ? writer.write(chunk!, options) : writer.end();
    const promise = this.#try(name, call);
    if (promise === undefined) return;
    if (options.signal !== undefined) {
      promise.catch((error: unknown) => {
        if (error instanceof OwnError && message.fate === 'open') message.fate = 'aborted';
      });
    }
    if (operation.awaited && operation.op === 'endWriter') {
      promise.then(
        () => {
          message.fate = 'whole';
        },
        () => {},
      );
    }
    this.#world.promises.track(`writer.${name}`, promise, operation.awaited, lawful, this.end);
    this.#checkAmount();
  }

  #drained({ abort = -1, awaited }: OpOf<'drained'>): void {
    const { signal } = this.#signal(abort);
    this.#call('drained', () => this.ws.drained(signal === undefined ? undefined : { signal }), awaited);
  }

  #abortWriter(): void {
    if (this.#writer === null) return;
    const { message, writer } = this.#writer;
    this.#writer = null;
    this.end.lifeCycle.on('writer aborted');
    if (message.fate === 'open') message.fate = 'aborted';
    this.#guard('abort', () => writer.abort(new OwnError('aborted by the application')));
  }

  #sendStream({ abort, awaited, chunks, pipe: piped = false, size, source: kind }: OpOf<'sendStream'>): void {
    const { end, ws } = this;
    if (ws.state !== 'open') return;
    const total = chunks * size;
    const message = end.begin('binary', total, 'open');
    const all = content(message.owner, 'binary', total) as Buffer;
    const parts = Array.from({ length: chunks }, (_, i) => all.subarray(i * size, (i + 1) * size));
    const source = makeSource(kind, parts, new OwnError('thrown by the source'));
    // Its last fragment may leave before the promise resolves, or before the signal aborts
    const finite = !source.idle && kind !== 'throwing generator';
    if (finite) message.fate = 'maybe';
    const options = this.#signal(abort);
    const sending = this.#try('sendStream', () =>
      piped && this.#world.complete
        ? pipe(source.iterable, ws.createWriter('binary').writable, options)
        : ws.sendStream(source.iterable, { type: 'binary', ...options }),
    );
    if (sending === undefined) return;
    // A pipe of Node.js 20 that is aborted while a write is pending, which then fails, forgets its source
    const forgets = piped && abort >= 0;
    if (awaited) {
      sending.then(
        () => {
          message.fate = 'whole';
        },
        () => {
          if (!forgets) this.#world.clock.schedule(1, () => this.leftSources.push(source));
        },
      );
    } else if (source.idle && !forgets) this.#world.atEnd(() => this.leftSources.push(source));
    this.#world.promises.track('sendStream', sending, awaited);
    this.#checkAmount();
  }

  #receive({ abort, awaited }: OpOf<'receive'>): void {
    const { end, ws } = this;
    if (end.plan.consumer.mode === 'events') return;
    if (!end.consuming) end.lifeCycle.on('consumer arrives');
    end.consuming = true;
    end.pulled = true;
    end.leftIteration = false;
    const { signal } = this.#signal(abort);
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

  /** Memory for output is bounded by `maxBufferedAmount`, one message, and what a writer has under way. */
  #checkAmount(): void {
    const { maxBufferedAmount, highWaterMark } = this.end.plan.options;
    const bound = Math.max(maxBufferedAmount, highWaterMark) + 2 * this.end.largest + 4096;
    // A message that fills the queue ends the connection
    if (this.ws.state !== 'open') return;
    const amount = this.#try('bufferedAmount', () => this.ws.bufferedAmount) ?? 0;
    if (amount > bound) this.#world.report('memory', 'bufferedAmount over its bound', `${amount} > ${bound}`);
    if (!(amount >= 0)) this.#world.report('memory', 'bufferedAmount is negative', `${amount}`);
  }

  #signal(abort: number): { signal?: AbortSignal } {
    if (abort === -1) return {};
    const controller = new AbortController();
    const run = (): void => controller.abort(new OwnError('signal of the application'));
    if (abort === 0) run();
    else if (abort > 0) this.#world.clock.schedule(abort, run);
    const { signal } = controller;
    this.#world.atEnd(() => {
      if (signal.aborted || getEventListeners(signal, 'abort').length === 0) return;
      this.#world.report('leak', 'a listener of a signal is left');
    });
    return { signal };
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
