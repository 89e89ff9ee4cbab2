/**
 * The programs of the README. Each block marked `ts` or `js` is one: a module that imports `sluice` or
 * `sluice/protocol`, ends by itself, and prints what its comments say (`console.log(code); // prints 1000`).
 * What a block needs around it, and a reader does not, stands in comments directly before and after it:
 *
 *     <!-- before
 *     const server = new WebSocketServer({ port: 8080 });
 *     -->
 *     ```ts
 *     const ws = await connect('ws://localhost:8080');
 *     ```
 *     <!-- after
 *     await server.close();
 *     -->
 */

export interface Program {
  /** Where the block begins in the README, counted from 1. */
  readonly line: number;
  readonly language: 'ts' | 'js';
  readonly code: string;
  /** Lines that it prints, in the order of the source. */
  readonly prints: readonly string[];
}

const block =
  /(?:^<!-- before\n(?<before>.*?)^-->\n+)?^```(?<language>ts|js)\n(?<body>.*?)^```\n(?:\n*<!-- after\n(?<after>.*?)^-->)?/gms;

/** The programs of a Markdown text. */
export function programsOf(markdown: string): Program[] {
  return [...markdown.matchAll(block)].map((match) => {
    const { before = '', language, body = '', after = '' } = match.groups!;
    const fence = match.index + match[0].indexOf('```');
    return {
      line: markdown.slice(0, fence).split('\n').length,
      language: language as 'ts' | 'js',
      code: `${before}${body}${after}`,
      prints: [...body.matchAll(/\/\/.*?\bprints (.*)$/gm)].map(([, text]) => text!),
    };
  });
}
