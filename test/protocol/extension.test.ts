import { describe, expect, test, vi } from 'vitest';
import { Endpoint, EndpointEvent, Opcode, PreparedMessage } from '../../src/protocol.js';
import { chunkings, feed, frameTo, output, parse, roles } from '../support/frames.js';
import { makeXor } from '../support/xor.js';

const opposite = { server: 'client', client: 'server' } as const;

describe.each(roles)('a %s with an extension', (role) => {
  test.each(chunkings)('§9 takes what its peer sent through it, %s', (_, cut) => {
    const sender = new Endpoint({ role: opposite[role], extension: makeXor() });
    sender.send(Opcode.Text, 'through it');
    sender.send(Opcode.Text, 'as is', true, false);
    sender.send(Opcode.Text, 'ab');
    sender.send(Opcode.Binary, Buffer.from('in'), false);
    sender.send(Opcode.Binary, Buffer.from(' parts'), true);
    const bytes = output(sender);
    expect(parse(bytes).map((frame) => [frame.opcode, frame.rsv, frame.fin])).toEqual([
      [1, 0x40, true],
      [1, 0, true],
      [1, 0, true],
      [2, 0x40, false],
      [0, 0, true],
    ]);
    expect(feed(new Endpoint({ role, extension: makeXor() }), cut(bytes)).told.map((one) => one[2])).toEqual([
      'through it',
      'as is',
      'ab',
      'in parts',
    ]);
  });

  test('an error of its own goes through to who pulls, and the endpoint takes no sides', () => {
    const extension = makeXor();
    extension.decoder.read = (): never => {
      throw new TypeError('broken');
    };
    const endpoint = new Endpoint({ role, extension });
    const { error } = feed(endpoint, [frameTo(role, 2, 'x', { rsv: 0x40 })]);
    expect(error).toEqual(new TypeError('broken'));
    expect(output(endpoint)).toHaveLength(0);
  });

  test('an empty message through it is one event', () => {
    const endpoint = new Endpoint({ role, extension: makeXor() });
    expect(feed(endpoint, [frameTo(role, 2, '', { rsv: 0x40 })]).told).toEqual([['message', 2, '']]);
  });

  test('§10.4 the limit counts what comes out of it', () => {
    const endpoint = new Endpoint({ role, extension: makeXor(), maxMessageSize: 4 });
    expect(feed(endpoint, [frameTo(role, 2, 'abcd', { rsv: 0x40 })]).error).toBe(null);
    expect(feed(endpoint, [frameTo(role, 2, 'abcde', { rsv: 0x40 })]).error).toMatchObject({
      closeCode: 1009,
    });
  });

  test('§10.4 it is told what the limit leaves, message by message', () => {
    const extension = makeXor();
    const { decoder } = extension;
    const { read } = decoder;
    const left: number[] = [];
    decoder.read = (most) => {
      left.push(most);
      return read(most);
    };
    const endpoint = new Endpoint({ role, extension, maxMessageSize: 10 });
    feed(endpoint, [
      frameTo(role, 2, 'abcd', { fin: false, rsv: 0x40 }),
      frameTo(role, 0, 'ef'),
      frameTo(role, 2, 'g', { rsv: 0x40 }),
    ]);
    // The toy gives each payload in two parts, and says when there is none left of a fragment
    expect(left).toEqual([10, 8, 6, 6, 5, 10]);
  });

  test('its own failure fails the connection', () => {
    const endpoint = new Endpoint({ role, extension: makeXor() });
    expect(feed(endpoint, [frameTo(role, 2, [0xff] as never, { rsv: 0x40 })]).error).toMatchObject({
      closeCode: 1007,
    });
    expect(parse(output(endpoint))[0]!.payload.readUInt16BE()).toBe(1007);
  });

  test('§5.4 control frames do not wait for a message that it still works on', async () => {
    const endpoint = new Endpoint({ role, extension: makeXor(true) });
    const work = endpoint.send(Opcode.Text, 'later');
    endpoint.sendPing(Buffer.from('ping'));
    endpoint.sendPong(Buffer.from('pong'));
    feed(endpoint, [frameTo(role, 9, 'asked')]);
    await work;
    expect(parse(output(endpoint)).map((frame) => [frame.opcode, frame.rsv])).toEqual([
      [9, 0],
      [10, 0],
      [10, 0],
      [1, 0x40],
    ]);
  });

  test('an error of it that is no ProtocolError is passed on, and sends no Close frame by itself', () => {
    const extension = makeXor();
    extension.decoder.read = () => {
      throw new TypeError('A bug');
    };
    const endpoint = new Endpoint({ role, extension });
    expect(feed(endpoint, [frameTo(role, 2, 'a', { rsv: 0x40 })]).error).toBeInstanceOf(TypeError);
    expect(endpoint.pending).toBe(0);
  });

  test.each([
    ['a string', 'text'],
    ['an array', [97]],
    ['a number', 5],
    ['undefined', undefined],
  ])('a decoder or encoder that returns %s is a TypeError that names the extension', async (_, wrong) => {
    const error = expect.objectContaining({
      name: 'TypeError',
      message: expect.stringContaining('Expected the extension x-xor to return bytes'),
    });
    const extension = makeXor();
    extension.decoder.read = () => wrong as never;
    const receiving = new Endpoint({ role, extension });
    expect(feed(receiving, [frameTo(role, 1, 'a', { rsv: 0x40 })])).toMatchObject({ told: [], error });
    for (const result of [wrong, Promise.resolve(wrong)]) {
      const encoder = { wants: () => true, encode: () => result as never };
      const make = (): Endpoint => new Endpoint({ role, extension: { ...makeXor(), encoder } });
      const send = async (): Promise<void> => await make().send(Opcode.Text, 'abc');
      await expect(send()).rejects.toEqual(error);
      const shared = { ...encoder, shareKey: 'any' };
      const prepared = async (): Promise<void> => {
        const endpoint = new Endpoint({ role, extension: { ...makeXor(), encoder: shared } });
        await endpoint.sendPrepared(new PreparedMessage('abc'));
      };
      await expect(prepared()).rejects.toEqual(error);
    }
  });

  test('a decoder may return any Uint8Array', () => {
    const extension = makeXor();
    const { read } = extension.decoder;
    extension.decoder.read = (most) => {
      const part = read(most);
      return part === null ? null : (new Uint8Array(part) as Buffer);
    };
    const { told } = feed(new Endpoint({ role, extension }), [
      frameTo(
        role,
        1,
        Buffer.from('text').map((byte) => byte ^ 0x55),
        { rsv: 0x40 },
      ),
    ]);
    expect(told.map((one) => one[2])).toEqual(['text']);
  });

  test('while it works elsewhere, nothing else is read, and no other message may be sent', async () => {
    const extension = makeXor(true);
    const endpoint = new Endpoint({ role, extension });
    const sender = new Endpoint({ role: opposite[role], extension: makeXor() });
    sender.send(Opcode.Text, 'slow');
    sender.sendPing(Buffer.from('behind'));
    endpoint.push(output(sender));
    const ready = new Promise<void>((resolve) => {
      extension.decoder.onready = resolve;
    });
    expect([endpoint.next(), endpoint.next()]).toEqual([EndpointEvent.Busy, EndpointEvent.Busy]);
    await ready;
    expect([endpoint.next(), endpoint.last, endpoint.next(), endpoint.last]).toEqual([
      EndpointEvent.Data,
      false,
      EndpointEvent.Data,
      true,
    ]);
    expect([endpoint.next(), endpoint.control.toString()]).toEqual([EndpointEvent.Ping, 'behind']);
    output(endpoint);

    const work = endpoint.send(Opcode.Text, 'later');
    expect(() => endpoint.send(Opcode.Text, 'now')).toThrow('still works on the last message');
    expect(endpoint.pending).toBe(0);
    await work;
    expect(parse(output(endpoint))).toMatchObject([{ opcode: 1, rsv: 0x40 }]);
    const late = endpoint.send(Opcode.Text, 'too late');
    endpoint.sendClose(1000);
    await late;
    expect(parse(output(endpoint)).map((frame) => frame.opcode)).toEqual([8]);
    endpoint.closed();
    expect(extension.closed).toBe(true);
  });

  test('the bytes of a text stay as they are for as long as it works on them', async () => {
    const late = Array.from({ length: 3 }, () => {
      const extension = makeXor();
      const { encode } = extension.encoder;
      extension.encoder.encode = async (data, last) => {
        await Promise.resolve();
        return encode(data, last);
      };
      return new Endpoint({ role, extension });
    });
    const atOnce = new Endpoint({ role, extension: makeXor() });
    const works = late.map((endpoint, i) => endpoint.send(Opcode.Text, `late ${i}`));
    expect(atOnce.send(Opcode.Text, 'at once')).toBeUndefined();
    expect(atOnce.send(Opcode.Text, 'plain', true, false)).toBeUndefined();
    await Promise.all(works);
    const told = [...late, atOnce].map(
      (endpoint) =>
        feed(new Endpoint({ role: opposite[role], extension: makeXor() }), [output(endpoint)]).told,
    );
    expect(told).toEqual([
      ...late.map((_, i) => [['message', 1, `late ${i}`]]),
      [
        ['message', 1, 'at once'],
        ['message', 1, 'plain'],
      ],
    ]);
  });

  test('a prepared message goes through it for each connection, or once for those that share it', async () => {
    const message = new PreparedMessage('prepared');
    let calls = 0;
    const shared = (later: boolean) => {
      const extension = makeXor(later);
      const { encode } = extension.encoder;
      return {
        ...extension,
        encoder: {
          ...extension.encoder,
          shareKey: `xor ${later}`,
          encode: (data: Uint8Array, last: boolean) => {
            calls++;
            return encode(data, last);
          },
        },
      };
    };
    for (const later of [false, true]) {
      calls = 0;
      for (let i = 0; i < 3; i++) {
        const endpoint = new Endpoint({ role, extension: shared(later) });
        await endpoint.sendPrepared(message);
        const bytes = output(endpoint);
        expect(feed(new Endpoint({ role: opposite[role], extension: makeXor() }), [bytes]).told).toEqual([
          ['message', 1, 'prepared'],
        ]);
      }
      expect(calls).toBe(role === 'server' ? 1 : 3);
    }
    const uncompressed = new Endpoint({ role, extension: shared(false) });
    uncompressed.sendPrepared(message, false);
    expect(parse(output(uncompressed)).map((frame) => frame.rsv)).toEqual([0]);
    const alone = new Endpoint({ role, extension: makeXor() });
    alone.sendPrepared(message);
    alone.sendPrepared(message, false);
    alone.sendPrepared(new PreparedMessage('ab'));
    expect(parse(output(alone)).map((frame) => frame.rsv)).toEqual([0x40, 0, 0]);
    // Without a key each connection encodes for itself
    const own = makeXor();
    const spied = vi.spyOn(own.encoder, 'encode');
    const once = new Endpoint({ role, extension: own });
    for (let i = 0; i < 2; i++) once.sendPrepared(message);
    expect(spied.mock.calls.map(([, last]) => last)).toEqual([true, true]);
  });
});
