/** Progress, throughput, and the peak of memory. */
import type { Writable } from 'node:stream';
import { formatSize } from './io.js';

const BAR = 24;
const REDRAW = 100;
const SAMPLE = 20;

/** Watches a transfer of a known size, and shows it: one line that is rewritten, or a line for each quarter. */
export class Meter {
  #done = 0;
  #peak = 0;
  #drawnAt = 0;
  #quarter = 0;
  readonly #size: number;
  readonly #out: Writable & { readonly isTTY?: boolean };
  readonly #begunAt: number = performance.now();
  readonly #startMemory: number = process.memoryUsage.rss();
  readonly #sampler: NodeJS.Timeout;

  constructor(size: number, out: Writable & { readonly isTTY?: boolean }) {
    this.#size = size;
    this.#out = out;
    this.#peak = this.#startMemory;
    this.#sampler = setInterval(() => this.#sample(), SAMPLE);
  }

  /** So many more bytes came back. */
  add(bytes: number): void {
    this.#done += bytes;
    const now = performance.now();
    if (this.#out.isTTY) {
      if (now - this.#drawnAt < REDRAW) return;
      this.#drawnAt = now;
      this.#out.write(`\r${this.#line()}`);
    } else {
      const quarter = Math.floor((this.#done * 4) / this.#size);
      if (quarter > this.#quarter) this.#out.write(`${this.#line()}\n`);
      this.#quarter = quarter;
    }
  }

  /** Stops watching. */
  stop(): void {
    clearInterval(this.#sampler);
  }

  /** The transfer is over: shows what it took. */
  show(): void {
    this.#sample();
    if (this.#out.isTTY) this.#out.write(`\r${this.#line()}\n`);
    const seconds = this.#seconds();
    const start = formatSize(this.#startMemory);
    const peak = formatSize(this.#peak);
    const rise = formatSize(this.#peak - this.#startMemory);
    this.#out.write(`  time      ${seconds.toFixed(2)} s, ${this.#rate()}\n`);
    this.#out.write(`  memory    ${start} at the start, ${peak} at the peak: ${rise} more\n`);
  }

  #sample(): void {
    this.#peak = Math.max(this.#peak, process.memoryUsage.rss());
  }

  #line(): string {
    this.#sample();
    const part = this.#size === 0 ? 1 : this.#done / this.#size;
    const full = Math.round(part * BAR);
    const bar = '█'.repeat(full) + '░'.repeat(BAR - full);
    const percent = `${Math.floor(part * 100)} %`.padStart(5);
    const memory = `memory +${formatSize(process.memoryUsage.rss() - this.#startMemory)}`;
    return `  ${bar} ${percent}   ${this.#rate().padStart(12)}   ${memory}   `;
  }

  #rate(): string {
    return `${formatSize(Math.round(this.#done / this.#seconds()))}/s`;
  }

  #seconds(): number {
    return (performance.now() - this.#begunAt) / 1000;
  }
}
