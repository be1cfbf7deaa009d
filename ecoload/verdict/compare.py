"""Is the second of two runs worse than the first?

Rules
-----
- Judged are the percentiles and the error rate of each route that both sent to; all else is shown.
  Percentiles are of response time, as service levels are; of service time where a run has no other.
- A regression is worse by more than the tolerance and by more than chance (`difference.py`); an improvement
  is the same the other way. Everything else is no difference that can be told.
- The tolerance of an error rate is a tenth of a percentage point, or the tolerance's share of what it was,
  whichever is more.
- A figure that is worse beyond the tolerance is INCONCLUSIVE where chance cannot be told from it: too few
  samples, too short a run, no histograms. So is everything where the two are no runs of the same thing.
- A P99 without enough samples, and a figure that a run does not have, decide nothing.
- ecoload counts a dropped iteration as an error of its route. Where k6 made a run, drops stand by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecoload.measure.blocks import Block
from ecoload.measure.bootstrap import Floats, Interval95, percentile_draws, share_draws
from ecoload.measure.hlog import Kind
from ecoload.measure.past_run import PastRoute, PastRun, latency_of
from ecoload.measure.rebuild import Kept
from ecoload.verdict.comparable import comparable
from ecoload.verdict.comparison import (
    MAY_BE_CHANCE,
    Change,
    Comparison,
    Finding,
    RouteChange,
    Side,
    worst,
)
from ecoload.verdict.difference import SEEDS, chance_of_errors, chance_of_percentile, stand_out
from ecoload.verdict.slo import samples_needed

TOLERANCE = 0.1
LEAST_RATE = 0.001
"""A share of errors that is up by less is not worse, however few there were."""
PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))
KINDS: tuple[Kind, ...] = ("response", "service")
TOO_SHORT = "a run is too short"


@dataclass(slots=True)
class _Judged:
    """A figure to be judged: whether it is beyond the tolerance, and how likely so much is by chance (None:
    it cannot be told, and `untold` says why)."""

    change: Change
    beyond: bool
    chance: float | None
    untold: str


def compare(
    before: PastRun, after: PastRun, folders: tuple[str, str], tolerance: float = TOLERANCE
) -> Comparison:
    """What changed from the run `before`, the reference, to the run `after`."""
    there = comparable(before, after)
    judged_on: Kind = "response" if all(map(_has_response, (before, after))) else "service"
    others = {route.route: route for route in after.routes}
    pairs = [(one, others[one.route]) for one in before.routes if one.route in others]
    asked = [pair for pair in pairs if any(route.requests != 0 for route in pair)]
    figures = [_Route(one, other, judged_on, tolerance).figures() for one, other in asked]
    _judge([figure for route in figures for figure in route if isinstance(figure, _Judged)])
    routes = tuple(
        RouteChange(one.route, worst(_findings(changes)), (one.verdict, other.verdict), changes)
        for (one, other), route in zip(asked, figures, strict=True)
        for changes in [tuple(item.change if isinstance(item, _Judged) else item for item in route)]
    )
    whole = tuple(_whole(before, after))
    found = [*(route.finding for route in routes), *_findings(whole)]
    verdict = Finding.INCONCLUSIVE if there.obstacles else worst(found)
    return Comparison(
        verdict=verdict,
        reasons=there.obstacles or tuple(_reasons(verdict, whole, routes)),
        obstacles=there.obstacles,
        warnings=there.warnings,
        notes=there.notes,
        tolerance=tolerance,
        judged_on=judged_on,
        reference=_side(before, folders[0]),
        compared=_side(after, folders[1]),
        whole=whole,
        routes=routes,
    )


class _Route:
    """One route in both runs."""

    def __init__(self, before: PastRoute, after: PastRoute, judged_on: Kind, tolerance: float) -> None:
        self._before, self._after = before, after
        self._judged_on, self._tolerance = judged_on, tolerance
        kept = before.kept, after.kept
        self._kept = None if kept[0] is None or kept[1] is None else (kept[0], kept[1])

    def figures(self) -> list[Change | _Judged]:
        before, after = self._before, self._after
        found: list[Change | _Judged] = [
            _change("requests", before.requests, after.requests),
            _change("rps", before.rps, after.rps),
            self._errors(),
        ]
        for kind in KINDS:
            times = [getattr(route, f"{kind}_ms") for route in (before, after)]
            intervals = _intervals(self._kept, kind)
            for (name, share), interval in zip(PERCENTILES, intervals, strict=True):
                values = [getattr(time, name) for time in times]
                change = replace(_change(f"{kind}_{name}_ms", *values), interval=interval)
                found.append(self._percentile(change, share) if kind == self._judged_on else change)
        return found

    def _percentile(self, change: Change, share: float) -> Change | _Judged:
        if change.before is None or change.after is None:
            return _untold(change, _missing(change), decides=False)
        needed = samples_needed(share)
        counts = [route.samples for route in (self._before, self._after) if route.samples is not None]
        if counts and min(counts) < needed:
            return _untold(change, f"{min(counts)} samples, {needed} are needed", decides=share < 0.99)
        chance = None
        if self._kept is not None:
            blocks = [kept.blocks[self._judged_on] for kept in self._kept]
            chance = chance_of_percentile(blocks[0], blocks[1], change.before * 1000, change.after * 1000)
        beyond = abs(change.after - change.before) > self._tolerance * change.before
        return self._judged(change, beyond, chance)

    def _errors(self) -> Change | _Judged:
        change = _change("error_rate", self._before.error_rate, self._after.error_rate)
        if change.before is None or change.difference is None:
            return _untold(change, _missing(change), decides=False)
        chance = None
        if self._kept is not None:
            blocks = [kept.blocks["response"] for kept in self._kept]
            chance = chance_of_errors(*blocks)
            change = replace(change, interval=_rate_interval(*blocks))
        beyond = abs(change.difference or 0.0) > max(LEAST_RATE, self._tolerance * (change.before or 0.0))
        return self._judged(change, beyond, chance)

    def _judged(self, change: Change, beyond: bool, chance: float | None) -> _Judged:
        return _Judged(
            change, beyond, chance, TOO_SHORT if self._kept is not None else "there are no histograms"
        )


def _judge(figures: Sequence[_Judged]) -> None:
    """Gives each figure its finding. What is more than chance is so among all of them."""
    told = [figure for figure in figures if figure.chance is not None]
    stands = stand_out([figure.chance for figure in told if figure.chance is not None])
    surely = {id(figure) for figure, stood in zip(told, stands, strict=True) if stood}
    for figure in figures:
        worse = (figure.change.difference or 0.0) > 0
        finding, reason, decides = Finding.NO_DIFFERENCE, "within the tolerance", True
        if figure.beyond and figure.chance is None:
            finding, decides = Finding.INCONCLUSIVE, worse
            reason = f"{'worse' if worse else 'better'}; chance cannot be told: {figure.untold}"
        elif figure.beyond and id(figure) in surely:
            finding = Finding.REGRESSION if worse else Finding.IMPROVEMENT
            reason = f"{'worse' if worse else 'better'}, and more than chance"
        elif figure.beyond:
            reason = MAY_BE_CHANCE
        figure.change = replace(figure.change, finding=finding, reason=reason, decides=decides)


def _whole(before: PastRun, after: PastRun) -> Iterator[Change]:
    for name in ("requests", "rps", "error_rate", "iterations"):
        yield _change(name, getattr(before, name), getattr(after, name))
    drops = _change("dropped_iterations", before.dropped_iterations, after.dropped_iterations)
    shares = [_dropped(run) for run in (before, after)]
    counted = all(route.unsent is not None for run in (before, after) for route in run.routes)
    if not counted and abs(shares[1] - shares[0]) > LEAST_RATE:
        drops = _untold(drops, "k6 counts no drop as an error; whether it is chance cannot be told")
    yield drops
    yield _change("vus_max", before.vus_max, after.vus_max)
    kept = None if before.whole is None or after.whole is None else (before.whole, after.whole)
    for kind in KINDS:
        times = [latency_of(run.whole, kind) for run in (before, after)]
        for (name, _), interval in zip(PERCENTILES, _intervals(kept, kind), strict=True):
            values = [getattr(time, name) for time in times]
            yield replace(_change(f"{kind}_{name}_ms", *values), interval=interval)


def _reasons(verdict: Finding, whole: Sequence[Change], routes: Sequence[RouteChange]) -> Iterator[str]:
    """Which figures make the verdict what it is."""
    if verdict is Finding.NO_DIFFERENCE:
        return
    for of, changes in (("the whole", whole), *((route.route, route.figures) for route in routes)):
        for change in changes:
            if change.finding is verdict and change.decides:
                yield f"{of} {change.figure}: {change.reason}"
    if verdict is Finding.INCONCLUSIVE:
        for route in routes:
            if not _findings(route.figures):
                yield f"{route.route}: nothing could be judged"


def _findings(changes: Sequence[Change]) -> list[Finding]:
    return [change.finding for change in changes if change.decides and change.finding is not None]


def _change(figure: str, before: float | None, after: float | None) -> Change:
    if before is None or after is None:
        return Change(figure, before, after, None, None)
    relative = after / before - 1 if before else (0.0 if after == before else None)
    return Change(figure, before, after, after - before, relative)


def _untold(change: Change, reason: str, *, decides: bool = True) -> Change:
    return replace(change, finding=Finding.INCONCLUSIVE, reason=reason, decides=decides)


def _missing(change: Change) -> str:
    sides = [name for name, value in (("before", change.before), ("after", change.after)) if value is None]
    return f"not known {' and '.join(sides)}"


def _dropped(run: PastRun) -> float:
    due = run.iterations + run.dropped_iterations
    return run.dropped_iterations / due if due else 0.0


def _has_response(run: PastRun) -> bool:
    return any(route.response_ms.p50 is not None for route in run.routes)


def _intervals(kept: tuple[Kept, Kept] | None, kind: Kind) -> list[Interval95 | None]:
    """Of the relative change of each percentile."""
    if kept is None:
        return [None] * len(PERCENTILES)
    shares = [share for _, share in PERCENTILES]
    before, after = (
        percentile_draws(one.blocks[kind], shares, seed) for one, seed in zip(kept, SEEDS, strict=True)
    )
    if before is None or after is None:
        return [None] * len(PERCENTILES)
    return [_interval(column) for column in (np.maximum(after, 1) / np.maximum(before, 1) - 1).T]


def _rate_interval(before: Sequence[Block], after: Sequence[Block]) -> Interval95 | None:
    """Of the difference of two error rates."""
    draws = [
        share_draws([b.errors for b in blocks], [b.requests for b in blocks], seed)
        for blocks, seed in zip((before, after), SEEDS, strict=True)
    ]
    return None if draws[0] is None or draws[1] is None else _interval(draws[1] - draws[0])


def _interval(draws: Floats) -> Interval95 | None:
    drawn = draws[~np.isnan(draws)]
    if not drawn.size:
        return None
    low, high = np.quantile(drawn, (0.025, 0.975))
    return round(float(low), 6), round(float(high), 6)


def _side(run: PastRun, folder: str) -> Side:
    return Side(
        folder=folder,
        run_id=run.run_id,
        app=run.app,
        profile=run.profile,
        started_at=run.started_at,
        tool_version=run.tool_version,
        target_version=run.target_version,
        duration_scale=run.duration_scale,
        measured_s=run.measured_s,
        spec_hash=run.spec_hash,
        execution_hash=run.execution_hash,
        status=run.status,
        verdict=run.verdict,
        validity=run.validity.status,
    )
