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
      'Authorization, Cookie, Proxy-Authorization are not sent on',
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
      'X-13',
      '64 KiB of 03 00, thousands of final blocks, as one compressed message',
      'CPU in proportion to the bytes; 1007 or the empty message',
    ],
    [
      'X-22',
      'a listener that transfers data.buffer to another thread',
      'an error or nothing, never the silence or the bytes of others',
    ],
    [
      'X-29',
      'small broadcasts to a peer that does not read',
      'memory in proportion to their bytes, the cost of entries counted',
    ],
    [
      'X-30',
      'a broadcast of 1 MB of text to 2,000 connections with context takeover',
      'UTF-8 made once, compressed once, added to each window',
    ],
    [
      'X-32',
      'a compressed backlog, or work in the thread pool, when the connection is terminated',
      'no error, no callback, every promise settles',
    ],
    [
      'X-33',
      'a buffer changed after it was given to send(), compressed in the thread pool with context takeover',
      'at most that message is wrong, never a later one',
    ],
  ]),
];
