import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { BroadcastOptions, BroadcastResult, ConnectionStats, MessageWriter } from '../../src/index.js';
import { keyOf } from './campaign.js';
import { programs } from './generator.js';
import { Laboratory } from './laboratory.js';
import { Coverage, LifeCycle } from './lifecycle.js';
import { End } from './model.js';
import { makeCable } from './network.js';
import { type Op, type Program, quietPath, quietSide, type Step } from './program.js';
import { knownRows, rowOf } from './rows.js';
import { hashOf } from './run.js';
import { shorten } from './shorten.js';
import { lengthOf, show } from './show.js';
import type { Library } from './world.js';

// Each test file has a process of its own: the built-in modules stay replaced until its end
let laboratory: Laboratory;
let source: Library;
/** What the next program runs with in place of the library. */
let broken: Partial<Library> = {};

beforeAll(() => {
  laboratory = new Laboratory(async () => {
    vi.resetModules();
    source = await import('../../src/index.js');
    return { ...source, ...broken };
  });
});

afterAll(() => laboratory.close());

function step(side: 'a' | 'b', does: Op, wait = 0): Step {
  return { wait, link: 0, side, does };
}

const hello: Op = {
  op: 'send',
  message: { size: 300, form: 'ascii' },
  carrier: 'plain',
  compress: true,
};

/** Two chunks by way of web streams. */
const piped: Op = {
  op: 'sendStream',
  source: 'web',
  pipe: true,
  chunks: 2,
  size: 5,
  abort: -1,
  awaited: true,
};

function programOf(...steps: readonly Step[]): Program {
  const link = { via: 'direct' as const, path: quietPath, deflate: null, a: quietSide, b: quietSide };
  return { cost: 0, pool: 0, links: [link], steps };
}

/** Its server asks for its messages one by one. */
function receiving(...steps: readonly Step[]): Program {
  const { links, ...program } = programOf(...steps);
  const consumer = { ...quietSide.consumer, mode: 'receive' as const };
  return { ...program, links: links.map((link) => ({ ...link, a: { ...link.a, consumer } })) };
}

/** To connections with an even number, but not to the first. */
const broadcast: Op = {
  op: 'broadcast',
  message: { size: 20, form: 'ascii' },
  compress: true,
  except: [0],
  filter: 'even',
  typed: true,
};

/** Three connections of one server. */
function served(does: Op): Program {
  const { links, ...program } = programOf(step('a', does, 50));
  return { ...program, links: [0, 1, 2].flatMap(() => links.map((link) => ({ ...link, via: 'server' }))) };
}

async function findingsWith(library: Partial<Library>, program: Program): Promise<string[]> {
  broken = library;
  laboratory.renew();
  const { findings } = await laboratory.run(program);
  broken = {};
  laboratory.renew();
  return findings.map(keyOf);
}

describe('programs that failed once', () => {
  const folder = join(import.meta.dirname, 'found');
  test.each(readdirSync(folder).filter((name) => name.endsWith('.json')))('%s', async (name) => {
    const { program } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { program: Program };
    const { findings } = await laboratory.run(program);
    expect(findings).toEqual([]);
  });
});

