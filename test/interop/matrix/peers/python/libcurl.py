"""libcurl as a peer, by the package curl_cffi: `libcurl.py client URL`. See ../../README.md."""

import select
import struct
import sys
import time

from curl_cffi import Curl, CurlECode, CurlError, CurlInfo, CurlOpt, CurlWsFlag

TEXT, BINARY, CONT = CurlWsFlag.TEXT, CurlWsFlag.BINARY, CurlWsFlag.CONT
PING, PONG, CLOSE = CurlWsFlag.PING, CurlWsFlag.PONG, CurlWsFlag.CLOSE


class Connection:
    def __init__(self, url, headers):
        self.curl = Curl()
        self.curl.setopt(CurlOpt.URL, url.encode())
        self.curl.setopt(CurlOpt.CONNECT_ONLY, 2)
        self.curl.setopt(CurlOpt.HTTPHEADER, headers)
        self.answer = bytearray()
        self.curl.setopt(CurlOpt.HEADERFUNCTION, lambda line: self.answer.extend(line) or len(line))
        self.curl.perform()
        self.socket = self.curl.getinfo(CurlInfo.ACTIVESOCKET)

    def _whenever(self, work, writes):
        """Repeats what is told to come again when the socket is ready."""
        end = time.monotonic() + 10
        while True:
            try:
                return work()
            except CurlError as error:
                if error.code != CurlECode.AGAIN or time.monotonic() > end:
                    raise
            select.select([] if writes else [self.socket], [self.socket] if writes else [], [], 1)

    def send(self, flags, payload):
        while True:
            sent = self._whenever(lambda: self.curl.ws_send(payload, flags), True)
            if sent == len(payload):
                return
            payload = payload[sent:]

    def receive(self):
        """The next message or control frame: its kind and payload."""
        whole = b""
        while True:
            part, frame = self._whenever(self.curl.ws_recv, False)
            whole += part
            if frame.bytesleft == 0 and not frame.flags & CONT:
                return frame.flags, whole

    def expect(self, kind, payload):
        flags, got = self.receive()
        if not flags & kind or got != payload:
            raise AssertionError(f"{flags} {got!r:.80} instead of {kind} {payload!r:.80}")

    def echoes(self, kind, payload):
        self.send(kind, payload)
        self.expect(kind, payload)


def text(ws):
    ws.echoes(TEXT, "Grüße, 世界 😀".encode())


def binary(ws):
    ws.echoes(BINARY, bytes(range(256)))


def large(ws):
    ws.echoes(BINARY, bytes(range(256)) * 4096)


def fragments(ws):
    ws.send(TEXT | CONT, b"frag")
    ws.send(TEXT | CONT, b"men")
    ws.send(TEXT, b"ted")
    ws.expect(TEXT, b"fragmented")
    ws.send(TEXT, b"fragments")
    ws.expect(TEXT, b"fragmented")


def ping(ws):
    ws.send(PING, b"hello")
    ws.expect(PONG, b"hello")
    ws.send(TEXT, b"ping back")
    # libcurl answers the Ping itself and does not tell of it, but the Pong leaves with what is sent next
    select.select([ws.socket], [], [], 10)
    try:
        ws.curl.ws_recv()
    except CurlError as error:
        if error.code != CurlECode.AGAIN:
            raise
    ws.send(PONG, b"")
    ws.expect(TEXT, b"pong back")


def close(ws):
    frame = struct.pack("!H", 4002) + b"done"
    ws.send(CLOSE, frame)
    ws.expect(CLOSE, frame)


def closed(ws):
    ws.send(TEXT, b"close 4001 bye")
    frame = struct.pack("!H", 4001) + b"bye"
    ws.expect(CLOSE, frame)
    ws.send(CLOSE, frame)


def subprotocol(ws):
    if b"\r\nsec-websocket-protocol: interop\r\n" not in bytes(ws.answer).lower():
        raise AssertionError(bytes(ws.answer))
    ws.echoes(TEXT, b"after")


for check in (text, binary, large, fragments, ping, close, closed, subprotocol):
    headers = [b"Sec-WebSocket-Protocol: other, interop"] if check is subprotocol else []
    try:
        ws = Connection(f"{sys.argv[2]}/{check.__name__}", headers)
        check(ws)
        if check not in (close, closed):
            ws.send(CLOSE, struct.pack("!H", 1000))
        print(check.__name__, "ok", flush=True)
    except Exception as error:
        print(check.__name__, "failed", repr(error).replace("\n", " "), flush=True)
