/** How programs are printed. */
import { leadOf, type Op, type Program, quietPath, quietSide, targetOf } from './program.js';

/** How long a program is: its steps, reactions, connections, and what differs from the defaults. */
export function lengthOf(program: Program): number {
  return (
    program.steps.length +
    program.links.reduce((sum, { a, b }) => sum + 1 + a.reactions.length + b.reactions.length, 0)
  );
}

/** A program in a form that people read, one line for each connection, callback and step. */
export function show(program: Program): string {
  const lines: string[] = [];
  program.links.forEach((link, i) => {
    const path = difference(link.path, quietPath);
    const deflate = link.deflate === null ? '' : ` deflate=${compact(link.deflate)}`;
    const { authenticate = -1 } = link;
    const authenticates = authenticate < 0 ? '' : ` authenticate=${authenticate}`;
    lines.push(`connection ${i} via ${link.via}${deflate}${authenticates}${path && ` path=${path}`}`);
    for (const name of ['a', 'b'] as const) {
      const side = link[name];
      const options = difference(side.options, quietSide.options);
      const consumer = side.raw
        ? 'raw peer'
        : `consumer ${side.consumer.mode} ${difference(side.consumer, quietSide.consumer)}`;
      lines.push(`  ${i}${name} (${name === 'a' ? 'server' : 'client'}): ${consumer} ${options}`.trimEnd());
      for (const { on, nth, wait, does } of side.reactions) {
        const how = wait < 0 ? '' : ` await ${wait} ms,`;
        lines.push(`    on '${on}' #${nth}:${how} ${showOp(does)}`);
      }
    }
  });
  let time = leadOf(program);
  for (const step of program.steps) {
    time += step.wait;
    const target = targetOf(program, step);
    if (target !== null) lines.push(`at ${time} ms ${target.link}${target.side}: ${showOp(step.does)}`);
  }
  const { cost, pool, settled = false } = program;
  const costs = difference({ cost, pool, settled }, { cost: 0, pool: 0, settled: false });
  if (costs !== '') lines.push(`process ${costs}`);
  return lines.join('\n');
}

function showOp({ op, ...rest }: Op): string {
  return Object.keys(rest).length === 0 ? op : `${op} ${compact(rest)}`;
}

function compact(value: unknown): string {
  return JSON.stringify(value).replaceAll('"', '');
}

/** The fields of `value` that are not those of `usual`. */
function difference<T extends object>(value: T, usual: T): string {
  const fields = Object.entries(value).filter(([name, field]) => field !== usual[name as keyof T]);
  return fields.length === 0 ? '' : compact(Object.fromEntries(fields));
}
