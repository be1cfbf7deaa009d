"""What a plan can reach: its steps, its origins, and how often an iteration asks them.

Rules
-----
- Where something cannot be read from the plan, the answer is the larger one: a Python scenario may
  send to every origin, any number of times.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecoload.plan import Choose, Plan, Probe, Scenario, Step


def steps(part: tuple[Step | Choose, ...]) -> Iterator[Step]:
    """Every step, those of all branches included, in the order as written."""
    for item in part:
        if isinstance(item, Step):
            yield item
        else:
            for branch in item.branches:
                yield from steps(branch.steps)


def used_origins(plan: Plan) -> frozenset[int]:
    """Indices of the origins that the loads, their setup and teardown, and the probes send to.
    Redirects may lead to further ones."""
    used = {probe.origin for _, probe in probes(plan)}
    sent = _sent(plan)
    return frozenset(range(len(plan.origins)) if sent is None else used | {step.origin for step in sent})


def probes(plan: Plan) -> Iterator[tuple[str, Probe]]:
    """Every question beside the load, by the name of what asks it."""
    if plan.persistence is not None:
        yield "persistence", plan.persistence.count
    if plan.request_count is not None:
        yield "request_count", plan.request_count
    if plan.version_from is not None:
        yield "version_from", plan.version_from
    for proof in plan.proofs:
        yield f"proofs.{proof.name}", proof.probe


def used_routes(plan: Plan) -> frozenset[int]:
    """Indices of the routes that the loads, their setup and teardown send."""
    sent = _sent(plan)
    return frozenset(range(len(plan.routes)) if sent is None else {step.route for step in sent})


def _sent(plan: Plan) -> list[Step] | None:
    """Every step of the loads; None where a Python scenario may send any."""
    scenarios = [plan.scenarios[load.scenario] for load in plan.loads]
    if any(scenario.module is not None for scenario in scenarios):
        return None
    return [step for s in scenarios for step in steps(s.setup + s.steps + s.teardown)]


def requests_per_iteration(scenario: Scenario, origin: int) -> int | None:
    """The most requests one iteration sends to an origin, redirects not counted; None where nothing
    bounds it (a Python scenario)."""
    return None if scenario.module is not None else _most(scenario.steps, origin)


def _most(part: tuple[Step | Choose, ...], origin: int) -> int:
    total = 0
    for item in part:
        if isinstance(item, Step):
            total += item.origin == origin
        else:
            total += max((_most(branch.steps, origin) for branch in item.branches), default=0)
    return total
