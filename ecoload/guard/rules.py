"""What may be sent where: read-only apps, namespaces, redirects.

Rules
-----
- A plan is checked before anything is sent, and every refusal is told at once.
- A step sends what its route declares: the route's app, method and path. Values may stand only where
  the declared path has a `{name}`; they are encoded to stay in their segment (`guard/text.py`).
- A route with `effect: write` goes only to an app that allows writes, with the app's namespace at the
  declared place, once. A namespace that is only known at run time is checked by the engine there.
- A route with `effect: fault` goes to any app but a production one; a human approves it (`approval`).
- What is asked beside the load (probes, tokens) never goes to a route that has an effect.
- A redirect is followed only to a listed origin, and to nothing a step could not have been sent to; never
  to a fault.
- What `deny` names is never sent, whoever declares it: no step, probe, token or redirect goes there.
- A browser writes only to apps that allow writes. What it asks beyond that it is refused where it runs
  (`export/playwright/project/guard.ts`): what a page sends is not known before.
- A GET or HEAD that no route declares is allowed on an app that allows writes, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import SplitResult, parse_qsl, unquote

from ecoload.errors import GuardRefused
from ecoload.guard.denied import could_be, denied_by
from ecoload.guard.namespace import constant, namespace_value, namespace_values
from ecoload.guard.paths import (
    DEFAULT_PORT,
    HOLE,
    path_pattern,
    pieces,
    shown,
    split_url,
    standing_at,
    with_holes,
)
from ecoload.guard.reach import at_one_address, fault_steps, is_production, questions, steps, used_origins
from ecoload.guard.text import has_dot_segment, header_value_ok
from ecoload.plan import Origin, Plan, Route, Step
from ecoload.plan.suite import Watched

__all__ = ["RedirectRules", "check_plan", "check_watched", "namespace_value", "redirect_allowed"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FRAMING = frozenset({"host", "content-length", "transfer-encoding"})
_OVERRIDING = frozenset(
    "x-http-method-override x-http-method x-method-override x-original-url x-rewrite-url".split()
)
"""Headers by which some servers take a request for another one."""


def check_plan(plan: Plan) -> None:
    """Raises GuardRefused with one line for everything in the plan that must not be sent."""
    refusals = []
    for scenario in plan.scenarios:
        for part in ("setup", "steps", "teardown"):
            for number, step in enumerate(steps(getattr(scenario, part)), 1):
                section = "step" if part == "steps" else f"{part} step"
                where = f"scenario {scenario.name}, {section} {number}"
                refusals += [f"{where}: {reason}" for reason in _step_refusals(plan, step)]
    for step in fault_steps(plan):
        refusals += [f"resiliency.fault: {reason}" for reason in _step_refusals(plan, step)]
    refusals += _beside_refusals(plan)
    refusals += _browser_refusals(plan)
    if refusals:
        raise GuardRefused("\n".join(dict.fromkeys(refusals)))


def check_watched(plan: Plan, watched: Iterable[Watched]) -> None:
    """Raises GuardRefused for what must not be probed while a suite runs; `plan` has the apps' origins."""
    refusals: list[str] = []
    for one in watched:
        name = f"health of {one.app}"
        refusals += _question_refusals(plan, name, one.probe.origin, "GET", with_holes(one.probe.path))
    if refusals:
        raise GuardRefused("\n".join(refusals))


def redirect_allowed(
    plan: Plan, from_origin: int, method: str, url: str, route: int | None = None
) -> int | None:
    """`RedirectRules(plan).allowed(…)`, for a single question."""
    return RedirectRules(plan).allowed(from_origin, method, url, route)


