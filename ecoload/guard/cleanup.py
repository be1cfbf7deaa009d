"""May this cleanup be sent? What every plan must be, and nowhere near production.

Rules
-----
- A cleanup deletes, and nobody is asked to approve it: a production app is refused, and so is one whose
  tokens come from production.
- Two apps at one address are one app to the network: what one of them forbids is forbidden.
"""

from __future__ import annotations

from ecoload.errors import GuardRefused
from ecoload.guard.reach import asked_origins
from ecoload.guard.rules import check_plan
from ecoload.plan import Origin, Plan


def check_cleanup(plan: Plan) -> None:
    """Raises GuardRefused with one line for everything that must not be sent."""
    asked = asked_origins(plan)
    places = {_place(plan.origins[index]) for index in asked}
    production = [o for o in plan.origins if o.environment == "production" and _place(o) in places]
    if production:
        raise GuardRefused(
            "\n".join(
                f"cleanup of {plan.app}: {o.app} ({o.scheme}://{o.authority}) is production, and nothing is "
                "deleted there"
                for o in production
            )
        )
    check_plan(plan)


def _place(origin: Origin) -> tuple[str, int]:
    return origin.host.lower(), origin.port
