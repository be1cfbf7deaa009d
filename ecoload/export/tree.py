"""Writes what the exporters make into a workspace, or says what of it is not current.

Rules
-----
- A file is written beside its place and moved there: never half of one, and no older one lost. What is
  current already is left as it is.
- What the user wrote is never written over: records that are there stay, and no way out of the workspace
  by a link is taken.
- Looking for what is not current writes nothing.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from ecoload.errors import OutputFailed, UsageError
from ecoload.export import records, scripts, targets_file
from ecoload.export.artifact import Artifact, Source
from ecoload.export.k6 import files as k6_files
from ecoload.export.playwright import files as playwright_files
from ecoload.spec.feeders import FILE
from ecoload.spec.workspace import load_workspace

EXPORTERS: tuple[Callable[[Source], Iterable[Artifact]], ...] = (
    targets_file.artifacts,
    records.artifacts,
    scripts.artifacts,
    k6_files.artifacts,
    playwright_files.artifacts,
)
"""Everything that `ecoload export` writes."""


def read_source(
    targets: Path, scenarios: Path | None = None, environ: Mapping[str, str] | None = None
) -> Source:
    """The workspace of a targets file, to be exported. Raises SpecError with every problem."""
    workspace, root = load_workspace(targets, scenarios, environ), targets.parent
    own = (root / FILE).read_bytes() if (root / FILE).is_file() else None
    place = os.path.relpath(scenarios, root) if scenarios is not None else "scenarios"
    return Source(workspace, targets.name, Path(place).as_posix(), own)


def provide_records(targets: Path) -> None:
    """Writes the synthetic records where a workspace has none, since scenarios that read them cannot be
    loaded without. Raises what `write` does."""
    if targets.is_file():
        list(write(targets.parent, [records.artifact()]))


def artifacts_of(source: Source) -> Iterator[Artifact]:
    """Every file of an export, in the order of the exporters."""
    for exporter in EXPORTERS:
        yield from exporter(source)


def write(root: Path, artifacts: Iterable[Artifact]) -> Iterator[tuple[str, str]]:
    """Writes the files below `root`; each path as it is done, with what became of it: `written`, `current`
    or `kept`. Raises OutputFailed, and UsageError where a link leads out of the workspace."""
    for artifact in artifacts:
        state = _state(root, artifact)
        if state in ("missing", "stale"):
            _write(root, artifact)
            state = "written"
        yield artifact.path, state


def not_current(root: Path, artifacts: Iterable[Artifact]) -> list[str]:
    """What an export would write, one line each."""
    states = [(artifact.path, _state(root, artifact)) for artifact in artifacts]
    return [f"{path} is {state}" for path, state in states if state in ("missing", "stale")]


def within(root: Path, path: Path) -> bool:
    """Whether the way from `root` to `path` takes no link; `path` itself may be one."""
    return path.parent.resolve() == root.resolve() / path.parent.relative_to(root)


def _state(root: Path, artifact: Artifact) -> str:
    path = root / artifact.path
    if not os.path.lexists(path):
        return "missing"
    if artifact.keep:
        return "kept"
    try:
        same = not path.is_symlink() and path.read_bytes() == artifact.content
        runs = not artifact.executable or os.access(path, os.X_OK)
    except OSError:
        return "stale"
    return "current" if same and runs else "stale"


def _write(root: Path, artifact: Artifact) -> None:
    path = root / artifact.path
    if not within(root, path):
        raise UsageError(f"{path.parent} leads out of the workspace by a link; nothing is written there")
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    mode = 0o777 if artifact.executable else 0o666
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(artifact.content)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error
