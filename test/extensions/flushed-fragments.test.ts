/** RFC 7692 §7.2.1: "the sender can also flush" within a message; what was flushed is delivered before more comes. */
import { constants, deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { type Extension, permessageDeflate } from '../../src/index.js';
import { chunkings, frameTo, type Role, roles } from '../support/frames.js';
import { checkNothingLeft } from '../support/nothing-left.js';
import { pair, rawPair, turns } from '../support/wire.js';

checkNothingLeft();

const TAIL = Buffer.of(0, 0, 0xff, 0xff);

/** An extension of a server and one of its client. */
function negotiate(contextTakeover = true): Record<Role, Extension> {
  const options = {
    threshold: 0,
    serverNoContextTakeover: !contextTakeover,
    clientNoContextTakeover: !contextTakeover,
  };
  const factory = permessageDeflate(options);
  const { extension, parameters } = factory.accept(factory.offers()[0]!)!;
  return { server: extension, client: factory.confirm(parameters) };
}

/** What a decoder gives at once, joined, and whether it wants more payload. */
function readAll({ decoder }: Extension): Buffer {
  const parts: Buffer[] = [];
  for (let data = decoder.read(1e9); data !== null; data = decoder.read(1e9)) {
    parts.push(data);
    if (decoder.done) break;
  }
  expect(decoder.busy).toBe(false);
  return Buffer.concat(parts);
}

/** Bytes that a compressor makes shorter, or not. */
const some = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(9_000))
    .map(([bytes, size]) => Buffer.alloc(size, bytes)),
);

describe.each(roles)('a %s', (role) => {
  test.each([true, false])(
    'reads each flushed fragment by itself, with context takeover: %s',
    async (contextTakeover) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(some, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 3 }),
          fc.constantFrom(1, 3, 1000, 1_000_000),
          async (messages, step) => {
            const own = negotiate(contextTakeover);
            const peer = own[role === 'server' ? 'client' : 'server'];
            for (const message of messages) {
              for (const [index, part] of message.entries()) {
                const last = index === message.length - 1;
                // Those that are empty are flushed as well
                const payload = Buffer.from(await peer.encoder.encode(part, last));
                for (let at = 0; at < payload.length; at += step) {
                  const ends = at + step >= payload.length;
                  if (at > 0) expect(own[role].decoder.read(1e9)).toBe(null);
                  own[role].decoder.write(payload.subarray(at, at + step), last && ends, ends);
                }
                expect(readAll(own[role]).equals(part)).toBe(true);
                expect(own[role].decoder.done).toBe(last);
              }
            }
            for (const extension of Object.values(own)) extension.close();
          },
        ),
        { numRuns: 60 },
      );
    },
  );

  test.each(chunkings)('a fragment that only looks as if it was flushed, in chunks: %s', async (_, cut) => {
    // A stored block whose data has the mark of a flush at the end of a fragment, in its first bytes and in the middle
    const data = Buffer.concat([TAIL, Buffer.alloc(50, 'a'), TAIL, Buffer.alloc(20, 'b')]);
    const block = Buffer.concat([Buffer.of(0, data.length, 0, 255 - data.length, 255), data]);
    const flushed = deflateRawSync('in front of it', { finishFlush: constants.Z_SYNC_FLUSH });
    const bytes = Buffer.concat([
      frameTo(role, 2, flushed, { fin: false, rsv: 0x40 }),
      frameTo(role, 0, block.subarray(0, 9), { fin: false }),
      frameTo(role, 0, block.subarray(9, 63), { fin: false }),
      frameTo(role, 0, Buffer.concat([block.subarray(63), Buffer.of(0)])),
    ]);
    const [ws, peer] = await rawPair(role, { extension: () => negotiate()[role] });
    for (const chunk of cut(bytes)) {
      peer.socket.write(chunk);
      await turns(1);
    }
    const message = (await ws.receive())!;
    expect(Buffer.from(await message.bytes())).toEqual(Buffer.concat([Buffer.from('in front of it'), data]));
    ws.terminate();
    await ws.closed;
  });

  test.each([1, 300, 9_000, 100_000, 400_000])(
    'a dialogue within one message: each fragment of %i bytes is read while the message is open',
    async (size) => {
      const own = negotiate();
      const other = role === 'server' ? 'client' : 'server';
      const [ws, peer] = await pair(role, { extension: () => own[role] }, { extension: () => own[other] });
      const question = peer.createWriter('binary');
      const answer = ws.createWriter('binary');
      const asked = ws.receive();
      const answered = peer.receive();
      for (const byte of [1, 2, 3]) {
        await question.write(Buffer.alloc(size, byte));
        expect(await (await asked)!.read(size)).toEqual(Buffer.alloc(size, byte));
        await answer.write(Buffer.of(byte));
        expect(await (await answered)!.read(1)).toEqual(Buffer.of(byte));
      }
      await Promise.all([question.end(), answer.end()]);
      expect([await (await asked)!.read(1), await (await answered)!.read(1)]).toEqual([null, null]);
      for (const each of [ws, peer]) each.terminate();
    },
  );

  test('what flushed fragments inflate to counts: 1009 over maxMessageSize', async () => {
    const ends = { extension: () => negotiate()[role], options: { maxMessageSize: 500_000 } };
    const [ws, peer] = await rawPair(role, ends);
    ws.on('message', () => {});
    const part = deflateRawSync(Buffer.alloc(100_000), { finishFlush: constants.Z_SYNC_FLUSH });
    peer.send(2, part, { fin: false, rsv: 0x40 });
    for (let i = 0; i < 5; i++) peer.send(0, part, { fin: false });
    await peer.until(({ frames }) => frames.length === 1);
    expect(peer.frames[0]!.payload.readUInt16BE()).toBe(1009);
    peer.socket.destroy();
    await ws.closed;
  });
});

