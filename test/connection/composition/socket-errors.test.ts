/** An error of the socket after the opening handshake: the connection ends at once. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { ConnectionClosedError, type WebSocketConnection, WebSocketServer } from '../../../src/index.js';
import { cert, key } from '../../server/certificate.js';
import { consumers, endsOnce, record } from '../../support/consumers.js';
import { frameTo, roles } from '../../support/frames.js';
import { pass, virtualTime } from '../../support/link.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { open, rawPair, sockets, turns } from '../../support/wire.js';

checkNothingLeft();

/** A stream that receives what it is given; what is written stays. */
class Received extends Duplex {
  override _read(): void {}
  override _write(): void {}
}

/** A stream whose writes fail at once, as those of a socket do that the peer has reset. */
class Refusing extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, callback: (error: Error) => void): void {
    callback(new Error('refused'));
  }
}

const lost = { code: 1006, reason: '', wasClean: false };

describe.each(roles)('a %s', (role) => {
  test.each(Object.entries(consumers))(
    '[X-25] an error that the socket emits, and goes on: over at once, consumed by %s',
    async (_, consume) => {
      virtualTime();
      const stream = new Received();
      const ws = open(stream, role);
      const seen = record(ws);
      const consumed = consume(ws);
      const calls = [ws.ping(), ws.createWriter('text').write('x'), ws.drained()];
      await turns(2);
      stream.push(
        Buffer.concat([
          frameTo(role, 1, 'one'),
          frameTo(role, 1, 'two'),
          frameTo(role, 1, 'cut').subarray(0, -1),
        ]),
      );
      const error = new Error('a bad record');
      stream.emit('error', error);
      expect([stream.destroyed, ws.state, ws.send('late')]).toEqual([true, 'closing', false]);
      const info = await ws.closed;
      await consumed.end;
      expect([info, consumed.got]).toEqual([lost, ['one', 'two']]);
      expect(seen).toEqual([
        ['error', error],
        ['close', info],
      ]);
      for (const { status } of await Promise.allSettled(calls)) expect(status).toBe('rejected');
      // No deadline was waited for
      await pass(10);
    },
  );

  test.each<[string, (ws: WebSocketConnection) => Promise<void>]>([
    ['write()', (ws) => ws.createWriter('binary').write(Buffer.alloc(100_000))],
    ['end()', (ws) => ws.createWriter('binary').end(Buffer.alloc(100_000))],
    ['sendStream()', (ws) => ws.sendStream([Buffer.alloc(100_000)])],
    [
      'drained()',
      (ws) => {
        ws.send(Buffer.alloc(100_000));
        return ws.drained();
      },
    ],
  ])('[X-25] %s rejects when the stream refuses what it was given', async (_, call) => {
    const stream = new Refusing();
    const ws = open(stream, role);
    ws.resume();
    await turns(2);
    const calling = call(ws);
    await expect(calling).rejects.toBeInstanceOf(ConnectionClosedError);
    await expect(calling).rejects.toMatchObject({ cause: { message: 'refused' } });
    expect(await ws.closed).toEqual(lost);
  });

  test.each(['open', 'closing', 'answered', 'failing'])(
    '[X-25] several errors, one after the other, of a connection that is %s: one end, and one error at most',
    async (state) => {
      const stream = new Received();
      const ws = open(stream, role);
      const seen = record(ws);
      ws.resume();
      await turns(2);
      if (state === 'closing') void ws.close();
      else if (state === 'answered') stream.push(frameTo(role, 8, Buffer.from([3, 232])));
      else if (state === 'failing') stream.push(frameTo(role, 3));
      await turns(2);
      for (let i = 0; i < 3; i++) stream.emit('error', new Error(`error ${i}`));
      const info = await ws.closed;
      stream.emit('error', new Error('after the end'));
      await turns(3);
      expect(endsOnce(seen, info)).toBe(true);
      const errors = seen.filter(([event]) => event === 'error');
      expect(errors.length).toBe(state === 'answered' ? 0 : 1);
      if (state === 'open') expect(errors[0]![1]).toMatchObject({ message: 'error 0' });
    },
  );
});

