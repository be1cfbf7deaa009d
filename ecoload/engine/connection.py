"""One HTTP/1.1 connection of one VU, on asyncio's protocols and llhttp.

Rules
-----
- The answer *is* the connection: no object a request. It holds until the VU sends again.
- An answer is over in the callback that brought its last byte, and the VU goes on in that callback.
- Nothing is believed: a short body is `truncated`, two answers to one request `malformed`, endless
  headers or bodies `too_large`. A foreign exception becomes an outcome here and goes no further.
- With the garbage collector off, whatever holds itself in a circle must be parted by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Any

import httptools

from ecoload.engine.clock import Clock
from ecoload.engine.program import VU, CompiledStep
from ecoload.measure.outcome import Outcome

_now = time.monotonic_ns


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
                self.transport.write(data[sent:])
                self.whole = not self.transport.get_write_buffer_size()
        self.sent = _now()

    def finish(self, outcome: int) -> None:
        """The exchange is over: resumes the VU."""
        self.busy = self.complete = False
        self.outcome = outcome
        self.last = _now()
        if not self.first:
            self.first = self.last
        if not self.in_body:
            self.status = 0
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
            end = raw.find(b"\r\n\r\n")
            head = raw[:end].lower()
            self.has_cookies = b"\nset-cookie" in head
            self.is_coded = b"\ncontent-encoding" in head
            if raw[9:10] == b"1":
                # That was the head of an interim answer.
                names = {name.lower() for name, _ in self.headers}
                self.has_cookies = b"set-cookie" in names
                self.is_coded = b"content-encoding" in names
                while raw[end + 13 : end + 14] == b"1":
                    end = raw.find(b"\r\n\r\n", end + 4)
                end = raw.find(b"\r\n\r\n", end + 4)
            if (end > self.limits[0] or self.received > self.limits[1]) and not self.outcome:
                # It was over in the read that brought too much of it.
                self.outcome = Outcome.TOO_LARGE
                if not self.closed:
                    self.closed = True
                    self.transport.abort()
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
        self.received += len(data)
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
            self._unfinished()
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

    def _unfinished(self) -> None:
        """After a piece that did not simply complete the answer."""
        if self.outcome:
            self.give_up(self.outcome)
        elif self.complete:
            # What is left of a request must not go out between the bytes of the next.
            self.closed = self.closed or not self.keep or not self.whole
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
        return not any(
            name.lower() == b"content-length"
            or (name.lower() == b"transfer-encoding" and b"chunked" in value.lower())
            for name, value in self.headers
        )


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
