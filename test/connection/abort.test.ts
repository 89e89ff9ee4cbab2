import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { onAbort } from '../../src/connection/abort.js';
import { checkSideConditions } from '../support/side-conditions.js';

checkSideConditions();

test('[X-20] many listeners of one signal are one of its own, and none is left behind', () => {
  const { signal } = new AbortController();
  const stops = Array.from({ length: 30 }, () => onAbort(signal, () => {}));
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  for (const stop of stops) stop();
  for (const stop of stops) stop();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('each listener is called once with the reason, in order, unless it was stopped, also by another one', () => {
  const controller = new AbortController();
  const { signal } = controller;
  const calls: unknown[] = [];
  const one = (reason: unknown): void => void calls.push(['one', reason]);
  const another = (reason: unknown): void => one(reason);
  onAbort(signal, one);
  onAbort(signal, () => stopLast());
  const stop = onAbort(signal, () => calls.push('stopped'));
  stop();
  onAbort(signal, another);
  const stopLast = onAbort(signal, () => calls.push('last'));
  controller.abort('why');
  expect(calls).toEqual([
    ['one', 'why'],
    ['one', 'why'],
  ]);
  onAbort(signal, one)();
  expect(calls).toHaveLength(3);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('a signal can be used again after all have stopped; none is no signal', () => {
  const controller = new AbortController();
  onAbort(controller.signal, () => {})();
  let called = 0;
  onAbort(controller.signal, () => called++);
  onAbort(undefined, () => called++)();
  controller.abort();
  expect(called).toBe(1);
});
