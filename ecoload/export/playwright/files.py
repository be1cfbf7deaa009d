"""The Playwright project of a workspace, as files.

Rules
-----
- It runs with plain `npx playwright test`, and `ecoload e2e` carries out these same files.
- What is the same for every workspace is copied as it stands (`project/`), and so are the specs; all that
  targets.yaml and the flows' files say is in `ecosystem.ts`. No secret stands in any of them.
- `package-lock.json` names every package by version and digest, and no registry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from ecoload.errors import UsageError
from ecoload.export.artifact import FOLDER, Artifact, Source
from ecoload.export.k6.guard import Address, addresses
from ecoload.export.k6.steps import base_url_name
from ecoload.guard.rules import check_plan
from ecoload.plan import Plan
from ecoload.spec.browser_planning import make_browser
from ecoload.spec.files import BROWSER

PLACE = f"{FOLDER}/playwright"
ECOSYSTEM = "ecosystem.ts"
GENERATED = "Written by `ecoload export-playwright`"
SHARED = (
    *("package.json", "package-lock.json", "tsconfig.json", "playwright.config.ts"),
    *("browser.mjs", "ecoload.ts", "guard.ts", "progress.ts"),
)
"""What is the same for every workspace."""
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")

_TYPES = """\
export interface Flow {
  readonly about: string;
  readonly apps: Readonly<Partial<Record<App, 'read' | 'write'>>>;
  readonly timeoutMs: number;
  readonly steps: readonly { readonly name: string; readonly withinMs: number | null }[];
}

interface Place {
  readonly variable: string;
  readonly url: string;
  readonly hosts: readonly string[];
}

interface Ecosystem {
  readonly namespace: string;
  readonly apps: Readonly<Record<App, Place>>;
  readonly deny: readonly string[];
  readonly flows: Readonly<Record<string, Flow>>;
}
"""


def artifacts(source: Source) -> Iterator[Artifact]:
    """The project below `PLACE`; nothing where there are no browser flows. Raises UsageError."""
    for name, content in project(source).items():
        yield Artifact(f"{PLACE}/{name}", content)


def project(source: Source) -> dict[str, bytes]:
    """Every file of the project by its name."""
    flows = source.workspace.browser
    if not flows:
        return {}
    own = {name: content for flow in flows.values() for name, content in flow.files.items()}
    return _whole(ecosystem(source), own)


def project_of(plan: Plan, own: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same for one plan that is about to be carried out; `own` are its files. Raises UsageError."""
    return _whole(ecosystem_of(plan), own)


def _whole(ecosystem_text: str, own: Mapping[str, bytes]) -> dict[str, bytes]:
    """Raises UsageError where a file of the workspace would stand in place of one of the project: of what
    guards the browser, say."""
    folder = files("ecoload.export.playwright") / "project"
    found = {name: (folder / name).read_bytes() for name in SHARED} | {ECOSYSTEM: ecosystem_text.encode()}
    if taken := sorted({name.lower() for name in found} & {name.lower() for name in own}):
        raise UsageError(
            f"{BROWSER}/{', '.join(taken)}: a file of the project is called so; choose another name"
        )
    return found | dict(own)


def ecosystem(source: Source) -> str:
    """What targets.yaml and the flows' files say, as a module. Raises UsageError, GuardRefused."""
    workspace = source.workspace
    plans = [make_browser(workspace, name) for name in workspace.browser]
    places: dict[str, Address] = {}
    for plan in plans:
        check_plan(plan)
        assert plan.browser is not None
        for place in addresses(workspace, plan, [visit.origin for visit in plan.browser.visits]):
            places[place.app] = place
    origin = f"{source.origin} and {source.scenarios}/{BROWSER}"
    head = f"// {GENERATED} from {origin}: change those, and write it again.\n\n"
    return head + _module({app: _place(places[app]) for app in sorted(places)}, plans)


def ecosystem_of(plan: Plan) -> str:
    """The same of one plan that is about to be carried out, at its addresses."""
    assert plan.browser is not None
    apps = {}
    for visit in plan.browser.visits:
        there = plan.origins[visit.origin]
        url = f"{there.scheme}://{there.authority}{there.base_path}"
        variable = f"{base_url_name(there.app)}_URL"
        apps[there.app] = {"variable": variable, "url": url, "hosts": [there.host]}
    return _module(apps, [plan])


def _module(apps: Mapping[str, Mapping[str, Any]], plans: Sequence[Plan]) -> str:
    return "\n".join(_lines(apps, plans))


def _lines(apps: Mapping[str, Mapping[str, Any]], plans: Sequence[Plan]) -> Iterator[str]:
    yield f"export type App = {' | '.join(map(_text, apps))};"
    yield ""
    yield _TYPES
    yield "export const ecosystem: Ecosystem = {"
    yield f"  namespace: {_text(plans[0].protocol.namespace)},"
    yield "  apps: {"
    yield from (f"    {_key(app)}: {_value(place)}," for app, place in apps.items())
    yield "  },"
    yield f"  deny: {_value(list(plans[0].deny))},"
    yield "  flows: {"
    for plan in plans:
        yield from _flow(plan)
    yield "  },"
    yield "};"
    yield ""


def _flow(plan: Plan) -> Iterator[str]:
    flow = plan.browser
    assert flow is not None
    apps = {plan.origins[v.origin].app: "write" if v.writes else "read" for v in flow.visits}
    yield f"    {_key(flow.name)}: {{"
    yield f"      about: {_text(flow.about)},"
    yield f"      apps: {_value(apps)},"
    yield f"      timeoutMs: {_ms(flow.timeout_ns)},"
    yield "      steps: ["
    for step in flow.steps:
        within = None if step.within_ns is None else _ms(step.within_ns)
        yield f"        {_value({'name': step.name, 'withinMs': within})},"
    yield "      ],"
    yield "    },"


def _place(place: Address) -> dict[str, Any]:
    hosts = [*place.hosts, *(_LOOPBACK if place.loopback else ())]
    return {"variable": place.variable, "url": place.otherwise, "hosts": hosts}


def _ms(ns: int) -> int:
    return ns // 1_000_000


def _value(value: Any) -> str:
    """A value as it stands in the module."""
    if isinstance(value, dict):
        pairs = (f"{_key(key)}: {_value(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _key(text: str) -> str:
    return text if text.isidentifier() and text.isascii() else _text(text)


def _text(text: str) -> str:
    """A text in single quotes; what would end the line of a script is escaped."""
    return "'" + json.dumps(text)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
