/** How an application consumes messages: by events, by iteration, by `receive()`, or not at all. */
import type { MessageReader, WebSocketConnection } from '../../src/index.js';
import { checkEvent, checkReadAhead } from './events.js';
import { ENDED, type End, type Received } from './model.js';
import type { ReadMethod } from './program.js';
import { isLawful, signatureOf } from './promises.js';
import { read } from './reading.js';
import type { World } from './world.js';

/** Begins to consume the messages of `end`. */
export function consume(world: World, end: End, ws: WebSocketConnection): void {
  const { mode } = end.plan.consumer;
  if (mode === 'none') return;
  if (mode === 'events') {
    listen(world, end, ws);
    return;
  }
  arrive(world, end);
  end.pulled = true;
  const work = mode === 'iterate' ? iterate(world, end, ws) : receiveAll(world, end, ws);
  world.promises.track(`${mode} loop`, work, true, (error) => isLawful(error));
}

function arrive(world: World, end: End): void {
  if (!end.consuming) {
    end.lifeCycle.on('consumer arrives');
    // What close() was to receive has been discarded by now
    if (world.clock.now - end.receivesSince >= end.plan.options.closeTimeout) end.left = true;
  }
  end.consuming = true;
  if (end.socket === null || (end.info === null && (end.socket.goneAt === null || end.paused))) return;
  // What was unread has been discarded by now, unless the end came too early
  const { closeTimeout } = end.plan.options;
  if (world.clock.now - (end.socket.goneAt ?? 0) >= closeTimeout) end.left = true;
}

/** Adds a listener for messages. */
export function listen(world: World, end: End, ws: WebSocketConnection): void {
  // One listener notes the messages; more of them see the same
  const first = !end.listening;
  end.listening = true;
  end.events ||= !end.pulled;
  try {
    ws.on('message', (data, type) => {
      if (!first) return;
      world.trace(end, `message ${type} ${data.length}`);
      end.received.push({ type, data, part: null, limited: true });
      checkEvent(world, end, 'message');
      checkSize(world, end, data);
      checkReadAhead(world, end);
      pace(world, end, ws);
      return world.react(end, 'message');
    });
    arrive(world, end);
  } catch (error) {
    end.listening = !first;
    if (!(end.pulled && isLawful(error))) world.report('threw', `on('message') ${signatureOf(error)}`);
  }
}

/** A slow consumer by events pauses after each message. */
function pace(world: World, end: End, ws: WebSocketConnection): void {
  const { pace: ms } = end.plan.consumer;
  if (ms === 0 || end.paused) return;
  ws.pause();
  world.clock.schedule(ms, () => {
    if (!end.paused) world.guard(`resume()`, () => ws.resume());
  });
}

async function iterate(world: World, end: End, ws: WebSocketConnection): Promise<void> {
  const { detached = false, leaveAfter, pace: ms } = end.plan.consumer;
  let count = 0;
  try {
    for await (const message of ws) {
      if (detached && count + 1 === leaveAfter) {
        world.promises.track('a read that was left', take(world, end, message), true);
        leave(end);
        // A receive() that waits is asked for still
        end.leftIteration = end.receiving === 0;
        return;
      }
      await take(world, end, message);
      if (ms > 0) await world.clock.sleep(ms);
      if (++count === leaveAfter) {
        leave(end);
        // A receive() that waits is asked for still
        end.leftIteration = end.receiving === 0;
        return;
      }
    }
    checkEnd(world, end, 'iteration', null);
  } catch (error) {
    checkEnd(world, end, 'iteration', error);
    throw error;
  }
}

function leave(end: End): void {
  end.lifeCycle.on('consumer leaves');
  end.left = true;
}

async function receiveAll(world: World, end: End, ws: WebSocketConnection): Promise<void> {
  const { leaveAfter, pace: ms } = end.plan.consumer;
  for (let count = 1; ; count++) {
    const message = await receiveOne(world, end, ws);
    if (message === null) return;
    await take(world, end, message);
    if (ms > 0) await world.clock.sleep(ms);
    if (count === leaveAfter) return leave(end);
  }
}

