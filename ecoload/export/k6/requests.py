"""One request of a step: where it goes, with what, and what is looked at before it is sent.

Rules
-----
- Method, path, query, headers and body are those of `engine/request.py`. Go sends the names of headers in its
  own spelling and order; no server may mind.
- What Go would send otherwise (a path that it escapes, a header beyond ASCII) is refused.
- No redirect is followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ecoload.export.k6 import layout
from ecoload.export.k6.bodies import body, form
from ecoload.export.k6.js import Raw
from ecoload.export.k6.layout import Binary, Call, Node, Not, Obj, Template
from ecoload.export.k6.naming import base_url_name
from ecoload.export.k6.values import Hole, Names, as_known
from ecoload.guard.namespace import namespace_value
from ecoload.guard.text import query_value
from ecoload.plan import Plan, Step

SETUP, TEARDOWN = "(setup)", "(teardown)"
"""The names that the requests of setup and teardown stand under; no route has such a one."""
_VERBS = {"POST": "post", "PUT": "put", "PATCH": "patch", "DELETE": "del", "OPTIONS": "options"}
_BODILESS = {"GET": "get", "HEAD": "head"}
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/\[\]-]|%[0-9A-Fa-f]{2})*")
"""What Go sends of a path as it is written."""
_WIDEST_URL = 70
_USUAL_TIMEOUT_NS = 60_000_000_000
_OF_GO = frozenset({"traceparent", "trailer"})
"""Headers that would stand twice, or not at all."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request: `call` sends it, `query` is what the variable `query` of its URL holds, if it has one, and
    `refusals` are tests, each with the place where a value must not stand if it is true."""

    call: Call
    query: Call | None
    refusals: tuple[tuple[Node, str], ...]


def request(plan: Plan, step: Step, names: Names, tag: str, query_name: str) -> Sent:
    """The request of a step, its samples under the name `tag`. A long query is put together before, in a
    variable `query_name`."""
    holes: list[Hole] = []
    url, query = _url(plan, step, names, holes, query_name)
    sent = body(step.body, names) if step.body is not None else None
    params = _params(plan, step, names, holes, tag)
    refusals = (*_misplaced(holes, names), *_leaving(plan, step, names))
    names.needs.add("http")
    return Sent(_call(step.method, url, sent, params), query, refusals)


def _call(method: str, url: Node, sent: Node, params: Obj) -> Call:
    if method in _BODILESS and sent is None:
        return Call(f"http.{_BODILESS[method]}", (url, params))
    if method in _VERBS:
        return Call(f"http.{_VERBS[method]}", (url, sent, params))
    return Call("http.request", (method, url, sent, params))


def _url(
    plan: Plan, step: Step, names: Names, holes: list[Hole], query_name: str
) -> tuple[Node, Call | None]:
    path, found = names.in_path(step.path)
    holes += found
    for part in path:
        if isinstance(part, str) and not _PATH.fullmatch(part):
            names.refuse(f"its path has what k6 would escape: {part!r}; write it percent-encoded")
    base: list[str | Raw] = [Raw(base_url_name(plan.origins[step.origin].app)), *path]
    query: list[str | Raw] = []
    for index, (name, value) in enumerate(step.query):
        query += ["&" if index else "?", f"{query_value(name)}=", *names.in_query(value)]
    url = layout.joined([*base, *query])
    if len(step.query) > 1 and len(layout.expression(url)) > _WIDEST_URL:
        fields = form(step.query, names)
        if isinstance(fields, Call):
            return layout.joined([*base, "?", Raw(query_name)]), fields
    return url, None


def _params(plan: Plan, step: Step, names: Names, holes: list[Hole], tag: str) -> Obj:
    items: list[tuple[str | None, Node]] = [("tags", Obj((("name", tag),), flat=True))]
    items.append(("headers", _headers(plan, step, names, holes)))
    if tag in (SETUP, TEARDOWN):
        items.append(("responseCallback", None))  # so it is neither expected nor unexpected in the figures
    elif step.check.status:
        expected = Call("http.expectedStatuses", tuple(dict.fromkeys(step.check.status)))
        items.append(("responseCallback", expected))
    items.append(("redirects", 0))
    if step.timeout_ns != _USUAL_TIMEOUT_NS:
        items.append(("timeout", _duration(step.timeout_ns)))
    return Obj(tuple(items))


def _headers(plan: Plan, step: Step, names: Names, holes: list[Hole]) -> Node:
    names.needs.add("tracing")
    tracing = Call("tracing", (Raw("run"),))
    written = {name.lower() for name, _ in step.headers}
    for name in sorted(written & _OF_GO):
        names.refuse(f"the header {name} is not the step's to set in k6; leave it out")
    own: list[tuple[str | None, Node]] = []
    if plan.routes[step.route].bearer and "authorization" not in written:
        names.needs.add("bearer")
        own.append(("Authorization", Template(("Bearer ", Raw("bearer(run)")))))
    if step.body is not None and "content-type" not in written:
        node, _ = names.in_header("Content-Type", step.body.content_type)
        own.append(("Content-Type", node))
    for name, value in step.headers:
        node, found = names.in_header(name, value)
        holes += found
        own.append((name, node))
    return Obj(((None, tracing), *own)) if own else tracing


def _misplaced(holes: list[Hole], names: Names) -> Iterator[tuple[Node, str]]:
    """Tests of the values that must not stand everywhere."""
    for check, where in (("fitsPath", "its path"), ("fitsHeader", "a header")):
        found = dict.fromkeys(hole.node for hole in holes if hole.check == check)
        tests = tuple(Not(Call(check, (node,))) for node in found)
        if tests:
            names.needs.add(check)
            yield tests[0] if len(tests) == 1 else Binary("||", tests), where


def _leaving(plan: Plan, step: Step, names: Names) -> Iterator[tuple[Node, str]]:
    """A test of a write whose namespace only the run tells."""
    route, writes = plan.routes[step.route], plan.origins[step.origin].writes
    if route.effect != "write" or route.namespace is None:
        return
    value = namespace_value(step, route)
    known = names.constant(value)
    if not as_known(known):
        yield Binary("!==", (names.value(value).node, writes)), "its namespace"
    elif known != writes:
        names.refuse(f"it would leave the namespace {writes!r}")


def _duration(ns: int) -> str:
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns}ns"
