"""The shape of a flow's file (`scenarios/flows/NAME.yaml`), and the flow that it is.

Rules
-----
- A step is one of a scenario's (`scenarios.py`), of any app; what is captured is in reach of every later
  step, whatever app it asks.
- Cases are the flow's own records: `${data.NAME}` reads them. Each has the same names.
- Only what has no effect is asked again (`eventually`).
- A flow takes no think time and follows no redirect: each step is one request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from ecoload.plan import Case, Eventually, Flow, FlowStep, Step, Value
from ecoload.spec.compile import StepCompiler
from ecoload.spec.phases import Word
from ecoload.spec.reach import Home, Reach
from ecoload.spec.scenarios import AnyValue, Identifier, Scalar, StepShape
from ecoload.spec.shape import EachItem, Model, Name, PositiveDuration, Reading
from ecoload.spec.template import nearest

if TYPE_CHECKING:
    from ecoload.spec.targets import Targets

MOST_PASSES = 100_000
_NOT_HERE = frozenset({"think", "redirects"})


class EventuallyShape(Model):
    """A step that is asked again until its check holds."""

    within: PositiveDuration
    """how long it may take, such as 60s"""


class FlowStepShape(StepShape):
    """One request of a flow."""

    name: Word | None = None
    """What it is called in the report; its route where not stated."""
    app: Name | None = None
    """The app that it asks; the flow's where not stated."""
    eventually: EventuallyShape | None = None

    @model_validator(mode="after")
    def _one_request(self) -> Self:
        if found := sorted(_NOT_HERE & self.model_fields_set):
            raise ValueError(f"a step of a flow has no {' and no '.join(f'{name}:' for name in found)}")
        return self


class FlowShape(Model):
    """Steps across several apps, carried out one after the other, and what must hold of each."""

    about: Word
    """what the flow shows, in a sentence"""
    app: Name
    """the app whose verdict it is"""
    cases: Annotated[dict[Word, dict[Identifier, Scalar]], Field(min_length=1)] | None = None
    """The flow is carried out once for each; `${data.NAME}` reads its values."""
    repeat: Annotated[int, Field(ge=1, le=1000)] = 1
    """How often each case is carried out."""
    parallel: Annotated[int, Field(ge=1, le=20)] = 1
    """How many passes at a time."""
    let: Annotated[dict[Identifier, AnyValue], Field(default_factory=dict)]
    """Values made once a pass, in order."""
    steps: Annotated[list[FlowStepShape], Field(min_length=1), EachItem]
    """what a pass does, in order"""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.repeat * len(self.cases or ("",)) > MOST_PASSES:
            raise ValueError(f"expected at most {MOST_PASSES:,} passes: repeat: times the cases")
        return self


@dataclass(frozen=True, slots=True)
class FlowSource:
    """A flow's file. `steps` are `(app, step)`, the step's route counted from that app's first and its origin
    0; `written` is what the file says, unresolved."""

    app: str
    flow: Flow
    lets: tuple[tuple[str, Value], ...]
    steps: tuple[tuple[str, Step], ...]
    written: Any


def compile_flow(
    name: str, shape: FlowShape, homes: Mapping[str, Home], targets: Targets, reading: Reading
) -> FlowSource | None:
    """The flow; problems are noted. `homes` are the apps that can be read."""
    if name in targets.apps:
        reading.problem((), f"{name!r} is an app; a flow has a name of its own")
    for app, where in [(shape.app, ("app",)), *((step.app, (*step.where, "app")) for step in shape.steps)]:
        if app is not None and app not in homes:
            reading.problem(where, f"unknown app {app!r}{nearest(app, homes)}")
    if shape.app not in homes:
        return None
    reach = Reach(homes[shape.app], _fields(shape, reading), reading)
    compiler = StepCompiler(reach)
    reach.enter()
    lets = tuple(reach.let(key, value) for key, value in shape.let.items())
    steps, told = [], []
    for step in shape.steps:
        home = homes.get(step.app or shape.app)
        if home is None:
            continue
        compiler.turn_to(home)
        made = compiler.step(step)
        if made is None:
            continue
        route = home.routes[step.route]
        if step.eventually is not None and route.effect != "none":
            reading.problem(
                (*step.where, "eventually"), f"route {step.route!r} has an effect; it is sent once"
            )
        steps.append((home.app_name, made))
        told.append(
            FlowStep(step.name or step.route, Eventually(step.eventually.within) if step.eventually else None)
        )
    _once([step.name for step in told], shape, reading)
    cases = tuple(Case(key, tuple(values.items())) for key, values in (shape.cases or {"": {}}).items())
    flow = Flow(name, shape.about, tuple(told), cases, shape.repeat, shape.parallel)
    return FlowSource(shape.app, flow, lets, tuple(steps), reading.document.data)


def _fields(shape: FlowShape, reading: Reading) -> set[str]:
    """The names that every case has."""
    cases = shape.cases or {}
    every = {name for values in cases.values() for name in values}
    for key, values in cases.items():
        if missing := sorted(every - set(values)):
            reading.problem(("cases", key), f"has no {', '.join(missing)}, which another case has")
    return every


def _once(names: list[str], shape: FlowShape, reading: Reading) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            where = shape.steps[index].where if len(names) == len(shape.steps) else ("steps",)
            reading.problem(where, f"two steps are called {name!r}; give one a name: of its own")


FlowStepShape.model_rebuild()
FlowShape.model_rebuild()


def placed_steps(source: FlowSource, origins: list[str], firsts: Mapping[str, int]) -> tuple[Step, ...]:
    """The steps as they stand in a plan: `origins` are its apps in order, `firsts` each app's first route."""
    return tuple(
        dataclasses.replace(step, origin=origins.index(app), route=firsts[app] + step.route, redirects=0)
        for app, step in source.steps
    )
