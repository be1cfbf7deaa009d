"""HTTP by aiohttp: the reference transport, and the one that speaks to proxies.

Rules
-----
- The same bytes are rendered as for http1; aiohttp is told to add, follow, decode, store and repeat
  nothing. What it was not told is refused: one connection a VU and origin, kept between iterations.
- The address that was checked is the one that is dialled: the URL names an origin by its index, and
  the resolver knows nothing but the plan's addresses. Behind a proxy the URL bears the real name, since
  it is the proxy that dials.
- Nothing is left in `VU.connections`; an exchange is a task, and its answer an object of its own.
- aiohttp's parser is more lenient than ours; what ours calls malformed is looked for here.
- A header value beyond ASCII goes out as UTF-8: aiohttp knows no other.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from aiohttp.http_exceptions import TransferEncodingError
from multidict import CIMultiDict
from yarl import URL

from ecoload.engine.aiohttp_failures import only_once, outcome_of
from ecoload.engine.clock import Clock
from ecoload.engine.program import VU, CompiledStep
from ecoload.engine.sampler import Sampler
from ecoload.engine.tls import client_context
from ecoload.measure.outcome import Outcome
from ecoload.plan import Plan

_now = time.monotonic_ns
_FOR_EVER_S = 31_536_000.0
_SMALLEST_HEADER = 5
"""`a:b`, CR, LF: so many bytes, at least, a header takes of the cap."""
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Exchange:
    """One request and what came of it: the answer a VU is resumed with."""

    __slots__ = (
        "begin", "begun", "body", "connecting", "first", "has_cookies", "headers", "index", "is_coded",
        "last", "outcome", "sent", "status", "tls_begun",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        self.outcome: int = Outcome.OK
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.has_cookies = self.is_coded = False
        self.begun = _now()
        self.connecting = self.tls_begun = self.begin = self.sent = self.first = self.last = 0

    def finish(self, outcome: int) -> None:
        """Closes the row of times: what never happened is put where the exchange ended."""
        self.outcome = outcome
        self.last = _now()
        if not self.begin:
            self.begin = self.sent = self.begun
        self.first = self.first or self.last
        self.sent = self.sent or self.first


_CURRENT: ContextVar[Exchange] = ContextVar("exchange")


class AiohttpTransport:
    """One aiohttp session a VU; see the module's rules. `fail` takes errors that are our own."""

    def __init__(
        self,
        plan: Plan,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        sampler: Sampler,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._origins = plan.origins
        self._http = plan.http
        self._proxy = URL(plan.proxy) if plan.proxy else None
        self._loop = loop
        self._sampler = sampler
        self._fail = fail
        self._contexts: dict[int, ssl.SSLContext] = {}
        self._sessions: dict[VU, aiohttp.ClientSession] = {}
        self._running: dict[VU, tuple[asyncio.Task[None], Exchange]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._sockets: set[socket.socket] = set()
        self._resolver = _Proxied() if self._proxy else _Pinned([origin.addresses for origin in plan.origins])
        self._trace = self._stamps()
        self.opened = 0

    @property
    def open_connections(self) -> int:
        self._sockets = {sock for sock in self._sockets if sock.fileno() >= 0}
        return len(self._sockets)

    def send(self, vu: VU, step: CompiledStep, origin: int, data: bytes) -> None:
        exchange = Exchange(origin)
        task = self._loop.create_task(self._run(vu, step, exchange, data))
        self._running[vu] = task, exchange

    def cancel(self, vu: VU) -> Exchange | None:
        task, exchange = self._running.pop(vu, (None, None))
        if task is None or exchange is None:
            return None
        task.cancel()
        connected = bool(exchange.begin)
        exchange.finish(Outcome.CANCELLED)
        return exchange if connected else None

    def release(self, vu: VU) -> None:
        session = self._sessions.pop(vu, None)
        if session is not None:
            closing = self._loop.create_task(session.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _run(self, vu: VU, step: CompiledStep, exchange: Exchange, data: bytes) -> None:
        _CURRENT.set(exchange)
        try:
            async with asyncio.timeout(step.timeout_ns / 1e9):
                outcome = await self._exchange(vu, step, exchange, data)
        except asyncio.CancelledError:
            return
        except Exception as error:
            https = self._origins[exchange.index].scheme == "https"
            named = outcome_of(error, https=https, proxied=self._proxy is not None)
            if named is None:
                self._fail(error)
            outcome = Outcome.CANCELLED if named is None else named
        exchange.finish(outcome)
        self._running.pop(vu, None)
        try:
            vu.resume(exchange)
        except StopIteration:
            pass
        except Exception as error:
            self._fail(error)

    async def _exchange(self, vu: VU, step: CompiledStep, exchange: Exchange, data: bytes) -> Outcome:
        method, target, headers, body = split_request(data)
        place = self._origins[exchange.index]
        authority = place.authority if self._proxy else f"{exchange.index}.origin.invalid:{place.port}"
        async with self._session(vu).request(
            method,
            URL(f"{place.scheme}://{authority}{target}", encoded=True),
            headers=headers,
            data=_StampedBody(exchange, body) if body else None,
            allow_redirects=False,
            ssl=self._context(exchange.index) if place.scheme == "https" else True,
            server_hostname=place.host if place.scheme == "https" else None,
            proxy=self._proxy,
            trace_request_ctx=exchange,
        ) as response:
            exchange.first = _now()
            exchange.status = response.status
            exchange.headers = list(response.raw_headers)
            names = {name.lower() for name, _ in exchange.headers}
            exchange.has_cookies = b"set-cookie" in names
            exchange.is_coded = b"content-encoding" in names
            if sum(len(n) + len(v) + 4 for n, v in exchange.headers) > self._http.max_header_bytes:
                return Outcome.TOO_LARGE
            if response.status == 407 and self._proxy:
                return Outcome.PROXY
            if names >= {b"transfer-encoding", b"content-length"}:
                return Outcome.MALFORMED
            with _watched(response):
                return await self._read(response, step, exchange)

    async def _read(
        self, response: aiohttp.ClientResponse, step: CompiledStep, exchange: Exchange
    ) -> Outcome:
        """Takes the body, or stops at the cap: bytes left unread close the connection."""
        pieces, left = [], self._http.max_body_bytes
        async for piece in response.content.iter_any():
            left -= len(piece)
            if left < 0:
                return Outcome.TOO_LARGE
            if step.want_body:
                pieces.append(piece)
        exchange.body = b"".join(pieces)
        return Outcome.OK

    def _session(self, vu: VU) -> aiohttp.ClientSession:
        session = self._sessions.get(vu)
        if session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                limit_per_host=1,
                keepalive_timeout=_FOR_EVER_S,
                happy_eyeballs_delay=None,
                socket_factory=self._socket,
            )
            session = self._sessions[vu] = aiohttp.ClientSession(
                connector=connector,
                connector_owner=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_AUTOMATIC,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._http.connect_timeout_ns / 1e9, ceil_threshold=math.inf
                ),
                max_line_size=self._http.max_header_bytes,
                max_field_size=self._http.max_header_bytes,
                max_headers=self._http.max_header_bytes // _SMALLEST_HEADER,
                trace_configs=[self._trace],
                middlewares=(only_once,),
            )
        return session

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        sock = socket.socket(address[0], address[1])
        self._sockets.add(sock)
        return sock

    def _context(self, index: int) -> ssl.SSLContext:
        if index not in self._contexts:
            self._contexts[index] = context = client_context(self._origins[index])
            context.sslobject_class = _StampedTLS
        return self._contexts[index]

    def _stamps(self) -> aiohttp.TraceConfig:
        """When connecting began and ended, when a kept connection was taken, when the head was sent."""

        async def connecting(_: Any, context: SimpleNamespace, __: Any) -> None:
            context.trace_request_ctx.connecting = _now()

        async def connected(_: Any, context: SimpleNamespace, __: Any) -> None:
            exchange: Exchange = context.trace_request_ctx
            exchange.begin = ready = _now()
            tls = ready - exchange.tls_begun if exchange.tls_begun else 0
            self.opened += 1
            row = (ready, ready - exchange.begun, ready - tls - exchange.connecting, tls)
            self._sampler.connection(exchange.index, row)

        async def taken(_: Any, context: SimpleNamespace, __: Any) -> None:
            context.trace_request_ctx.begin = _now()

        async def head_sent(_: Any, context: SimpleNamespace, __: Any) -> None:
            context.trace_request_ctx.sent = _now()

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(connecting)
        trace.on_connection_create_end.append(connected)
        trace.on_connection_reuseconn.append(taken)
        trace.on_request_headers_sent.append(head_sent)
        return trace


def split_request(data: bytes) -> tuple[str, str, CIMultiDict[str], bytes]:
    """Method, target, headers and body of a rendered HTTP/1.1 request."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = first.split(" ", 2)
    named = (line.partition(":") for line in lines)
    return method, target, CIMultiDict((name, value.strip(" ")) for name, _, value in named), body


@contextmanager
def _watched(response: aiohttp.ClientResponse) -> Iterator[None]:
    """Ends the body with its connection: aiohttp closes on a chunk that is malformed, and tells nobody."""
    protocol = response.connection.protocol if response.connection is not None else None
    closed = protocol.closed if protocol is not None else None
    if closed is None:
        yield
        return
    content = response.content

    def over(_: object) -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(TransferEncodingError("the connection was closed within the body"))

    closed.add_done_callback(over)
    # One of these for the life of the connection: its end is nobody's unheard exception.
    closed.remove_done_callback(_heard)
    closed.add_done_callback(_heard)
    try:
        yield
    finally:
        closed.remove_done_callback(over)


def _heard(closed: asyncio.Future[None]) -> None:
    if not closed.cancelled():
        closed.exception()


class _StampedBody(aiohttp.Payload):
    """Notes when its last byte has gone out: the traces know a chunk only before it is written."""

    def __init__(self, exchange: Exchange, value: bytes) -> None:
        super().__init__(value)
        self._size = len(value)
        self._exchange = exchange

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        body: bytes = self._value
        return body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await writer.write(self._value)
        await writer.drain()
        if not self._exchange.first:
            self._exchange.sent = _now()


class _StampedTLS(ssl.SSLObject):
    """Notes when the handshake begins: aiohttp's traces see connecting as one piece."""

    def do_handshake(self) -> None:
        exchange = _CURRENT.get(None)
        if exchange is not None and not exchange.tls_begun:
            exchange.tls_begun = _now()
        super().do_handshake()


class _Pinned(AbstractResolver):
    """`INDEX.origin.invalid` is the next of the plan's addresses of that origin, and no other name is
    anything."""

    def __init__(self, addresses: list[tuple[str, ...]]) -> None:
        self._addresses = [itertools.cycle(known) for known in addresses]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        address = next(self._addresses[int(host.partition(".")[0])], None)
        if address is None:
            raise OSError(None, "the host's name had no address when the guard asked")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Proxied(aiohttp.ThreadedResolver):
    """The proxy's own name; the targets' names are the proxy's to resolve."""
