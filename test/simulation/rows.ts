/**
 * Which row of test/scenarios.ts a finding belongs to: by the check that failed, and by the calls of its
 * program.
 */
import type { Op, Program } from './program.js';
import type { Finding } from './world.js';

interface Rule {
  readonly row: string;
  readonly check: RegExp;
  /** Every one of these operations is in the program. */
  readonly has?: readonly Op['op'][];
  /** This operation is not in the program: it is another possible cause. */
  readonly lacks?: Op['op'];
}

const rules: readonly Rule[] = [
  { row: 'X-01', check: /^content: (the bytes|a message of another connection|a message came twice)/ },
  {
    row: 'X-02',
    check: /^(unfinished: |content: a message (is made of several|that was never sent))/,
    has: ['createWriter'],
  },
  {
    row: 'X-02',
    check: /^(unfinished: |content: a message (is made of several|that was never sent))/,
    has: ['sendStream'],
  },
  { row: 'X-03', check: /^(rejected|threw): .*Tried to send/ },
  { row: 'X-03', check: /^server\.close: /, has: ['createWriter'] },
  { row: 'X-03', check: /^end: not closed in time.*, inside a message$/, lacks: 'throw' },
  { row: 'X-04', check: /^threw: (on\('message'\)|resume)/ },
  { row: 'X-03', check: /^unhandled rejection: Error: Tried to send/ },
  { row: 'X-06', check: /^unhandled rejection: / },
  { row: 'X-07', check: /^threw: send / },
  { row: 'X-08', check: /^liveness: a healthy peer was killed: (a stalled write|no Ping|its Ping)/ },
  { row: 'X-28', check: /^liveness: a healthy peer was killed: this process/ },
  { row: 'X-34', check: /^liveness: / },
  { row: 'X-09', check: /^(lost: |code: the)/ },
  { row: 'X-11', check: /^receive: |^content: a message was cut/ },
  { row: 'X-16', check: /^leak: the source/ },
  { row: 'X-17', check: /^event after |^end: close and ws\.closed/ },
];

/** The rows that a finding can belong to. */
export const knownRows: readonly string[] = [...new Set(rules.map(({ row }) => row))].sort();

/** The row of a finding, or null. */
export function rowOf({ check, signature }: Finding, program: Program): string | null {
  const ops = new Set(operationsOf(program));
  const rule = rules.find(
    ({ check: pattern, has = [], lacks }) =>
      pattern.test(`${check}: ${signature}`) &&
      has.every((name) => ops.has(name)) &&
      (lacks === undefined || !ops.has(lacks)),
  );
  return rule?.row ?? null;
}

function operationsOf({ links, steps }: Program): Op['op'][] {
  const reactions = links.flatMap(({ a, b }) => [...a.reactions, ...b.reactions]);
  return [...steps, ...reactions].map(({ does }) => does.op);
}
