import { expect, test } from 'vitest';
import { type Extension, Opcode, PreparedMessage } from '../../src/protocol.js';
import { parse } from '../support/frames.js';
import { makeXor } from '../support/xor.js';

test('§6.1 the frame is made once, unmasked, of text or bytes', () => {
  const text = new PreparedMessage('tëxt');
  expect(parse(text.frame)).toMatchObject([
    { fin: true, rsv: 0, opcode: 1, key: null, payload: Buffer.from('tëxt') },
  ]);
  expect(text.frame).toBe(text.frame);
  const bytes = new PreparedMessage(new Uint8Array([1, 2, 3]));
  expect([text.opcode, bytes.opcode]).toEqual([Opcode.Text, Opcode.Binary]);
  expect(parse(bytes.frame)).toMatchObject([{ opcode: 2, payload: Buffer.from([1, 2, 3]) }]);
  expect(parse(new PreparedMessage(Buffer.from('as text'), Opcode.Text).frame)).toMatchObject([
    { opcode: 1 },
  ]);
});

test('§6.1 a large payload lies in one piece with its header, and the bytes given are left as they are', () => {
  const payload = Buffer.alloc(100_000, 'large');
  const message = new PreparedMessage(payload);
  expect(parse(message.frame)[0]!.payload.equals(payload)).toBe(true);
  expect(message.frame.buffer).not.toBe(payload.buffer);
});

/** Counts what the extension encodes. */
function counting(later: boolean): { extension: Extension; calls: () => number } {
  const extension = makeXor(later);
  const { encode } = extension.encoder;
  let calls = 0;
  extension.encoder.encode = (data, last) => {
    expect(last).toBe(true);
    calls++;
    return encode(data, last);
  };
  return { extension, calls: () => calls };
}

const encoded = Buffer.from('hello').map((byte) => byte ^ 0x55);

test.each(['hello', Buffer.from('hello')])(
  '§9 %o is encoded once for a key, and again for another',
  (data) => {
    const { extension, calls } = counting(false);
    const message = new PreparedMessage(data, Opcode.Text);
    const frame = message.encodedFrame('a', extension) as Buffer;
    expect(parse(frame)).toMatchObject([{ opcode: 1, rsv: 0x40, payload: Buffer.from(encoded) }]);
    expect(message.encodedFrame('a', extension)).toBe(frame);
    expect(calls()).toBe(1);
    expect(message.encodedFrame('b', extension)).toEqual(frame);
    expect(calls()).toBe(2);
  },
);

test('§9 those who ask while it is encoded elsewhere wait for the same frame; later ones have it at once', async () => {
  const { extension, calls } = counting(true);
  const message = new PreparedMessage('hello');
  const [first, second] = [message.encodedFrame('a', extension), message.encodedFrame('a', extension)];
  expect(first).toBeInstanceOf(Promise);
  expect(second).toBe(first);
  const frame = await first;
  expect(message.encodedFrame('a', extension)).toBe(frame);
  expect(calls()).toBe(1);
});

test('an extension that failed once is asked again for the next endpoint', async () => {
  const message = new PreparedMessage('again');
  let calls = 0;
  const extension = makeXor();
  const failing = {
    ...extension,
    encoder: {
      ...extension.encoder,
      encode: (): Promise<Buffer> =>
        calls++ === 0 ? Promise.reject(new Error('of the codec')) : Promise.resolve(Buffer.from('fine')),
    },
  };
  await expect(message.encodedFrame('key', failing)).rejects.toThrow('of the codec');
  expect((await message.encodedFrame('key', failing)).subarray(2).toString()).toBe('fine');
  await message.encodedFrame('key', failing);
  expect(calls).toBe(2);
});
