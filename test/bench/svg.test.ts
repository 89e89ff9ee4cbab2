import { expect, test } from 'vitest';
// @ts-expect-error JavaScript without declarations
import { barChart, lineChart, shortNumber } from '../../bench/svg.js';

/** Throws unless every element is closed, in order. */
function wellFormed(svg: string): void {
  const open: string[] = [];
  for (const [, close, name, , self] of svg.matchAll(/<(\/?)([a-z]+)((?:\s[\w-]+="[^"<&]*")*)\s*(\/?)>/g)) {
    if (close === '/') expect(open.pop()).toBe(name);
    else if (self !== '/') open.push(name!);
  }
  expect(open).toEqual([]);
  expect(svg.replace(/<\/?[a-z]+(?:\s[\w-]+="[^"<&]*")*\s*\/?>/g, '')).not.toMatch(/[<>]/);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
}

const numbersOf = (svg: string, pattern: RegExp): number[] =>
  [...svg.matchAll(pattern)].map(([, x]) => Number(x));

test('curves: ticks are powers, points go where their values are, names do not touch', () => {
  const svg = lineChart({
    title: 'Echo <by> "size" & more',
    xLabel: 'bytes',
    yLabel: 'messages a second',
    xBase: 2,
    series: [
      { name: 'one', points: [1, 16, 1024, 1048576].map((x) => [x, 1e6 / x ** 0.5]) },
      { name: 'two', points: [1, 16, 1024, 1048576].map((x) => [x, 1.01e6 / x ** 0.5]) },
    ],
  }) as string;
  wellFormed(svg);
  expect(svg).toContain('Echo &#60;by&#62; &#34;size&#34; &#38; more');
  expect(svg).toContain('>1 Mi<');
  expect(svg).toContain('>100k<');
  const [line] = [...svg.matchAll(/<path d="([^"]+)"[^>]*class="line"/g)];
  const points = [...line![1]!.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)]);
  expect(points).toHaveLength(4);
  for (let i = 1; i < 4; i++) {
    expect(points[i]![0]).toBeGreaterThan(points[i - 1]![0]!);
    expect(points[i]![1]).toBeGreaterThan(points[i - 1]![1]!);
  }
  const [a, b] = numbersOf(svg, /y="([\d.]+)" font-weight="600" class="name"/g);
  expect(Math.abs(a! - b!)).toBeGreaterThanOrEqual(16.9);
});

test('names stay on the page: long ones, and many at the bottom', () => {
  const name = 'a peer with a rather long name';
  const svg = lineChart({
    title: 'names',
    xLabel: 'x',
    yLabel: 'y',
    series: Array.from({ length: 6 }, () => ({ name, points: [1, 10].map((x) => [x, 1000 / x ** 2]) })),
  }) as string;
  wellFormed(svg);
  const names = /<text x="([\d.]+)" y="([\d.]+)" font-weight="600" class="name"/g;
  const places = [...svg.matchAll(names)].map(([, x, y]) => ({ x: Number(x), y: Number(y) }));
  expect(places).toHaveLength(6);
  for (const { x, y } of places) {
    expect(x + name.length * 7).toBeLessThan(800);
    expect(y).toBeLessThan(430);
  }
  const ys = places.map(({ y }) => y).toSorted((a, b) => a - b);
  for (let i = 1; i < 6; i++) expect(ys[i]! - ys[i - 1]!).toBeGreaterThan(17);
});

test('axes that are not logarithmic begin at 0', () => {
  const svg = lineChart({
    title: 'linear',
    xLabel: 'x',
    yLabel: 'y',
    xLog: false,
    yLog: false,
    series: [{ name: 'one', points: [0, 3, 7].map((x) => [x, x * 100]) }],
  }) as string;
  wellFormed(svg);
  const labels = [...svg.matchAll(/class="x">([^<]+)</g)].map(([, label]) => label);
  expect(labels).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
  expect([...svg.matchAll(/class="y">([^<]+)</g)].at(-1)![1]).toBe('700');
});

test('what has no logarithm is refused', () => {
  const chart = { title: '', xLabel: '', yLabel: '' };
  expect(() => lineChart({ ...chart, series: [] })).toThrow(RangeError);
  expect(() => lineChart({ ...chart, series: [{ name: 'a', points: [[1, 0]] }] })).toThrow(RangeError);
  expect(() => barChart({ ...chart, bars: [] })).toThrow(RangeError);
  expect(() => barChart({ ...chart, bars: [{ name: 'a', value: 0 }] })).toThrow(RangeError);
});

test('bars: longer for more, to the left of 1 for less, with what is to be reached', () => {
  const svg = barChart({
    title: 'ratios',
    xLabel: 'times',
    bars: [
      { name: 'a', value: 2, mark: 4 },
      { name: 'b', value: 8, mark: 4 },
      { name: 'c', value: 0.5 },
    ],
  }) as string;
  wellFormed(svg);
  const widths = numbersOf(svg, /width="([\d.]+)" height="18"/g);
  const lefts = numbersOf(svg, /<rect x="([\d.]+)"[^>]*class="bar"/g);
  expect(widths[1]! / widths[0]!).toBeCloseTo(3, 1);
  expect(widths[2]).toBeCloseTo(widths[0]!, 0);
  expect(lefts[2]).toBeLessThan(lefts[0]!);
  expect(svg.match(/class="mark"/g)).toHaveLength(2);
  expect(svg).toContain('>0.5x<');
});

test('numbers are short', () => {
  expect([0.1234, 1, 999, 1500, 123_456, 3_420_000, 8.5e9].map(shortNumber)).toEqual([
    '0.123',
    '1',
    '999',
    '1.5k',
    '123k',
    '3.42M',
    '8.5G',
  ]);
});
