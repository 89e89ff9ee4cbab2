/** Choices of random values, as programs are made of them. */
import fc, { type Arbitrary } from 'fast-check';

/** One of the values; it shrinks to the first. */
export function among<T>(...values: readonly T[]): Arbitrary<T> {
  return fc.constantFrom(...values);
}

/** Mostly the first value. */
export function mostly<T>(usual: T, ...others: readonly T[]): Arbitrary<T> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant(usual) }, { weight: 2, arbitrary: among(...others) });
}

export function weighted<T>(
  ...choices: readonly (readonly [weight: number, arbitrary: Arbitrary<T>])[]
): Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}
