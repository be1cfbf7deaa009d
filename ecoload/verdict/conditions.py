"""Conditions of a plan: over the whole run, and watched while it runs.

Rules
-----
- No sample in a window never fires and never passes. `rps` and `dropped_iterations` count what was
  not done too: there, nothing is a figure.
- `for 10s` is true without a break: each second of the window holds it, by its own samples (a second
  without any neither breaks nor begins a window). The value reported is the whole window's, from its
  merged histograms.
- A watched condition without `for` looks at the run so far. Nothing is looked at before `after`.
- A condition fires once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecoload.measure.figures import Figures
from ecoload.measure.histogram import Histogram, merged
from ecoload.measure.interval import Interval
from ecoload.measure.recorder import route_names
from ecoload.measure.result import ThresholdResult, Validity, Verdict
from ecoload.plan import Condition, Plan
from ecoload.verdict.slo import believed, samples_needed

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_TICK_SLACK_NS = 100_000_000
"""Ticks come a little early or late: ten seconds of them may span 9.99 s."""


@dataclass(frozen=True, slots=True)
class Fired:
    """A watched condition that came true, `at_s` seconds from the schedule's zero. `aborts`: it is one
    of `abort_when`, and the run is to end."""

    condition: Condition
    aborts: bool
    at_s: float
    value: float

    @property
    def reason(self) -> str:
        return f"{self.condition.source} ({shown(self.condition.metric, self.value)} at {self.at_s:.0f} s)"


class ConditionWatch:
    """Watches a plan's `fail_when` and `abort_when`, one interval after the other. `fired` holds what
    has come true so far."""

    def __init__(self, plan: Plan) -> None:
        labels = route_names(plan)
        self._watched = [
            _Watched(condition, aborts, _route_index(condition, labels, plan))
            for conditions, aborts in ((plan.fail_when, False), (plan.abort_when, True))
            for condition in conditions
        ]
        self.fired: tuple[Fired, ...] = ()

    def observe(self, interval: Interval) -> tuple[Fired, ...]:
        """What came true with this interval."""
        found = tuple(fired for one in self._watched if (fired := one.observe(interval)) is not None)
        self.fired += found
        return found


def judge_thresholds(plan: Plan, figures: Figures, validity: Validity) -> list[ThresholdResult]:
    """The plan's thresholds over the whole run. A percentile of too few samples is INCONCLUSIVE."""
    labels = route_names(plan)
    return [
        _threshold(condition, _whole(figures, _route_index(condition, labels, plan)), validity)
        for condition in plan.thresholds
    ]


def judge_watched(plan: Plan, fired: Sequence[Fired], validity: Validity) -> list[ThresholdResult]:
    """`fail_when` and `abort_when`: FAIL where one fired, PASS where it did not."""
    results = []
    for kind, conditions in (("fail_when", plan.fail_when), ("abort_when", plan.abort_when)):
        for condition in conditions:
            hit = next((one for one in fired if one.condition == condition), None)
            plain = Verdict.PASS if hit is None else Verdict.FAIL
            reason = "never came true" if hit is None else f"came true: {hit.reason}"
            value = None if hit is None else hit.value
            results.append(ThresholdResult(condition.source, kind, value, believed(plain, validity), reason))
    return results


def shown(metric: str, value: float) -> str:
    """A metric's value with its unit, for people."""
    if metric == "error_rate":
        return f"{value:.2%}"
    if metric in ("rps", "dropped_iterations"):
        return f"{value:g}"
    return f"{value:g} ms"


