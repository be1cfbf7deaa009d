"""What the parts of `targets.yaml` say of each other: every name looked up, every address read.

Rules
-----
- Problems are noted where the name stands; what is broken elsewhere is not noted twice.
- A profile is checked alone and once for each app that narrows it.
- A condition that names a route holds for the apps that have it; one that no app has is a mistake.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from ecoload.plan import Condition, Route, ServiceLevel
from ecoload.spec.profiles import BESIDE_LOADS, PROFILE, Loads, entries
from ecoload.spec.reach import text_template
from ecoload.spec.shape import Reading, explained
from ecoload.spec.targets import App, Question, Targets, base_url, split_url
from ecoload.spec.template import Scope, nearest
from ecoload.spec.yaml12 import Where


def check_references(
    targets: Targets, reading: Reading, scenarios: Mapping[str, str | None], environ: Mapping[str, str]
) -> dict[tuple[str, str], Any]:
    """Note what does not fit; the profiles as each app runs them, by `(app, profile)`.

    `scenarios` tells each scenario's app; None where a Python module leaves it to the app.
    """
    for name, app in targets.apps.items():
        _check_app(name, app, targets, reading, environ)
        _check_scenarios(name, app, reading, scenarios)
    _check_profiles(targets, reading, scenarios)
    return _narrowed(targets, reading, scenarios)


def declared_routes(app_name: str, app: App) -> dict[str, Route]:
    """The app's routes as they stand in a plan, their levels still to be put on."""
    return {
        name: Route(
            app=app_name,
            name=name,
            method=route.method,
            path=route.path,
            effect=route.effect,
            namespace=route.namespace.value() if route.namespace else None,
            slo=ServiceLevel(),
            bearer=app.auth is not None and route.auth is None,
        )
        for name, route in app.routes.items()
    }


def broken_names(reading: Reading, where: Where) -> frozenset[str]:
    """Names of a mapping whose entries could not be read."""
    return frozenset(str(way[-1]) for way in reading.broken if way[:-1] == where)


def outside_scope(app: App, *, opened: bool) -> Scope:
    """What is in reach of an app's own headers."""
    return Scope(env=app.env, secrets=app.secrets, inside=False, open=opened)


def question_scope(app: App, *, opened: bool) -> Scope:
    """What is in reach of the path of what is asked beside a load: a path stands in messages and logs, so
    no secret is."""
    later = {"secret": "cannot stand in a path, which is written down; an app's `auth:` is for that"}
    return Scope(env=app.env, inside=False, open=opened, later=later)


def _check_app(name: str, app: App, targets: Targets, reading: Reading, environ: Mapping[str, str]) -> None:
    where: Where = ("apps", name)
    try:
        url = base_url(app.base_url, environ)
        if url is not None and url != "sandbox":
            split_url(url)
    except ValueError as error:
        reading.problem((*where, "base_url"), str(error))
    namespace = targets.protocol.namespace
    if app.writes is not None and app.writes != namespace and ("protocol",) not in reading.broken:
        message = f"expected the protocol's namespace {namespace!r}, got {app.writes!r}"
        reading.problem((*where, "writes"), message)
    scope = outside_scope(app, opened=where in reading.broken)
    for header, raw in app.headers.items():
        _check_text(raw, scope, (*where, "headers", header), reading)
    _check_probes(app, question_scope(app, opened=where in reading.broken), where, reading)
    _check_lineage(app, where, targets, reading)
    _check_cleanup(app, where, reading)
    _check_auth(app, where, targets, reading)
    known = {*app.routes, *broken_names(reading, (*where, "routes"))}
    _check_conditions(app.abort_when, known, (*where, "abort_when"), reading)
    for secret in set(app.secrets) & set(app.env):
        reading.problem((*where, "secrets", secret), "stands under env: too; one of them is enough")


