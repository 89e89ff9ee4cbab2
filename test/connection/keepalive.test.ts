/** RFC 6455 §5.5.2: the timer that all connections of a rhythm share. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Keepalive, type KeepaliveOwner } from '../../src/connection/keepalive.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A connection whose peer answers, unless it is gone. */
class Owner implements KeepaliveOwner {
  readonly suspended = false;
  readonly keepalive = new Keepalive(this, 800, 400);
  pings = 0;
  lost = 0;
  gone = false;
  onLostToo: () => void = () => {};

  onPingDue(): void {
    this.pings++;
    this.keepalive.heard = !this.gone;
  }

  onLost(): void {
    this.lost++;
    this.keepalive.stop();
    this.onLostToo();
  }
}

describe('one timer for many connections', () => {
  test.each([
    ['the first', [0]],
    ['the last', [9]],
    ['some, from both ends', [0, 9, 4, 5, 1]],
    ['one, twice', [3, 3]],
    ['all but one', [8, 0, 7, 1, 6, 2, 5, 3, 9]],
  ])('when %s end, the others are pinged on', (_, ended) => {
    const owners = Array.from({ length: 10 }, () => new Owner());
    for (const i of ended) owners[i]!.keepalive.stop();
    vi.advanceTimersByTime(1_700);
    expect(owners.map(({ pings }) => pings)).toEqual(owners.map((_, i) => (ended.includes(i) ? 0 : 2)));
    for (const { keepalive } of owners) keepalive.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([0, 3, 9])('the loss of number %i ends others in the same beat', (first) => {
    const owners = Array.from({ length: 10 }, () => new Owner());
    const others = owners.filter((_, i) => i !== first && i % 2 === 1);
    owners[first]!.gone = true;
    owners[first]!.onLostToo = (): void => {
      for (const { keepalive } of others) keepalive.stop();
    };
    vi.advanceTimersByTime(1_300);
    expect(owners[first]!.lost).toBe(1);
    vi.advanceTimersByTime(800);
    for (const [i, { pings, lost }] of owners.entries()) {
      expect(lost, String(i)).toBe(i === first ? 1 : 0);
      expect(pings, String(i)).toBe(i === first || others.includes(owners[i]!) ? 1 : 2);
    }
    for (const { keepalive } of owners) keepalive.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
