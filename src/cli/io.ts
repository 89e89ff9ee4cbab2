/** What the verbs of the command share: their streams, and errors that are one line. */
import type { Readable, Writable } from 'node:stream';

/** The streams of a run, and what interrupts it. */
export interface Io {
  readonly stdin: Readable;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** The command was called the wrong way: exit code 2. */
export class UsageError extends Error {}

/** A size with its unit, such as `94.3 MiB`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** What went wrong, in one line, harmless for a terminal. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return harmless(String(error));
  const status = 'status' in error && 'body' in error && error.body ? `: ${error.body}` : '';
  return harmless(`${error.message}${status}`.split('\n')[0]!.trim());
}

/**
 * Text of a peer, as a terminal can show it: what would move its cursor, change its settings, or turn the
 * order of letters around is written as an escape, such as `\x1b`. Line feeds and tabs stay when `lines` is
 * true.
 */
export function harmless(text: string, lines = false): string {
  let shown = '';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const kept = lines && (character === '\n' || character === '\t');
    if (kept || !isControl(code)) shown += character;
    else if (code > 0xff) shown += `\\u${code.toString(16)}`;
    else shown += `\\x${code.toString(16).padStart(2, '0')}`;
  }
  return shown;
}

/** C0 and C1 controls, DEL, line and paragraph separators, and the controls of writing direction. */
function isControl(code: number): boolean {
  return (
    code < 0x20 ||
    (code >= 0x7f && code < 0xa0) ||
    (code >= 0x2028 && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069) ||
    code === 0x200e ||
    code === 0x200f ||
    code === 0x61c
  );
}
