/** What an application sends, message by message, by a writer, or from a source. */
import type { WebSocketConnection } from '../../src/index.js';
import { carry, content, makeSource, type Source, typeOf } from './content.js';
import type { End, Sent } from './model.js';
import type { Op } from './program.js';
import { isLawful, OwnError, signalOf } from './promises.js';
import { asWriter, isInvalidState, pipe, type Writer } from './streams.js';
import type { World } from './world.js';

type OpOf<Name extends Op['op']> = Extract<Op, { op: Name }>;
type SendingOp = OpOf<
  'send' | 'flood' | 'createWriter' | 'write' | 'endWriter' | 'abortWriter' | 'sendStream'
>;

/** The sending half of the application at one end. */
export class Sending {
  /** Sources of `sendStream()` whose call has settled without reading them to the end. */
  readonly leftSources: Source[] = [];
  readonly #world: World;
  readonly #end: End;
  readonly #ws: WebSocketConnection;
  /** The writer that the next operations use, and the message that it writes. */
  #writer: { readonly writer: Writer; readonly message: Sent; readonly stream: boolean } | null = null;

  constructor(world: World, end: End, ws: WebSocketConnection) {
    this.#world = world;
    this.#end = end;
    this.#ws = ws;
  }

  perform(operation: SendingOp): void {
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
    }
  }

  /** A `send()` of any kind; it never throws, and returns false once the connection closes. */
  sendAs(api: string, run: () => boolean, begin: () => Sent): void {
    const end = this.#end;
    const ws = this.#ws;
    const { state } = ws;
    end.lifeCycle.on('send()');
    const message = state === 'open' ? begin() : null;
    const accepted = this.#world.guard(api, run);
    if (state !== 'open' && accepted === true)
      this.#world.report('send', `${api}() returned true while ${state}`);
    if (accepted === false && ws.state === 'open') end.drainDue = true;
    if (message !== null) this.#checkAmount();
  }

  #flood({ count, message: { form, size } }: OpOf<'flood'>): void {
    const end = this.#end;
    const ws = this.#ws;
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
    const end = this.#end;
    const ws = this.#ws;
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
    const ws = this.#ws;
    const open = ws.state === 'open';
    const writer = this.#world.guard('createWriter', () => {
      const made = ws.createWriter(type);
      return stream && this.#world.complete ? asWriter(made.writable) : made;
    });
    if (writer === undefined || !open) return;
    const message = this.#end.begin(type === 'text' ? 'ascii' : 'binary', 0, 'open');
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
    const options = signalOf(this.#world, operation.op === 'write' ? (operation.abort ?? -1) : -1);
    const call = (): Promise<void> =>
      operation.op === 'write' ? writer.write(chunk!, options) : writer.end();
    const promise = this.#world.guard(name, call);
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
    this.#world.promises.track(`writer.${name}`, promise, operation.awaited, lawful, this.#end);
    this.#checkAmount();
  }

  #abortWriter(): void {
    if (this.#writer === null) return;
    const { message, writer } = this.#writer;
    this.#writer = null;
    this.#end.lifeCycle.on('writer aborted');
    if (message.fate === 'open') message.fate = 'aborted';
    this.#world.guard('abort', () => writer.abort(new OwnError('aborted by the application')));
  }

  #sendStream(operation: OpOf<'sendStream'>): void {
    const { abort, awaited, chunks, pipe: piped = false, size, source: kind, text = false } = operation;
    const end = this.#end;
    const ws = this.#ws;
    if (ws.state !== 'open') return;
    const form = text ? 'unicode' : 'binary';
    const type = typeOf(form);
    const message = end.begin(form, chunks * size, 'open');
    const all = Buffer.from(content(message.owner, form, chunks * size) as string);
    const length = Math.ceil(all.length / chunks);
    const parts = Array.from({ length: chunks }, (_, i) => all.subarray(i * length, (i + 1) * length));
    const source = makeSource(kind, parts, new OwnError('thrown by the source'));
    // Its last fragment may leave before the promise resolves, or before the signal aborts
    const finite = !source.idle && kind !== 'throwing generator';
    if (finite) message.fate = 'maybe';
    const options = signalOf(this.#world, abort);
    const sending = this.#world.guard('sendStream', () =>
      piped && this.#world.complete
        ? pipe(source.iterable, ws.createWriter(type).writable, options)
        : ws.sendStream(source.iterable, { type, ...options }),
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

  /** Memory for output is bounded by `maxBufferedAmount`, one message, and what a writer has under way. */
  #checkAmount(): void {
    const { maxBufferedAmount, highWaterMark } = this.#end.plan.options;
    const bound = Math.max(maxBufferedAmount, highWaterMark) + 2 * this.#end.largest + 4096;
    // A message that fills the queue ends the connection
    if (this.#ws.state !== 'open') return;
    const amount = this.#world.guard('bufferedAmount', () => this.#ws.bufferedAmount) ?? 0;
    if (amount > bound) this.#world.report('memory', 'bufferedAmount over its bound', `${amount} > ${bound}`);
    if (!(amount >= 0)) this.#world.report('memory', 'bufferedAmount is negative', `${amount}`);
  }
}
