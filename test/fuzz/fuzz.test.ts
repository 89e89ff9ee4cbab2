import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseExtensions } from '../../src/handshake/fields.js';
import { permessageDeflate } from '../../src/index.js';
import {
  checkRequest,
  checkResponse,
  Endpoint,
  type EndpointEvent,
  type EndpointOptions,
  type Extension,
  ProtocolError,
} from '../../src/protocol.js';
import { addToCorpus, type Found, fuzz, inputAt, readCorpus } from './fuzz.js';
import type { Target } from './target.js';
import { deflateTarget } from './targets/deflate.js';
import { differentialTarget } from './targets/differential.js';
import { endpointTarget } from './targets/endpoint.js';
import { extensionHeaderTarget } from './targets/extension-header.js';
import { handshakeTarget } from './targets/handshake.js';
import { targets } from './targets.js';

const corpusFolder = join(import.meta.dirname, 'corpus');
const seed = 20_111_211;
const iterations = 300;

describe.each(targets)('$name', (target) => {
  const corpus = readCorpus(corpusFolder, target.name);

  test('its properties hold for the corpus and for some hundred inputs', async () => {
    expect(corpus.length).toBeGreaterThan(1);
    const { executions, found } = await fuzz(target, { seed, corpus, iterations });
    expect(found && `${found.message}\n${found.smallest.toString('hex')}`).toBe(null);
    expect(executions).toBe(corpus.length + iterations);
  });

  test('the same seed makes the same inputs, another one others', () => {
    const inputs = (own: number): string[] =>
      Array.from({ length: 20 }, (_, i) => inputAt(target, own, i, corpus).toString('hex'));
    expect(inputs(1)).toEqual(inputs(1));
    expect(new Set([...inputs(1), ...inputs(2)]).size).toBeGreaterThan(30);
  });
});

/** What is found in a target that tests something with a fault; the smallest input fails in the same way. */
async function findingOf(target: Target): Promise<Found> {
  const { found } = await fuzz(target, { seed, corpus: [], iterations: 2000 });
  expect(found).not.toBe(null);
  expect(found!.smallest.length).toBeLessThanOrEqual(found!.input.length);
  collectGarbage();
  await expect(target.check(Buffer.from(found!.smallest))).rejects.toThrow();
  return found!;
}

/** What is freed later would hide what is allocated; the memory of buffers is freed behind a collection. */
function collectGarbage(): void {
  let before: number;
  let now = Infinity;
  do {
    globalThis.gc!();
    before = now;
    now = process.memoryUsage().arrayBuffers;
  } while (now < before);
}

class Endpoint7Bits extends Endpoint {
  override push(chunk: Buffer): void {
    super.push(chunk.length === 1 ? Buffer.from([chunk[0]! & 0x7f]) : chunk);
  }
}

