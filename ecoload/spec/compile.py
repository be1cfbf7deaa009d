"""From a scenario's shape to a scenario of the plan: templates parsed, every name looked up.

Rules
-----
- All problems of a scenario are noted, each at its line; nothing is raised.
- What is captured in one branch of a `choose` only is not in reach after it.
- Indices of routes count from the app's first; `placed` moves them to where the app stands in a plan.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import Any
from urllib.parse import quote

from ecoload.plan import (
    Branch,
    Capture,
    Choose,
    Route,
    Scenario,
    Step,
    StringTemplate,
    Text,
)
from ecoload.spec import template
from ecoload.spec.bodies import check_namespace, compile_body, typed
from ecoload.spec.expectations import compile_check
from ecoload.spec.reach import Home, Reach
from ecoload.spec.scenarios import ChooseShape, ScenarioShape, StepShape
from ecoload.spec.shape import Reading
from ecoload.spec.targets import placeholders
from ecoload.spec.template import TemplateError, nearest
from ecoload.spec.yaml12 import Where


def compile_scenario(
    name: str, shape: ScenarioShape, home: Home, data: set[str] | None, reading: Reading
) -> Scenario:
    """The scenario, its routes counted from the app's first, its origin 0."""
    reach = Reach(home, data, reading)
    compiler = StepCompiler(reach)
    setup = compiler.steps(shape.setup)
    reach.enter()
    lets = tuple(reach.let(key, value) for key, value in shape.let.items())
    steps = compiler.steps(shape.steps)
    reach.leave()
    teardown = compiler.steps(shape.teardown)
    return Scenario(name, lets, steps, setup, teardown, shape.feeder, k6=shape.k6)


def placed(scenario: Scenario, origin: int, first_route: int) -> Scenario:
    """The same scenario with its app at `origin` and the app's routes from `first_route` on."""

    def move(steps: tuple[Step | Choose, ...]) -> tuple[Step | Choose, ...]:
        moved: list[Step | Choose] = []
        for step in steps:
            if isinstance(step, Choose):
                moved.append(Choose(tuple(Branch(b.weight, move(b.steps)) for b in step.branches)))
            else:
                moved.append(dataclasses.replace(step, origin=origin, route=first_route + step.route))
        return tuple(moved)

    return dataclasses.replace(
        scenario, steps=move(scenario.steps), setup=move(scenario.setup), teardown=move(scenario.teardown)
    )


class StepCompiler:
    """Goes through the steps of a scenario."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.home = reach.home
        self.reading = reach.reading

    def turn_to(self, home: Home) -> None:
        """From here on steps are those of another app; what is in reach stays, its own secrets come."""
        self.home = self.reach.home = home
        app = home.app
        self.reach.scope = dataclasses.replace(self.reach.scope, env=app.env, secrets=app.secrets)

    def steps(self, shapes: list[Any]) -> tuple[Step | Choose, ...]:
        compiled = [self.choose(s) if isinstance(s, ChooseShape) else self.step(s) for s in shapes]
        return tuple(step for step in compiled if step is not None)

    def choose(self, shape: ChooseShape) -> Choose:
        before = self.reach.scope
        branches, made = [], []
        for branch in shape.choose:
            self.reach.scope = before
            branches.append(Branch(branch.weight, self.steps(branch.steps)))
            made.append(set(self.reach.scope.names) - set(before.names))
        sure, seen = (set.intersection(*made), set.union(*made)) if made else (set(), set())
        later = dict.fromkeys(seen - sure, "is captured in some branches only, so it may be missing here")
        self.reach.scope = dataclasses.replace(
            before, names={*before.names, *sure}, later={**before.later, **later}
        )
        return Choose(tuple(branches))

    def step(self, shape: StepShape) -> Step | None:
        where, home = shape.where, self.home
        route = home.routes.get(shape.route)
        if route is None and shape.route not in home.broken:
            hint = nearest(shape.route, {*home.routes, *home.broken})
            message = f"app {home.app_name!r} has no route {shape.route!r}{hint}"
            self.reading.problem((*where, "route"), message)
        path = self._path(shape, route) if route is not None else "/"
        query = tuple((key, self.reach.text(v, (*where, "query", key))) for key, v in shape.query.items())
        body = compile_body(shape, self.reach)
        headers = self._headers(shape)
        if body is not None:
            headers, body = typed(headers, body)
        check = compile_check(shape.check, self.reach.value, self.reading)
        captures = self._captures(shape)
        step = Step(
            route=list(home.routes).index(shape.route) if route is not None else 0,
            origin=0,
            method=route.method if route is not None else "GET",
            path=path,
            query=query,
            headers=headers,
            body=body,
            check=check,
            captures=captures,
            think=shape.thinks,
            timeout_ns=shape.timeout,
            redirects=shape.redirects,
        )
        if route is None:
            return None
        if route.effect == "write" and route.namespace is not None:
            check_namespace(shape, step, route.namespace, self.reach)
        return step

    def _path(self, shape: StepShape, route: Route) -> StringTemplate:
        where = (*shape.where, "path")
        names = placeholders(route.path)
        for name in shape.path:
            if name not in names:
                message = f"{route.path} has no placeholder {{{name}}}{nearest(name, names)}"
                self.reading.problem((*where, name), message)
        if missing := [name for name in names if name not in shape.path]:
            self.reading.problem(where, f"{route.path} needs a value for {', '.join(missing)}")
            return route.path
        parts: list[Any] = []
        for index, piece in enumerate(re.split(r"\{(\w+)\}", route.path)):
            if index % 2 == 0:
                parts.append(piece)
                continue
            value = self.reach.text(shape.path[piece], (*where, piece))
            if value in ("", ".", ".."):
                self.reading.problem((*where, piece), f"{value!r} cannot stand in a path")
            written = value.parts if isinstance(value, Text) else (value,)
            parts += [quote(part, safe="") if isinstance(part, str) else part for part in written]
        return _joined(parts)

    def _headers(self, shape: StepShape) -> tuple[tuple[str, StringTemplate], ...]:
        """The app's headers, then the step's; the step's win."""
        own = {name.lower() for name in shape.headers}
        headers = []
        for name, raw in self.home.app.headers.items():
            if name.lower() not in own:
                # What is wrong in the app's headers is noted with the app.
                with contextlib.suppress(TemplateError):
                    headers.append((name, template.parse_text(raw)))
        for name, raw in shape.headers.items():
            headers.append((name, self.reach.text(raw, (*shape.where, "headers", name))))
        if len(own) != len(shape.headers):
            self.reading.problem((*shape.where, "headers"), "a header stands here twice")
        return tuple(headers)

    def _captures(self, shape: StepShape) -> tuple[Capture, ...]:
        captures = []
        for name, capture in shape.capture.items():
            where = (*shape.where, "capture", name)
            self.reach.make(name, where)
            if capture.regex is not None:
                _regex(capture.regex, (*where, "regex"), self.reading)
            if capture.json_ is not None:
                captures.append(Capture(name, "json", capture.json_))
            elif capture.header is not None:
                captures.append(Capture(name, "header", capture.header, capture.regex))
            elif capture.regex is not None:
                captures.append(Capture(name, "regex", capture.regex))
            else:
                captures.append(Capture(name, "status"))
        return tuple(captures)


def _joined(parts: list[Any]) -> StringTemplate:
    merged: list[Any] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return merged[0] if len(merged) == 1 else Text(tuple(merged))


def _regex(pattern: str, where: Where, reading: Reading) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        reading.problem(where, f"is not a regular expression: {error}")
