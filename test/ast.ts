/** The syntax tree of a TypeScript source, for the tests that read code. */

import { parseAst } from 'vitest/node';

/** A node of an ESTree, by the fields that are looked at. */
export interface Node {
  readonly type: string;
  readonly name?: unknown;
  readonly value?: unknown;
  readonly source?: Node | null;
  readonly object?: Node;
  readonly property?: Node;
  readonly key?: Node;
  readonly callee?: Node;
  readonly tag?: Node;
  readonly arguments?: readonly Node[];
  readonly quasis?: readonly { readonly value: { readonly cooked: string } }[];
}

/** All nodes of a source, outer before inner. */
export function nodesOf(text: string): Node[] {
  return [...walk(parseAst(text, { lang: 'ts' }))];
}

function* walk(value: unknown): Generator<Node> {
  if (value === null || typeof value !== 'object') return;
  if ('type' in value) yield value as Node;
  for (const child of Object.values(value)) yield* walk(child);
}
