"""Bodies of requests, and the namespace that a write must hold.

Rules
-----
- Files stand in the workspace; their hashes go into the plan.
- A multipart boundary is made of the parts, so that the same scenario gives the same plan.
- A write holds its namespace where its route says, and a constant one is the app's own; what only the
  request shows is the guard's to check.
"""

from __future__ import annotations

import dataclasses
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import Any

from ecoload.plan import Body, BodyKind, NamespaceAt, Object, Part, Ref, Step, StringTemplate
from ecoload.spec import template
from ecoload.spec.files import is_inside
from ecoload.spec.reach import Reach
from ecoload.spec.scenarios import PartShape, StepShape
from ecoload.spec.yaml12 import Where

_TYPES = mimetypes.MimeTypes()
"""Python's own table: the machine's would make the plan another one elsewhere."""


def compile_body(shape: StepShape, reach: Reach) -> Body | None:
    """The body of a step, if it has one."""
    where = shape.where
    match shape.body_kind:
        case "json":
            return Body(BodyKind.JSON, reach.value(shape.json_, (*where, "json")), "application/json")
        case "form":
            fields = (shape.form or {}).items()
            pairs = tuple((k, reach.text(v, (*where, "form", k), safe=False)) for k, v in fields)
            return Body(BodyKind.FORM, pairs, "application/x-www-form-urlencoded")
        case "text":
            text = reach.text(shape.text or "", (*where, "text"), safe=False)
            return Body(BodyKind.TEXT, text, "text/plain; charset=utf-8")
        case "file":
            file = shape.file or ""
            kind = _TYPES.guess_type(file)[0] or "application/octet-stream"
            return Body(BodyKind.FILE, file, kind, _file(file, (*where, "file"), reach))
        case "multipart":
            return _multipart(shape, reach)
    return None


def _multipart(shape: StepShape, reach: Reach) -> Body:
    parts: list[Part] = []
    files: tuple[tuple[str, str], ...] = ()
    for name, raw in (shape.multipart or {}).items():
        where = (*shape.where, "multipart", name)
        if re.search(r'["\r\n\0]', name):
            reach.reading.problem(where, "quotes, CR, LF and NUL must not stand in a part's name")
        if not isinstance(raw, PartShape):
            parts.append(Part(name, reach.text(raw, where, safe=False)))
        elif raw.file is not None:
            files += _file(raw.file, (*where, "file"), reach)
            kind = raw.content_type or _TYPES.guess_type(raw.file)[0] or "application/octet-stream"
            parts.append(Part(name, None, raw.file, raw.filename or Path(raw.file).name, kind))
        else:
            value = reach.text(raw.value, (*where, "value"), safe=False)
            parts.append(Part(name, value, None, raw.filename, raw.content_type))
    boundary = hashlib.sha256(repr((parts, files)).encode()).hexdigest()[:32]
    kind = f"multipart/form-data; boundary=ecoload{boundary}"
    return Body(BodyKind.MULTIPART, tuple(parts), kind, files)


def _file(file: str, where: Where, reach: Reach) -> tuple[tuple[str, str], ...]:
    """The hash of a file of the workspace."""
    workspace = reach.home.workspace.resolve()
    path = (workspace / file).resolve()
    if not is_inside(file) or not path.is_relative_to(workspace):
        reach.reading.problem(where, f"{file} is outside the workspace; name one within it, without '..'")
        return ()
    try:
        return ((file, hashlib.sha256(path.read_bytes()).hexdigest()),)
    except OSError as error:
        reach.reading.problem(where, f"{file} cannot be read: {error.strerror}")
        return ()


def typed(
    headers: tuple[tuple[str, StringTemplate], ...], body: Body
) -> tuple[tuple[tuple[str, StringTemplate], ...], Body]:
    """A constant Content-Type header becomes the body's own."""
    for name, value in headers:
        if name.lower() == "content-type" and isinstance(value, str) and body.kind is not BodyKind.MULTIPART:
            rest = tuple(pair for pair in headers if pair[0] != name)
            return rest, dataclasses.replace(body, content_type=value)
    return headers, body


def check_namespace(shape: StepShape, step: Step, at: NamespaceAt, reach: Reach) -> None:
    """Note a write that does not hold its namespace where its route says."""
    found, value = _namespace_of(shape, step, at)
    if not found:
        place = f"the {at.place} {at.at!r}"
        message = f"route {shape.route!r} writes: {place} must hold the namespace ({reach.home.namespace})"
        reach.reading.problem(shape.where, message)
        return
    if value == Ref(("protocol", "namespace")):
        value = reach.home.namespace
    writes = reach.home.app.writes
    if writes is not None and template.is_constant(value) and value != writes:
        message = f"{at.place} {at.at!r}: expected the app's namespace {writes!r}, got {value!r}"
        reach.reading.problem(shape.where, message)


def _namespace_of(shape: StepShape, step: Step, at: NamespaceAt) -> tuple[bool, Any]:
    """Whether the place is filled, and with what; a place that only the request shows counts as filled."""
    body = step.body
    if at.place == "path":
        raw = shape.path.get(at.at)
        return True, template.parse_text(raw) if isinstance(raw, str) and "${" in raw else raw
    if at.place == "query":
        pairs = dict(step.query)
        return at.at in pairs, pairs.get(at.at)
    if at.place == "header":
        headers = {name.lower(): value for name, value in step.headers}
        return at.at.lower() in headers, headers.get(at.at.lower())
    if at.place == "form":
        pairs = dict(body.content) if body is not None and body.kind is BodyKind.FORM else {}  # type: ignore[arg-type]
        return at.at in pairs, pairs.get(at.at)
    if body is None or body.kind is not BodyKind.JSON:
        return False, None
    value: Any = body.content
    for key in at.at.removeprefix("$.").split("."):
        if not isinstance(value, Object):
            # A whole template can be an object when it is sent; the guard looks again then.
            return not template.is_constant(value), Ref(())
        members = dict(value.items)
        if key not in members:
            return False, None
        value = members[key]
    return True, value
