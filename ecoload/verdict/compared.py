"""Which figures of two tools are held against each other, and within what.

Rules
-----
- In an unpaced closed plan the rate follows from the latency, so neither it nor a count is compared (a count
  is where the plan states the number of iterations); the mean number of requests in flight (rate by mean
  latency, Little's law) is.
- A figure has one value a round and tool; what a tool does not tell is None.
- Counts may be off by one whole, rates by what that makes; a count that is 0 in most plans (drops, losses) is
  held against the number that it is a part of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ecoload.guard.peaks import total_duration_ns
from ecoload.measure.cross_check import SHARES, RouteRun, ToolRun
from ecoload.measure.recorder import route_names
from ecoload.plan import ConstantVUs, PerVUIterations, Plan, RampingVUs, SharedIterations
from ecoload.verdict.cross_check_result import Tolerances

UNPACED = "the plan is closed and not paced: how many follows from the latency"
UNTIMED = "the plan says how many, not how fast: the rate follows from the latency"

Pair = tuple[ToolRun, ToolRun]
"""A round: ecoload's run and k6's."""
Values = Sequence[float | None]
Counts = Sequence[tuple[int, int]]
"""Each round, how many of how many."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure before it is judged. `limit` gives the tolerance from the mean of both; `step` is what its
    values are multiples of (0: of nothing); `counts` those of a share; `why_not` why it is only shown."""

    route: str
    figure: str
    unit: str
    ours: Values
    theirs: Values
    limit: Callable[[float], float]
    why_not: str = ""
    step: float = 0.0
    counts: tuple[Counts, Counts] | None = None

    @property
    def is_known(self) -> bool:
        """Whether both tools told it in every round."""
        return not any(value is None for value in (*self.ours, *self.theirs))

    @property
    def is_unknown(self) -> bool:
        """Whether neither told it in any."""
        return all(value is None for value in (*self.ours, *self.theirs))

    @property
    def is_judged(self) -> bool:
        return not (self.why_not or self.is_unknown)


def compared(plan: Plan, pairs: Sequence[Pair], within: Tolerances) -> Iterator[Compared]:
    """Every figure: those of the whole run, then those of each route that was asked."""
    yield from _whole(plan, pairs, within)
    for name in route_names(plan):
        ours = [our.route(name) or _nothing(name) for our, _ in pairs]
        theirs = [their.route(name) or _nothing(name) for _, their in pairs]
        if any(route.requests for route in (*ours, *theirs)):
            yield from _of_route(plan, pairs, name, ours, theirs, within)


def counts_are_planned(plan: Plan) -> bool:
    """Whether the plan says how many requests there are: in every load by an arrival rate, a pacing or a
    number of iterations."""
    return all(
        load.pacing_ns > 0 or not isinstance(load.executor, ConstantVUs | RampingVUs) for load in plan.loads
    )


def rates_are_planned(plan: Plan) -> bool:
    """Whether the plan says how many requests there are a second: a number of iterations does not."""
    closed = ConstantVUs | RampingVUs | SharedIterations | PerVUIterations
    return all(load.pacing_ns > 0 or not isinstance(load.executor, closed) for load in plan.loads)


def _whole(plan: Plan, pairs: Sequence[Pair], within: Tolerances) -> Iterator[Compared]:
    why_not = "" if counts_are_planned(plan) else UNPACED
    runs = [run for pair in pairs for run in pair]
    of_iterations = within.count_share * fmean(run.iterations for run in runs)
    of_requests = within.count_share * fmean(run.requests for run in runs)

    def count(
        figure: str, of: Callable[[ToolRun], int | None], why: str = "", least: float = 0.0
    ) -> Compared:
        ours, theirs = [of(our) for our, _ in pairs], [of(their) for _, their in pairs]
        return Compared("", figure, "", ours, theirs, _count_limit(within, least), why, 1.0)

    yield count("iterations", lambda run: run.iterations, why_not)
    yield count("dropped", lambda run: run.dropped_iterations, least=of_iterations)
    yield _failed_checks(pairs, within)
    yield count("server saw", lambda run: run.server_count, why_not)
    # What setup and teardown ask is the same by both, and no tool counts it.
    yield count("seen, not counted", _beyond, least=of_requests)
    yield count("persisted", lambda run: run.persisted, why_not)
    yield count("acknowledged, lost", _lost, least=of_requests)


def _failed_checks(pairs: Sequence[Pair], within: Tolerances) -> Compared:
    """k6 counts checks, those of answers with another status included; we count the requests at which one
    failed, and call the others otherwise. So they are comparable where one saw no error at all."""
    ours = [(min(our.failed_checks, our.requests), our.requests) for our, _ in pairs]
    theirs = [(min(their.failed_checks, their.requests), their.requests) for _, their in pairs]
    both_failed = all(
        any(route.errors for run in side for route in run.routes) for side in zip(*pairs, strict=True)
    )
    why_not = "k6 counts checks, ecoload requests; the error rates compare them" if both_failed else ""
    return _share("", "failed checks", ours, theirs, within, why_not)


def _of_route(
    plan: Plan,
    pairs: Sequence[Pair],
    name: str,
    ours: Sequence[RouteRun],
    theirs: Sequence[RouteRun],
    within: Tolerances,
) -> Iterator[Compared]:
    why_not = "" if counts_are_planned(plan) else UNPACED
    why_no_rate = why_not or ("" if rates_are_planned(plan) else UNTIMED)
    our_s = [_seconds(plan, our) for our, _ in pairs]
    their_s = [_seconds(plan, their) for _, their in pairs]
    one = 1 / max(*our_s, *their_s)
    our_rate, their_rate = _rates(ours, our_s), _rates(theirs, their_s)
    our_count, their_count = [route.requests for route in ours], [route.requests for route in theirs]
    yield Compared(name, "requests", "", our_count, their_count, _count_limit(within), why_not, 1.0)
    yield Compared(name, "rate", "/s", our_rate, their_rate, _count_limit(within, unit=one), why_no_rate, one)
    if why_no_rate:
        flying = _in_flight(our_rate, ours), _in_flight(their_rate, theirs)
        yield Compared(name, "in flight", "", *flying, lambda mean: within.in_flight_share * mean)
    yield _error_rate(name, ours, theirs, within)
    for figure in SHARES:
        latencies = [[getattr(route, figure) for route in side] for side in (ours, theirs)]
        yield Compared(name, figure, "ms", latencies[0], latencies[1], _latency_limit(within))


def _error_rate(
    name: str, ours: Sequence[RouteRun], theirs: Sequence[RouteRun], within: Tolerances
) -> Compared:
    def side(routes: Sequence[RouteRun]) -> Counts:
        # A step can fail before anything of it is sent: no share is above 1.
        return [(route.errors or 0, max(route.requests, route.errors or 0)) for route in routes]

    found = _share(name, "error rate", side(ours), side(theirs), within, "")
    if all(route.errors is not None for route in (*ours, *theirs)):
        return found
    values = [[None if route.errors is None else 0.0 for route in each] for each in (ours, theirs)]
    return replace(found, ours=values[0], theirs=values[1], counts=None)


def _share(
    route: str, figure: str, ours: Counts, theirs: Counts, within: Tolerances, why_not: str
) -> Compared:
    values = [[failed / of if of else 0.0 for failed, of in side] for side in (ours, theirs)]
    return Compared(
        *(route, figure, "share", values[0], values[1]),
        limit=lambda _: within.error_rate,
        why_not=why_not,
        counts=(ours, theirs),
    )


def _count_limit(within: Tolerances, least: float = 0.0, unit: float = 1.0) -> Callable[[float], float]:
    return lambda mean: max(within.count * unit, within.count_share * abs(mean), least)


def _latency_limit(within: Tolerances) -> Callable[[float], float]:
    return lambda mean: max(within.percentile_ms, within.percentile_share * mean)


def _rates(routes: Sequence[RouteRun], seconds: Sequence[float]) -> list[float]:
    return [route.requests / s for route, s in zip(routes, seconds, strict=True)]


def _in_flight(rates: Sequence[float], routes: Sequence[RouteRun]) -> list[float | None]:
    return [
        None if route.mean is None else rate * route.mean / 1000
        for rate, route in zip(rates, routes, strict=True)
    ]


def _seconds(plan: Plan, run: ToolRun) -> float:
    """What a rate is by: the plan's length where it has one, so that who waits longer at the end for what is
    under way has no other rate."""
    timed = not any(isinstance(load.executor, SharedIterations | PerVUIterations) for load in plan.loads)
    return (total_duration_ns(plan, grace=False) / 1e9 if timed else run.duration_s) or 1.0


def _nothing(name: str) -> RouteRun:
    return RouteRun(name, 0, 0, None, None, None, None, None)


def _beyond(run: ToolRun) -> int | None:
    return None if run.server_count is None else run.server_count - run.requests


def _lost(run: ToolRun) -> int | None:
    if run.acknowledged is None or run.persisted is None:
        return None
    return run.acknowledged - run.persisted