describe('a stored block that ends within what is put behind the payload, of which the rest is a last block by chance', () => {
  /** A decoder whose random mark is one of those, of one in five thousand processes. */
  async function unlucky(): Promise<Extension> {
    vi.resetModules();
    const random = vi.spyOn(crypto, 'getRandomValues').mockImplementationOnce(((bytes: Buffer) => {
      Buffer.from('ecf5aac823c000a2', 'hex').copy(bytes);
      return bytes;
    }) as never);
    const fresh = (await import('../../src/index.js')) as { permessageDeflate: typeof permessageDeflate };
    expect(random).toHaveBeenCalledOnce();
    random.mockRestore();
    return fresh.permessageDeflate().accept([])!.extension;
  }

  /** A block of so many bytes, which end in the mark of a flush and one byte more. */
  function stored(size: number): [data: Buffer, block: Buffer] {
    const data = Buffer.concat([Buffer.alloc(size - 5, 'a'), TAIL, Buffer.from('b')]);
    const header = Buffer.alloc(5);
    header.writeUInt16LE(size, 1);
    header.writeUInt16LE(size ^ 0xffff, 3);
    return [data, Buffer.concat([header, data])];
  }

  /** All that a decoder gives of what it has; also what is inflated elsewhere. */
  async function drain({ decoder }: Extension): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (;;) {
      const data = decoder.read(1e9);
      if (data !== null) parts.push(data);
      else if (decoder.done || !decoder.busy) return Buffer.concat(parts);
      else
        await new Promise<void>((resolve) => {
          decoder.onready = resolve;
        });
    }
  }

  test.each([100, 10_001, 60_000])(
    'a fragment that only looks as if it was flushed, of a block of %i bytes',
    async (size) => {
      const extension = await unlucky();
      const [data, block] = stored(size);
      extension.decoder.write(block.subarray(0, -1), false, true);
      const first = await drain(extension);
      extension.decoder.write(Buffer.concat([block.subarray(-1), Buffer.of(0)]), true, true);
      expect(Buffer.concat([first, await drain(extension)]).equals(data)).toBe(true);
      extension.close();
    },
  );

  test.each([100, 10_001, 60_000])('a message that is cut off within a block of %i bytes', async (size) => {
    const extension = await unlucky();
    // What is appended completes the block, with a byte of the mark
    extension.decoder.write(stored(size)[1].subarray(0, -TAIL.length - 1), true, true);
    await expect(drain(extension)).rejects.toMatchObject({ closeCode: 1007 });
    extension.close();
  });
});
