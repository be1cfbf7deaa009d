"""From a checked workspace to the plan of one app under one profile.

Rules
-----
- What the command asks for and is not there is a UsageError that names the nearest right word.
- Every app whose address is known is an origin of the plan, with all its routes: a redirect may lead
  there, and nowhere else. What the file leaves to the embedded sandbox is one only where the planned app
  stands there too, or the plan is one of a suite, which starts them all; and the app that the planned one's
  tokens come from always is.
- Levels are put together from the general to the special: defaults, route, profile.
- The spec hash covers what people wrote about this app and profile, unresolved: no environment, no
  address of the day, no seed and no scale.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # not in the stubs

import orjson

import ecoload
from ecoload.errors import UsageError
from ecoload.plan import (
    ClientCredentials,
    Condition,
    Feeder,
    HttpLimits,
    Lineage,
    Load,
    Metrics,
    Origin,
    Persistence,
    PerVUIterations,
    Plan,
    Probe,
    Proof,
    ProtocolHeader,
    Resiliency,
    Route,
    Scenario,
    ServiceLevel,
    Station,
    to_tree,
)
from ecoload.spec import template

if TYPE_CHECKING:
    from ecoload.spec.profiles import LoadEntry
    from ecoload.spec.targets import App, Targets
    from ecoload.spec.targets import Probe as ProbeShape
    from ecoload.spec.workspace import Workspace


def make_plan(
    workspace: Workspace,
    app: str,
    profile: str,
    *,
    seed: int = 1,
    duration_scale: float = 1.0,
    base_urls: Mapping[str, str] | None = None,
    embedded: Collection[str] = (),
    transport: Literal["http1", "aiohttp"] = "http1",
    pacing_mode: Literal["timer", "spin"] = "timer",
    together: bool = False,
    closed: bool = False,
) -> Plan:
    """What `app` under `profile` would send. `base_urls` replaces addresses by app; `embedded` names the
    apps whose address is that of the embedded sandbox; `together`: every app is up; `closed`: one without an
    address in `base_urls` has none. Raises UsageError."""
    targets = workspace.targets
    _known("app", app, targets.apps)
    _known("profile", profile, targets.profiles)
    if not (math.isfinite(duration_scale) and duration_scale > 0):
        raise UsageError(f"the duration scale must be above 0, got {duration_scale}")
    if not -(2**63) <= seed < 2**63:
        raise UsageError(f"the seed must be a number of 64 bits, got {seed}")
    for name in base_urls or {}:
        _known("app", name, targets.apps)
    shape, chosen = targets.apps[app], workspace.profiles[app, profile]
    if chosen.fault is not None:
        if app not in workspace.resiliencies:
            raise UsageError(f"the profile {profile} injects a fault, and {app} declares no resiliency:")
        duration_scale = 1.0
    origins = _origins(workspace, app, base_urls or {}, embedded, together=together, closed=closed)
    names = [origin.app for origin in origins]
    routes = _routes(workspace, names, app, chosen)
    home, first = names.index(app), next((i for i, r in enumerate(routes) if r.app == app), 0)
    loads, scenarios = _loads(workspace, app, profile, home, first, duration_scale)
    lineage = _lineage(shape, scenarios, routes, names, app)
    stations = [names[station.origin] for station in lineage.stations] if lineage is not None else []
    resiliency = _resiliency(workspace, app, chosen, routes, names)
    faulty = [] if resiliency is None else [names[resiliency.fault.inject.origin]]
    asked = [*stations, *faulty]
    routes = _bearing(workspace, routes, faulty)
    feeders = _feeders(workspace, scenarios)
    own = {route.name for route in routes if route.app == app}
    proxy = _proxy(workspace, origins[home])
    return Plan(
        tool_version=ecoload.__version__,
        protocol=ProtocolHeader(**targets.protocol.model_dump()),
        app=app,
        profile=profile,
        seed=seed,
        duration_scale=duration_scale,
        origins=origins,
        routes=routes,
        scenarios=scenarios,
        loads=loads,
        feeders=feeders,
        env=environment_of(workspace, app),
        secrets=_secrets_of(workspace, app, scenarios, resiliency, asked),
        auth=auth_of(shape, names),
        other_auths=other_auths(workspace, app, asked, names),
        thresholds=_conditions(chosen.thresholds, own),
        fail_when=_conditions(chosen.fail_when, own),
        abort_when=_conditions([*chosen.abort_when, *shape.abort_when], own),
        decides=tuple(dict.fromkeys(chosen.decides)),
        warm_up_ns=_scaled(chosen.warm_up, duration_scale),
        persistence=_persistence(shape, routes, app, home),
        request_count=_probe(shape.request_count, home),
        version_from=_probe(shape.version_from, home),
        proofs=_proofs(shape, home),
        metrics=_metrics(shape, home),
        lineage=lineage,
        resiliency=resiliency,
        transport="aiohttp" if proxy else transport,
        pacing_mode=pacing_mode,
        proxy=proxy,
        http=_limits(targets),
        approval_over_vus=targets.guardrails.approval_over_vus,
        deny=tuple(targets.guardrails.deny),
        spec_hash=_spec_hash(workspace, app, profile, scenarios, feeders),
    )


def make_cleanup(workspace: Workspace, app: str, *, base_urls: Mapping[str, str] | None = None) -> Plan:
    """What deletes the test data of `app`: the route that it declares for that (`cleanup:`), sent once.

    Raises UsageError, also where the app declares none.
    """
    from ecoload.spec.cleaning import cleanup_step

    targets = workspace.targets
    for name in (app, *(base_urls or {})):
        _known("app", name, targets.apps)
    shape = targets.apps[app]
    if shape.cleanup is None:
        raise UsageError(f"{app} declares no cleanup: in targets.yaml")
    origins = _origins(workspace, app, base_urls or {}, ())
    names = [origin.app for origin in origins]
    routes = _routes(workspace, names, app, None)
    index = next(i for i, route in enumerate(routes) if (route.app, route.name) == (app, shape.cleanup))
    namespace = targets.protocol.namespace
    step = cleanup_step(routes[index], index, names.index(app), shape.headers, namespace)
    scenarios = (Scenario("cleanup", steps=(step,)),)
    return Plan(
        tool_version=ecoload.__version__,
        protocol=ProtocolHeader(**targets.protocol.model_dump()),
        app=app,
        profile="cleanup",
        seed=1,
        duration_scale=1.0,
        origins=origins,
        routes=routes,
        scenarios=scenarios,
        loads=(Load("cleanup", 0, "per-vu-iterations", PerVUIterations(1, 1)),),
        env=environment_of(workspace, app),
        secrets=_secrets(shape, scenarios),
        auth=auth_of(shape, names),
        http=_limits(targets),
        approval_over_vus=targets.guardrails.approval_over_vus,
        deny=tuple(targets.guardrails.deny),
    )


def make_bare(
    workspace: Workspace,
    app: str,
    *,
    seed: int = 1,
    base_urls: Mapping[str, str] | None = None,
    embedded: Collection[str] = (),
    transport: Literal["http1", "aiohttp"] = "http1",
    pacing_mode: Literal["timer", "spin"] = "timer",
    together: bool = True,
    closed: bool = False,
) -> Plan:
    """A plan around `app` that sends nothing yet: every origin whose address is known, the embedded sandbox's
    included (`together`: every app is up), every route with the levels that it has under no profile. Raises
    UsageError."""
    targets = workspace.targets
    for name in (app, *(base_urls or {})):
        _known("app", name, targets.apps)
    origins = _origins(workspace, app, base_urls or {}, embedded, together=together, closed=closed)
    names = [origin.app for origin in origins]
    proxy = _proxy(workspace, origins[names.index(app)])
    return Plan(
        tool_version=ecoload.__version__,
        protocol=ProtocolHeader(**targets.protocol.model_dump()),
        app=app,
        profile="",
        seed=seed,
        duration_scale=1.0,
        origins=origins,
        routes=_routes(workspace, names, app, None),
        scenarios=(),
        loads=(),
        transport="aiohttp" if proxy else transport,
        pacing_mode=pacing_mode,
        proxy=proxy,
        http=_limits(targets),
        approval_over_vus=targets.guardrails.approval_over_vus,
        deny=tuple(targets.guardrails.deny),
    )


def _known(what: str, name: str, names: Collection[str]) -> None:
    if name not in names:
        raise UsageError(f"unknown {what} {name!r}{template.nearest(name, names)}")


# --- where to -------------------------------------------------------------------------------------


def _origins(
    workspace: Workspace,
    planned: str,
    base_urls: Mapping[str, str],
    embedded: Collection[str],
    *,
    together: bool = False,
    closed: bool = False,
) -> tuple[Origin, ...]:
    from ecoload.spec.targets import base_url, origin

    apps, environ = workspace.targets.apps, workspace.environ
    urls = {
        name: base_urls.get(name) or (None if closed else base_url(app.base_url, environ))
        for name, app in apps.items()
    }
    needed = {planned, token_app(apps[planned])}
    origins = []
    for name, app in apps.items():
        url = urls[name]
        if url is None and name in needed:
            unset = " and ".join(v for v in template.variables(app.base_url) if not environ.get(v))
            raise UsageError(f"the address of {name} needs {unset}: set it, or give --base-url {name}=URL")
        apart = url == "sandbox" != urls[planned] and name not in needed
        if url is None or (apart and not together):
            continue
        try:
            production = workspace.targets.guardrails.production_hosts
            embeds = name in embedded
            origins.append(origin(name, app, url, workspace.root, embedded=embeds, production=production))
        except ValueError as error:
            raise UsageError(f"the address of {name}: {error}") from None
    return tuple(origins)


def token_app(shape: App) -> str | None:
    return shape.auth.client_credentials.app if shape.auth is not None else None


def _secrets(shape: App, scenarios: tuple[Scenario, ...]) -> tuple[tuple[str, str], ...]:
    """Those that the plan needs; Python may ask for any."""
    used = set(secret_names(to_tree(scenarios)))
    if shape.auth is not None:
        used.add(shape.auth.client_credentials.client_secret.secret)
    if any(scenario.module for scenario in scenarios):
        used |= set(shape.secrets)
    return tuple((name, shape.secrets[name].reference) for name in sorted(used & set(shape.secrets)))


def _secrets_of(
    workspace: Workspace,
    app: str,
    scenarios: tuple[Scenario, ...],
    resiliency: Resiliency | None,
    asked: Collection[str],
) -> tuple[tuple[str, str], ...]:
    """Those of the app, and those that it takes to ask other apps and to set the fault. Raises UsageError
    where a name means two things."""
    fault = () if resiliency is None else (resiliency.fault.inject, resiliency.fault.withdraw)
    apps, beside = workspace.targets.apps, Scenario("", steps=fault)
    own = (*scenarios, beside) if app in asked or not asked else scenarios
    found = dict(_secrets(apps[app], own))
    for other in sorted({*asked} - {app}):
        for name, reference in _secrets(apps[other], (beside,)):
            if found.setdefault(name, reference) != reference:
                raise UsageError(
                    f"{app} and {other} both call a secret {name}, and mean two: give one another name"
                )
    return tuple(sorted(found.items()))


def secret_names(tree: Any) -> Iterator[str]:
    """The secrets that are read in what `to_tree` made of a plan, or of a part of one."""
    if isinstance(tree, dict):
        if tree.get("type") == "Ref" and tree["name"][0] == "secret":
            yield tree["name"][1]
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from secret_names(item)


def _limits(targets: Targets) -> HttpLimits:
    return HttpLimits(targets.http.connect_timeout, targets.http.max_header, targets.http.max_body)


def other_auths(
    workspace: Workspace, planned: str, asked: Collection[str], names: list[str]
) -> tuple[tuple[str, ClientCredentials], ...]:
    """Where the tokens of the apps come from that a plan asks beside its own; `names` are its origins'."""
    found = []
    for app in sorted({*asked} - {planned}):
        auth = auth_of(workspace.targets.apps[app], names)
        if auth is not None:
            found.append((app, auth))
    return tuple(found)


