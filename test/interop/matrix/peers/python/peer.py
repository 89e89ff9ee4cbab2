"""The package websockets as a peer: `peer.py server`, or `peer.py client URL [CERTIFICATE]`. See ../../README.md."""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def answer(ws):
    async for message in ws:
        command, _, rest = message.partition(" ") if isinstance(message, str) else ("", "", "")
        if command == "close":
            code, _, reason = rest.partition(" ")
            await ws.close(int(code), reason)
        elif command == "ping":
            await (await ws.ping(rest))
            await ws.send(f"pong {rest}")
        elif command == "fragments":
            await ws.send(["frag", "men", "ted"])
        else:
            await ws.send(message)


def choose(ws, offered):
    return "interop" if "interop" in offered else None


async def server():
    async with serve(answer, "127.0.0.1", 0, select_subprotocol=choose, max_size=2**24) as listener:
        print("listening", listener.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def echoes(ws, message):
    await ws.send(message)
    same(await ws.recv(), message)


def same(got, expected):
    if got != expected:
        raise AssertionError(f"{got!r:.80} instead of {expected!r:.80}")


async def text(ws):
    await echoes(ws, "Grüße, 世界 😀")


async def binary(ws):
    await echoes(ws, bytes(range(256)))


async def large(ws):
    await echoes(ws, bytes(range(256)) * 4096)


async def fragments(ws):
    await ws.send(["frag", "men", "ted"])
    same(await ws.recv(), "fragmented")
    await ws.send("fragments")
    same(await ws.recv(), "fragmented")


async def ping(ws):
    await asyncio.wait_for(await ws.ping("hello"), 5)
    await ws.send("ping back")
    same(await ws.recv(), "pong back")


async def close(ws):
    await ws.close(4002, "done")
    same((ws.close_code, ws.close_reason), (4002, "done"))


async def closed(ws):
    await ws.send("close 4001 bye")
    try:
        await ws.recv()
    except ConnectionClosed as error:
        same((error.rcvd.code, error.rcvd.reason), (4001, "bye"))
    else:
        raise AssertionError("A message instead of the end")


async def subprotocol(ws):
    same(ws.subprotocol, "interop")
    await echoes(ws, "after")


async def compression(ws):
    same([extension.name for extension in ws.protocol.extensions], ["permessage-deflate"])
    for i in range(3):
        await echoes(ws, json.dumps([{"id": n, "round": i} for n in range(100)]))


async def client(url, certificate=None):
    tls = ssl.create_default_context(cafile=certificate) if certificate else None
    for check in (text, binary, large, fragments, ping, close, closed, subprotocol, compression):
        options = {"compression": "deflate" if check is compression else None, "max_size": 2**24}
        if check is subprotocol:
            options["subprotocols"] = ["other", "interop"]
        try:
            async with asyncio.timeout(10), connect(f"{url}/{check.__name__}", ssl=tls, **options) as ws:
                await check(ws)
            print(check.__name__, "ok", flush=True)
        except Exception as error:
            print(check.__name__, "failed", repr(error).replace("\n", " "), flush=True)


asyncio.run(server() if sys.argv[1] == "server" else client(*sys.argv[2:]))
