import { expect, test } from 'vitest';
import { FrameWriter, mask, maskingKey } from '../../src/protocol.js';

test('§5.3 each octet is combined with octet i MOD 4 of the key, at any alignment, phase and length', () => {
  const key = 0x12f4a678;
  const octets = [0x12, 0xf4, 0xa6, 0x78];
  const lengths = [0, 1, 2, 3, 4, 5, 7, 8, 15, 190, 191, 192, 193, 194, 195, 196, 208, 1023, 4099];
  for (const length of lengths) {
    for (let offset = 0; offset < 5; offset++) {
      for (let phase = 0; phase < 5; phase++) {
        // A view that begins anywhere in its memory
        const store = Buffer.alloc(length + 20, 0x5a).subarray(phase % 3);
        const start = offset + 3;
        const expected = Buffer.from(store);
        mask(store, start, start + length, key, phase);
        for (let i = 0; i < length; i++) expected[start + i]! ^= octets[(i + phase) % 4]!;
        expect(store.equals(expected)).toBe(true);
        mask(store, start, start + length, key, phase);
        expect(store.every((byte) => byte === 0x5a)).toBe(true);
      }
    }
  }
});

test('§5.3 a key of zero changes nothing, one with its highest bit set works', () => {
  const bytes = Buffer.from('abcdef');
  mask(bytes, 0, 6, 0, 0);
  expect(bytes.toString()).toBe('abcdef');
  mask(bytes, 0, 6, 0xff000001 | 0, 1);
  expect([...bytes]).toEqual([0x61, 0x62, 0x63 ^ 0x01, 0x64 ^ 0xff, 0x65, 0x66]);
});

test('§5.3 keys are diverse in every octet', () => {
  const keys = Array.from({ length: 10_000 }, maskingKey);
  expect(new Set(keys).size).toBeGreaterThan(9_980);
  for (const shift of [0, 8, 16, 24])
    expect(new Set(keys.map((key) => (key >>> shift) & 0xff)).size).toBe(256);
});

test('memory whose size changes is masked as large as it is', () => {
  const make = ArrayBuffer as unknown as new (size: number, options: object) => ArrayBuffer;
  const memory = new make(400, { maxByteLength: 4000 }) as ArrayBuffer & { resize(size: number): void };
  for (const size of [400, 4000, 300, 2000]) {
    memory.resize(size);
    const bytes = Buffer.from(memory).fill(0);
    mask(bytes, 0, size, 0x01020304, 0);
    expect(bytes.every((byte, i) => byte === (i % 4) + 1)).toBe(true);
  }
});

test('memories masked by turns are not taken for one another', () => {
  const all = Array.from({ length: 4 }, (_, i) => Buffer.from(new ArrayBuffer(i === 3 ? 200_000 : 1000 + i)));
  for (let round = 0; round < 8; round++) {
    for (const [i, one] of all.entries()) mask(one, 8 * i, 900, 0x01020304, i);
  }
  // Twice is none
  expect(all.every((one) => one.every((byte) => byte === 0))).toBe(true);
  mask(all[1]!, 0, 900, 0x01010101, 0);
  expect(all.map((one) => one.includes(1))).toEqual([false, true, false, false]);
});

test('§5.3 no key is used for two frames, also when many writers take them by turns', () => {
  const writers = Array.from({ length: 5 }, () => new FrameWriter(true));
  const keys = new Set<string>();
  for (let i = 0; i < 2000; i++) {
    for (const writer of writers) {
      writer.frame(0x82, Buffer.alloc(0));
      keys.add(writer.take()[0]!.subarray(2, 6).toString('hex'));
    }
  }
  // Of 32 bits, 10,000 of them are the same by chance in 1 of 86 cases, twice in 1 of 15,000
  expect(keys.size).toBeGreaterThan(9_997);
});
