"""What k6 cannot do beside or within a load, so that it would not be the same one.

Rules
-----
- What changes what is sent, or what the figures are of, is refused; what is only not judged or not asked is
  told in the script's header.
"""

from __future__ import annotations

from collections.abc import Iterator

from ecoload.export.k6.parts import Part


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