def _check_probes(app: App, scope: Scope, where: Where, reading: Reading) -> None:
    questions: dict[tuple[str, ...], Question | None] = {
        ("version_from",): app.version_from,
        ("request_count",): app.request_count,
        ("persistence", "count"): app.persistence.count if app.persistence else None,
        **{("proofs", name): proof for name, proof in app.proofs.items()},
        ("metrics",): app.metrics,
    }
    for way, question in questions.items():
        if question is not None:
            _check_text(question.get, scope, (*where, *way, "get"), reading)
    if app.persistence is None:
        return
    name, place = app.persistence.route, (*where, "persistence", "route")
    route = app.routes.get(name)
    if route is None and name not in broken_names(reading, (*where, "routes")):
        reading.problem(place, f"unknown route {name!r}{nearest(name, app.routes)}")
    elif route is not None and route.effect != "write":
        reading.problem(place, f"route {name!r} does not write; expected one with effect: write")


def _check_lineage(app: App, where: Where, targets: Targets, reading: Reading) -> None:
    if app.lineage is None:
        return
    name, place = app.lineage.route, (*where, "lineage")
    route = app.routes.get(name)
    if route is None and name not in broken_names(reading, (*where, "routes")):
        reading.problem((*place, "route"), f"unknown route {name!r}{nearest(name, app.routes)}")
    elif route is not None and route.effect != "write":
        message = f"route {name!r} does not write; expected one with effect: write"
        reading.problem((*place, "route"), message)
    scope = question_scope(app, opened=where in reading.broken)
    scope = dataclasses.replace(scope, names={*scope.names, "cursor"})
    for key, station in app.lineage.stations.items():
        other = (*place, "stations", key)
        if station.app is not None and station.app not in {*targets.apps, *broken_names(reading, ("apps",))}:
            message = f"unknown app {station.app!r}{nearest(station.app, targets.apps)}"
            reading.problem((*other, "app"), message)
        _check_text(station.get, scope, (*other, "get"), reading)


def _check_cleanup(app: App, where: Where, reading: Reading) -> None:
    """A route that writes, and that nothing but the namespace has to be filled into."""
    name, place = app.cleanup, (*where, "cleanup")
    if name is None or name in broken_names(reading, (*where, "routes")):
        return
    route = app.routes.get(name)
    if route is None:
        reading.problem(place, f"unknown route {name!r}{nearest(name, app.routes)}")
    elif route.effect != "write" or route.namespace is None:
        reading.problem(place, f"route {name!r} does not write; expected one with effect: write")
    else:
        for other in route.open_placeholders:
            reading.problem(place, f"{route.path} needs a value for {other}, and a cleanup has none")


def _check_auth(app: App, where: Where, targets: Targets, reading: Reading) -> None:
    if app.auth is None:
        return
    how, place = app.auth.client_credentials, (*where, "auth", "client_credentials")
    issuer, secret = how.app, how.client_secret.secret
    if issuer not in {*targets.apps, *broken_names(reading, ("apps",))}:
        reading.problem((*place, "token_url"), f"unknown app {issuer!r}{nearest(issuer, targets.apps)}")
    known = {*app.secrets, *broken_names(reading, (*where, "secrets"))}
    if secret not in known and where not in reading.broken:
        message = f"{secret!r} is not declared under the app's secrets:{nearest(secret, known)}"
        reading.problem((*place, "client_secret", "secret"), message)
    for header in app.headers:
        if header.lower() == "authorization":
            message = "the token of auth: stands in this header; one of them is enough"
            reading.problem((*where, "headers", header), message)


def _check_text(raw: str, scope: Scope, where: Where, reading: Reading) -> None:
    try:
        text_template(raw, scope)
    except ValueError as error:
        reading.problem(where, str(error))


