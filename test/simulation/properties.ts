/** What a connection says about itself, at any time, against what the model knows. */
import { inspect } from 'node:util';
import type { ConnectionStats, WebSocketConnection } from '../../src/index.js';
import { content } from './content.js';
import type { End, Sent } from './model.js';
import type { LinkPlan } from './program.js';
import type { World } from './world.js';

const names = ['messagesReceived', 'messagesSent', 'bytesReceived', 'bytesSent'] as const;

/** The properties of one connection. */
export class Properties {
  readonly #world: World;
  readonly #end: End;
  readonly #ws: WebSocketConnection;
  readonly #plan: LinkPlan;
  readonly #index: number;
  #before: ConnectionStats = { messagesReceived: 0, messagesSent: 0, bytesReceived: 0, bytesSent: 0 };
  #address: string | undefined;
  /** What `ws.data` is; the application sets it where the server did not. */
  #data: unknown;

  constructor(world: World, end: End, ws: WebSocketConnection) {
    this.#world = world;
    this.#end = end;
    this.#ws = ws;
    const { index, plan } = world.links.find(({ a, b }) => a === end || b === end)!;
    this.#plan = plan;
    this.#index = index;
    if (!world.complete) return;
    const authenticated = plan.via !== 'direct' && end.name.endsWith('a') && (plan.authenticate ?? -1) >= 0;
    this.#data = authenticated ? `/${index}` : undefined;
    this.#expect('data', ws.data === this.#data, String(ws.data));
    this.#data ??= end.name;
    ws.data = this.#data;
  }

  /** Reads all of them, and compares. */
  check(): void {
    if (!this.#world.complete) return;
    const ws = this.#ws;
    this.#expect('data', ws.data === this.#data, String(ws.data));
    this.#checkHandshake();
    this.#checkAddress();
    this.#checkStats();
    this.#expect('inspection', inspect(ws).includes(`state: '${ws.state}'`), inspect(ws));
  }

  /** After the end. */
  checkLast(): void {
    if (!this.#world.complete) return;
    this.check();
    const { input, lifeCycle, output } = this.#end;
    // A reset, and other code that destroys the socket, comes without notice
    const orderly = input.untouched && output.untouched && !lifeCycle.events.has('reset');
    this.#expect('address', !orderly || this.#address !== undefined, 'unknown after an orderly end');
  }

  #checkHandshake(): void {
    const { responseHeaders, role, url } = this.#ws;
    const direct = this.#plan.via === 'direct';
    this.#expect('url', direct ? url === '' : url.endsWith(`/${this.#index}`), url);
    const upgraded = responseHeaders?.['upgrade'] === 'websocket';
    this.#expect('responseHeaders', upgraded === (!direct && role === 'client'), inspect(responseHeaders));
  }

  #checkAddress(): void {
    const { remoteAddress, remotePort } = this.#ws;
    const alive = this.#end.socket?.destroyed === false;
    const known = remoteAddress === '127.0.0.1' && remotePort === 40_000;
    this.#expect('address', known || (!alive && this.#address === undefined), String(remoteAddress));
    this.#address = remoteAddress;
  }

  #checkStats(): void {
    const { bufferedAmount, state, stats } = this.#ws;
    const end = this.#end;
    const detail = `${end.name} ${names.map((name) => stats[name]).join(' ')}`;
    this.#expect(
      'stats',
      names.every((name) => stats[name] >= this.#before[name]),
      `${detail} after ${names.map((name) => this.#before[name]).join(' ')}`,
    );
    this.#before = stats;

    const { messageEnds, payloadSize } = end.output.tap;
    const finished = end.sent.filter(({ fate }) => fate === 'whole' || fate === 'maybe').length;
    this.#expect('stats', stats.messagesSent <= finished, `${detail}, sent ${finished}`);
    this.#expect('stats', stats.messagesSent >= messageEnds.length, `${detail}, left ${messageEnds.length}`);
    this.#expect('stats', stats.bytesSent <= sizeOf(end.sent), `${detail}, sent ${sizeOf(end.sent)} bytes`);
    const plain = this.#plan.deflate === null;
    if (plain) this.#expect('stats', stats.bytesSent >= payloadSize, `${detail}, left ${payloadSize} bytes`);
    if (state === 'open' && bufferedAmount === 0 && end.socket?.destroyed === false) {
      this.#expect(
        'stats',
        stats.messagesSent === messageEnds.length,
        `${detail}, left ${messageEnds.length}`,
      );
      this.#expect(
        'stats',
        !plain || stats.bytesSent === payloadSize,
        `${detail}, left ${payloadSize} bytes`,
      );
    }

    const whole = end.received.filter(({ data }) => data !== null);
    const bytes = whole.reduce((sum, { data }) => sum + Buffer.byteLength(data!), 0);
    const arrived = end.input.tap.messagesWithin(end.input.pulled);
    this.#expect('stats', stats.messagesReceived >= whole.length, `${detail}, read ${whole.length}`);
    this.#expect('stats', stats.messagesReceived <= arrived, `${detail}, arrived ${arrived}`);
    this.#expect('stats', stats.bytesReceived >= bytes, `${detail}, read ${bytes} bytes`);
    const most = end.peer.plan.raw ? Number.POSITIVE_INFINITY : sizeOf(end.peer.sent);
    this.#expect('stats', stats.bytesReceived <= most, `${detail}, of ${most} bytes`);
    if (end.listening && !end.left && end.unobserved === 0) {
      const count = end.received.length;
      this.#expect('stats', stats.messagesReceived === count, `${detail}, delivered ${count}`);
    }
  }

  #expect(property: string, holds: boolean, detail: string): void {
    if (!holds) this.#world.report('property', `${property} is wrong`, detail);
  }
}

function sizeOf(messages: readonly Sent[]): number {
  return messages.reduce((sum, { form, owner, size }) => {
    return sum + (form === 'unicode' ? Buffer.byteLength(content(owner, form, size)) : size);
  }, 0);
}
