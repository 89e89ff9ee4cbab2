/**
 * What holds beside the outcome of every test of hostile input: nothing is unhandled, others are served,
 * nothing is left.
 */

import { afterEach, beforeEach, expect, vi } from 'vitest';
import { type ConnectOptions, connect } from '../../src/index.js';
import { timers, timersLeft, turns } from './wire.js';

const faults: unknown[] = [];
const onFault = (error: unknown): void => void faults.push(error);

/**
 * Has every test of the file fail for an unhandled rejection, an uncaught exception, a warning, or a timer
 * that is left. Call it before other hooks that close what a test has opened.
 */
export function checkSideConditions(): void {
  let before = 0;
  beforeEach(() => {
    before = timers();
    process.on('unhandledRejection', onFault).on('uncaughtException', onFault).on('warning', onFault);
  });
  afterEach(async () => {
    await turns(5);
    process.off('unhandledRejection', onFault).off('uncaughtException', onFault).off('warning', onFault);
    expect(faults.splice(0).map(String)).toEqual([]);
    expect(await timersLeft(before)).toBe(0);
  });
}

/** Waits for a fault that a test wants, and takes it out of the list. */
export async function expectedFault(): Promise<unknown> {
  await vi.waitFor(() => expect(faults).not.toEqual([]));
  return faults.shift();
}

/** A second connection to the server is opened and echoes, promptly. */
export async function expectEcho(port: number, options: ConnectOptions = {}, path = ''): Promise<void> {
  const began = performance.now();
  const ws = await connect(`ws://127.0.0.1:${port}${path}`, options);
  ws.send('still here');
  expect(await (await ws.receive())?.text()).toBe('still here');
  await ws.close();
  expect(performance.now() - began).toBeLessThan(2_000);
}

/** Blocks this process, as a long computation does. */
export function block(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}
