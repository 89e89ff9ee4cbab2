/** Memory that connections share: no connection is sent what another one sends. */
import { afterEach, describe, expect, test } from 'vitest';
import { type ConnectionOptions, permessageDeflate, type WebSocketConnection } from '../../src/index.js';
import type { Extension, Role } from '../../src/protocol.js';
import { roles } from '../support/frames.js';
import { leftovers, pair } from '../support/wire.js';
import { makeXor } from '../support/xor.js';

afterEach(async () => {
  expect(await leftovers()).toBe(0);
});

type Deflate = NonNullable<Parameters<typeof permessageDeflate>[0]>;

/** Both ends of a negotiated permessage-deflate. */
function deflate(options: Deflate): Record<Role, () => Extension> {
  const factory = permessageDeflate(options);
  const accepted = factory.accept(factory.offers()[0]!)!;
  return { server: () => accepted.extension, client: () => factory.confirm(accepted.parameters) };
}

/** Returns its input, as an encoder may: the payload is a view of the memory that it was given. */
function identity(): Extension {
  const xor = makeXor();
  const parts: Buffer[] = [];
  let last = false;
  return {
    ...xor,
    encoder: { wants: () => true, encode: (data) => Buffer.from(data.buffer, data.byteOffset, data.length) },
    decoder: {
      busy: false,
      done: false,
      onready: null,
      write(payload, isLast) {
        (this as { done: boolean }).done = false;
        last = isLast;
        parts.push(payload);
      },
      read() {
        const part = parts.shift() ?? null;
        (this as { done: boolean }).done = last && parts.length === 0;
        return part;
      },
    },
  };
}

interface Kind {
  readonly name: string;
  readonly options?: ConnectionOptions;
  readonly extension?: Record<Role, () => Extension>;
}

/** A function of each kind makes ends of their own for each connection. */
const kinds: readonly (() => Kind)[] = [
  () => ({ name: 'plain' }),
  () => ({ name: 'deflate', extension: deflate({}) }),
  () => ({ name: 'deflate of large messages only', extension: deflate({ threshold: 20_000 }) }),
  () => ({
    name: 'deflate of each message on its own',
    extension: deflate({ serverNoContextTakeover: true, clientNoContextTakeover: true, level: 6 }),
  }),
  () => ({ name: 'deflate in the thread pool', extension: deflate({ offloadSize: 2_000 }) }),
  () => ({ name: 'an extension that returns its input', extension: { server: identity, client: identity } }),
  () => ({
    name: 'an extension that works later',
    extension: { server: () => makeXor(true), client: () => makeXor(true) },
  }),
];

/** Around every threshold: of headers, of copying, of scratch memory, of compression. */
const sizes = [
  0, 1, 64, 65, 125, 126, 127, 128, 192, 1023, 1024, 1025, 4096, 8191, 8192, 8193, 16_383, 16_384, 16_385,
  20_001, 32_768, 49_152, 65_535, 65_536,
];

/** Content that tells whose it is, in which message, at every place; `wide` characters are not ASCII. */
function content(owner: number, message: number, size: number, wide: boolean): string {
  const mark = wide ? `ö${owner}€${message};` : `o${owner}m${message};`;
  return mark.repeat(Math.ceil(size / mark.length)).slice(0, size);
}

/** Sends message `index` of the connection `owner` in one of the ways there are; returns what must arrive. */
function send(ws: WebSocketConnection, owner: number, index: number): string {
  const size = sizes[(index * 7 + owner) % sizes.length]!;
  const text = content(owner, index, size, (index + owner) % 3 === 0);
  const compress = (index + owner) % 4 !== 0;
  switch (index % 5) {
    case 0:
    case 1:
      ws.send(text, { compress });
      break;
    case 2:
      ws.send(Buffer.from(text), { compress });
      break;
    case 3:
      ws.send(Buffer.from(text), { type: 'text', compress });
      break;
    default: {
      const writer = ws.createWriter('text');
      for (let at = 0; at < text.length; at += 9_000) void writer.write(text.slice(at, at + 9_000));
      void writer.end();
    }
  }
  return text;
}

describe.each(roles)('many connections of a %s', (role) => {
  test('[X-01] each is sent its own messages: every kind and size interleaved in one tick, mixed extensions', async () => {
    const connections = await Promise.all(
      [...kinds, ...kinds].map((make) => {
        const { options, extension } = make();
        const ends = (of: Role) => ({
          ...(options && { options }),
          ...(extension && { extension: extension[of] }),
        });
        return pair(role, ends(role), ends(role === 'server' ? 'client' : 'server'));
      }),
    );
    const received = connections.map(([, peer]) => {
      const texts: string[] = [];
      peer.on('message', (data) => texts.push(String(data)));
      return texts;
    });
    const expected: string[][] = connections.map(() => []);
    const count = 40;
    for (let index = 0; index < count; index++) {
      for (const [owner, [ws]] of connections.entries()) expected[owner]!.push(send(ws, owner, index));
    }
    await Promise.all(
      connections.map(async ([ws, peer], owner) => {
        while (received[owner]!.length < count) await new Promise((resolve) => peer.once('message', resolve));
        await ws.close();
      }),
    );
    for (const [owner, texts] of received.entries()) {
      for (const [index, text] of texts.entries()) {
        if (text !== expected[owner]![index])
          expect.fail(`connection ${owner}, message ${index}: ${text.slice(0, 40)}`);
      }
      expect(texts).toHaveLength(count);
    }
  });
});
