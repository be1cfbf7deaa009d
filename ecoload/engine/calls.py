"""What a Python scenario asks for, as the steps of a plan.

Rules
-----
- A call becomes a step whose values are all holes: calls of one shape share one compiled step, and
  every value meets the escaping and the guards that a YAML step's values meet.
- Only declared routes: the route says app, method and path. An unknown route, a placeholder too few or
  too many and a shape that the guard refuses are errors of the scenario, raised where they stand.
- A value that must not go where it stands is `guard_refused` when it is rendered, as in YAML.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecoload.engine.program import CompiledStep
from ecoload.engine.values import Scope
from ecoload.errors import UsageError
from ecoload.guard.paths import placeholders
from ecoload.guard.rules import check_plan
from ecoload.plan import (
    OPERATORS,
    Array,
    Body,
    BodyKind,
    Check,
    Expect,
    Object,
    Plan,
    Ref,
    Scenario,
    Step,
    Text,
    Value,
)

NOTHING: Any = object()
"""No body; None is one, the JSON `null`."""
MOST_SHAPES = 1_000
"""Compiled steps that are kept; a scenario whose shapes do not repeat starts over."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The arguments of one request, as the scenario gave them."""

    route: str
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    headers: Mapping[str, Any]
    json: Any
    form: Mapping[str, Any] | None
    text: str | None
    check: Mapping[str, Any]
    timeout_s: float


class Calls:
    """Turns calls into compiled steps and the values that fill them.

    `compile_step` compiles a step of the plan; `scope` names its holes.
    """

    def __init__(
        self, plan: Plan, scenario: Scenario, scope: Scope, compile_step: Callable[[Step], CompiledStep]
    ) -> None:
        self._plan = dataclasses.replace(plan, loads=())
        self._name = scenario.name
        self._scope = scope
        self._compile = compile_step
        self._compiled: dict[Step, CompiledStep] = {}
        self._routes = {f"{route.app}.{route.name}": index for index, route in enumerate(plan.routes)}
        own = scenario.name if any(route.app == scenario.name for route in plan.routes) else plan.app
        self._routes |= {route.name: i for i, route in enumerate(plan.routes) if route.app == own}
        self._origins = {origin.app: index for index, origin in enumerate(plan.origins)}

    def step(self, ask: Ask) -> tuple[CompiledStep, list[Any]]:
        """The compiled step of a call, and its holes' values from `FIRST_FREE` on.

        Raises UsageError for what is not declared or makes no sense, GuardRefused for what must not be
        sent whatever its values are.
        """
        building = _Building()
        step = self._step(ask, building)
        compiled = self._compiled.get(step)
        if compiled is None:
            probe = Scenario(self._name, steps=(step,))
            check_plan(dataclasses.replace(self._plan, scenarios=(probe,)))
            for name in building.names():
                self._scope.slot(name)
            if len(self._compiled) >= MOST_SHAPES:
                self._compiled.clear()
            compiled = self._compiled[step] = self._compile(step)
        return compiled, building.values

    def _step(self, ask: Ask, building: _Building) -> Step:
        index = self._routes.get(ask.route)
        if index is None:
            raise UsageError(f"no route {ask.route!r} is declared{_nearest(ask.route, self._routes)}")
        route = self._plan.routes[index]
        if route.app not in self._origins:
            raise UsageError(f"route {ask.route!r} belongs to {route.app}, which is not part of this plan")
        wanted, given = set(placeholders(route.path)), set(ask.path)
        if wanted != given:
            raise UsageError(
                f"route {ask.route!r} is {route.path}: "
                f"path= must give {sorted(wanted)}, and gives {sorted(given)}"
            )
        return Step(
            route=index,
            origin=self._origins[route.app],
            method=route.method,
            path=building.path(route.path, ask.path),
            query=building.pairs(ask.query),
            headers=building.pairs(ask.headers),
            body=building.body(ask, _json_place(self._plan, index)),
            check=building.check(ask.check),
            timeout_ns=_nanoseconds(ask.timeout_s),
        )


class _Building:
    """One call on its way to a step: each value is put aside and leaves a hole."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def names(self) -> Iterable[str]:
        return map(_name, range(len(self.values)))

    def hole(self, value: Any) -> Ref:
        self.values.append(value)
        return Ref((_name(len(self.values) - 1),))

    def pairs(self, values: Mapping[str, Any]) -> tuple[tuple[str, Ref], ...]:
        return tuple((name, self.hole(value)) for name, value in values.items())

    def path(self, declared: str, values: Mapping[str, Any]) -> str | Text:
        pieces = re.split(r"\{([^{}]+)\}", declared)
        if len(pieces) == 1:
            return declared
        parts = [self.hole(values[p]) if i % 2 else p for i, p in enumerate(pieces)]
        return Text(tuple(part for part in parts if part != ""))

    def body(self, ask: Ask, namespace: list[str]) -> Body | None:
        kinds = [ask.json is not NOTHING, ask.form is not None, ask.text is not None]
        if sum(kinds) > 1:
            raise UsageError("a request has one body: json=, form= or text=")
        if ask.json is not NOTHING:
            return Body(BodyKind.JSON, self.json(ask.json, namespace), "application/json")
        if ask.form is not None:
            return Body(BodyKind.FORM, self.pairs(ask.form), "application/x-www-form-urlencoded")
        if ask.text is not None:
            return Body(BodyKind.TEXT, self.hole(ask.text), "text/plain; charset=utf-8")
        return None

    def json(self, value: Any, namespace: list[str]) -> Value:
        """One hole, or as much structure as shows the guard where the namespace stands."""
        if namespace and isinstance(value, Mapping):
            return Object(tuple((k, self.json(v, _below(namespace, k))) for k, v in value.items()))
        if namespace and isinstance(value, list | tuple):
            return Array(tuple(self.json(v, _below(namespace, str(i))) for i, v in enumerate(value)))
        return self.hole(value)

    def check(self, wanted: Mapping[str, Any]) -> Check:
        unknown = sorted(set(wanted) - {"status", "headers", "json", "body"})
        if unknown:
            raise UsageError(f"check= takes status, headers, json and body, not {', '.join(unknown)}")
        status = wanted.get("status", ())
        return Check(
            status=(status,) if isinstance(status, int) else tuple(status),
            headers=tuple((k, e) for k, v in wanted.get("headers", {}).items() for e in self.expects(v)),
            json=tuple((k, e) for k, v in wanted.get("json", {}).items() for e in self.expects(v)),
            body=tuple(self.expects(wanted["body"])) if "body" in wanted else (),
        )

    def expects(self, wanted: Any) -> list[Expect]:
        """A bare value means equal, a mapping of operators each of them."""
        operators = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
        unknown = sorted(set(operators) - set(OPERATORS))
        if unknown or not operators:
            raise UsageError(
                f"a check compares with a value or takes {', '.join(sorted(OPERATORS))}, not {unknown}"
            )
        return [Expect(operator, self.hole(value)) for operator, value in operators.items()]


def _name(index: int) -> str:
    return f"v{index}"


def _below(namespace: list[str], key: str) -> list[str]:
    return namespace[1:] if key == namespace[0] else []


def _json_place(plan: Plan, route: int) -> list[str]:
    place = plan.routes[route].namespace
    if place is None or place.place != "json":
        return []
    return place.at.removeprefix("$.").split(".")


def _nanoseconds(timeout_s: float) -> int:
    if not timeout_s > 0:
        raise UsageError(f"timeout_s must be more than 0, got {timeout_s!r}")
    return round(timeout_s * 1e9)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
