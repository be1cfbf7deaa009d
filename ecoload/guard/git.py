"""The calls of git: which work tree a folder is in, what a ref names, what a command says.

Rules
-----
- Plumbing only; no hook, no pager, no question on the terminal, no lock for what is only read.
- A name that somebody else chose is checked before git reads it, and never stands where an option could.
- What a parent process said about its own repository (a hook's `GIT_DIR`) does not count: the folder does.
- A message of git's is shown without the credentials that an address in it may hold.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ecoload.errors import ToolMissing, UsageError

_OPTIONS = ("--no-pager", "--no-replace-objects", "--literal-pathspecs", "-c", "gc.auto=0")
_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_OF_A_PARENT = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_PREFIX "
    "GIT_COMMON_DIR GIT_NAMESPACE GIT_SHALLOW_FILE GIT_GRAFT_FILE GIT_REPLACE_REF_BASE".split()
)
_CREDENTIALS = re.compile(r"://[^/@\s]*@")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*")


def call(
    folder: Path, *arguments: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """`git ARGUMENTS` in a folder, however it ends. Raises ToolMissing."""
    own = {name: value for name, value in os.environ.items() if name not in _OF_A_PARENT}
    try:
        return subprocess.run(
            ["git", "-C", str(folder.absolute()), *_OPTIONS, *arguments],
            input=stdin,
            capture_output=True,
            env=own | _ENVIRONMENT | dict(environ or {}),
            check=False,
        )
    except FileNotFoundError:
        raise ToolMissing("git is not here, and it is needed to read the repository: install it") from None


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What git says went wrong, in one line."""
    text = " ".join(done.stderr.decode(errors="replace").split())
    return _CREDENTIALS.sub("://", text) or f"git ended with {done.returncode}"


def read(folder: Path, *arguments: str) -> bytes | None:
    """What a command prints; None where it fails."""
    done = call(folder, *arguments)
    return done.stdout if done.returncode == 0 else None


def read_line(folder: Path, *arguments: str) -> str | None:
    """The one line that a command prints; None where it fails or prints nothing."""
    printed = read(folder, *arguments)
    return (printed.decode(errors="replace").strip() or None) if printed is not None else None


def work_tree(folder: Path) -> Path | None:
    """The work tree that a folder lies in; None where it lies in none.

    Raises ToolMissing where there is one and no git, UsageError where git will not look at it.
    """
    try:
        done = call(folder, "rev-parse", "--show-toplevel")
    except ToolMissing:
        place = folder.resolve()
        if any((parent / ".git").exists() for parent in (place, *place.parents)):
            raise
        return None
    if done.returncode == 0:
        return Path(done.stdout.decode().removesuffix("\n"))
    if b"not a git repository" in done.stderr or b"must be run in a work tree" in done.stderr:
        return None
    raise UsageError(f"git does not look into {folder.absolute()}: {said(done)}")


def is_ref_name(name: str) -> bool:
    """May it be the name of a branch, a tag or a remote? Nothing that git reads as an expression is."""
    return (
        _NAME.fullmatch(name) is not None
        and not any(piece in name for piece in ("..", "//", "/."))
        and not name.endswith(("/", ".", ".lock"))
    )


def branch_checked_out(folder: Path) -> str | None:
    """The full name of the branch that a work tree is on; None where it is on none."""
    return read_line(folder, "symbolic-ref", "--quiet", "HEAD")
