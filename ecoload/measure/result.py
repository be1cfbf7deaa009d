"""A run's result as a value: exactly what `run.json` holds (schema `ecoload.run/1`).

Rules
-----
- Each dataclass field is a key of the JSON object, in this order; docs/schema/run.schema.json is the
  published form and changes with this module.
- Times in ms or s as the name says, rates as shares of 1. What was not measured is null, never 0.
- A result is not computed here: measure/ brings the figures, verdict/ judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ecoload.measure.bootstrap import Interval95
from ecoload.measure.histogram import Histogram
from ecoload.plan import ProtocolHeader, Scalar, to_tree

SCHEMA = "ecoload.run/1"


class Verdict(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class ValidityStatus(StrEnum):
    VALID = "VALID"
    SUSPECT = "SUSPECT"
    INVALID = "INVALID"


class Status(StrEnum):
    """How a run ended: by its plan; by a person's or a program's stop; by an `abort_when`; by Ctrl-C; by
    the generator's death; by its own (found by a rebuild)."""

    FINISHED = "finished"
    STOPPED = "stopped"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Validity:
    """Whether the measurement can be believed, and if not, why."""

    status: ValidityStatus
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles, maximum and mean in ms; all None where there was no sample."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None
    mean: float | None

    @classmethod
    def of(cls, histogram: Histogram) -> Latency:
        """The summary of a histogram of µs."""
        if not histogram.total:
            return cls(None, None, None, None, None, None, None)
        p50, p90, p95, p99, p999 = (us / 1000 for us in histogram.percentiles((0.5, 0.9, 0.95, 0.99, 0.999)))
        mean = round(histogram.mean() / 1000, 4)
        return cls(p50, p90, p95, p99, p999, histogram.maximum / 1000, mean)


@dataclass(frozen=True, slots=True)
class LevelResult:
    """One service level. `level` is its name in `targets.yaml`; `value` and `limit` in its unit;
    `interval` the 95 % interval of the value; a level that is not `required` is shown, not judged on."""

    level: str
    limit: float
    value: float | None
    interval: Interval95 | None
    verdict: Verdict
    reason: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class RouteLevels:
    levels: tuple[LevelResult, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class RouteResult:
    """One route. `requests` were sent and count; `unsent` were owed and never sent; `errors` holds both
    failed and unsent; `response_ms` and `service_ms` are of `ok`, `all_response_ms` of all that count.
    `slo` is None where no level is declared."""

    route: str
    app: str
    requests: int | None
    unsent: int | None
    errors: int | None
    error_rate: float | None
    rps: float | None
    outcomes: Mapping[str, int]
    response_ms: Latency
    service_ms: Latency
    all_response_ms: Latency
    phases_ms: Mapping[str, Latency]
    slo: RouteLevels | None


@dataclass(frozen=True, slots=True)
class ConnectionResult:
    """Connections opened to one app, with their phases."""

    app: str
    opened: int
    phases_ms: Mapping[str, Latency]


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """A condition of the plan; `kind` is `threshold`, `fail_when` or `abort_when`."""

    source: str
    kind: str
    value: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class PersistenceResult:
    """Was what the target acknowledged kept? `unacknowledged` writes may have been kept or not;
    `persisted` is the target's own count, `lost` what is missing of the acknowledged (None: unknown)."""

    acknowledged: int
    unacknowledged: int
    persisted: int | None
    lost: int | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class ProofResult:
    """A question asked after the load. `found` is the last answer, the beginning of it where it is no
    scalar (None: null, or none); `took_s` how long it was asked for (None: not asked)."""

    name: str
    question: str
    expected: Scalar
    found: Scalar
    within_s: float
    took_s: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class DriftResult:
    """How a metric of a soak went from its first third to its last. `of` is a route or, for memory, the app;
    `metric` is `p95_ms`, `error_rate` or `resident_bytes`, and `first`, `last` and `slope_per_min` are in its
    unit; `change` is relative to `first`, for the error rate the difference (None: not told, or from 0);
    `p_value` how likely so much rising is by chance."""

    of: str
    metric: str
    first: float | None
    last: float | None
    change: float | None
    slope_per_min: float | None
    p_value: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Planned:
    """What the plan asked for: iteration starts of the open models, and the schedule's length."""

    starts: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """One of the slowest requests, with where its time went (ms) and when it was due (s)."""

    route: str
    outcome: str
    due_s: float
    response_ms: float
    delay_ms: float
    sending_ms: float
    waiting_ms: float
    receiving_ms: float


@dataclass(frozen=True, slots=True)
class GeneratorResult:
    """How the load generator did: CPU share of one core, how much of the run its loop was held up and
    how long at most, how late starts were though a VU was free."""

    cpu_share: float | None
    lag_share: float
    lag_max_ms: float
    late_start_p99_ms: float | None
    machine: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything `run.json` says; of an imported run, what its tool tells."""

    run_id: str
    app: str
    profile: str
    status: Status
    stop_reason: str
    verdict: Verdict
    verdict_reasons: tuple[str, ...]
    validity: Validity
    model: str | None
    seed: int | None
    started_at: str
    duration_s: float | None
    measured_s: float | None
    duration_scale: float | None
    tool_version: str
    target_version: str
    spec_hash: str
    execution_hash: str
    protocol: ProtocolHeader
    planned: Planned
    requests: int
    errors: int | None
    error_rate: float | None
    rps: float | None
    iterations: int
    dropped_iterations: int
    queued_at_end: int | None
    interrupted_iterations: int | None
    late_starts: int | None
    vus_max: int | None
    warm_up_requests: int
    persistence: PersistenceResult | None
    proofs: tuple[ProofResult, ...]
    drift: tuple[DriftResult, ...]
    routes: tuple[RouteResult, ...]
    thresholds: tuple[ThresholdResult, ...]
    connections: tuple[ConnectionResult, ...]
    generator: GeneratorResult | None
    slowest: tuple[SlowRequest, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The tree of `run.json`: plain values only."""
        tree: dict[str, Any] = plain(to_tree(self))
        return {"schema": SCHEMA} | tree


def plain(value: Any) -> Any:
    """Enums as their words, at any depth."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.value if isinstance(value, StrEnum) else value
