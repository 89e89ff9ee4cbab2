/**
 * The table of `src/connection/life.ts`, whose events are published on a diagnostics channel: which cells
 * programs must reach, and which nothing may reach. Change both together.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';

const CHANNEL = 'sluice:connection:event';

/** In the order of their numbers. */
const states = ['OPEN', 'CLOSING', 'ANSWERED', 'FAILING', 'ENDING', 'CLOSED'] as const;

/** `o` must be reached, `-` may be, `x` cannot happen. One letter a state, in their order. */
const table: Readonly<Record<string, string>> = {
  //             O C A F E C
  close: '       o o o o o o',
  terminate: '   o o o o o o',
  peerClose: '   o o x x o x',
  failure: '     o o - - o -',
  sourceFailure: 'o o - - - -',
  writerAborted: 'o - - - - -',
  inputHandled: 'o o o o o x',
  socketError: ' o o o o - -',
  socketClosed: 'o o o o o -',
  lost: '        o - - - - -',
  deadline: '    x o o o o x',
  consumerLeft: 'o - - - - -',
};

interface Published {
  readonly state: number;
  readonly event: string;
}

/** Counts the cells that connections reach while it listens. */
export class LifeTable {
  /** A cell was reached although it cannot be, or is not in the table. */
  onImpossible: (cell: string) => void = () => {};
  readonly #counts: Map<string, number> = new Map();
  readonly #listener = (message: unknown): void => {
    const { event, state } = message as Published;
    const cell = `${states[state]} × ${event}`;
    this.#counts.set(cell, (this.#counts.get(cell) ?? 0) + 1);
    const kinds = table[event]?.replaceAll(' ', '') ?? '';
    if ((kinds[state] ?? 'x') === 'x') this.onImpossible(cell);
  };

  listen(): void {
    subscribe(CHANNEL, this.#listener);
  }

  stop(): void {
    unsubscribe(CHANNEL, this.#listener);
  }

  /** The library publishes its events. */
  get published(): boolean {
    return this.#counts.size > 0;
  }

  get missing(): string[] {
    return this.#cells((kind, count) => kind === 'o' && count === 0);
  }

  /** The table with counts. */
  show(): string {
    const rows = Object.entries(table).map(([event, row]) => {
      const kinds = row.replaceAll(' ', '');
      const cells = states.map((state, i) => {
        const count = this.#counts.get(`${state} × ${event}`) ?? 0;
        return (count > 0 ? String(count) : kinds[i] === 'o' ? 'MISSING' : kinds[i]!).padStart(9);
      });
      return event.padEnd(16) + cells.join('');
    });
    return [' '.repeat(16) + states.map((state) => state.padStart(9)).join(''), ...rows].join('\n');
  }

  #cells(wanted: (kind: string, count: number) => boolean): string[] {
    const cells: string[] = [];
    for (const [event, row] of Object.entries(table)) {
      const kinds = row.replaceAll(' ', '');
      states.forEach((state, i) => {
        const cell = `${state} × ${event}`;
        if (wanted(kinds[i]!, this.#counts.get(cell) ?? 0)) cells.push(cell);
      });
    }
    return cells;
  }
}
