"""What a run measured, before anyone judges it.

Rules
-----
- Counts leave the warm-up out, except those that say `whole`: proofs against the target's own
  counts need every request.
- `requests` were sent and count; `unsent` were owed and never sent; both stand under an error rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecoload.measure.blocks import Block
from ecoload.measure.histogram import Histogram, merged
from ecoload.measure.interval import Tick
from ecoload.measure.outcome import Outcome

PHASES = ("sending", "waiting", "receiving")
CONNECTION_PHASES = ("blocked", "connecting", "tls")


@dataclass(frozen=True, slots=True)
class Slow:
    """One of the slowest requests: when it was due (s from the schedule's zero), and where its
    response time went (ms). `delay_ms` is from due to the first byte sent, connecting included."""

    route: str
    outcome: Outcome
    due_s: float
    response_ms: float
    delay_ms: float
    sending_ms: float
    waiting_ms: float
    receiving_ms: float


@dataclass(frozen=True, slots=True)
class RouteFigures:
    """One route. Histograms are of µs; `response` and `service` by outcome; `phases` of `ok` requests
    (`PHASES`; empty where they could not be kept); `blocks` for intervals, `block_s` seconds each."""

    route: str
    whole: Mapping[Outcome, int]
    unsent: int
    response: Mapping[Outcome, Histogram]
    service: Mapping[Outcome, Histogram]
    phases: Mapping[str, Histogram]
    blocks: tuple[Block, ...]
    slowest: tuple[Slow, ...]
    block_s: int = 1

    @property
    def outcomes(self) -> dict[Outcome, int]:
        return {outcome: cell.total for outcome, cell in sorted(self.response.items())}

    @property
    def requests(self) -> int:
        return sum(cell.total for outcome, cell in self.response.items() if outcome.is_counted)

    @property
    def errors(self) -> int:
        failed = sum(cell.total for outcome, cell in self.response.items() if outcome.is_error)
        return failed + self.unsent

    @property
    def error_rate(self) -> float | None:
        """Share of errors among all that was owed; None where nothing was."""
        owed = self.requests + self.unsent
        return self.errors / owed if owed else None

    @property
    def ok_response(self) -> Histogram:
        return self.response.get(Outcome.OK) or Histogram()

    @property
    def ok_service(self) -> Histogram:
        return self.service.get(Outcome.OK) or Histogram()

    def all_response(self) -> Histogram:
        """Response times over all outcomes that count."""
        return merged(cell for outcome, cell in self.response.items() if outcome.is_counted)


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections opened to one origin (its app's name), with the µs of their phases."""

    app: str
    opened: int
    phases: Mapping[str, Histogram]


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """How the generator itself did. `seconds` intervals whose CPU share is known, `hot_seconds` of them
    over 90 % of a core; `lag_share` the share of the run in which its loop was held up; `lateness` of
    starts in µs (empty after a rebuild)."""

    lateness: Histogram
    lateness_p99_us: int
    cpu_share: float | None
    seconds: int
    hot_seconds: int
    lag_share: float
    lag_max_ns: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything one run measured. `duration_s` from the schedule's zero to the last tick, `measured_s`
    without the warm-up; `last` the counters at the end, warm-up included; `dropped_iterations` and
    `late_starts` without it."""

    routes: tuple[RouteFigures, ...]
    connections: tuple[Connections, ...]
    generator: GeneratorFigures
    last: Tick
    duration_s: float
    measured_s: float
    iterations: int
    dropped_iterations: int
    late_starts: int
    vus_max: int
    warm_up_requests: int
    rebuilt: bool = False

    @property
    def requests(self) -> int:
        return sum(route.requests for route in self.routes)

    @property
    def unsent(self) -> int:
        return sum(route.unsent for route in self.routes)

    @property
    def errors(self) -> int:
        return sum(route.errors for route in self.routes)

    def whole(self, outcome: Outcome) -> int:
        """Requests with this outcome in the whole run, warm-up included."""
        return sum(route.whole.get(outcome, 0) for route in self.routes)
