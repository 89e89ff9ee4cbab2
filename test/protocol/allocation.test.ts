import { expect, test } from 'vitest';
import { Endpoint, EndpointEvent, FrameEvent, FrameParser } from '../../src/protocol.js';
import { frameTo, roles } from '../support/frames.js';

/** Messages in one measurement: an object for each would take 1 MB, which is not collected meanwhile. */
const MESSAGES = 50_000;

/** Bytes of heap that one call of `work` takes, when the garbage collector does not run. */
function allocated(work: () => void, calls: number): number {
  for (let i = 0; i < calls; i++) work();
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    globalThis.gc!();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < calls; i++) work();
    least = Math.min(least, (process.memoryUsage().heapUsed - before) / calls);
  }
  return least;
}

test.each(roles.flatMap((role) => [1, 20, 125, 1000, 4000].map((size) => [role, size] as const)))(
  'a %s allocates nothing to parse a whole message of %i bytes',
  (role, size) => {
    const frame = frameTo(role, 2, Buffer.alloc(size, 'x'));
    const frames = Math.max(1, Math.floor(16_384 / frame.length));
    // Memory of its own, as that of a socket's chunk; not a part of the Buffer pool
    const chunk = Buffer.allocUnsafeSlow(frames * frame.length).fill(frame);
    const calls = Math.ceil(MESSAGES / frames);
    const parser = new FrameParser(role === 'server');
    let payloads = 0;
    const parse = (): void => {
      parser.push(chunk);
      for (let event = parser.next(); event !== FrameEvent.NeedData; event = parser.next()) {
        if (event === FrameEvent.Payload) payloads++;
      }
    };
    expect(allocated(parse, calls) / frames).toBeLessThan(1);
    expect(payloads).toBe(6 * calls * frames);
    const endpoint = new Endpoint({ role });
    let messages = 0;
    const receive = (): void => {
      endpoint.push(chunk);
      for (let event = endpoint.next(); event !== EndpointEvent.NeedData; event = endpoint.next()) messages++;
    };
    expect(allocated(receive, calls) / frames).toBeLessThan(1);
    expect(messages).toBe(6 * calls * frames);
  },
);
