"""A k6 summary as the result of a run.

Rules
-----
- Nothing is made up: what k6 does not measure (response times, late starts, what was queued) is None.
- k6 does not certify its measurement, so it is SUSPECT, and as everywhere SUSPECT is never PASS. Each
  threshold keeps k6's own word.
- A threshold over no sample holds for k6; here it is INCONCLUSIVE. One that cannot fail (`max>=0`, the known
  way to have a submetric in the summary) is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ecoload.measure.k6_summary import K6Latency, K6Route, K6Summary, K6Threshold
from ecoload.measure.result import (
    Latency,
    Planned,
    RouteResult,
    RunResult,
    Status,
    ThresholdResult,
    Validity,
    ValidityStatus,
    Verdict,
)
from ecoload.plan import ProtocolHeader
from ecoload.verdict.slo import believed, worst

TOOL = "k6"
_UNCERTIFIED = "k6 does not certify its measurement: whether it could keep up with its plan is not known"
_SERVICE_ONLY = (
    "k6 measures service time (http_req_duration) and no response time: waiting for a VU or a connection "
    "does not show"
)
_NO_END = "a k6 summary does not say whether the test came to its planned end"
_CANNOT_FAIL = re.compile(r"\s*\S+?\s*>=\s*0(\.0*)?\s*")


@dataclass(frozen=True, slots=True)
class ImportFacts:
    """What the summary does not tell, or what was said beside it; `source` is the file's name."""

    run_id: str
    app: str
    profile: str
    source: str


def imported_run(summary: K6Summary, facts: ImportFacts) -> RunResult:
    """The result of the run that `summary` tells of."""
    validity = Validity(ValidityStatus.SUSPECT, (_UNCERTIFIED,))
    thresholds = tuple(_threshold(one) for one in summary.thresholds if not _cannot_fail(one))
    plain = worst(one.verdict for one in thresholds)
    verdict = believed(plain, validity)
    errors, error_rate = _errors(summary)
    return RunResult(
        run_id=facts.run_id,
        app=facts.app,
        profile=facts.profile,
        status=Status.FINISHED,
        stop_reason="",
        verdict=verdict,
        verdict_reasons=tuple(_reasons(thresholds, plain)),
        validity=validity,
        model=None,
        seed=None,
        started_at=summary.started_at,
        duration_s=summary.duration_s,
        measured_s=summary.duration_s,
        duration_scale=summary.duration_scale,
        tool_version=TOOL,
        target_version="",
        spec_hash=summary.spec_hash,
        execution_hash="",
        protocol=ProtocolHeader("", "", "", "", ""),
        planned=Planned(),
        requests=summary.requests,
        errors=errors,
        error_rate=error_rate,
        rps=_rate(summary.requests, summary.duration_s),
        iterations=summary.iterations,
        dropped_iterations=summary.dropped_iterations,
        queued_at_end=None,
        interrupted_iterations=None,
        late_starts=None,
        vus_max=summary.vus_max,
        warm_up_requests=0,
        persistence=None,
        proofs=(),
        drift=(),
        routes=tuple(_route(route, facts.app, summary.duration_s) for route in summary.routes),
        thresholds=thresholds,
        connections=(),
        generator=None,
        slowest=(),
        notes=(_origin(summary, facts), _SERVICE_ONLY, _NO_END, *summary.notes),
    )


def _route(route: K6Route, app: str, duration_s: float | None) -> RouteResult:
    rps = route.rps
    if rps is None and route.requests is not None:
        rps = _rate(route.requests, duration_s)
    return RouteResult(
        route=route.route,
        app=app,
        requests=route.requests,
        unsent=None,
        errors=route.errors,
        error_rate=route.error_rate,
        rps=rps,
        outcomes={},
        response_ms=_NO_TIMES,
        service_ms=_times(route.service_ms),
        all_response_ms=_NO_TIMES,
        phases_ms={},
        slo=None,
    )


_NO_TIMES = Latency(None, None, None, None, None, None, None)


def _times(found: K6Latency) -> Latency:
    return Latency(found.p50, found.p90, found.p95, found.p99, None, found.max, found.mean)


def _errors(summary: K6Summary) -> tuple[int | None, float | None]:
    """Of the whole: k6's own figures, else those of its routes where each has one."""
    if summary.errors is not None:
        return summary.errors, summary.error_rate
    each = [route.errors for route in summary.routes if route.errors is not None]
    if not summary.routes or len(each) < len(summary.routes):
        return None, None
    return sum(each), min(sum(each) / summary.requests, 1.0) if summary.requests else None


def _threshold(one: K6Threshold) -> ThresholdResult:
    source = f"{one.metric}: {one.expression}"
    if one.ok and one.samples == 0:
        reason = "there was no sample; k6 lets it pass"
        return ThresholdResult(source, "threshold", None, Verdict.INCONCLUSIVE, reason)
    reason = "k6 says that it holds" if one.ok else "k6 says that it does not hold"
    return ThresholdResult(source, "threshold", None, Verdict.PASS if one.ok else Verdict.FAIL, reason)


def _cannot_fail(one: K6Threshold) -> bool:
    return one.ok and _CANNOT_FAIL.fullmatch(one.expression) is not None


def _reasons(thresholds: tuple[ThresholdResult, ...], plain: Verdict) -> list[str]:
    if not thresholds:
        return ["k6 was asked for no threshold: nothing was judged"]
    if plain is Verdict.PASS:
        return ["every threshold of k6's holds"]
    return [f"{one.source}: {one.reason}" for one in thresholds if one.verdict is plain]


def _origin(summary: K6Summary, facts: ImportFacts) -> str:
    return f"imported from {facts.source}" + (f", run {summary.run_id}" if summary.run_id else "")


def _rate(requests: int, seconds: float | None) -> float | None:
    return round(requests / seconds, 3) if seconds else None
