/**
 * Virtual time. Timers, immediates and the clock of the process are those of `@sinonjs/fake-timers`; ticks
 * and promises stay real. Each turn fires one timer, then lets the real event loop turn once, so that
 * everything which that timer queued has run before the next one fires, as in Node.js.
 *
 *     turn ──▶ next timer or network event ──▶ ticks and promises ──▶ turn
 */
import FakeTimers from '@sinonjs/fake-timers';

const realSetImmediate = setImmediate;
const realClearImmediate = clearImmediate;

/** Turns of virtual time in one of the real loop, which costs a system call. */
const BATCH = 32;

/** Turns without a timer after which nothing more can happen: streams of Node.js may take a few. */
const IDLE_TURNS = 4;

/** Turns at the same moment, after which nothing but a loop without an end goes on. */
const SPINNING = 20_000;

interface Immediate {
  readonly run: () => void;
}

/**
 * Something that happens outside of the library under test: on the network, in the thread pool, in the
 * program.
 */
interface SimulatedEvent {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Why {@link VirtualClock.run} returned. */
export type Stop = 'done' | 'idle' | 'time';

/** The clock of one program. */
export class VirtualClock {
  /** Exceptions thrown by timers of the library, which a real event loop would report as uncaught. */
  onException: (error: unknown) => void = () => {};
  /** Something was thrown out of a tick: promises of that tick may be left for the next turn, depending on Node.js. */
  thrown = false;
  /** Time does not move any more, as something happens in each turn. */
  onSpin: () => void = () => {};
  readonly #timers: ReturnType<typeof FakeTimers.install>;
  readonly #realNow: () => number;
  /** Simulated events: a binary heap, ordered by time, then by when they were scheduled. */
  readonly #events: SimulatedEvent[] = [];
  #immediates: Immediate[] = [];
  #order = 0;
  /** Turns since time moved. */
  #standing = 0;
  /** When the one fake timer that stands for all simulated events is due. */
  #wakeAt = Number.POSITIVE_INFINITY;
  /** Clears that timer. */
  #wake: (() => void) | null = null;
  /** The event that ends {@link run}. */
  #limit: SimulatedEvent | null = null;
  #timeOver = false;
  #cost = 0;
  #spent = 0;