describe.each(roles)('the stream of a %s is ended by other code', (role) => {
  const error = expect.objectContaining({ message: expect.stringContaining('ended by other code') });
  const ended = [
    ['error', error],
    ['close', lost],
  ];

  test('[X-25] a socket: the connection is lost, though the peer does not end its side', async () => {
    const [local, remote] = await sockets(true);
    remote.resume();
    const ws = open(local, role, { options: { pingInterval: 0 } });
    const seen = record(ws);
    ws.resume();
    local.end();
    expect(await ws.closed).toEqual(lost);
    expect(seen).toEqual(ended);
    remote.destroy();
  });

  test.each(['send', 'ping', 'drained'])(
    '[X-25] a socket whose peer does not read: the next call of %s() ends it',
    async (call) => {
      const [local, remote] = await sockets(true);
      const ws = open(local, role, { options: { pingInterval: 0 } });
      const seen = record(ws);
      ws.resume();
      ws.send(Buffer.alloc(16 * 1024 * 1024));
      local.end();
      const calls: Record<string, () => unknown> = { send: () => ws.send('more'), ping: () => ws.ping() };
      calls[call]?.();
      await expect(ws.drained()).rejects.toThrow(ConnectionClosedError);
      expect(await ws.closed).toEqual(lost);
      expect(seen).toEqual(ended);
      remote.destroy();
    },
  );

  test.each(['before', 'after'])('[X-25] a Duplex, %s the connection is made of it', async (when) => {
    const stream = new Duplex({ read(): void {}, write: (_chunk, _encoding, callback) => callback() });
    if (when === 'before') {
      stream.end();
      await once(stream, 'finish');
    }
    const ws = open(stream, role, { options: { pingInterval: 0 } });
    const seen = record(ws);
    stream.push(frameTo(role, 1, 'read before'));
    const got: string[] = [];
    ws.on('message', (data) => got.push(String(data)));
    await turns(2);
    if (when === 'after') stream.end();
    expect(await ws.closed).toEqual(lost);
    expect([got, seen]).toEqual([['read before'], ended]);
  });

  test('[X-25] by this side, when it closes, or by the peer: no failure is reported', async () => {
    const [ws, peer] = await rawPair(role);
    const seen = record(ws);
    ws.resume();
    void ws.close();
    await peer.until(({ frames }) => frames.length === 1);
    peer.send(8, Buffer.from([3, 232]));
    peer.socket.end();
    expect(await ws.closed).toEqual({ code: 1000, reason: '', wasClean: true });
    const [other, ending] = await rawPair(role, {}, false);
    const seenOfOther = record(other);
    other.resume();
    ending.socket.end();
    expect(await other.closed).toEqual(lost);
    expect([...seen, ...seenOfOther].map(([event]) => event)).toEqual(['close', 'close']);
  });
});

describe('a TLS server', () => {
  /** A server, one connection of it, and the client's socket. */
  async function secure(): Promise<{
    ws: WebSocketConnection;
    tcp: Socket;
    client: TLSSocket;
    stop: () => Promise<void>;
  }> {
    const http = createServer({ key, cert, maxVersion: 'TLSv1.2' }).listen(0, '127.0.0.1');
    const server = new WebSocketServer({ server: http });
    await once(http, 'listening');
    const { port } = http.address() as AddressInfo;
    const tcp = connectTcp(port, '127.0.0.1');
    const client = connectTls({ socket: tcp, rejectUnauthorized: false });
    client.on('error', () => {});
    client.write(
      'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const [[ws]] = (await Promise.all([once(server, 'connection'), once(client, 'data')])) as unknown as [
      [WebSocketConnection],
    ];
    const stop = async (): Promise<void> => {
      client.destroy();
      await server.close({ timeout: 100 });
      http.close();
      await once(http, 'close');
    };
    return { ws, tcp, client, stop };
  }

  test('[X-25] one bad TLS record: the connection ends at once with 1006, the socket is destroyed', async () => {
    const { ws, tcp, stop } = await secure();
    const seen = record(ws);
    ws.resume();
    // Application data of TLS 1.2 that cannot be decrypted
    tcp.write(Buffer.from('170303001000000000000000000000000000000000', 'hex'));
    expect(await ws.closed).toEqual(lost);
    expect(endsOnce(seen, await ws.closed)).toBe(true);
    await stop();
  });

  test('[X-25] a peer that renegotiates without end is bounded: 1006, and the process lives', async () => {
    const { ws, client, stop } = await secure();
    const seen = record(ws);
    ws.resume();
    let renegotiations = 0;
    const again = (): void => {
      if (client.destroyed || renegotiations > 50) return;
      renegotiations++;
      client.renegotiate({ rejectUnauthorized: false }, (error) => {
        if (error === null) setImmediate(again);
      });
    };
    again();
    expect(await ws.closed).toEqual(lost);
    expect(renegotiations).toBeLessThan(10);
    expect(seen.map(([event]) => event)).toEqual(['error', 'close']);
    await stop();
  });
});
