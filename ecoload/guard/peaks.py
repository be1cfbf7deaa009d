"""The most a plan can ask for: VUs, starts and requests a second, time.

Rules
-----
- Loads that overlap in time are added up, each with its own maximum.
- A load holds its VUs until its grace is over; it starts iterations until its regular end.
- Nothing here guesses: a closed model without pacing has no upper rate, and None says so.
"""

from __future__ import annotations

from collections.abc import Callable

from ecoload.guard.reach import requests_per_iteration
from ecoload.plan import (
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    Load,
    Plan,
    RampingArrivalRate,
    RampingVUs,
)

_SECOND = 1_000_000_000


def regular_duration_ns(executor: Executor) -> int:
    """Time within which iterations start, from the load's own start."""
    match executor:
        case ConstantVUs() | ConstantArrivalRate():
            return executor.duration_ns
        case RampingVUs() | RampingArrivalRate():
            return sum(stage.duration_ns for stage in executor.stages)
        case _:
            return executor.max_duration_ns


def total_duration_ns(plan: Plan, *, grace: bool) -> int:
    """From the plan's start to the last load's regular end, or to the end of its grace."""
    return max((_end(load, grace=grace) for load in plan.loads), default=0)


def peak_vus(plan: Plan) -> int:
    """The most VUs that can live at one time; arrival-rate loads count with their `max_vus`."""
    total = _peak(plan, lambda load: _most_vus(load.executor), grace=True)
    return int(total or 0)


def peak_rate(plan: Plan) -> float | None:
    """The most iterations that can start in a second; None: unbounded."""
    return _peak(plan, _most_starts, grace=False)


def peak_request_rate(plan: Plan, origin: int) -> float | None:
    """The most requests a second to one origin, redirects not counted; None: unbounded."""

    def requests(load: Load) -> float | None:
        each = requests_per_iteration(plan.scenarios[load.scenario], origin)
        starts = _most_starts(load)
        if each == 0:
            return 0.0
        return None if each is None or starts is None else each * starts

    return _peak(plan, requests, grace=False)


def _peak(plan: Plan, most: Callable[[Load], float | None], *, grace: bool) -> float | None:
    # The sum can only rise where a load starts, so it is enough to look there.
    highest = 0.0
    for moment in {load.start_time_ns for load in plan.loads}:
        total = 0.0
        for load in plan.loads:
            if load.start_time_ns <= moment < _end(load, grace=grace):
                share = most(load)
                if share is None:
                    return None
                total += share
        highest = max(highest, total)
    return highest


def _end(load: Load, *, grace: bool) -> int:
    end = load.start_time_ns + regular_duration_ns(load.executor)
    return end + load.graceful_stop_ns if grace else end


def _most_vus(executor: Executor) -> int:
    match executor:
        case RampingVUs():
            return int(max([executor.start_vus, *(stage.target for stage in executor.stages)]))
        case ConstantArrivalRate() | RampingArrivalRate():
            return max(executor.pre_allocated_vus, executor.max_vus)
        case _:
            return executor.vus


def _most_starts(load: Load) -> float | None:
    """Iterations a second at most. An arrival rate is the mean rate of a Poisson process."""
    executor = load.executor
    match executor:
        case ConstantArrivalRate():
            return executor.rate * _SECOND / executor.time_unit_ns
        case RampingArrivalRate():
            most = max([executor.start_rate, *(stage.target for stage in executor.stages)])
            return most * _SECOND / executor.time_unit_ns
        case _:
            return _most_vus(executor) * _SECOND / load.pacing_ns if load.pacing_ns else None
