"""What k6 cannot do beside or within a load, so that it would not be the same one.

Rules
-----
- What changes what is sent, or what the figures are of, is refused; what is only not judged or not asked is
  told in the script's header.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecoload.export.k6.parts import Part, Script
from ecoload.export.k6.steps import secret_variable

OWN_VARIABLES = (
    "PROFILE", "DURATION_SCALE", "ECOLOAD_APPROVED", "ECOLOAD_RUN_ID", "ECOLOAD_SUMMARY", "ECOLOAD_DATA",
)  # fmt: skip
"""The variables of the environment that a script reads by itself."""


def refusals(part: Part) -> Iterator[str]:
    """Why k6 cannot make the loads of a part; schedules and steps have their own reasons."""
    plan = part.plan
    if plan.warm_up_ns:
        yield "k6 would judge the warm-up too; leave out warm_up:, or make it a profile of its own"
    if plan.warm:
        yield "the target is warmed beside the load, which k6 cannot do"
    for origin in plan.origins:
        if len(origin.resolve) > 1:
            many = len(origin.resolve)
            yield f"k6 dials one address of a name, and resolve: of {origin.app} has {many}; name one"


def ambiguities(script: Script) -> Iterator[str]:
    """The variables that a script would read two things from."""
    meanings: dict[str, set[str]] = {name: {"the script's own"} for name in OWN_VARIABLES}
    for place in script.places:
        # Two apps that name one variable are at one address.
        meanings.setdefault(place.variable, set()).add("an address")
    for part in script.parts.values():
        for secret, reference in part.plan.secrets:
            variable = secret_variable(part.plan, secret)
            if variable in script.secrets:
                meanings.setdefault(variable, set()).add(f"a secret ({reference})")
        for name, _ in part.plan.env:
            meanings.setdefault(name, set()).add("of env:")
    for variable, found in meanings.items():
        # Of the environment a secret and env: take the same.
        if len(found - ({"of env:"} if f"a secret (env:{variable})" in found else set())) > 1:
            yield f"the variable {variable} would be {' and '.join(sorted(found))}; rename one of them"
