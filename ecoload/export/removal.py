"""Removes the generated files of a workspace, and nothing else.

Rules
-----
- Only what stands at a place of `GENERATED` goes. Records, runs and whatever the user wrote elsewhere stay.
- What git tracks stays, in a repository around the workspace or in one below it. Where there is one and git
  cannot be asked, nothing is removed.
- No link is followed and none is removed; nothing but plain files and the folders they leave empty is. What
  npm installed stays.
- What goes is worked out first, so that it can be shown without being done.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ecoload.errors import OutputFailed, UsageError
from ecoload.export import scripts, targets_file
from ecoload.export.artifact import FOLDER
from ecoload.export.k6 import files as k6_files
from ecoload.export.tree import within

GENERATED = (
    targets_file.PATH,
    scripts.PLACE,
    k6_files.PLACE,
    f"{FOLDER}/playwright",
    f"{FOLDER}/reports",
)
"""What exports and reports make."""
MODULES = "node_modules"
"""Nobody made it here, and it is fetched again only with a network."""


@dataclass(slots=True)
class Removal:
    """What would go from one place of `GENERATED`, and what stays there and why."""

    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    """Innermost first; those that are empty by then go too."""
    kept: list[str] = field(default_factory=list)

    @property
    def lines(self) -> Iterator[str]:
        """What goes: the place where all of it does, else each file."""
        if self.kept or not self.folders:
            yield from map(str, self.files)
        else:
            many = f"{len(self.files)} {'file' if len(self.files) == 1 else 'files'}"
            yield f"{self.folders[-1]} ({many if self.files else 'empty'})"


def removals(root: Path) -> list[Removal]:
    """What `remove` would do, place by place. Raises UsageError where git cannot be asked."""
    tracked = _tracked(root)
    found = []
    for place in GENERATED:
        removal, path = Removal(), root / place
        if not within(root, path):
            removal.kept.append(f"{path} (a link leads there)")
        elif os.path.lexists(path):
            _look(root, path, tracked, removal)
        found.append(removal)
    return found


def shown(places: Iterable[Removal]) -> Iterator[str]:
    """What `remove` would do, for people."""
    for removal in places:
        yield from (f"would remove {line}" for line in removal.lines)
        yield from (f"stays: {line}" for line in removal.kept)


def remove(places: Iterable[Removal]) -> Iterator[str]:
    """Removes the files, then the folders that are empty; what was done, place by place. Raises OutputFailed
    naming what would not go, after everything else has."""
    failed: list[str] = []
    for removal in places:
        wrong = [*filter(None, map(_unlink, removal.files))]
        for folder in removal.folders:
            with suppress(OSError):  # something is kept in it
                folder.rmdir()
        if not wrong:
            yield from (f"removed {line}" for line in removal.lines)
        yield from (f"stays: {line}" for line in removal.kept)
        failed += wrong
    if failed:
        raise OutputFailed("\n".join(failed))


def _unlink(file: Path) -> str:
    """Removes a file; what went wrong, or nothing."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        return f"{file} cannot be removed: {error.strerror}"
    return ""


def _look(root: Path, path: Path, tracked: frozenset[str], removal: Removal) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        removal.kept.append(f"{path} (a link)")
    elif stat.S_ISDIR(mode):
        if os.path.lexists(path / ".git"):
            removal.kept.append(f"{path} (a git repository)")
            return
        if path.name == MODULES:
            removal.kept.append(f"{path} (installed by npm)")
            return
        try:
            inside = sorted(path.iterdir())
        except OSError as error:
            removal.kept.append(f"{path} (cannot be read: {error.strerror})")
            return
        for inner in inside:
            _look(root, inner, tracked, removal)
        removal.folders.append(path)
    elif not stat.S_ISREG(mode):
        removal.kept.append(f"{path} (not a plain file)")
    elif path.relative_to(root).as_posix() in tracked:
        removal.kept.append(f"{path} (git tracks it)")
    else:
        removal.files.append(path)


def _tracked(root: Path) -> frozenset[str]:
    """The files below `FOLDER` that git tracks, relative to the workspace."""
    whole = root.resolve()
    if not any(os.path.lexists(folder / ".git") for folder in (whole, *whole.parents)):
        return frozenset()
    # Where these are set, git looks at another repository than the one around us.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--", FOLDER], cwd=whole, env=environ, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", b"").decode(errors="replace").strip() or str(error)
        raise UsageError(
            f"{whole} is in a git repository, and git does not say what it tracks there, so nothing is "
            f"removed: {told}"
        ) from None
    return frozenset(os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
