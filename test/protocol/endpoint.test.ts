import { describe, expect, test } from 'vitest';
import { Endpoint, EndpointEvent, Opcode, PreparedMessage, State } from '../../src/protocol.js';
import { chunkings, feed, frameTo, output, parse, roles, sizes } from '../support/frames.js';

const opposite = { server: 'client', client: 'server' } as const;

describe.each(roles)('a %s', (role) => {
  describe.each(chunkings)('received %s', (_, cut) => {
    test('§5.6 a binary message is any bytes', () => {
      const bytes = Buffer.from([0xff, 0xfe, 0x80, 0xc0]);
      const { told, error } = feed(new Endpoint({ role }), [frameTo(role, 2, bytes)]);
      expect([told, error]).toEqual([[['message', 2, bytes.toString('latin1')]], null]);
    });

    test.each(sizes)(
      '§5.2 takes text and binary messages of %i bytes, in one frame and in fragments',
      (size) => {
        const payload = Buffer.alloc(size, 'abcdefg');
        const middle = size >> 1;
        const bytes = Buffer.concat([
          frameTo(role, 1, payload),
          frameTo(role, 2, payload),
          frameTo(role, 2, payload.subarray(0, middle), { fin: false }),
          frameTo(role, 0, '', { fin: false }),
          frameTo(role, 0, payload.subarray(middle)),
        ]);
        const text = payload.toString('latin1');
        expect(feed(new Endpoint({ role }), cut(bytes))).toEqual({
          told: [
            ['message', 1, text],
            ['message', 2, text],
            ['message', 2, text],
          ],
          error: null,
        });
      },
    );

    test.each(sizes)('§5.2 what it sends of %i bytes, its peer takes', (size) => {
      const endpoint = new Endpoint({ role });
      const payload = Buffer.alloc(size, 'xyz');
      endpoint.send(Opcode.Binary, payload);
      endpoint.send(Opcode.Text, payload.toString());
      endpoint.send(Opcode.Text, payload.subarray(0, 3), false);
      endpoint.send(Opcode.Text, payload.subarray(3), true);
      const text = payload.toString();
      expect(feed(new Endpoint({ role: opposite[role] }), cut(output(endpoint))).told).toEqual([
        ['message', 2, text],
        ['message', 1, text],
        ['message', 1, text],
      ]);
    });

    test('[F-19] §5.4 a Ping and a Pong inside a fragmented message are told and answered at once', () => {
      const endpoint = new Endpoint({ role });
      const bytes = [
        frameTo(role, 1, 'a', { fin: false }),
        frameTo(role, 9, 'now'),
        frameTo(role, 10, 'pong'),
        frameTo(role, 0, 'b'),
      ];
      expect(feed(endpoint, cut(Buffer.concat(bytes))).told).toEqual([
        ['ping', 'now'],
        ['pong', 'pong'],
        ['message', 1, 'ab'],
      ]);
      expect(parse(output(endpoint))).toMatchObject([{ opcode: 10, payload: Buffer.from('now') }]);
    });

    test('[F-19] §5.4 a Close inside a fragmented message is told and answered at once', () => {
      const endpoint = new Endpoint({ role });
      const bytes = [
        frameTo(role, 2, 'a', { fin: false }),
        frameTo(role, 8, Buffer.from('03e9627965', 'hex')),
      ];
      expect(feed(endpoint, cut(Buffer.concat(bytes))).told).toEqual([['close', 1001, 'bye']]);
      expect(parse(output(endpoint))).toMatchObject([
        { opcode: 8, payload: Buffer.from('03e9627965', 'hex') },
      ]);
      expect(endpoint.closing.info).toEqual({ code: 1001, reason: 'bye', wasClean: true });
    });

    test('[F-18] §7.4 Close codes 1000-1003, 1007-1014 and 3000-4999 are told', () => {
      for (const code of [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
      ]) {
        const body = Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from('why é')]);
        expect(feed(new Endpoint({ role }), cut(frameTo(role, 8, body))).told).toEqual([
          ['close', code, 'why é'],
        ]);
      }
      expect(feed(new Endpoint({ role }), cut(frameTo(role, 8))).told).toEqual([['close', 1005, '']]);
    });

    test('[F-21] §5.5.1 frames behind a Close frame are ignored', () => {
      const endpoint = new Endpoint({ role });
      const bytes = [
        frameTo(role, 8, Buffer.from('03e8', 'hex')),
        frameTo(role, 1, 'late'),
        frameTo(role, 9),
        Buffer.from([0xff, 0xff]),
      ];
      expect(feed(endpoint, cut(Buffer.concat(bytes)))).toEqual({ told: [['close', 1000, '']], error: null });
      expect(parse(output(endpoint)).map((one) => one.opcode)).toEqual([8]);
    });
  });

  test('§5.5.3 every Ping is answered in its place; while congested, only the latest is', () => {
    const endpoint = new Endpoint({ role });
    feed(endpoint, [frameTo(role, 9, '1'), frameTo(role, 9, '2')]);
    endpoint.send(Opcode.Text, 'then');
    expect(parse(output(endpoint)).map((one) => one.payload.toString())).toEqual(['1', '2', 'then']);
    endpoint.congested = true;
    for (let i = 0; i < 1000; i++) feed(endpoint, [frameTo(role, 9, String(i))]);
    expect(endpoint.pending).toBe(role === 'server' ? 5 : 9);
    expect(parse(output(endpoint))).toMatchObject([{ opcode: 10, payload: Buffer.from('999') }]);
  });

  test('§5.4 a Ping is answered between the fragments of a message that is being sent, with its payload', () => {
    for (const congested of [false, true]) {
      const endpoint = new Endpoint({ role });
      endpoint.send(Opcode.Text, 'begun, ', false);
      const begun = output(endpoint);
      endpoint.congested = congested;
      feed(endpoint, [frameTo(role, 9, 'inside')]);
      const pong = output(endpoint);
      endpoint.send(Opcode.Text, 'ended');
      const frames = parse(Buffer.concat([begun, pong, output(endpoint)]));
      expect(frames.map(({ opcode, fin, payload }) => [opcode, fin, payload.toString()])).toEqual([
        [1, false, 'begun, '],
        [10, true, 'inside'],
        [0, true, 'ended'],
      ]);
    }
  });

  test('§5.5.3 a Pong that is owed goes in front of the Close frame', () => {
    const endpoint = new Endpoint({ role });
    endpoint.congested = true;
    feed(endpoint, [frameTo(role, 9, 'owed')]);
    endpoint.sendClose(1000);
    expect(parse(output(endpoint)).map((one) => one.opcode)).toEqual([10, 8]);
  });

  test('[F-21] §5.5.1 of what is pushed behind a Close frame or a failure nothing is retained', () => {
    for (const end of [frameTo(role, 8), frameTo(role, 3)]) {
      const endpoint = new Endpoint({ role });
      feed(endpoint, [end]);
      const late = Buffer.alloc(64 * 1024);
      const before = process.memoryUsage().arrayBuffers;
      for (let i = 0; i < 50; i++) feed(endpoint, [late]);
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024);
    }
  });

  test('§5.5.1 nothing can be sent behind a Close frame, and Pings are not answered any more', () => {
    const endpoint = new Endpoint({ role });
    endpoint.sendClose(1000, 'bye');
    endpoint.sendClose(1001);
    expect(endpoint.closing).toMatchObject({ state: State.Closing, sent: true, received: false });
    for (const send of [
      () => endpoint.send(Opcode.Text, 'a'),
      () => endpoint.sendPing(Buffer.alloc(0)),
      () => endpoint.sendPong(Buffer.alloc(0)),
      () => endpoint.sendPrepared(new PreparedMessage('a')),
    ]) {
      expect(send).toThrow('behind a Close frame');
    }
    expect(
      feed(endpoint, [
        frameTo(role, 9),
        frameTo(role, 1, 'late'),
        frameTo(role, 8, Buffer.from('03e8', 'hex')),
      ]).told,
    ).toEqual([
      ['ping', ''],
      ['message', 1, 'late'],
      ['close', 1000, ''],
    ]);
    expect(parse(output(endpoint)).map((one) => one.opcode)).toEqual([8]);
    expect(endpoint.closing.info.wasClean).toBe(true);
    endpoint.closed();
    expect(endpoint.closing.state).toBe(State.Closed);
  });

  test('§7.1.7 failing behind an own Close frame sends no second one', () => {
    const endpoint = new Endpoint({ role });
    endpoint.sendClose(1000);
    expect(feed(endpoint, [frameTo(role, 3)]).error).toMatchObject({ closeCode: 1002 });
    expect(parse(output(endpoint)).map((one) => one.payload.readUInt16BE())).toEqual([1000]);
    expect(endpoint.closing.info).toEqual({ code: 1006, reason: '', wasClean: false });
  });

  test('§5.5 a reason to fail that no Close frame can hold is cut between two characters', () => {
    const endpoint = new Endpoint({ role });
    endpoint.fail(1011, `a${'€'.repeat(100)}`);
    expect(parse(output(endpoint))[0]!.payload.toString('utf8', 2)).toBe(`a${'€'.repeat(40)}`);
    const emoji = new Endpoint({ role });
    emoji.fail(1011, '😀'.repeat(100));
    expect(parse(output(emoji))[0]!.payload.toString('utf8', 2)).toBe('😀'.repeat(30));
  });

  test('§5.4 a prepared message is refused inside a fragmented one', () => {
    const endpoint = new Endpoint({ role });
    endpoint.send(Opcode.Text, 'a', false);
    expect(() => endpoint.sendPrepared(new PreparedMessage('x'))).toThrow('inside another message');
    endpoint.send(Opcode.Text, 'b');
    expect(feed(new Endpoint({ role: opposite[role] }), [output(endpoint)]).told).toEqual([
      ['message', 1, 'ab'],
    ]);
  });

  test('§5.5 a control payload over 125 bytes is refused, one of 125 is sent', () => {
    const endpoint = new Endpoint({ role });
    expect(() => endpoint.sendPing(Buffer.alloc(126))).toThrow(RangeError);
    expect(() => endpoint.sendPong(Buffer.alloc(126))).toThrow(RangeError);
    expect(endpoint.pending).toBe(0);
    endpoint.sendPing(Buffer.alloc(125, 'p'));
    endpoint.sendPong(Buffer.alloc(125, 'q'));
    expect(parse(output(endpoint)).map((one) => [one.opcode, one.payload.length])).toEqual([
      [9, 125],
      [10, 125],
    ]);
  });

  test('a prepared message is framed once for all servers, and by each client with a key of its own', () => {
    const message = new PreparedMessage('tick');
    const endpoints = [new Endpoint({ role }), new Endpoint({ role })];
    for (const endpoint of endpoints) endpoint.sendPrepared(message);
    const [first, second] = endpoints.map((endpoint) => endpoint.take());
    expect(parse(Buffer.concat(first!))).toMatchObject([{ opcode: 1, payload: Buffer.from('tick') }]);
    expect(parse(Buffer.concat(second!))).toMatchObject([{ opcode: 1, payload: Buffer.from('tick') }]);
    expect(first![0] === second![0]).toBe(role === 'server');
    const large = new PreparedMessage(Buffer.alloc(70_000, 'x'), Opcode.Text);
    endpoints[0]!.sendPing(Buffer.alloc(0));
    endpoints[0]!.sendPrepared(large);
    endpoints[0]!.sendPrepared(message);
    expect(parse(output(endpoints[0]!)).map((one) => [one.opcode, one.payload.length])).toEqual([
      [9, 0],
      [1, 70_000],
      [1, 4],
    ]);
  });

  test('`ascii` tells whether the text so far is ASCII', () => {
    const endpoint = new Endpoint({ role });
    endpoint.push(Buffer.concat(['ascii', 'é', 'ascii again'].map((text) => frameTo(role, 1, text))));
    for (const ascii of [true, false, true]) {
      expect([endpoint.next(), endpoint.ascii]).toEqual([EndpointEvent.Data, ascii]);
    }
  });

  test('once all is used up, no received buffer is pinned', () => {
    const endpoint = new Endpoint({ role });
    feed(endpoint, [Buffer.concat([frameTo(role, 2, 'data'), frameTo(role, 9, 'ping')])]);
    expect([endpoint.chunk.length, endpoint.control.length]).toEqual([0, 0]);
  });

  test('bytes pushed before the last ones are used up are joined', () => {
    const endpoint = new Endpoint({ role });
    const bytes = Buffer.concat([frameTo(role, 1, 'one'), frameTo(role, 1, 'two')]);
    endpoint.push(Buffer.from(bytes.subarray(0, 4)));
    endpoint.push(Buffer.from(bytes.subarray(4, 7)));
    expect(feed(endpoint, [Buffer.from(bytes.subarray(7))]).told.map((one) => one[2])).toEqual([
      'one',
      'two',
    ]);
  });
});