  constructor() {
    this.#realNow = performance.now.bind(performance);
    this.#timers = FakeTimers.install({
      now: 0,
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'],
    });
    // Those of fake-timers take a millisecond when a timer sets them
    const fake = (run: (...values: unknown[]) => void, ...values: unknown[]): Immediate => {
      const immediate: Immediate = { run: () => run(...values) };
      this.#immediates.push(immediate);
      return immediate;
    };
    globalThis.setImmediate = fake as unknown as typeof setImmediate;
    globalThis.clearImmediate = ((immediate: Immediate | undefined): void => {
      this.#immediates = this.#immediates.filter((one) => one !== immediate);
    }) as unknown as typeof clearImmediate;
    performance.now = (): number => {
      this.#spent += this.#cost;
      return this.#timers.now + this.#spent;
    };
  }

  /** Milliseconds of virtual time since the clock was installed. */
  get now(): number {
    return this.#timers.now;
  }

  /** Timers and immediates of the library that have not fired and were not cleared. */
  get libraryTimers(): number {
    return this.#timers.countTimers() + this.#immediates.length - (this.#wake === null ? 0 : 1);
  }

  /** Simulated events still to come. */
  get pendingEvents(): number {
    return this.#events.length - (this.#limit === null ? 0 : 1);
  }

  /** Each look at `performance.now()` moves it on by `cost` ms: computing takes time. */
  set cost(cost: number) {
    this.#cost = cost;
    // A fraction that an earlier program left would round the times of this one differently
    this.#spent = Math.ceil(this.#spent);
  }

  /** Calls `run` in `delay` ms, in a turn of its own. */
  schedule(delay: number, run: () => void): void {
    this.#push({ at: this.now + Math.max(0, Math.ceil(delay)), order: this.#order++, run });
    this.#arm();
  }

  /** Resolves in `delay` ms. */
  sleep(delay: number): Promise<void> {
    return new Promise((resolve) => this.schedule(delay, resolve));
  }

  /** The event loop is blocked for `ms`: what was due meanwhile is late; timers come before the network. */
  block(ms: number): void {
    this.#disarm();
    try {
      this.#timers.jump(ms);
    } catch (error) {
      this.onException(error);
    }
    this.#arm();
  }

  /** Turns until `done()`, until nothing is left to happen, or until the time `limit`. */
  run(done: () => boolean, limit: number): Promise<Stop> {
    return new Promise((resolve) => {
      let idle = 0;
      let over = false;
      let waiting = 0;
      const turn = (): void => {
        if (--waiting === 0) more();
        if (over) return;
        if (this.thrown) {
          this.thrown = false;
          return;
        }
        const stop = this.#stop(done);
        idle = stop === 'idle' ? idle + 1 : 0;
        if (stop === null) this.#fire();
        else if (stop !== 'idle' || idle > IDLE_TURNS) {
          over = true;
          this.#clearLimit();
          resolve(stop);
        }
      };
      // Ticks and promises run behind each
      const more = (): void => {
        for (; !over && waiting < BATCH; waiting++) realSetImmediate(turn);
      };
      // An event of its own, so that no later timer is fired before
      const event = {
        at: Math.max(this.now, limit),
        order: this.#order++,
        run: (): void => {
          this.#limit = null;
          this.#timeOver = true;
        },
      };
      this.#timeOver = false;
      this.#limit = event;
      this.#push(event);
      this.#arm();
      more();
    });
  }

  #clearLimit(): void {
    if (this.#limit === null) return;
    const rest = this.#events.filter((event) => event !== this.#limit);
    this.#limit = null;
    this.#events.length = 0;
    for (const event of rest) this.#push(event);
    this.#disarm();
    this.#arm();
  }

  #stop(done: () => boolean): Stop | null {
    if (done()) return 'done';
    if (this.#timeOver) return 'time';
    return this.libraryTimers === 0 && this.pendingEvents === 0 ? 'idle' : null;
  }

  #fire(): void {
    const { now } = this;
    try {
      const immediate = this.#immediates.shift();
      if (immediate === undefined) this.#timers.next();
      else immediate.run();
    } catch (error) {
      this.onException(error);
    }
    this.#standing = this.now === now ? this.#standing + 1 : 0;
    if (this.#standing % SPINNING !== SPINNING - 1) return;
    this.onSpin();
    // The loop is left alone, so that the program ends
    this.#immediates = [];
  }

  /** Restores the clock of the process. */
  uninstall(): void {
    this.#timers.uninstall();
    globalThis.setImmediate = realSetImmediate;
    globalThis.clearImmediate = realClearImmediate;
    performance.now = this.#realNow;
  }

  #arm(): void {
    const at = this.#events[0]?.at ?? Number.POSITIVE_INFINITY;
    if (this.#wake !== null && this.#wakeAt <= at) return;
    this.#disarm();
    if (at === Number.POSITIVE_INFINITY) return;
    this.#wakeAt = at;
    // A timer of 0 ms would be one of 1 ms, or not, depending on where it is set
    if (at > this.now) {
      const timer = setTimeout(this.#next, at - this.now);
      this.#wake = (): void => clearTimeout(timer);
    } else {
      const immediate = setImmediate(this.#next);
      this.#wake = (): void => clearImmediate(immediate);
    }
  }

  #disarm(): void {
    this.#wake?.();
    this.#wake = null;
    this.#wakeAt = Number.POSITIVE_INFINITY;
  }

  readonly #next = (): void => {
    this.#wake = null;
    const due = (this.#events[0]?.at ?? Number.POSITIVE_INFINITY) <= this.now;
    const event = due ? this.#pop() : undefined;
    this.#arm();
    event?.run();
  };

  #push(event: SimulatedEvent): void {
    const heap = this.#events;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = event;
  }

  #pop(): SimulatedEvent {
    const heap = this.#events;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
        if (!before(heap[child]!, last)) break;
        heap[i] = heap[child]!;
        i = child;
      }
      heap[i] = last;
    }
    return top;
  }
}

function before(a: SimulatedEvent, b: SimulatedEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** One turn of the real event loop: everything queued has run, and rejections were reported. */
export function realTurn(): Promise<void> {
  return new Promise((resolve) => void realSetImmediate(resolve));
}
