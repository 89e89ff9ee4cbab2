/**
 * Hostile and unusual input, and what it must get. The title of every test that covers a row has the row's
 * id in brackets: `[F-03] §5.2 opcodes 3-7 and B-F fail the connection with 1002`. scenarios.test.ts fails
 * when an id is in no title. Bytes are hex, `M` is a masking key of four zero bytes.
 */

export interface Scenario {
  readonly id: string;
  readonly section: string;
  readonly input: string;
  readonly outcome: string;
}

type Row = readonly [id: string, input: string, outcome: string];

const section = (name: string, rows: readonly Row[]): readonly Scenario[] =>
  rows.map(([id, input, outcome]) => ({ id, section: name, input, outcome }));

export const scenarios: readonly Scenario[] = [
  ...section('Opening handshake, server', [
    ['H-01', 'a method other than GET', '405 with Allow: GET'],
    ['H-02', 'no Upgrade: websocket', '426 with Upgrade: websocket'],
    ['H-03', 'Sec-WebSocket-Version absent, 12, or 13, 8', '426 with Sec-WebSocket-Version: 13'],
    ['H-04', 'HTTP/1.0', '505 or 426, never 101'],
    ['H-05', 'Upgrade: WebSocket, h2c; Connection: keep-alive, Upgrade; any letter case', 'accepted'],
    ['H-06', 'key missing, empty, of 15 or 17 bytes, not base64, with an inner space', '400'],
    ['H-07', 'two Key, Version, Host or Origin fields, also those that Node joins', '400'],
    ['H-08', 'a request with a body', '400'],
    ['H-09', 'subprotocols with an empty item, a duplicate, a bad token, a trailing comma', '400'],
    ['H-10', 'no subprotocol in common', '101 without the field'],
    [
      'H-11',
      'Origin absent; same; other host, port or scheme; null; good.com.evil; upper case',
      'accepted; accepted; 403; 403; 403; letter case ignored',
    ],
    ['H-12', 'an extension named constructor or __proto__, a parameter toString', '101 without it, or 400'],
    ['H-13', 'subprotocols or extensions of 15,000 spaces, open quotes, backslashes', 'linear time, 400'],
    ['H-14', 'so many fields that maxHeadersCount hides Upgrade', '400, no crash'],
    ['H-15', 'header bytes that trickle in', '408 within the handshake timeout, socket destroyed'],
    ['H-16', 'authentication that never settles', '503 within the handshake timeout, socket destroyed'],
    ['H-17', 'a reset between the upgrade event and the answer', 'no crash'],
    ['H-18', 'frames in the same segment as the request (head)', 'delivered, in order'],
    ['H-19', 'one socket upgraded twice', 'throws'],
    ['H-20', 'an upgrade while the server closes', '503'],
    [
      'H-21',
      'CR, LF or NUL in a field, subprotocol, path or reason of the application',
      'throws, nothing sent',
    ],
  ]),
  ...section('Opening handshake, client', [
    ['C-01', 'TCP is accepted and nothing said', 'timeout by default, AbortSignal, socket destroyed'],
    ['C-02', 'half of a 101', 'timeout by default, AbortSignal, socket destroyed'],
    ['C-03', 'endless header fields', 'HandshakeError or timeout, socket destroyed'],
    ['C-04', 'a wrong or a second Sec-WebSocket-Accept', 'HandshakeError, no connection'],
    ['C-05', 'no Upgrade', 'HandshakeError, no connection'],
    ['C-06', 'a subprotocol not offered, two subprotocols', 'HandshakeError, no connection'],
    ['C-07', 'an extension not offered', 'HandshakeError, no connection'],
    ['C-08', 'server_max_window_bits of 1000, 7, 16, 08, empty, twice', 'HandshakeError'],
    ['C-09', 'a status other than 101', 'HandshakeError with status, headers and the start of the body'],
    [
      'C-10',
      'a redirect to another host or port',
      'Authorization, Cookie, Proxy-Authorization and all other fields of the application are not sent on',
    ],
    ['C-11', 'a redirect from wss to ws', 'refused'],
    ['C-12', 'a URL with a bad scheme, a fragment, a bad port', 'SyntaxError before any connection'],
  ]),
  ...section('Frames', [
    ['F-01', 'an unmasked frame to the server, a masked one to the client', '1002'],
    ['F-02', 'RSV bits not negotiated; RSV1 on control or continuation frames where negotiated', '1002'],
    ['F-03', 'opcodes 3-7 and B-F', '1002'],
    ['F-04', 'a control frame that is fragmented or over 125 bytes', '1002'],
    ['F-05', 'continuation first; text or binary inside an unfinished message', '1002'],
    ['F-06', 'a length not minimally encoded', '1002'],
    [
      'F-07',
      'a 64-bit length with the top bit set, over 2^53, over the limit (82 7F 00 80 00 00 00 00 00 01)',
      '1002 or 1009 at the header, nothing allocated',
    ],
    [
      'F-08',
      '02 81 M 41, then 00 FF 80 00 00 00 00 00 00 00 M, then 80 FF ..05 M',
      'fails at the second frame',
    ],
    ['F-09', 'a frame that claims 100 MiB and one byte of it', 'no allocation up front'],
    ['F-10', 'fragments 6 + 6 and 5 + 5 under a limit of 10', '1009; passes'],
    [
      'F-11',
      '131,000 fragments of 1 byte without an end, on 50 connections',
      'retained memory at most twice the payload plus a constant',
    ],
    [
      'F-12',
      'a frame of 1 MiB in writes of 1 byte',
      'retained memory at most twice the payload plus a constant',
    ],
    ['F-13', '1,000,000 empty fragments', 'memory flat, event loop alive, bounded'],
    ['F-14', '1,000,000 empty frames in one buffer', 'no stack overflow, other connections served meanwhile'],
    [
      'F-15',
      'invalid UTF-8, also cut by fragments or chunks',
      '1007 at the first bad byte, also when streaming',
    ],
    ['F-16', 'a Close body of 1 byte; codes 0, 999, 1004-1006, 1015, 1016-2999, 5000', '1002'],
    ['F-17', 'a Close reason that is not UTF-8', '1007'],
    ['F-18', 'Close codes 1000-1003, 1007-1014, 3000-4999', 'accepted and told to the application'],
    ['F-19', 'a Ping or Close inside a fragmented message', 'answered at once'],
    ['F-20', 'a flood of Pings from a peer that does not read', 'Pongs coalesced, queue O(1)'],
    ['F-21', 'frames after a Close frame', 'ignored, no event, bounded read'],
  ]),
  ...section('permessage-deflate', [
    [
      'D-01',
      '1 GiB of zeros in about 1 MB: whole, fragmented, with context takeover, dropped',
      '1009, flat memory',
    ],
    ['D-02', 'exactly the limit; limit + 1', 'passes; 1009'],
    ['D-03', 'a block with BFINAL set (C1 88 M F3 48 CD C9 C9 07 00 00), a second message', 'both messages'],
    ['D-04', 'garbage, or a truncated stream', '1007'],
    ['D-05', '200 sockets killed while compressing; close with a compressed send queued', 'no leak, no hang'],
  ]),
  ...section('Sending', [
    [
      'S-01',
      'send(5), send(null), ping of 126 bytes, close(1005), close(999), a reason over 123 bytes',
      'TypeError or RangeError, nothing sent',
    ],
    [
      'S-02',
      'close(1000, new Float32Array(20)); every kind of view and offset in send, ping, pong',
      'TypeError or the exact bytes, never uninitialised memory',
    ],
    ['S-03', 'frames of length zero', '10,000 masking keys, all from the random source, diverse'],
    [
      'S-04',
      'a peer that never reads',
      'the queue is capped: failed, or the writer waits, never a silent gap',
    ],
  ]),
  ...section('Life cycle', [
    ['L-01', 'a Close frame and no TCP FIN', 'destroyed at closeTimeout'],
    ['L-02', 'a peer that never echoes Close, or keeps sending data', 'destroyed at closeTimeout'],
    ['L-03', 'FIN inside a frame', '1006 once; readers reject, iterators throw, writers reject'],
    ['L-04', 'FIN without Close', '1006 once; readers reject, iterators throw, writers reject'],
    ['L-05', 'RST inside a message', '1006 once; readers reject, iterators throw, writers reject'],
    ['L-06', 'a half-open peer (packets dropped)', 'found by keepalive, told as 1006'],
    ['L-07', 'both sides close at once; close twice; send after close', 'one close event, clear errors'],
    ['L-08', 'close, terminate and send from inside every callback', 'one close event, clear errors'],
    [
      'L-09',
      'an application that never reads',
      'socket paused, memory at most one window; Close and keepalive behave as documented',
    ],
    [
      'L-10',
      'the server closes while peers are slow, dead, or inside a message',
      '1001 to all, waits at most its timeout, then terminates; close() resolves',
    ],
  ]),
  ...section('Composition', [
    [
      'X-01',
      'texts over 8 KiB sent uncompressed where an extension was negotiated; many connections in one tick',
      'each gets its own messages, never the bytes of another one',
    ],
    [
      'X-02',
      'a message queued after a writer whose message is aborted, or cut off by close()',
      'the peer never gets a whole message made of both',
    ],
    [
      'X-03',
      'an open writer, then broadcast() and server.close(); a fragment in the thread pool, a queued message, then close()',
      'close() resolves in time, all peers get 1001',
    ],
    [
      'X-04',
      'an async connection handler that awaits, while the peer closes, breaks a rule, resets or ends',
      "on('message') and resume() do not throw, nothing is unhandled",
    ],
    [
      'X-05',
      'the servers of the README, word for word, when a peer terminates, breaks off or sends ff ff',
      'the process lives, and the server goes on',
    ],
    [
      'X-06',
      'ping(), drained(), receive(), handleUpgrade() not awaited when the peer goes, or the request is refused',
      'the process lives',
    ],
    [
      'X-07',
      'send() and loops over server.connections when one of them is closing',
      'false, and the others get theirs',
    ],
    [
      'X-08',
      'a server that streams without pause to a peer that reads slowly for longer than pingInterval + pingTimeout',
      'not killed; Pings leave as soon as they can',
    ],
    [
      'X-09',
      'five messages, Close and FIN, or RST after them, in one segment; every way to consume them',
      "all five, then the end with the peer's code; 1006 where the kernel lost it",
    ],
    [
      'X-10',
      "both ends Sluice, the consumer slower than the sender's closeTimeout",
      'what arrived is delivered, then the end',
    ],
    [
      'X-11',
      'receive() while a message is being read; several receive() at once; text() of a message never begun and left',
      'waits until it is read, cancelled or left; ERR_CONSUMPTION; rejects',
    ],
    [
      'X-12',
      '160,000 sends after an open writer',
      'linear time; the limit counts the cost of each entry, bufferedAmount stays bytes',
    ],
    [
      'X-13',
      '64 KiB of 03 00, thousands of final blocks, as one compressed message',
      'CPU in proportion to the bytes; 1007 or the empty message',
    ],
    [
      'X-14',
      'an upgrade for a path that nobody serves, then a reset; other upgrade listeners that write nothing',
      'an error listener at once; 404 after handshakeTimeout, destroyed',
    ],
    [
      'X-15',
      "maxMessageSize: Infinity and text over V8's string limit",
      '1009, no exception in the event loop',
    ],
    [
      'X-16',
      'sendStream() of an idle Readable or ReadableStream when the peer leaves or the signal aborts',
      "the source is destroyed or cancelled; rejects with the signal's reason, or the end",
    ],
    [
      'X-17',
      'a backlog of Pings or a Close in it, then RST or terminate()',
      'nothing after close; close and closed agree',
    ],
    [
      'X-18',
      'a redirect to another origin',
      'only the fields of the handshake itself, no certificate; with an agent a HandshakeError that says so',
    ],
    [
      'X-19',
      'two extensions configured and offered; a server that takes both',
      'one is agreed on; HandshakeError, socket destroyed',
    ],
    [
      'X-20',
      'a Blob as text that is not UTF-8, or that cannot be read; status 204 with a body; FIN during authenticate; 401, then RST; an abort while a refusal is read; 30 calls on one AbortSignal',
      '1011 and the cause; no body; signal aborted; status 401; the reason of the signal; no warning',
    ],
    ['X-21', 'text and close reason of a peer with terminal escapes, in sluice connect', 'printed harmless'],
    [
      'X-22',
      'a silent peer behind unread data; an upgrade behind a request without an answer yet; a listener that transfers data.buffer',
      'TCP keepalive; 400 after that answer; an error or nothing, never the bytes of others',
    ],
    [
      'X-23',
      'an https page of the same host on a plain request; an http page at a TLS server; trustProxy; encrypted: false',
      'accepted; 403; X-Forwarded-Proto and -Host decide; not over TLS',
    ],
    [
      'X-24',
      'connect() in an instrumented process; with the agent of a proxy',
      'connects, the fields of the trace are sent; the agent sees Upgrade and sends CONNECT',
    ],
    [
      'X-25',
      'an error of the socket after the handshake',
      'the connection ends at once, socket destroyed, close 1006',
    ],
    [
      'X-26',
      'a writer, sendStream(), or send() and drained(), to a fast reader, without end',
      'others are served: no stall over 20 ms, handshakes at once',
    ],
    [
      'X-27',
      'AsyncLocalStorage: connections made in different contexts, under load, with keepalive',
      "each listener runs in its own connection's context; a shared timer pins no context",
    ],
    [
      'X-28',
      'our own process stalls for longer than a timeout',
      'no healthy peer is killed, no close or handshake times out by it',
    ],
    [
      'X-29',
      'small broadcasts to a peer that does not read, to the default cap; then it reads',
      'memory in proportion to the cap; no stall over 20 ms',
    ],
    [
      'X-30',
      'a broadcast of 1 MB of text to 2,000 connections with context takeover',
      'UTF-8 made once, compressed once, added to each window',
    ],
    [
      'X-31',
      'send(4 MB); close() over a slow link',
      'delivered, 1000: closeTimeout runs from when the Close frame left, or while nothing moves',
    ],
    [
      'X-32',
      'a compressed backlog when the connection is terminated',
      'no InvalidPayloadError, nothing after close',
    ],
    [
      'X-33',
      'a buffer changed after it was given to send(), compressed in the thread pool with context takeover',
      'at most that message is wrong, never a later one',
    ],
    [
      'X-34',
      'a large write over a slow link; a round trip longer than pingInterval; a consumer at its first message for longer than interval + timeout',
      'not killed; latency is measured',
    ],
    ['X-35', 'many connections: a beat of keepalive, a broadcast, close()', 'spread over turns'],
  ]),
  ...section('Compositions that the simulation found', [
    [
      'Z-01',
      'the connection is lost before the Close frame has left',
      'wasClean false: it takes both Close frames',
    ],
    [
      'Z-02',
      'a listener that throws, of any event',
      'the rest is delivered, the end is told, promises settle',
    ],
    ['Z-03', 'a listener that throws, and calls with an AbortSignal', 'no listener is left on the signal'],
    ['Z-04', 'a Blob that cannot be read, on a connection that has ended', 'no timer is left'],
    ['Z-05', 'send() behind a fragment that is not flushed', 'bufferedAmount within its bound'],
    ['Z-06', 'receive() in front of an iteration', 'every message once, in order'],
    ['Z-07', 'pong() once the connection is closing', 'nothing is thrown, nothing is sent'],
    ['Z-08', 'a message between createWriter() and its first write()', 'each of its own type, whole'],
    [
      'Z-09',
      'sendStream() aborted in front of a prepared message',
      '1011, the message is not sent, nothing is thrown',
    ],
  ]),
];
