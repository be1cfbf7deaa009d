"""Service levels: what each route had to reach, against what it did.

Rules
-----
- Latency levels are judged on the response time of `ok` requests; the error rate on everything that
  was owed: sent requests that count, dropped iterations, starts still queued at the end.
- A value at its limit passes. Too few samples for a percentile are INCONCLUSIVE: 59 for P95, 299 for
  P99, in general as many as make it 95 % sure that one lies beyond (`ceil(log 0.05 / log p)`).
- Counts (`timeouts`, `failed_checks`) and `p95_drift` leave the warm-up out, as the others do. The drift is
  the P95 of the last third of the measured time against the first third's; either way beyond is a FAIL,
  but where both percentiles are so little known that chance alone may be it: then it is INCONCLUSIVE.
- SUSPECT turns PASS into INCONCLUSIVE and leaves FAIL; INVALID turns both.
- A stretch level is shown and never decides, nor does a level that the profile leaves out of its `decides`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ecoload.measure.blocks import Block, percentile_us, samples_in, thirds
from ecoload.measure.bootstrap import Interval95, error_rate_interval, percentile_intervals
from ecoload.measure.figures import RouteFigures
from ecoload.measure.outcome import Outcome
from ecoload.measure.result import LevelResult, RouteLevels, Validity, ValidityStatus, Verdict
from ecoload.plan import ServiceLevel

LATENCY_LEVELS = (
    ("p50_ms", 0.5),
    ("p90_ms", 0.9),
    ("p95_ms", 0.95),
    ("p99_ms", 0.99),
    ("p95_stretch_ms", 0.95),
)
STRETCH = "p95_stretch_ms"
COUNTS = (
    ("timeouts", (Outcome.TIMEOUT,)),
    ("failed_checks", (Outcome.CHECK_FAILED, Outcome.CAPTURE_FAILED)),
)


def samples_needed(share: float) -> int:
    """How many samples a percentile takes: 59 for 0.95, 299 for 0.99."""
    return math.ceil(math.log(0.05) / math.log(share))


def judge_route(
    slo: ServiceLevel, route: RouteFigures, validity: Validity, seed: int, decides: Collection[str] = ()
) -> RouteLevels | None:
    """The levels declared for a route, each with its verdict; None where none is declared. `decides` names
    those that decide (empty: all)."""
    levels = [*_latency_levels(slo, route, validity, seed)]
    if slo.error_rate is not None:
        levels.append(_error_level(slo.error_rate, route, validity, seed))
    levels += _count_levels(slo, route, validity)
    if slo.p95_drift is not None:
        levels.append(_drift_level(slo.p95_drift, route, validity))
    if not levels:
        return None
    levels = [replace(level, required=_decides(level.level, decides)) for level in levels]
    return RouteLevels(tuple(levels), worst(level.verdict for level in levels if level.required))


def tightest_ms(slos: Iterable[ServiceLevel], decides: Collection[str] = ()) -> float | None:
    """The smallest latency level that decides; None where there is none."""
    names = [name for name, _ in LATENCY_LEVELS if _decides(name, decides)]
    limits = [getattr(slo, name) for slo in slos for name in names]
    return min((limit for limit in limits if limit is not None), default=None)


def believed(verdict: Verdict, validity: Validity) -> Verdict:
    """`verdict` as far as the measurement can be believed."""
    unsure = validity.status is ValidityStatus.INVALID or (
        validity.status is ValidityStatus.SUSPECT and verdict is Verdict.PASS
    )
    return Verdict.INCONCLUSIVE if unsure else verdict


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL before INCONCLUSIVE before PASS; nothing judged is INCONCLUSIVE."""
    found = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if verdict in found:
            return verdict
    return Verdict.PASS if found else Verdict.INCONCLUSIVE


def _decides(name: str, decides: Collection[str]) -> bool:
    return name != STRETCH and (not decides or name in decides)


def _latency_levels(
    slo: ServiceLevel, route: RouteFigures, validity: Validity, seed: int
) -> Iterable[LevelResult]:
    declared = [(name, share, getattr(slo, name)) for name, share in LATENCY_LEVELS]
    declared = [(name, share, limit) for name, share, limit in declared if limit is not None]
    shares = [share for _, share, _ in declared]
    response = route.ok_response
    values = [us / 1000 for us in response.percentiles(shares)]
    intervals = _milliseconds(percentile_intervals(route.blocks, shares, seed)) if shares else []
    for (name, share, limit), value, interval in zip(declared, values, intervals, strict=True):
        needed = samples_needed(share)
        if response.total < needed:
            reason = f"{response.total} samples, {needed} are needed"
            known = value if response.total else None
            yield LevelResult(name, limit, known, interval, Verdict.INCONCLUSIVE, reason)
        else:
            yield _level(name, limit, value, interval, validity)


