"""Which plans a human must approve before anything is sent, and why.

Rules
-----
- Every reason is told, not only the first.
- The app that tokens come from is talked to as well: a production one needs an approval.
- An upper bound that cannot be given counts as exceeded.
- What goes on at the same time is added up, each plan with its own maximum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecoload.guard.peaks import peak_request_rate, peak_vus
from ecoload.guard.reach import asked_origins, is_production, used_origins, used_routes
from ecoload.plan import Plan
from ecoload.plan.suite import SuitePlan


def reasons_for_approval(plan: Plan) -> tuple[str, ...]:
    """Why the plan needs an approval; empty: it needs none."""
    reasons = []
    vus = peak_vus(plan)
    if vus > plan.approval_over_vus:
        reasons.append(f"it can reach {vus} VUs, and more than {plan.approval_over_vus} need an approval")
    for index in sorted(used_routes(plan)):
        route = plan.routes[index]
        if route.effect == "fault":
            reasons.append(f"it can send {route.app}.{route.name}, which injects a fault")
    if plan.resiliency is not None and not plan.resiliency.fault.ttl_ns:
        app = plan.origins[plan.resiliency.fault.inject.origin].app
        reasons.append(f"the fault at {app} cannot expire: if ecoload is killed, somebody must withdraw it")
    for index in sorted(asked_origins(plan)):
        origin = plan.origins[index]
        if origin.max_rps is not None:
            rate = peak_request_rate(plan, index)
            if rate is None:
                reasons.append(
                    f"nothing bounds its rate to {origin.app}, whose max_rps is {origin.max_rps:g}: "
                    "give the profile a pacing or an arrival rate"
                )
            elif rate > origin.max_rps:
                reasons.append(
                    f"it can send {rate:g} requests a second to {origin.app}, "
                    f"whose max_rps is {origin.max_rps:g}"
                )
        if is_production(plan, index):
            reasons.append(f"{origin.app} ({origin.scheme}://{origin.authority}) is production")
    return tuple(reasons)


def gated_phases(suite: SuitePlan) -> Mapping[str, tuple[str, ...]]:
    """The phases of a suite that need an approval, with every reason; a plan's own begin with its app."""
    gated = {}
    for phase in suite.phases:
        reasons: list[str] = []
        for run in phase.runs:
            reasons += [f"{run.name}: {reason}" for reason in reasons_for_approval(run.plan)]
        for batch in phase.batches:
            reasons += _reasons_together([run.plan for run in batch]) if len(batch) > 1 else []
        if reasons:
            gated[phase.name] = tuple(dict.fromkeys(reasons))
    return gated


def _reasons_together(plans: Sequence[Plan]) -> list[str]:
    """Why plans that go on at the same time need an approval though none of them does alone."""
    apps = " and ".join(plan.app for plan in plans)
    total, limit = sum(map(peak_vus, plans)), plans[0].approval_over_vus
    reasons = []
    if total > limit and all(peak_vus(plan) <= limit for plan in plans):
        reasons.append(f"{apps} together can reach {total} VUs, and more than {limit} need an approval")
    for name in dict.fromkeys(origin.app for plan in plans for origin in plan.origins):
        rates, most = [], None
        for plan in plans:
            index = next((i for i, origin in enumerate(plan.origins) if origin.app == name), None)
            if index is not None and index in used_origins(plan):
                most = plan.origins[index].max_rps
                rates.append(peak_request_rate(plan, index))
        known = [rate for rate in rates if rate is not None]
        if most is not None and len(known) > 1 and max(known) <= most < sum(known):
            reasons.append(f"{apps} together can send {sum(known):g} requests a second to {name}, "
                           f"whose max_rps is {most:g}")  # fmt: skip
    return reasons
