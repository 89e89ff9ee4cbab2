/** What the application gives wrong: a call throws, or what it returns rejects; nothing is sent. */
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { prepareMessage, resolveConnectionOptions, WebSocketConnection } from '../../src/index.js';
import { roles } from '../support/frames.js';
import { checkNothingLeft } from '../support/nothing-left.js';
import { open, turns } from '../support/wire.js';

checkNothingLeft();

/** A stream that counts its writes. */
class Counting extends Duplex {
  writes = 0;
  override _read(): void {}
  override _write(_chunk: Buffer, _: string, callback: () => void): void {
    this.writes++;
    callback();
  }
}

describe.each(roles)('a %s', (role) => {
  test.each([null, 5, 'text', true])(
    '[S-01] options of %o are a TypeError that names the call, and nothing is sent',
    async (wrong) => {
      const stream = new Counting();
      const ws = open(stream, role);
      const options = wrong as never;
      const named = (call: string): object =>
        expect.objectContaining({
          name: 'TypeError',
          message: `Expected the options of ${call} to be an object: ${wrong}`,
        });
      expect(() => ws.send('a', options)).toThrow(named('send()'));
      expect(() => ws.send(Buffer.alloc(1), options)).toThrow(named('send()'));
      expect(() => prepareMessage('a', options)).toThrow(named('prepareMessage()'));
      expect(() => resolveConnectionOptions(options)).toThrow(named('resolveConnectionOptions()'));
      expect(() => new WebSocketConnection(stream, options)).toThrow(named('new WebSocketConnection()'));
      await expect(ws.ping('', options)).rejects.toEqual(named('ping()'));
      await expect(ws.sendStream(['a'], options)).rejects.toEqual(named('sendStream()'));
      await expect(ws.receive(options)).rejects.toEqual(named('receive()'));
      await expect(ws.drained(options)).rejects.toEqual(named('drained()'));
      await expect(ws.close(1000, '', options)).rejects.toEqual(named('close()'));
      const writer = ws.createWriter('text');
      await expect(writer.write('a', options)).rejects.toEqual(named('write()'));
      await turns();
      expect([ws.state, stream.writes]).toEqual(['open', 0]);
      ws.terminate();
    },
  );

  test.each<[string, (memory: ArrayBuffer) => ArrayBufferView | ArrayBuffer]>([
    ['a DataView', (memory) => new DataView(memory)],
    ['a Float64Array', (memory) => new Float64Array(memory)],
    ['a Buffer', (memory) => Buffer.from(memory)],
    ['an ArrayBuffer', (memory) => memory],
  ])(
    '[S-01] %s whose memory was transferred: send() throws, what returns a promise rejects',
    async (_, view) => {
      const stream = new Counting();
      const ws = open(stream, role);
      const gone = view(new ArrayBuffer(8));
      structuredClone(0, { transfer: [gone instanceof ArrayBuffer ? gone : (gone.buffer as ArrayBuffer)] });
      expect(() => ws.send(gone)).toThrow(TypeError);
      expect(() => ws.pong(gone)).toThrow(TypeError);
      expect(() => prepareMessage(gone)).toThrow(TypeError);
      const rejected = [
        () => ws.ping(gone),
        () => ws.createWriter('binary').write(gone),
        () => ws.createWriter('binary').end(gone),
        () => ws.sendStream([gone]),
      ].map((call) => call());
      for (const promise of rejected) await expect(promise).rejects.toThrow(TypeError);
      await turns();
      expect([ws.state, stream.writes]).toEqual(['open', 0]);
      ws.terminate();
    },
  );

  test('[S-01] [P-69] an unknown option, or a wrong value, of any call is a TypeError that names it, and nothing is sent', async () => {
    const stream = new Counting();
    const ws = open(stream, role);
    const options = { role, options: resolveConnectionOptions() };
    const calls: [name: string, call: (wrong: never) => unknown, wrong: object][] = [
      ['typ', (wrong) => ws.send('a', wrong), { typ: 'text' }],
      ['typ', (wrong) => ws.send(Buffer.alloc(1), wrong), { type: 'binary', typ: 'text' }],
      ['type', (wrong) => ws.send('a', wrong), { type: null }],
      ['type', (wrong) => ws.send(prepareMessage('a'), wrong), { type: 'x' }],
      ['compress', (wrong) => ws.send('a', wrong), { compress: 'no' }],
      ['compress', (wrong) => ws.send(Buffer.alloc(1), wrong), { type: 'binary', compress: null }],
      ['compress', (wrong) => prepareMessage('a', wrong), { compress: true }],
      ['type', (wrong) => prepareMessage('a', wrong), { type: null }],
      ['tiemout', (wrong) => ws.ping('', wrong), { tiemout: 1 }],
      ['sginal', (wrong) => ws.receive(wrong), { sginal: AbortSignal.abort() }],
      ['sginal', (wrong) => ws.drained(wrong), { sginal: AbortSignal.abort() }],
      ['sginal', (wrong) => ws.sendStream(['a'], wrong), { sginal: AbortSignal.abort() }],
      ['recieve', (wrong) => ws.close(1000, '', wrong), { recieve: true }],
      ['receive', (wrong) => ws.close(1000, '', wrong), { receive: 1 }],
      ['role', (wrong) => new WebSocketConnection(stream, wrong), { ...options, role: 'foo' }],
      ['bogus', (wrong) => new WebSocketConnection(stream, wrong), { ...options, bogus: 1 }],
      ['maxMessageSize', (wrong) => new WebSocketConnection(stream, wrong), { ...options, options: {} }],
    ];
    for (const [name, call, wrong] of calls) {
      const outcome = (async (): Promise<unknown> => call(wrong as never))();
      await expect(outcome).rejects.toThrow(TypeError);
      await expect(outcome).rejects.toThrow(new RegExp(`\\b${name}\\b`));
    }
    // Other code may have put something into the prototype of all objects: options do not name it
    Object.assign(Object.prototype, { polluted: 1 });
    try {
      expect(ws.send('', { type: 'text' })).toBe(true);
    } finally {
      Reflect.deleteProperty(Object.prototype, 'polluted');
    }
    await ws.drained();
    expect(stream.writes).toBe(1);
    stream.writes = 0;
    const writer = ws.createWriter('text');
    await expect(writer.write('a', { sginal: 1 } as never)).rejects.toThrow('sginal');
    await turns();
    expect([ws.state, stream.writes]).toEqual(['open', 0]);
    ws.terminate();
  });
});
