/** Child processes of the bench: pinned to a core where `taskset` exists, and called over IPC. */

import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/** The measured side has the first core, what drives it the second. */
export const MEASURED = 0;
export const DRIVER = 1;

/** Whether the processes can be pinned to two cores. */
export const pinned = availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0;

/** @type {Set<import('node:child_process').ChildProcess>} */
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/**
 * Starts `file` of this folder; `call()` runs one of the functions it gave to `serveCalls()`.
 *
 * @param {string} file
 * @param {{ core: number, args?: string[], env?: Record<string, string>, nodeArgs?: string[] }} options
 */
export function startProcess(file, { core, args = [], env = {}, nodeArgs = [] }) {
  const command = [process.execPath, '--expose-gc', ...nodeArgs, join(import.meta.dirname, file), ...args];
  if (pinned) command.unshift('taskset', '-c', String(core));
  const child = spawn(command[0], command.slice(1), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
  });
  children.add(child);
  let calls = 0;
  /** @type {Map<number, { resolve(result: any): void, reject(error: Error): void }>} */
  const pending = new Map();
  child.on('message', (/** @type {any} */ { id, result, error }) => {
    const call = pending.get(id);
    pending.delete(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(`${file} ${args.join(' ')}: ${error}`));
  });
  child.on('error', () => {});
  child.on('exit', (code, signal) => {
    children.delete(child);
    for (const { reject } of pending.values()) {
      reject(new Error(`${file} ${args.join(' ')} ended: ${code ?? signal}`));
    }
  });
  return {
    /** @returns {Promise<any>} */
    call(/** @type {string} */ name, /** @type {any} */ argument) {
      return new Promise((resolve, reject) => {
        pending.set(++calls, { resolve, reject });
        child.send({ id: calls, name, argument });
      });
    },
    stop() {
      child.removeAllListeners('exit');
      children.delete(child);
      child.kill('SIGKILL');
    },
  };
}

/**
 * The side of the child.
 *
 * @param {Record<string, (argument: any) => any>} functions
 */
export function serveCalls(functions) {
  process.on('disconnect', () => process.exit());
  process.on('message', async (/** @type {any} */ { id, name, argument }) => {
    try {
      process.send?.({ id, result: await functions[name](argument) });
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
}
