"""Who made the change that is about to run, as far as git knows.

Rules
-----
- Where the signers come from a git ref, the change is every commit from that ref to what is checked out.
- Else, and where there is no such commit, it is the last commit that touched the files of the plan.
- Where those files differ from what was committed, whoever would commit here is an author too.
- Names and e-mail addresses count alike, as the commits have them (no mailmap: the change could write it).
- Without git nobody is known. A shallow clone is refused: git would name somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecoload.errors import GuardRefused
from ecoload.guard import git
from ecoload.guard.reach import steps
from ecoload.plan import Plan

_LOG = ("log", "--no-show-signature", "--no-mailmap", "--format=%an%x00%ae")
_IDENT = re.compile(r"(.*) <(.*)> \d+ [+-]\d+")


@dataclass(frozen=True, slots=True)
class Authors:
    """Names and addresses of the authors of a change. `known` is False where there may be others."""

    known: bool
    names: tuple[str, ...] = ()


UNKNOWN = Authors(known=False)


def authors_of(workspace: Path, files: Sequence[Path], since: str | None) -> Authors:
    """The authors of what is checked out: of the commits after the ref `since`, else of the last one that
    touched one of the `files`.

    Raises GuardRefused for a shallow clone, ToolMissing, UsageError.
    """
    top = git.work_tree(workspace)
    if top is None:
        return UNKNOWN
    if git.read_line(workspace, "rev-parse", "--is-shallow-repository") == "true":
        raise GuardRefused(
            "this clone is shallow, so git does not know who made the change, and its author must not be its "
            "approver: fetch the whole history (fetch-depth: 0, or git fetch --unshallow)"
        )
    within = [str(place) for place in map(Path.resolve, files) if place.is_relative_to(top)]
    names = [*_of_commits(workspace, within, since)]
    known = len(within) == len(files)
    if within and git.read(workspace, "status", "--porcelain", "--ignored", "--", *within):
        ident = _IDENT.fullmatch(git.read_line(workspace, "var", "GIT_AUTHOR_IDENT") or "")
        names += ident.groups() if ident else ()
        known = known and ident is not None
    return Authors(known, tuple(dict.fromkeys(filter(None, names))))


def files_of(plan: Plan) -> Iterator[str]:
    """The files that a plan reads, relative to its workspace: feeders, bodies, Python scenarios, and
    certificates."""
    yield from (feeder.file for feeder in plan.feeders)
    yield from (file for origin in plan.origins for file, _ in origin.tls_sha256)
    for scenario in plan.scenarios:
        if scenario.module is not None:
            yield scenario.module
        for step in steps(scenario.setup + scenario.steps + scenario.teardown):
            if step.body is not None:
                yield from (file for file, _ in step.body.file_sha256)


def _of_commits(workspace: Path, files: Sequence[str], since: str | None) -> list[str]:
    if git.read_line(workspace, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        return []
    printed = None
    if since is not None:
        printed = git.read(workspace, *_LOG, f"{since}..HEAD", "--")
    if not printed and files:
        printed = git.read(workspace, *_LOG, "-1", "HEAD", "--", *files)
    return [
        name for line in (printed or b"").decode(errors="replace").splitlines() for name in line.split("\0")
    ]
