"""What the phases and known issues of `targets.yaml` say of the rest: every name looked up.

Rules
-----
- As `references.py`: a problem is noted where the name stands, and what is broken elsewhere not again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ecoload.spec.phases import KnownIssueShape, PhaseShape
from ecoload.spec.reach import text_template
from ecoload.spec.references import broken_names, question_scope
from ecoload.spec.shape import Reading
from ecoload.spec.targets import App, Targets
from ecoload.spec.template import nearest
from ecoload.spec.yaml12 import Where

WORDS = frozenset({"suite", "all"})
"""No app is called so: `ecoload plan suite` is the whole, `all` the apps of the health phase together."""
COPY = "workspace"
"""No phase is called so: the suite's folder holds the copy of the workspace there."""


def check_phases(
    targets: Targets, reading: Reading, flows: Collection[str], browser: Collection[str]
) -> None:
    """Note every phase and known issue that names what is not there; `flows` and `browser` flows are those
    that are."""
    apps = {*targets.apps, *broken_names(reading, ("apps",))}
    profiles = {*targets.profiles, *broken_names(reading, ("profiles",))}
    for name in WORDS & set(targets.apps):
        reading.problem(("apps", name), f"no app can be called {name!r}; choose another name")
    for name, app in targets.apps.items():
        _check_health(name, app, reading)
    _once([phase.name for phase in targets.phases], targets.phases, "name", reading)
    _apart(targets, reading)
    _once([issue.id for issue in targets.known_issues], targets.known_issues, "id", reading)
    for phase in targets.phases:
        _check_phase(phase, phase.where, apps, profiles, reading)
        if phase.health is not None:
            _check_asked(phase, targets, reading)
        _check_named(phase, "flows", phase.flows, flows, reading)
        _check_named(phase, "browser", phase.browser, browser, reading)
    for issue in targets.known_issues:
        _check_issue(issue, issue.where, targets, apps, reading)


def _check_health(name: str, app: App, reading: Reading) -> None:
    for index, route in enumerate(app.health):
        where: Where = ("apps", name, "health", index)
        shape = app.routes.get(route)
        if shape is None:
            if route not in broken_names(reading, ("apps", name, "routes")):
                reading.problem(where, f"unknown route {route!r}{nearest(route, app.routes)}")
        elif shape.method != "GET" or shape.effect != "none" or "{" in shape.path:
            reading.problem(where, f"route {route!r}: expected a GET without effect and placeholders")
        elif app.auth is not None and shape.auth is None:
            # It is asked of all apps at once, and of the app while nothing else runs: there is no token.
            reading.problem(where, f"route {route!r} is asked without a token; say `auth: none` there")


def _once(names: list[str], shapes: list[Any], key: str, reading: Reading) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            reading.problem((*shapes[index].where, key), f"{name!r} stands twice")


def _check_phase(
    phase: PhaseShape, where: Where, apps: Collection[str], profiles: Collection[str], reading: Reading
) -> None:
    if phase.name.casefold() == COPY:
        reading.problem((*where, "name"), f"no phase can be called {phase.name!r}; choose another name")
    if phase.profile is not None and phase.profile not in profiles:
        message = f"unknown profile {phase.profile!r}{nearest(phase.profile, profiles)}"
        reading.problem((*where, "profile"), message)
    for index, app in enumerate(phase.apps or ()):
        if app not in apps:
            reading.problem((*where, "apps", index), f"unknown app {app!r}{nearest(app, apps)}")


def _check_named(
    phase: PhaseShape, key: str, asked: str | list[str] | None, known: Collection[str], reading: Reading
) -> None:
    """The flows that a phase names."""
    for index, name in enumerate(asked if isinstance(asked, list) else ()):
        if name not in known:
            message = f"unknown flow {name!r}{nearest(name, known)}; it would be scenarios/{key}/NAME.yaml"
            reading.problem((*phase.where, key, index), message)
        elif isinstance(asked, list) and name in asked[:index]:
            reading.problem((*phase.where, key, index), f"{name!r} stands twice")


def _check_asked(phase: PhaseShape, targets: Targets, reading: Reading) -> None:
    """A health phase asks something, and something of every app that it names."""
    for index, name in enumerate(phase.apps or ()):
        if name in targets.apps and not targets.apps[name].health:
            reading.problem((*phase.where, "apps", index), f"{name} has no health: routes to ask")
    if phase.apps is None and not reading.broken and not any(app.health for app in targets.apps.values()):
        reading.problem((*phase.where, "health"), "no app has health: routes, so nothing would be asked")


def _apart(targets: Targets, reading: Reading) -> None:
    """Names that are files' names differ by more than capitals, which not every system tells apart."""
    named: list[tuple[str, Where]] = [(phase.name, (*phase.where, "name")) for phase in targets.phases]
    for names in (
        named,
        [(name, ("apps", name)) for name in targets.apps],
        [(name, ("profiles", name)) for name in targets.profiles],
    ):
        seen: dict[str, str] = {}
        for name, where in names:
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                reading.problem(where, f"{name!r} and {other!r} would be the same file; choose another name")


def _check_issue(
    issue: KnownIssueShape, where: Where, targets: Targets, apps: Collection[str], reading: Reading
) -> None:
    app = targets.apps.get(issue.app)
    if app is None:
        if issue.app not in apps:
            reading.problem((*where, "app"), f"unknown app {issue.app!r}{nearest(issue.app, apps)}")
        return
    known = {*app.routes, *broken_names(reading, ("apps", issue.app, "routes"))}
    if issue.route not in known:
        reading.problem((*where, "route"), f"unknown route {issue.route!r}{nearest(issue.route, known)}")
    if issue.retest is not None:
        scope = question_scope(app, opened=("apps", issue.app) in reading.broken)
        try:
            text_template(issue.retest.get, scope)
        except ValueError as error:
            reading.problem((*where, "retest", "get"), str(error))
