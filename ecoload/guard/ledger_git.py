"""A ledger in a git branch, for runners that keep nothing: each entry is a commit.

Rules
-----
- `git:BRANCH` is a branch of the workspace's repository, `git:REMOTE/BRANCH` one of a remote that is read
  and pushed to anew each time.
- A commit is made with plumbing and becomes the branch's tip only where the tip is still the one that was
  read (`update-ref` with the old value; a push without force). Who loses reads again, and sees the use.
- Neither the work tree nor the index is touched. A branch that is checked out, or that holds anything but a
  ledger, is refused.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from ecoload.errors import GuardRefused, UsageError
from ecoload.guard import git
from ecoload.guard.ledger import HEAD, LEDGER_VARIABLE, LOG, Decide, Entry, head_of, next_line, read_log

MOST_RACES = 50
MOST_FAILURES = 3
_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "ecoload"), ("EMAIL", "ecoload@localhost"))
}


def git_ledger(named: str, workspace: Path) -> GitLedger:
    """The ledger behind `BRANCH` or `REMOTE/BRANCH`. Raises UsageError, GuardRefused."""
    if git.work_tree(workspace) is None:
        raise UsageError(f"{LEDGER_VARIABLE}=git:{named}: {workspace.absolute()} lies in no git work tree")
    if not git.is_ref_name(named) or named.startswith("refs/"):
        raise UsageError(f"{LEDGER_VARIABLE}=git:{named}: expected git:BRANCH or git:REMOTE/BRANCH")
    first, _, rest = named.partition("/")
    remotes = (git.read(workspace, "remote") or b"").decode().split("\n")
    if rest and first in remotes:
        return GitLedger(workspace, f"refs/heads/{rest}", first)
    ref = f"refs/heads/{named}"
    if f"branch {ref}" in (git.read(workspace, "worktree", "list", "--porcelain") or b"").decode().split(
        "\n"
    ):
        raise GuardRefused(f"{LEDGER_VARIABLE}: {named} is checked out; a ledger needs a branch of its own")
    return GitLedger(workspace, ref)


@dataclass(frozen=True, slots=True)
class GitLedger:
    """A ledger in a branch (`ref` in full) of the workspace's repository, or of one of its remotes."""

    workspace: Path
    ref: str
    remote: str | None = None

    @property
    def name(self) -> str:
        branch = self.ref.removeprefix("refs/heads/")
        return f"git:{self.remote}/{branch}" if self.remote else f"git:{branch}"

    def entries(self) -> tuple[Entry, ...]:
        return read_log(*self._files(self._tip()), self.name)

    def append(self, decide: Decide) -> Entry:
        failures = 0
        for _ in range(MOST_RACES):
            tip = self._tip()
            log, head = self._files(tip)
            line = next_line(log, decide(read_log(log, head, self.name)))
            problem = self._move(tip, self._commit(tip, log + line))
            if not problem:
                return read_log(log + line, head_of(log + line), self.name)[-1]
            if self._tip() == tip:
                failures += 1
                if failures == MOST_FAILURES:
                    raise GuardRefused(
                        f"the ledger {self.name} cannot be written: {problem}; nothing is sent"
                    )
            time.sleep(random.uniform(0.02, 0.2))
        raise GuardRefused(f"the ledger {self.name} cannot be written: others write to it all the time")

    def _tip(self) -> str | None:
        """The commit that the branch is at; None where there is no branch yet."""
        if self.remote is None:
            return git.read_line(self.workspace, "rev-parse", "--verify", "--quiet", f"{self.ref}^{{commit}}")
        done = git.call(self.workspace, "ls-remote", "--", self.remote, self.ref)
        if done.returncode != 0:
            raise GuardRefused(f"the ledger {self.name} cannot be read: {git.said(done)}; nothing is sent")
        for line in done.stdout.decode().splitlines():
            commit, _, ref = line.partition("\t")
            if ref == self.ref:
                self._fetch(commit)
                return commit
        return None

    def _fetch(self, commit: str) -> None:
        """Has the commit here, and no ref moved for it."""
        if git.read(self.workspace, "cat-file", "-e", f"{commit}^{{commit}}") is not None:
            return
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
        done = git.call(self.workspace, "fetch", *options, "--", str(self.remote), self.ref)
        if done.returncode != 0:
            raise GuardRefused(f"the ledger {self.name} cannot be read: {git.said(done)}; nothing is sent")

    def _files(self, tip: str | None) -> tuple[bytes, bytes]:
        if tip is None:
            return b"", b""
        names = git.read(self.workspace, "ls-tree", "-z", "--name-only", "--full-tree", tip) or b""
        if sorted(filter(None, names.decode(errors="replace").split("\0"))) != sorted((LOG, HEAD)):
            raise GuardRefused(f"{self.name} holds something else than a ledger; give it a branch of its own")
        log, head = (git.read(self.workspace, "cat-file", "blob", f"{tip}:{name}") for name in (LOG, HEAD))
        if log is None or head is None:
            raise GuardRefused(f"the ledger {self.name} cannot be read")
        return log, head

    def _commit(self, tip: str | None, log: bytes) -> str:
        files = ((HEAD, head_of(log)), (LOG, log))
        tree = "".join(
            f"100644 blob {self._made(content, 'hash-object', '-w', '--stdin')}\t{name}\n"
            for name, content in files
        )
        made = self._made(tree.encode(), "mktree")
        return self._made(b"ecoload: one entry\n", "commit-tree", *(("-p", tip) if tip else ()), made)

    def _made(self, stdin: bytes, *arguments: str) -> str:
        done = git.call(self.workspace, *arguments, stdin=stdin, environ=_WHO)
        if done.returncode != 0:
            raise GuardRefused(f"the ledger {self.name} cannot be written: {git.said(done)}; nothing is sent")
        return done.stdout.decode().strip()

    def _move(self, old: str | None, new: str) -> str:
        """Makes a commit the tip where the tip is still the old one; else says what went wrong."""
        if self.remote is None:
            done = git.call(self.workspace, "update-ref", self.ref, new, old or "")
        else:
            done = git.call(
                self.workspace, "push", "--quiet", "--no-verify", "--", self.remote, f"{new}:{self.ref}"
            )
        return "" if done.returncode == 0 else git.said(done)
