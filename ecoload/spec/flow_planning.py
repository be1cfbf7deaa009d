"""From a flow's file to the plan of it.

Rules
-----
- It is one plan, as every other: what it may send and whose tokens it needs are in it, for the guard, the
  approval and the hash.
- Every app that a step asks must have an address.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ecoload.errors import UsageError
from ecoload.plan import Plan, Scenario, to_tree
from ecoload.spec.flows import placed_steps
from ecoload.spec.planning import (
    auth_of,
    environment_of,
    make_bare,
    other_auths,
    secret_names,
    token_app,
    written_hash,
)
from ecoload.spec.references import declared_routes
from ecoload.spec.template import nearest

if TYPE_CHECKING:
    from ecoload.spec.flows import FlowSource
    from ecoload.spec.workspace import Workspace


def make_flow(
    workspace: Workspace, name: str, *, seed: int = 1, together: bool = False, **options: Any
) -> Plan:
    """What the flow `name` would send; `options` are those of `make_bare`. Raises UsageError."""
    source = workspace.flows.get(name)
    if source is None:
        hint = nearest(name, workspace.flows) or "; a flow is scenarios/flows/NAME.yaml"
        raise UsageError(f"unknown flow {name!r}{hint}")
    apps = workspace.targets.apps
    base = make_bare(workspace, source.app, seed=seed, together=together, **options)
    names = [origin.app for origin in base.origins]
    asked = list(dict.fromkeys(app for app, _ in source.steps))
    needed = dict.fromkeys([*asked, *filter(None, (token_app(apps[app]) for app in asked))])
    if missing := [app for app in needed if app not in names]:
        raise UsageError(
            f"the flow {name} asks {', '.join(missing)}, whose address is not known; "
            "set it, or give --base-url"
        )
    bearing = {(app, r.name) for app in asked for r in declared_routes(app, apps[app]).values() if r.bearer}
    routes = tuple(dataclasses.replace(r, bearer=(r.app, r.name) in bearing) for r in base.routes)
    firsts = {app: next((i for i, r in enumerate(routes) if r.app == app), 0) for app in names}
    scenario = Scenario(name, source.lets, placed_steps(source, names, firsts))
    auth = auth_of(apps[source.app], names) if source.app in asked else None
    return dataclasses.replace(
        base,
        profile=name,
        routes=routes,
        scenarios=(scenario,),
        flow=source.flow,
        auth=auth,
        other_auths=other_auths(workspace, source.app, asked, names),
        env=_environment(workspace, asked),
        secrets=_secrets(workspace, source, scenario, asked),
        # A flow goes the way that questions beside a load go: to the pinned address.
        proxy=None,
        transport="http1",
        spec_hash=_hash(workspace, name, source, asked),
    )


def _environment(workspace: Workspace, asked: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for app in asked:
        found.update(environment_of(workspace, app))
    return tuple(sorted(found.items()))


def _secrets(
    workspace: Workspace, source: FlowSource, scenario: Scenario, asked: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Those that the flow needs, of all its apps. Raises UsageError where a name means two things."""
    used = set(secret_names(to_tree(scenario)))
    found: dict[str, str] = {}
    for app in asked:
        shape = workspace.targets.apps[app]
        tokens = {shape.auth.client_credentials.client_secret.secret} if shape.auth is not None else set()
        for name in sorted((used & set(shape.secrets)) | tokens):
            reference = shape.secrets[name].reference
            if found.setdefault(name, reference) != reference:
                raise UsageError(
                    f"the flow {source.flow.name}: the secret {name} of {app} is another one than that of an "
                    "app before it; give one of them another name"
                )
    return tuple(sorted(found.items()))


def _hash(workspace: Workspace, name: str, source: FlowSource, asked: Sequence[str]) -> str:
    written = workspace.written["apps"]
    targets = {app: {k: v for k, v in written[app].items() if k != "profiles"} for app in asked}
    return written_hash(workspace, {"flow": {name: source.written}, "targets": targets})
