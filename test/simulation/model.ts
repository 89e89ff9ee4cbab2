/**
 * The reference model of one end: what it sent, what its application saw, and what it did. Only what the
 * public API promises is in here; nothing of how the library works.
 */
import type { CloseInfo } from '../../src/index.js';
import { content, typeOf } from './content.js';
import type { LifeCycle } from './lifecycle.js';
import type { Path } from './network.js';
import type { MessageForm, SidePlan } from './program.js';
import type { SimulatedSocket } from './socket.js';

/** A message that an application began to send. */
export interface Sent {
  readonly owner: string;
  readonly form: MessageForm;
  size: number;
  /** Whether its sender finished it; `maybe` when that cannot be seen from outside. */
  fate: 'whole' | 'maybe' | 'open' | 'aborted';
  /** Its writer was ended: nothing but the end of the connection keeps it from its peer. */
  ended?: boolean;
}

/** An own `close()` of an open connection, and what was sent in front of it. */
export interface Goodbye {
  readonly reason: string;
  readonly messages: number;
  /** A message that was begun is not finished: what is behind it does not leave. */
  readonly blocked: boolean;
}

/** A message that an application received, in the order of delivery. */
export interface Received {
  readonly type: 'text' | 'binary';
  /** Null until it was read whole; it stays so when the application left it. */
  data: string | Uint8Array | null;
  /** What was read of it, when it was left. */
  part: Uint8Array | null;
  /** What was read after bytes that were skipped, and how many those were. */
  tail?: { readonly data: Uint8Array; readonly skipped: number };
  /** It ended before this many bytes. */
  short?: number;
  /** `receive()` was called while it was being read: that has to wait. */
  interrupted?: boolean;
  /** `maxMessageSize` applies: it is collected in memory, or dropped without being begun. */
  readonly limited: boolean;
}

const CUT = 'a message was cut';
/** The signature of a message whose reading was ended by the next `receive()`. */
export const ENDED = 'a message was not read to its end, as receive() was called';

/** Reports a failed check: which one, and the signature of its class. */
export type Report = (check: string, signature: string, detail?: string) => void;

/** One end of a connection, as the model knows it. */
export class End {
  /** Such as `0a`. */
  readonly name: string;
  readonly plan: SidePlan;
  peer!: End;
  /** What it reads from and writes to. */
  readonly input: Path;
  readonly output: Path;
  socket: SimulatedSocket | null = null;
  readonly lifeCycle: LifeCycle;
  readonly sent: Sent[] = [];
  readonly received: Received[] = [];
  /** Messages are consumed by events: `message` has a listener, or they are dropped. */
  events = false;
  /** A listener for messages notes what comes. */
  listening = false;
  /** The argument of `close`. */
  info: CloseInfo | null = null;
  /** What `ws.closed` resolved with. */
  closed: CloseInfo | null = null;
  /** The arguments of `error`. */
  readonly errors: Error[] = [];
  /** This side's application called `close()` or `terminate()`; how many messages it had then. */
  closedAt: number | null = null;
  /** Its application called `close()` while the connection was open. */
  goodbye: Goodbye | null = null;
  terminated = false;
  /** When it was closed so that messages are still delivered. */
  receivesSince = Number.POSITIVE_INFINITY;
  /** When `close` was emitted. */
  endedAt = Number.NEGATIVE_INFINITY;
  /** Messages are consumed: a listener was added, or something is read. */
  consuming = false;
  /** Messages were asked for by `receive()` or iteration: a listener is refused from then on. */
  pulled = false;
  /** The application left its iteration, or its consumer failed. */
  left = false;
  paused = false;
  /** It left its iteration, and has not asked for a message since: nothing holds its end. */
  leftIteration = false;
  /** A `send()` returned false: 'drain' is due. */
  drainDue = false;
  /** The most messages that went to calls whose result the program ignores. */
  unobserved = 0;
  /** Promises of `receive()` that have not settled. */
  receiving = 0;
  /** Its application may have aborted a message, or failed. */
  aborts = false;
  /** An async listener of it has rejected: the connection closes by it, and discards. */
  rejected = false;
  /** Its application has sent Pings, too. */
  pinged = false;
  /** Messages whose content is being read. */
  readonly reading: Set<Received> = new Set();
  /** Why its peer was alive when its socket was destroyed, or null. */
  signOfLife: string | null = null;
  /** It was open when its socket was reset: what had been read is delivered all the same. */
  resetOpen = false;
  /** This raw peer has written what no peer may send. */
  violates = false;

  constructor(name: string, plan: SidePlan, input: Path, output: Path, lifeCycle: LifeCycle) {
    this.name = name;
    this.plan = plan;
    this.input = input;
    this.output = output;
    this.lifeCycle = lifeCycle;
  }

  /** The argument of the first `error`. */
  get failure(): Error | null {
    return this.errors[0] ?? null;
  }

  /** `close()` is called on an open connection. */
  sayGoodbye(reason: string): void {
    const finished = this.sent.filter(({ ended, fate }) => fate === 'whole' || ended === true);
    const blocked = this.sent.some(({ ended, fate }) => fate === 'open' || (fate === 'maybe' && !ended));
    this.goodbye ??= { reason, messages: finished.length, blocked };
  }

  /** A message that is sent now. */
  begin(form: MessageForm, size: number, fate: Sent['fate'], owner: string = this.nextOwner): Sent {
    const message: Sent = { owner, form, size, fate };
    this.sent.push(message);
    return message;
  }

  /** Bytes of the largest message so far, at most. */
  get largest(): number {
    return this.sent.reduce(
      (most, { form, size }) => Math.max(most, form === 'unicode' ? size * 3 : size),
      0,
    );
  }

