"""HTTP/1.1 on asyncio's protocols and llhttp: the default transport.

Rules
-----
- A VU has one connection to an origin and keeps it, as in k6; it is opened when first needed, to an
  address the guard has pinned, and all addresses of a name take turns.
- The answer *is* the connection: no object a request. It holds until the VU sends again.
- Nothing is ever sent twice: a kept connection that dies under a request is `reset`, not a retry.
- Nothing is believed: a short body is `truncated`, two answers to one request `malformed`, endless
  headers or bodies `too_large`. A foreign exception becomes an outcome here and goes no further.
- Time-outs are looked for by one sweep over the connections, late by at most a twentieth of the
  shortest, and never early.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import httptools

from ecoload.engine.answers import NoAnswer
from ecoload.engine.clock import Clock
from ecoload.engine.program import VU, CompiledStep
from ecoload.engine.sampler import Sampler
from ecoload.engine.tls import client_context
from ecoload.measure.outcome import Outcome
from ecoload.plan import Plan

_now = time.monotonic_ns
_SWEEP_MOST_NS = 500_000_000
_SWEEP_LEAST_NS = 5_000_000


class Connection(asyncio.Protocol):
    """One connection of one VU, and the answer it last received."""

    __slots__ = (
        "_headers",
        "begin",
        "body",
        "busy",
        "clock",
        "closed",
        "complete",
        "deadline",
        "fail",
        "feed",
        "first",
        "has_cookies",
        "head",
        "in_body",
        "is_coded",
        "keep",
        "last",
        "limits",
        "outcome",
        "parser",
        "pieces",
        "raw",
        "received",
        "resume",
        "sent",
        "sock_send",
        "status",
        "transport",
        "want_body",
        "whole",
    )

    def __init__(self, vu: VU, clock: Clock, limits: tuple[int, int], fail: Callable[[BaseException], None]):
        self.resume = vu.resume
        self.clock = clock
        self.limits = limits
        self.fail = fail
        self.transport: Any = None
        self.sock_send: Callable[[bytes], int] | None = None
        self.closed = self.busy = self.complete = self.in_body = self.head = self.want_body = False
        self.has_cookies = self.is_coded = False
        self.whole = self.keep = True
        self.outcome = self.status = self.received = 0
        self.begin = self.sent = self.first = self.last = self.deadline = 0
        self.raw = self.body = b""
        self.pieces: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.feed = self.parser.feed_data

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The answer's headers in order. llhttp has read them for framing; they become objects only
        where somebody looks."""
        if self._headers is None:
            self._headers = _Headers(self.raw).found
        return self._headers

    # --- one exchange -------------------------------------------------------------------------

    def exchange(self, data: bytes, step: CompiledStep) -> None:
        """Sends a request; the VU is resumed with this connection when its answer is over."""
        self.raw = self.body = b""
        self._headers = None
        self.outcome = self.first = self.received = 0
        self.in_body = False
        self.want_body = step.want_body
        self.head = step.is_head
        self.busy = True
        self.begin = begin = _now()
        self.deadline = begin + step.timeout_ns
        if self.sock_send is None:
            self.transport.write(data)
        else:
            try:
                sent = self.sock_send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                # The peer is gone; `connection_lost` comes from the loop, never from in here.
                self.transport.abort()
                sent = len(data)
            if sent != len(data):
                self.whole = False
                self.transport.write(data[sent:])
        self.sent = _now()

    def finish(self, outcome: int) -> None:
        """The exchange is over: resumes the VU."""
        self.busy = self.complete = False
        self.outcome = outcome
        self.last = _now()
        if not self.first:
            self.first = self.last
        if not self.whole:
            # The answer came before the request had gone out.
            self.whole = True
            self.sent = self.first
        self._resume()

    def give_up(self, outcome: int) -> None:
        """Ends the exchange from our side: the connection cannot be used again."""
        self.closed = True
        self.transport.abort()
        if self.busy:
            self.finish(outcome)

    def _resume(self) -> None:
        if self.pieces:
            self.body = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
            self.pieces = []
        if self.raw:
            raw = self.raw
            head = raw[: raw.find(b"\r\n\r\n")].lower()
            self.has_cookies = b"\nset-cookie" in head
            self.is_coded = b"\ncontent-encoding" in head
        try:
            self.resume(self)
        except StopIteration:
            pass
        except Exception as error:
            self.fail(error)

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        # `resume_writing` then says when the last byte of a long request has gone out.
        transport.set_write_buffer_limits(high=0)

    def resume_writing(self) -> None:
        if not self.whole:
            self.whole = True
            self.sent = _now()

    def data_received(self, data: bytes) -> None:
        now = _now()
        if not self.busy:
            # Nobody asked: whatever it is, this connection is not to be trusted with a request.
            self.closed = True
            self.transport.abort()
            return
        if not self.first:
            self.first = now
        if not self.in_body:
            self.raw += data
        try:
            self.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.closed = True
            if not self.complete:
                self.outcome = self.outcome or Outcome.MALFORMED
        if self.complete and not self.outcome and self.whole:
            if self.closed or not self.keep:
                self.closed = True
                self.transport.abort()
            self.busy = self.complete = False
            self.last = now
            self._resume()
        else:
            self._unfinished(len(data))
        if now >= self.clock.next_due:
            self.clock.fire()

    def eof_received(self) -> bool:
        if self.busy and self.in_body and self._until_eof():
            self.closed = True
            self.finish(Outcome.OK)
        return False

    def connection_lost(self, error: BaseException | None) -> None:
        self.closed = True
        # The parser holds us and we hold it; with the garbage collector off, nobody else would part us.
        del self.parser, self.feed
        self.transport = self.sock_send = None
        if not self.busy:
            return
        if isinstance(error, ssl.SSLError):
            self.finish(Outcome.TLS)
        elif error is not None or not self.first:
            self.finish(Outcome.RESET)
        else:
            self.finish(Outcome.TRUNCATED)

    def _unfinished(self, size: int) -> None:
        """After a piece that did not simply complete the answer."""
        self.received += size
        if self.outcome:
            self.give_up(self.outcome)
        elif self.complete:
            self.closed = self.closed or not self.keep
            if self.closed:
                self.transport.abort()
            self.finish(Outcome.OK)
        elif self.received > self.limits[self.in_body]:
            self.give_up(Outcome.TOO_LARGE)

    # --- llhttp's callbacks ---------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        if self.complete:
            # A second answer to one request.
            self.outcome = Outcome.MALFORMED
            return
        self.status = status = self.parser.get_status_code()
        if status < 200:
            return
        self.in_body = True
        if self.head:
            # llhttp cannot know that this answer has no body; a fresh parser takes the next one.
            self.keep = self.parser.should_keep_alive()
            self.complete = True
            self.parser = httptools.HttpResponseParser(self)
            self.feed = self.parser.feed_data

    def on_body(self, data: bytes) -> None:
        if self.complete:
            # Bytes after the end; a body in the answer to HEAD is one.
            self.outcome = Outcome.MALFORMED
        elif self.want_body:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        if self.status < 200 or self.head:
            return
        self.keep = self.parser.should_keep_alive()
        self.complete = True

    def _until_eof(self) -> bool:
        """True where the body ends with the connection: neither a length nor chunks were announced."""
        return not any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers)


