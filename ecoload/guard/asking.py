"""Asking a human: what is asked, who may answer where, and the way to a grant or to a request.

Rules
-----
- What is asked is a value (`Asked`): a plan is one kind of it, a suite another.
- First the ledger: an approval that serves is used at once, before anything is sent. Else whoever sits at
  the terminal is asked; else a request is written and nothing is sent.
- What is answered at the terminal is signed, judged and kept like any other approval.
- Git is called, and signers are read, only where something needs an approval.
- No secret is in a request: a plan knows them by reference only.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ecoload.errors import ApprovalNeeded, GuardRefused, OutputFailed
from ecoload.guard.approval import reasons_for_approval
from ecoload.guard.authors import Authors, authors_of
from ecoload.guard.grants import Approval, Grant, Signed, approvals_of, read_grant, standing, unsigned, use_of
from ecoload.guard.ledger import Entry, Ledger, open_ledger
from ecoload.guard.peaks import peak_vus
from ecoload.guard.reach import asked_origins
from ecoload.guard.signing import NO_SIGNERS, Signers, read_signers
from ecoload.plan import Plan
from ecoload.plan.suite import SuitePlan

REQUEST_SCHEMA = "ecoload.approval_request/1"
REQUEST, KEPT = "approval_request.json", "approval.json"
MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What a human is to approve. `details` tell more about it; `embedded`: every target is the sandbox
    that this process started, where somebody's word is enough."""

    execution_hash: str
    title: str
    reasons: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    embedded: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """Where approvals are kept and held against what is known. `authors` is asked only when it is needed."""

    ledger: Ledger
    signers: Signers
    authors: Callable[[], Authors]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


Ask = Callable[[Asked, tuple[str, ...]], Signed | None]
"""Asks a person at the terminal; it is told why the approvals that are there do not serve. None: nobody
approves."""


def open_desk(environ: Mapping[str, str], workspace: Path, files: Sequence[Path]) -> Desk:
    """The ledger and the signers that the environment names; `files` are what the change is told by.

    Raises GuardRefused, UsageError, ToolMissing.
    """
    signers = read_signers(environ, workspace)
    return Desk(open_ledger(environ, workspace), signers, lambda: authors_of(workspace, files, signers.ref))


def asked_of(plan: Plan) -> Asked:
    """What stands before a human with a plan whose hosts are resolved."""
    details = {
        "spec_hash": plan.spec_hash,
        "app": plan.app,
        "profile": plan.profile,
        "peak_vus": peak_vus(plan),
        "origins": _places(plan),
    }
    return Asked(
        plan.execution_hash,
        f"{plan.app} · {plan.profile}",
        reasons_for_approval(plan),
        details,
        all(origin.embedded for origin in plan.origins),
    )


def asked_of_suite(suite: SuitePlan, gated: Mapping[str, Sequence[str]]) -> Asked:
    """What stands before a human with a whole suite: one hash, one approval for its `gated` phases."""
    plans = [run.plan for _, run in suite.runs]
    most = max(sum(peak_vus(run.plan) for run in batch) for phase in suite.phases for batch in phase.batches)
    places = {place["app"]: place for plan in plans for place in _places(plan)}
    details = {
        "spec_hash": suite.spec_hash,
        "app": "suite",
        "phases": [phase.name for phase in suite.phases],
        "gated": {name: list(reasons) for name, reasons in gated.items()},
        "peak_vus": most,
        "origins": list(places.values()),
    }
    return Asked(
        suite.execution_hash,
        f"suite · {suite.protocol.name}",
        tuple(f"{name}: {reason}" for name, reasons in gated.items() for reason in reasons),
        details,
        all(origin.embedded for plan in plans for origin in plan.origins),
    )


def _places(plan: Plan) -> list[dict[str, Any]]:
    """Where a plan sends to."""
    used = asked_origins(plan)
    return [
        {
            "app": origin.app,
            "url": "sandbox" if origin.embedded else f"{origin.scheme}://{origin.authority}",
            "environment": origin.environment,
            "addresses": [] if origin.embedded else list(origin.addresses),
        }
        for origin in map(plan.origins.__getitem__, sorted(used))
    ]


def permit(
    asked: Asked, run_id: str, folder: Path, desk: Desk, *, again: str, ask: Ask | None = None
) -> Grant:
    """The grant of a run in `folder`, its use already in the ledger. `again` is the command that asks anew.

    Raises ApprovalNeeded, with a request in the folder, where there is no approval and nobody gives one.
    """
    try:
        return consume(desk, asked.execution_hash, run_id)
    except ApprovalNeeded as error:
        refused = error.refused
    if not (desk.signers.source or asked.embedded):
        refused, ask = (NO_SIGNERS,), None
    signed = ask(asked, refused) if ask is not None else None
    if signed is not None:
        if asked.embedded and not signed.signature:
            return unsigned(asked.execution_hash, signed.approval.by, run_id, desk.now())
        try:
            record(desk, signed)
            return consume(desk, asked.execution_hash, run_id)
        except ApprovalNeeded as error:
            refused = error.refused
    path = _write_request(asked, folder, refused, again, () if asked.embedded else desk.authors().names)
    raise _needed(asked, refused, path, again)


