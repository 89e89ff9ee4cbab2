/** The servers of the README, word for word, and peers that break off or break a rule: the process lives. */
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Server } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { WebSocketServer } from '../../../src/index.js';
import { programsOf } from '../../readme.js';
import { checkNothingLeft } from '../../support/nothing-left.js';
import { turns } from '../../support/wire.js';

checkNothingLeft();

const root = join(import.meta.dirname, '../../..');
const folder = join(root, '.cache', 'readme-servers');
const readme = join(root, 'README.md');
/** Those that serve connections. */
const servers = programsOf(existsSync(readme) ? readFileSync(readme, 'utf8') : '').filter(({ code }) =>
  /\.on\('(connection|upgrade)'/.test(code),
);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What hostile peers do after the opening handshake, in frames of a client. */
const breaks: Readonly<Record<string, (socket: ReturnType<typeof connectTcp>) => void>> = {
  'terminates at once': (socket) => socket.resetAndDestroy(),
  'leaves without a Close frame': (socket) => socket.end(),
  'sends ff ff': (socket) => socket.write(Buffer.from('ffff', 'hex')),
  'sends a message and ff ff': (socket) =>
    socket.write(Buffer.from('81820000000068 69ffff'.replace(' ', ''), 'hex')),
  'terminates inside a message': (socket) =>
    socket.write(Buffer.from('018200000000', 'hex'), () => socket.resetAndDestroy()),
  'sends a message and terminates': (socket) =>
    socket.write(Buffer.from('8182000000006869', 'hex'), () => socket.resetAndDestroy()),
  'sends bad UTF-8': (socket) => socket.write(Buffer.from('818100000000ff', 'hex')),
};

/** Each kind of peer, one after the other. */
async function attack(port: number, path: string): Promise<void> {
  for (const [name, act] of Object.entries(breaks)) {
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        'Cookie: sid=1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const [answer] = (await once(socket, 'data')) as [Buffer];
    if (!String(answer).includes(' 101 ')) throw new Error(`${name}: ${answer}`);
    act(socket);
    const timer = setTimeout(() => socket.destroy(), 2_000);
    if (!socket.closed) await once(socket.resume(), 'close');
    clearTimeout(timer);
    await turns(3);
  }
}

describe('the servers of the README', () => {
  test('are found', () => expect(servers.length).toBeGreaterThan(2));

  test.each(servers)(
    '[X-05] the server of line $line, attacked: it goes on, and does what it says',
    async ({ line, code }) => {
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `line-${line}.ts`);
      // The peers come as soon as its HTTP server listens, before the program goes on
      const program = code
        .replaceAll("from 'sluice'", "from '../../src/index.js'")
        .replaceAll("from 'sluice/protocol'", "from '../../src/protocol.js'");
      writeFileSync(file, program);
      const { listen } = Server.prototype;
      const attacks: Promise<void>[] = [];
      const log = vi.spyOn(console, 'log').mockImplementation(() => {});
      const path = (/path: '([^']+)'/.exec(code)?.[1] ?? '/').replaceAll(':', '');
      const spy = vi.spyOn(Server.prototype, 'listen').mockImplementation(function (
        this: Server,
        ...rest: unknown[]
      ) {
        // With a tick between, so that what listens for connections is there
        const begin = async (): Promise<void> => {
          await turns(1);
          await attack((this.address() as { port: number }).port, path);
        };
        this.once('listening', () => {
          const attacking = begin();
          attacking.catch(() => {});
          attacks.push(attacking);
        });
        return listen.apply(this, rest as never);
      } as never);
      // A program closes its server at its end: not before the peers have done their worst
      const { close } = WebSocketServer.prototype;
      const held = vi.spyOn(WebSocketServer.prototype, 'close').mockImplementation(async function (
        this: WebSocketServer,
        options,
      ) {
        await Promise.allSettled(attacks);
        return close.call(this, options);
      });
      const closeHttp = Server.prototype.close;
      const heldHttp = vi.spyOn(Server.prototype, 'close').mockImplementation(function (this: Server, done) {
        void Promise.allSettled(attacks).then(() => closeHttp.call(this, done));
        return this;
      });
      try {
        await import(pathToFileURL(file).href);
        await turns(5);
        expect(await Promise.allSettled(attacks)).toEqual([{ status: 'fulfilled', value: undefined }]);
        await turns(5);
      } finally {
        for (const each of [log, spy, held, heldHttp]) each.mockRestore();
      }
    },
  );
});
