"""Which routes the loads of a plan send to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ecoload.measure.figures import Figures
from ecoload.plan import Choose, Load, Plan, Step


def routes_sent(plan: Plan, figures: Figures, loads: Iterable[Load]) -> set[int]:
    """Indices of the routes that the iterations of `loads` send to. A Python scenario does not tell: then
    those that anything was sent to."""
    found: set[int] = set()
    for index in {load.scenario for load in loads}:
        scenario = plan.scenarios[index]
        if scenario.module is None:
            found.update(_routes_of(scenario.steps))
        else:
            found.update(i for i, route in enumerate(figures.routes) if route.requests or route.unsent)
    return found


def _routes_of(steps: Sequence[Step | Choose]) -> Iterator[int]:
    for step in steps:
        if isinstance(step, Step):
            yield step.route
        else:
            for branch in step.branches:
                yield from _routes_of(branch.steps)
