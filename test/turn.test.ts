import { describe, expect, test, vi } from 'vitest';
import { sliceOver, type Waiting, waitForTurn } from '../src/turn.js';
import { MAX_STALL, shortestOf } from './support/stalls.js';

/** Uses up the slice of this turn; the milliseconds that took. */
function useUp(): number {
  const began = performance.now();
  while (!sliceOver(0, false)) if (performance.now() - began > 1000) throw new Error('the slice has no end');
  return performance.now() - began;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the slice of time', () => {
  test('ends after a few milliseconds, stays used up within the turn, and begins anew in the next one', async () => {
    const used = await shortestOf(async () => {
      await turn();
      return useUp();
    });
    expect(used).toBeLessThan(MAX_STALL);
    expect(sliceOver(0, false)).toBe(true);
    expect(sliceOver(1, false)).toBe(true);
    await turn();
    expect(sliceOver(0, false)).toBe(false);
  });

  test('lasts longer for those who have little left', async () => {
    await turn();
    await turn();
    let time = performance.now();
    const now = vi.spyOn(performance, 'now').mockImplementation(() => time);
    const slicesOver = (milliseconds: number): boolean[] => {
      time += milliseconds;
      const looks = now.mock.calls.length;
      while (now.mock.calls.length === looks) sliceOver(0, false);
      return [sliceOver(0, false), sliceOver(0, true)];
    };
    try {
      expect([slicesOver(0), slicesOver(0.4), slicesOver(1), slicesOver(6), slicesOver(1)]).toEqual([
        [false, false],
        [false, false],
        [true, false],
        [true, false],
        [true, true],
      ]);
    } finally {
      now.mockRestore();
    }
    await turn();
    expect([sliceOver(0, false), sliceOver(0, true)]).toEqual([false, false]);
  });

  test('the clock is looked at rarely for cheap events, and for each one that is large', async () => {
    await turn();
    useUp();
    await turn();
    await turn();
    const now = vi.spyOn(performance, 'now');
    try {
      for (let i = 0; i < 640; i++) sliceOver(0, false);
      const cheap = now.mock.calls.length;
      expect(cheap).toBeGreaterThan(0);
      expect(cheap).toBeLessThan(200);
      for (let i = 0; i < 16; i++) sliceOver(64 * 1024, false);
      expect(now.mock.calls.length - cheap).toBeGreaterThanOrEqual(15);
    } finally {
      now.mockRestore();
    }
  });

  test('who waits goes on in the order of asking, a slice of them a turn', async () => {
    const log: string[] = [];
    const busy = (name: string): Waiting => ({
      behind: null,
      onTurn: (): void => {
        log.push(name);
        useUp();
      },
    });
    for (const name of ['a', 'b', 'c']) waitForTurn(busy(name));
    expect(log).toEqual([]);
    for (const want of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
      const before = log.length;
      while (log.length === before) await turn();
      expect(log).toEqual(want);
    }
  });

  test('who asks again waits behind the others', async () => {
    const log: string[] = [];
    let asked = false;
    const greedy: Waiting = {
      behind: null,
      onTurn(): void {
        log.push('greedy');
        useUp();
        if (!asked) waitForTurn(greedy);
        asked = true;
      },
    };
    waitForTurn(greedy);
    waitForTurn({ behind: null, onTurn: (): number => log.push('modest') });
    while (log.length < 3) await turn();
    expect(log).toEqual(['greedy', 'modest', 'greedy']);
  });

  test('what one of them throws costs the others nothing', async () => {
    const log: string[] = [];
    const thrown = new Promise((resolve) => process.prependOnceListener('uncaughtException', resolve));
    const others = process.listeners('uncaughtException').slice(1);
    for (const other of others) process.off('uncaughtException', other);
    waitForTurn({
      behind: null,
      onTurn(): void {
        throw new Error('mine');
      },
    });
    waitForTurn({ behind: null, onTurn: (): number => log.push('next') });
    const error = await thrown;
    for (const other of others) process.on('uncaughtException', other);
    while (log.length < 1) await turn();
    expect(error).toMatchObject({ message: 'mine' });
    expect(log).toEqual(['next']);
  });
});
