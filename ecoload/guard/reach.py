"""What a plan can reach: its steps, its origins, and how often an iteration asks them.

Rules
-----
- Where something cannot be read from the plan, the answer is the larger one: a Python scenario may
  send to every origin, any number of times.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecoload.plan import Choose, Metrics, Origin, Plan, Probe, Scenario, Station, Step, StringTemplate, Warm


def steps(part: tuple[Step | Choose, ...]) -> Iterator[Step]:
    """Every step, those of all branches included, in the order as written."""
    for item in part:
        if isinstance(item, Step):
            yield item
        else:
            for branch in item.branches:
                yield from steps(branch.steps)


def is_production(plan: Plan, index: int) -> bool:
    """Whether an origin is production. Two apps at one address are one app to the network: what stands at the
    address of a production app is production."""
    return any(origin.environment == "production" for origin in at_one_address(plan, index))


def at_one_address(plan: Plan, index: int) -> Iterator[Origin]:
    """The origins at the host and port of one of them, itself included. Those of the embedded sandbox have
    one each, which is not known before it is up."""
    if plan.origins[index].embedded:
        return iter((plan.origins[index],))
    place = _place(plan.origins[index])
    return (origin for origin in plan.origins if _place(origin) == place)


def _place(origin: Origin) -> tuple[str, int]:
    return origin.host.lower(), origin.port


def used_origins(plan: Plan) -> frozenset[int]:
    """Indices of the origins that the loads, their setup and teardown, the questions beside them and a
    browser go to.
    Redirects may lead to further ones."""
    used = {origin for _, origin, _ in questions(plan)}
    used |= {visit.origin for visit in plan.browser.visits} if plan.browser is not None else set()
    sent = _sent(plan)
    return frozenset(range(len(plan.origins)) if sent is None else used | {step.origin for step in sent})


def asked_origins(plan: Plan) -> frozenset[int]:
    """Those, and the ones that tokens come from."""
    return used_origins(plan) | {auth.origin for auth in plan.auths.values()}


def questions(plan: Plan) -> Iterator[tuple[str, int, StringTemplate]]:
    """Every GET beside the load: the name of what asks it, its origin and its path."""
    asking: list[tuple[str, Probe | Metrics | Warm | Station | None]] = [
        ("persistence", plan.persistence.count if plan.persistence else None),
        ("request_count", plan.request_count),
        ("version_from", plan.version_from),
        *((f"proofs.{proof.name}", proof.probe) for proof in plan.proofs),
        ("metrics", plan.metrics),
        *(("warm", warm) for warm in plan.warm),
        *((f"lineage.{s.name}", s) for s in (plan.lineage.stations if plan.lineage else ())),
    ]
    if plan.resiliency is not None:
        asking.append(("resiliency.breaker", plan.resiliency.breaker.probe))
        asking.append(("resiliency.double_effects", plan.resiliency.oracles.double_effects))
    for name, asked in asking:
        if asked is not None:
            yield name, asked.origin, asked.path


def used_routes(plan: Plan) -> frozenset[int]:
    """Indices of the routes that the loads, their setup and teardown send."""
    sent = _sent(plan)
    return frozenset(range(len(plan.routes)) if sent is None else {step.route for step in sent})


def _sent(plan: Plan) -> list[Step] | None:
    """Every step of the loads, of the flow and of the fault; None where a Python scenario may send any."""
    scenarios = [plan.scenarios[load.scenario] for load in plan.loads]
    if plan.flow is not None:
        scenarios += plan.scenarios
    if any(scenario.module is not None for scenario in scenarios):
        return None
    sent = [step for s in scenarios for step in steps(s.setup + s.steps + s.teardown)]
    return sent + fault_steps(plan)


def fault_steps(plan: Plan) -> list[Step]:
    """What sets a fault and withdraws it."""
    fault = plan.resiliency.fault if plan.resiliency is not None else None
    return [] if fault is None else [fault.inject, fault.withdraw]


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
