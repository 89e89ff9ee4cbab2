/** Pings that await their Pong, RFC 6455 §5.5.2-§5.5.3. */
import { deadline } from '../deadline.js';
import { TimeoutError } from '../errors.js';
import { onAbort } from './abort.js';

interface PendingPing {
  readonly payload: Buffer;
  readonly sentAt: number;
  /** Null for a Ping of the heartbeat. */
  readonly settle: ((latency: number) => void) | null;
}

/** Pings of the heartbeat that are remembered: a peer that answers none of them costs no more. */
const MAX_HEARTBEATS = 8;

/** Matches Pongs with Pings by payload. */
export class Pings {
  /** Milliseconds of the last round trip; NaN before the first. */
  latency: number = Number.NaN;
  #pending: PendingPing[] | null = null;
  #count = 0;

  /** A payload of four bytes that no other Ping of this connection has. */
  nextPayload(): Buffer {
    const payload = Buffer.alloc(4);
    this.#count = (this.#count + 1) >>> 0;
    payload.writeUInt32BE(this.#count);
    return payload;
  }

  /** A Ping of the heartbeat is sent. */
  sent(payload: Buffer): void {
    const heartbeats = this.#pending?.filter(({ settle }) => settle === null) ?? [];
    if (heartbeats.length < MAX_HEARTBEATS) this.#add({ payload, sentAt: performance.now(), settle: null });
  }

  /** Waits for the Pong to a Ping that was just sent; `onEnd` reports the end of the connection. */
  pong(
    payload: Buffer,
    timeout: number,
    signal: AbortSignal | undefined,
    onEnd: (listener: (error: Error) => void) => () => void,
  ): Promise<number> {
    return new Promise<number>((resolve, reject) => {
      const fail = (reason: unknown): void => {
        this.#pending = this.#pending?.filter(({ settle }) => settle !== succeed) ?? null;
        stop();
        reject(reason);
      };
      const succeed = (latency: number): void => {
        stop();
        resolve(latency);
      };
      const cancel = deadline(timeout, () =>
        fail(new TimeoutError(`No Pong arrived within ${timeout} ms after ping()`)),
      );
      const listening = [onAbort(signal, fail), onEnd(fail)];
      const stop = (): void => {
        cancel();
        for (const each of listening) each();
      };
      this.#add({ payload, sentAt: performance.now(), settle: succeed });
    });
  }

  /**
   * A Pong was received. An endpoint "MAY elect to send a Pong frame for only the most recently processed Ping
   * frame" (§5.5.3), so it answers all Pings that were sent before that one as well.
   */
  received(payload: Buffer): void {
    const index = this.#pending?.findIndex((ping) => ping.payload.equals(payload)) ?? -1;
    if (index < 0) return;
    const now = performance.now();
    const answered = this.#pending!.splice(0, index + 1);
    if (this.#pending!.length === 0) this.#pending = null;
    for (const ping of answered) {
      this.latency = now - ping.sentAt;
      ping.settle?.(this.latency);
    }
  }

  #add(ping: PendingPing): void {
    this.#pending ??= [];
    this.#pending.push(ping);
  }
}
