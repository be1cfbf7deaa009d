"""What k6 measured, as its scripts say it: schema `ecoload.k6/1`.

Rules
-----
- Each dataclass field is a key of the JSON object. Latencies are k6's `http_req_duration` of expected
  responses, in ms: what ecoload calls service time. What k6 did not say is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = "ecoload.k6/1"


@dataclass(frozen=True, slots=True)
class K6Latency:
    """Interpolated percentiles (numpy's `linear`), maximum and mean in ms; None where there was no sample."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None
    mean: float | None


@dataclass(frozen=True, slots=True)
class K6Route:
    """One route, or one `name` tag: `requests` with every hop, `errors` steps that did not end ok."""

    route: str
    requests: int
    errors: int | None
    error_rate: float | None
    rps: float | None
    timeouts: int | None
    service_ms: K6Latency


@dataclass(frozen=True, slots=True)
class K6Threshold:
    metric: str
    expression: str
    ok: bool


@dataclass(frozen=True, slots=True)
class K6Summary:
    """A whole test. `duration_s` is without setup and teardown where that is known; requests are those of
    the routes, tokens not counted."""

    script: str
    app: str
    profile: str
    spec_hash: str
    run_id: str
    started_at: str
    duration_s: float
    duration_scale: float
    requests: int
    iterations: int
    dropped_iterations: int
    vus_max: int
    checks_passed: int
    checks_failed: int
    routes: tuple[K6Route, ...]
    thresholds: tuple[K6Threshold, ...]
