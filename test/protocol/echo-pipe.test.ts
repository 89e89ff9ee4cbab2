import { describe, expect, test } from 'vitest';
import { Endpoint, EndpointEvent, MessageAssembler, type MessageOpcode, Opcode } from '../../src/protocol.js';
import { chunkings, sizes } from '../support/frames.js';
import { makeXor } from '../support/xor.js';

type Cut = (bytes: Buffer) => Buffer[];

/** One side of an in-memory pipe: what came whole, and what it does with it. */
class Side {
  readonly endpoint: Endpoint;
  readonly messages: (readonly [MessageOpcode, Buffer])[] = [];
  readonly pongs: string[] = [];
  readonly #assembler = new MessageAssembler();
  readonly #echo: boolean;

  constructor(endpoint: Endpoint, echo: boolean) {
    this.endpoint = endpoint;
    this.#echo = echo;
  }

  receive(chunk: Buffer): void {
    const { endpoint } = this;
    endpoint.push(chunk);
    for (let event = endpoint.next(); event !== EndpointEvent.NeedData; event = endpoint.next()) {
      if (event === EndpointEvent.Pong) this.pongs.push(endpoint.control.toString());
      if (event !== EndpointEvent.Data) continue;
      this.#assembler.add(endpoint.chunk, endpoint.start, endpoint.end);
      if (!endpoint.last) continue;
      const message = this.#assembler.take();
      this.messages.push([endpoint.opcode, message]);
      if (this.#echo) endpoint.send(endpoint.opcode, message);
    }
  }
}

/** Carries bytes both ways until none are left; returns how many it carried. */
function run(one: Side, other: Side, cut: Cut): number {
  let carried = 0;
  while (one.endpoint.pending + other.endpoint.pending > 0) {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const { pending } = from.endpoint;
      const bytes = Buffer.concat(from.endpoint.take());
      expect(bytes.length).toBe(pending);
      carried += bytes.length;
      for (const chunk of cut(bytes)) to.receive(chunk);
    }
  }
  return carried;
}

describe.each([
  ['without an extension', false],
  ['through an extension', true],
])('a client and an echo server %s', (_, extended) => {
  const pair = (): [Side, Side] => {
    const make = (role: 'client' | 'server'): Endpoint =>
      new Endpoint({ role, ...(extended && { extension: makeXor() }) });
    return [new Side(make('client'), false), new Side(make('server'), true)];
  };

  describe.each(chunkings)('received %s', (_name, cut) => {
    test.each(sizes)('§6 messages of %i bytes come back as they were sent', (size) => {
      const [client, server] = pair();
      const text = '€'
        .repeat(Math.floor(size / 3))
        .padEnd(size === 0 ? 0 : size - 2 * Math.floor(size / 3), 'x');
      const bytes = Buffer.from(text);
      const before = Buffer.from(bytes);
      expect(bytes.length).toBe(size);
      client.endpoint.send(Opcode.Text, text);
      client.endpoint.send(Opcode.Binary, bytes);
      client.endpoint.send(Opcode.Binary, bytes.subarray(0, size >> 1), false);
      client.endpoint.sendPing(Buffer.from('in between'));
      client.endpoint.send(Opcode.Binary, bytes.subarray(size >> 1));
      run(client, server, cut);
      expect(client.messages.map(([opcode, message]) => [opcode, message.equals(before)])).toEqual([
        [Opcode.Text, true],
        [Opcode.Binary, true],
        [Opcode.Binary, true],
      ]);
      expect(client.pongs).toEqual(['in between']);
      expect(bytes.equals(before)).toBe(true);
    });

    test('§7.1 the closing handshake ends clean on both sides, whoever begins it', () => {
      for (const beginner of [0, 1]) {
        const sides = pair();
        sides[beginner]!.endpoint.sendClose(4001, 'done');
        run(...sides, cut);
        for (const { endpoint } of sides) {
          expect(endpoint.closing.info).toEqual({ code: 4001, reason: 'done', wasClean: true });
        }
      }
    });

    test('[L-07] §7.1 both sides close at once: each is told the code of the other, and it is clean', () => {
      const [client, server] = pair();
      client.endpoint.sendClose(4001);
      server.endpoint.sendClose(4002);
      // One Close frame each, nothing more: 2 + 2 bytes, and 4 of a masking key
      expect(run(client, server, cut)).toBe(12);
      expect(client.endpoint.closing.info).toEqual({ code: 4002, reason: '', wasClean: true });
      expect(server.endpoint.closing.info).toEqual({ code: 4001, reason: '', wasClean: true });
    });
  });
});
