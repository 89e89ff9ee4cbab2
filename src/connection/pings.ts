/** Pings that await their Pong, RFC 6455 §5.5.2-§5.5.3. */
import { deadline } from '../deadline.js';
import { TimeoutError } from '../errors.js';
import { onAbort } from './abort.js';

interface PendingPing {
  readonly payload: Buffer;
  readonly sentAt: number;
  /** Bytes that had been given to the transport. */
  readonly given: number;
  /** Null for a Ping of the heartbeat. */
  readonly settle: ((latency: number) => void) | null;
}

/** Pings of the heartbeat that are remembered, the latest: a peer that answers none of them costs no more. */
const MAX_HEARTBEATS = 8;

/** Matches Pongs with Pings by payload. */
export class Pings {
  /** Milliseconds of the last round trip; NaN before the first. */
  latency: number = Number.NaN;
  /** In the order in which they were sent. */
  #pending: Set<PendingPing> | null = null;
  #heartbeats = 0;
  #count = 0;

  /** Pings that await their Pong. */
  get count(): number {
    return this.#pending?.size ?? 0;
  }

  /** A payload of four bytes that no other Ping of this connection has. */
  nextPayload(): Buffer {
    const payload = Buffer.alloc(4);
    this.#count = (this.#count + 1) >>> 0;
    payload.writeUInt32BE(this.#count);
    return payload;
  }

  /** A Ping of the heartbeat is sent, behind all bytes that were `given` to the transport. */
  sent(payload: Buffer, given: number): void {
    if (this.#heartbeats === MAX_HEARTBEATS) this.#forgetHeartbeat();
    this.#heartbeats++;
    this.#add({ payload, sentAt: performance.now(), given, settle: null });
  }

  /**
   * Waits for the Pong to a Ping that was just sent, behind all bytes that were `given` to the transport; `onEnd`
   * reports the end of the connection.
   */
  pong(
    payload: Buffer,
    given: number,
    timeout: number,
    signal: AbortSignal | undefined,
    onEnd: (listener: (error: Error) => void) => () => void,
  ): Promise<number> {
    return new Promise<number>((resolve, reject) => {
      const fail = (reason: unknown): void => {
        this.#pending?.delete(ping);
        stop();
        reject(reason);
      };
      const succeed = (latency: number): void => {
        stop();
        resolve(latency);
      };
      const ping: PendingPing = { payload, sentAt: performance.now(), given, settle: succeed };
      const cancel = deadline(timeout, () =>
        fail(new TimeoutError(`No Pong arrived within ${timeout} ms after ping()`)),
      );
      const listening = [onAbort(signal, fail), onEnd(fail)];
      const stop = (): void => {
        cancel();
        for (const each of listening) each();
      };
      this.#add(ping);
    });
  }

  /**
   * A Pong was received. An endpoint "MAY elect to send a Pong frame for only the most recently processed Ping
   * frame" (§5.5.3), so it answers all Pings that were sent before that one as well.
   *
   * @returns how many bytes have reached the peer for sure; -1 when it answers no Ping
   */
  received(payload: Buffer): number {
    const pending = this.#pending;
    if (pending === null || !includes(pending, payload)) return -1;
    const now = performance.now();
    let given = -1;
    for (const ping of pending) {
      pending.delete(ping);
      given = ping.given;
      this.latency = now - ping.sentAt;
      if (ping.settle === null) this.#heartbeats--;
      else ping.settle(this.latency);
      if (ping.payload.equals(payload)) break;
    }
    if (pending.size === 0) this.#pending = null;
    return given;
  }

  /** The oldest. A peer may answer none but the latest (§5.5.3). */
  #forgetHeartbeat(): void {
    for (const ping of this.#pending!) {
      if (ping.settle !== null) continue;
      this.#pending!.delete(ping);
      this.#heartbeats--;
      return;
    }
  }

  #add(ping: PendingPing): void {
    this.#pending ??= new Set();
    this.#pending.add(ping);
  }
}

function includes(pings: ReadonlySet<PendingPing>, payload: Buffer): boolean {
  for (const ping of pings) if (ping.payload.equals(payload)) return true;
  return false;
}