def auth_of(shape: App, names: list[str]) -> ClientCredentials | None:
    if shape.auth is None:
        return None
    how = shape.auth.client_credentials
    return ClientCredentials(
        names.index(how.app), how.path, how.client_id, how.client_secret.secret, how.scope
    )


def _routes(workspace: Workspace, names: list[str], planned: str, profile: Any) -> tuple[Route, ...]:
    from ecoload.spec.references import declared_routes

    targets = workspace.targets
    routes = []
    for name in names:
        app = targets.apps[name]
        slos = {route: shape.slo for route, shape in app.routes.items()}
        for route in declared_routes(name, app).values():
            level = targets.defaults.slo.over(ServiceLevel())
            own = profile.slo if profile is not None and name == planned else None
            for slo in (slos[route.name], own):
                level = slo.over(level) if slo is not None else level
            bearer = route.bearer and name == planned
            routes.append(dataclasses.replace(route, slo=level, bearer=bearer))
    return tuple(routes)


def _probe(shape: ProbeShape | None, origin: int) -> Probe | None:
    return Probe(origin, template.parse_text(shape.get), shape.json_) if shape is not None else None


def _proofs(shape: App, origin: int) -> tuple[Proof, ...]:
    return tuple(
        Proof(name, Probe(origin, template.parse_text(proof.get), proof.json_), proof.is_, proof.within)
        for name, proof in shape.proofs.items()
    )


