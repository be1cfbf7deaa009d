"""What the engine's tests stand on: a clock that is moved by hand, and a transport that follows a script.

Rules
-----
- No socket, no sleep, no tolerance: what the engine does at which nanosecond is a fact.
- A run is driven by the real `Worker`; times in what comes out count from the schedule's zero.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ecoload.engine.clock import NEVER, Agenda
from ecoload.engine.program import VU, CompiledStep
from ecoload.engine.worker import LEAD_NS, Job, Worker
from ecoload.measure.frames import Decoder, Frame, split_key
from ecoload.measure.outcome import Outcome
from ecoload.plan import (
    Choose,
    ConstantVUs,
    Executor,
    Load,
    NamespaceAt,
    Origin,
    Plan,
    ProtocolHeader,
    Route,
    Scenario,
    SharedIterations,
    Step,
)

MS = 1_000_000
S = 1_000_000_000
SLOT = 1 << 20
"""What a pause on the wheel may be late by."""
T0 = 1 << 40
"""Where schedules begin on the manual clock (a run without a setup); the start of a wheel's slot."""


class ManualClock(Agenda):
    """Time stands still until somebody moves it."""

    def __init__(self, now: int = T0 - LEAD_NS) -> None:
        super().__init__()
        self._now = now

    def now(self) -> int:
        return self._now

    def advance_to(self, ns: int) -> None:
        """Moves on to `ns`; whatever is due on the way happens at its own time."""
        while self.next_due <= ns:
            self._now = max(self._now, self.next_due)
            self.fire()
        self._now = ns

    def _arm(self, due: int) -> None:
        """Nobody needs to be woken."""


# --- The scripted transport -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Request:
    """A request as it would have gone out. `at` counts from the manual clock's `T0`."""

    at: int
    vu: int
    origin: int
    data: bytes

    @property
    def line(self) -> str:
        return self.data.partition(b"\r\n")[0].decode()

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name; several of one name would be a fault and fail the test."""
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        pairs = [line.split(": ", 1) for line in lines]
        found = {name.lower(): value for name, value in pairs}
        assert len(found) == len(pairs), lines
        return found

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


@dataclasses.dataclass
class Reply:
    """What the script answers, and how long that takes. It is an `Answer` once times are filled in."""

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    delay_ns: int = 10 * MS
    outcome: int = Outcome.OK
    begin: int = 0
    sent: int = 0
    first: int = 0
    last: int = 0
    has_cookies: bool = dataclasses.field(init=False)
    is_coded: bool = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        names = {name.lower() for name, _ in self.headers}
        self.has_cookies, self.is_coded = b"set-cookie" in names, b"content-encoding" in names


OK_REPLY = Reply()
NO_REPLY = Reply(delay_ns=NEVER)
Script = Callable[[Request], Reply] | Reply


class ScriptedTransport:
    """Answers by a script. `requests` is everything that was sent, `released` the VUs that are gone."""

    def __init__(self, clock: ManualClock, script: Script, fail: Callable[[BaseException], None]) -> None:
        self._clock, self._fail = clock, fail
        self._script: Callable[[Request], Reply] = script if callable(script) else lambda _: script
        self._in_flight: dict[VU, Reply] = {}
        self.requests: list[Request] = []
        self.released: list[int] = []
        self.opened = self.open_connections = 0

    def send(self, vu: VU, step: CompiledStep, origin: int, data: bytes) -> None:
        assert vu not in self._in_flight, "one request at a time"
        now = self._clock.now()
        self.requests.append(Request(now - T0, vu.number, origin, data))
        written = self._script(self.requests[-1])
        reply = self._in_flight[vu] = dataclasses.replace(written, begin=now, sent=now)
        if reply.delay_ns < NEVER:
            self._clock.at(now + reply.delay_ns, lambda at: self._deliver(vu, reply, at))

    def cancel(self, vu: VU) -> Reply | None:
        return self._in_flight.pop(vu, None)

    def release(self, vu: VU) -> None:
        assert vu not in self._in_flight, "a VU that is gone waits for nothing"
        self.released.append(vu.number)

    def _deliver(self, vu: VU, reply: Reply, at: int) -> None:
        if self._in_flight.get(vu) is not reply:
            return
        del self._in_flight[vu]
        reply.first = reply.last = at
        try:
            vu.resume(reply)
        except StopIteration:
            pass
        except Exception as error:
            self._fail(error)


# --- Small plans ----------------------------------------------------------------------------------

APP = Origin("app", "http", "app.test", 80, environment="staging", writes="perf_test")
OTHER = Origin("other", "http", "other.test", 8080, environment="staging", writes="perf_test")
READ_ONLY = Origin("live", "https", "live.test", 443, environment="staging")
GET, GET_2, POST, OTHER_GET, LIVE_GET = range(5)
ROUTES = (
    Route("app", "get", "GET", "/", "none"),
    Route("app", "second", "GET", "/second", "none"),
    Route("app", "post", "POST", "/events", "write", NamespaceAt("json", "namespace")),
    Route("other", "get", "GET", "/", "none"),
    Route("live", "get", "GET", "/", "none"),
)
ONCE = SharedIterations(vus=1, iterations=1)


def get(path: Any = "/", **changes: Any) -> Step:
    """A step that reads."""
    return dataclasses.replace(Step(GET, 0, "GET", path), **changes)


def make_plan(
    *steps: Step | Choose,
    executor: Executor = ONCE,
    scenario: dict[str, Any] | None = None,
    load: dict[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    """One scenario under one executor; without steps a single GET of `/`. `scenario` and `load`
    change those two, anything else the plan."""
    one = dataclasses.replace(Scenario("main", steps=steps or (get(),)), **(scenario or {}))
    under = dataclasses.replace(Load("load", 0, "word", executor, graceful_stop_ns=0), **(load or {}))
    plan = Plan("1", ProtocolHeader(), "app", "p", 1, 1.0, (APP, OTHER, READ_ONLY), ROUTES, (one,), (under,))
    return dataclasses.replace(plan, **changes)


def for_a_while(vus: int = 1, duration_ns: int = S) -> Executor:
    return ConstantVUs(vus, duration_ns)


# --- Runs -----------------------------------------------------------------------------------------


class Sample(NamedTuple):
    """A row of SAMPLES; times count from the schedule's zero."""

    route: int
    outcome: Outcome
    due: int
    begin: int
    sent: int
    first: int
    last: int

    @property
    def response(self) -> int:
        return self.last - self.due


