"""Which plans a human must approve before anything is sent, and why.

Rules
-----
- Every reason is told, not only the first.
- The app that tokens come from is talked to as well: a production one needs an approval.
- An upper bound that cannot be given counts as exceeded.
"""

from __future__ import annotations

from ecoload.guard.peaks import peak_request_rate, peak_vus
from ecoload.guard.reach import used_origins, used_routes
from ecoload.plan import Plan


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
    tokens = {plan.auth.origin} if plan.auth is not None else set()
    for index in sorted(used_origins(plan) | tokens):
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
        if origin.environment == "production":
            reasons.append(f"{origin.app} ({origin.scheme}://{origin.authority}) is production")
    return tuple(reasons)