def _lineage(
    shape: App, scenarios: tuple[Scenario, ...], routes: tuple[Route, ...], names: list[str], app: str
) -> Lineage | None:
    """None where no scenario of the plan sends events that can be named."""
    from ecoload.spec.event_names import names_events

    declared = shape.lineage
    if declared is None:
        return None
    route = next(i for i, r in enumerate(routes) if (r.app, r.name) == (app, declared.route))
    if not any(names_events(scenario, declared.id, route) for scenario in scenarios):
        return None
    stations, absent = [], []
    for name, station in declared.stations.items():
        asked = station.app or app
        if asked not in names:
            absent.append(name)
            continue
        stations.append(
            Station(
                name=name,
                origin=names.index(asked),
                path=template.parse_text(station.get),
                items=station.items,
                id=station.id,
                next=station.next,
                time=station.time or "",
                within_ns=station.within,
                first=str(station.first),
            )
        )
    return Lineage(route, declared.id, tuple(stations), tuple(absent))


def _resiliency(
    workspace: Workspace, app: str, profile: Any, routes: tuple[Route, ...], names: list[str]
) -> Resiliency | None:
    from ecoload.spec.resiliency import resiliency_of

    span, source = profile.fault, workspace.resiliencies.get(app)
    if span is None or source is None:
        return None
    if source.app not in names:
        raise UsageError(f"the address of {source.app}, where the fault of {app} is set, is not known")
    guarded = next(i for i, r in enumerate(routes) if (r.app, r.name) == (app, source.shape.route))
    first = next(i for i, r in enumerate(routes) if r.app == source.app)
    home, faulty = names.index(app), names.index(source.app)
    return resiliency_of(source, home, guarded, faulty, first, span.at, span.for_)