class _Headers:
    """Reads the headers of the last (not interim) answer in `raw`."""

    def __init__(self, raw: bytes) -> None:
        self.found: list[tuple[bytes, bytes]] = []
        self._last = False
        parser = httptools.HttpResponseParser(self)
        self._status = parser.get_status_code
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            parser.feed_data(raw)
        del self._status  # it holds the parser, which holds us

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._last:
            self.found.append((name, value))

    def on_headers_complete(self) -> None:
        if self._status() < 200:
            self.found.clear()
        else:
            self._last = True


class Http1Transport:
    """Opens and keeps connections; see the module's rules. `fail` takes errors that are our own."""

    def __init__(
        self,
        plan: Plan,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        sampler: Sampler,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._origins = plan.origins
        self._loop = loop
        self._clock = clock
        self._sampler = sampler
        self._fail = fail
        self._limits = (plan.http.max_header_bytes, plan.http.max_body_bytes)
        self._connect_timeout = plan.http.connect_timeout_ns / 1e9
        self._contexts: dict[int, ssl.SSLContext] = {}
        self._turns = [0] * len(plan.origins)
        self._open: set[Connection] = set()
        self._tasks: dict[VU, asyncio.Task[None]] = {}
        shortest = min((t for t in map(_shortest_timeout, plan.scenarios) if t), default=60_000_000_000)
        self._sweep_ns = max(_SWEEP_LEAST_NS, min(_SWEEP_MOST_NS, shortest // 20))
        self.opened = 0
        clock.later(_now() + self._sweep_ns, self._sweep)

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def send(self, vu: VU, step: CompiledStep, origin: int, data: bytes) -> None:
        connection: Connection | None = vu.connections[origin]
        if connection is not None and not connection.closed:
            connection.exchange(data, step)
        else:
            self._tasks[vu] = self._loop.create_task(self._connect(vu, step, origin, data))

    def cancel(self, vu: VU) -> Connection | None:
        task = self._tasks.pop(vu, None)
        if task is not None:
            task.cancel()
            return None
        for connection in vu.connections:
            if connection is not None and connection.busy:
                connection.busy = False
                connection.last = _now()
                connection.first = connection.first or connection.last
                connection.closed = True
                connection.transport.abort()
                return connection  # type: ignore[no-any-return]
        return None

    def release(self, vu: VU) -> None:
        for origin, connection in enumerate(vu.connections):
            if connection is not None:
                self._open.discard(connection)
                connection.closed = True
                if connection.transport is not None:
                    connection.transport.close()
                vu.connections[origin] = None

    async def _connect(self, vu: VU, step: CompiledStep, origin: int, data: bytes) -> None:
        begun = _now()
        try:
            connection = await self._open_connection(vu, origin, step, begun)
            del self._tasks[vu]
            connection.exchange(data, step)
            # Connecting is part of the request's time limit.
            connection.deadline = begun + step.timeout_ns
            return
        except TimeoutError:
            outcome = Outcome.TIMEOUT
        except ssl.SSLError:
            outcome = Outcome.TLS
        except ConnectionRefusedError:
            outcome = Outcome.REFUSED
        except ConnectionResetError:
            outcome = Outcome.RESET if self._origins[origin].scheme == "http" else Outcome.TLS
        except OSError as error:
            outcome = _outcome_of(error)
        except asyncio.CancelledError:
            return
        self._tasks.pop(vu, None)
        try:
            vu.resume(NoAnswer(outcome, begun, _now()))
        except StopIteration:
            pass
        except Exception as error:
            self._fail(error)

    async def _open_connection(self, vu: VU, index: int, step: CompiledStep, begun: int) -> Connection:
        origin = self._origins[index]
        old = vu.connections[index]
        if old is not None:
            self._open.discard(old)
            vu.connections[index] = None
        if not origin.addresses:
            raise _Unresolved
        address = origin.addresses[self._turns[index] % len(origin.addresses)]
        self._turns[index] += 1
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            limit = min(self._connect_timeout, step.timeout_ns / 1e9)
            async with asyncio.timeout(limit):
                await self._loop.sock_connect(sock, (address, origin.port))
                connected = _now()
                connection = Connection(vu, self._clock, self._limits, self._fail)
                context = self._context(index) if origin.scheme == "https" else None
                await self._loop.create_connection(
                    lambda: connection,
                    sock=sock,
                    ssl=context,
                    server_hostname=origin.host if context else None,
                )
        except BaseException:
            sock.close()
            raise
        if context is None:
            connection.sock_send = sock.send
        ready = _now()
        tls = ready - connected if context else 0
        self._sampler.connection(index, (ready, ready - begun, connected - begun, tls))
        vu.connections[index] = connection
        self._open.add(connection)
        self.opened += 1
        return connection

    def _context(self, index: int) -> ssl.SSLContext:
        if index not in self._contexts:
            self._contexts[index] = client_context(self._origins[index])
        return self._contexts[index]

    def _sweep(self, _: Any) -> None:
        now = _now()
        for connection in [c for c in self._open if c.busy and c.deadline <= now]:
            connection.give_up(Outcome.TIMEOUT)
        self._clock.later(now + self._sweep_ns, self._sweep)


class _Unresolved(OSError):
    """The host's name had no address when the guard asked."""


def _outcome_of(error: OSError) -> Outcome:
    if isinstance(error, _Unresolved):
        return Outcome.DNS
    if error.errno == errno.EADDRNOTAVAIL:
        return Outcome.PORT_EXHAUSTED
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return Outcome.FD_EXHAUSTED
    return Outcome.REFUSED


def _shortest_timeout(part: Any) -> int:
    """The shortest request time-out of a scenario (0: it has no steps). A Python scenario may ask for any:
    a second is taken as the shortest that matters."""
    if part.module is not None:
        return 1_000_000_000
    steps = [*part.steps, *part.setup, *part.teardown]
    found = []
    while steps:
        step = steps.pop()
        if hasattr(step, "branches"):
            steps += [inner for branch in step.branches for inner in branch.steps]
        else:
            found.append(step.timeout_ns)
    return min(found, default=0)
