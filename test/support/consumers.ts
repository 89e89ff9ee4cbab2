/** Every way to consume the messages of a connection. */
import type { CloseInfo, MessageReader, WebSocketConnection } from '../../src/index.js';
import { turns } from './wire.js';

/** What a consumer has seen. */
export interface Consumed {
  /** The messages, as text. */
  readonly got: string[];
  /** Settles when the consumer has seen the end: null after a clean one, else the error of a pull consumer. */
  readonly end: Promise<unknown>;
}

/** Consumes all messages; `work` is what the consumer does after each of them. */
export type Consume = (ws: WebSocketConnection, work?: () => Promise<unknown>) => Consumed;

const byEvents: Consume = (ws, work = async () => {}) => {
  const got: string[] = [];
  let working: Promise<unknown> = Promise.resolve();
  ws.on('message', (data) => {
    got.push(String(data));
    ws.pause();
    working = work().then(() => ws.resume());
  });
  return { got, end: ws.closed.then(() => working).then(() => null) };
};

/** Consumes by `read`, which is called for every message. */
const byReceive =
  (read: (message: MessageReader) => Promise<string>): Consume =>
  (ws, work = async () => {}) => {
    const got: string[] = [];
    const all = async (): Promise<null> => {
      for (let message = await ws.receive(); message !== null; message = await ws.receive()) {
        got.push(await read(message));
        await work();
      }
      return null;
    };
    return { got, end: all().catch((error: unknown) => error) };
  };

const byIteration =
  (read: (message: MessageReader) => Promise<string>): Consume =>
  (ws, work = async () => {}) => {
    const got: string[] = [];
    const all = async (): Promise<null> => {
      for await (const message of ws) {
        got.push(await read(message));
        await work();
      }
      return null;
    };
    return { got, end: all().catch((error: unknown) => error) };
  };

const text = (message: MessageReader): Promise<string> => message.text();

async function chunks(message: MessageReader): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of message) {
    parts.push(chunk);
    await turns(1);
  }
  return Buffer.concat(parts).toString();
}

/** Ways to consume that begin at once. */
export const consumers: Readonly<Record<string, Consume>> = {
  'message events': (ws) => {
    const got: string[] = [];
    ws.on('message', (data) => got.push(String(data)));
    return { got, end: ws.closed.then(() => null) };
  },
  'paused events': byEvents,
  iteration: byIteration(text),
  'receive()': byReceive(text),
  'chunks of an iteration': byIteration(chunks),
  'chunks of receive()': byReceive(chunks),
  'bytes() after a while': byReceive(async (message) => {
    await turns(2);
    return Buffer.from(await message.bytes()).toString();
  }),
  'a web stream': byReceive((message) => new Response(message.stream() as never).text()),
};

/** Ways to consume that can wait for something after each message. */
export const slowConsumers: Readonly<Record<string, Consume>> = Object.fromEntries(
  Object.entries(consumers).filter(([name]) => name !== 'message events'),
);

/** All events of a connection, by name, in their order. */
export function record(ws: WebSocketConnection): [event: string, detail: unknown][] {
  const seen: [string, unknown][] = [];
  for (const event of ['ping', 'pong', 'drain', 'close', 'error'] as const) {
    ws.on(event, (detail?: unknown) => seen.push([event, detail]));
  }
  return seen;
}

/** The end was reported once, as the last event, and as `closed` says. */
export function endsOnce(seen: readonly [event: string, detail: unknown][], closed: CloseInfo): boolean {
  const ends = seen.filter(([event]) => event === 'close');
  return ends.length === 1 && seen.at(-1)![0] === 'close' && ends[0]![1] === closed;
}
