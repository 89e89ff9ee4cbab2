/** Plots as SVG, readable on light and dark pages. */

const WIDTH = 800;
const FONT = 'system-ui, sans-serif';
const INK = '#1f2937';
const FAINT = '#d7dbe0';
const PAPER = '#fcfcfa';
/** Colours that colour-blind readers tell apart (Okabe and Ito), and a marker each. */
const FIRST = { color: '#0072b2', marker: circle };
const SECOND = { color: '#d55e00', marker: square };
const STYLES = [
  FIRST,
  SECOND,
  { color: '#5f6b76', marker: diamond },
  { color: '#009e73', marker: triangle },
  { color: '#cc79a7', marker: circle },
  { color: '#a6761d', marker: square },
];

/** Pixels of a letter, at most: no renderer is asked. */
const LETTER = 7.6;

const styleOf = (/** @type {number} */ i) => STYLES[i % STYLES.length] ?? FIRST;
const widest = (/** @type {{ name: string }[]} */ named) =>
  Math.max(...named.map(({ name }) => name.length)) * LETTER;
const n = (/** @type {number} */ value) => String(Math.round(value * 100) / 100);
const escapeText = (/** @type {unknown} */ text) =>
  String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function circle(/** @type {number} */ x, /** @type {number} */ y) {
  return `<circle cx="${n(x)}" cy="${n(y)}" r="4"/>`;
}
function square(/** @type {number} */ x, /** @type {number} */ y) {
  return `<rect x="${n(x - 3.5)}" y="${n(y - 3.5)}" width="7" height="7"/>`;
}
function diamond(/** @type {number} */ x, /** @type {number} */ y) {
  return `<path d="M${n(x)} ${n(y - 5)}l5 5l-5 5l-5-5z"/>`;
}
function triangle(/** @type {number} */ x, /** @type {number} */ y) {
  return `<path d="M${n(x)} ${n(y - 5)}l5 9h-10z"/>`;
}

function text(
  /** @type {number} */ x,
  /** @type {number} */ y,
  /** @type {unknown} */ content,
  /** @type {string} */ attributes = '',
) {
  return `<text x="${n(x)}" y="${n(y)}" ${attributes}>${escapeText(content)}</text>`;
}

