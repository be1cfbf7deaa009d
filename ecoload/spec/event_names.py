"""What names an app's events: whether the ids of a run can be computed again from its seed.

Rules
-----
- The `let` that `lineage:` names is made of the seed, the run, the VU and the iteration alone: not of a
  record, a clock or an answer.
- An iteration sends an event once: the route of the lineage stands once in a scenario, in no branch and no
  setup.
- A Python scenario names nothing that could be computed: its events are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ecoload.plan import Choose, Scenario, Step, Value
from ecoload.spec.functions import PURE
from ecoload.spec.shape import Reading
from ecoload.spec.targets import Targets
from ecoload.spec.template import calls, nearest, references
from ecoload.spec.yaml12 import Where

_OF_THE_RUN = frozenset({"run", "protocol", "env", "vu", "iteration"})
_FROM_THE_SEED = frozenset({"uuid", "random_int", "random_string"})


def check_event_names(targets: Targets, reading: Reading, sources: Mapping[str, Any]) -> None:
    """Notes every `lineage:` whose events are not named as they must be; `sources` are the
    ScenarioSources."""
    for name, app in targets.apps.items():
        if app.lineage is None or app.lineage.route not in app.routes:
            continue
        route = list(app.routes).index(app.lineage.route)
        where: Where = ("apps", name, "lineage", "id")
        for scenario in (source.scenario for source in sources.values() if source.app == name):
            if not _sends(scenario, route):
                continue
            for problem in _problems(scenario, app.lineage.id, route):
                reading.problem(where, f"scenario {scenario.name}: {problem}")


def names_events(scenario: Scenario, name: str, route: int) -> bool:
    """Whether the events that a scenario of a plan sends to `route` can be followed by its let `name`."""
    return scenario.module is None and name in dict(scenario.lets) and _sends(scenario, route)


def _problems(scenario: Scenario, name: str, route: int) -> Iterator[str]:
    lets = dict(scenario.lets)
    if name not in lets:
        yield f"it has no let {name!r}{nearest(name, lets)}"
        return
    for reason in dict.fromkeys(_impure(name, lets)):
        yield f"{name} cannot be computed again from the seed: {reason}"
    places = [step for step in scenario.steps if isinstance(step, Step) and step.route == route]
    if len(places) != 1 or _sends(scenario, route, beside=True):
        yield "an event is sent once in an iteration, by a step that is in no choose: and no setup:"


def _impure(name: str, lets: Mapping[str, Value]) -> Iterator[str]:
    value = lets[name]
    for ref in references(value):
        head = ref.name[0]
        if head in lets and head != name:
            yield from _impure(head, lets)
        elif head not in _OF_THE_RUN:
            yield f"it reads {'.'.join(ref.name)}"
    for call in calls(value):
        if call.function not in PURE and call.function not in _FROM_THE_SEED:
            yield f"it calls {call.function}()"


def _sends(scenario: Scenario, route: int, *, beside: bool = False) -> bool:
    """Whether a scenario sends to a route at all; `beside`: in a branch, a setup or a teardown."""
    steps = () if beside else scenario.steps
    chosen = tuple(item for item in scenario.steps if isinstance(item, Choose)) if beside else ()
    return any(step.route == route for step in _flat((*steps, *chosen, *scenario.setup, *scenario.teardown)))


def _flat(items: tuple[Step | Choose, ...]) -> Iterator[Step]:
    for item in items:
        if isinstance(item, Step):
            yield item
        else:
            for branch in item.branches:
                yield from _flat(branch.steps)
