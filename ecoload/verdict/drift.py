"""The drift verdict of a soak: did the target get worse while the same was asked of it?

Rules
-----
- Looked at are, for each route of a soak, the P95 of `ok` response times and the error rate, and for the
  app its resident memory: the first third of the soak's time against the last, and the trend over all.
- A third is the median of its bins, so that a cold start or a stall of a moment does not stand for it; only
  an error rate is that of the whole third.
- FAIL needs a worsening that matters (`LEAST_…`) and that is no chance: Mann and Kendall's test over at most
  40 equal bins of time, at one in 25,000. With ten routes that is less than one healthy soak in a thousand.
- Bins, because requests in a row are not independent, and what lasts seconds is gone within minutes. 40 of
  them, because a step in the middle shows in 30 only two times in three.
- Of memory the least value in a bin counts, so that what a garbage collector gives back is no leak, and it
  must still grow in the second half, so that a warm-up is none either.
- Getting better is a PASS; too few samples, as everywhere, are INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ecoload.measure.blocks import Block, percentile_us, samples_in, thirds
from ecoload.measure.bootstrap import FEWEST_BLOCKS
from ecoload.measure.figures import Figures, RouteFigures
from ecoload.measure.memory import MemorySample
from ecoload.measure.result import DriftResult, Validity, Verdict
from ecoload.plan import ConstantVUs, Load, Plan
from ecoload.verdict.routes import routes_sent
from ecoload.verdict.slo import believed, samples_needed
from ecoload.verdict.trend import chance_of_rising, slope

SOAK = "soak"
CHANCE = 1 / 25_000
CHANCE_OF_HALF = 0.01
"""Of memory's growing in the second half."""
MOST_BINS = 40
BIN_SAMPLES = 20
FEWEST_MEMORY = 10
"""With fewer samples their second half cannot tell growth from chance."""
LEAST_SHARE = 0.10
LEAST_P95_MS = 5.0
LEAST_ERROR_RATE = 0.005
LEAST_BYTES = 16 * 2**20
MIB = 2**20

Span = tuple[float, float]
"""From and to, in s from the schedule's zero."""


@dataclass(frozen=True, slots=True)
class _Metric:
    """How a metric is written, and how much worse it must get to matter: by `least` and by `share`."""

    name: str
    unit: str
    least: float
    share: float = LEAST_SHARE
    factor: float = 1.0

    def matters(self, first: float, rise: float) -> bool:
        return rise >= max(self.least, self.share * first)

    def shown(self, value: float) -> str:
        return f"{value * self.factor:.4g} {self.unit}"


P95 = _Metric("p95_ms", "ms", LEAST_P95_MS)
ERRORS = _Metric("error_rate", "%", LEAST_ERROR_RATE, share=0.0, factor=100)
MEMORY = _Metric("resident_bytes", "MiB", LEAST_BYTES, factor=1 / MIB)


@dataclass(frozen=True, slots=True)
class _Course:
    """A metric over time: its value in each bin, and when that was."""

    at_min: Sequence[float]
    values: Sequence[float]

    def ends(self) -> tuple[float, float]:
        """The median of the first third of the bins, and of the last."""
        third = len(self.values) // 3
        return float(np.median(self.values[:third])), float(np.median(self.values[-third:]))


def judge_drift(
    plan: Plan, figures: Figures, memory: Sequence[MemorySample], validity: Validity
) -> tuple[DriftResult, ...]:
    """The drift of everything that a soak looks at; empty where no load is one."""
    soaks = [load for load in plan.loads if load.executor_name == SOAK]
    if not soaks:
        return ()
    found = []
    for index, route in enumerate(figures.routes):
        spans = [_span(plan, load) for load in soaks if index in routes_sent(plan, figures, [load])]
        if spans:
            blocks = _blocks_in(route, _union(spans), plan.warm_up_ns / 1e9)
            found.append(_of_route(P95, route, blocks, samples_in, _p95_ms, validity))
            found.append(_of_route(ERRORS, route, blocks, _owed, _error_rate, validity))
    if memory:
        found.append(_memory(plan.app, memory, _union([_span(plan, load) for load in soaks]), validity))
    return tuple(found)


# --- Where to look --------------------------------------------------------------------------------


def _span(plan: Plan, load: Load) -> Span:
    """When a soak holds its load, without the warm-up."""
    begin = load.start_time_ns / 1e9
    length = load.executor.duration_ns / 1e9 if isinstance(load.executor, ConstantVUs) else float("inf")
    return max(begin, plan.warm_up_ns / 1e9), begin + length


def _union(spans: Sequence[Span]) -> Span:
    return min(begin for begin, _ in spans), max(end for _, end in spans)


def _blocks_in(route: RouteFigures, span: Span, warm_s: float) -> Sequence[Block]:
    """The route's blocks within a span; the first one begins when the warm-up is over."""
    begin, end = ((at - warm_s) / route.block_s for at in span)
    return route.blocks[max(0, round(begin)) : round(min(end, len(route.blocks)))]


