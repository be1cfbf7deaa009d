"""What one run of one tool measured, in the form in which two tools are compared.

Rules
-----
- Latencies are k6's `http_req_duration` of expected responses, our service time of `ok` requests.
- Percentiles are taken as k6 takes them: interpolated between the two values around the place. Of few values
  the P99 would differ by the rule alone.
- Errors are failed requests; what was never sent stands among the dropped iterations, as in k6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ecoload.measure.figures import Figures
from ecoload.measure.histogram import Histogram, highest_in, lowest_in
from ecoload.measure.k6_summary import K6Route, K6Summary
from ecoload.measure.outcome import Outcome
from ecoload.measure.result import RouteResult, RunResult

SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
CHECKED = (Outcome.CHECK_FAILED.label, Outcome.CAPTURE_FAILED.label)


class Tool(StrEnum):
    ECOLOAD = "ecoload"
    K6 = "k6"


@dataclass(frozen=True, slots=True)
class RouteRun:
    """One route in one run. Latencies in ms, None where nothing was ok; `errors` None: not told."""

    route: str
    requests: int
    errors: int | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    mean: float | None


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One run of one tool. `round` counts from 1; `folder` is its place in the cross-check's own.
    `failed_checks` counts checks in k6 and requests in ecoload. `cpu_share` is of one core, `connections`
    those that were opened, `validity` the run's own, `others_cpu_share` what other processes used of all
    cores meanwhile; None: not told. `acknowledged` and `persisted` are those of the plan's read-back,
    `server_count` the requests of this run that the target says it saw."""

    tool: Tool
    round: int
    folder: str
    run_id: str
    started_at: str
    duration_s: float
    requests: int
    iterations: int
    dropped_iterations: int
    interrupted_iterations: int | None
    failed_checks: int
    vus_max: int
    routes: tuple[RouteRun, ...]
    connections: int | None = None
    cpu_share: float | None = None
    late_start_p99_ms: float | None = None
    validity: str | None = None
    validity_reasons: tuple[str, ...] = ()
    acknowledged: int | None = None
    persisted: int | None = None
    server_count: int | None = None
    others_cpu_share: float | None = None

    def route(self, name: str) -> RouteRun | None:
        """The route of that name, where it was asked."""
        return next((route for route in self.routes if route.route == name), None)


@dataclass(frozen=True, slots=True)
class Witness:
    """What the target says of a run: requests it saw, writes it holds; None: it does not tell."""

    server_count: int | None = None
    persisted: int | None = None


def of_ecoload(
    result: RunResult, figures: Figures, number: int, folder: str, witness: Witness, acknowledging: str = ""
) -> ToolRun:
    """A run of ours. `figures` are those of its folder, `acknowledging` the route whose `ok` answers say that
    a write is kept."""
    generator = result.generator
    services = {route.route: route.ok_service for route in figures.routes}
    routes = tuple(_our_route(route, services[route.route]) for route in result.routes)
    ok = {route.route: route.outcomes.get(Outcome.OK.label, 0) for route in result.routes}
    return ToolRun(
        tool=Tool.ECOLOAD,
        round=number,
        folder=folder,
        run_id=result.run_id,
        started_at=result.started_at,
        duration_s=result.duration_s or 0.0,
        requests=result.requests,
        iterations=result.iterations,
        dropped_iterations=result.dropped_iterations + (result.queued_at_end or 0),
        interrupted_iterations=result.interrupted_iterations,
        failed_checks=sum(route.outcomes.get(name, 0) for route in result.routes for name in CHECKED),
        vus_max=result.vus_max or 0,
        routes=routes,
        connections=sum(connection.opened for connection in result.connections),
        cpu_share=generator.cpu_share if generator else None,
        late_start_p99_ms=generator.late_start_p99_ms if generator else None,
        validity=result.validity.status.value,
        validity_reasons=result.validity.reasons,
        acknowledged=ok.get(acknowledging, 0) if acknowledging else None,
        persisted=witness.persisted,
        server_count=witness.server_count,
    )


def of_k6(
    summary: K6Summary,
    number: int,
    folder: str,
    witness: Witness,
    acknowledging: str = "",
    cpu_share: float | None = None,
) -> ToolRun:
    """A run of k6, from its summary."""
    ok = {route.route: (route.requests or 0) - (route.errors or 0) for route in summary.routes}
    return ToolRun(
        tool=Tool.K6,
        round=number,
        folder=folder,
        run_id=summary.run_id,
        started_at=summary.started_at,
        duration_s=summary.duration_s or 0.0,
        requests=summary.requests,
        iterations=summary.iterations,
        dropped_iterations=summary.dropped_iterations,
        interrupted_iterations=None,
        failed_checks=summary.checks_failed,
        vus_max=summary.vus_max or 0,
        routes=tuple(_their_route(route) for route in summary.routes),
        cpu_share=cpu_share,
        acknowledged=ok.get(acknowledging, 0) if acknowledging else None,
        persisted=witness.persisted,
        server_count=witness.server_count,
    )


def interpolated_us(histogram: Histogram, shares: Sequence[float]) -> list[float | None]:
    """Percentiles in µs as numpy's `linear` and k6 take them; None where there is no value."""
    if not histogram.total:
        return [None] * len(shares)
    used = np.flatnonzero(histogram.counts)
    middles = np.clip((lowest_in(used) + highest_in(used)) / 2, histogram.minimum, histogram.maximum)
    running = np.cumsum(histogram.counts[used])

    def value(rank: int) -> float:
        return float(middles[np.searchsorted(running, rank, side="right")])

    found: list[float | None] = []
    for share in shares:
        place = share * (histogram.total - 1)
        below, above = value(math.floor(place)), value(math.ceil(place))
        found.append(below + (above - below) * (place - math.floor(place)))
    return found


def _our_route(route: RouteResult, service: Histogram) -> RouteRun:
    p50, p90, p95, p99 = (_ms(us) for us in interpolated_us(service, tuple(SHARES.values())))
    failed = (route.errors or 0) - (route.unsent or 0)
    return RouteRun(route.route, route.requests or 0, failed, p50, p90, p95, p99, route.service_ms.mean)


def _their_route(route: K6Route) -> RouteRun:
    took = route.service_ms
    return RouteRun(
        route.route, route.requests or 0, route.errors, took.p50, took.p90, took.p95, took.p99, took.mean
    )


def _ms(us: float | None) -> float | None:
    return None if us is None else round(us / 1000, 4)
