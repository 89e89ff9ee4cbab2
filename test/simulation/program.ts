/**
 * A program: connections, what their applications do, and what the network does to them. It is plain data,
 * so that it can be printed, stored, replayed and shortened.
 */
import type { PathOptions } from './network.js';

export type SideName = 'a' | 'b';
export type MessageForm = 'ascii' | 'unicode' | 'binary' | 'noise';

/** What a message is made of; its content follows from the connection and its number. */
export interface MessagePlan {
  /** Characters of text, bytes of anything else. */
  readonly size: number;
  readonly form: MessageForm;
}

/** How bytes are passed to the API. */
export type Carrier = 'plain' | 'view' | 'arraybuffer' | 'dataview' | 'blob' | 'broken blob' | 'prepared';

export type SourceKind =
  | 'generator'
  | 'readable'
  | 'web'
  | 'idle readable'
  | 'idle web'
  | 'throwing generator'
  | 'sync';

/** One part of what a raw peer writes at once. */
export type RawItem =
  | { readonly item: 'message'; readonly message: MessagePlan; readonly fragments: number }
  | { readonly item: 'ping' | 'pong'; readonly size: number }
  | { readonly item: 'close'; readonly code: number }
  | { readonly item: 'begin'; readonly size: number }
  | { readonly item: 'violation'; readonly kind: number };

/** What an application, or the network at its side, does. */
export type Op =
  | {
      readonly op: 'send';
      readonly message: MessagePlan;
      readonly carrier: Carrier;
      readonly compress: boolean;
    }
  /** Many messages at once. */
  | { readonly op: 'flood'; readonly message: MessagePlan; readonly count: number }
  | {
      readonly op: 'createWriter';
      readonly type: 'text' | 'binary';
      /** It is used as a `WritableStream`. */
      readonly stream?: boolean;
    }
  | {
      readonly op: 'write';
      readonly size: number;
      readonly awaited: boolean;
      /** It is no UTF-8, where the message is text. */
      readonly broken?: boolean;
      /** As of `sendStream`; absent for no signal. */
      readonly abort?: number;
    }
  | { readonly op: 'endWriter'; readonly awaited: boolean }
  | { readonly op: 'abortWriter' }
  | {
      readonly op: 'sendStream';
      readonly source: SourceKind;
      /** By `pipeTo()` into a writer, in place of `sendStream()`. */
      readonly pipe?: boolean;
      /** Text in bytes, cut inside of characters. */
      readonly text?: boolean;
      readonly chunks: number;
      /** Of each chunk, on average. */
      readonly size: number;
      /** Milliseconds until its signal aborts; -1 for no signal, -2 for one that never aborts. */
      readonly abort: number;
      readonly awaited: boolean;
    }
  | { readonly op: 'ping'; readonly awaited: boolean; readonly abort: number }
  | { readonly op: 'pong' }
  | { readonly op: 'drained'; readonly awaited: boolean; readonly abort?: number }
  | { readonly op: 'receive'; readonly awaited: boolean; readonly abort: number }
  | { readonly op: 'listen' }
  | { readonly op: 'pause' }
  | { readonly op: 'resume' }
  | {
      readonly op: 'close';
      readonly code: number;
      readonly awaited: boolean;
      /** Messages are delivered until the peer's Close frame. */
      readonly receive?: boolean;
    }
  | { readonly op: 'terminate' }
  | { readonly op: 'look' }
  | { readonly op: 'throw' }
  | {
      readonly op: 'burst';
      readonly items: readonly RawItem[];
      readonly after: 'stay' | 'fin' | 'reset' | 'lost';
    }
  | { readonly op: 'rawReading'; readonly on: boolean }
  | { readonly op: 'fin' }
  /** Other code in the process destroys the socket. */
  | { readonly op: 'destroySocket' }
  | { readonly op: 'reset'; readonly lossy: boolean }
  | { readonly op: 'cut' }
  | { readonly op: 'stall'; readonly ms: number }
  | { readonly op: 'block'; readonly ms: number }
  | {
      readonly op: 'broadcast';
      readonly message: MessagePlan;
      readonly compress: boolean;
      /** The numbers of connections that do not get it. */
      readonly except?: readonly number[];
      /** Only connections with an even, or an odd number get it; or it throws. */
      readonly filter?: 'none' | 'even' | 'odd' | 'throws';
      /** As bytes, and with `type`. */
      readonly typed?: boolean;
    }
  | { readonly op: 'sendAll'; readonly message: MessagePlan }
  | { readonly op: 'closeServer'; readonly awaited: boolean };

/** Something that an application does from inside a callback. */
export interface Reaction {
  readonly on: 'message' | 'chunk' | 'ping' | 'pong' | 'drain' | 'close' | 'error' | 'connection';
  /** At which event of that name, from 0 on. */
  readonly nth: number;
  /** The callback is async and waits as many milliseconds first; -1 for a synchronous one. */
  readonly wait: number;
  readonly does: Op;
}

