import { expect, test, vi } from 'vitest';
import { MessageAssembler } from '../../src/protocol.js';

test('a message that came in one buffer is handed over as a view of it', () => {
  const assembler = new MessageAssembler();
  const chunk = Buffer.allocUnsafeSlow(1000).fill('x');
  assembler.add(chunk, 4, 1000);
  const message = assembler.take();
  expect([message.buffer === chunk.buffer, message.byteOffset, message.length]).toEqual([true, 4, 996]);
});

test('a chunk that fills little of its buffer is copied, so that it does not pin it', () => {
  const assembler = new MessageAssembler();
  const chunk = Buffer.allocUnsafeSlow(64 * 1024).fill('x');
  assembler.add(chunk, 0, 1000);
  expect(assembler.take().buffer).not.toBe(chunk.buffer);
});

test('a chunk is kept as a view from three quarters of its buffer on', () => {
  const chunk = Buffer.allocUnsafeSlow(4000).fill('x');
  for (const [end, isView] of [
    [3000, true],
    [2999, false],
  ] as const) {
    const assembler = new MessageAssembler();
    assembler.add(chunk, 0, end);
    expect(assembler.take().buffer === chunk.buffer).toBe(isView);
  }
});

test('a view that ends a block is worth twice the room that is lost with it', () => {
  // A block of 256 bytes with one used: 255 are lost
  const sizesOf = (length: number): number[] => {
    const assembler = new MessageAssembler();
    const chunk = Buffer.allocUnsafeSlow(length);
    const allocate = vi.spyOn(Buffer, 'allocUnsafeSlow');
    assembler.add(Buffer.from('x'), 0, 1);
    assembler.add(chunk, 0, length);
    const sizes = allocate.mock.calls.map(([size]) => size);
    allocate.mockRestore();
    return sizes;
  };
  expect(sizesOf(510)).toEqual([256]);
  expect(sizesOf(509)).toEqual([256, 510]);
});

test('a block is as large as what is left of the chunk', () => {
  const assembler = new MessageAssembler();
  const chunk = Buffer.allocUnsafeSlow(2000);
  const allocate = vi.spyOn(Buffer, 'allocUnsafeSlow');
  assembler.add(chunk, 100, 500);
  const sizes = allocate.mock.calls.map(([size]) => size);
  allocate.mockRestore();
  expect(sizes).toEqual([400]);
});

test('a small message in fragments takes a small block, a larger one blocks of at most 64 KiB', () => {
  const assembler = new MessageAssembler();
  for (const letter of 'small') assembler.add(Buffer.from(letter), 0, 1);
  const small = assembler.take();
  expect([small.toString(), small.buffer.byteLength]).toEqual(['small', 256]);
  const allocate = vi.spyOn(Buffer, 'allocUnsafeSlow');
  const chunk = Buffer.allocUnsafeSlow(1000);
  for (let i = 0; i < 1000; i++) assembler.add(chunk, 0, 100);
  const blocks = allocate.mock.calls.map(([size]) => size).slice(1);
  allocate.mockRestore();
  expect(blocks).toEqual([256, 300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 64 * 1024]);
});

test('§5.4 chunks of every size are joined in order', () => {
  const assembler = new MessageAssembler();
  const expected: Buffer[] = [];
  for (let i = 0; i < 400; i++) {
    const chunk = Buffer.allocUnsafeSlow((i * 37) % 3000).fill(i);
    const start = i % 7 === 0 ? chunk.length >> 1 : 0;
    assembler.add(chunk, start, chunk.length);
    expected.push(chunk.subarray(start));
  }
  const whole = Buffer.concat(expected);
  expect(assembler.size).toBe(whole.length);
  expect(assembler.take().equals(whole)).toBe(true);
  expect([assembler.size, assembler.take().length]).toEqual([0, 0]);
});

test('[F-11] 131,000 chunks of 1 byte, each alone in its buffer, retain less than twice their bytes and 64 KiB', () => {
  const chunk = Buffer.from('x');
  const assemblers = Array.from({ length: 10 }, () => new MessageAssembler());
  const before = process.memoryUsage().arrayBuffers;
  for (const assembler of assemblers) {
    for (let i = 0; i < 131_000; i++) assembler.add(chunk, 0, 1);
  }
  const each = (process.memoryUsage().arrayBuffers - before) / assemblers.length;
  expect(each).toBeLessThan(2 * 131_000 + 64 * 1024);
  for (const assembler of assemblers) expect(assembler.take().length).toBe(131_000);
});

test('[F-13] 1,000,000 empty chunks retain nothing', () => {
  const assembler = new MessageAssembler();
  const empty = Buffer.alloc(0);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 1_000_000; i++) assembler.add(empty, 0, 0);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024);
  expect(assembler.take().length).toBe(0);
});

test('[F-11] chunks kept as views by turns with chunks of 1 byte retain at most twice their bytes and 64 KiB', () => {
  for (const large of [256, 300, 1000, 5000, 40_000]) {
    const assembler = new MessageAssembler();
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 200; i++) {
      const chunk = Buffer.allocUnsafeSlow(large + 6).fill(i);
      assembler.add(chunk, 6, chunk.length);
      assembler.add(Buffer.from('x'), 0, 1);
    }
    // Once more their bytes: chunks that were copied, and are garbage
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(3 * assembler.size + 64 * 1024);
    const parts = Array.from({ length: 200 }, (_, i) => [Buffer.alloc(large, i), Buffer.from('x')]);
    expect(assembler.take().equals(Buffer.concat(parts.flat()))).toBe(true);
  }
});

test('[X-22] a part whose memory was transferred to another thread is an error, not zeros', () => {
  for (const parts of [1, 2]) {
    const assembler = new MessageAssembler();
    const chunk = Buffer.from(new ArrayBuffer(1000));
    assembler.add(chunk, 100, 1000);
    if (parts === 2) assembler.add(Buffer.from('end'), 0, 3);
    structuredClone(chunk.buffer, { transfer: [chunk.buffer] });
    expect(() => assembler.take()).toThrow('transferred');
  }
});
