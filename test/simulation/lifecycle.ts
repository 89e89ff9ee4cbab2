/**
 * The table of a connection's life: in which state which event reached it. The states are those that an
 * application and the network can see; a run must reach every cell that is not marked as impossible.
 *
 *     open ─▶ closing (own close) ─▶ draining ─▶ closed
 *       ├───▶ answered (peer closed) ──▲
 *       └───▶ failing (violation) ─────┘
 */

export const states = ['open', 'closing', 'answered', 'failing', 'draining', 'closed'] as const;
export type LifeState = (typeof states)[number];

export const events = [
  'close()',
  'terminate()',
  'send()',
  'writer aborted',
  'peer Close',
  'violation',
  'FIN',
  'reset',
  'socket closed',
  'keepalive timeout',
  'close timeout',
  'queue full',
  'consumer arrives',
  'consumer leaves',
  'pause()',
  'resume()',
] as const;
export type LifeEvent = (typeof events)[number];

/**
 * `x` must be reached; `.` cannot happen, or cannot be seen from outside. One letter a state, in their
 * order.
 */
const table: Readonly<Record<LifeEvent, string>> = {
  //                    o c a f d x
  'close()': '           x x x x x x',
  'terminate()': '       x x x x x x',
  'send()': '            x x x x x x',
  'writer aborted': '    x x x . . x',
  'peer Close': '        x x . . . .',
  violation: '           x . . . . .',
  FIN: '                 x x x x . .',
  reset: '               x x x x . .',
  'socket closed': '     x x x x . .',
  'keepalive timeout': ' x . . . . .',
  'close timeout': '     . x x . . .',
  'queue full': '        x . . . . .',
  'consumer arrives': '  x x x . x x',
  'consumer leaves': '   x . . . . .',
  'pause()': '           x x x x x x',
  'resume()': '          x x x x x x',
};

/** How often each cell was reached, in all programs of a run. */
export class Coverage {
  readonly #counts: Map<string, number> = new Map();

  hit(state: LifeState, event: LifeEvent): void {
    const cell = `${state} × ${event}`;
    this.#counts.set(cell, (this.#counts.get(cell) ?? 0) + 1);
  }

  /** Cells that can be reached and were not. */
  get missing(): string[] {
    const missing: string[] = [];
    for (const event of events) {
      const row = table[event].replaceAll(' ', '');
      states.forEach((state, i) => {
        if (row[i] === 'x' && !this.#counts.has(`${state} × ${event}`)) missing.push(`${state} × ${event}`);
      });
    }
    return missing;
  }

  get reached(): number {
    return this.#counts.size;
  }

  /** The table with counts. */
  show(): string {
    const header = ['event'.padEnd(18), ...states.map((state) => state.padStart(9))].join('');
    const rows = events.map((event) => {
      const row = table[event].replaceAll(' ', '');
      const cells = states.map((state, i) => {
        const count = this.#counts.get(`${state} × ${event}`);
        return String(count ?? (row[i] === 'x' ? 'MISSING' : '·')).padStart(9);
      });
      return event.padEnd(18) + cells.join('');
    });
    return [header, ...rows].join('\n');
  }
}

/** The state of one end, derived from what was seen. */
export class LifeCycle {
  state: LifeState = 'open';
  /** When the state was entered. */
  since: number;
  /** The state before this one. */
  #before: LifeState = 'open';
  /** What has reached the end so far. */
  readonly events: Set<LifeEvent> = new Set();
  readonly #coverage: Coverage;
  readonly #clock: { readonly now: number };

  constructor(coverage: Coverage, clock: { readonly now: number }) {
    this.#coverage = coverage;
    this.#clock = clock;
    this.since = clock.now;
  }

  /** An event reaches the end; the next state follows from it. */
  on(event: LifeEvent): void {
    const { state } = this;
    // Why the socket was closed is reported after that
    const cause = event === 'violation' || event === 'keepalive timeout' || event === 'queue full';
    this.#coverage.hit(cause && state === 'draining' ? this.#before : state, event);
    this.events.add(event);
    if (event === 'close()' && state === 'open') this.state = 'closing';
    else if (event === 'peer Close' && state === 'open') this.state = 'answered';
    else if (event === 'violation' && state !== 'draining' && state !== 'closed') this.state = 'failing';
    else if (event === 'socket closed' && state !== 'closed') this.state = 'draining';
    if (this.state === state) return;
    this.#before = state;
    this.since = this.#clock.now;
  }

  /** `close` was emitted. */
  end(): void {
    this.state = 'closed';
  }
}
