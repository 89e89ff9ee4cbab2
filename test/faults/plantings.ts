/** Faults that were real once, by the row of test/scenarios.ts that they break. */
import type { Fault } from './copy.js';

const connection = 'src/connection';

/** An edit to a file of the connection layer. */
function edit(file: string, find: string, replace: string): Fault['edits'][number] {
  return { file: `${connection}/${file}`, find, replace };
}

export const plantings: readonly Fault[] = [
  {
    name: 'X-01',
    what: 'a view of the shared text buffer is queued when a text is not compressed',
    edits: [
      {
        file: 'src/protocol/endpoint-output.ts',
        find: 'if (begins) this.#encoding = compress;\n    if (!this.#encoding) return this.#write(first, data);',
        replace:
          'if (begins) this.#encoding = compress;\n    if (!this.#encoding) return this.#write(first, typeof data === "string" ? textBytes(data) : data);',
      },
      {
        file: 'src/protocol/endpoint-output.ts',
        find: 'wants(fin ? bytes.length : -1);\n      if (!this.#encoding) return this.#write(first, data);',
        replace:
          'wants(fin ? bytes.length : -1);\n      if (!this.#encoding) return this.#write(first, bytes);',
      },
    ],
    simulate: true,
  },
  {
    name: 'X-02',
    what: 'messages that are queued after one that is cut off are sent on',
    edits: [
      edit('sending/send-queue.ts', 'if (this.turn === Turn.Begun && writer !== null) {', 'if (false) {'),
    ],
    simulate: true,
  },
  {
    name: 'X-03',
    what: 'the Close frame waits for an open writer',
    edits: [
      edit(
        'sending/sender.ts',
        'else if (this.#queue.close(reason.error, close)) this.#waits?.reject(reason.error);',
        'else this.#queue.add({ size: 0, start: close });',
      ),
    ],
    simulate: true,
  },
  {
    name: 'X-04',
    what: 'the end fixes how messages are consumed',
    edits: [edit('receiving/receiver.ts', 'this.#inbox?.close(', 'this.inbox.close(')],
    simulate: true,
  },
  {
    name: 'X-05',
    what: 'an error without a listener is thrown',
    edits: [edit('lifecycle.ts', "if (this.emitter.listenerCount('error') === 0) return;", '')],
  },
  {
    name: 'X-06',
    what: 'rejections by the peer are not marked as handled',
    edits: [edit('handled.ts', 'promise.catch(() => {});', '')],
  },
  {
    name: 'X-07',
    what: 'send() throws once the connection is closing',
    edits: [
      edit(
        'websocket-connection.ts',
        'return life.isOpen && life.sender.send(Opcode.Text, data, true);',
        'if (!life.isOpen) throw life.reason.error;\n      return life.sender.send(Opcode.Text, data, true);',
      ),
    ],
    simulate: true,
  },
  {
    name: 'X-08',
    what: 'a Ping that could not be sent starts its timeout, and progress of a write is no sign of life',
    edits: [
      edit('heartbeat.ts', 'if (!life.sender.urgentFlushed) return;', ''),
      edit('heartbeat.ts', 'const alive = this.#acknowledged || this.heard;', 'const alive = this.heard;'),
    ],
    simulate: true,
  },
  {
    name: 'X-09',
    what: 'what was read is dropped when the socket is closed',
    edits: [
      edit(
        'lifecycle.ts',
        'this.transport.gone = true;',
        'this.transport.gone = true;\n    this.receiver.stop();',
      ),
    ],
    simulate: true,
  },
  {
    name: 'X-10',
    what: 'a consumer has closeTimeout to take what was received',
    edits: [
      edit(
        'lifecycle.ts',
        'if (this.receiver.awaited && !this.#receives) this.#deadline?.cancel();\n    else this.#setDeadline();',
        'this.#setDeadline();',
      ),
      edit(
        'lifecycle.ts',
        'else if (!this.receiver.awaited || this.#receives) this.receiver.discard();',
        'else this.receiver.discard();',
      ),
    ],
  },
  {
    name: 'X-11',
    what: 'a message that is being read is discarded by the next receive()',
    edits: [
      edit(
        'receiving/message-body.ts',
        'if (this.done || (this.#used && !this.between)) return;',
        'if (this.done) return;',
      ),
    ],
    simulate: true,
  },
  {
    name: 'X-12',
    what: 'entries of the queue cost nothing',
    edits: [
      edit(
        'sending/sender.ts',
        'waiting + queue.size + queue.count * ENTRY_COST',
        'waiting + queue.size + 0 * ENTRY_COST',
      ),
    ],
  },
  {
    name: 'X-13',
    what: 'any number of final blocks is inflated',
    edits: [
      {
        file: 'src/extensions/permessage-deflate/inflate-stream.ts',
        find: 'if (this.#contexts > FREE_CONTEXTS + this.#consumed / BYTES_PER_CONTEXT) {',
        replace: 'if (this.#contexts < 0) {',
      },
    ],
  },
  {
    name: 'X-15',
    what: 'text may be longer than a string',
    edits: [
      edit('receiving/receive-limits.ts', 'Math.min(most, constants.MAX_STRING_LENGTH + taken)', 'most'),
    ],
  },
  {
    name: 'X-16',
    what: 'an idle Readable is not destroyed',
    edits: [
      edit(
        'sending/send-stream.ts',
        'destroy.call(source, reason instanceof Error ? reason : undefined);',
        '',
      ),
    ],
    simulate: true,
  },
  {
    name: 'X-17',
    what: 'a backlog is handled after terminate()',
    edits: [edit('receiving/receiver.ts', 'if (this.#stopped) return EndpointEvent.NeedData;', '')],
    simulate: true,
  },
  {
    name: 'X-20',
    what: 'a Blob sent as text is not validated',
    edits: [edit('websocket-connection.ts', "if (type === 'text' && !isUtf8(bytes))", 'if (false)')],
  },
  {
    name: 'X-22',
    what: 'no TCP keepalive while reading is paused',
    edits: [edit('heartbeat.ts', 'if (!this.#watched)', 'if (false)')],
  },
  {
    name: 'X-25',
    what: 'an error of the socket does not end the connection',
    edits: [
      edit(
        'lifecycle.ts',
        "this.#trace('socketError');\n    this.#lose(error);",
        "this.#trace('socketError');\n    this.reason.fail(error);",
      ),
    ],
  },
  {
    name: 'X-26',
    what: 'output may use sixty milliseconds of each turn',
    edits: [edit('sending/output-turns.ts', 'const SLICE = 4;', 'const SLICE = 60;')],
  },
  {
    name: 'X-27',
    what: 'listeners run in the context of whatever led to the event',
    edits: [
      edit('listener-context.ts', 'this.runInAsyncScope(work, undefined, argument);', 'work(argument);'),
    ],
  },
  {
    name: 'X-28',
    what: 'a Pong that has arrived while this process stood still is not read before the peer is lost',
    edits: [edit('heartbeat.ts', 'afterPolls(checkLost, this);', 'checkLost(this);')],
  },
  {
    name: 'X-29',
    what: 'small frames for many connections are kept by reference, and cost nothing',
    edits: [
      {
        file: 'src/protocol/frame-writer.ts',
        find: 'const early = this.#end === this.#start && this.#pieces.length < MAX_REFERENCES;',
        replace: 'const early = true;',
      },
      edit('sending/sender.ts', 'pending + endpoint.overhead +', 'pending +'),
    ],
  },
  {
    name: 'X-30',
    what: 'each connection makes the UTF-8 of a broadcast, and compresses it',
    edits: [
      {
        file: 'src/protocol/endpoint-output.ts',
        find: 'if (this.masks || (encodes && key === null))\n      return this.send(message.opcode, message.bytes, true, compress);',
        replace: 'if (this.masks || encodes) return this.send(message.opcode, message.data, true, compress);',
      },
    ],
  },
  {
    name: 'X-31',
    what: 'closeTimeout runs from close() on',
    edits: [
      edit(
        'closing-deadline.ts',
        'if (this.#moved) this.set();\n    else if (partDelay > 0)',
        'if (partDelay > 1e9)',
      ),
      edit(
        'closing-deadline.ts',
        'if (this.#cancel === null || this.#flushed < 0) return;',
        'if (true) return;',
      ),
    ],
  },
  {
    name: 'X-32',
    what: 'a compressed backlog is inflated after the end, without the window that belongs to it',
    edits: [
      {
        file: 'src/extensions/permessage-deflate/inflater.ts',
        find: 'this.#last = this.#flushed = false;\n    this.onready = null;',
        replace: 'this.onready = null;',
      },
      {
        file: 'src/extensions/permessage-deflate/inflater.ts',
        find: 'if (this.#closed) return;',
        replace: '',
      },
      edit('receiving/receiver.ts', 'if (this.#stopped) return EndpointEvent.NeedData;', ''),
    ],
  },
  {
    name: 'X-33',
    what: 'the window keeps the bytes that the caller has changed since',
    edits: [
      {
        file: 'src/extensions/permessage-deflate/deflater.ts',
        find: 'this.#keep(task.tail, last);',
        replace: 'this.#keep(data, last);',
      },
    ],
  },
  {
    name: 'X-34',
    what: 'a large write is given to the stream as a whole',
    edits: [
      edit(
        'transport.ts',
        'if (size <= (this.#pace === null ? FIRST_PART : this.#pace.part)) {',
        'if (size >= 0) {',
      ),
    ],
  },
  {
    name: 'X-34',
    what: 'a Ping counts as sent when the kernel has it, behind whatever',
    edits: [edit('heartbeat.ts', 'this.#since = at + life.transport.delay;', 'this.#since = at;')],
  },
  {
    name: 'X-34',
    what: 'a missing Pong counts while it lies unread on this side',
    edits: [
      edit(
        'heartbeat.ts',
        'if (life.receiver.holding || (life.receiver.unread && !alive)) {',
        'if (at < 0) {',
      ),
      edit(
        'heartbeat.ts',
        'if (this.heard || this.#acknowledged || this.#life.receiver.unread) return;',
        'if (this.heard || this.#acknowledged) return;',
      ),
    ],
  },
  {
    name: 'X-35',
    what: 'all flushes of a tick are done in it',
    edits: [
      edit('sending/output-turns.ts', 'if (flushes.length > 0 && outputSpent(LOOK * BYTES)) break;', ''),
    ],
  },
];
