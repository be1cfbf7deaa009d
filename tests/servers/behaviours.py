"""The behaviours of the misbehaving server, by name: what each does to one request.

Rules
-----
- What is sent is bytes, written out: no library is between the test and the wire.
- A behaviour that has no end ends when the caller leaves or the server does.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

TRICKLE_S = 0.05
_HUGE = b"x" * (128 * 1024)
_GZIP_HEAD = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
_ZEROS_CRC32 = 0xD202EF8D  # of 4 GiB of zeros


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: header names in lower case, in order, as often as they stood there."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first header of that name, or empty."""
        return next((value for key, value in self.headers if key == name), "")


class Server(Protocol):
    """What a behaviour knows of its server: `foreign`, the base URL that `/redirect-foreign` leads to."""

    foreign: str


Behaviour = Callable[[Server, Asked, asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; whether the connection is kept for the next."""

BEHAVIOURS: dict[str, Behaviour] = {}


def _answer(body: bytes, *lines: bytes, status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"HTTP/%s %s" % (version, status), *lines, length, b"", body))


def _named(name: str) -> Callable[[Behaviour], Behaviour]:
    def keep(behaviour: Behaviour) -> Behaviour:
        BEHAVIOURS[name] = behaviour
        return behaviour

    return keep


def _fixed(name: str, raw: bytes, *, end: str = "keep") -> None:
    """A behaviour that sends `raw` and then keeps the connection, or ends it by `fin` or `reset`."""

    async def send(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if raw:
            writer.write(raw)
            await writer.drain()
        if end == "reset":
            if raw:
                await asyncio.sleep(TRICKLE_S)  # else the reset overtakes the bytes in the caller's buffer
            _reset(writer)
        return end == "keep"

    BEHAVIOURS[name] = send


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n"
_fixed("ok", _answer(b'{"ok":true}', b"Content-Type: application/json"))
_fixed("reset-before-headers", b"", end="reset")
_fixed("reset-in-headers", _OK + b"Content-Ty", end="reset")
_fixed("reset-in-body", _OK + b"Content-Length: 100\r\n\r\nhalf", end="reset")
_fixed("close-before-headers", b"", end="fin")
_fixed("close-in-headers", _OK + b"Content-Ty", end="fin")
_fixed("truncated-length", _OK + b"Content-Length: 100\r\n\r\nhalf", end="fin")
_fixed("truncated-chunked", _CHUNKED + b"\r\n5\r\nhello\r\n5\r\nwo", end="fin")
_fixed("truncated-last-chunk", _CHUNKED + b"\r\n5\r\nhello\r\n", end="fin")
_fixed("malformed-status", b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", end="fin")
_fixed("not-http", b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", end="fin")
_fixed("malformed-header", _OK + b"No colon here\r\nContent-Length: 0\r\n\r\n", end="fin")
_fixed("malformed-length", _OK + b"Content-Length: ten\r\n\r\n", end="fin")
_fixed("two-lengths", _OK + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\nhello", end="fin")
_fixed("length-and-chunked", _CHUNKED + b"Content-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n", end="fin")
_fixed("malformed-chunk", _CHUNKED + b"\r\nzz\r\nhello\r\n0\r\n\r\n", end="fin")
_fixed("close-without-header", _answer(b"bye"), end="fin")
_fixed("close-with-header", _answer(b"bye", b"Connection: close"), end="fin")
_fixed(
    "continue",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + _answer(b"after"),
)
_fixed("204", b"HTTP/1.1 204 No Content\r\n\r\n")
_fixed("304", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 100\r\n\r\n')
_fixed("http10", b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end", end="fin")
_fixed("http10-keep-alive", _answer(b"kept", b"Connection: keep-alive", version=b"1.0"))
_fixed("until-end", _OK + b"Content-Type: text/plain\r\n\r\nuntil the end", end="fin")
_fixed(
    "chunked",
    _CHUNKED + b"Trailer: X-Sum\r\n\r\n5;name=value\r\nhello\r\n6;flag\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n",
)
_fixed("cookies", _answer(b"", *(b"Set-Cookie: c%d=%d; Path=/" % (i, i) for i in range(100))))
_fixed("gzip", _answer(gzip.compress(b'{"ok":true}', mtime=0), b"Content-Encoding: gzip"))
_fixed("deflate", _answer(zlib.compress(b'{"ok":true}'), b"Content-Encoding: deflate"))
_fixed("bad-gzip", _answer(b"this is no gzip at all", b"Content-Encoding: gzip"))
_fixed("short-gzip", _answer(gzip.compress(b"x" * 999, mtime=0)[:-12], b"Content-Encoding: gzip"))
_fixed("garbage-after-body", _answer(b"good") + b"\x00garbage nobody asked for\r\n\r\n")
_fixed("huge-header", _answer(b"", b"X-Huge: " + _HUGE))
_fixed("huge-body", _answer(_HUGE * 64))
_fixed("redirect-loop", _answer(b"", b"Location: /redirect-loop", status=b"302 Found"))
_fixed("redirect-no-location", _answer(b"", status=b"302 Found"))
_fixed("error-500", _answer(b'{"title":"broken"}', status=b"500 Internal Server Error"))


async def unknown(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(_answer(b"no such behaviour", status=b"404 Not Found"))
    return True


@_named("echo")
async def _echo(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    document = {
        "method": asked.method,
        "path": asked.path,
        "headers": asked.headers,
        "body": asked.body.decode("latin-1"),
    }
    body = json.dumps(document).encode()
    raw = _answer(body, b"Content-Type: application/json")
    writer.write(raw[: -len(body)] if asked.method == "HEAD" else raw)
    return True


@_named("never")
async def _never(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    await _until_gone(writer)
    return False


@_named("half-then-never")
async def _half_then_never(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(_OK + b"Content-Length: 100\r\n\r\nhalf")
    await _until_gone(writer)
    return False


@_named("trickle")
async def _trickle(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """One byte each 50 ms, headers and body, for about a minute."""
    for byte in _answer(b"x" * 1000):
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(TRICKLE_S)
    return True


@_named("endless-headers")
async def _endless_headers(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(_OK)
    return await _forever(writer, b"".join(b"X-%d: %s\r\n" % (i, b"x" * 50) for i in range(200)))


@_named("endless-header")
async def _endless_header(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(_OK + b"X-Endless: ")
    return await _forever(writer, b"x" * 16384)


@_named("endless-body")
async def _endless_body(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(_CHUNKED + b"\r\n")
    return await _forever(writer, b"4000\r\n" + b"x" * 16384 + b"\r\n")


@_named("gzip-bomb")
async def _gzip_bomb(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """4 GiB of zeros, about 4 MB on the wire: as many times the same 4 MiB, which are squeezed once."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = squeeze.compress(bytes(1 << 22)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    end = squeeze.flush() + _ZEROS_CRC32.to_bytes(4, "little") + bytes(4)  # their length modulo 4 GiB
    writer.write(_CHUNKED + b"Content-Encoding: gzip\r\n\r\n")
    for part in (_GZIP_HEAD, *[piece] * 1024, end):
        writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")
    return True


@_named("redirect")
async def _redirect(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """`/redirect/307/echo` leads to `/echo` by 307; `/redirect/302/redirect/302/ok` takes two hops."""
    found = re.match(r"/redirect/(\d{3})(/.*)", asked.path)
    if found is None:
        return await unknown(server, asked, writer)
    status, target = found[1].encode(), found[2].encode()
    writer.write(_answer(b"", b"Location: " + target, status=status + b" Redirect"))
    return True


@_named("redirect-foreign")
async def _redirect_foreign(server: Server, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(_answer(b"", f"Location: {server.foreign}/echo".encode(), status=b"302 Found"))
    return True


async def _forever(writer: asyncio.StreamWriter, piece: bytes) -> bool:
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def _until_gone(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        await asyncio.sleep(TRICKLE_S)
