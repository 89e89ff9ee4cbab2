import { expect, test } from 'vitest';
// @ts-expect-error JavaScript without declarations
import { median, ratioInterval } from '../../bench/statistics.js';

const powers = (exponents: number[]): number[] => exponents.map((exponent) => 2 ** exponent);
const logs = ({ ratio, low, high }: Record<'ratio' | 'low' | 'high', number>): number[] =>
  [ratio, low, high].map((value) => Math.round(Math.log2(value) * 1000) / 1000);

test('medians of an odd and an even number', () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([2, 2.5]);
});

test('fewer than six samples give no bound', () => {
  expect(ratioInterval([2, 2, 2, 2, 2])).toMatchObject({ low: 0, high: Number.POSITIVE_INFINITY });
});

test('the interval of six samples is their range, of eight the fourth mean of pairs from each end', () => {
  expect(logs(ratioInterval(powers([1, 2, 3, 4, 5, 6])))).toEqual([3.5, 1, 6]);
  // Tables of the signed-rank test have a critical value of 3 for eight; means: 1, 1.5, 2, 2 ... 7, 7, 7.5, 8
  expect(logs(ratioInterval(powers([1, 2, 3, 4, 5, 6, 7, 8])))).toEqual([4.5, 2, 7]);
});

test('the interval is that of the inverse ratio, turned around', () => {
  const ratios = [0.9, 1.3, 1.1, 0.95, 1.02, 1.07, 0.99];
  const { ratio, low, high } = ratioInterval(ratios);
  const inverse = ratioInterval(ratios.map((value) => 1 / value));
  for (const [a, b] of [
    [inverse.ratio, 1 / ratio],
    [inverse.low, 1 / high],
    [inverse.high, 1 / low],
  ] as const) {
    expect(a).toBeCloseTo(b, 12);
  }
});

test('it misses the true ratio in at most 5 % of all cases, also with outliers', () => {
  let seed = 1;
  const random = (): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  for (const samples of [6, 8, 31]) {
    let missed = 0;
    for (let i = 0; i < 2000; i++) {
      const ratios = Array.from({ length: samples }, () => {
        const noise = (random() + random() + random() - 1.5) * 0.05;
        return Math.exp(Math.log(0.97) + (random() < 0.1 ? noise * 20 : noise));
      });
      const { low, high } = ratioInterval(ratios);
      if (low > 0.97 || high < 0.97) missed++;
    }
    expect(missed / 2000).toBeLessThan(0.06);
  }
});