describe('what is planted is found', () => {
  test('an endpoint that takes a reserved bit', async () => {
    const found = await findingOf(differentialTarget((options) => new Endpoint(takesRsv2(options))));
    expect(found.message).toMatch(/RSV2 and RSV3 must be clear$/);
    expect(found.smallest.length).toBeLessThan(20);
  });

  test('an endpoint that reads chunks of one byte wrongly', async () => {
    const found = await findingOf(endpointTarget((options) => new Endpoint7Bits(options)));
    expect(found.message).toMatch(/whatever the chunking/);
    expect(found.smallest.length).toBeLessThan(20);
  });

  test('an endpoint that throws an error of its own', async () => {
    class ThrowingEndpoint extends Endpoint {
      override next(): EndpointEvent {
        try {
          return super.next();
        } catch (error) {
          if ((error as ProtocolError).closeCode !== 1007) throw error;
          throw new TypeError('Cannot read properties of undefined');
        }
      }
    }
    const found = await findingOf(endpointTarget((options) => new ThrowingEndpoint(options)));
    expect(found.message).toMatch(/^Not an error of the protocol: TypeError/);
  });

  test('an endpoint that goes on behind a failure', async () => {
    class ForgivingEndpoint extends Endpoint {
      #spare: Endpoint | null = null;
      override push(chunk: Buffer): void {
        if (this.#spare === null) super.push(chunk);
        else this.#spare.push(chunk);
      }
      override next(): EndpointEvent {
        if (this.#spare !== null) return this.#spare.next();
        try {
          return super.next();
        } catch (error) {
          if (error instanceof ProtocolError) this.#spare = new Endpoint({ role: this.role });
          throw error;
        }
      }
    }
    const found = await findingOf(endpointTarget((options) => new ForgivingEndpoint(options)));
    expect(found.message).toMatch(/^nothing is delivered behind the end/);
  });

  test('an endpoint that allocates what a header announces', async () => {
    class TrustingEndpoint extends Endpoint {
      #kept: Buffer | null = null;
      override push(chunk: Buffer): void {
        const announced = chunk.length >= 10 && (chunk[1]! & 0x7f) === 127 ? chunk.readUInt32BE(6) : 0;
        this.#kept ??= announced > 0 ? Buffer.alloc(Math.min(announced, 2 ** 21)) : null;
        super.push(chunk);
      }
    }
    const found = await findingOf(endpointTarget((options) => new TrustingEndpoint(options)));
    expect(found.message).toMatch(/^memory is in proportion to the input/);
  });

  test('a server that forgets the key, a client that forgets the extensions', async () => {
    const key = await findingOf(
      handshakeTarget({
        checkRequest(request) {
          const result = checkRequest(request);
          if (!('body' in result) || !result.body?.includes('Sec-WebSocket-Key of')) return result;
          return { key: 'x', host: 'example.com', origin: undefined, subprotocols: [], extensions: [] };
        },
        checkResponse,
      }),
    );
    expect(key.message).toMatch(/^§4.2.1 item [25]/);
    const extensions = await findingOf(
      handshakeTarget({
        checkRequest,
        checkResponse: (response, offer) => ({ ...checkResponse(response, offer), extensions: [] }),
      }),
    );
    expect(extensions.message).toMatch(/^§4.1 every extension is one that was offered/);
  });

  test('a parser of extensions that takes quadratic time, and one that throws', async () => {
    const quadratic = extensionHeaderTarget((value) => {
      let found = 0;
      for (let at = 0; at < value.length; at++) found = Math.max(found, value.indexOf('no such text', at));
      return found > 0 ? null : parseExtensions(value);
    });
    expect((await findingOf(quadratic)).message).toMatch(/^the time grows with the length/);
    const throws = extensionHeaderTarget((value) => {
      if (value.includes('""')) throw new RangeError('Invalid string length');
      return parseExtensions(value);
    });
    expect((await findingOf(throws)).message).toMatch(/^Not an error of the protocol: RangeError/);
  });

  test('a decoder that keeps its window when it should not, and an encoder with too large a window', async () => {
    const accept = (offer: Parameters<ReturnType<typeof permessageDeflate>['accept']>[0]): Extension =>
      permessageDeflate({ threshold: 0 }).accept(offer)!.extension;
    const keeps = deflateTarget((offer) => accept(offer.filter(([name]) => !name.startsWith('client_no'))));
    expect((await findingOf(keeps)).message).toMatch(/^what zlib refuses is refused/);
    const large = deflateTarget((offer) =>
      accept(offer.filter(([name]) => name !== 'server_max_window_bits')),
    );
    expect((await findingOf(large)).message).toMatch(/over the window|^the decoder takes/);
  });
});

test('a finding is added to the corpus, from where it is replayed first', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
  try {
    const target = endpointTarget((options) => new Endpoint7Bits(options));
    const { smallest } = await findingOf(target);
    addToCorpus(folder, target.name, smallest);
    const corpus = readCorpus(folder, target.name);
    expect(corpus).toEqual([smallest]);
    const { executions, found } = await fuzz(target, { seed, corpus });
    expect([executions, found!.iteration]).toEqual([1, -1]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** An extension that owns RSV2 and changes nothing. */
function takesRsv2(options: EndpointOptions): EndpointOptions {
  if (options.extension !== undefined) return options;
  let payload: Buffer | null = null;
  const decoder = {
    busy: false,
    done: false,
    onready: null,
    write(part: Buffer, last: boolean): void {
      payload = part;
      decoder.done = last;
    },
    read(): Buffer | null {
      const read = payload;
      payload = null;
      return read;
    },
  };
  const encoder = { wants: () => false, encode: (data: Uint8Array) => Buffer.from(data) };
  return { ...options, extension: { name: 'x-rsv2', rsv: 0x20, decoder, encoder, close: () => {} } };
}
