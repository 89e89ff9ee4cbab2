/** Runs an endpoint over bytes, and checks at each step what must always hold. */
import { isUtf8 } from 'node:buffer';
import {
  type Endpoint,
  EndpointEvent,
  type Extension,
  ProtocolError,
  violations,
} from '../../src/protocol.js';
import { frameTo, type Parsed, parse } from '../support/frames.js';
import { must, shown } from './target.js';

/** What came of it. */
export interface Outcome {
  /** Messages, control frames and the end, in order. */
  readonly told: readonly string[];
  readonly error: ProtocolError | null;
  /** What came of a message that was not finished. */
  readonly unfinished: Buffer;
  /** The frames that the endpoint sent. */
  readonly sent: readonly Parsed[];
}

export interface Setting {
  readonly endpoint: Endpoint;
  readonly extension?: Extension | undefined;
  /** Nothing is taken before the end. */
  readonly congested?: boolean;
}

const closeCodes: readonly number[] = [1002, 1007, 1009];
const sections = new Set(Object.values(violations).map(({ section }) => `RFC 6455 ${section}`));

/** Pushes the chunks one by one and pulls all events; rejects with a finding, or with what escaped. */
export async function drive(
  { endpoint, extension, congested = false }: Setting,
  chunks: readonly Buffer[],
): Promise<Outcome> {
  const told: string[] = [];
  const sent: Buffer[] = [];
  const message: Buffer[] = [];
  let error: ProtocolError | null = null;
  let pushed = 0;
  let pending = 0;
  endpoint.congested = congested;
  try {
    for (const chunk of chunks) {
      pushed += chunk.length;
      endpoint.push(chunk);
      await pull(endpoint, extension, told, message, pushed);
      // A Pong for each Ping, which is not longer, and a Close frame
      const most = (congested ? 131 : chunk.length + 131) + 131;
      pending = endpoint.pending;
      must(pending <= most, 'what waits to be sent is bounded', `${pending} bytes for ${chunk.length}`);
      if (!congested) sent.push(...endpoint.take());
    }
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
    error = thrown;
    checkError(error);
  }
  if (error !== null || endpoint.closing.received) await checkSilence(endpoint);
  sent.push(...endpoint.take());
  endpoint.closed();
  const frames = parse(Buffer.concat(sent));
  const code = error?.closeCode ?? (endpoint.closing.received ? endpoint.closing.code : null);
  if (code !== null) checkClose(frames.at(-1), code);
  return { told, error, unfinished: Buffer.concat(message), sent: frames };
}

/** All events of what was pushed. */
async function pull(
  endpoint: Endpoint,
  extension: Extension | undefined,
  told: string[],
  message: Buffer[],
  pushed: number,
): Promise<void> {
  for (let steps = 0, waits = 0; ; ) {
    const event = endpoint.next();
    must(steps++ <= 1000 + 4 * pushed, 'the events of a chunk end', `${steps} for ${pushed} bytes`);
    switch (event) {
      case EndpointEvent.NeedData: {
        const pinned = endpoint.chunk.length + endpoint.control.length;
        // The last buffer stays with an endpoint that has ended, until the connection is dropped
        must(
          pinned === 0 || endpoint.closing.received,
          'no buffer is pinned behind NeedData',
          `${pinned} bytes`,
        );
        return;
      }
      case EndpointEvent.Busy:
        must(waits++ <= 100_000, 'an extension gets ready');
        await new Promise<void>((resolve) => {
          extension!.decoder.onready = resolve;
        });
        steps = 0;
        break;
      case EndpointEvent.Data:
        onData(endpoint, told, message);
        break;
      case EndpointEvent.Ping:
      case EndpointEvent.Pong:
        must(endpoint.control.length <= 125, 'a control frame has 125 bytes at most');
        told.push(`${event === EndpointEvent.Ping ? 'ping' : 'pong'} ${endpoint.control.toString('latin1')}`);
        break;
      default:
        must(endpoint.closing.received, 'a Close event says that Close was received');
        told.push(`close ${endpoint.closing.code} ${endpoint.closing.reason}`);
    }
  }
}

function onData(endpoint: Endpoint, told: string[], message: Buffer[]): void {
  const { chunk, start, end, opcode, first, last } = endpoint;
  must(0 <= start && start <= end && end <= chunk.length, 'data lies within its chunk');
  must(first === (message.length === 0), 'the first part of a message is marked');
  must(opcode === 1 || opcode === 2, 'a message is text or binary', `${opcode}`);
  message.push(Buffer.from(chunk.subarray(start, end)));
  const { maxMessageSize } = endpoint;
  must(endpoint.received <= maxMessageSize, 'a message stays within its limit', `${endpoint.received} bytes`);
  if (!last) return;
  const whole = Buffer.concat(message.splice(0));
  must(whole.length === endpoint.received, 'the size of a message is the sum of its parts');
  must(opcode === 2 || isUtf8(whole), 'text is UTF-8', () => whole.toString('hex'));
  must(opcode === 2 || !endpoint.ascii || whole.every((byte) => byte < 0x80), 'what is called ASCII is');
  told.push(`message ${opcode} ${whole.toString('latin1')}`);
}

function checkError({ closeCode, section, message }: ProtocolError): void {
  must(closeCodes.includes(closeCode), 'a violation has a close code of the table', `${closeCode}`);
  must(sections.has(section) || section.startsWith('RFC 7692 '), 'a violation has a section', section);
  must(message.length > 0 && message.length < 300, 'a violation says what is wrong', shown(message));
}

/** §7.1.7 and §5.5.1: the last frame is Close, with the code of the violation, or the one that was received. */
function checkClose(last: Parsed | undefined, code: number): void {
  must(last?.opcode === 8, 'the end is told by a Close frame', `opcode ${last?.opcode}`);
  const sent = last.payload.length === 0 ? 1005 : last.payload.readUInt16BE();
  must(sent === code, 'the Close frame has the code of the end', `${sent} for ${code}`);
}

/** §7.1.7 and §5.5.1: behind a failure and behind a Close frame nothing is told, and nothing is answered. */
async function checkSilence(endpoint: Endpoint): Promise<void> {
  const before = endpoint.pending;
  for (const bytes of [
    frameTo(endpoint.role, 9, 'late'),
    frameTo(endpoint.role, 1, 'late'),
    Buffer.alloc(9, 255),
  ]) {
    endpoint.push(bytes);
    const event = endpoint.next();
    must(event === EndpointEvent.NeedData, 'nothing is delivered behind the end', `event ${event}`);
  }
  must(endpoint.pending === before, 'nothing is answered behind the end');
}
