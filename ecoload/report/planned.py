"""What a plan asked for at each moment, read off the plan: the line beside what was achieved.

Rules
-----
- Iteration starts a second of the arrival-rate loads; a closed model plans VUs, not a rate, and has
  no such line.
- An iteration start is not a request: a scenario of two steps makes two requests of one start.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from ecoload.plan import ConstantArrivalRate, Executor, Plan, RampingArrivalRate

Corner = tuple[float, float]
"""`(seconds from the plan's start, starts a second)`; two at the same second are a jump."""


def planned_rate(plan: Plan) -> Callable[[float], float] | None:
    """Planned iteration starts a second as a function of the seconds since the start; None where no
    load of the plan has an arrival rate."""
    lines = [
        corners
        for load in plan.loads
        if (corners := _corners(load.executor, load.start_time_ns / 1e9)) is not None
    ]
    return (lambda at_s: sum(_at(corners, at_s) for corners in lines)) if lines else None


def _corners(executor: Executor, start_s: float) -> list[Corner] | None:
    match executor:
        case ConstantArrivalRate():
            rate = executor.rate * 1e9 / executor.time_unit_ns
            return [(start_s, rate), (start_s + executor.duration_ns / 1e9, rate)]
        case RampingArrivalRate():
            corners = [(start_s, executor.start_rate * 1e9 / executor.time_unit_ns)]
            for stage in executor.stages:
                end = corners[-1][0] + stage.duration_ns / 1e9
                corners.append((end, stage.target * 1e9 / executor.time_unit_ns))
            return corners
        case _:
            return None


def _at(corners: list[Corner], at_s: float) -> float:
    for (from_s, low), (to_s, high) in pairwise(corners):
        if from_s <= at_s <= to_s and to_s > from_s:
            return low + (high - low) * (at_s - from_s) / (to_s - from_s)
    return 0.0