@dataclasses.dataclass
class Run:
    """What a worker has said and done, decoded."""

    worker: Worker
    transport: ScriptedTransport
    samples: list[Sample]
    ticks: list[dict[str, Any]]
    lateness: list[int]
    logs: list[str]
    end: dict[str, Any]

    @property
    def last(self) -> dict[str, Any]:
        """The counters at the end."""
        return self.ticks[-1]

    @property
    def requests(self) -> list[Request]:
        return self.transport.requests

    @property
    def starts(self) -> list[int]:
        return [request.at for request in self.requests]

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]

    def outcomes(self) -> list[str]:
        """In the order of their due times."""
        return [sample.outcome.label for sample in self.samples]

    def assert_accounted(self) -> None:
        """Nothing is lost and nothing counted twice."""
        last = self.last
        assert last["vus"] == last["vus_active"] == last["queued"] == 0
        assert last["iterations_started"] == last["iterations"] + last["interrupted_iterations"]
        gone = sorted(self.transport.released)
        assert gone == sorted(set(gone)) or 0 in gone, "a VU goes once"


def run_plan(
    plan: Plan,
    script: Script = OK_REPLY,
    events: Sequence[tuple[int, Callable[[Worker], object]]] = (),
    *,
    workspace: Path = Path(),
    secrets: dict[str, str] | None = None,
    token: str = "",
) -> Run:
    """Drives a worker to its end. `events` are `(ns from T0, what somebody does to the worker then)`."""
    clock, frames, done = ManualClock(), bytearray(), []
    worker = Worker(
        Job(plan, "run-1", workspace, secrets or {}, token),
        clock,
        frames.extend,
        lambda made: ScriptedTransport(clock, script, made.fail),
        lambda: done.append(True),
    )
    for at, act in events:
        clock.at(T0 + at, lambda _, act=act: act(worker))  # type: ignore[misc]
    worker.start()
    while not done:
        assert clock.next_due < NEVER, "the run never ends"
        clock.advance_to(clock.next_due)
    # Nothing goes on behind the end.
    said, sent = len(frames), len(worker.transport.requests)
    clock.advance_to(clock.now() + 100 * S)
    assert (len(frames), len(worker.transport.requests), len(done)) == (said, sent, 1)
    return _decoded(worker, bytes(frames))


def _decoded(worker: Worker, frames: bytes) -> Run:
    run = Run(worker, worker.transport, [], [], [], [], {})
    t0 = T0
    for kind, key, payload in Decoder().feed(frames):
        if kind is Frame.START:
            t0 = orjson.loads(payload)["t0"]
        elif kind is Frame.SAMPLES:
            route, outcome = split_key(key)
            for row in struct.iter_unpack("<5q", payload):
                run.samples.append(Sample(route, Outcome(outcome), *(at - t0 for at in row)))
        elif kind is Frame.LATENESS:
            run.lateness += [value for (value,) in struct.iter_unpack("<q", payload)]
        elif kind is Frame.TICK:
            run.ticks.append(orjson.loads(payload))
        elif kind is Frame.LOG:
            run.logs.append(orjson.loads(payload)["message"])
        elif kind is Frame.END:
            assert not run.end, "one END"
            run.end = orjson.loads(payload)
    run.samples.sort(key=lambda sample: (sample.due, sample.last))
    return run
