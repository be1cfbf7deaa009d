"""HTTP/1.1, the default transport: opens connections, keeps them, and watches their time.

Rules
-----
- A VU has one connection to an origin and keeps it, as in k6; it is opened when first needed, to an
  address the guard has pinned, and all addresses of a name take turns.
- Nothing is ever sent twice: a kept connection that dies under a request is `reset`, not a retry.
- A foreign exception becomes an outcome here and goes no further.
- Time-outs are looked for by one sweep over the connections, late by at most a twentieth of the
  shortest, and never early.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from ecoload.engine.answers import NoAnswer
from ecoload.engine.clock import Clock
from ecoload.engine.connection import Connection
from ecoload.engine.program import VU, CompiledStep
from ecoload.engine.sampler import Sampler
from ecoload.engine.tls import client_context
from ecoload.guard.reach import steps
from ecoload.measure.outcome import Outcome
from ecoload.plan import Plan, Scenario

_now = time.monotonic_ns
DEFAULT_TIMEOUT_NS = 60_000_000_000
_SWEEP_MOST_NS = 500_000_000
_SWEEP_LEAST_NS = 5_000_000


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
        shortest = min(map(_shortest_timeout, plan.scenarios), default=DEFAULT_TIMEOUT_NS)
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


def _shortest_timeout(scenario: Scenario) -> int:
    """The shortest request time-out of a scenario. A Python scenario may ask for any: a second is taken as
    the shortest that matters."""
    if scenario.module is not None:
        return 1_000_000_000
    parts = scenario.setup + scenario.steps + scenario.teardown
    return min((step.timeout_ns for step in steps(parts)), default=DEFAULT_TIMEOUT_NS)