class RedirectRules:
    """Where redirects may lead; compiled once for a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._used = used_origins(plan)
        self._declared = [
            [(r, path_pattern(r.path)) for r in plan.routes if r.app == origin.app] for origin in plan.origins
        ]

    def authority(self, origin: int) -> str:
        """`host` or `host:port`, as it stands in a Host header."""
        return self._plan.origins[origin].authority

    def url(self, origin: int, target: str) -> str:
        """The absolute URL of a request target (path and query) on an origin."""
        place = self._plan.origins[origin]
        return f"{place.scheme}://{place.authority}{target}"

    def allowed(self, from_origin: int, method: str, url: str, route: int | None = None) -> int | None:
        """The origin that a redirect may be followed to, or None.

        `url` is absolute; `method` what the hop would be sent with; `route` the route of the step
        that is redirected. A write whose namespace stands in its headers or body is followed only
        where the declared place stays the same, so it needs `route`.
        """
        parts = split_url(url)
        if parts is None:
            return None
        candidates = self._origins_at(parts)
        if not candidates or self._is_effect_of_another(candidates, method, parts.path or "/"):
            return None
        # Two apps at one address are one app to the network: what either forbids is forbidden.
        if not all(self._may(i, from_origin, method, parts, route) for i in candidates):
            return None
        return from_origin if from_origin in candidates else candidates[0]

    def _origins_at(self, parts: SplitResult) -> list[int]:
        """Origins with this scheme, host and port whose base path is the longest that fits."""
        found: list[int] = []
        longest = -1
        port = parts.port or DEFAULT_PORT[parts.scheme]
        for index, origin in enumerate(self._plan.origins):
            if (origin.scheme, origin.host.lower(), origin.port) != (parts.scheme, parts.hostname, port):
                continue
            base = origin.base_path.rstrip("/")
            if parts.path != base and not (parts.path or "/").startswith(f"{base}/"):
                continue
            if len(base) > longest:
                found, longest = [], len(base)
            if len(base) == longest:
                found.append(index)
        return found

    def _is_effect_of_another(self, candidates: list[int], method: str, path: str) -> bool:
        """Whether a route with an effect may stand at a path, declared by an app at the same address that
        is not asked itself, since its base path is another."""
        own = {self._plan.origins[index].app for index in candidates}
        return any(
            route.app not in own and could_be(method, path, route, base)
            for route, base in _effects_at(self._plan, candidates[0])
        )

    def _may(self, index: int, from_origin: int, method: str, parts: SplitResult, route: int | None) -> bool:
        origin = self._plan.origins[index]
        if is_production(self._plan, index) and index not in self._used | {from_origin}:
            # Nobody was asked to approve it.
            return False
        if denied_by(self._plan.deny, method, parts.path or "/"):
            return False
        path = (parts.path or "/")[len(origin.base_path.rstrip("/")) :] or "/"
        if denied_by(self._plan.deny, method, path):
            return False
        fitting = []
        for declared, pattern in self._declared[index]:
            if declared.method == method and (match := pattern.fullmatch(path)):
                fitting.append((declared, match))
            elif declared.effect != "none" and could_be(method, path, declared):
                return False
        if not fitting:
            return origin.writes is not None and method in ("GET", "HEAD")
        return all(
            declared.effect == "none"
            or (
                declared.effect == "write"
                and index == from_origin
                and self._in_namespace(index, declared, match, parts.query, route)
            )
            for declared, match in fitting
        )

    def _in_namespace(
        self, index: int, declared: Route, match: re.Match[str], query: str, route: int | None
    ) -> bool:
        writes, place = self._plan.origins[index].writes, declared.namespace
        if writes is None or place is None:
            return False
        if place.place == "path":
            return [unquote(text) for text in standing_at(declared.path, place.at, match)] == [writes]
        if place.place == "query":
            return [v for name, v in parse_qsl(query, keep_blank_values=True) if name == place.at] == [writes]
        before = self._plan.routes[route] if route is not None else None
        return before is not None and before.effect == "write" and before.namespace == place


# --- Steps ----------------------------------------------------------------------------------------


def _step_refusals(plan: Plan, step: Step) -> Iterator[str]:
    if not 0 <= step.origin < len(plan.origins):
        yield "it goes to a host that targets.yaml does not list"
        return
    if not 0 <= step.route < len(plan.routes):
        yield "it belongs to no route that targets.yaml declares"
        return
    origin, route = plan.origins[step.origin], plan.routes[step.route]
    name = f"{route.app}.{route.name}"
    if route.app != origin.app:
        yield f"route {name} belongs to {route.app}, and the step goes to {origin.app}"
    if step.method != route.method:
        yield f"route {name} is declared as {route.method}, and the step sends {step.method}"
    yield from _path_refusals(plan, step, route, name)
    yield from _denied_refusals(plan, origin, step.method, with_holes(step.path))
    yield from _header_refusals(step)
    if route.effect == "write":
        yield from _write_refusals(plan, step, route, name)
    elif route.effect == "fault" and is_production(plan, step.origin):
        yield f"route {name} injects a fault, and {origin.app} is production"


def _denied_refusals(plan: Plan, origin: Origin, method: str, path: str) -> Iterator[str]:
    """By the path as it is declared and, below a base path, as it is sent."""
    pattern = denied_by(plan.deny, method, path) or denied_by(plan.deny, method, origin.base_path + path)
    if pattern is not None:
        yield f"{method} {shown(path)} of {origin.app} is denied (guardrails: deny: {pattern!r})"


def _path_refusals(plan: Plan, step: Step, route: Route, name: str) -> Iterator[str]:
    path = with_holes(step.path)
    if has_dot_segment(unquote(path)):
        yield f"its path {shown(path)} has a segment that is . or .."
    if not all(" " < char != "\x7f" for char in path):
        yield f"its path {shown(path)} has a space or a control character"
    if "?" in path or "#" in path:
        yield f"its path {shown(path)} has a ? or #, and a query stands under `query`"
    elif not path_pattern(route.path).fullmatch(path):
        yield f"its path {shown(path)} is not the path that route {name} declares, {route.path}"
    elif HOLE not in path:
        sent = plan.origins[step.origin].base_path + path
        for other, base in _effects_at(plan, step.origin):
            same = (other.effect, other.namespace) == (route.effect, route.namespace)
            if not same and could_be(step.method, sent, other, base):
                effect = f"{other.app}.{other.name}, whose effect is another"
                yield f"its path {shown(path)} may be taken for route {effect}"


def _header_refusals(step: Step) -> Iterator[str]:
    for header, value in step.headers:
        if not _TOKEN.fullmatch(header):
            yield f"{header!r} is no name for a header"
        elif header.lower() in _FRAMING:
            yield f"the header {header} is set by ecoload itself, and a step must not"
        elif header.lower() in _OVERRIDING:
            yield f"the header {header} may make it another request than its route declares"
        for piece in pieces(value):
            if isinstance(piece, str) and not header_value_ok(piece):
                yield f"the header {header} has CR, LF, NUL or a character beyond Latin-1"


def _write_refusals(plan: Plan, step: Step, route: Route, name: str) -> Iterator[str]:
    origin = plan.origins[step.origin]
    if origin.writes is None:
        yield f"route {name} writes, and {origin.app} is read-only (`writes:` in targets.yaml allows them)"
        return
    for other in at_one_address(plan, step.origin):
        if (other.base_path, other.writes) == (origin.base_path, None):
            yield f"route {name} writes, and {other.app}, which is at the same address, is read-only"
    if route.namespace is None:
        yield f"route {name} writes, and targets.yaml does not say where its namespace stands"
        return
    place = f"{route.namespace.place} {route.namespace.at}"
    values = namespace_values(step, route)
    if len(values) != 1:
        found = "is not there" if not values else f"stands there {len(values)} times"
        yield f"route {name} writes, and its namespace ({place}) {found}"
        return
    known, value = constant(plan, values[0])
    if known and value != origin.writes:
        yield f"route {name} would write to {value!r}, and {origin.app} allows {origin.writes!r} only"


def _effects_at(plan: Plan, index: int) -> Iterator[tuple[Route, str]]:
    """Every route with an effect at an origin's address, with the base path that it stands below: two apps at
    one address are one app to the network."""
    for origin in at_one_address(plan, index):
        for route in plan.routes:
            if route.app == origin.app and route.effect != "none":
                yield route, origin.base_path


# --- Beside the load ------------------------------------------------------------------------------


def _beside_refusals(plan: Plan) -> Iterator[str]:
    for name, origin, path in questions(plan):
        yield from _question_refusals(plan, name, origin, "GET", with_holes(path))
    for app, auth in plan.auths.items():
        name = "auth" if app == plan.app else f"auth of {app}"
        yield from _question_refusals(plan, name, auth.origin, "POST", auth.path)
        if auth.secret not in dict(plan.secrets):
            yield f"{name}: the plan has no secret {auth.secret}"


def _browser_refusals(plan: Plan) -> Iterator[str]:
    for visit in plan.browser.visits if plan.browser is not None else ():
        if not 0 <= visit.origin < len(plan.origins):
            yield "browser: it goes to a host that targets.yaml does not list"
            continue
        for origin in at_one_address(plan, visit.origin):
            if visit.writes and origin.writes is None:
                name = plan.origins[visit.origin].app
                there = "" if origin.app == name else f", and {origin.app}, which is at the same address,"
                yield f"browser: it writes to {name}{there or ', which'} is read-only"


def _question_refusals(plan: Plan, name: str, origin: int, method: str, path: str) -> Iterator[str]:
    if not 0 <= origin < len(plan.origins):
        yield f"{name}: it goes to a host that targets.yaml does not list"
        return
    path = path.partition("?")[0]
    for reason in _denied_refusals(plan, plan.origins[origin], method, path):
        yield f"{name}: {reason}"
    if has_dot_segment(unquote(path)):
        yield f"{name}: its path {shown(path)} has a segment that is . or .."
    sent = plan.origins[origin].base_path + path
    for route, base in _effects_at(plan, origin):
        if could_be(method, sent, route, base):
            yield f"{name}: {method} {shown(path)} is route {route.app}.{route.name}, which has an effect"