@dataclass(slots=True)
class _Tally:
    """What a condition looks at, over any stretch of a run."""

    response: Histogram
    requests: int = 0
    errors: int = 0
    unsent: int = 0
    dropped: int = 0
    seconds: float = 0.0

    def add(self, interval: Interval, route: int | None) -> None:
        self.response.add(interval.response(route))
        self.requests += interval.count(route)
        self.errors += interval.errors(route)
        self.unsent += interval.missing(route)
        if not interval.warming_up:
            self.dropped += interval.dropped_iterations if route is None else interval.missing(route)
            self.seconds += interval.seconds

    def value(self, metric: str) -> float | None:
        """The metric in its unit; None where there is nothing to tell it from."""
        if metric == "dropped_iterations":
            return float(self.dropped)
        if metric == "rps":
            return self.requests / self.seconds if self.seconds > 0 else None
        if metric == "error_rate":
            owed = self.requests + self.unsent
            return self.errors / owed if owed else None
        if not self.response.total:
            return None
        if metric == "max":
            return self.response.maximum / 1000
        if metric == "mean":
            return self.response.mean() / 1000
        return self.response.percentile(_SHARES[metric]) / 1000


class _Watched:
    """One condition and the stretch of the run it looks at."""

    def __init__(self, condition: Condition, aborts: bool, route: int | None) -> None:
        self._condition = condition
        self._aborts = aborts
        self._route = route
        self._fired = False
        self._stretch = _Tally(Histogram())
        self._since_ns: int | None = None

    def observe(self, interval: Interval) -> Fired | None:
        if self._fired or interval.warming_up:
            return None
        condition = self._condition
        came_true = self._window(interval) if condition.for_ns else self._so_far(interval)
        value = self._stretch.value(condition.metric)
        if not came_true or value is None:
            return None
        self._fired = True
        return Fired(condition, self._aborts, interval.end_ns / 1e9, value)

    def _so_far(self, interval: Interval) -> bool:
        self._stretch.add(interval, self._route)
        return interval.end_ns >= self._condition.after_ns and self._holds(self._stretch)

    def _window(self, interval: Interval) -> bool:
        if interval.start_ns + _TICK_SLACK_NS < self._condition.after_ns:
            return False
        second = _Tally(Histogram())
        second.add(interval, self._route)
        if second.value(self._condition.metric) is None:
            return False
        if not self._holds(second):
            self._since_ns, self._stretch = None, _Tally(Histogram())
            return False
        if self._since_ns is None:
            self._since_ns = interval.start_ns
        self._stretch.add(interval, self._route)
        return interval.end_ns - self._since_ns + _TICK_SLACK_NS >= self._condition.for_ns

    def _holds(self, tally: _Tally) -> bool:
        value = tally.value(self._condition.metric)
        return value is not None and OPERATORS[self._condition.operator](value, self._condition.value)


def _whole(figures: Figures, route: int | None) -> _Tally:
    routes = figures.routes if route is None else (figures.routes[route],)
    return _Tally(
        response=merged(one.ok_response for one in routes),
        requests=sum(one.requests for one in routes),
        errors=sum(one.errors for one in routes),
        unsent=sum(one.unsent for one in routes),
        dropped=figures.dropped_iterations if route is None else figures.routes[route].unsent,
        seconds=figures.measured_s,
    )


def _threshold(condition: Condition, tally: _Tally, validity: Validity) -> ThresholdResult:
    value = tally.value(condition.metric)
    samples = tally.response.total
    needed = samples_needed(_SHARES[condition.metric]) if condition.metric in _SHARES else 0
    if value is None:
        verdict, reason = Verdict.INCONCLUSIVE, "no samples"
    elif samples < needed:
        verdict, reason = Verdict.INCONCLUSIVE, f"{samples} samples, {needed} are needed"
    else:
        holds = OPERATORS[condition.operator](value, condition.value)
        plain = Verdict.PASS if holds else Verdict.FAIL
        verdict, reason = believed(plain, validity), f"is {shown(condition.metric, value)}"
        if verdict is not plain:
            reason += f"; the measurement is {validity.status}"
    return ThresholdResult(condition.source, "threshold", value, verdict, reason)


def _route_index(condition: Condition, labels: Sequence[str], plan: Plan) -> int | None:
    if condition.route is None:
        return None
    if condition.route in labels:
        return labels.index(condition.route)
    return [route.name for route in plan.routes].index(condition.route)