def _error_level(limit: float, route: RouteFigures, validity: Validity, seed: int) -> LevelResult:
    rate = route.error_rate
    if rate is None:
        return LevelResult("error_rate", limit, None, None, Verdict.INCONCLUSIVE, "no request was made")
    found = _level("error_rate", limit, rate, error_rate_interval(route.blocks, seed), validity)
    if not route.unsent:
        return found
    # Among the outcomes they are not found: without a word nobody knows what failed.
    return replace(found, reason=f"{found.reason}; {route.unsent} of {route.errors} errors were never sent")


def _count_levels(slo: ServiceLevel, route: RouteFigures, validity: Validity) -> Iterable[LevelResult]:
    for name, outcomes in COUNTS:
        limit = getattr(slo, name)
        if limit is None:
            continue
        if not route.requests:
            yield LevelResult(name, limit, None, None, Verdict.INCONCLUSIVE, "no request was made")
        else:
            found = sum(route.outcomes.get(outcome, 0) for outcome in outcomes)
            yield _level(name, limit, found, None, validity)


def _drift_level(limit: float, route: RouteFigures, validity: Validity) -> LevelResult:
    first, last = thirds(route.blocks)
    before, after = percentile_us(first, 0.95), percentile_us(last, 0.95)
    fewest, needed = min(samples_in(first), samples_in(last)), samples_needed(0.95)
    if before is None or after is None or fewest < needed:
        reason = f"{fewest} samples in a third of the time, {needed} are needed"
        return LevelResult("p95_drift", limit, None, None, Verdict.INCONCLUSIVE, reason)
    chance = _drift_by_chance(first, last)
    level = _level("p95_drift", limit, round(after / max(before, 1) - 1, 6), chance, validity)
    reason = f"from {before / 1000:g} ms to {after / 1000:g} ms: {level.reason}"
    if level.verdict is Verdict.FAIL and chance[0] <= limit and chance[1] >= -limit:
        return replace(level, verdict=Verdict.INCONCLUSIVE, reason=f"{reason}; it may be chance")
    return replace(level, reason=reason)


def _drift_by_chance(first: Sequence[Block], last: Sequence[Block]) -> Interval95:
    """How far apart the two P95 may be at the least and at the most: from one end of the 95 % interval of
    each, by its binomial ranks, to the other end of the other's. Both ends at once are rarer than 5 %."""
    ends = []
    for third in (first, last):
        spread = 1.96 * math.sqrt(0.95 * 0.05 / samples_in(third))
        low, high = (percentile_us(third, share) for share in (0.95 - spread, min(0.95 + spread, 1.0)))
        assert low is not None
        assert high is not None
        ends.append((max(low, 1.0), max(high, 1.0)))
    (low_first, high_first), (low_last, high_last) = ends
    return round(low_last / high_first - 1, 6), round(high_last / low_first - 1, 6)


def _level(
    name: str, limit: float, value: float, interval: Interval95 | None, validity: Validity
) -> LevelResult:
    plain = Verdict.PASS if abs(value) <= limit else Verdict.FAIL
    verdict = believed(plain, validity)
    reason = f"{_shown(name, abs(value))} {'≤' if plain is Verdict.PASS else '>'} {_shown(name, limit)}"
    if interval is not None and interval[0] <= limit <= interval[1] and name != "p95_drift":
        reason += "; the limit lies within the interval of chance"
    if verdict is not plain:
        reason += f"; the measurement is {validity.status}"
    return LevelResult(name, limit, value, interval, verdict, reason)


def _shown(name: str, value: float) -> str:
    if name in ("error_rate", "p95_drift"):
        return f"{value:.3%}"
    return f"{value:g} ms" if name.endswith("_ms") else f"{value:g}"


def _milliseconds(intervals: Sequence[Interval95 | None]) -> list[Interval95 | None]:
    return [None if one is None else (one[0] / 1000, one[1] / 1000) for one in intervals]
