"""The scripts of a workspace, as files.

Rules
-----
- A scenario with a `k6:` name is part of the script of that name, under every profile in which its app runs it.
- A choice of app or profile chooses files and never what is in them: the same workspace gives the same bytes.
- All that cannot be exported is told at once, and then nothing is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from ecoload.errors import EcoloadError, UsageError
from ecoload.export.artifact import FOLDER, Artifact, Source
from ecoload.export.k6.js import CannotExport
from ecoload.export.k6.part import Part
from ecoload.export.k6.script import assembled
from ecoload.guard.rules import check_plan
from ecoload.plan import Plan
from ecoload.spec.template import nearest
from ecoload.spec.workspace import Workspace, make_plan

PLACE = f"{FOLDER}/k6"


@dataclass(frozen=True, slots=True)
class Script:
    """A file of that name: the loads of an app that belong to it, by profile."""

    name: str
    app: str
    parts: dict[str, Part]


def artifacts(source: Source) -> Iterator[Artifact]:
    """Every script, below `PLACE`. Raises CannotExport."""
    for name, text in texts(source).items():
        yield Artifact(f"{PLACE}/{name}", text.encode())


def texts(source: Source, app: str | None = None, profile: str | None = None) -> dict[str, str]:
    """The scripts by name: all, or those of an app, or that hold a profile. Raises CannotExport with every
    reason, UsageError where there is no such script."""
    workspace, problems = source.workspace, list[str]()
    _known("app", app, workspace.apps)
    _known("profile", profile, workspace.profile_names)
    scripts = _scripts(workspace, workspace.apps if app is None else (app,), problems)
    made = {}
    for script in scripts.values():
        if profile is not None and profile not in script.parts:
            continue
        try:
            made[script.name] = assembled(workspace, script.parts, script.name, _sources(source, script))
        except CannotExport as error:
            problems += [f"{script.name}: {line}" for line in str(error).splitlines()]
    if problems:
        raise CannotExport("\n".join(dict.fromkeys(problems)))
    if not made and app is not None:
        raise UsageError(_none(workspace, app, profile))
    return made


def _scripts(workspace: Workspace, apps: Iterable[str], problems: list[str]) -> dict[str, Script]:
    """The scripts of apps, in the order of apps and profiles; what stands in their way goes to `problems`."""
    found: dict[str, Script] = {}
    named = {source.app for source in workspace.scenarios.values() if source.scenario.k6 is not None}
    for app in apps:
        for profile in workspace.profile_names if app in named else ():
            try:
                plan = _plan(workspace, app, profile)
            except EcoloadError as error:
                problems += [f"{app} {profile}: {line}" for line in str(error).splitlines()]
                continue
            for name, part in _parts(plan).items():
                script = found.setdefault(name, Script(name, app, {}))
                script.parts[profile] = part
                if script.app != app:
                    problems.append(f"{name}: a scenario of {script.app} and one of {app} have this k6: name")
    return found


def _plan(workspace: Workspace, app: str, profile: str) -> Plan:
    """The plan to be exported. What `env:` names need not be set: a script reads it when it runs."""
    unset = dict.fromkeys(workspace.targets.apps[app].env, "")
    plan = make_plan(dataclasses.replace(workspace, environ={**unset, **workspace.environ}), app, profile)
    check_plan(plan)
    return plan


def _parts(plan: Plan) -> dict[str, Part]:
    """The plan's loads by the script that they belong to."""
    indices: dict[str, list[int]] = {}
    for index, load in enumerate(plan.loads):
        if (name := plan.scenarios[load.scenario].k6) is not None:
            indices.setdefault(name.replace("{profile}", plan.profile), []).append(index)
    return {name: Part(plan, tuple(found)) for name, found in indices.items()}


def _sources(source: Source, script: Script) -> tuple[str, ...]:
    used = dict.fromkeys(scenario.name for part in script.parts.values() for scenario in part.scenarios)
    return source.origin, *(f"{source.scenarios}/{name}.yaml" for name in used)


def _known(what: str, name: str | None, names: Collection[str]) -> None:
    if name is not None and name not in names:
        raise UsageError(f"unknown {what} {name!r}{nearest(name, names)}")


def _none(workspace: Workspace, app: str, profile: str | None) -> str:
    """Why an app has no script."""
    own = workspace.scenarios_of(app)
    named = [name for name in own if workspace.scenarios[name].scenario.k6 is not None]
    python = [name for name in own if workspace.scenarios[name].scenario.module is not None]
    if named:
        return f"no script of {app} holds the profile {profile}"
    if python:
        return f"{app} has no k6 script: its scenario {python[0]} is Python, which k6 does not run"
    if not own:
        return f"{app} has no k6 script: it has no scenario"
    return f"{app} has no k6 script: give its scenario {own[0]} a name for one (k6: {app}.js)"