export type ReadMethod =
  | 'whole'
  | 'bytes'
  | 'chunks'
  | 'stream'
  | 'ignore'
  | 'cancel'
  | 'leave'
  /** By `read()` and `chunks(n)`, some of which are left, then iterated over. */
  | 'parts'
  /** Some bytes are read, some skipped, and the rest is collected. */
  | 'skip';

/** How an application consumes messages. */
export interface ConsumerPlan {
  readonly mode: 'events' | 'iterate' | 'receive' | 'none';
  /** Milliseconds until it begins; -1 for at once. */
  readonly late: number;
  /** Milliseconds that it takes for each message. */
  readonly pace: number;
  readonly read: ReadMethod;
  /** How every second message is read; absent for the same way. */
  readonly readNext?: ReadMethod;
  /** Milliseconds that it waits after the first chunk of each message that it reads in chunks. */
  readonly dwell?: number;
  /** It leaves before the last message is read. */
  readonly detached?: boolean;
  /** Leaves iteration after as many messages; 0 for never. */
  readonly leaveAfter: number;
}

/** Options of a connection that programs vary. */
export interface SideOptions {
  readonly highWaterMark: number;
  readonly maxBufferedAmount: number;
  readonly maxMessageSize: number;
  readonly pingInterval: number;
  readonly pingTimeout: number;
  readonly closeTimeout: number;
}

export interface SidePlan {
  /** A raw peer writes frames by itself, and reads everything except where the program stops it. */
  readonly raw: boolean;
  readonly options: SideOptions;
  readonly consumer: ConsumerPlan;
  readonly reactions: readonly Reaction[];
}

export interface DeflatePlan {
  readonly threshold: number;
  readonly offloadSize: number;
  readonly takeover: boolean;
  readonly level: number;
}

/** One connection; side a is the server. */
export interface LinkPlan {
  /**
   * By `new WebSocketConnection()` on both ends, by a WebSocketServer, by `accept()` or `handleUpgrade()`.
   */
  readonly via: 'direct' | 'server' | 'accept' | 'upgrade';
  readonly path: PathOptions;
  readonly deflate: DeflatePlan | null;
  /** Milliseconds that `authenticate` of the server takes; -1, or absent, for none. */
  readonly authenticate?: number;
  readonly a: SidePlan;
  readonly b: SidePlan;
}

export interface Step {
  /** Milliseconds after the step before; 0 is the same tick. */
  readonly wait: number;
  readonly link: number;
  readonly side: SideName;
  readonly does: Op;
}

export interface Program {
  /** The steps begin once the opening handshakes have had the time that they take. */
  readonly settled?: boolean;
  /** Milliseconds that each look at the clock takes. */
  readonly cost: number;
  /** Milliseconds that work in the thread pool takes. */
  readonly pool: number;
  readonly links: readonly LinkPlan[];
  readonly steps: readonly Step[];
}

const rawOnly: readonly Op['op'][] = ['burst', 'rawReading'];
const anywhere: readonly Op['op'][] = [
  ...(['send', 'ping', 'pong', 'close', 'terminate'] as const),
  ...([
    'fin',
    'destroySocket',
    'reset',
    'cut',
    'stall',
    'block',
    'broadcast',
    'sendAll',
    'closeServer',
  ] as const),
];

/** Where a step happens: at the other end when only that can do it; null when neither can. */
export function targetOf(
  { links }: Program,
  { does, link, side }: Step,
): { link: number; side: SideName } | null {
  const index = link % links.length;
  const fits = (name: SideName): boolean =>
    anywhere.includes(does.op) || links[index]![name].raw === rawOnly.includes(does.op);
  const other = side === 'a' ? 'b' : 'a';
  if (fits(side)) return { link: index, side };
  return fits(other) ? { link: index, side: other } : null;
}

/** What a short program leaves out. */
export const quietSide: SidePlan = {
  raw: false,
  options: {
    highWaterMark: 65_536,
    maxBufferedAmount: 67_108_864,
    maxMessageSize: 16_777_216,
    pingInterval: 0,
    pingTimeout: 20_000,
    closeTimeout: 5_000,
  },
  consumer: { mode: 'events', late: -1, pace: 0, read: 'whole', leaveAfter: 0 },
  reactions: [],
};

/** A link with the defaults. */
export const quietPath: PathOptions = { delay: 1, rate: 0, buffer: 65_536, segment: 65_536, join: true };

/** When the first step is due, in milliseconds: a handshake takes a few round trips, and the bytes of its heads. */
export function leadOf({ links, settled = false }: Program): number {
  if (!settled) return 0;
  const heads = 1024;
  return links.reduce((most, { path, via }) => {
    if (via === 'direct') return most;
    return Math.max(most, 10 + 4 * path.delay + (path.rate > 0 ? Math.ceil(heads / path.rate) : 0));
  }, 0);
}
