"""From a step to the bytes of its request, compiled once.

Rules
-----
- One rendering for every transport: the bytes of an HTTP/1.1 request, head and body.
- Constant parts are joined when the scenario is compiled; a request costs its holes only.
- The authority is a constant of the plan: no template can reach it. Values are escaped for the
  place they stand in, and a value that cannot be made safe raises `Unsafe`.
- A write's namespace is checked after substitution, unless it is constant and was checked before.
- A file that a body is made of is the one that was planned: its hash is checked when it is read.
- The token of a request is the one that holds when it is rendered.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

from ecoload.engine.values import (
    Getter,
    Scope,
    Unsafe,
    Values,
    for_header,
    for_path,
    for_query,
)
from ecoload.errors import WorkerFailed
from ecoload.guard.rules import namespace_value
from ecoload.plan import Array, Body, BodyKind, Call, Object, Part, Plan, Ref, Step, StringTemplate, Text
from ecoload.spec.functions import as_text, json_bytes

Render = Callable[[Values], bytes]
Pieces = list["bytes | Getter"]


class Tracer:
    """`traceparent` values (W3C Trace Context): a random prefix a generator, and a counter."""

    def __init__(self) -> None:
        self.prefix = secrets.token_hex(8)
        self.next = count(1).__next__


class Bearer:
    """The token that requests carry: one cell a generator, written when a new token comes."""

    __slots__ = ("value",)

    def __init__(self, token: str) -> None:
        self.value = token.encode("ascii")


def compile_request(
    plan: Plan,
    step: Step,
    scope: Scope,
    workspace: Path,
    tracer: Tracer,
    common: Mapping[str, str],
    bearer: Bearer,
) -> Render:
    """The function that renders a step's request from a VU's values.

    `common` are the headers every request of the run carries, `bearer` holds the token of those whose
    routes want one. Raises `Unsafe` at render time.
    """
    origin = plan.origins[step.origin]
    head: Pieces = [f"{step.method} {origin.base_path}".encode()]
    head += _holes(step.path, scope, for_path)
    for index, (name, value) in enumerate(step.query):
        head += [b"&" if index else b"?", for_query(name), b"="] + _holes(value, scope, for_query)
    head.append(f" HTTP/1.1\r\nHost: {origin.authority}\r\n".encode())
    written = {name.lower() for name, _ in step.headers}
    for name, constant in common.items():
        if name.lower() not in written:
            head.append(f"{name}: {constant}\r\n".encode())
    if plan.routes[step.route].bearer and "authorization" not in written:
        head += [b"Authorization: Bearer ", lambda values: bearer.value, b"\r\n"]
    for name, value in step.headers:
        head += [f"{name}: ".encode(), *_holes(value, scope, for_header), b"\r\n"]

    body = _body(step, scope, workspace)
    if body is not None and step.body is not None and "content-type" not in written:
        head.append(f"Content-Type: {step.body.content_type}\r\n".encode())
    check = _namespace_check(plan, step, scope)
    return _join(head, body, check, tracer, has_length=body is not None or step.method in _BODIED)


_BODIED = frozenset({"POST", "PUT", "PATCH"})


def _join(head: Pieces, body: Pieces | None, check: Any, tracer: Tracer, *, has_length: bool) -> Render:
    """One `%` over all holes: the trace counter, the head's, the length, the body's."""
    head_format, head_getters = _format(head)
    trace = f"traceparent: 00-{tracer.prefix}%016x-%016x-01\r\n".encode()
    number = tracer.next
    if body is None or not any(callable(piece) for piece in body):
        content = b"" if body is None else b"".join(p for p in body if isinstance(p, bytes))
        length = f"Content-Length: {len(content)}\r\n".encode() if has_length else b""
        whole = head_format + trace + length + b"\r\n" + content.replace(b"%", b"%%")
        if not head_getters and check is None:

            def constant(values: Values) -> bytes:
                n = number()
                return whole % (n, n)

            return constant

        def render_head(values: Values) -> bytes:
            if check is not None:
                check(values)
            n = number()
            return whole % (*[get(values) for get in head_getters], n, n)

        return render_head

    body_format, body_getters = _format(body)
    whole = head_format + trace + b"Content-Length: %d\r\n\r\n%b"

    def render(values: Values) -> bytes:
        if check is not None:
            check(values)
        content = body_format % tuple([get(values) for get in body_getters])
        n = number()
        return whole % (*[get(values) for get in head_getters], n, n, len(content), content)

    return render


def _format(pieces: Pieces) -> tuple[bytes, list[Getter]]:
    text = b"".join(p.replace(b"%", b"%%") if isinstance(p, bytes) else b"%b" for p in pieces)
    return text, [p for p in pieces if not isinstance(p, bytes)]


def _holes(template: Any, scope: Scope, encode: Callable[[Any], bytes]) -> Pieces:
    """A text template as constant bytes and getters of encoded values."""
    parts = template.parts if isinstance(template, Text) else (template,)
    pieces: Pieces = []
    for part in parts:
        if isinstance(part, str):
            # What the author wrote stands as written; only substituted values are escaped.
            pieces.append(part.encode() if encode is for_path else encode(part))
        elif scope.constant(part):
            pieces.append(encode(scope.getter(part)([])))
        else:
            pieces.append(_encoded(scope.getter(part), encode))
    return pieces


def _encoded(get: Getter, encode: Callable[[Any], bytes]) -> Getter:
    return lambda values: encode(get(values))


def _body(step: Step, scope: Scope, workspace: Path) -> Pieces | None:
    if step.body is None:
        return None
    kind, content = step.body.kind, step.body.content
    if kind is BodyKind.JSON:
        return _json(content, scope)
    if kind is BodyKind.FORM:
        pieces: Pieces = []
        fields = cast("tuple[tuple[str, StringTemplate], ...]", content)
        for index, (name, value) in enumerate(fields):
            pieces += [b"&" if index else b"", for_query(name), b"=", *_holes(value, scope, for_query)]
        return pieces
    if kind is BodyKind.TEXT:
        return _holes(content, scope, lambda value: as_text(value).encode())
    if kind is BodyKind.FILE:
        return [_file(str(content), step.body, workspace)]
    parts = cast("tuple[Part, ...]", content)
    return _multipart(parts, step.body, scope, workspace)


def _json(value: Any, scope: Scope) -> Pieces:
    """JSON text with holes, so that only the values that change are encoded."""
    if scope.constant(value):
        return [json_bytes(scope.getter(value)([]))]
    if isinstance(value, Object):
        pieces: Pieces = []
        for index, (key, item) in enumerate(value.items):
            pieces += [b"," if index else b"{", json_bytes(key), b":", *_json(item, scope)]
        return [*pieces, b"}"]
    if isinstance(value, Array):
        pieces = []
        for index, item in enumerate(value.items):
            pieces += [b"," if index else b"[", *_json(item, scope)]
        return [*pieces, b"]"]
    if isinstance(value, Call) and value.function in ("uuid", "random_string"):
        # Their alphabet needs no escaping: quoting is all there is to it.
        get = scope.getter(value)
        return [b'"', lambda values: get(values).encode("ascii"), b'"']
    if value in (Ref(("vu",)), Ref(("iteration",))):
        get = scope.getter(value)
        return [lambda values: b"%d" % get(values)]
    return [_encoded(scope.getter(value), json_bytes)]


def _file(name: str, body: Body, workspace: Path) -> bytes:
    """A file of the workspace. Raises WorkerFailed where it is not the plan's."""
    content = (workspace / name).read_bytes()
    if dict(body.file_sha256).get(name) not in (None, hashlib.sha256(content).hexdigest()):
        raise WorkerFailed(f"{name} has changed since the plan was made; make the plan again")
    return content


