/** Pings that wait for their Pong, RFC 6455 §5.5.2-§5.5.3. */

import { TimeoutError } from '../errors.js';
import { onAbort } from './abort.js';

interface PendingPing {
  readonly payload: Buffer;
  readonly sentAt: number;
  readonly settle: ((latency: number) => void) | null;
}

/** Matches Pongs with Pings by payload. */
export class PingTracker {
  /** Milliseconds of the last round trip; NaN before the first. */
  latency: number = Number.NaN;
  #pending: PendingPing[] = [];
  #count = 0;

  /** A payload that no other Ping of this connection has. */
  nextPayload(): Buffer {
    const payload = Buffer.alloc(4);
    this.#count = (this.#count + 1) >>> 0;
    payload.writeUInt32BE(this.#count);
    return payload;
  }

  /** A Ping is sent. Without `settle` it is keepalive's, and takes the place of the last such. */
  sent(payload: Buffer, settle: ((latency: number) => void) | null): void {
    if (settle === null) this.#pending = this.#pending.filter((ping) => ping.settle !== null);
    this.#pending.push({ payload, sentAt: performance.now(), settle });
  }

  /** Waits for the Pong to a Ping just sent; `onEnd` tells when the connection ends. */
  pong(
    payload: Buffer,
    timeout: number,
    signal: AbortSignal | undefined,
    onEnd: (listener: (error: Error) => void) => () => void,
  ): Promise<number> {
    return new Promise<number>((resolve, reject) => {
      const fail = (reason: unknown): void => {
        this.#pending = this.#pending.filter((ping) => ping.settle !== settle);
        stop();
        reject(reason);
      };
      const settle = (latency: number): void => {
        stop();
        resolve(latency);
      };
      const timer = setTimeout(() => fail(new TimeoutError(`No Pong came within ${timeout} ms`)), timeout);
      const stopListening = [onAbort(signal, fail), onEnd(fail)];
      const stop = (): void => {
        clearTimeout(timer);
        for (const each of stopListening) each();
      };
      this.sent(payload, settle);
    });
  }

  /**
   * A Pong was received. An endpoint "MAY elect to send a Pong frame for only the most recently processed Ping
   * frame" (§5.5.3): it answers all Pings sent before that one too.
   */
  received(payload: Buffer): void {
    const index = this.#pending.findIndex((ping) => ping.payload.equals(payload));
    if (index < 0) return;
    const now = performance.now();
    for (const ping of this.#pending.splice(0, index + 1)) {
      this.latency = now - ping.sentAt;
      ping.settle?.(this.latency);
    }
  }
}