describe('the simulation', () => {
  test('an open connection delivers, and nothing is found', async () => {
    const { findings, trace } = await laboratory.run(programOf(step('a', hello), step('b', hello, 10)));
    expect(findings).toEqual([]);
    expect(trace.filter((line) => line.includes('message text 300'))).toHaveLength(2);
  });

  test('messages by way of web streams, on a connection with data, and nothing is found', async () => {
    const program = programOf(
      step('a', piped, 50),
      step('b', { op: 'createWriter', type: 'text', stream: true }),
      step('b', { op: 'write', size: 20, awaited: true }),
      step('b', { op: 'endWriter', awaited: true }),
      step('a', { op: 'look' }, 100),
      step('b', { op: 'look' }),
    );
    const links = program.links.map((link) => ({ ...link, via: 'server' as const, authenticate: 20 }));
    const { findings, trace } = await laboratory.run({ ...program, links });
    expect(findings).toEqual([]);
    expect(trace.filter((line) => / message (binary 10|text 20)$/.test(line))).toHaveLength(2);
  });

  test('a broadcast reaches those that it is for, and nothing is found', async () => {
    const { findings, trace } = await laboratory.run(served(broadcast));
    expect(findings).toEqual([]);
    expect(trace.filter((line) => line.includes('message text')).map((line) => line.split(' ')[1])).toEqual([
      '2b',
    ]);
  });

  test.each<[string, Op]>([
    ['whole', { ...hello, message: { size: 200_001, form: 'unicode' } }],
    ['in pieces', { ...piped, source: 'generator', pipe: false, text: true, size: 100_001 }],
  ])('a large text that is sent %s, and nothing is found', async (_name, does) => {
    for (const program of [programOf(step('b', does)), receiving(step('b', does))]) {
      const { findings, trace } = await laboratory.run(program);
      expect(findings).toEqual([]);
      expect(trace.filter((line) => /(message|whole) text \d{6}$/.test(line))).toHaveLength(1);
    }
  });

  test('the same programs give the same traces', async () => {
    const traces = async (seed: number): Promise<string[]> => {
      const hashes: string[] = [];
      laboratory.renew();
      for (const program of fc.sample(programs, { seed, numRuns: 40 })) {
        hashes.push(hashOf((await laboratory.run(program)).trace));
      }
      return hashes;
    };
    const first = await traces(7);
    expect(await traces(7)).toEqual(first);
    expect(await traces(8)).not.toEqual(first);
  });

  test('a program survives being written down', () => {
    for (const program of fc.sample(programs, { seed: 1, numRuns: 20 })) {
      expect(JSON.parse(JSON.stringify(program))).toEqual(program);
      expect(show(program)).not.toBe('');
    }
  });

  test('a program is shortened to what makes it fail', async () => {
    const long = programOf(step('a', hello), step('b', { op: 'pong' }, 5), step('a', { op: 'look' }, 100));
    const short = await shorten(long, async ({ steps }) => steps.some(({ does }) => does.op === 'pong'));
    expect(lengthOf(short)).toBe(2);
    expect(short.steps).toEqual([step('b', { op: 'pong' })]);
  });
});

