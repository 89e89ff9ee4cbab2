import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Endpoint, EndpointEvent, MessageAssembler, ProtocolError, violations } from '../../src/protocol.js';
import { feed, frameTo, roles } from '../support/frames.js';

const sections = new Set(Object.values(violations).map((row) => `RFC 6455 ${row.section}`));

interface Message {
  readonly text: boolean;
  readonly payload: Uint8Array;
  readonly cuts: readonly number[];
  readonly control: readonly (readonly [opcode: 9 | 10, payload: Uint8Array])[];
}

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
const message: fc.Arbitrary<Message> = fc.record({
  text: fc.boolean(),
  payload: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }).map((text) => new Uint8Array(Buffer.from(text))),
    fc.integer({ min: 100, max: 70_000 }).map((length) => new Uint8Array(length).fill(0x61)),
  ),
  cuts: fc.array(fc.nat(70_000), { maxLength: 4 }),
  control: fc.array(fc.tuple(fc.constantFrom(9 as const, 10 as const), bytes(125)), { maxLength: 2 }),
});

/** The message in fragments, with control frames in between. */
function fragments(role: 'server' | 'client', { text, payload, cuts, control }: Message): Buffer[] {
  const places = [...new Set([0, ...cuts.map((cut) => cut % (payload.length + 1)).sort((a, b) => a - b)])];
  const waiting = [...control];
  return places.flatMap((from, i) => {
    const to = places[i + 1] ?? payload.length;
    const opcode = i > 0 ? 0 : text ? 1 : 2;
    const fragment = frameTo(role, opcode, payload.subarray(from, to), { fin: i === places.length - 1 });
    const [kind, data] = waiting.shift() ?? [];
    return kind === undefined ? [fragment] : [frameTo(role, kind, data), fragment];
  });
}

/** Cuts the bytes at some places. */
function cutAt(whole: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (whole.length + 1)))].sort((a, b) => a - b);
  return [...sorted, whole.length].map((to, i) => Buffer.from(whole.subarray(sorted[i - 1] ?? 0, to)));
}

describe.each(roles)('a %s', (role) => {
  test('§5.4 any sequence of valid messages survives any fragmentation and any chunking', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 40 }),
        (messages, places) => {
          const sent = Buffer.concat(messages.flatMap((one) => fragments(role, one)));
          const { told, error } = feed(new Endpoint({ role }), cutAt(sent, places));
          expect(error).toBe(null);
          expect(told.filter(([event]) => event === 'message')).toEqual(
            messages.map(({ text, payload }) => [
              'message',
              text ? 1 : 2,
              Buffer.from(payload).toString('latin1'),
            ]),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  test('§5.2 any bytes give the same events and the same error in every chunking, and only errors of the table', () => {
    const garbage = fc.oneof(
      bytes(60),
      fc.tuple(message, bytes(20)).map(([one, noise]) => Buffer.concat([...fragments(role, one), noise])),
      fc.tuple(message, fc.nat(), fc.nat(255)).map(([one, place, value]) => {
        const whole = Buffer.concat(fragments(role, one));
        whole[place % Math.max(1, Math.min(40, whole.length))] = value;
        return whole;
      }),
    );
    fc.assert(
      fc.property(garbage, fc.array(fc.nat(), { maxLength: 30 }), (input, places) => {
        const all = Buffer.from(input);
        const outcome = (chunks: Buffer[]): unknown => {
          const { told, error } = feed(new Endpoint({ role, maxMessageSize: 100_000 }), chunks);
          if (error !== null) {
            expect(error).toBeInstanceOf(ProtocolError);
            expect(sections).toContain((error as ProtocolError).section);
          }
          return { told, error: error?.message };
        };
        expect(outcome(cutAt(all, places))).toEqual(outcome([Buffer.from(all)]));
      }),
      { numRuns: 400 },
    );
  });

  test('§6.2 both sinks, the assembler and a reader of chunks, see the same bytes', () => {
    fc.assert(
      fc.property(message, fc.array(fc.nat(), { maxLength: 30 }), (one, places) => {
        const endpoint = new Endpoint({ role });
        const assembler = new MessageAssembler();
        const read: Buffer[] = [];
        for (const chunk of cutAt(Buffer.concat(fragments(role, one)), places)) {
          endpoint.push(chunk);
          for (let event = endpoint.next(); event !== EndpointEvent.NeedData; event = endpoint.next()) {
            if (event !== EndpointEvent.Data) continue;
            assembler.add(endpoint.chunk, endpoint.start, endpoint.end);
            read.push(endpoint.chunk.subarray(endpoint.start, endpoint.end));
          }
        }
        expect(assembler.take().equals(one.payload)).toBe(true);
        expect(Buffer.concat(read).equals(one.payload)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});
