"""A server that misbehaves on request, on raw sockets: `with BadServer() as server`, then ask for a path.

Rules
-----
- The first part of the path names the behaviour (`BEHAVIOURS` lists them); `asked` keeps what was asked for.
- `BadServer(tls=context)` does all of it over TLS. For refused connections there is `closed_port()`.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from tests.servers.behaviours import BEHAVIOURS, Asked, unknown
from tests.servers.thread import ServerThread


class BadServer(ServerThread):
    """The server, up from entering to leaving. `asked` has every request, `connections` counts the
    connections that were opened (over TLS: that got through the handshake). `/redirect-foreign` leads to
    `foreign`, a base URL."""

    def __init__(self, tls: ssl.SSLContext | None = None, foreign: str = "http://foreign.example") -> None:
        super().__init__()
        self.scheme = "https" if tls else "http"
        self.foreign = foreign
        self.asked: list[Asked] = []
        self.connections = 0
        self._tls = tls

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_server(
            self._serve, self.host, 0, ssl=self._tls, limit=1 << 20, backlog=4096
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.transports.add(writer.transport)
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            kept = True
            while kept:
                asked = await _read(reader)
                self.asked.append(asked)
                name = asked.path.split("?")[0].split("/")[1]
                kept = await BEHAVIOURS.get(name, unknown)(self, asked, writer)
                await writer.drain()
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = tuple(
        (name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    )
    asked = Asked(method, path, headers, b"")
    body = await reader.readexactly(int(asked.header("content-length") or 0))
    return Asked(method, path, headers, body)