def _bearing(workspace: Workspace, routes: tuple[Route, ...], apps: Collection[str]) -> tuple[Route, ...]:
    """The routes, those of `apps` with the token of their own that they declare."""
    from ecoload.spec.references import declared_routes

    declared = {app: declared_routes(app, workspace.targets.apps[app]) for app in apps}
    return tuple(
        dataclasses.replace(r, bearer=declared[r.app][r.name].bearer) if r.app in declared else r
        for r in routes
    )


def _metrics(shape: App, origin: int) -> Metrics | None:
    found = shape.metrics
    return Metrics(origin, template.parse_text(found.get), found.resident_memory) if found else None


def _persistence(shape: App, routes: tuple[Route, ...], app: str, origin: int) -> Persistence | None:
    if shape.persistence is None:
        return None
    name = shape.persistence.route
    route = next(i for i, r in enumerate(routes) if r.app == app and r.name == name)
    count = Probe(origin, template.parse_text(shape.persistence.count.get), shape.persistence.count.json_)
    return Persistence(route, count)


def _proxy(workspace: Workspace, target: Origin) -> str | None:
    """The proxy to the planned app: `http.proxy`, else the environment's, as every client reads it. The
    embedded sandbox is never behind one."""
    from ecoload.spec.targets import base_url, split_url

    if target.embedded:
        return None
    environ = {name.lower(): value for name, value in workspace.environ.items()}
    source, text = "http.proxy", workspace.targets.http.proxy
    if text is None:
        if proxy_bypass_environment(target.host, {"no": environ.get("no_proxy", "")}):
            return None
        source = f"{target.scheme.upper()}_PROXY"
        text = environ.get(source.lower())
    if text is None:
        return None
    try:
        url = base_url(text, workspace.environ)
        if url:
            split_url(url)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None
    return url or None


