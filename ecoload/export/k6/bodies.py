"""Bodies of requests, byte for byte as `engine/request.py` makes them.

Rules
-----
- JSON is `JSON.stringify` of an object where that gives the same text, else the text with what varies in it.
- A form is written by `form`, which percent-encodes as ecoload does; k6's own sorts the fields, and writes a
  space as `+`.
- Files are opened when the script is; parts of a multipart body stand in their order, with the plan's
  boundary.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from ecoload.export.k6 import layout
from ecoload.export.k6.helpers import FILE
from ecoload.export.k6.js import Raw
from ecoload.export.k6.layout import Arr, Binary, Call, Index, Node, Obj
from ecoload.export.k6.values import Names, as_known
from ecoload.guard.text import query_value
from ecoload.plan import Array, Body, BodyKind, Object, Part, StringTemplate, Value
from ecoload.spec.functions import json_bytes

Pairs = tuple[tuple[str, StringTemplate], ...]


def body(said: Body, names: Names) -> Node:
    """What is handed to k6 as the body; null where it is empty."""
    match said.kind:
        case BodyKind.JSON:
            return _json(cast("Value", said.content), names)
        case BodyKind.FORM:
            return form(cast("Pairs", said.content), names) or None
        case BodyKind.TEXT:
            text = names.text(cast("StringTemplate", said.content)).node
            return (text or None) if isinstance(text, str) else Binary("||", (text, None))
        case BodyKind.FILE:
            return _file(str(said.content), said, names)
    boundary = said.content_type.partition("boundary=")[2]
    parts = tuple(_part(part, said, names) for part in cast("tuple[Part, ...]", said.content))
    names.needs.add("multipart")
    return Call("multipart", (boundary, Arr(parts)))


def form(fields: Pairs, names: Names) -> Node:
    """Fields percent-encoded and joined: a call of `form`, or text where nothing varies or JavaScript would
    put them in another order."""
    if all(as_known(names.constant(value)) for _, value in fields) or any(
        name.isdigit() for name, _ in fields
    ):
        parts: list[str | Raw] = []
        for index, (name, value) in enumerate(fields):
            parts += ["&" if index else "", query_value(name), "=", *names.in_query(value)]
        return layout.joined(parts)
    names.needs.add("form")
    return Call("form", (Obj(tuple((name, _field(value, names)) for name, value in fields)),))


def _field(value: StringTemplate, names: Names) -> Node:
    """A field's value; `form` makes text of it."""
    known = names.constant(value)
    if as_known(known):
        return names.text(value).node
    said = names.value(value)
    names.note_text(value)
    return names.text(value).node if said.kind == "bytes" else said.node


def _json(value: Value, names: Names) -> Node:
    if names.told_apart(value):
        return Call("JSON.stringify", (names.json(value),))
    return layout.joined(_json_text(value, names))


def _json_text(value: Value, names: Names) -> list[str | Raw]:
    """JSON as text with what varies in it, as ecoload itself writes it."""
    if as_known(known := names.constant(value)):
        names.literal(known)
        return [json_bytes(known).decode()]
    parts: list[str | Raw] = []
    match value:
        case Object():
            for index, (key, item) in enumerate(value.items):
                lead = "," if index else "{"
                parts += [f"{lead}{orjson.dumps(key).decode()}:", *_json_text(item, names)]
            return [*parts, "}"]
        case Array():
            for index, item in enumerate(value.items):
                parts += ["," if index else "[", *_json_text(item, names)]
            return [*parts, "]"]
    return [Raw(layout.expression(Call("JSON.stringify", (names.json(value),))))]


def _part(part: Part, said: Body, names: Names) -> Node:
    items: list[tuple[str | None, Node]] = [("name", part.name)]
    if part.filename:
        items.append(("filename", part.filename))
    if part.content_type:
        items.append(("type", part.content_type))
    content: Any = part.value if part.value is not None else ""
    items.append(("content", _file(part.file, said, names) if part.file else names.text(content).node))
    return Obj(tuple(items))


def _file(name: str, said: Body, names: Names) -> Node:
    sha256 = dict(said.file_sha256).get(name)
    if sha256 is None:
        names.refuse(f"the plan does not say what is in {name}")
    names.needs.add(f"{FILE}{sha256}:{name}")
    return Index("FILES", name)
