/** The process of one peer's client: `client.js PEER`. */

import { setTimeout as delay } from 'node:timers/promises';
import { makePayloads } from './frames.js';
import { serveCalls } from './process.js';

const { open } = await import(`./peers/${process.argv[2]}.js`);

let received = 0;
let sending = false;
let checking = true;
let outstanding = 0;
/** @type {{ send(data: Buffer): void, terminate(): void }[]} */
let opened = [];

serveCalls({
  /** Opens the connections, each of which keeps `window` messages in flight. */
  async open({ port, connections, size, window }) {
    const [payload] = makePayloads(1, size, 'same');
    sending = true;
    checking = true;
    opened = await Promise.all(
      Array.from({ length: connections }, async () => {
        let connection;
        const onMessage = (data) => {
          received++;
          outstanding--;
          if (checking && !payload.equals(data)) throw new Error('Not the reply that was sent');
          if (!sending) return;
          outstanding++;
          connection.send(payload);
        };
        connection = await open(`ws://127.0.0.1:${port}`, onMessage);
        outstanding += window;
        for (let i = 0; i < window; i++) connection.send(payload);
        return connection;
      }),
    );
  },

  async measure({ milliseconds }) {
    checking = false;
    const cpu = process.cpuUsage();
    const before = received;
    const began = performance.now();
    await delay(milliseconds);
    const microseconds = (performance.now() - began) * 1e3;
    const { user, system } = process.cpuUsage(cpu);
    return {
      rate: ((received - before) / microseconds) * 1e6,
      busy: (user + system) / microseconds,
      seconds: microseconds / 1e6,
    };
  },

  /** Ends the load; throws unless all that was sent came back. */
  async close() {
    checking = true;
    sending = false;
    for (let i = 0; outstanding > 0; i++) {
      if (i > 5000) throw new Error(`${outstanding} replies are missing`);
      await delay(1);
    }
    for (const { terminate } of opened) terminate();
  },
});