def _check_scenarios(name: str, app: App, reading: Reading, scenarios: Mapping[str, str | None]) -> None:
    for index, scenario in enumerate(app.scenarios or ()):
        where = ("apps", name, "scenarios", index)
        if scenario not in scenarios:
            expected = f"expected scenarios/{scenario}.yaml or scenarios/{scenario}.py"
            reading.problem(
                where, f"there is no scenario {scenario!r}; {expected}{_hint(scenario, scenarios)}"
            )
        elif scenarios[scenario] not in (None, name):
            reading.problem(where, f"scenario {scenario!r} is one of app {scenarios[scenario]!r}")


def _hint(word: str, words: Iterable[str]) -> str:
    hint = nearest(word, words)
    return hint if "did you mean" in hint else ""


def _check_profiles(targets: Targets, reading: Reading, scenarios: Mapping[str, str | None]) -> None:
    routes = {route for app in targets.apps.values() for route in app.routes}
    opened = any(way[0] == "apps" for way in reading.broken if way) or not targets.apps
    for name, profile in targets.profiles.items():
        where: Where = ("profiles", name)
        for key in ("thresholds", "fail_when", "abort_when"):
            if not opened:
                _check_conditions(getattr(profile, key), routes, (*where, key), reading)
        _check_loads(profile, where, reading, scenarios)


def _check_loads(profile: Any, where: Where, reading: Reading, scenarios: Iterable[str]) -> None:
    for index, load in enumerate(entries(profile)):
        if load.scenario is not None and load.scenario not in scenarios:
            way = (*where, "loads", index) if isinstance(profile, Loads) else where
            message = f"there is no scenario {load.scenario!r}{nearest(load.scenario, scenarios)}"
            reading.problem((*way, "scenario"), message)


def _check_conditions(
    conditions: Iterable[Condition], routes: Collection[str], where: Where, reading: Reading
) -> None:
    for index, condition in enumerate(conditions):
        if condition.route is not None and condition.route not in routes:
            message = (
                f"unknown route {condition.route!r} in {condition.source!r}{nearest(condition.route, routes)}"
            )
            reading.problem((*where, index), message)


def _narrowed(targets: Targets, reading: Reading, scenarios: Iterable[str]) -> dict[tuple[str, str], Any]:
    """Each profile as each app runs it."""
    narrowed = {(app, name): profile for app in targets.apps for name, profile in targets.profiles.items()}
    raw = reading.document.data.get("profiles") or {}
    broken = broken_names(reading, ("profiles",))
    for app_name, app in targets.apps.items():
        for name, own in app.profiles.items():
            where: Where = ("apps", app_name, "profiles", name)
            if name in broken:
                continue
            if name not in targets.profiles:
                reading.problem(where, f"unknown profile {name!r}{nearest(name, targets.profiles)}")
                continue
            profile = _narrow(raw[name], own, where, reading)
            if profile is None:
                continue
            narrowed[app_name, name] = profile
            if {"scenario", "loads"} & set(own):
                _check_loads(profile, where, reading, scenarios)
            for key in ("thresholds", "fail_when", "abort_when"):
                if key in own:
                    known = {*app.routes, *broken_names(reading, ("apps", app_name, "routes"))}
                    _check_conditions(getattr(profile, key), known, (*where, key), reading)
    return narrowed


def merged(raw: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A profile as written with an app's keys over it; an `slo` is put together key by key.

    Where one says `loads:` and the other is a single load, only the keys that both forms have are kept.
    """
    if ("loads" in own and "loads" not in raw) or ("loads" in raw and "executor" in own):
        raw = {key: item for key, item in raw.items() if key in BESIDE_LOADS}
    whole = {**raw, **own}
    if isinstance(raw.get("slo"), dict) and isinstance(own.get("slo"), dict):
        whole["slo"] = {**raw["slo"], **own["slo"]}
    return whole


def _narrow(raw: Mapping[str, Any], own: Mapping[str, Any], where: Where, reading: Reading) -> Any:
    try:
        return PROFILE.validate_python(merged(raw, own))
    except ValidationError as error:
        for loc, message, _ in explained(error):
            way = tuple(part for part in loc if not str(part).startswith(("<", "[key]")))
            reading.problem((*where, *way), message)
        return None