describe('the checks find', () => {
  /** A library whose connections are wrong in one way. */
  const breaking = (change: (base: Library['WebSocketConnection']) => unknown) => () => ({
    WebSocketConnection: change(source.WebSocketConnection) as Library['WebSocketConnection'],
  });

  type Broadcast = (data: string, options: BroadcastOptions) => BroadcastResult;
  /** A library whose servers broadcast in another way. */
  const broadcasting = (change: (send: Broadcast) => Broadcast) => () => ({
    WebSocketServer: class extends source.WebSocketServer {
      override broadcast(data: string, options: BroadcastOptions): BroadcastResult {
        return change((...given) => super.broadcast(...given))(data, options);
      }
    } as Library['WebSocketServer'],
  });

  const once = programOf(step('a', hello), step('a', hello));

  test.each<[string, () => Partial<Library>, Program, string]>([
    [
      'a message that is lost',
      breaking(
        (base) =>
          class extends base {
            override send(): boolean {
              return true;
            }
          },
      ),
      once,
      'stuck: a message was not delivered on an open connection',
    ],
    [
      'a message that comes twice',
      breaking(
        (base) =>
          class extends base {
            override send(...given: Parameters<typeof base.prototype.send>): boolean {
              super.send(...given);
              return super.send(...given);
            }
          },
      ),
      once,
      'content: a message came twice, or in the wrong order',
    ],
    [
      'a message that is cut',
      breaking(
        (base) =>
          class extends base {
            override send(data: string): boolean {
              return super.send(data.slice(0, -1));
            }
          },
      ),
      once,
      'content: a message was cut',
    ],
    [
      'a call that throws',
      breaking(
        (base) =>
          class extends base {
            override send(): boolean {
              throw new Error('broken');
            }
          },
      ),
      once,
      'threw: send Error: broken',
    ],
    [
      'a promise that never settles',
      breaking(
        (base) =>
          class extends base {
            override close(
              ...given: Parameters<typeof base.prototype.close>
            ): ReturnType<typeof base.prototype.close> {
              super.close(...given);
              return new Promise(() => {});
            }
          },
      ),
      once,
      'unsettled: close',
    ],
    [
      'a rejection that is not handled',
      breaking(
        (base) =>
          class extends base {
            override pong(): void {
              Promise.reject(new Error('broken'));
            }
          },
      ),
      programOf(step('a', { op: 'pong' })),
      'unhandled rejection: Error: broken',
    ],
    [
      'an exception in a timer',
      breaking(
        (base) =>
          class extends base {
            override pong(): void {
              setTimeout(() => {
                throw new Error('broken');
              }, 5);
            }
          },
      ),
      programOf(step('a', { op: 'pong' })),
      'uncaught exception: Error: broken',
    ],
    [
      'a timer that is left',
      breaking(
        (base) =>
          class extends base {
            override pong(): void {
              setTimeout(() => {}, 1_000_000);
            }
          },
      ),
      programOf(step('a', { op: 'pong' })),
      'leak: a timer is left',
    ],
    [
      'an error that is emitted twice',
      breaking(
        (base) =>
          class extends base {
            override pong(): void {
              const error = new Error('broken');
              this.emit('error', error);
              this.emit('error', error);
            }
          },
      ),
      programOf(step('a', { op: 'pong' })),
      'event twice: error',
    ],
    [
      'a broadcast to a connection that is excluded',
      broadcasting(
        (send) =>
          (data, { filter, type }) =>
            send(data, { filter: filter!, type: type! }),
      ),
      served(broadcast),
      'broadcast: sent is wrong',
    ],
    [
      'a broadcast that a connection gets though it is excluded, and does not count',
      broadcasting((send) => (data, { filter, type }) => {
        return { ...send(data, { filter: filter!, type: type! }), sent: 1 };
      }),
      served(broadcast),
      'content: a message that was never sent',
    ],
    [
      'a broadcast that finds too many connections full',
      broadcasting((send) => (data, options) => ({ ...send(data, options), full: 1 })),
      served(broadcast),
      'broadcast: full is wrong',
    ],
    [
      'a message that is not counted',
      breaking(
        (base) =>
          class extends base {
            override get stats(): ConnectionStats {
              return { ...super.stats, messagesSent: 0 };
            }
          },
      ),
      once,
      'property: stats is wrong',
    ],
    [
      'bytes that are counted twice',
      breaking(
        (base) =>
          class extends base {
            override get stats(): ConnectionStats {
              return { ...super.stats, bytesReceived: super.stats.bytesReceived * 2 };
            }
          },
      ),
      once,
      'property: stats is wrong',
    ],
    [
      'an address that is forgotten at the end',
      breaking(
        (base) =>
          class extends base {
            override get remoteAddress(): string | undefined {
              return this.state === 'closed' ? undefined : super.remoteAddress;
            }
          },
      ),
      programOf(step('a', { op: 'look' })),
      'property: address is wrong',
    ],
    [
      'data that another connection has',
      breaking(
        (base) =>
          class extends base {
            constructor(...given: ConstructorParameters<typeof base>) {
              super(...given);
              this.data = 'of another';
            }
          },
      ),
      once,
      'property: data is wrong',
    ],
    [
      'a stream that never ends its message',
      breaking(
        (base) =>
          class extends base {
            override createWriter(...given: Parameters<typeof base.prototype.createWriter>): MessageWriter {
              const writer = super.createWriter(...given);
              writer.end = (): Promise<void> => new Promise(() => {});
              return writer;
            }
          },
      ),
      programOf(step('a', piped)),
      'unsettled: sendStream',
    ],
    [
      'an end that is reported twice',
      breaking(
        (base) =>
          class extends base {
            override pong(): void {
              this.closed.then((info) => this.emit('close', info));
            }
          },
      ),
      programOf(step('a', { op: 'pong' })),
      'event after close: close',
    ],
    [
      'an end that comes too late',
      breaking(
        (base) =>
          class extends base {
            override close(): ReturnType<typeof base.prototype.close> {
              return this.closed;
            }
          },
      ),
      once,
      'end: not closed in time (closing)',
    ],
    [
      'what is emitted after terminate()',
      breaking(
        (base) =>
          class extends base {
            override terminate(): void {
              super.terminate();
              this.emit('pong', Buffer.alloc(0));
            }
          },
      ),
      programOf(step('a', { op: 'terminate' })),
      'event after terminate(): pong',
    ],
    [
      'a peer that is lost to keepalive, though it was heard',
      breaking(
        (base) =>
          class extends base {
            override pong(): void {
              super.terminate();
              this.emit('error', Object.assign(new Error('broken'), { name: 'TimeoutError' }));
            }
          },
      ),
      programOf(step('a', { op: 'pong' })),
      'liveness: a healthy peer was killed: bytes arrived',
    ],
    [
      'a message that is lost with a reset, after it was read',
      breaking(
        (base) =>
          class extends base {
            constructor(...given: ConstructorParameters<typeof base>) {
              super(...given);
              const emit = this.emit.bind(this) as (...event: readonly unknown[]) => boolean;
              this.emit = ((...event: readonly unknown[]) =>
                event[0] === 'message' || emit(...event)) as typeof this.emit;
            }
          },
      ),
      programOf(step('b', hello), step('b', { op: 'reset', lossy: false }, 10)),
      'lost: messages that had arrived were not delivered',
    ],
    [
      'reading that is ended by the next receive()',
      breaking(
        (base) =>
          class extends base {
            #last: Awaited<ReturnType<typeof base.prototype.receive>> = null;
            override async receive(): ReturnType<typeof base.prototype.receive> {
              this.#last?.cancel();
              this.#last = await super.receive();
              return this.#last;
            }
          },
      ),
      receiving(
        step('b', { op: 'createWriter', type: 'binary' }),
        step('b', { op: 'write', size: 300, awaited: true }),
        step('a', { op: 'receive', awaited: true, abort: -1 }, 20),
        step('b', { op: 'endWriter', awaited: true }, 20),
      ),
      'receive: a message was not read to its end, as receive() was called',
    ],
  ])('%s', async (_name, library, program, finding) => {
    await laboratory.run(programOf());
    expect(await findingsWith(library(), program)).toContain(finding);
  });

  test('what belongs to a row', () => {
    const rowFor = (signature: string, ...steps: readonly Step[]): string | null =>
      rowOf({ check: 'end', signature, detail: '' }, programOf(...steps));
    const written = step('a', { op: 'createWriter', type: 'text' });
    expect(rowFor('not closed in time (closing), inside a message', written)).toBe('X-03');
    expect(rowFor('not closed in time (closing)', written)).toBeNull();
    expect(
      rowFor('not closed in time (open), inside a message', written, step('a', { op: 'throw' })),
    ).toBeNull();
    expect(knownRows).toContain('X-03');
    expect(knownRows).not.toContain('X-99');
  });

  test('a model that is wrong', () => {
    const clock = { now: 0 } as never;
    const cable = makeCable(clock, quietPath, false);
    const make = (name: string): End =>
      new End(name, quietSide, cable.up, cable.down, new LifeCycle(new Coverage(), clock));
    const [a, b] = [make('0a'), make('0b')];
    a.peer = b;
    b.peer = a;
    a.begin('ascii', 20, 'whole');
    a.begin('ascii', 20, 'aborted');
    const found: string[] = [];
    b.received.push({ type: 'binary', data: Buffer.from('x'), part: null, limited: true });
    b.checkContent((check) => found.push(check));
    expect(found).toEqual(['content']);
  });
});
