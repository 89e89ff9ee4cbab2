/** The example of a proxy: what it forwards, and what it does with peers that misbehave. */
import { once } from 'node:events';
import { type AddressInfo, connect as connectSocket, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startProxy } from '../../examples/record-proxy.js';
import { type CloseInfo, connect, type WebSocketConnection, WebSocketServer } from '../../src/index.js';
import { frame } from '../support/frames.js';
import { checkSideConditions } from '../support/side-conditions.js';
import { turns } from '../support/wire.js';

checkSideConditions();

let target: WebSocketServer;
let proxy: WebSocketServer;
/** Records that the target has received whole, and how its connections have ended. */
let got: Buffer[];
let ends: Promise<CloseInfo>[];
let targets: WebSocketConnection[];

const portOf = (server: WebSocketServer): number => (server.address() as AddressInfo).port;

beforeEach(async () => {
  got = [];
  ends = [];
  targets = [];
  target = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  target.on('connection', async (ws) => {
    ends.push(ws.closed);
    targets.push(ws);
    for await (const message of ws) {
      const record = Buffer.from(await message.bytes());
      got.push(record);
      ws.send(`record of ${record.length}`);
    }
  });
  await once(target, 'listening');
  proxy = await startProxy({
    port: 0,
    target: `ws://127.0.0.1:${portOf(target)}`,
    maxRecordSize: 1_000_000,
  });
});

afterEach(async () => {
  await Promise.all([proxy.close({ timeout: 100 }), target.close({ timeout: 100 })]);
});

const open = (): Promise<WebSocketConnection> => connect(`ws://127.0.0.1:${portOf(proxy)}`);

/** A record with its size in front. */
function record(content: string | Buffer, size: number = Buffer.byteLength(content)): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(size);
  return Buffer.concat([head, Buffer.from(content)]);
}

/** A client that is played byte by byte. */
async function rawClient(): Promise<Socket> {
  const socket = connectSocket(portOf(proxy), '127.0.0.1');
  socket.on('error', () => {});
  socket.write(
    `GET / HTTP/1.1\r\nHost: 127.0.0.1:${portOf(proxy)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  );
  await once(socket, 'data');
  return socket;
}

const key = [1, 2, 3, 4];

test('records of one message, cut anywhere, are messages of the target; its answers come back', async () => {
  const client = await open();
  const large = Buffer.alloc(700_000, 'large');
  const all = Buffer.concat([record('one'), record(''), record(large), record('last')]);
  const writer = client.createWriter('binary');
  const cuts = [0, 2, 5, 9, 12, 100_000, 100_001, 500_000, all.length];
  for (let i = 1; i < cuts.length; i++) await writer.write(all.subarray(cuts[i - 1], cuts[i]));
  await writer.end();
  client.send(record('of another message'));
  const answers: string[] = [];
  for await (const message of client) {
    answers.push(await message.text());
    if (answers.length === 5) break;
  }
  expect(answers).toEqual([3, 0, 700_000, 4, 18].map((size) => `record of ${size}`));
  expect(got.map(String)).toEqual(['one', '', String(large), 'last', 'of another message']);
  expect(await client.close(1000, 'done')).toMatchObject({ code: 1000, wasClean: true });
  expect(await ends[0]).toMatchObject({ code: 1000, wasClean: true });
});

describe('a client that misbehaves: the target gets no record that was cut off, and the next client is served', () => {
  test.each<[string, Buffer, number, string]>([
    [
      'ends its message within a record',
      Buffer.concat([record('whole'), record('cut', 10)]),
      1007,
      'A record is cut off',
    ],
    [
      'ends its message within a size',
      Buffer.concat([record('whole'), Buffer.of(0, 0)]),
      1007,
      'A record is cut off',
    ],
    [
      'announces a record over the limit',
      Buffer.concat([record('whole'), record('x', 0xffff_ffff)]),
      1009,
      'A record is too large',
    ],
  ])('%s', async (_name, message, code, reason) => {
    const client = await open();
    client.send(message);
    expect(await client.closed).toMatchObject({ code, reason, wasClean: true });
    await ends[0];
    expect(got.map(String)).toEqual(['whole']);
    await checkOther();
  });

  test('is cut off within a record', async () => {
    const socket = await rawClient();
    socket.write(frame(2, record('whole'), { key }));
    socket.write(frame(2, record('x'.repeat(100), 1000), { key, fin: false }));
    while (got.length === 0) await turns(1);
    socket.destroy();
    expect((await ends[0])?.code).not.toBe(1000);
    expect(got.map(String)).toEqual(['whole']);
    await checkOther();
  });

  test('breaks the protocol within a record', async () => {
    const socket = await rawClient();
    socket.write(frame(2, record('x'.repeat(100), 1000), { key, fin: false }));
    socket.write(frame(3, '', { key }));
    await once(socket, 'close');
    expect((await ends[0])?.code).not.toBe(1000);
    expect(got).toEqual([]);
    await checkOther();
  });

  async function checkOther(): Promise<void> {
    got.length = 0;
    const other = await open();
    other.send(record('another'));
    expect(await (await other.receive())?.text()).toBe('record of 7');
    await other.close();
  }
});

describe('a target that misbehaves ends its client with 1014', () => {
  test('it cannot be reached', async () => {
    await target.close();
    const client = await open();
    expect(await client.closed).toMatchObject({ code: 1014, reason: 'The target cannot be reached' });
  });

  test('it goes within a record, which the client is still sending', async () => {
    const client = await open();
    const writer = client.createWriter('binary');
    await writer.write(record('begun', 1000));
    while (targets.length === 0) await turns(1);
    targets[0]!.terminate();
    expect(await client.closed).toMatchObject({ code: 1014 });
    await expect(writer.write('more')).rejects.toMatchObject({ code: 1014 });
  });

  test('it closes: the client is closed with 1000', async () => {
    const client = await open();
    client.send(record('one'));
    for await (const message of client) {
      expect(await message.text()).toBe('record of 3');
      void targets[0]!.close();
    }
    expect(await client.closed).toMatchObject({ code: 1000, wasClean: true });
  });
});
