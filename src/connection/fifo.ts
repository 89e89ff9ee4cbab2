/** A queue whose length has no bound and whose operations take constant time: arrays shift in linear time. */

interface Link<T> {
  readonly value: T;
  next: Link<T> | null;
}

/** First in, first out. */
export class Fifo<T> {
  length = 0;
  #first: Link<T> | null = null;
  #last: Link<T> | null = null;

  push(value: T): void {
    const link: Link<T> = { value, next: null };
    if (this.#last === null) this.#first = link;
    else this.#last.next = link;
    this.#last = link;
    this.length++;
  }

  shift(): T | undefined {
    const link = this.#first;
    if (link === null) return undefined;
    this.#first = link.next;
    if (link.next === null) this.#last = null;
    this.length--;
    return link.value;
  }

  /** Removes all values that are not wanted. */
  keep(wanted: (value: T) => boolean): void {
    let last: Link<T> | null = null;
    for (let link = this.#first; link !== null; link = link.next) {
      if (wanted(link.value)) last = link;
      else {
        if (last === null) this.#first = link.next;
        else last.next = link.next;
        this.length--;
      }
    }
    this.#last = last;
  }

  /** Removes all values. */
  clear(): void {
    this.#first = this.#last = null;
    this.length = 0;
  }
}