def _bins(count: int, most: int) -> Iterator[tuple[int, int]]:
    """`count` things in equal bins, at most `most`: the first of each, and the one behind its last."""
    bins = min(count, most)
    edges = [round(i * count / bins) for i in range(bins + 1)]
    return pairwise(edges)


# --- What is looked at ----------------------------------------------------------------------------


def _of_route(
    metric: _Metric,
    route: RouteFigures,
    blocks: Sequence[Block],
    samples: Callable[[Sequence[Block]], int],
    value: Callable[[Sequence[Block]], float | None],
    validity: Validity,
) -> DriftResult:
    """`samples` counts what `value` is of; a bin in which it has none is left out."""
    first, last = thirds(blocks)
    fewest, needed = min(samples(first), samples(last)), samples_needed(0.95)
    if fewest < needed:
        return _untold(route.route, metric, f"{fewest} samples in a third of the time, {needed} are needed")
    most = min(MOST_BINS, samples(blocks) // BIN_SAMPLES)
    points = [
        (route.block_s * (begin + end) / 120, value(blocks[begin:end]))
        for begin, end in _bins(len(blocks), most)
    ]
    known = [(at, found) for at, found in points if found is not None]
    course = _Course([at for at, _ in known], [found for _, found in known])
    if len(known) < FEWEST_BLOCKS:
        problem = f"samples in {len(known)} bins of time, {FEWEST_BLOCKS} are needed"
        return _untold(route.route, metric, problem)
    # A median of rates says nothing where most bins have no error.
    ends = (_error_rate(first) or 0.0, _error_rate(last) or 0.0) if metric is ERRORS else course.ends()
    return _judged(route.route, metric, course, ends, validity)


def _p95_ms(blocks: Sequence[Block]) -> float | None:
    found = percentile_us(blocks, 0.95)
    return None if found is None else found / 1000


def _owed(blocks: Sequence[Block]) -> int:
    return sum(block.requests for block in blocks)


def _error_rate(blocks: Sequence[Block]) -> float | None:
    owed = _owed(blocks)
    return sum(block.errors for block in blocks) / owed if owed else None


def _memory(app: str, memory: Sequence[MemorySample], span: Span, validity: Validity) -> DriftResult:
    samples = [sample for sample in memory if span[0] <= sample.at_s <= span[1]]
    if len(samples) < FEWEST_MEMORY:
        return _untold(app, MEMORY, f"{len(samples)} samples of memory, {FEWEST_MEMORY} are needed")
    at_min, floors = [], []
    for begin, end in _bins(len(samples), MOST_BINS):
        part = samples[begin:end]
        at_min.append(sum(sample.at_s for sample in part) / len(part) / 60)
        floors.append(min(sample.resident_bytes for sample in part))
    course = _Course(at_min, floors)
    spared = "" if _still_growing(course) else "not in the second half"
    return _judged(app, MEMORY, course, course.ends(), validity, spared)


def _still_growing(course: _Course) -> bool:
    """At the pace of the second half it would grow by what matters over a whole soak."""
    half = len(course.values) // 2
    at_min, values = course.at_min[half:], course.values[half:]
    pace = slope(at_min, values) * (course.at_min[-1] - course.at_min[0])
    return MEMORY.matters(course.ends()[0], pace) and chance_of_rising(values) <= CHANCE_OF_HALF


# --- What it comes to -----------------------------------------------------------------------------


def _judged(
    of: str,
    metric: _Metric,
    course: _Course,
    ends: tuple[float, float],
    validity: Validity,
    spared: str = "",
) -> DriftResult:
    """`ends` is the metric in the first and the last third; `spared` says why even a rise that matters is
    none."""
    first, last = ends
    rise = last - first
    per_min, chance = slope(course.at_min, course.values), chance_of_rising(course.values)
    reason = f"{metric.shown(first)} to {metric.shown(last)}"
    plain = Verdict.PASS
    if metric.matters(first, rise):
        if chance > CHANCE:
            reason += f", which may be chance (p = {chance:.2g})"
        elif spared:
            reason += f", {spared}"
        else:
            plain = Verdict.FAIL
            reason += f", {metric.shown(per_min)} a minute (p = {chance:.2g})"
    verdict = believed(plain, validity)
    if verdict is not plain:
        reason += f"; the measurement is {validity.status}"
    relative = rise / first if first else None
    return DriftResult(
        of=of,
        metric=metric.name,
        first=_rounded(first),
        last=_rounded(last),
        change=_rounded(relative if metric.share else rise),
        slope_per_min=_rounded(per_min),
        p_value=_rounded(chance),
        verdict=verdict,
        reason=reason,
    )


def _untold(of: str, metric: _Metric, reason: str) -> DriftResult:
    return DriftResult(of, metric.name, None, None, None, None, None, Verdict.INCONCLUSIVE, reason)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
