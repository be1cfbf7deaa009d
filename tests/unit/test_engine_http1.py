"""One HTTP/1.1 connection, fed with bytes: what an answer is, and what is none."""

from __future__ import annotations

import ssl
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecoload.engine.connection import Connection
from ecoload.measure.outcome import Outcome
from tests.unit.support import ManualClock, S

HEADER_LIMIT, BODY_LIMIT = 4096, 100_000
REQUEST = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"


class Pipe:
    """A transport without a socket. `accepts` is how much a direct send takes; the rest is `pending`."""

    def __init__(self) -> None:
        self.sent = b""
        self.pending = b""
        self.accepts: int | OSError = 1 << 30
        self.aborted = False

    def send(self, data: bytes) -> int:
        if isinstance(self.accepts, OSError):
            raise self.accepts
        self.sent += data[: self.accepts]
        return len(data[: self.accepts])

    def write(self, data: bytes) -> None:
        self.pending += data

    def get_write_buffer_size(self) -> int:
        return len(self.pending)

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def abort(self) -> None:
        self.aborted = True


class Answer(NamedTuple):
    """What the VU was resumed with."""

    outcome: str
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    has_cookies: bool
    is_coded: bool


class Wire:
    """A connection between a VU that takes notes and a peer that is the test."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.times: list[tuple[int, int, int, int]] = []
        self.faults: list[BaseException] = []
        self.clock = ManualClock()
        self.pipe = Pipe()
        vu: Any = SimpleNamespace(resume=self._resumed)
        self.connection = Connection(vu, self.clock, (HEADER_LIMIT, BODY_LIMIT), self.faults.append)
        self.connection.connection_made(self.pipe)
        self.connection.sock_send = self.pipe.send

    def ask(self, data: bytes = REQUEST, *, head: bool = False, want_body: bool = True) -> Wire:
        step: Any = SimpleNamespace(is_head=head, want_body=want_body, timeout_ns=S)
        self.connection.exchange(data, step)
        return self

    def feed(self, *pieces: bytes) -> Wire:
        for piece in pieces:
            if not self.pipe.aborted:
                self.connection.data_received(piece)
        return self

    def end(self, error: BaseException | None = None) -> Wire:
        """The peer closes, properly or with an error."""
        if error is None and not self.pipe.aborted:
            self.connection.eof_received()
        self.connection.connection_lost(error)
        return self

    def _resumed(self, given: Connection) -> None:
        assert given is self.connection
        headers = {name.lower(): value for name, value in given.headers}
        outcome = Outcome(given.outcome).label
        flags = given.has_cookies, given.is_coded
        self.answers.append(Answer(outcome, given.status, headers, given.body, *flags))
        self.times.append((given.begin, given.sent, given.first, given.last))

    @property
    def answer(self) -> Answer:
        (only,) = self.answers
        return only

    @property
    def outcomes(self) -> list[str]:
        return [answer.outcome for answer in self.answers]

    @property
    def reusable(self) -> bool:
        assert self.connection.closed or not self.pipe.aborted, "closed for the peer means closed for us"
        return not self.connection.closed


def response(body: bytes = b"hi", *lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    head = [f"HTTP/{version} {status}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def unsized(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines]).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return unsized(body + b"0\r\n" + trailer + b"\r\n", "Transfer-Encoding: chunked")


# --- Answers --------------------------------------------------------------------------------------


def test_an_answer_with_its_length() -> None:
    wire = Wire().ask().feed(response(b"hello", "X-A: b"))
    assert wire.answer == Answer("ok", 200, {b"content-length": b"5", b"x-a": b"b"}, b"hello", False, False)
    assert wire.pipe.sent == REQUEST
    assert wire.reusable


def test_a_kept_connection_carries_one_exchange_after_the_other() -> None:
    wire = Wire()
    for body in (b"one", b"", b"three"):
        wire.ask().feed(response(body))
    assert [answer.body for answer in wire.answers] == [b"one", b"", b"three"]
    assert wire.pipe.sent == REQUEST * 3
    assert wire.reusable


def test_times_are_in_order() -> None:
    wire = Wire().ask().feed(b"HTTP/1.1 200 OK\r\n").feed(b"Content-Length: 0\r\n\r\n")
    begin, sent, first, last = wire.times[0]
    assert 0 < begin <= sent <= first <= last


def test_a_chunked_answer_is_put_together() -> None:
    wire = Wire().ask().feed(chunked(b"hel", b"lo", trailer=b"X-Sum: 1\r\n"))
    assert (wire.answer.outcome, wire.answer.body, wire.reusable) == ("ok", b"hello", True)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("lines", [(), ("Content-Length: 10",), ("Transfer-Encoding: chunked",)])
def test_an_answer_that_has_no_body_ends_with_its_head(status: str, lines: tuple[str, ...]) -> None:
    wire = Wire().ask().feed(unsized(b"", *lines, status=status))
    assert (wire.answer.outcome, wire.answer.status, wire.answer.body) == ("ok", int(status[:3]), b"")
    assert wire.reusable


def test_the_answer_to_head_ends_with_its_head_whatever_it_announces() -> None:
    wire = Wire()
    for line in ("Content-Length: 10", "Transfer-Encoding: chunked"):
        wire.ask(head=True).feed(unsized(b"", line))
    wire.ask().feed(response())
    assert wire.outcomes == ["ok"] * 3
    assert [answer.body for answer in wire.answers] == [b"", b"", b"hi"]
    assert wire.reusable


def test_a_body_in_the_answer_to_head_is_malformed() -> None:
    wire = Wire().ask(head=True).feed(response(b"hello"))
    assert (wire.answer.outcome, wire.reusable) == ("malformed", False)


def test_interim_answers_are_passed_over() -> None:
    early = "Link: </a>", "Set-Cookie: no=1", "Content-Encoding: no"
    interim = unsized(b"", status="100 Continue") + unsized(b"", *early, status="103 Early Hints")
    wire = Wire().ask().feed(interim + response(b"hi"))
    assert wire.answer == Answer("ok", 200, {b"content-length": b"2"}, b"hi", False, False)
    assert wire.reusable


def test_headers_behind_an_interim_answer_are_seen() -> None:
    interim = unsized(b"", status="103 Early Hints")
    wire = Wire().ask().feed(interim + response(b"hi", "Set-Cookie: a=1", "Content-Encoding: gzip"))
    assert (wire.answer.has_cookies, wire.answer.is_coded) == (True, True)


def test_what_has_to_be_looked_at_is_told() -> None:
    def flags(*lines: str, body: bytes = b"hi") -> tuple[bool, bool]:
        answer = Wire().ask().feed(response(body, *lines)).answer
        return answer.has_cookies, answer.is_coded

    assert flags() == (False, False)
    assert flags("SET-cookie: a=1") == (True, False)
    assert flags("content-ENCODING: gzip") == (False, True)
    assert flags("X-A: set-cookie", body=b"\r\nset-cookie: a\r\ncontent-encoding: b") == (False, False)


def test_switching_protocols_that_nobody_asked_for_is_malformed() -> None:
    wire = Wire().ask().feed(unsized(b"xx", "Upgrade: h2c", "Connection: Upgrade", status="101 Switching"))
    assert (wire.answer.outcome, wire.reusable) == ("malformed", False)


@pytest.mark.parametrize("lines", [(), ("Transfer-Encoding: gzip",)])
def test_a_body_without_a_length_ends_with_the_connection(lines: tuple[str, ...]) -> None:
    wire = Wire().ask().feed(unsized(b"hel", *lines), b"lo")
    assert wire.answers == []
    wire.end()
    assert (wire.answer.outcome, wire.answer.body, wire.reusable) == ("ok", b"hello", False)


@pytest.mark.parametrize(
    ("answer", "reusable"),
    [
        (response(), True),
        (response(b"hi", "Connection: keep-alive"), True),
        (response(b"hi", "Connection: close"), False),
        (response(b"hi", "connection: X, Close"), False),
        (response(version="1.0"), False),
        (response(b"hi", "Connection: keep-alive", version="1.0"), True),
    ],
)
def test_a_connection_is_kept_only_where_the_peer_keeps_it(answer: bytes, reusable: bool) -> None:
    wire = Wire().ask().feed(answer)
    assert (wire.answer.outcome, wire.answer.body, wire.reusable) == ("ok", b"hi", reusable)
    assert wire.pipe.aborted != reusable


def test_a_body_that_nobody_wants_is_not_kept() -> None:
    wire = Wire().ask(want_body=False).feed(response(b"hello"))
    assert (wire.answer.outcome, wire.answer.body) == ("ok", b"")


# --- What is no answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/9 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        unsized(b"", "No colon"),
        unsized(b"", ": nameless"),
        unsized(b"", "Bad name: x"),
        unsized(b"", "X: a\0b"),
        unsized(b"", "Content-Length: five"),
        unsized(b"", "Content-Length: -1"),
        unsized(b"hi", "Content-Length: 2", "Content-Length: 3"),
        unsized(b"0\r\n\r\n", "Content-Length: 2", "Transfer-Encoding: chunked"),
        unsized(b"zz\r\nhi\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        unsized(b"2\r\nhiX", "Transfer-Encoding: chunked"),
        unsized(b"-1\r\n", "Transfer-Encoding: chunked"),
        unsized(b"fffffffffffffffff\r\n", "Transfer-Encoding: chunked"),
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    ],
)
def test_what_is_not_http_is_malformed_however_it_is_cut(bad: bytes) -> None:
    for pieces in ([bad], [bad[i : i + 1] for i in range(len(bad))]):
        wire = Wire().ask().feed(*pieces)
        assert (wire.answer.outcome, wire.reusable, wire.pipe.aborted) == ("malformed", False, True)
        wire.end()
        assert len(wire.answers) == 1


def test_a_second_answer_to_one_request_is_malformed() -> None:
    wire = Wire().ask().feed(response() + response())
    assert (wire.answer.outcome, wire.reusable) == ("malformed", False)


def test_garbage_behind_an_answer_does_not_change_it_but_ends_the_connection() -> None:
    wire = Wire().ask().feed(response(b"hi") + b"garbage")
    assert (wire.answer.outcome, wire.answer.body, wire.reusable) == ("ok", b"hi", False)
    assert wire.pipe.aborted


@pytest.mark.parametrize("data", [response(), b"garbage", b"\r\n"])
def test_bytes_that_nobody_asked_for_end_the_connection_and_resume_nobody(data: bytes) -> None:
    wire = Wire().ask().feed(response())
    wire.feed(data)
    assert wire.outcomes == ["ok"]
    assert not wire.reusable
    assert wire.pipe.aborted


@pytest.mark.parametrize(
    "part",
    [b"H", b"HTTP/1.1 200 OK\r\n", response(b"hello")[:-1], chunked(b"hello")[:-2], chunked(b"hello")[:-9]],
)
def test_a_connection_that_closes_within_an_answer_makes_it_truncated(part: bytes) -> None:
    wire = Wire().ask().feed(part).end()
    assert (wire.answer.outcome, wire.reusable) == ("truncated", False)


def test_a_connection_that_closes_before_any_answer_is_a_reset() -> None:
    wire = Wire().ask().end()
    assert (wire.answer.outcome, wire.answer.status, wire.reusable) == ("reset", 0, False)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\n", response(b"hello")[:-1], unsized(b"hello")])
def test_a_reset_is_a_reset_at_any_time(part: bytes) -> None:
    wire = Wire().ask()
    if part:
        wire.feed(part)
    wire.end(ConnectionResetError())
    assert wire.answer.outcome == "reset"


def test_an_error_of_the_encryption_is_told_apart() -> None:
    assert Wire().ask().end(ssl.SSLError()).answer.outcome == "tls"


@pytest.mark.parametrize("error", [None, ConnectionResetError(), ssl.SSLError()])
def test_an_idle_connection_may_go_without_anybody_minding(error: BaseException | None) -> None:
    wire = Wire().ask().feed(response()).end(error)
    assert wire.outcomes == ["ok"]
    assert not wire.reusable


def test_nothing_of_the_answer_before_stands_in_a_failure() -> None:
    wire = Wire().ask().feed(response(b"hello", "Set-Cookie: a=1")).ask().end()
    assert wire.answers[1][:4] == ("reset", 0, {}, b"")


def test_a_part_of_an_answer_is_told_with_its_failure() -> None:
    wire = Wire().ask().feed(response(b"hello", status="503 No")[:-1]).end()
    assert (wire.answer.outcome, wire.answer.status, wire.answer.headers) == (
        "truncated", 503, {b"content-length": b"5"}
    )  # fmt: skip


@pytest.mark.parametrize("line", [b"X-A: %b\r\n" % (b"a" * 90), b"X-A: a\r\n"])
def test_endless_headers_are_too_large(line: bytes) -> None:
    wire = Wire().ask().feed(b"HTTP/1.1 200 OK\r\n", *[line] * 1000)
    assert (wire.answer.outcome, wire.reusable, wire.pipe.aborted) == ("too_large", False, True)


@pytest.mark.parametrize("interim", [b"", unsized(b"", status="103 Early Hints") * 2])
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (response(b"hi", "X-Huge: " + "x" * (HEADER_LIMIT - 500)), "ok"),
        (response(b"hi", "X-Huge: " + "x" * HEADER_LIMIT), "too_large"),
        (response(b"x" * (BODY_LIMIT - 500)), "ok"),
        (response(b"x" * (BODY_LIMIT + 1)), "too_large"),
    ],
)
def test_what_is_too_large_is_so_however_few_reads_it_took(
    answer: bytes, outcome: str, interim: bytes
) -> None:
    for pieces in ([interim + answer], [interim + answer[:-1], answer[-1:]]):
        wire = Wire().ask().feed(*pieces)
        assert wire.answer.outcome == outcome
        assert wire.reusable == (outcome == "ok")


def test_endless_interim_answers_are_too_large() -> None:
    wire = Wire().ask().feed(*[unsized(b"", status="100 Continue")] * 1000)
    assert wire.answer.outcome == "too_large"


@pytest.mark.parametrize("want_body", [True, False])
@pytest.mark.parametrize("head", [unsized(b""), unsized(b"", "Content-Length: 99999999")])
def test_endless_bodies_are_too_large(head: bytes, want_body: bool) -> None:
    wire = Wire().ask(want_body=want_body).feed(head, *[b"x" * 1000] * 200)
    assert (wire.answer.outcome, wire.reusable, wire.pipe.aborted) == ("too_large", False, True)


def test_endless_chunks_are_too_large_however_small() -> None:
    wire = (
        Wire()
        .ask(want_body=False)
        .feed(unsized(b"", "Transfer-Encoding: chunked"), *[b"1\r\nx\r\n" * 100] * 400)
    )
    assert wire.answer.outcome == "too_large"


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.TOO_LARGE])
def test_giving_up_ends_the_exchange_once_and_for_all(outcome: Outcome) -> None:
    wire = Wire().ask().feed(b"HTTP/1.1 200 OK\r\n")
    wire.connection.give_up(outcome)
    wire.end()
    assert (wire.outcomes, wire.reusable) == ([outcome.label], False)


# --- Sending --------------------------------------------------------------------------------------


def test_a_request_that_does_not_fit_goes_out_in_order_and_is_sent_when_its_last_byte_is() -> None:
    wire = Wire()
    wire.pipe.accepts = 5
    wire.ask()
    assert (wire.pipe.sent, wire.pipe.pending) == (REQUEST[:5], REQUEST[5:])
    before = wire.connection.sent
    wire.pipe.pending = b""
    wire.connection.resume_writing()
    assert wire.connection.sent > before
    wire.feed(response())
    assert (wire.answer.outcome, wire.reusable) == ("ok", True)
    begin, sent, first, last = wire.times[0]
    assert begin <= sent <= first <= last


def test_a_socket_that_takes_nothing_gets_the_whole_request_later() -> None:
    wire = Wire()
    wire.pipe.accepts = BlockingIOError()
    wire.ask()
    assert wire.pipe.pending == REQUEST


def test_what_the_transport_takes_at_once_after_all_is_sent() -> None:
    wire = Wire()
    wire.pipe.accepts = 5
    wire.pipe.write = lambda data: None  # type: ignore[method-assign]
    wire.ask().feed(response())
    assert (wire.answer.outcome, wire.reusable) == ("ok", True)


def test_an_answer_that_comes_before_the_request_had_gone_out_ends_the_connection() -> None:
    # The rest of the request would go out between the bytes of the next one.
    wire = Wire()
    wire.pipe.accepts = 5
    wire.ask().feed(response(status="413 Too Large"))
    assert (wire.answer.outcome, wire.answer.status, wire.reusable) == ("ok", 413, False)
    assert wire.pipe.aborted
    begin, sent, first, last = wire.times[0]
    assert begin <= sent == first <= last


@pytest.mark.parametrize("error", [BrokenPipeError(), ConnectionResetError()])
def test_a_peer_that_is_gone_when_the_request_is_sent_is_a_reset_and_nothing_is_sent_twice(
    error: OSError,
) -> None:
    wire = Wire().ask().feed(response())
    wire.pipe.accepts = error
    wire.ask()
    assert wire.pipe.aborted
    assert wire.outcomes == ["ok"]
    wire.end(error)
    assert wire.outcomes == ["ok", "reset"]
    assert wire.pipe.sent == REQUEST


def test_over_tls_requests_go_through_the_transport() -> None:
    wire = Wire()
    wire.connection.sock_send = None
    wire.ask().feed(response())
    assert (wire.pipe.sent, wire.pipe.pending, wire.answer.outcome) == (b"", REQUEST, "ok")


# --- The VU and the clock -------------------------------------------------------------------------


def test_a_vu_may_ask_again_while_it_is_resumed() -> None:
    wire = Wire()
    answered = wire.connection.resume

    def again(given: Connection) -> None:
        answered(given)
        if len(wire.answers) < 3:
            wire.ask()

    wire.connection.resume = again
    wire.ask().feed(response(b"1")).feed(response(b"2")).feed(response(b"3"))
    assert [answer.body for answer in wire.answers] == [b"1", b"2", b"3"]
    assert wire.reusable


def test_an_error_of_our_own_is_told_and_the_loop_goes_on() -> None:
    wire = Wire()
    wire.connection.resume = lambda _: 1 // 0
    wire.ask().feed(response())
    assert [type(fault) for fault in wire.faults] == [ZeroDivisionError]


def test_a_vu_whose_life_has_ended_is_no_error() -> None:
    wire = Wire()
    wire.connection.resume = lambda _: next(iter(()))
    wire.ask().feed(response())
    assert wire.faults == []


def test_an_answer_looks_at_the_clock_so_that_starts_are_not_kept_waiting() -> None:
    wire = Wire()
    started: list[int] = []
    wire.clock.at(1, started.append)
    wire.ask().feed(response())
    assert started == [1]


def test_a_connection_that_is_gone_holds_nothing_that_holds_it() -> None:
    wire = Wire().ask().feed(response()).end()
    assert wire.connection.transport is None
    assert wire.connection.sock_send is None
    assert not hasattr(wire.connection, "parser")


# --- However it is cut ----------------------------------------------------------------------------

ANSWERS = [
    response(b"hello", "X-A: b", "Set-Cookie: a=1"),
    response(b""),
    response(b"x" * 300, "Connection: close", "Content-Encoding: gzip"),
    chunked(b"hel", b"lo" * 100, b"!", trailer=b"X-Sum: 1\r\n"),
    unsized(b"", status="204 No Content"),
    unsized(b"", "Content-Length: 7", status="304 Not Modified"),
    unsized(b"", status="100 Continue") + response(b"hi", "Content-Encoding: gzip"),
    unsized(b"", "Link: </a>", status="103 Early Hints") + chunked(b"hi"),
    unsized(b"until the end\r\n\r\n"),
    response(b"\r\n\r\nset-cookie: no\r\n\r\n"),
    response(version="1.0"),
]


def taken(pieces: list[bytes], *, head: bool = False) -> tuple[Answer, bool]:
    wire = Wire().ask(head=head).feed(*pieces)
    reusable = wire.reusable
    if not wire.answers:
        wire.end()
    return wire.answer, reusable


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@pytest.mark.parametrize("data", ANSWERS)
def test_an_answer_is_the_same_wherever_it_is_cut_in_two(data: bytes) -> None:
    whole = taken([data])
    assert whole[0].outcome == "ok"
    for cut in range(1, len(data)):
        assert taken([data[:cut], data[cut:]]) == whole
    assert taken([data[i : i + 1] for i in range(len(data))]) == whole


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 1000), max_size=12))
def test_an_answer_is_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert taken(pieces_of(data, cuts)) == taken([data])


@given(
    st.lists(st.integers(0, 1000), max_size=12),
    st.sampled_from(["Content-Length: 9", "Transfer-Encoding: chunked"]),
)
def test_an_answer_to_head_is_the_same_however_it_is_cut(cuts: list[int], line: str) -> None:
    data = unsized(b"", line, status="200 OK")
    assert taken(pieces_of(data, cuts), head=True) == taken([data], head=True)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), st.booleans())
@example([b"HTTP/1.1 200 OK\r\n\r\n", b"x"], True)
def test_whatever_a_peer_sends_there_is_one_answer_to_one_request(pieces: list[bytes], head: bool) -> None:
    wire = Wire().ask(head=head).feed(*pieces)
    wire.end()
    assert len(wire.answers) == 1
    assert wire.faults == []
    assert not wire.reusable


@given(st.sampled_from(ANSWERS), st.integers(0, 1000), st.binary(min_size=1, max_size=3))
def test_a_damaged_answer_is_one_answer_too(data: bytes, place: int, damage: bytes) -> None:
    at = place % len(data)
    wire = Wire().ask().feed(data[:at] + damage + data[at + 1 :])
    wire.end()
    assert len(wire.answers) == 1
    assert wire.faults == []
