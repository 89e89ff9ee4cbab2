/**
 * Shortens a program that fails a check, after fast-check has done so: fast-check knows how each value was
 * generated, this knows what a program means. It leaves out steps, callbacks and connections, then makes
 * what is left usual.
 */
import { type LinkPlan, type Program, quietPath, quietSide, targetOf } from './program.js';

/** Whether a program still shows the failure. */
export type Fails = (program: Program) => Promise<boolean>;

/** The simplest value of fields of operations and connections, by name. */
const simplest: Readonly<Record<string, unknown>> = {
  wait: 0,
  link: 0,
  size: 5,
  form: 'ascii',
  carrier: 'plain',
  compress: true,
  awaited: true,
  abort: -1,
  code: 1000,
  fragments: 1,
  nth: 0,
  chunks: 1,
  source: 'generator',
  pipe: false,
  text: false,
  except: [],
  filter: 'none',
  typed: false,
  receive: false,
  stream: false,
  authenticate: -1,
  // Of a burst
  after: 'stay',
  cost: 0,
  pool: 0,
  settled: false,
  deflate: null,
  via: 'direct',
  takeover: true,
  lossy: false,
  ...quietPath,
  ...quietSide.options,
  ...quietSide.consumer,
};

/** Objects that are tried as a whole first. */
const wholes: Readonly<Record<string, object>> = {
  path: quietPath,
  options: quietSide.options,
  consumer: quietSide.consumer,
};

export async function shorten(program: Program, fails: Fails): Promise<Program> {
  let current = program;
  const attempt = async (candidate: Program): Promise<boolean> => {
    if (!(await fails(candidate))) return false;
    current = candidate;
    return true;
  };
  for (let before = ''; before !== JSON.stringify(current); ) {
    before = JSON.stringify(current);
    await dropSteps(() => current, attempt);
    for (let i = current.links.length - 1; i >= 0 && current.links.length > 1; i--) {
      await attempt(withoutLink(current, i));
    }
    await dropElements(() => current, attempt);
    await simplify(() => current, attempt);
  }
  const steps = current.steps.map((step) => ({ ...step, ...targetOf(current, step) }));
  return { ...current, steps };
}

type Attempt = (candidate: Program) => Promise<boolean>;

/** Leaves out halves of the steps, then quarters, down to single ones. */
async function dropSteps(current: () => Program, attempt: Attempt): Promise<void> {
  for (let size = current().steps.length; size >= 1; size >>= 1) {
    for (let at = 0; at < current().steps.length; ) {
      const { steps } = current();
      const rest = [...steps.slice(0, at), ...steps.slice(at + size)];
      if (!(await attempt({ ...current(), steps: rest }))) at += size;
    }
  }
}

/** The program without a connection; its steps keep to the others. */
function withoutLink(program: Program, index: number): Program {
  const count = program.links.length;
  const links = program.links.filter((_, i) => i !== index);
  const steps = program.steps
    .filter(({ link }) => link % count !== index)
    .map((step) => ({
      ...step,
      link: step.link % count > index ? (step.link % count) - 1 : step.link % count,
    }));
  return { ...program, links, steps };
}

/** Leaves out single callbacks, and single frames of bursts. */
async function dropElements(current: () => Program, attempt: Attempt): Promise<void> {
  for (const { keys, value } of [...nodes(current())].reverse()) {
    const name = keys.at(-1);
    if (!Array.isArray(value) || (name !== 'reactions' && name !== 'items')) continue;
    for (let i = value.length - 1; i >= 0; i--) {
      const list = at(current(), keys) as unknown[];
      if (i >= list.length || (name === 'items' && list.length === 1)) continue;
      await attempt(replaced(current(), keys, list.toSpliced(i, 1)));
    }
  }
}

async function simplify(current: () => Program, attempt: Attempt): Promise<void> {
  for (const { keys } of [...nodes(current())]) {
    const name = String(keys.at(-1));
    const value = at(current(), keys);
    const simple = wholes[name] ?? simplest[name];
    if (simple === undefined || value === undefined || JSON.stringify(value) === JSON.stringify(simple))
      continue;
    const candidate = replaced(current(), keys, simple);
    if (name === 'via' && !canBeDirect(candidate)) continue;
    await attempt(candidate);
  }
}

function canBeDirect({ links }: Program): boolean {
  return links.every(({ a, b }: LinkPlan) => !(a.raw && b.raw));
}

interface Node {
  readonly keys: readonly (string | number)[];
  readonly value: unknown;
}

/** Everything within a program, outer parts first. */
function* nodes(value: unknown, keys: readonly (string | number)[] = []): Generator<Node> {
  if (keys.length > 0) yield { keys, value };
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) yield* nodes(value[i], [...keys, i]);
  } else if (value !== null && typeof value === 'object') {
    for (const [key, field] of Object.entries(value)) yield* nodes(field, [...keys, key]);
  }
}

function at(value: unknown, keys: readonly (string | number)[]): unknown {
  let inner = value;
  for (const key of keys) inner = (inner as Record<string | number, unknown> | undefined | null)?.[key];
  return inner;
}

/** A copy in which one part is another one. */
function replaced<T>(value: T, keys: readonly (string | number)[], part: unknown): T {
  const [key, ...rest] = keys;
  if (key === undefined) return part as T;
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string | number, unknown>;
  copy[key] = replaced(copy[key], rest, part);
  return copy as T;
}
