/** The process of one peer's client: `client.js PEER`. */

import { setTimeout as delay } from 'node:timers/promises';
import { makePayloads } from './frames.js';
import { serveCalls } from './process.js';

const { open } = await import(`./peers/${process.argv[2]}.js`);

let received = 0;
let sending = false;
let checking = true;
let outstanding = 0;
/** When the load began. */
let before = 0;
let cpuBefore = 0;
/** @type {{ send(data: Buffer): void, terminate(): void }[]} */
let opened = [];

/** CPU time so far, in microseconds. */
function cpu() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

serveCalls({
  /** Opens the connections, each of which keeps `window` messages in flight. */
  async open({ port, connections, size, window }) {
    const [payload] = makePayloads(1, size, 'same');
    sending = true;
    checking = true;
    before = received;
    cpuBefore = cpu();
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
    const from = { cpu: cpu(), received, now: performance.now() };
    await delay(milliseconds);
    const microseconds = (performance.now() - from.now) * 1e3;
    return {
      rate: ((received - from.received) / microseconds) * 1e6,
      busy: (cpu() - from.cpu) / microseconds,
      seconds: microseconds / 1e6,
    };
  },

  /** Ends the load, and says what it was and took; throws unless all that was sent came back. */
  async close() {
    checking = true;
    sending = false;
    for (let i = 0; outstanding > 0; i++) {
      if (i > 5000) throw new Error(`${outstanding} replies are missing`);
      await delay(1);
    }
    for (const { terminate } of opened) terminate();
    return { replies: received - before, cpu: cpu() - cpuBefore };
  },
});
