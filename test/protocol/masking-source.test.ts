import { beforeEach, expect, test, vi } from 'vitest';

const filled = vi.hoisted(() => [] as number[]);

vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  return {
    ...crypto,
    randomFillSync<T extends NodeJS.ArrayBufferView>(view: T): T {
      crypto.randomFillSync(view);
      filled.push(...(view as unknown as Int32Array));
      return view;
    },
  };
});

beforeEach(() => {
  filled.length = 0;
});

test('[S-03] §5.3 of 10,000 frames of length zero each has a key of its own from node:crypto', async () => {
  const { Endpoint, Opcode } = await import('../../src/protocol.js');
  const { parse } = await import('../support/frames.js');
  const endpoint = new Endpoint({ role: 'client' });
  for (let i = 0; i < 10_000; i++) endpoint.send(Opcode.Binary, Buffer.alloc(0));
  const keys = parse(Buffer.concat(endpoint.take())).map((one) => one.key!.readInt32BE());
  expect(keys).toEqual(filled.slice(0, 10_000));
  expect(new Set(keys).size).toBeGreaterThan(9_980);
});
