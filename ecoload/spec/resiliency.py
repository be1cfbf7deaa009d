"""The shape of an app's `resiliency:`: the fault that is injected, the breaker that is watched, and its
oracles.

Rules
-----
- What sets the fault and what withdraws it are steps as those of a scenario, of routes with `effect:
  fault`; no record, `let` or VU is in reach of them.
- A fault has a time to live, after which the target ends it by itself, or it says `expires: never`, which the
  approval then covers. There is no third.
- Oracles that are not stated are not judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ecoload.plan import Breaker, Fault, Oracles, Probe, Resiliency, Step
from ecoload.spec import template
from ecoload.spec.compile import StepCompiler
from ecoload.spec.profiles import Milliseconds, Share
from ecoload.spec.reach import Home, Reach
from ecoload.spec.references import question_scope
from ecoload.spec.scenarios import StepShape
from ecoload.spec.shape import Count, Duration, Model, Name, PositiveDuration, Reading
from ecoload.spec.targets import JsonPath, Targets
from ecoload.spec.targets import Probe as ProbeShape
from ecoload.spec.template import nearest
from ecoload.spec.yaml12 import Where

LEAST_TTL_NS = 1_000_000_000
LEAST_EVERY_NS = 20_000_000


class FaultShape(Model):
    """The fault, and how it ends."""

    app: Name | None = None
    """The app whose routes these are, such as a proxy's; the one that it stands under where not stated."""
    inject: StepShape
    """the request that sets it"""
    withdraw: StepShape
    """the request that ends it"""
    ttl: PositiveDuration | None = None
    """How long it lasts where nobody renews it; it is renewed every third of that while it is wanted."""
    expires: Literal["never"] | None = None
    """The target cannot end it by itself."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if (self.ttl is None) == (self.expires is None):
            raise ValueError("expected one of ttl: 5s and expires: never, for a target that cannot end it")
        if self.ttl is not None and self.ttl < LEAST_TTL_NS:
            raise ValueError("ttl: expected at least 1s: it is renewed every third of that")
        return self


class BreakerShape(ProbeShape):
    """Where the breaker's state is read, and the target's words for the three."""

    closed: str = "closed"
    open: str = "open"
    half_open: str = "half_open"
    since: JsonPath | None = None
    """a JSON path to what is another one whenever the state has changed, such as $.since_ms"""
    every: Duration = 100_000_000

    @model_validator(mode="after")
    def _seldom(self) -> Self:
        if self.every < LEAST_EVERY_NS:
            raise ValueError("every: expected at least 20ms")
        if len({self.closed, self.open, self.half_open}) != 3:
            raise ValueError("expected three different words for closed, open and half_open")
        return self


class OraclesShape(Model):
    """What must hold of it."""

    opens_within: PositiveDuration | None = None
    """From the fault's setting on."""
    stays_open: bool = False
    """It does not close before the fault is withdrawn."""
    closes_within: PositiveDuration | None = None
    """From the fault's withdrawal on."""
    p95_open_ms: Milliseconds | None = None
    """Response time of the route while it is open."""
    error_budget: Share | None = None
    """The share of the route's requests that may fail, over the whole run."""
    let_through: Count | None = None
    """How many requests of the route may be answered as if nothing were wrong, while it is open."""
    double_effects: ProbeShape | None = None
    """A question whose answer is how many keys had more than one effect: 0 holds."""


class ResiliencyShape(Model):
    """What becomes of an app when what it needs fails."""

    route: Name
    """the route that the breaker guards"""
    fault: FaultShape
    """the fault that is injected"""
    breaker: BreakerShape
    """where its state is read"""
    oracles: Annotated[OraclesShape, Field(default_factory=OraclesShape)]


@dataclass(frozen=True, slots=True)
class ResiliencySource:
    """An app's resiliency. Routes of the two steps count from the first of `app`; paths are templates."""

    app: str
    shape: ResiliencyShape
    inject: Step
    withdraw: Step


def compile_resiliencies(
    targets: Targets, homes: Mapping[str, Home], reading: Reading
) -> dict[str, ResiliencySource]:
    """Those of each app that declares one; problems are noted."""
    found = {}
    for name, app in targets.apps.items():
        if app.resiliency is None:
            continue
        where: Where = ("apps", name, "resiliency")
        try:
            shape = ResiliencyShape.model_validate(app.resiliency, context=reading)
        except ValidationError as error:
            reading.errors(error, where)
            continue
        source = _compiled(name, shape, homes, where, reading)
        if source is not None:
            found[name] = source
    return found


def resiliency_of(
    source: ResiliencySource, home: int, route: int, faulty: int, first: int, at_ns: int, for_ns: int
) -> Resiliency:
    """The value of a plan in which the app stands at the origin `home`, its guarded route at `route`, and the
    fault's app at `faulty`, its routes from `first` on."""

    def placed(step: Step) -> Step:
        return dataclasses.replace(step, origin=faulty, route=first + step.route, redirects=0)

    shape = source.shape
    fault = Fault(placed(source.inject), placed(source.withdraw), at_ns, for_ns, shape.fault.ttl or 0)
    breaker, oracles = shape.breaker, shape.oracles
    doubled = oracles.double_effects
    return Resiliency(
        route,
        fault,
        Breaker(
            _probe(breaker, home),
            breaker.closed,
            breaker.open,
            breaker.half_open,
            breaker.every,
            breaker.since or "",
        ),
        Oracles(
            opens_within_ns=oracles.opens_within,
            closes_within_ns=oracles.closes_within,
            stays_open=oracles.stays_open,
            p95_open_ms=oracles.p95_open_ms,
            error_budget=oracles.error_budget,
            let_through=oracles.let_through,
            double_effects=None if doubled is None else _probe(doubled, home),
        ),
    )


def _probe(shape: ProbeShape, origin: int) -> Probe:
    return Probe(origin, template.parse_text(shape.get), shape.json_)


def _compiled(
    name: str, shape: ResiliencyShape, homes: Mapping[str, Home], where: Where, reading: Reading
) -> ResiliencySource | None:
    home, other = homes[name], shape.fault.app or name
    if shape.route not in home.routes and shape.route not in home.broken:
        message = f"unknown route {shape.route!r}{nearest(shape.route, home.routes)}"
        reading.problem((*where, "route"), message)
    if other not in homes:
        reading.problem((*where, "fault", "app"), f"unknown app {other!r}{nearest(other, homes)}")
        return None
    scope = question_scope(home.app, opened=home.open)
    questions: list[tuple[tuple[str, ...], ProbeShape | None]] = [
        (("breaker",), shape.breaker),
        (("oracles", "double_effects"), shape.oracles.double_effects),
    ]
    for way, question in questions:
        if question is not None:
            for message in template.check(template.parse_text(question.get), scope):
                reading.problem((*where, *way, "get"), message)
    compiler = StepCompiler(Reach(homes[other], None, reading))
    steps = []
    for key, step in (("inject", shape.fault.inject), ("withdraw", shape.fault.withdraw)):
        made = compiler.step(step)
        if made is None:
            continue
        route = list(homes[other].routes.values())[made.route]
        if route.effect != "fault":
            message = f"route {step.route!r} injects no fault; expected one with effect: fault"
            reading.problem((*where, "fault", key, "route"), message)
        steps.append(made)
    return ResiliencySource(other, shape, *steps) if len(steps) == 2 else None
