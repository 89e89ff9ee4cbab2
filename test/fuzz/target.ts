/** What a target of the fuzzer is, and how it tells that a property does not hold. */
import type { Random } from './random.js';

/** Something that takes any bytes, and has properties that hold for all of them. */
export interface Target {
  readonly name: string;
  /** So many bytes in front of an input say how the rest is used. */
  readonly setup: number;
  /** Where parts of an input begin, which may be left out to make it smaller. */
  readonly parts?: (input: Buffer) => readonly number[];
  /** An input that is likely to reach far. */
  generate(random: Random): Buffer;
  /** Rejects when a property does not hold: with a {@link Finding}, or with what escaped from the code under test. */
  check(input: Buffer): Promise<void>;
}

/** A property that does not hold. */
export class Finding extends Error {
  readonly property: string;

  constructor(property: string, detail: string) {
    super(`${property}: ${detail}`);
    this.property = property;
  }

  override get name(): string {
    return 'Finding';
  }
}

/** Throws a {@link Finding} unless the condition holds. */
export function must(
  condition: boolean,
  property: string,
  detail: string | (() => string) = '',
): asserts condition {
  if (!condition) throw new Finding(property, typeof detail === 'string' ? detail : detail());
}

/** A value for a message, cut when it is long. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}... (${text.length})` : text;
}