def environment_of(workspace: Workspace, app: str) -> tuple[tuple[str, str], ...]:
    names = sorted(set(workspace.targets.apps[app].env))
    if missing := [name for name in names if name not in workspace.environ]:
        raise UsageError(f"{', '.join(missing)} must be set: {app} reads it (env: in targets.yaml)")
    return tuple((name, workspace.environ[name]) for name in names)


# --- how fast -------------------------------------------------------------------------------------


def _loads(
    workspace: Workspace, app: str, profile: str, origin: int, first_route: int, scale: float
) -> tuple[tuple[Load, ...], tuple[Scenario, ...]]:
    from ecoload.spec.compile import placed
    from ecoload.spec.profiles import Loads, entries

    chosen = workspace.profiles[app, profile]
    loads: list[Load] = []
    used: list[str] = []
    for index, entry in enumerate(entries(chosen)):
        scenario = _scenario_name(workspace, app, entry)
        if scenario not in used:
            used.append(scenario)
        name = f"{profile}_{index + 1}" if isinstance(chosen, Loads) else profile
        loads.append(
            Load(
                name=name,
                scenario=used.index(scenario),
                executor_name=entry.executor,
                executor=entry.value(scale),
                start_time_ns=_scaled(entry.start_time, scale),
                graceful_stop_ns=_scaled(entry.graceful_stop, scale),
                pacing_ns=getattr(entry, "pacing", 0),
            )
        )
    scenarios = (placed(workspace.scenarios[name].scenario, origin, first_route) for name in used)
    return tuple(loads), tuple(scenarios)


def _scenario_name(workspace: Workspace, app: str, entry: LoadEntry) -> str:
    own = workspace.scenarios_of(app)
    usable = [name for name, source in workspace.scenarios.items() if source.app == app or name in own]
    if entry.scenario is not None:
        _known(f"scenario of {app}:", entry.scenario, usable)
        return entry.scenario
    if not own:
        raise UsageError(
            f"{app} has no scenario: write scenarios/{app}.yaml, or list scenarios: in targets.yaml"
        )
    return own[0]


def _conditions(conditions: list[Condition], routes: set[str]) -> tuple[Condition, ...]:
    """Those of the app: a profile may name routes that only other apps have."""
    return tuple(c for c in conditions if c.route is None or c.route in routes)


def _scaled(ns: int, scale: float) -> int:
    from ecoload.spec.profiles import scaled

    return scaled(ns, scale)


def _feeders(workspace: Workspace, scenarios: tuple[Scenario, ...]) -> tuple[Feeder, ...]:
    names = sorted({s.feeder for s in scenarios if s.feeder is not None})
    return tuple(workspace.data.feeder(name) for name in names) if workspace.data is not None else ()


# --- what was written -----------------------------------------------------------------------------


def _spec_hash(
    workspace: Workspace, app: str, profile: str, scenarios: tuple[Scenario, ...], feeders: tuple[Feeder, ...]
) -> str:
    written = workspace.written
    content = {
        "app": app,
        "target": {k: v for k, v in written["apps"][app].items() if k != "profiles"},
        "profile": {profile: written["profiles"][profile]},
        "narrowed": (written["apps"][app].get("profiles") or {}).get(profile),
        "scenarios": {s.name: workspace.scenarios[s.name].written for s in scenarios},
        "files": sorted(_files(scenarios)),
        "feeders": [[feeder.name, feeder.sha256] for feeder in feeders],
    }
    return written_hash(workspace, content)


def written_hash(workspace: Workspace, content: Mapping[str, Any]) -> str:
    """SHA-256 over `content`, which people wrote, and what they wrote for every app."""
    general = {key: workspace.written.get(key) for key in ("protocol", "defaults", "guardrails", "http")}
    return hashlib.sha256(orjson.dumps({**general, **content}, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _files(scenarios: tuple[Scenario, ...]) -> set[tuple[str, str]]:
    """The files that bodies are made of, with their hashes."""
    from ecoload.plan import Choose, Step

    files: set[tuple[str, str]] = set()

    def collect(steps: tuple[Step | Choose, ...]) -> None:
        for step in steps:
            if isinstance(step, Choose):
                for branch in step.branches:
                    collect(branch.steps)
            elif step.body is not None:
                files.update(step.body.file_sha256)

    for scenario in scenarios:
        for steps in (scenario.setup, scenario.steps, scenario.teardown):
            collect(steps)
    return files
