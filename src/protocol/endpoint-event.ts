/** The events of an endpoint, RFC 6455 §6.2, §5.5. */

/** What `Endpoint.next()` found. */
export const EndpointEvent = {
  /** All that was pushed is used up. */
  NeedData: 0,
  /** A part of a message: `opcode`, `first`, `last`, `data` (`chunk[start, end)`). */
  Data: 1,
  /** A Ping, answered already: `control`. */
  Ping: 2,
  /** A Pong: `control`. */
  Pong: 3,
  /** The peer's Close frame, answered already: `closing.code`, `closing.reason`. Nothing follows it. */
  Close: 4,
  /** An extension works elsewhere; its `decoder.onready` tells when `next()` is worth calling again. */
  Busy: 5,
} as const;

/** One of {@link EndpointEvent}. */
export type EndpointEvent = (typeof EndpointEvent)[keyof typeof EndpointEvent];
