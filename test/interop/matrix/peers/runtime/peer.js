/** Sluice in another runtime: `client URL` and `server`, as every peer, and what it does there alone. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, WebSocketServer } from '../../../../../dist/index.js';
import { checkServer, startServer } from '../../checks.js';

const [role, url = ''] = process.argv.slice(2);
if (role === 'client') {
  await checkServer({ url, lacks: {} }, tell);
  for (const [check, run] of Object.entries({ stream, origin })) {
    await run().then(
      () => tell(check, null),
      (error) => tell(check, error.message),
    );
  }
  process.exit();
}
const http = createServer();
startServer(http);
console.log(`listening ${await portOf(http)}`);
process.stdin.resume().on('end', () => process.exit());

function tell(/** @type {string} */ check, /** @type {string | null} */ problem) {
  console.log(problem === null ? `${check} ok` : `${check} failed ${problem}`);
}

async function portOf(/** @type {import('node:http').Server} */ server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

/** 8 MiB in one message, by a generator, through an echo by stream, compressed too. */
async function stream() {
  const chunk = Buffer.from(Array.from({ length: 65_536 }, (_, i) => i));
  const chunks = 128;
  for (const compression of [false, { threshold: 0 }]) {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', compression });
    await once(server, 'listening');
    server.on('connection', async (ws) => {
      for await (const message of ws) await ws.sendStream(message);
    });
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const ws = await connect(`ws://127.0.0.1:${port}`, { compression });
    const sending = ws.sendStream(Array.from({ length: chunks }, () => chunk));
    const message = await ws.receive();
    let at = 0;
    for await (const part of message ?? []) {
      for (const byte of part) if (byte !== (at++ & 0xff)) throw new Error(`another byte at ${at}`);
    }
    await sending;
    if (at !== chunk.length * chunks) throw new Error(`${at} bytes came`);
    const { code, wasClean } = await ws.close();
    if (code !== 1000 || !wasClean) throw new Error(`ended with ${code}, clean: ${wasClean}`);
    await server.close();
  }
}

/** A page of another origin is refused, one of the same is not. */
async function origin() {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const open = (/** @type {string} */ from) =>
    connect(`ws://127.0.0.1:${port}`, { headers: { Origin: from } }).then(
      (ws) => ws.close().then(() => 101),
      (error) => error.status,
    );
  const statuses = [await open(`http://127.0.0.1:${port}`), await open('http://attacker.example')];
  if (String(statuses) !== '101,403') throw new Error(`answered with ${statuses}`);
  await server.close();
}
