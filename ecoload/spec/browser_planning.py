"""From a browser flow's file to the plan of it.

Rules
-----
- It is one plan, as every other: whom the browser may ask is in it, for the guard, the approval and the hash,
  and the digest of every file that it is carried out by.
- Every app that is asked must have an address.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ecoload.errors import UsageError
from ecoload.plan import Browser, Plan, Visit
from ecoload.spec.planning import make_bare, written_hash
from ecoload.spec.template import nearest

if TYPE_CHECKING:
    from ecoload.spec.workspace import Workspace


def make_browser(
    workspace: Workspace, name: str, *, seed: int = 1, together: bool = False, **options: Any
) -> Plan:
    """What the browser flow `name` would do; `options` are those of `make_bare`. Raises UsageError."""
    source = workspace.browser.get(name)
    if source is None:
        hint = nearest(name, workspace.browser) or "; a browser flow is scenarios/browser/NAME.yaml"
        raise UsageError(f"unknown browser flow {name!r}{hint}")
    base = make_bare(workspace, source.app, seed=seed, together=together, **options)
    names = [origin.app for origin in base.origins]
    if missing := [app for app in source.asks if app not in names]:
        raise UsageError(
            f"the browser flow {name} asks {', '.join(missing)}, whose address is not known; "
            "set it, or give --base-url"
        )
    for app in source.asks:
        there = base.origins[names.index(app)]
        if there.ca_file or there.client_cert:
            raise UsageError(
                f"the browser flow {name} asks {app}, whose tls: files a browser does not read; "
                "let the system trust its CA, or leave the flow out"
            )
    browser = Browser(
        name=name,
        about=source.about,
        sources=source.sources,
        visits=tuple(Visit(names.index(app), writes) for app, writes in source.asks.items()),
        steps=source.steps,
        timeout_ns=source.timeout_ns,
        vitals=source.vitals,
    )
    written = workspace.written["apps"]
    targets = {app: {k: v for k, v in written[app].items() if k != "profiles"} for app in source.asks}
    content = {"browser": {name: source.written}, "sources": source.sources, "targets": targets}
    return dataclasses.replace(
        base,
        profile=name,
        browser=browser,
        routes=tuple(dataclasses.replace(route, bearer=False) for route in base.routes),
        secrets=source.secrets,
        proxy=None,
        transport="http1",
        spec_hash=written_hash(workspace, content),
    )