function page(
  /** @type {number} */ height,
  /** @type {string} */ title,
  /** @type {string} */ description,
  /** @type {string[]} */ parts,
) {
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" font-family="${FONT}" font-size="13" fill="${INK}">`,
    `<title>${escapeText(title)}</title>`,
    `<desc>${escapeText(description)}</desc>`,
    `<rect width="${WIDTH}" height="${height}" rx="8" fill="${PAPER}"/>`,
    text(24, 34, title, 'font-size="17" font-weight="600"'),
    ...parts,
    '</svg>',
  ].join('\n')}\n`;
}

/** 1500 is 1.5k. */
export function shortNumber(/** @type {number} */ value) {
  for (const [unit, suffix] of /** @type {const} */ ([
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ])) {
    if (value >= unit) return `${Number((value / unit).toPrecision(3))}${suffix}`;
  }
  return String(Number(value.toPrecision(3)));
}

/** 2^20 is 1 Mi. */
function binaryNumber(/** @type {number} */ value) {
  const units = ['', ' Ki', ' Mi', ' Gi'];
  let unit = 0;
  let rest = value;
  for (; rest >= 1024 && unit < 3; unit++) rest /= 1024;
  return `${rest}${units[unit]}`;
}

/** Powers of `base` from below `least` to above `most`, with a step that gives a few of them. */
function powers(/** @type {number} */ least, /** @type {number} */ most, /** @type {number} */ base) {
  const log = (/** @type {number} */ value) => Math.log(value) / Math.log(base);
  const first = Math.floor(log(least) + 1e-9);
  const span = Math.max(1, Math.ceil(log(most) - 1e-9) - first);
  const step = Math.ceil(span / 12);
  return Array.from({ length: Math.ceil(span / step) + 1 }, (_, i) => base ** (first + i * step));
}

/** From 0, or below, to above `most`, by 1, 2 or 5 times a power of 10. */
function steps(/** @type {number} */ least, /** @type {number} */ most) {
  const from = Math.min(0, least);
  const rough = (most - from || 1) / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((times) => times * power >= rough) ?? 10);
  const first = Math.floor(from / step);
  const count = Math.max(1, Math.ceil(most / step - 1e-9) - first);
  return Array.from({ length: count + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/**
 * @param {number[]} values
 * @param {{ log: boolean, base: number, from: number, to: number }} options
 */
function makeAxis(values, { log, base, from, to }) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (!Number.isFinite(least) || !Number.isFinite(most)) throw new RangeError('Nothing to plot');
  if (log && least <= 0) throw new RangeError(`No logarithm of ${least}`);
  const ticks = log ? powers(least, most, base) : steps(least, most);
  const of = log ? Math.log : (/** @type {number} */ value) => value;
  const [low, high] = [of(Math.min(...ticks)), of(Math.max(...ticks))];
  const place = (/** @type {number} */ value) => from + ((of(value) - low) / (high - low)) * (to - from);
  return { ticks, place };
}

/** Moves what stands at `y` apart by `gap`, none below `bottom`. */
function spread(
  /** @type {{ y: number }[]} */ named,
  /** @type {number} */ gap,
  /** @type {number} */ bottom,
) {
  const placed = named.toSorted((a, b) => a.y - b.y);
  let least = Number.NEGATIVE_INFINITY;
  for (const one of placed) {
    one.y = Math.max(one.y, least);
    least = one.y + gap;
  }
  let most = bottom;
  for (const one of placed.toReversed()) {
    one.y = Math.min(one.y, most);
    most = one.y - gap;
  }
}

/**
 * Curves on axes that are logarithmic unless told; the name of each stands at its end.
 *
 * @param {{ title: string, xLabel: string, yLabel: string, xBase?: number, xLog?: boolean, yLog?: boolean,
 *   series: { name: string, points: [x: number, y: number][] }[] }} chart - points above 0 where it is logarithmic
 */
export function lineChart({ title, xLabel, yLabel, xBase = 10, xLog = true, yLog = true, series }) {
  const height = 480;
  const [left, top, bottom] = [78, 76, 420];
  const right = Math.min(700, Math.max(440, WIDTH - 44 - widest(series)));
  const all = series.flatMap(({ points }) => points);
  const xs = all.map(([x]) => x);
  const ys = all.map(([, y]) => y);
  const xAxis = makeAxis(xs, { log: xLog, base: xBase, from: left, to: right });
  const yAxis = makeAxis(ys, { log: yLog, base: 10, from: bottom, to: top });
  const parts = [];
  for (const x of xAxis.ticks) {
    const at = xAxis.place(x);
    parts.push(`<path d="M${n(at)} ${top}V${bottom}" stroke="${FAINT}"/>`);
    const label = xLog && xBase === 2 ? binaryNumber(x) : shortNumber(x);
    parts.push(text(at, bottom + 20, label, 'text-anchor="middle" class="x"'));
  }
  for (const y of yAxis.ticks) {
    const at = yAxis.place(y);
    parts.push(`<path d="M${left} ${n(at)}H${right}" stroke="${FAINT}"/>`);
    parts.push(text(left - 8, at + 4, shortNumber(y), 'text-anchor="end" class="y"'));
  }
  parts.push(text((left + right) / 2, bottom + 46, xLabel, 'text-anchor="middle"'));
  parts.push(text(left, top - 14, yLabel));
  const names = [];
  for (const [i, { name, points }] of series.entries()) {
    const style = styleOf(i);
    const placed = points.map(([x, y]) => ({ x: xAxis.place(x), y: yAxis.place(y) }));
    const path = placed.map(({ x, y }, at) => `${at === 0 ? 'M' : 'L'}${n(x)} ${n(y)}`).join('');
    parts.push(`<path d="${path}" fill="none" stroke="${style.color}" stroke-width="2.5" class="line"/>`);
    parts.push(`<g fill="${style.color}">${placed.map(({ x, y }) => style.marker(x, y)).join('')}</g>`);
    names.push({ name, style, y: placed.at(-1)?.y ?? bottom });
  }
  spread(names, 18, bottom);
  // In ink, for not all of the colours can be read as text; the marker says which is which
  for (const { name, style, y } of names) {
    parts.push(`<g fill="${style.color}">${style.marker(right + 18, y)}</g>`);
    parts.push(text(right + 28, y + 4.5, name, 'font-weight="600" class="name"'));
  }
  const scales = xLog && yLog ? ', logarithmic' : '';
  return page(
    height,
    title,
    `${yLabel} by ${xLabel}${scales}: ${names.map(({ name }) => name).join(', ')}`,
    parts,
  );
}

/**
 * Ratios on a logarithmic axis, with a line at 1 and a tick at what each is to reach.
 *
 * @param {{ title: string, xLabel: string, bars: { name: string, value: number, mark?: number }[] }} chart
 */
export function barChart({ title, xLabel, bars }) {
  const row = 30;
  if (bars.length === 0) throw new RangeError('Nothing to plot');
  const left = Math.min(440, Math.max(160, 40 + widest(bars)));
  const [right, top] = [724, 60];
  const bottom = top + bars.length * row;
  const values = bars.flatMap(({ value, mark }) => [value, mark ?? 1]);
  if (!values.every((value) => value > 0 && value < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`No logarithm of one of ${values.join(', ')}`);
  }
  const least = Math.min(0.5, ...values) * 0.9;
  const most = Math.max(2, ...values) * 1.1;
  const px = (/** @type {number} */ value) =>
    left + (Math.log(value / least) / Math.log(most / least)) * (right - left);
  const parts = [];
  const times = most / least > 1000 ? [1] : [1, 2, 5];
  for (const tick of powers(least, most, 10).flatMap((power) => times.map((some) => some * power))) {
    if (tick < least || tick > most) continue;
    const stroke = tick === 1 ? INK : FAINT;
    parts.push(`<path d="M${n(px(tick))} ${top - 6}V${bottom}" stroke="${stroke}"/>`);
    parts.push(text(px(tick), bottom + 20, `${shortNumber(tick)}x`, 'text-anchor="middle" class="x"'));
  }
  for (const [i, { name, value, mark }] of bars.entries()) {
    const y = top + i * row;
    const [from, to] = [Math.min(px(1), px(value)), Math.max(px(1), px(value))];
    const color = (value >= 1 ? FIRST : SECOND).color;
    parts.push(text(left - 12, y + 18, name, 'text-anchor="end"'));
    parts.push(
      `<rect x="${n(from)}" y="${y + 5}" width="${n(Math.max(1, to - from))}" height="18" fill="${color}" class="bar"/>`,
    );
    if (mark !== undefined) {
      parts.push(`<path d="M${n(px(mark))} ${y + 1}v26" stroke="${INK}" stroke-width="2" class="mark"/>`);
    }
    const end = Math.max(to, mark === undefined ? to : px(mark));
    parts.push(text(end + 8, y + 18, `${shortNumber(value)}x`, 'font-weight="600"'));
  }
  parts.push(text((left + right) / 2, bottom + 46, xLabel, 'text-anchor="middle"'));
  return page(
    bottom + 64,
    title,
    bars.map(({ name, value }) => `${name}: ${shortNumber(value)}x`).join('; '),
    parts,
  );
}
