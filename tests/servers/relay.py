"""A relay that holds back whatever a client sends: `with Relay(port, delay_ms=5) as relay`.

Rules
-----
- It stands for a transport that costs time: what goes through it takes that much longer, and the server knows
  nothing of it. Answers pass at once, and so does a connection.
"""

from __future__ import annotations

import asyncio
from typing import cast

from tests.servers.thread import ServerThread


class Relay(ServerThread):
    """The relay to a port of this machine, up from entering to leaving."""

    def __init__(self, to_port: int, delay_ms: float) -> None:
        super().__init__()
        self.to_port, self.delay_s = to_port, delay_ms / 1000

    async def listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Client(self), "127.0.0.1", 0, backlog=1024)


class _Client(asyncio.Protocol):
    """The side of the client; what it sends waits until the server's side is there, and its time is over."""

    def __init__(self, relay: Relay) -> None:
        self._relay, self._loop = relay, asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._relay.transports.add(self.transport)
        there = self._loop.create_connection(lambda: _Server(self), "127.0.0.1", self._relay.to_port)
        self._server = self._loop.create_task(there)

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(self._relay.delay_s, self._send, data)

    def _send(self, data: bytes) -> None:
        if self._server.done():
            self._server.result()[0].write(data)
        else:
            self._server.add_done_callback(lambda made: made.result()[0].write(data))

    def connection_lost(self, error: Exception | None) -> None:
        self._relay.transports.discard(self.transport)
        if self._server.done() and not self._server.cancelled():
            self._server.result()[0].close()


class _Server(asyncio.Protocol):
    def __init__(self, client: _Client) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.transport.close()