def _multipart(parts: tuple[Part, ...], body: Body, scope: Scope, workspace: Path) -> Pieces:
    boundary = body.content_type.partition("boundary=")[2]
    pieces: Pieces = []
    for part in parts:
        filename = f'; filename="{part.filename}"' if part.filename else ""
        kind = f"Content-Type: {part.content_type}\r\n" if part.content_type else ""
        disposition = f'Content-Disposition: form-data; name="{part.name}"{filename}\r\n'
        pieces.append(f"--{boundary}\r\n{disposition}{kind}\r\n".encode())
        if part.file is not None:
            pieces.append(_file(part.file, body, workspace))
        else:
            pieces += _holes(part.value, scope, lambda value: as_text(value).encode())
        pieces.append(b"\r\n")
    return [*pieces, f"--{boundary}--\r\n".encode()]


def _namespace_check(plan: Plan, step: Step, scope: Scope) -> Callable[[Values], None] | None:
    """For a write whose namespace is not constant: refuses any value but the app's own."""
    route, origin = plan.routes[step.route], plan.origins[step.origin]
    if route.effect != "write" or route.namespace is None:
        return None
    value = namespace_value(step, route)
    if scope.constant(value) and scope.getter(value)([]) == origin.writes:
        return None
    get, writes = scope.getter(value), origin.writes

    def check(values: Values) -> None:
        if get(values) != writes:
            raise Unsafe(f"a write to {origin.app} would leave its namespace {writes!r}")

    return check
