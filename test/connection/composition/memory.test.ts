/** Memory for a peer that does not read, and for messages that are too large for this runtime. */
import { constants } from 'node:buffer';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import {
  type MessageReader,
  ProtocolError,
  prepareMessage,
  type WebSocketConnection,
} from '../../../src/index.js';
import { record } from '../../support/consumers.js';
import { frameTo, roles } from '../../support/frames.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { longestStall, MAX_STALL, shortestOf } from '../../support/stalls.js';
import { asSocket, open, rawPair, turns } from '../../support/wire.js';

checkNothingLeft();

const MIB = 2 ** 20;
const gc = (globalThis as { gc?: () => void }).gc!;

/** A stream whose reader does not read, until it is let go. */
class Slow extends Duplex {
  reads = false;
  bytes = 0;
  #callback: (() => void) | null = null;
  override _read(): void {}
  override _write(chunk: Buffer, _: string, callback: () => void): void {
    this.bytes += chunk.length;
    if (this.reads) callback();
    else this.#callback = callback;
  }
  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    for (const { chunk } of chunks) this.bytes += chunk.length;
    if (this.reads) callback();
    else this.#callback = callback;
  }
  go(): void {
    this.reads = true;
    this.#callback?.();
    this.#callback = null;
  }
}
asSocket(Slow.prototype);

/** Bytes in use, after the garbage is collected. */
function used(): number {
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Sends until the connection is lost by it; the most memory that it took. */
async function fill(ws: WebSocketConnection, send: () => unknown): Promise<{ sent: number; memory: number }> {
  const before = used();
  let memory = 0;
  let sent = 0;
  while (ws.state === 'open' && sent < 50_000_000) {
    for (let i = 0; i < 100_000 && ws.state === 'open'; i++, sent++) send();
    await turns(1);
    if (ws.state === 'open') memory = Math.max(memory, used() - before);
  }
  return { sent, memory };
}

describe('a server', () => {
  const CAP = 4 * MIB;

  test.each([2, 20, 200])(
    '[X-29] broadcasts of %i bytes to a peer that does not read, up to the cap: memory in proportion to the cap',
    async (size) => {
      const stream = new Slow();
      const ws = open(stream, 'server', { options: { maxBufferedAmount: CAP } });
      const message = prepareMessage(Buffer.alloc(size, 'x'));
      ws.resume();
      const { sent, memory } = await fill(ws, () => ws.send(message));
      expect(ws.state).not.toBe('open');
      expect(sent * (size + 2)).toBeLessThan(CAP + MIB);
      // Before it is read, nothing is retained but what the cap allows: the payload, and what holds it
      expect(memory).toBeLessThan(2 * CAP);
      await ws.closed;
    },
  );
});

describe.each(roles)('a %s', (role) => {
  test.each([2, 20])(
    '[X-29] messages of %i bytes to a peer that does not read and then does: all arrive, no stall',
    async (size) => {
      const message = prepareMessage(Buffer.alloc(size, 'x'));
      const stall = await shortestOf(async () => {
        const stream = new Slow();
        const ws = open(stream, role);
        ws.resume();
        await turns(1);
        for (let i = 0; i < 200_000; i++) ws.send(message);
        const amount = ws.bufferedAmount;
        expect(amount).toBe((size + (role === 'client' ? 6 : 2)) * 200_000);
        const longest = await longestStall(() => {
          stream.go();
          return ws.drained();
        });
        expect([stream.bytes, ws.bufferedAmount]).toEqual([amount, 0]);
        ws.terminate();
        await ws.closed;
        return longest;
      });
      expect(stall).toBeLessThan(MAX_STALL);
    },
  );

  const oversize = BigInt(constants.MAX_STRING_LENGTH) + 1n;
  const ways: Readonly<Record<string, (ws: WebSocketConnection) => Promise<unknown>>> = {
    'message events': async (ws) => {
      ws.on('message', () => {});
      await ws.closed;
    },
    'text()': async (ws) => (await ws.receive())!.text(),
    'json()': async (ws) => (await ws.receive())!.json(),
    'text(), begun after the header': async (ws) => {
      const message: MessageReader = (await ws.receive())!;
      await turns(3);
      await message.text();
    },
  };

  test.each(Object.entries(ways))(
    "[X-15] maxMessageSize: Infinity and text over V8's string limit, read by %s: 1009 at its header",
    async (name, read) => {
      for (const fragmented of [false, true]) {
        const [ws, peer] = await rawPair(role, {
          options: { maxMessageSize: Number.POSITIVE_INFINITY, closeTimeout: 100 },
        });
        const seen = record(ws);
        const reading = read(ws).catch((error: unknown) => error);
        if (fragmented) peer.send(1, 'hello', { fin: false }).send(0, '', { length: oversize - 3n });
        else peer.send(1, '', { length: oversize });
        peer.socket.write(Buffer.alloc(1_000, 'x'));
        await peer.until(({ frames }) => frames.some(({ opcode }) => opcode === 8));
        expect(peer.frames.at(-1)!.payload.readUInt16BE()).toBe(1009);
        peer.socket.end();
        await ws.closed;
        expect(seen.map(([event]) => event)).toEqual(['error', 'close']);
        expect(seen[0]![1]).toMatchObject({ closeCode: 1009 });
        if (name !== 'message events') expect(await reading).toBeInstanceOf(ProtocolError);
      }
    },
  );

  test('[X-15] as much of it read chunk by chunk, or of binary data, is no failure', async () => {
    for (const opcode of [1, 2]) {
      const [ws, peer] = await rawPair(role, { options: { maxMessageSize: Number.POSITIVE_INFINITY } });
      const receiving = ws.receive();
      peer.socket.write(
        frameTo(role, opcode, '', { length: oversize, key: role === 'server' ? [0, 0, 0, 0] : null }),
      );
      peer.socket.write('first bytes');
      const message = (await receiving)!;
      for await (const chunk of message) {
        expect(String(chunk)).toContain('first');
        break;
      }
      expect(ws.state).toBe('open');
      ws.terminate();
      await ws.closed;
    }
  });
});
