"""Approvals at the command line: `ecoload approve`, and the question that a run asks at a terminal.

Rules
-----
- What is signed is shown first, read from the plan itself where it is at hand: a request may say anything,
  a plan has its hash.
- A person is asked only where standard input and standard error are terminals. Everything that is said
  goes to standard error: with `--json`, standard output is the result's.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecoload.errors import ApprovalNeeded, GuardRefused, UsageError
from ecoload.guard.asking import Ask, Asked, Desk, find_request, open_desk, permit, record
from ecoload.guard.authors import UNKNOWN, Authors, files_of
from ecoload.guard.grants import Grant, Signed, new_approval
from ecoload.guard.ledger import open_ledger
from ecoload.guard.signing import SIGNERS_VARIABLE, read_signers, sign, signing_key
from ecoload.measure.plan_file import read_plan
from ecoload.report.forms import clean
from ecoload.report.live import live_console
from ecoload.report.terminal import print_plan
from ecoload.spec.units import format_duration, parse_duration

if TYPE_CHECKING:
    from ecoload.cli.options import Options
    from ecoload.plan import Plan
    from ecoload.run import Permit


DEFAULT_EXPIRY = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Terms:
    """For how long an approval holds, and for how many runs."""

    expires: timedelta = DEFAULT_EXPIRY
    uses: int = 1
    window: timedelta | None = None

    @classmethod
    def of(cls, expires: str | None, uses: int | None, window: str | None) -> Terms:
        """The terms as the options give them. Raises UsageError."""
        if uses is not None and uses > 1 and expires is None:
            raise UsageError("--uses needs --expires: say until when the runs may take place")
        if window is not None and uses is None:
            raise UsageError("--window says how the uses are spread, so it needs --uses")
        return cls(
            _span("--expires", expires) if expires is not None else DEFAULT_EXPIRY,
            uses or 1,
            _span("--window", window) if window is not None else None,
        )


def approve_hash(
    execution_hash: str, by: str, reason: str, terms: Terms, key: Path | None, out: Path
) -> None:
    """Shows what is signed, signs it, and puts it into the ledger."""
    here, now = Path(), datetime.now(UTC)
    approval = new_approval(
        execution_hash.lower(), by, reason, now, terms.expires, uses=terms.uses, window=terms.window
    )
    signers = read_signers(os.environ, here, anywhere=True)
    if not signers.source:
        raise UsageError(
            f"{SIGNERS_VARIABLE} is not set: name the file of who may approve (docs/approvals.md)"
        )
    authors = _show_request(approval.execution_hash, out)
    desk = Desk(open_ledger(os.environ, here, anywhere=True), signers, lambda: authors)
    signed = Signed(approval, sign(approval.message, signing_key(key, os.environ, here)))
    try:
        record(desk, signed)
    except ApprovalNeeded as error:
        raise GuardRefused(f"the approval would not serve: {'; '.join(error.refused)}") from None
    window_ns = (approval.window_s or 0) * 1_000_000_000
    spread = f", one in each {format_duration(window_ns)}" if window_ns else ""
    many = f"{approval.uses} uses{spread}" if approval.uses > 1 else "one use"
    _say(f"approved by {approval.by} until {approval.expires_at}: {many}")
    _say(f"approval {approval.id} in {desk.ledger.name}")


def permit_for(
    options: Options, workspace: Path, plans: Sequence[Plan], approve_as: str, again: str = ""
) -> Permit:
    """How a run, or a suite of these plans, gets its grant: from the ledger, else from whoever sits at the
    terminal. `again` is the command that goes on once it is approved; this one, where not stated."""

    def get(asked: Asked, run_id: str, folder: Path) -> Grant:
        desk = desk_for(options, workspace, plans)
        if approve_as:
            _say("--approve-as is for the sandbox that this command starts, and other places are reached too")
        ask = asking(lambda: _show_plan(folder, asked.execution_hash), workspace)
        return permit(asked, run_id, folder, desk, again=again or this_command(), ask=ask)

    return get


def desk_for(options: Options, workspace: Path, plans: Sequence[Plan]) -> Desk:
    """The desk of a run, or a suite, of these plans. Raises GuardRefused, UsageError, ToolMissing."""
    scenarios = options.scenarios or workspace / "scenarios"
    named = {s.name for plan in plans for s in plan.scenarios if s.module is None}
    written = [scenarios / f"{name}.yaml" for name in sorted(named)]
    bodies = sorted({workspace / file for plan in plans for file in files_of(plan)})
    files = [options.targets, *(path for path in written if path.exists()), *bodies]
    return open_desk(os.environ, workspace, files)


def asking(show: Callable[[], object], workspace: Path) -> Ask | None:
    """Asks whoever sits at the terminal, and has them sign; `show` shows what it is about. None: nobody
    sits there."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(asked: Asked, refused: tuple[str, ...]) -> Signed | None:
        show()
        for line in refused:
            _say(f"does not serve: {line}")
        by = _answer("Who approves it (nothing: nobody)")
        if not by:
            return None
        reason = "at the terminal" if asked.embedded else _answer("Why")
        approval = new_approval(asked.execution_hash, by, reason, datetime.now(UTC), DEFAULT_EXPIRY)
        if asked.embedded:
            return Signed(approval)
        return Signed(approval, sign(approval.message, signing_key(None, os.environ, workspace)))

    return ask


def this_command() -> str:
    """The command that this process was started with."""
    return shlex.join(["ecoload", *sys.argv[1:]])


def _show_request(execution_hash: str, out: Path) -> Authors:
    """Shows what a hash stands for; the authors that its request tells of."""
    found = find_request(out, execution_hash)
    if found is None:
        _say(f"there is no request for it in {out}: the hash alone is signed")
        return UNKNOWN
    path, request = found
    _say(f"request {path}")
    if not _show_plan(path.parent, execution_hash):
        _say("there is no plan beside it; this is what the request says, and nothing holds it to that:")
        for name, value in request.items():
            _say(f"  {name}: {value}")
    authors = [name for name in request.get("authors") or () if isinstance(name, str)]
    if authors:
        _say(f"authors of the change: {', '.join(authors)}")
    return Authors(bool(authors), tuple(authors))


def _show_plan(folder: Path, execution_hash: str) -> bool:
    """Shows the plan in a run's folder; False: there is none. Raises GuardRefused where it is another's."""
    if (folder / "protocol.json").exists():
        from ecoload.cli.suite_plans import show_suite

        show_suite(folder, execution_hash)
        return True
    path = folder / "plan.json"
    if not path.exists():
        return False
    plan = read_plan(path)
    if plan.execution_hash != execution_hash:
        raise GuardRefused(f"{path} is not the plan of that hash, but of {plan.execution_hash}")
    print_plan(plan, live_console())
    return True


def _answer(question: str) -> str:
    answer: str = click.prompt(question, default="", show_default=False, err=True)
    return answer.strip()


def _span(option: str, text: str) -> timedelta:
    try:
        ns = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if ns < 1_000_000_000 or ns % 1_000_000_000:
        raise UsageError(f"{option}: expected whole seconds, at least one, got {text}")
    return timedelta(seconds=ns // 1_000_000_000)


def _say(text: str) -> None:
    click.echo(clean(text), err=True)
