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

/** What went wrong, in one line. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const status = 'status' in error && 'body' in error && error.body ? `: ${error.body}` : '';
  return `${error.message}${status}`.split('\n')[0]!.trim();
}