  /** `receive()` is called. */
  interrupt(): void {
    for (const message of this.reading) message.interrupted = true;
  }

  /** The owner that the next message will have. */
  get nextOwner(): string {
    return `${this.name}${this.sent.length}~`;
  }

  /** Messages that were read from the socket whole, in front of a Close frame. */
  get arrived(): number {
    const { tap, pulled } = this.input;
    return tap.messagesWithin(Math.min(pulled, tap.close?.end ?? pulled));
  }

  /** Bytes that were read from the socket behind the last message that the application has. */
  get held(): number {
    const { pulled, tap } = this.input;
    return pulled - (tap.messageEnds[this.received.length - this.reading.size - 1] ?? 0);
  }

  /** The code of the Close frame that was read, if one was. */
  get peerCode(): number | undefined {
    return this.input.tap.closeWithin(this.input.pulled);
  }

  /** Compares everything that was received with what the peer sent. */
  checkContent(report: Report): void {
    const { sent } = this.peer;
    let next = 0;
    let unknown = 0;
    /** Messages that were found, though their sender may not have finished them. */
    const doubtful: Sent[] = [];
    for (const message of this.received) {
      const { data, interrupted = false, part, type } = message;
      if (data === null) {
        unknown++;
        if (part !== null && !this.#isPart(message, part, next, unknown)) {
          report('content', 'the part that was read belongs to no message', describe(part));
        }
        continue;
      }
      const found = find(sent, next, type, data);
      if (found < 0) {
        const why = this.#explain(type, data, next);
        if (interrupted && why === CUT) report('receive', ENDED, describe(data));
        else report('content', why, `${this.name} got ${describe(data)}`);
        return;
      }
      let skipped = 0;
      for (let i = next; i < found; i++) {
        if (sent[i]!.fate !== 'whole') continue;
        // Short messages can be the same: it was this one that came
        const double = doubtful.findIndex((other) => bytesOf(other).equals(bytesOf(sent[i]!)));
        if (double < 0) skipped++;
        else doubtful.splice(double, 1);
      }
      if (skipped > unknown + this.unobserved) {
        report('order', 'a message is missing in front of another', `${this.name} skipped ${skipped}`);
      }
      const { fate } = sent[found]!;
      if (fate === 'maybe') doubtful.push(sent[found]!);
      if (fate === 'open' && interrupted) report('receive', ENDED, describe(data));
      else if (fate !== 'whole' && fate !== 'maybe') {
        report('unfinished', 'an unfinished message was delivered as whole', describe(data));
      }
      next = found + 1;
      // Empty messages are all the same: one that was left may be behind the one that was found
      unknown = Math.max(0, unknown - skipped);
    }
  }

  #isPart({ short, tail }: Received, part: Uint8Array, next: number, unknown: number): boolean {
    const { sent } = this.peer;
    for (let i = next, whole = 0; i < sent.length && whole <= unknown + this.unobserved; i++) {
      const message = sent[i]!;
      if (message.fate === 'whole') whole++;
      const all = bytesOf(message);
      if (!all.subarray(0, part.length).equals(part)) continue;
      if (short !== undefined && all.length >= short) continue;
      if (tail === undefined || all.subarray(part.length + tail.skipped).equals(tail.data)) return true;
    }
    return false;
  }

  /** Why the data is no message of the peer. */
  #explain(type: string, data: string | Uint8Array, next: number): string {
    const { sent } = this.peer;
    if (find(sent, 0, type, data) >= 0) return 'a message came twice, or in the wrong order';
    const expected = sent.slice(next).find(({ fate }) => fate === 'whole');
    const size = Buffer.byteLength(data);
    // The size of a frame is right, its payload is not
    if (expected !== undefined && size > 16 && size === Buffer.byteLength(bytesOf(expected))) {
      return 'the bytes of a message were overwritten';
    }
    const text = Buffer.from(data as string).toString('latin1');
    if (sent.some((message) => isCut(message, data))) return CUT;
    const owners = new Set(Array.from(text.matchAll(/@[0-9a-z]{6}(\d+[ab]\d+~)/g), ([, owner]) => owner));
    const own = sent.filter(({ owner }) => owners.has(owner)).length;
    if (owners.size > own) return 'a message of another connection';
    if (own > 1) return 'a message is made of several';
    return 'a message that was never sent';
  }
}

function bytesOf({ form, owner, size }: Sent): Buffer {
  const data = content(owner, form, size);
  return typeof data === 'string' ? Buffer.from(data) : data;
}

function isCut(message: Sent, data: string | Uint8Array): boolean {
  const all = bytesOf(message);
  const got = Buffer.from(data as string);
  return got.length < all.length && all.subarray(0, got.length).equals(got);
}

/** The index of the first message from `start` on with this content; finished ones first. */
function find(sent: readonly Sent[], start: number, type: string, data: string | Uint8Array): number {
  for (const fates of ['whole maybe', 'open aborted']) {
    for (let i = start; i < sent.length; i++) {
      const message = sent[i]!;
      if (fates.includes(message.fate) && equals(message, type, data)) return i;
    }
  }
  return -1;
}

function equals({ form, owner, size }: Sent, type: string, data: string | Uint8Array): boolean {
  if (typeOf(form) !== type) return false;
  if (form === 'unicode') {
    if (Buffer.byteLength(data as string) < size) return false;
  } else if (data.length !== size) return false;
  const expected = content(owner, form, size);
  if (typeof expected === 'string') return data === expected;
  return expected.equals(data as Uint8Array);
}

function describe(data: string | Uint8Array): string {
  const text = Buffer.from(data as string).toString('latin1');
  const start = text.length > 60 ? `${text.slice(0, 40)}…${text.slice(-16)}` : text;
  return `${text.length} bytes ${JSON.stringify(start)}`;
}
