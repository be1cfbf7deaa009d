"""The ids of a run's events, computed from its seed: which VU sent it, in which of its iterations.

Rules
-----
- An id is a `let` of a scenario that is a pure function of seed, run id, VU and iteration (spec holds it to
  that). Only the lets that it needs are computed.
- They are compiled as the generator compiles them, the lets of a scenario first: the place of a call decides
  what `uuid()` gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

from ecoload.engine.values import FIRST_FREE, ITERATION, VU, Scope, Values
from ecoload.plan import ProtocolHeader, Scenario, Value
from ecoload.spec.functions import as_text
from ecoload.spec.template import references

LOST_ITERATIONS = 2_000
"""Iterations that a VU can have made in a lost second: one each half of a millisecond."""

IdOf = Callable[[int, int], str]
"""The id of `(vu, iteration)`."""


def id_of(
    scenario: Scenario, name: str, seed: int, run_id: str, protocol: ProtocolHeader, env: Mapping[str, str]
) -> IdOf:
    """The function that gives the ids of a scenario's events, which are its let `name`."""
    scope = Scope(seed=seed, run_id=run_id, protocol=dataclasses.asdict(protocol), env=dict(env), secrets={})
    lets = dict(scenario.lets)
    needed = {name, *_needs(name, lets)}
    compiled = [(key, scope.slot(key), scope.getter(value)) for key, value in scenario.lets]
    steps = [(slot, get) for key, slot, get in compiled if key in needed]
    values: Values = [None] * max(scope.size, FIRST_FREE)
    place = scope.slot(name)

    def of(vu: int, iteration: int) -> str:
        values[VU], values[ITERATION] = vu, iteration
        for slot, get in steps:
            values[slot] = get(values)
        return as_text(values[place])

    return of


def _needs(name: str, lets: Mapping[str, Value]) -> Iterator[str]:
    """The lets that a let reads, and those that they read."""
    for ref in references(lets[name]):
        head = ref.name[0]
        if head in lets and head != name:
            yield head
            yield from _needs(head, lets)
