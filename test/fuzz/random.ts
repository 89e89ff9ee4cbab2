/** Random choices that a seed repeats: sfc32, seeded by a hash of some words. */

/** Makes the same choices for the same words. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  constructor(...words: readonly (string | number)[]) {
    // FNV-1a, which is enough to tell seeds apart; the rounds below mix it
    let hash = 0x811c9dc5;
    for (const character of words.join('\0')) {
      hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193);
    }
    this.#a = hash;
    this.#b = Math.imul(hash, 0x9e3779b1);
    this.#c = ~hash;
    for (let i = 0; i < 12; i++) this.word();
  }

  /** 32 random bits. */
  word(): number {
    const result = (this.#a + this.#b + this.#count++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0;
    return result >>> 0;
  }

  /** A whole number from 0 up to, but not including, `limit`. */
  below(limit: number): number {
    return this.word() % limit;
  }

  /** A whole number of `[least, most]`. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = this.word() >>> 7;
    return bytes;
  }

  /** As many results as `count` says. */
  times<T>(count: number, make: (index: number) => T): T[] {
    return Array.from({ length: count }, (_, index) => make(index));
  }
}
