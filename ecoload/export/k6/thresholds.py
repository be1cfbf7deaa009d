"""Service levels and conditions of a plan as thresholds of k6.

Rules
-----
- A threshold fails where the level would; one without a sample would pass, so `count>0` stands beside it.
- Every route has its figures in the summary: k6 keeps those of a route only where a threshold asks for them.
- What k6 cannot judge as ecoload does is told as a note for the script's header, never judged nearly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ecoload.export.k6.executors import never_drops
from ecoload.export.k6.js import Literal
from ecoload.guard.reach import steps
from ecoload.measure.recorder import route_names
from ecoload.plan import (
    Condition,
    ConstantArrivalRate,
    Load,
    Plan,
    RampingArrivalRate,
    ServiceLevel,
)

ALWAYS = frozenset({"count>=0", "rate>=0", "max>=0"})
"""What holds whatever happens: it only asks for the figures."""

_PERCENTILES = {"p50_ms": "p(50)", "p90_ms": "p(90)", "p95_ms": "p(95)", "p99_ms": "p(99)"}
_STATISTICS = {"p50": "p(50)", "p90": "p(90)", "p95": "p(95)", "p99": "p(99)", "max": "max", "mean": "avg"}
_OPPOSITE = {">": "<=", ">=": "<"}

Said = Iterator[tuple[str, Literal]]
"""Thresholds, each with the metric that it looks at."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The property `thresholds` of the options, and what it leaves out."""

    items: dict[str, list[Literal]]
    not_judged: tuple[str, ...]


def thresholds(plan: Plan, loads: Sequence[Load]) -> Thresholds:
    """What the requests of `loads` must reach."""
    names = route_names(plan)
    routes = {step.route for load in loads for step in steps(plan.scenarios[load.scenario].steps)}
    said: list[tuple[str, Literal]] = []
    not_judged: list[str] = []
    for index in sorted(routes):
        level = plan.routes[index].slo
        said += _of_level(level, names[index], plan.decides)
        if level.p95_drift is not None and _decides("p95_drift", plan.decides):
            not_judged.append(f"p95_drift of {names[index]}")
    said += _of_queues(loads)
    own = {plan.routes[index].name: names[index] for index in routes if plan.routes[index].app == plan.app}
    for kind in ("thresholds", "fail_when", "abort_when"):
        for condition in getattr(plan, kind):
            found = list(_of_condition(condition, kind, own))
            said += found
            not_judged += [] if found else [f"{kind}: {condition.source}"]
    return Thresholds(_by_metric(said), tuple(not_judged))


def number(value: float) -> str:
    """A number as k6 reads it in a threshold: without an exponent."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _of_level(level: ServiceLevel, name: str, decides: Sequence[str]) -> Said:
    """The levels of a route that decide; first what tells whether there was anything to judge."""
    judged = {
        field: value
        for field in ServiceLevel.__dataclass_fields__
        if (value := getattr(level, field)) is not None and _decides(field, decides)
    }
    rate, expected = judged.get("error_rate"), f"name:{name},expected_response:true"
    yield f"http_reqs{{name:{name}}}", "count>0" if judged else "count>=0"
    for field, statistic in _PERCENTILES.items():
        if field in judged:
            if rate is None or rate >= 1:  # else errors tell that there was no expected response
                yield f"http_reqs{{{expected}}}", "count>0"
            yield f"http_req_duration{{{expected}}}", f"{statistic}<={number(judged[field])}"
    yield f"http_req_duration{{{expected}}}", "max>=0"
    yield f"errors{{name:{name}}}", "rate>=0" if rate is None else f"rate<={number(rate)}"
    for counter in ("timeouts", "failed_checks"):
        if counter in judged:
            yield f"{counter}{{name:{name}}}", f"count<={judged[counter]}"


def _of_queues(loads: Sequence[Load]) -> Said:
    """Where no start was dropped, none would have waited in ecoload's queue: both sent the same."""
    open_loads = [
        load for load in loads if isinstance(load.executor, ConstantArrivalRate | RampingArrivalRate)
    ]
    for load in open_loads:
        if never_drops(load):
            alone = len(open_loads) == 1
            yield "dropped_iterations" if alone else f"dropped_iterations{{scenario:{load.name}}}", "count==0"


def _of_condition(condition: Condition, kind: str, routes: dict[str, str]) -> Said:
    """A condition as k6 judges it too; nothing where it would judge something else.

    k6 knows no windows, and looks at what does not abort at the end only. Its rates per second are over a
    time that setup() is part of, and a drop belongs to no route.
    """
    operator, name = condition.operator, routes.get(condition.route or "")
    by_route = condition.route is not None
    if condition.for_ns or kind == "fail_when" or condition.metric == "rps" or (by_route and name is None):
        return
    if kind == "abort_when" and operator not in _OPPOSITE:
        return  # k6 would abort before the first sample
    tag = f"name:{name}" if by_route else ""
    if condition.metric == "dropped_iterations":
        if by_route:
            return
        metric, statistic = "dropped_iterations", "count"
    elif condition.metric == "error_rate":
        metric, statistic = f"errors{{{tag}}}" if by_route else "errors", "rate"
    else:
        selector = f"{{{tag},expected_response:true}}" if by_route else "{expected_response:true}"
        metric, statistic = f"http_req_duration{selector}", _STATISTICS[condition.metric]
        if kind == "thresholds":
            yield f"http_reqs{selector}", "count>0"
    if kind == "thresholds":
        yield metric, f"{statistic}{operator}{number(condition.value)}"
    else:
        expression = f"{statistic}{_OPPOSITE[operator]}{number(condition.value)}"
        aborting: dict[str, Literal] = {"threshold": expression, "abortOnFail": True}
        if condition.after_ns:
            aborting["delayAbortEval"] = f"{condition.after_ns // 1_000_000}ms"
        yield metric, aborting


def _by_metric(said: Iterable[tuple[str, Literal]]) -> dict[str, list[Literal]]:
    """Each metric with its thresholds; what always holds only where nothing else asks for its figures."""
    found: dict[str, list[Literal]] = {}
    for metric, expression in said:
        listed = found.setdefault(metric, [])
        if expression not in listed:
            listed.append(expression)
    return {
        metric: [one for one in listed if not (isinstance(one, str) and one in ALWAYS)] or listed
        for metric, listed in found.items()
    }


def _decides(field: str, decides: Sequence[str]) -> bool:
    return field != "p95_stretch_ms" and (not decides or field in decides)
