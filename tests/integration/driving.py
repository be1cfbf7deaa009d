"""Runs small plans for real: a generator process, real sockets, the whole way to a result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ecoload.measure.interval import Interval
from ecoload.plan import (
    Executor,
    Load,
    Origin,
    PerVUIterations,
    Plan,
    ProtocolHeader,
    Route,
    Scenario,
    ServiceLevel,
    Step,
)
from ecoload.run import Finished, Request, run_once

SECOND = 1_000_000_000


class Silent:
    """Watches a run without a word."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None:
        self.folder = folder

    def second(self, interval: Interval) -> None:
        self.intervals.append(interval)

    def end(self) -> None:
        pass


def origin_of(url: str, **changes: Any) -> Origin:
    parts = urlsplit(url)
    assert parts.hostname is not None
    scheme = "https" if parts.scheme == "https" else "http"
    port = parts.port or 80
    return Origin("app", scheme, parts.hostname, port, environment="staging", **changes)


def step_of(route: int, path: str, **changes: Any) -> Step:
    return Step(route=route, origin=0, path=path, **{"method": "GET", "timeout_ns": SECOND} | changes)


def plan_of(
    url: str,
    steps: Sequence[Step],
    executor: Executor | None = None,
    *,
    slo: ServiceLevel | None = None,
    origin: dict[str, Any] | None = None,
    load: dict[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    """A plan of one app at `url`, one scenario of `steps` and one load. Each step's path, as far as the
    first `?`, is declared as a route named after it."""
    declared = {step.route: step for step in steps}
    routes = tuple(
        Route("app", str(step.path).partition("?")[0].strip("/") or "root", step.method,
              str(step.path).partition("?")[0], "none", slo=slo or ServiceLevel(error_rate=0.01))
        for _, step in sorted(declared.items())
    )  # fmt: skip
    executor = executor or PerVUIterations(1, 1, 60 * SECOND)
    options = {"graceful_stop_ns": SECOND, **(load or {})}
    changes = {"approval_over_vus": 10_000} | changes
    return Plan(
        tool_version="test",
        protocol=ProtocolHeader(),
        app="app",
        profile="test",
        seed=1,
        duration_scale=1.0,
        origins=(origin_of(url, **(origin or {})),),
        routes=routes,
        scenarios=(Scenario("app", steps=tuple(steps)),),
        loads=(Load("app", 0, "test", executor, **options),),
        **changes,
    )


def gets(paths: Sequence[str], **changes: Any) -> list[Step]:
    """A GET of each path, in order, each a route of its own."""
    return [step_of(index, path, **changes) for index, path in enumerate(paths)]


def run(plan: Plan, tmp_path: Path, view: Silent | None = None) -> Finished:
    return run_once(Request(plan, tmp_path, tmp_path / "runs"), view or Silent())


def outcomes(finished: Finished) -> dict[str, dict[str, int]]:
    """What became of the requests of each route."""
    return {route.route: dict(route.outcomes) for route in finished.result.routes}