def consume(desk: Desk, execution_hash: str, run_id: str) -> Grant:
    """Takes a use of an approval that serves, in one step with looking for it.

    Raises ApprovalNeeded, whose `refused` tells why those that are there do not serve; GuardRefused where
    the ledger is not whole or cannot be written.
    """
    taken: list[tuple[Signed, bool]] = []

    def take(entries: tuple[Entry, ...]) -> dict[str, Any]:
        signed, known = _serving(desk, entries, execution_hash)
        taken.append((signed, known))
        return use_of(signed.approval, run_id, desk.now())

    used = desk.ledger.append(take)
    signed, known = taken[-1]
    return Grant(signed, used.tree, known)


def resumed(desk: Desk, grant: Grant, run_id: str) -> Grant:
    """A kept grant that `grants.verify` found sound, once the ledger too knows of its use. A ledger that
    knows none by this run (another machine's; or somebody wrote it into the folder by hand) gives one now, as
    to a run that begins.

    Raises GuardRefused where there is none left to take.
    """
    approval = grant.signed.approval
    entries = desk.ledger.entries()
    if any(_is_use_of(entry, approval, run_id) for entry in entries):
        return grant
    known = approvals_of(entries, approval.execution_hash)
    try:
        if all(entry.tree["approval"].get("id") != approval.id for entry in known):
            record(desk, grant.signed)
        return consume(desk, approval.execution_hash, run_id)
    except ApprovalNeeded as error:
        raise GuardRefused(
            f"the approval that was kept does not serve: {desk.ledger.name} knows no use of it by {run_id}, "
            f"and another is not to be had: {'; '.join(error.refused)}. Take {KEPT} out of the folder to "
            "have it approved anew"
        ) from None


def _is_use_of(entry: Entry, approval: Approval, run_id: str) -> bool:
    return entry.kind == "used" and (
        (entry.tree["approval"], entry.tree["execution_hash"], entry.tree["run"])
        == (approval.id, approval.execution_hash, run_id)
    )


def record(desk: Desk, signed: Signed) -> None:
    """Puts an approval into the ledger where it serves. Raises ApprovalNeeded, whose `refused` says why it
    does not."""
    tree = {"kind": "approved", "approval": signed.approval.to_tree(), "signature": signed.signature}
    _serving(desk, (Entry(1, "approved", tree),), signed.approval.execution_hash)
    desk.ledger.append(lambda _: tree)


def keep(grant: Grant, folder: Path) -> None:
    """Writes a grant into a run's folder, for whoever looks and for a resume. Raises OutputFailed."""
    _write(folder / KEPT, grant.to_tree())


def kept(folder: Path) -> Grant:
    """The grant in a run's folder; `grants.verify` says whether it still holds. Raises GuardRefused."""
    try:
        return read_grant(orjson.loads((folder / KEPT).read_bytes()))
    except (OSError, orjson.JSONDecodeError) as error:
        raise GuardRefused(f"{folder / KEPT} cannot be read: {error}") from None


def find_request(out: Path, execution_hash: str) -> tuple[Path, dict[str, Any]] | None:
    """The newest request for a hash among the run folders of `out`, and its path."""
    found = []
    for path in out.glob(f"*/{REQUEST}"):
        try:
            tree = orjson.loads(path.read_bytes())
            if tree["schema"] == REQUEST_SCHEMA and tree["execution_hash"] == execution_hash:
                found.append((path.stat().st_mtime_ns, path, tree))
        except (OSError, orjson.JSONDecodeError, TypeError, KeyError):
            continue
    return max(found, key=lambda one: one[0])[1:] if found else None


def approve_command(execution_hash: str, folder: Path) -> str:
    """What an approver types for a request in a run's folder."""
    return f"ecoload approve {execution_hash} --by NAME --reason TEXT --out {shlex.quote(str(folder.parent))}"


def _serving(desk: Desk, entries: tuple[Entry, ...], execution_hash: str) -> tuple[Signed, bool]:
    """The approval among the entries that serves now, and whether the authors are known."""
    if not approvals_of(entries, execution_hash):
        raise ApprovalNeeded(f"there is no approval of {execution_hash} in {desk.ledger.name}")
    authors = desk.authors()
    found = standing(entries, execution_hash, desk.now(), desk.signers, authors)
    if found.signed is None:
        told = [*found.refused[:MOST_TOLD]]
        if len(found.refused) > MOST_TOLD:
            told.append(f"and {len(found.refused) - MOST_TOLD} older ones")
        raise ApprovalNeeded("no approval of it serves:\n" + _listed(told), (), told)
    return found.signed, authors.known


def _needed(asked: Asked, refused: Sequence[str], path: Path, again: str) -> ApprovalNeeded:
    lines = ["a human must approve this before anything is sent:", _listed(asked.reasons)]
    if refused:
        lines += ["what is there does not serve:", _listed(refused)]
    lines += [
        f"plan     {asked.execution_hash}",
        f"request  {path}",
        f"approve  {approve_command(asked.execution_hash, path.parent)}",
        f"then     {again}",
    ]
    if asked.embedded:
        lines.append("for the embedded sandbox, --approve-as NAME is enough")
    return ApprovalNeeded("\n".join(lines), asked.reasons, refused)


def _write_request(
    asked: Asked, folder: Path, refused: Sequence[str], again: str, authors: Sequence[str]
) -> Path:
    request = {
        "schema": REQUEST_SCHEMA,
        "execution_hash": asked.execution_hash,
        "title": asked.title,
        **asked.details,
        "reasons": list(asked.reasons),
        "refused": list(refused),
        "authors": list(authors),
        "approve": approve_command(asked.execution_hash, folder),
        "again": again,
    }
    _write(folder / REQUEST, request)
    return folder / REQUEST


def _write(path: Path, tree: Mapping[str, Any]) -> None:
    try:
        path.write_bytes(orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
