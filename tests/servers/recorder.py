"""A server that records when each request came: `with Recorder(delay_ms=5) as server`.

Rules
-----
- It runs on a thread of its own. A record is taken first thing when the bytes come in, in ns of
  CLOCK_MONOTONIC.
- Each request is answered 200 after `delay_ms`; a request may ask for another delay by
  `?delay_ms=N` in its path. A subclass answers otherwise (`reply`).
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

from tests.servers.thread import ServerThread

REPLY = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
_DELAY = re.compile(r"[?&]delay_ms=([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: when its last byte came, on which connection (counted from 1), and what it was.
    Header names are in lower case; `vu` is the header `X-VU`, or empty."""

    at_ns: int
    connection: int
    method: str
    path: str
    vu: str
    headers: dict[str, str]
    body: bytes


class Recorder(ServerThread):
    """The server, up from entering to leaving. `arrivals` grows as requests come."""

    def __init__(self, delay_ms: float = 0.0) -> None:
        super().__init__()
        self.delay_ms = delay_ms
        self.arrivals: list[Arrival] = []
        self.connections = 0

    def reply(self, arrival: Arrival) -> bytes | None:
        """The whole answer to a request; None: there is none."""
        return REPLY

    def paths(self) -> list[str]:
        """The paths, in the order of arrival."""
        return [arrival.path for arrival in self.arrivals]

    async def listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)


class _Connection(asyncio.Protocol):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._recorder.transports.add(transport)
        self._recorder.connections += 1
        self._number = self._recorder.connections

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", "0"))
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            method, path, _ = first.split(" ", 2)
            arrival = Arrival(now, self._number, method, path, headers.get("x-vu", ""), headers, body)
            self._recorder.arrivals.append(arrival)
            asked = _DELAY.search(path)
            delay_ms = float(asked[1]) if asked else self._recorder.delay_ms
            if delay_ms:
                asyncio.get_running_loop().call_later(delay_ms / 1000, self._answer, arrival)
            else:
                self._answer(arrival)

    def _answer(self, arrival: Arrival) -> None:
        answer = self._recorder.reply(arrival)
        if answer is not None and not self._transport.is_closing():
            self._transport.write(answer)
