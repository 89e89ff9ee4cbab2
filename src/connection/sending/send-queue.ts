/**
 * The order of outgoing messages, RFC 6455 §5.4: "The fragments of one message MUST NOT be interleaved between the
 * fragments of another message". One message has the turn, the others are queued.
 *
 *     FREE ──▶ WORK      an extension, or the reading of a Blob, works on a whole message
 *       │ ▲      │       (nothing of it was sent; it is sent as a whole, or not at all)
 *       │ └──────┘
 *       ├────▶ GRANTED   a writer has the turn and has sent nothing: it can be cancelled
 *       │         │ first fragment
 *       │         ▼
 *       ├────▶ BEGUN     a writer's message is under way: it ends, or nothing but a Close frame can follow
 *       ▼
 *     CUT                a message was cut off: nothing is sent any more
 */

import { Fifo } from '../fifo.js';
import type { Lifecycle } from '../lifecycle.js';
import { nextTurn, outputSpent } from './output-turns.js';
import { affords, ENTRY_COST, WRITER_COST } from './send-limit.js';

/** Who has the turn. */
export const Turn = { Free: 0, Work: 1, Granted: 2, Begun: 3, Cut: 4 } as const;

/** A writer, as the queue sees it. */
export interface TurnHolder {
  /** Its message will be completed by what it was given already. */
  readonly ending: boolean;
  /** Its message cannot be completed any more. */
  cancel(error: Error): void;
}

/** Something that is queued: it takes the turn, or is done at once. */
export interface Entry {
  /** Bytes of its payload. */
  readonly size: number;
  /** Its turn has come. */
  start(): void;
  /** The writer whose message it is; absent for messages that are complete. */
  readonly writer?: TurnHolder;
}

/** Entries in their order, and the state of the turn. */
export class SendQueue {
  turn: number = Turn.Free;
  /** Bytes of payload that are queued or worked on. */
  size = 0;
  /** Fragments of writers that wait for the one before, and the bytes in them. */
  #fragments = 0;
  fragmentsSize = 0;
  /** Bytes of the message that has the turn, while it is worked on. */
  #workSize = 0;
  /** The writer that has the turn. */
  #writer: TurnHolder | null = null;
  readonly #entries: Fifo<Entry> = new Fifo();
  /** Those whose messages are queued. */
  readonly #writers: Set<TurnHolder> = new Set();
  #running = false;
  /** The time slice of this turn of the event loop is used up: the rest starts in a later one. */
  #waiting = false;
  readonly #life: Lifecycle;

  constructor(life: Lifecycle) {
    this.#life = life;
  }

  /** Entries that are queued. */
  get count(): number {
    return this.#entries.length;
  }

  /** A message can be sent at once. */
  get free(): boolean {
    return this.turn === Turn.Free && this.count === 0;
  }

  /**
   * No message waits for its turn, is worked on, or has a fragment that waits. A writer that waits has nothing else: what
   * it will be given is not sent yet.
   */
  get isEmpty(): boolean {
    return this.count === this.#writers.size && this.turn !== Turn.Work && this.#fragments === 0;
  }

  /** A fragment waits for the one before it; false when too much waits already, and the connection is lost. */
  holdFragment(size: number): boolean {
    if (!affords(this.#life, this.fragmentsSize + this.#fragments * ENTRY_COST)) return false;
    this.#fragments++;
    this.fragmentsSize += size;
    return true;
  }

  /** The fragment no longer waits. */
  releaseFragment(size: number): void {
    this.#fragments--;
    this.fragmentsSize -= size;
  }

  /** Starts the entry now, or when all those in front of it are done. */
  add(entry: Entry): void {
    this.#entries.push(entry);
    if (entry.writer !== undefined) this.#writers.add(entry.writer);
    this.size += entry.size;
    this.#run();
  }

  /** A whole message takes the turn until `work` settles. */
  hold(work: Promise<void>, size: number): void {
    this.turn = Turn.Work;
    this.#workSize = size;
    this.size += size;
    const settled = work.catch((error) => this.#life.onSourceFailure(error));
    settled.then(() => {
      this.size -= this.#workSize;
      this.#workSize = 0;
      if (this.turn === Turn.Work) this.release();
    });
  }

  /**
   * Calls `granted` when the writer's message has its turn, which ends with {@link releaseWriter}. False when too many
   * writers wait already, and the connection is lost.
   */
  acquire(writer: TurnHolder, granted: () => void): boolean {
    if (!affords(this.#life, this.#writers.size * WRITER_COST)) return false;
    const start = (): void => {
      this.turn = Turn.Granted;
      this.#writer = writer;
      granted();
    };
    this.add({ size: 0, start, writer });
    return true;
  }

  /** The message of this writer is done, if it has the turn. */
  releaseWriter(writer: TurnHolder): void {
    if (this.#writer === writer) this.release();
  }

  /** The message that has the turn is done: the next one starts. */
  release(): void {
    this.turn = Turn.Free;
    this.#writer = null;
    this.#run();
  }

  /**
   * No more messages are added, and `close` sends the Close frame after those that are complete, or are ending.
   * Other writers are cancelled. After a message that is cut off, nothing but the Close frame can be sent: what is
   * queued is dropped.
   *
   * @returns whether a message was cut off
   */
  close(error: Error, close: () => void): boolean {
    const writer = this.#writer?.ending ? null : this.#writer;
    if (this.turn === Turn.Begun && writer !== null) {
      this.drop(error);
      close();
      return true;
    }
    const cancelled = new Set(this.#writers);
    for (const each of cancelled) if (each.ending) cancelled.delete(each);
    for (const each of cancelled) this.#writers.delete(each);
    if (cancelled.size > 0) this.#entries.keep((entry) => !cancelled.has(entry.writer!));
    if (writer !== null) {
      cancelled.add(writer);
      this.release();
    }
    this.add({ size: 0, start: close });
    for (const each of cancelled) each.cancel(error);
    return false;
  }

  /** Nothing is sent any more: entries are dropped, and writers cancelled. */
  drop(error: Error): void {
    const cancelled = [...this.#writers];
    if (this.#writer !== null) cancelled.unshift(this.#writer);
    this.#writers.clear();
    this.#entries.clear();
    this.size = this.#workSize = 0;
    this.turn = Turn.Cut;
    this.#writer = null;
    for (const each of cancelled) each.cancel(error);
  }

  #run(): void {
    if (this.#running || this.#waiting) return;
    this.#running = true;
    try {
      while (this.turn === Turn.Free) {
        const entry = this.#entries.shift();
        if (entry === undefined) break;
        this.size -= entry.size;
        if (entry.writer !== undefined) this.#writers.delete(entry.writer);
        this.#start(entry);
        if (this.#entries.length > 0 && outputSpent(entry.size)) {
          this.#runLater();
          break;
        }
      }
    } finally {
      this.#running = false;
    }
  }

  /** What an entry throws fails the connection: the call that released the turn has no part in it. */
  #start(entry: Entry): void {
    try {
      entry.start();
    } catch (error) {
      this.#life.onSourceFailure(error as Error);
    }
  }

  #runLater(): void {
    this.#waiting = true;
    void nextTurn().then(() => {
      this.#waiting = false;
      this.#run();
      this.#life.sender.schedule();
    });
  }
}
