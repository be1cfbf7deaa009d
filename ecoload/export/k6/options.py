"""The options of a script beside its scenarios and thresholds.

Rules
-----
- Files of the workspace are opened by a path from the folder of the scripts; none is copied into a script.
"""

from __future__ import annotations

from ecoload.export.k6.helpers import WORKSPACE
from ecoload.export.k6.js import Literal, Raw, string
from ecoload.export.k6.parts import Script
from ecoload.guard.reach import steps
from ecoload.spec.units import format_duration

STATISTICS = ("avg", "min", "med", "max", "p(90)", "p(95)", "p(99)", "count")
MINUTE_NS = 60_000_000_000
"""What k6 gives setup() and teardown()."""
TOKEN_TIMEOUT_NS = 30_000_000_000


def options(script: Script, scenarios: Literal, thresholds: Literal) -> dict[str, Literal]:
    """The object `options` of a script."""
    return {
        "userAgent": script.plan.http.user_agent or f"ecoload/{script.plan.tool_version}",
        "scenarios": scenarios,
        "thresholds": thresholds,
        "summaryTrendStats": [*STATISTICS],
        **_network(script),
        **_timeouts(script),
    }


def _network(script: Script) -> dict[str, Literal]:
    """Addresses to dial in place of what a name resolves to, and certificates."""
    options: dict[str, Literal] = {}
    origins = {origin.app: origin for origin in script.plan.origins}
    dialled: dict[str, Literal] = {}
    certificates: list[Literal] = []
    for place in script.places:
        there = origins[place.app]
        if there.resolve:
            dialled |= dict.fromkeys((host for host in place.hosts if host[0] != "["), there.resolve[0])
        if there.client_cert is not None and there.client_key is not None:
            certificate, private_key = _opened(there.client_cert), _opened(there.client_key)
            certificates.append({"domains": [*place.hosts], "cert": certificate, "key": private_key})
    if dialled:
        options["hosts"] = dialled
    if certificates:
        options["tlsAuth"] = certificates
    return options


def _opened(file: str) -> Raw:
    """A file of the workspace, by a path from the folder of the scripts."""
    place = file if file.startswith("/") else f"{WORKSPACE}/{file}"
    return Raw(f"open({string(place)})")


def _timeouts(script: Script) -> dict[str, Literal]:
    """How long setup() and teardown() may take, where that is more than the minute that k6 gives them."""
    tokens_ns = TOKEN_TIMEOUT_NS if script.auth is not None else 0
    options: dict[str, Literal] = {}
    for name, part in (("setupTimeout", "setup"), ("teardownTimeout", "teardown")):
        every = [step for scenario in script.scenarios for step in steps(getattr(scenario, part))]
        most = tokens_ns + sum(step.timeout_ns + (step.think.most_ns if step.think else 0) for step in every)
        if every and most > MINUTE_NS:
            options[name] = format_duration(most)
    return options
