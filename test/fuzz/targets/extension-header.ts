/**
 * Sec-WebSocket-Extensions (RFC 6455 §9.1) and the parameters of permessage-deflate in it: nothing is thrown, elements
 * are tokens and survive being written again, what `ws` can parse is parsed to the same, and time is linear.
 *
 *     setup   0 of 16: the value is repeated, to measure the time; others: it is parsed
 *     then    the value, as latin1
 */
import * as ws from 'ws';
import { formatExtensions, parseExtensions } from '../../../src/handshake/fields.js';
import { permessageDeflate } from '../../../src/index.js';
import type { ExtensionElement } from '../../../src/protocol.js';
import { extensionList } from '../heads.js';
import { mutate } from '../mutate.js';
import type { Random } from '../random.js';
import { must, shown, type Target } from '../target.js';

/** What `ws` exports and its types leave out: parameters by the name of their extension. */
const theirs = (ws as unknown as { extension: { parse(value: string): Offers } }).extension;
type Offers = Record<string, Record<string, (string | true)[]>[]>;

export type ParseExtensions = typeof parseExtensions;

const characters = [...'ab0-;;,,==""\\ \t', '\0', '\x7f', '\x80', '\xff', '(', '\r', '\n'];
const SHORT = 1000;
const LONG = 16_000;
/** Linear is 16 times the time of the short value, quadratic 256 times. */
const MOST_GROWTH = 80;
/** Below it nothing is told of how time grows. */
const LEAST_MILLISECONDS = 3;

/** @param parse - what is tested */
export function extensionHeaderTarget(parse: ParseExtensions = parseExtensions): Target {
  return {
    name: 'extension-header',
    setup: 1,
    generate(random) {
      return Buffer.concat([Buffer.from([random.below(256)]), value(random)]);
    },
    async check(input) {
      const text = input.toString('latin1', 1);
      if ((input[0] ?? 0) % 16 === 0) checkTime(parse, text);
      else checkValue(parse, text);
    },
  };
}

function value(random: Random): Buffer {
  if (random.oneIn(4))
    return Buffer.from(random.times(random.below(30), () => random.pick(characters)).join(''), 'latin1');
  const bytes = Buffer.from(extensionList(random), 'latin1');
  return random.oneIn(2) ? mutate(random, bytes, Buffer.from(extensionList(random))) : bytes;
}

function checkValue(parse: ParseExtensions, text: string): void {
  const elements = parse(text);
  const expected = parseTheirs(text);
  if (elements === null) {
    must(expected === null, 'what ws parses is parsed', () => shown(text));
    return;
  }
  must(elements.length > 0, '§9.1 the list has an element');
  // Throws for what is not a token
  const again = parse(formatExtensions(elements));
  must(JSON.stringify(again) === JSON.stringify(elements), 'it is the same when written again', () =>
    shown(elements),
  );
  if (expected !== null) {
    const ours = JSON.stringify(grouped(elements));
    must(
      ours === JSON.stringify(expected),
      'it is parsed as ws does',
      () => `${ours} and ${shown(expected)}`,
    );
  }
  for (const { name, parameters } of elements) {
    if (name !== 'permessage-deflate') continue;
    const accepted = permessageDeflate().accept(parameters);
    accepted?.extension.close();
    for (const [, argument] of accepted?.parameters ?? []) {
      const right = argument === true || (Number(argument) >= 8 && Number(argument) <= 15);
      must(right, 'RFC 7692 §7.1 an answer has window bits from 8 to 15', () => shown(accepted));
    }
  }
}

/** What `ws` makes of it; null when it throws. */
function parseTheirs(text: string): Offers | null {
  try {
    return theirs.parse(text);
  } catch {
    return null;
  }
}

/** Elements in the way of `ws`. */
function grouped(elements: readonly ExtensionElement[]): Offers {
  const offers: Offers = Object.create(null);
  for (const { name, parameters } of elements) {
    const group: Record<string, (string | true)[]> = Object.create(null);
    for (const [key, argument] of parameters) {
      group[key] ??= [];
      group[key].push(argument);
    }
    offers[name] ??= [];
    offers[name].push(group);
  }
  return offers;
}

/** Repeats all of the value, and its last character, so that a scan which is begun again and again takes long. */
function checkTime(parse: ParseExtensions, text: string): void {
  if (text === '') return;
  const pumped = (size: number): string[] => [
    text.repeat(Math.ceil(size / text.length)),
    text + text.at(-1)!.repeat(size),
  ];
  const [shorts, longs] = [pumped(SHORT), pumped(LONG)];
  for (const [i, long] of longs.entries()) {
    if (timeOf(parse, long, 1) < LEAST_MILLISECONDS) continue;
    const growth = timeOf(parse, long, 3) / Math.max(0.05, timeOf(parse, shorts[i]!, 3));
    must(
      growth < MOST_GROWTH,
      'the time grows with the length, and no faster',
      `${growth.toFixed(0)} times for 16 times`,
    );
  }
}

/** The shortest time of some runs, in milliseconds. */
function timeOf(parse: ParseExtensions, text: string, runs: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    parse(text);
    least = Math.min(least, performance.now() - start);
  }
  return least;
}
