import { once } from 'node:events';
import { expect, test } from 'vitest';
import { deadline } from '../src/deadline.js';
import { block, checkSideConditions } from './support/side-conditions.js';
import { sockets, turns } from './support/wire.js';

checkSideConditions();

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('calls back once the time is over, and once only', async () => {
  const began = performance.now();
  let calls = 0;
  await new Promise<void>((resolve) => {
    deadline(30, () => {
      calls++;
      resolve();
    });
  });
  expect(performance.now() - began).toBeGreaterThan(28);
  await pause(60);
  expect(calls).toBe(1);
});

test('is forgotten when it is cancelled: before its time, between the timer and the poll, afterwards', async () => {
  const called: string[] = [];
  const early = deadline(10, () => called.push('early'));
  early();
  early();
  const between = deadline(1, () => called.push('between'));
  const after = deadline(1, () => called.push('after'));
  // Blocked until all timers are due: this one, set last, runs behind theirs in the same phase
  setTimeout(() => between(), 1);
  block(20);
  await turns(10);
  after();
  expect(called).toEqual(['after']);
});

test('[X-28] time in which the process was blocked does not count', async () => {
  const began = performance.now();
  const expired = new Promise<void>((resolve) => {
    deadline(80, resolve);
  });
  block(300);
  await expired;
  expect(performance.now() - began).toBeGreaterThan(300 + 78);
});

test('[X-28] a process that is blocked again and again still reaches its deadline', async () => {
  let expired = false;
  deadline(8, () => {
    expired = true;
  });
  let stalls = 0;
  for (; !expired; stalls++) {
    block(70);
    await pause(1);
  }
  expect(stalls).toBeLessThan(20);
});

test.each([
  [30, 60],
  [1, 20],
])(
  '[X-28] a deadline of %i ms, a process blocked for %i: it reads first what has arrived meanwhile',
  async (ms, blocked) => {
    const [server, client] = await sockets();
    const order: string[] = [];
    const expired = new Promise<void>((resolve) => {
      deadline(ms, () => {
        order.push('deadline');
        resolve();
      });
    });
    const cancelled = deadline(ms, () => order.push('cancelled'));
    client.on('data', () => {
      order.push('data');
      cancelled();
    });
    server.write('in the kernel');
    block(blocked);
    await expired;
    expect(order).toEqual(['data', 'deadline']);
    server.destroy();
    client.destroy();
    await Promise.all([once(server, 'close'), once(client, 'close')]);
  },
);
