/** Programs that are started, watched and ended. */

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What a peer needs is not on this machine. */
export class Missing extends Error {}

/** The version that a program says it is; throws when it is not there. */
export function versionOf(/** @type {string} */ command, flag = '--version') {
  return /\d+(\.\d+)+/.exec(ask(command, [flag]))?.[0] ?? '';
}

/** What a program says; throws when it is not there, or fails. */
export function ask(/** @type {string} */ command, /** @type {string[]} */ args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Missing(`no ${[command, ...args].join(' ')}`);
  return `${stdout}${stderr}`.trim();
}

/** Runs a program that prepares something, in silence unless it fails. */
export function prepare(
  /** @type {string} */ command,
  /** @type {string[]} */ args,
  /** @type {{ cwd?: string, env?: NodeJS.ProcessEnv }} */ options = {},
) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status === 0) return;
  const said = error?.message ?? `${stdout}${stderr}`.trim().split('\n').slice(-5).join('\n');
  throw new Error(`${command} ${args[0]} failed: ${said}`);
}

/**
 * Starts a program, whose standard input ends when it is to end.
 *
 * @param {readonly string[]} command
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 */
export function start([command = '', ...args], options = {}) {
  // A group of its own, so that what it starts ends with it
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true, ...options });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    said = (said + text).slice(-2000);
  });
  // It may end before its standard input does
  child.stdin.on('error', () => {});
  const ended = new Promise((resolve) => {
    child.on('exit', resolve);
    child.on('error', (error) => {
      said += error.message;
      resolve(-1);
    });
  });
  return {
    lines: createInterface({ input: child.stdout }),
    /** Resolves when it has ended. */
    ended,
    /** The end of what it said on standard error. */
    said: () => said.trim(),
    async end() {
      child.stdin.end();
      if (child.pid === undefined || child.exitCode !== null) return;
      const timer = setTimeout(() => kill(child.pid, 'SIGKILL'), 3000);
      kill(child.pid, 'SIGTERM');
      await ended;
      clearTimeout(timer);
    },
  };
}

function kill(/** @type {number | undefined} */ pid, /** @type {NodeJS.Signals} */ signal) {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // It has ended
  }
}
