"""What the tests of measuring and judging share: rows, seconds and a small plan."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoload.measure.figures import Figures
from ecoload.measure.interval import Interval, Tick
from ecoload.measure.outcome import Outcome
from ecoload.measure.recorder import Recorder
from ecoload.plan import (
    Body,
    BodyKind,
    Branch,
    Capture,
    Check,
    Choose,
    Condition,
    ConstantArrivalRate,
    Expect,
    Load,
    NamespaceAt,
    Object,
    OnExhausted,
    Origin,
    Part,
    Persistence,
    Plan,
    Probe,
    ProtocolHeader,
    Ref,
    Route,
    Scenario,
    ServiceLevel,
    Step,
    Text,
    Think,
)

SECOND = 1_000_000_000


def rows(due_ns: Any, response_ns: Any) -> NDArray[np.int64]:
    """Samples due at `due_ns` that took `response_ns`, sent at once, answered in one piece."""
    due, response = np.broadcast_arrays(np.asarray(due_ns, np.int64), np.asarray(response_ns, np.int64))
    last = due + response
    return np.stack([due, due, due, last, last], axis=-1).reshape(-1, 5)


def tick(second: float, **counters: Any) -> Tick:
    return Tick(at_ns=round(second * SECOND), **counters)


def second_of(
    recorder: Recorder,
    end_s: float,
    response_ms: Any = (),
    *,
    errors: int = 0,
    route: int = 0,
    **counters: Any,
) -> Interval:
    """Closes a second that held these `ok` response times and so many `http_error`s."""
    due = round((end_s - 1) * SECOND)
    ms = np.asarray(response_ms, np.float64)
    if ms.size:
        recorder.add_samples(route, Outcome.OK, rows(due, (ms * 1e6).astype(np.int64)))
    if errors:
        recorder.add_samples(route, Outcome.HTTP_ERROR, rows(due, np.full(errors, 1_000_000)))
    return recorder.close_second(tick(end_s, **counters))


def figures_of(
    response_ms: Any = (), *, errors: int = 0, seconds: int = 10, plan: Plan | None = None, **counters: Any
) -> Figures:
    """Figures of a run whose every second held the same."""
    recorder = Recorder.for_plan(plan or a_plan())
    for second in range(1, seconds + 1):
        second_of(recorder, second, response_ms, errors=errors, **counters)
    return recorder.figures()


def a_plan(**changes: Any) -> Plan:
    """A plan with one of everything that reading it back must understand."""
    step = Step(
        route=0,
        origin=0,
        method="POST",
        path="/v1/events",
        query=(("at", Text(("x-", Ref(("data", "kind"))))),),
        headers=(("Idempotency-Key", Ref(("event_id",))),),
        body=Body(BodyKind.JSON, Object((("event_id", Ref(("event_id",))), ("n", 1))), "application/json"),
        check=Check(status=(202,), json=(("$.accepted", Expect("eq", True)),)),
        captures=(Capture("sequence", "json", "$.sequence"),),
        think=Think(SECOND, 2 * SECOND),
    )
    form = dataclasses.replace(
        step,
        route=1,
        body=Body(BodyKind.FORM, (("a", "b"), ("c", Ref(("vu",)))), "application/x-www-form-urlencoded"),
    )
    multipart = dataclasses.replace(
        step, body=Body(BodyKind.MULTIPART, (Part("file", file="a.txt"),), "multipart/form-data")
    )
    plan = Plan(
        tool_version="0.1.0",
        protocol=ProtocolHeader(assigned_app="A8"),
        app="a2",
        profile="burst",
        seed=7,
        duration_scale=1.0,
        origins=(Origin("a2", "http", "127.0.0.1", 8000, embedded=True, addresses=("127.0.0.1",)),),
        routes=(
            Route(
                "a2",
                "ingest",
                "POST",
                "/v1/events",
                "write",
                NamespaceAt("json", "namespace"),
                ServiceLevel(p95_ms=125, error_rate=0.01),
            ),
            Route("a2", "count", "GET", "/v1/count", "none"),
        ),
        scenarios=(
            Scenario(
                "a2",
                lets=(("event_id", Ref(("uuid",))),),
                steps=(step, Choose((Branch(1.0, (form,)), Branch(2.0, (multipart,))))),
            ),
        ),
        loads=(
            Load(
                "burst",
                0,
                "burst",
                ConstantArrivalRate(100.0, 120 * SECOND, 10, 100, on_exhausted=OnExhausted.QUEUE),
            ),
        ),
        env=(("A", "b"),),
        abort_when=(Condition("error_rate > 0.10 for 3s", "error_rate", ">", 0.1, for_ns=3 * SECOND),),
        persistence=Persistence(0, Probe(0, "/v1/count", "$.count")),
        spec_hash="ab" * 32,
    )
    return dataclasses.replace(plan, **changes)
