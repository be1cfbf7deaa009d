"""The scripts of a workspace, as files.

Rules
-----
- A scenario with a `k6:` name is part of the script of that name, under each profile that its app runs it in.
- A choice of app or profile chooses files and never what is in them: the same workspace gives the same bytes.
- All that cannot be exported is told at once, and then nothing is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ecoload.errors import EcoloadError, UsageError
from ecoload.export.artifact import FOLDER, Artifact, Source
from ecoload.export.k6.header import GENERATED
from ecoload.export.k6.js import CannotExport
from ecoload.export.k6.operator import manifest, resource_name
from ecoload.export.k6.parts import Part, Script, script_name
from ecoload.export.k6.script import text_of
from ecoload.guard.rules import check_plan
from ecoload.plan import Plan
from ecoload.spec.template import nearest, variables
from ecoload.spec.workspace import Workspace, make_plan

PLACE = f"{FOLDER}/k6"
MANIFEST = ".operator.yaml"


def artifacts(source: Source) -> Iterator[Artifact]:
    """Every script, below `PLACE`. Raises CannotExport."""
    yield from placed(chosen(source))


def placed(made: Iterable[Artifact]) -> list[Artifact]:
    """Scripts by their paths in the workspace."""
    return [dataclasses.replace(artifact, path=f"{PLACE}/{artifact.path}") for artifact in made]


def left_over(folder: Path, made: Iterable[Artifact]) -> list[Path]:
    """The scripts of a folder that an earlier export wrote, and this one of everything would not."""
    names = {artifact.path for artifact in made}
    others = (path for path in sorted(folder.glob("*.js")) if path.name not in names and path.is_file())
    return [path for path in others if f"\n// {GENERATED}".encode() in path.read_bytes()]


def chosen(
    source: Source, app: str | None = None, profile: str | None = None, *, operator: bool = False
) -> list[Artifact]:
    """The scripts by their names alone: all, or those of an app, or that hold a profile; with a manifest for
    k6-operator beside each. Raises CannotExport with every reason, UsageError where there is none."""
    workspace, problems = source.workspace, list[str]()
    _known("app", app, workspace.apps)
    _known("profile", profile, workspace.profile_names)
    made = []
    for script in _scripts(source, workspace.apps if app is None else (app,), problems):
        if profile is not None and profile not in script.parts:
            continue
        try:
            text = text_of(script)
            made.append(Artifact(script.name, text.encode()))
            if operator:
                beside = script.name.removesuffix(".js") + MANIFEST
                made.append(Artifact(beside, manifest(script, text, workspace.data).encode()))
        except CannotExport as error:
            problems += [f"{script.name}: {line}" for line in str(error).splitlines()]
    problems += _alike([artifact.path for artifact in made])
    if problems:
        raise CannotExport("\n".join(dict.fromkeys(problems)))
    if not made:
        raise UsageError(_none(workspace, app, profile))
    return made


def _scripts(source: Source, apps: Iterable[str], problems: list[str]) -> list[Script]:
    """The scripts of apps, in the order of apps and profiles; what stands in their way goes to `problems`."""
    workspace = source.workspace
    parts: dict[str, dict[str, Part]] = {}
    named = {each.app for each in workspace.scenarios.values() if each.scenario.k6 is not None}
    for app in apps:
        for profile in workspace.profiles_of(app) if app in named else ():
            try:
                plan = _plan(workspace, app, profile)
            except EcoloadError as error:
                problems += [f"{app} {profile}: {line}" for line in str(error).splitlines()]
                continue
            for name, part in _parts(plan).items():
                of_name = parts.setdefault(name, {})
                others = {other.plan.app for other in of_name.values()} - {app}
                problems += [
                    f"{name}: a scenario of {other} and one of {app} have this name" for other in others
                ]
                of_name[profile] = part
    return [Script(name, workspace, found, _sources(source, found)) for name, found in parts.items()]


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
            indices.setdefault(script_name(name, plan.profile), []).append(index)
    return {name: Part(plan, tuple(found)) for name, found in indices.items()}


def _sources(source: Source, parts: Mapping[str, Part]) -> tuple[str, ...]:
    used = dict.fromkeys(scenario.name for part in parts.values() for scenario in part.scenarios)
    return source.origin, *(f"{source.scenarios}/{name}.yaml" for name in used)


def _alike(paths: Iterable[str]) -> Iterator[str]:
    """Names of files that some file systems, and names of resources that Kubernetes, would take for one."""
    seen: dict[str, str] = {}
    for path in paths:
        manifest = path.endswith(MANIFEST)
        same = resource_name(path.removesuffix(MANIFEST)) + MANIFEST if manifest else path.lower()
        if (other := seen.setdefault(same, path)) != path:
            yield f"{other} and {path} are too much alike; give one of them another name (k6: NAME.js)"


def _known(what: str, name: str | None, names: Collection[str]) -> None:
    if name is not None and name not in names:
        raise UsageError(f"unknown {what} {name!r}{nearest(name, names)}")


def _none(workspace: Workspace, app: str | None, profile: str | None) -> str:
    """Why there is no script."""
    if app is None:
        return "there is no k6 script: no scenario has a name for one (k6: NAME.js)" + (
            f" and runs under the profile {profile}" if profile else ""
        )
    own = workspace.scenarios_of(app)
    if any(workspace.scenarios[name].scenario.k6 is not None for name in own):
        return f"no k6 script of {app} holds the profile {profile}"
    if not own:
        return f"{app} has no k6 script, since it has no scenario"
    if workspace.scenarios[own[0]].scenario.module is not None:
        return f"{app} has no k6 script: its scenario {own[0]} is Python, which k6 does not run"
    return f"{app} has no k6 script: its scenario {own[0]} has no name for one (k6: NAME.js)"


def variables_set(source: Source) -> list[str]:
    """What the environment says of addresses, and so of the hosts that the scripts allow."""
    workspace = source.workspace
    names = {name for app in workspace.targets.apps.values() for name in variables(app.base_url)}
    return [
        f"{name} is set, and the scripts allow the host that it names: check with what it was at the export"
        for name in sorted(names)
        if workspace.environ.get(name)
    ]
