"""Where a write's namespace stands, and what stands there.

Rules
-----
- A declared place is `json` (a dotted path; numbers count in arrays), `query`, `header`, `form` (form
  or multipart) or `path` (the placeholder's name).
- Two values in one place are no namespace: servers differ in which of them they read.
"""

from __future__ import annotations

import re

from ecoload.guard.paths import HOLE, path_pattern, pieces, placeholders, with_holes
from ecoload.plan import (
    Array,
    Body,
    BodyKind,
    Call,
    NamespaceAt,
    Object,
    Part,
    Plan,
    Ref,
    Route,
    Step,
    StringTemplate,
    Text,
    Value,
)


def namespace_value(step: Step, route: Route) -> Value | None:
    """The value a step puts where its route declares the namespace; None where there is none, or
    more than one, or it cannot be seen (a file, a whole body in one `${…}`)."""
    values = namespace_values(step, route)
    return values[0] if len(values) == 1 else None


def namespace_values(step: Step, route: Route) -> list[Value]:
    """Every value that stands at the declared place."""
    place = route.namespace
    if place is None:
        return []
    match place.place:
        case "query":
            return [value for name, value in step.query if name == place.at]
        case "header":
            return [value for name, value in step.headers if name.lower() == place.at.lower()]
        case "path":
            return _path_values(step.path, route, place)
        case "form":
            return _form_values(step.body, place.at)
        case "json":
            return _json_values(step.body, place.at)


def _form_values(body: Body | None, name: str) -> list[Value]:
    if body is None or not isinstance(body.content, tuple):
        return []
    if body.kind is BodyKind.FORM:
        return [item[1] for item in body.content if isinstance(item, tuple) and item[0] == name]
    # A file under the namespace's name is no namespace, but it is in the way of one.
    return [item.value for item in body.content if isinstance(item, Part) and item.name == name]


def _json_values(body: Body | None, path: str) -> list[Value]:
    if body is None or body.kind is not BodyKind.JSON:
        return []
    values: list[Value] = [body.content]  # type: ignore[list-item]
    for key in path.removeprefix("$.").split("."):
        values = [inner for value in values for inner in _inside(value, key)]
    return values


def _inside(value: Value, key: str) -> list[Value]:
    if isinstance(value, Object):
        return [item for name, item in value.items if name == key]
    if isinstance(value, Array) and key.isdecimal() and int(key) < len(value.items):
        return [value.items[int(key)]]
    return []


def _path_values(path: StringTemplate, route: Route, place: NamespaceAt) -> list[Value]:
    match = path_pattern(route.path).fullmatch(with_holes(path))
    if match is None:
        return []
    holes = iter([piece for piece in pieces(path) if not isinstance(piece, str)])
    values: list[Value] = []
    for name, text in zip(placeholders(route.path), match.groups(), strict=True):
        parts = [next(holes) if part == HOLE else part for part in re.split(f"({HOLE})", text) if part]
        if name == place.at:
            values.append(parts[0] if len(parts) == 1 else Text(tuple(parts)))
    return values


def constant(plan: Plan, value: Value) -> tuple[bool, Value]:
    """Whether a value is known before the run, and what it is."""
    match value:
        case Ref(name=("protocol", "namespace")):
            return True, plan.protocol.namespace
        case Ref(name=("env", variable)):
            return True, dict(plan.env).get(variable)
        case Ref() | Call():
            return False, None
        case Text():
            parts = [constant(plan, part) for part in value.parts]
            return all(known for known, _ in parts), "".join(str(part) for _, part in parts)
        case _:
            return True, value
