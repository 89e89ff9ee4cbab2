// @ts-check
/**
 * `npm run bench:records`: bytes through the proxy of examples/record-proxy.ts, and the memory that it takes.
 *
 *     --gigabytes N   that are sent through it (10)
 *     --record N      bytes of a record (64 MiB)
 *     --message N     records in a message (16)
 *
 * Client, proxy and target are three processes. The target checks the number of records and of bytes.
 */
import { parseArgs } from 'node:util';
import { DRIVER, MEASURED, startProcess } from './process.js';

const { values: options } = parseArgs({
  options: {
    gigabytes: { type: 'string', default: '10' },
    record: { type: 'string', default: String(64 * 2 ** 20) },
    message: { type: 'string', default: '16' },
  },
});
const MIB = 2 ** 20;
const size = Number(options.record);
const records = Math.ceil((Number(options.gigabytes) * 1e9) / size);
const perMessage = Number(options.message);
const { connect } = await import(process.env['SLUICE'] ?? '../dist/index.js');

const proxy = startProcess('record-proxy.js', { core: MEASURED, args: ['proxy'] });
const target = startProcess('record-proxy.js', { core: DRIVER, args: ['target'] });
const port = await proxy.call('listen', { target: `ws://127.0.0.1:${await target.call('listen')}` });
const ws = await connect(`ws://127.0.0.1:${port}`);

/** What a message yields; nothing of it is made twice. */
const block = Buffer.alloc(MIB);
async function* message(/** @type {number} */ count) {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(size);
  for (let i = 0; i < count; i++) {
    yield head;
    for (let left = size; left > 0; left -= block.length)
      yield block.subarray(0, Math.min(left, block.length));
  }
}

const { rss: idle, cpu: before } = await proxy.call('memory');
const began = performance.now();
for (let left = records; left > 0; left -= perMessage)
  await ws.sendStream(message(Math.min(left, perMessage)));
const { records: got, bytes } = await target.call('received', { records });
const seconds = (performance.now() - began) / 1000;
await ws.close();
const { peak, cpu } = await proxy.call('memory');
if (got !== records || bytes !== records * size) throw new Error(`Of ${records} records ${got} came`);
const rate = bytes / seconds / MIB;
console.log(
  `${(bytes / 1e9).toFixed(1)} GB in ${records} records of ${(size / MIB).toFixed(1)} MiB: ${seconds.toFixed(1)} s, ` +
    `${rate.toFixed(0)} MiB/s, ${(cpu - before).toFixed(1)} s of CPU of the proxy; memory of the proxy ${(idle / MIB).toFixed(1)} MiB idle, ${(peak / MIB).toFixed(1)} MiB ` +
    `at the peak: ${((peak - idle) / MIB).toFixed(1)} MiB more`,
);
proxy.stop();
target.stop();
