/** The titles of the tests in a file, read without running it. */

import { type Node, nodesOf } from './ast.js';

/**
 * The titles given to `test`, `it` and `describe` and to what hangs on them (`.each(...)`, `.concurrent`), as
 * written: `${...}` of a template reads `*`. Those of `.skip` and `.todo` are left out.
 */
export function titlesOf(text: string): string[] {
  return nodesOf(text).flatMap((node) => {
    const title =
      node.type === 'CallExpression' && runs(node.callee) ? textOf(node.arguments?.[0]) : undefined;
    return title === undefined ? [] : [title];
  });
}

/** Whether a callee is `test`, or made from it as in `test.each(rows)`. */
function runs(callee: Node | undefined): boolean {
  switch (callee?.type) {
    case 'Identifier':
      return callee.name === 'test' || callee.name === 'it' || callee.name === 'describe';
    case 'MemberExpression':
      return callee.property?.name !== 'skip' && callee.property?.name !== 'todo' && runs(callee.object);
    case 'CallExpression':
      return runs(callee.callee);
    case 'TaggedTemplateExpression':
      return runs(callee.tag);
    default:
      return false;
  }
}

function textOf(node: Node | undefined): string | undefined {
  if (typeof node?.value === 'string') return node.value;
  if (node?.type === 'TemplateLiteral') return node.quasis?.map(({ value }) => value.cooked).join('*');
  return undefined;
}
