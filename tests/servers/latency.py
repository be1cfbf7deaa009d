"""A server whose latency is known, in a process of its own: `with LatencyServer(Fixed(10)) as server`.

Rules
-----
- A request is stamped first thing when its bytes come in, and answered when it is due by a timerfd: to
  some tens of µs, not to the whole ms of the loop's timers.
- Both stamps are CLOCK_MONOTONIC in ns, which all processes share. The reply is stamped just before it is
  handed to the kernel, so that no caller can have seen it earlier.
- Any method and path is answered 200 with JSON; `GET /__truth` gives the stamps, `GET /__reset` drops them.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import heapq
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

BODY = b'{"ok":true,"accepted":true,"sequence":1}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
REPLY = HEAD % len(BODY) + BODY


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every request takes `ms`."""

    ms: float


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Latencies drawn from a log-normal law."""

    median_ms: float
    sigma: float
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Stall:
    """`ms` each, but those that arrive in the `length_s` that begin `start_s` after the first request are
    all answered at the end of that time."""

    ms: float
    start_s: float
    length_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Stamps:
    """Arrival and reply of each answered request in ns of CLOCK_MONOTONIC, in the order of the replies."""

    arrivals: array.array[int]
    replies: array.array[int]

    def latencies_ms(self) -> list[float]:
        """Reply minus arrival, in ms, in the order of the replies."""
        return [(reply - came) / 1e6 for came, reply in zip(self.arrivals, self.replies, strict=True)]


class LatencyServer:
    """The server, up from entering to leaving. `url` is its base URL, `pid` its process."""

    def __init__(self, law: Fixed | LogNormal | Stall, cpu: int | None = None) -> None:
        self._law = {"law": type(law).__name__, "cpu": cpu, **asdict(law)}
        self.url = ""
        self.pid = 0

    def __enter__(self) -> Self:
        root = str(Path(__file__).resolve().parents[2])
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.latency", json.dumps(self._law)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            start_new_session=True,
        )
        assert self._child.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._child.stdout.readline())}"
        self.pid = self._child.pid
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()  # its end is the child's end, and so is the end of this process
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()

    def truth(self) -> Stamps:
        """What has been answered until now."""
        with urllib.request.urlopen(f"{self.url}/__truth", timeout=30) as answer:
            raw: bytes = answer.read()
        half = len(raw) // 2
        stamps = Stamps(array.array("q"), array.array("q"))
        stamps.arrivals.frombytes(raw[:half])
        stamps.replies.frombytes(raw[half:])
        return stamps

    def reset(self) -> None:
        """Forgets what was answered; a stall is counted from the next request again."""
        urllib.request.urlopen(f"{self.url}/__reset", timeout=30).close()


class _Timer(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class _Server:
    """The child's half: a heap of answers that are due, and one timerfd for the first of them."""

    def __init__(self, law: dict[str, Any]) -> None:
        self._law = law
        self._random = random.Random(law.get("seed"))
        self._due: list[tuple[int, int, int, _Connection]] = []
        self._count = 0
        self._armed = 1 << 62
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._fd, self.fire)
        self.forget()

    def forget(self) -> None:
        self.arrivals = array.array("q")
        self.replies = array.array("q")
        self._first = 0

    def take(self, came: int, connection: _Connection) -> None:
        """One request, stamped `came`."""
        self._first = self._first or came
        self._count += 1
        heapq.heappush(self._due, (self._due_of(came), self._count, came, connection))
        self._arm()

    def _due_of(self, came: int) -> int:
        law = self._law
        if law["law"] == "LogNormal":
            draw: float = law["median_ms"] * self._random.lognormvariate(0.0, law["sigma"])
            return came + round(draw * 1e6)
        if law["law"] == "Stall":
            start = self._first + int(law["start_s"] * 1e9)
            end = start + int(law["length_s"] * 1e9)
            if start <= came < end:
                return end
        return came + int(law["ms"] * 1e6)

    def _arm(self) -> None:
        due = self._due[0][0]
        if due < self._armed:
            self._armed = due
            at = _Timer(0, 0, due // 1_000_000_000, due % 1_000_000_000)
            self._libc.timerfd_settime(self._fd, 1, ctypes.byref(at), None)

    def fire(self) -> None:
        """Answers all that is due."""
        while self._due and self._due[0][0] <= (now := time.monotonic_ns()):
            _, _, came, connection = heapq.heappop(self._due)
            try:
                os.write(connection.fd, REPLY)
            except OSError:  # the caller has gone
                continue
            self.arrivals.append(came)
            self.replies.append(now)
        self._armed = 1 << 62
        if self._due:
            self._arm()


class _Connection(asyncio.Protocol):
    def __init__(self, server: _Server) -> None:
        self._server = server
        self._buffer = b""
        self.fd = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self.fd = transport.get_extra_info("socket").fileno()

    def connection_lost(self, error: Exception | None) -> None:
        self.fd = -1  # whoever has the number next must not get an answer that was due here

    def data_received(self, data: bytes) -> None:
        came = time.monotonic_ns()
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = 0
            if (at := head.find(b"\r\ncontent-length:")) >= 0:
                length = int(head[at + 17 :].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            if head.startswith(b"get /__"):
                self._control(head)
            else:
                self._server.take(came, self)

    def _control(self, head: bytes) -> None:
        body = b""
        if head.startswith(b"get /__reset"):
            self._server.forget()
        else:
            body = self._server.arrivals.tobytes() + self._server.replies.tobytes()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def _serve(law: dict[str, Any]) -> None:
    if law["cpu"] is not None:
        os.sched_setaffinity(0, {law["cpu"]})
    loop = asyncio.get_running_loop()
    server = _Server(law)
    listening = await loop.create_server(lambda: _Connection(server), "127.0.0.1", 0, backlog=4096)
    print(listening.sockets[0].getsockname()[1], flush=True)
    pipe = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(pipe), sys.stdin)
    await pipe.read()


if __name__ == "__main__":
    import gc

    import uvloop

    gc.disable()  # nothing here makes cycles, and a pause would be the server's
    uvloop.run(_serve(json.loads(sys.argv[1])))
