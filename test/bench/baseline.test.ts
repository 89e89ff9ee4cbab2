import { expect, test } from 'vitest';
// @ts-expect-error JavaScript without declarations
import { judge } from '../../bench/baseline.js';

type Sample = Readonly<Record<string, number>>;

/** Eight starts of three rounds: what the current build measures is `ratio` times the baseline's, give or take 1 %. */
const starts = (ratios: Sample, sample: Sample, noise = 0.01): [Sample, Sample][][] =>
  Array.from({ length: 8 }, (_, start) =>
    Array.from({ length: 3 }, (_, round) => {
      const drift = 1 + round / 2;
      const factor = drift * (1 + (noise * (start - 3.5)) / 3.5);
      const current = Object.entries(sample).map(([key, value]) => [key, value * ratios[key]! * factor]);
      const baseline = Object.entries(sample).map(([key, value]) => [key, value * drift]);
      return [Object.fromEntries(current), Object.fromEntries(baseline)];
    }),
  );

const rate = { id: 'echo', unit: 'messages/s' };
const bytes = { id: 'memory', unit: 'bytes' };

test('a row is slower when the whole interval is below 0.97', () => {
  const result = judge(rate, starts({ value: 0.95 }, { value: 1000 }));
  expect(result).toMatchObject({ slower: true, second: null });
  expect(result.ratio).toBeCloseTo(0.95, 3);
  expect(result.high).toBeLessThan(0.97);
  expect(judge(rate, starts({ value: 0.98 }, { value: 1000 })).slower).toBe(false);
});

test('a noisy row is not slower, however low its ratio', () => {
  const result = judge(rate, starts({ value: 0.9 }, { value: 1000 }, 0.2));
  expect(result.ratio).toBeLessThan(0.97);
  expect(result).toMatchObject({ slower: false });
});

test('of bytes less is better', () => {
  expect(judge(bytes, starts({ value: 1.06 }, { value: 2000 })).slower).toBe(true);
  expect(judge(bytes, starts({ value: 0.9 }, { value: 2000 })).slower).toBe(false);
});

test('a row is slower by its second figure too', () => {
  const sample = { value: 1000, cost: 3 };
  const result = judge(rate, starts({ value: 1, cost: 1.06 }, sample));
  expect(result).toMatchObject({ slower: true, what: 'CPU a message' });
  expect(result.second.ratio).toBeCloseTo(1.06, 3);
  expect(judge(rate, starts({ value: 1, cost: 0.9 }, sample)).slower).toBe(false);
  expect(judge(bytes, starts({ value: 1, heap: 1.06 }, { value: 2000, heap: 1000 })).slower).toBe(true);
});

test('a round in which a side measured nothing is left out', () => {
  const some = starts({ value: 0.95 }, { value: 1000 });
  for (const [start, side] of [
    [0, 0],
    [1, 1],
  ] as const) {
    const pair = some[start]![2]!;
    pair[side] = { value: 0 };
  }
  some[2]![0] = [{ value: 0 }, { value: 0 }];
  const { ratio, high } = judge(rate, some);
  expect(ratio).toBeCloseTo(0.95, 2);
  expect(high).toBeLessThan(0.97);
});
