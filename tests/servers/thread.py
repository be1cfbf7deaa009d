"""A server on an event loop in a thread of its own, up from entering to leaving the context."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType
from typing import Self


class ServerThread:
    """What servers on a thread have in common. `url`, `host` and `port` hold once it is entered. Servers add
    their connections to `transports`; what is still open at the end is aborted."""

    scheme = "http"

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.transports: set[asyncio.WriteTransport] = set()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    async def listen(self) -> asyncio.Server:
        """Starts to listen on a port of the system's choice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._up = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=type(self).__name__)
        self._thread.start()
        self._up.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda loop, context: None)  # callers that leave are no news here
        self._end = asyncio.Event()
        try:
            server = await self.listen()
        except BaseException as error:  # handed to whoever entered
            self._failure = error
            self._up.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._end.wait()
        server.close()  # not waited for: what still answers is cancelled with the loop
        for transport in self.transports:
            transport.abort()


def closed_port() -> int:
    """A port of loopback where nobody listens: a connection is refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port