/** One `receive()`. While another one waits it must reject with ERR_CONSUMPTION. */
export async function receiveOne(
  world: World,
  end: End,
  ws: WebSocketConnection,
  signal?: AbortSignal,
): Promise<MessageReader | null> {
  const waits = signal?.aborted !== true;
  const second = end.receiving > 0;
  if (waits) {
    end.receiving++;
    end.interrupt();
  }
  try {
    const message = await ws.receive(signal === undefined ? {} : { signal });
    if (second && message !== null) world.report('receive', 'two calls of receive() waited at once');
    if (message === null) checkEnd(world, end, 'receive()', null);
    return message;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_CONSUMPTION' && signal?.aborted !== true) {
      checkEnd(world, end, 'receive()', error);
    }
    throw error;
  } finally {
    if (waits) end.receiving--;
  }
}

/** The end is the same everywhere: null after a clean close only. */
function checkEnd(world: World, end: End, api: string, error: unknown): void {
  world.later(() => {
    if (end.info === null) return;
    const clean = end.info.wasClean;
    if (error === null && !clean) world.report('end', `${api} ended as if after a clean close`);
    if (error !== null && clean && isLawful(error)) {
      const { name, code } = error as { name: string; code: unknown };
      if (name === 'ConnectionClosedError')
        world.report('end', `${api} rejected after a clean close`, String(code));
    }
  });
}

/** Reads a message as the plan says. */
export async function take(world: World, end: End, message: MessageReader, how?: ReadMethod): Promise<void> {
  const { read: first, readNext = first } = end.plan.consumer;
  const planned = how ?? (end.received.length % 2 === 0 ? first : readNext);
  const method = world.parts || (planned !== 'parts' && planned !== 'skip') ? planned : 'chunks';
  const limited = ['whole', 'bytes', 'ignore', 'cancel', 'skip'].includes(method);
  const slot: Received = { type: message.type, data: null, part: null, limited };
  end.received.push(slot);
  let late = end.info !== null;
  end.reading.add(slot);
  try {
    const data = await read(message, method, slot, async (first) => {
      const { dwell = 0 } = end.plan.consumer;
      // A stream has read ahead
      late ||= method !== 'stream' && end.info !== null;
      await world.react(end, 'chunk');
      if (first && dwell > 0) await world.clock.sleep(dwell);
    });
    if (data !== null) slot.data = data;
    // Who has left holds the end no longer between two parts
    const held = !(end.left && method === 'parts');
    if (data !== null && late && held && !gaveUp(end))
      world.report('event after close', 'a message', end.name);
    if (data !== null && limited) checkSize(world, end, data);
    world.trace(end, `read ${method} ${slot.type} ${slot.data?.length ?? 'left'}`);
  } catch (error) {
    world.trace(end, `read ${method} ${signatureOf(error)}`);
    const discarded = (error as { code?: unknown }).code === 'ERR_CONSUMPTION';
    // Between two parts of a message nothing reads it
    const inParts = method === 'parts' || method === 'skip';
    if (slot.interrupted && ((discarded && !inParts) || !isLawful(error)))
      world.report('receive', ENDED, String(error));
    else if (!isLawful(error)) {
      world.report('rejected', `reading with ${signatureOf(error)}`, String(error));
    }
  } finally {
    end.reading.delete(slot);
  }
  try {
    await world.react(end, 'message');
  } catch (error) {
    // The loop ends by it
    leave(end);
    throw error;
  }
}

/** This side has ended the connection itself: that may overtake a reader that has all of its message. */
function gaveUp({ aborts, closedAt, failure, receivesSince }: End): boolean {
  return (
    closedAt !== null ||
    receivesSince < Number.POSITIVE_INFINITY ||
    aborts ||
    (failure !== null && 'closeCode' in failure)
  );
}

/** What is collected in memory is no larger than `maxMessageSize`. */
function checkSize(world: World, end: End, data: string | Uint8Array): void {
  const { maxMessageSize } = end.plan.options;
  const size = Buffer.byteLength(data);
  if (size > maxMessageSize)
    world.report('limit', 'a message over maxMessageSize was delivered', `${size} > ${maxMessageSize}`);
}
