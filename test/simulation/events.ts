/** The events of a connection, each checked against what the model knows. */
import type { Application } from './application.js';
import { checkLatency } from './liveness.js';
import type { End } from './model.js';
import { OwnError, signatureOf } from './promises.js';
import type { World } from './world.js';

/** Bytes that may be read in front of a consumer: what streams and the connection hold. */
const MAX_HELD = 192 * 1024;

/** Listeners of an open connection; another one for `close` is that of the simulation. */
const SOCKET_LISTENERS = { data: 1, end: 1, error: 1, finish: 1, close: 2 };

/** Listens to everything but messages, until the connection ends. */
export function watch(world: World, { end, properties, ws }: Application): void {
  for (const event of ['ping', 'pong', 'drain'] as const) {
    ws.on(event, (payload?: Buffer) => {
      world.trace(end, event);
      checkEvent(world, end, event);
      if (event === 'pong') checkLatency(world, end, ws.latency, payload!);
      return world.react(end, event);
    });
  }
  ws.on('error', (error) => {
    world.trace(end, `error ${signatureOf(error)}`);
    // A listener for `close` may fail, and that is reported
    if (end.info !== null && !(error instanceof OwnError)) world.report('event after close', 'error');
    onError(world, end, error);
    return world.react(end, 'error');
  });
  ws.on('close', (info) => {
    world.trace(end, `close ${info.code} ${info.wasClean}`);
    if (end.info !== null) world.report('event after close', 'close');
    end.info ??= info;
    end.endedAt = world.clock.now;
    end.lifeCycle.end();
    if (ws.state !== 'closed') world.report('end', `state is ${ws.state} in the close event`);
    properties.check();
    return world.react(end, 'close');
  });
  world.later(() => checkListeners(world, end));
  ws.closed.then((info) => {
    end.closed = info;
    world.trace(end, `closed ${info.code}`);
  });
}

/** Nothing is emitted after `close`, and of what was received nothing after `terminate()`. */
export function checkEvent(world: World, end: End, event: 'message' | 'ping' | 'pong' | 'drain'): void {
  if (end.info !== null) world.report('event after close', event);
  else if (end.terminated) world.report('event after terminate()', event);
  else if (event === 'message' && end.paused) world.report('pause', 'a message came while paused', end.name);
  if (event === 'drain') end.drainDue = false;
}

/** No more is read in front of a consumer than a few buffers, and the message that comes. */
export function checkReadAhead(world: World, end: End): void {
  const { closedAt, held, left, name, peer, unobserved } = end;
  const over =
    left || unobserved > 0 || closedAt !== null || world.applications.get(end)?.ws.state !== 'open';
  if (over || held <= MAX_HELD + 2 * peer.largest) return;
  world.report('memory', 'input in front of a consumer was read', `${name} ${held} bytes`);
}

function onError(world: World, end: End, error: Error): void {
  // Besides the failure of the connection, what async listeners reject with is emitted
  const failed = end.errors.some((other) => !(other instanceof OwnError));
  if (end.errors.includes(error) || (failed && !(error instanceof OwnError)))
    world.report('event twice', 'error', `${end.name} ${error}`);
  end.errors.push(error);
  const { code } = error as { code?: unknown };
  if ('closeCode' in error) {
    end.lifeCycle.on('violation');
    if (error.closeCode === 1009) checkLimit(world, end);
    else if (!end.peer.plan.raw) {
      world.report('violation', `by an end of the library: ${signatureOf(error)}`, String(error));
    }
  } else if (code === 'ERR_SEND_QUEUE_FULL') end.lifeCycle.on('queue full');
  else if (error.name === 'TimeoutError') {
    end.lifeCycle.on('keepalive timeout');
    const why = end.signOfLife;
    if (why !== null) world.report('liveness', `a healthy peer was killed: ${why}`);
  }
}

/** Sizes are limited by each side for itself: messages that are collected. */
function checkLimit(world: World, end: End): void {
  const last = end.received.at(-1);
  const dropped = last?.limited === true && last.data === null && !isSmall(end, end.received.length);
  const limited =
    end.events || end.unobserved > 0 || dropped || [...end.reading].some((message) => message.limited);
  if (limited && end.peer.largest > end.plan.options.maxMessageSize) return;
  world.report('limit', 'a message was refused that is within the limit, or streamed', end.name);
}

/** Of the messages that its peer sent, the one with this number is within the limit for sure. */
function isSmall({ peer: { sent }, plan, unobserved }: End, number: number): boolean {
  const message = sent[number - 1];
  if (message === undefined || unobserved > 0) return false;
  if (sent.slice(0, number).some(({ fate }) => fate !== 'whole')) return false;
  return message.size * (message.form === 'unicode' ? 3 : 1) <= plan.options.maxMessageSize;
}

/** Nothing but the connection listens to its socket: nothing of the opening handshake. */
function checkListeners(world: World, { name, socket }: End): void {
  for (const [event, most] of Object.entries(SOCKET_LISTENERS)) {
    if (socket!.listenerCount(event) > most)
      world.report('leak', `a listener for ${event} of the socket`, name);
  }
}
