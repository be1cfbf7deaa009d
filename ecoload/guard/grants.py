"""Approvals and grants: what a person signs, when it serves, and what a run keeps of it.

Rules
-----
- An approval is a document of one execution hash, signed by one person. A use of it is a grant, which a run
  keeps; whoever holds the grant can check it again, offline.
- Every approval of the hash is judged, and each that does not serve has its reasons told.
- The uses are taken from the ledger in the step that adds one: of two runs, one gets the last.
- The author of a change is not its approver: not by the name given, and not by any name that the signing key
  may sign as. Where the authors are not known the grant says so.
- Windows follow one another from the moment of signing; each takes one use.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from ecoload.errors import GuardRefused, UsageError
from ecoload.guard.authors import Authors
from ecoload.guard.ledger import Entry, moment

SCHEMA = "ecoload.approval/1"
GRANT_SCHEMA = "ecoload.grant/1"
SKEW = timedelta(minutes=5)
"""How far the clock of who signs may be ahead."""
MOST_WINDOW_S = 10 * 366 * 86_400
_HASH = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{32}")


class Checker(Protocol):
    """Whoever knows the signers (`guard.signing.Signers`)."""

    def refusal(self, name: str, message: bytes, signature: str) -> str:
        """Why a signature is not `name`'s of this message; empty: it is."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What is signed. Times are ISO 8601 with their zone; `window_s` None: uses may follow at once."""

    execution_hash: str
    by: str
    reason: str
    issued_at: str
    expires_at: str
    uses: int
    window_s: int | None
    id: str

    @property
    def message(self) -> bytes:
        """The canonical bytes that the signature is of."""
        return orjson.dumps(self.to_tree(), option=orjson.OPT_SORT_KEYS)

    def to_tree(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def is_over(self, now: datetime) -> bool:
        """Whether its time is over."""
        return now >= moment(self.expires_at)


@dataclass(frozen=True, slots=True)
class Signed:
    """An approval and its signature; empty: unsigned, which serves for the embedded sandbox only."""

    approval: Approval
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """One use of an approval: what a run keeps in `approval.json`. `used` is the ledger's entry."""

    signed: Signed
    used: Mapping[str, Any]
    author_known: bool

    def to_tree(self) -> dict[str, Any]:
        return {
            "schema": GRANT_SCHEMA,
            "approval": self.signed.approval.to_tree(),
            "signature": self.signed.signature,
            "used": dict(self.used),
            "author_known": self.author_known,
        }

    @property
    def note(self) -> str:
        """For whoever reads the run's result."""
        return f"approved by {self.given_by}"

    @property
    def given_by(self) -> str:
        """Who approved it, and under which approval."""
        approval = self.signed.approval
        if not self.signed.signature:
            return f"{approval.by} (unsigned, for the embedded sandbox)"
        doubt = "" if self.author_known else "; the author of the change is not known"
        return f"{approval.by}: {approval.reason} (approval {approval.id}{doubt})"


@dataclass(frozen=True, slots=True)
class Standing:
    """The first approval that serves, and why the others do not."""

    signed: Signed | None
    refused: tuple[str, ...]


def new_approval(
    execution_hash: str,
    by: str,
    reason: str,
    now: datetime,
    expires: timedelta,
    *,
    uses: int = 1,
    window: timedelta | None = None,
) -> Approval:
    """An approval from now on. Raises UsageError where something about it makes no sense."""
    try:
        return _checked(
            Approval(
                execution_hash=execution_hash,
                by=by.strip(),
                reason=reason.strip(),
                issued_at=now.isoformat(timespec="milliseconds"),
                expires_at=(now + expires).isoformat(timespec="milliseconds"),
                uses=uses,
                window_s=int(window.total_seconds()) if window is not None else None,
                id=secrets.token_hex(16),
            )
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def unsigned(execution_hash: str, by: str, run_id: str, now: datetime) -> Grant:
    """The grant of somebody's word, for the embedded sandbox only. Raises UsageError."""
    approval = new_approval(execution_hash, by, "the embedded sandbox of this run", now, timedelta(hours=8))
    return Grant(
        Signed(approval), {"id": secrets.token_hex(16), **use_of(approval, run_id, now)}, author_known=False
    )


def standing(
    entries: Sequence[Entry], execution_hash: str, now: datetime, signers: Checker, authors: Authors
) -> Standing:
    """What the approvals of a hash are worth now."""
    uses: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        if entry.kind == "used":
            uses.setdefault(entry.tree["approval"], []).append(entry.tree)
    refused = []
    for entry in approvals_of(entries, execution_hash):
        try:
            approval = read_approval(entry.tree["approval"])
        except ValueError as error:
            refused.append(f"the approval in line {entry.line} of the ledger is none: {error}")
            continue
        signed = Signed(approval, entry.tree["signature"])
        problems = _problems(approval, uses.get(approval.id, []), now) or _who_problems(
            signed, signers, authors
        )
        if not problems:
            return Standing(signed, tuple(refused))
        refused.append(f"approval {approval.id[:8]} by {approval.by}: {'; '.join(problems)}")
    return Standing(None, tuple(refused))


def approvals_of(entries: Sequence[Entry], execution_hash: str) -> list[Entry]:
    """The approvals of a hash, whatever they are worth; the last one, the likeliest to serve, first."""
    return [
        entry
        for entry in reversed(entries)
        if entry.kind == "approved" and entry.tree["approval"].get("execution_hash") == execution_hash
    ]


def use_of(approval: Approval, run_id: str, now: datetime) -> dict[str, Any]:
    """What the ledger says of a use."""
    return {
        "kind": "used",
        "approval": approval.id,
        "execution_hash": approval.execution_hash,
        "run": run_id,
        "at": now.isoformat(timespec="milliseconds"),
    }


def verify(
    grant: Grant, execution_hash: str, run_id: str, signers: Checker, *, embedded: bool = False
) -> None:
    """Holds a kept grant against what it is shown for: the hash, the run that took it, the signature, the
    signers of today. It needs no ledger, and takes no second use. An expiry since its use does not matter.
    `embedded`: every target is the sandbox that this process started, so a signature is not needed.

    Raises GuardRefused with every reason.
    """
    approval, used = grant.signed.approval, grant.used
    problems = []
    if approval.execution_hash != execution_hash:
        problems.append(
            f"it is for {approval.execution_hash}, and this is {execution_hash}: something was changed"
        )
    if (used.get("approval"), used.get("execution_hash")) != (approval.id, approval.execution_hash):
        problems.append("its use is that of another approval")
    if used.get("run") != run_id:
        problems.append(f"it was used by run {used.get('run')}, and this is {run_id}")
    if not moment(approval.issued_at) - SKEW <= moment(used["at"]) < moment(approval.expires_at):
        problems.append(f"it was not valid when it was used, at {used['at']}")
    if not (embedded and not grant.signed.signature):
        problems += filter(None, [signers.refusal(approval.by, approval.message, grant.signed.signature)])
    if problems:
        raise GuardRefused("the approval that was kept does not serve: " + "; ".join(problems))


def read_approval(tree: Any) -> Approval:
    """A document as it was signed. Raises ValueError where it is none."""
    fields = {field.name for field in dataclasses.fields(Approval)}
    if not isinstance(tree, dict) or set(tree) != {"schema", *fields} or tree["schema"] != SCHEMA:
        raise ValueError(f"it is not of the schema {SCHEMA}")
    return _checked(Approval(**{name: tree[name] for name in fields}))


def read_grant(tree: Any) -> Grant:
    """A grant as it was kept. Raises GuardRefused where it is none."""
    try:
        if tree["schema"] != GRANT_SCHEMA or not isinstance(tree["signature"], str):
            raise ValueError(f"it is not of the schema {GRANT_SCHEMA}")
        moment(tree["used"]["at"])
        signed = Signed(read_approval(tree["approval"]), tree["signature"])
        return Grant(signed, dict(tree["used"]), tree["author_known"] is True)
    except (KeyError, TypeError, ValueError) as error:
        raise GuardRefused(f"the approval that was kept is none: {error}") from None


def _problems(approval: Approval, uses: Sequence[Mapping[str, Any]], now: datetime) -> list[str]:
    """What time and the uses so far say against it."""
    issued = moment(approval.issued_at)
    if approval.is_over(now):
        return [f"it expired at {approval.expires_at}"]
    if now < issued - SKEW:
        return [f"it holds only from {approval.issued_at} on"]
    if len(uses) >= approval.uses:
        many = f"all of its {approval.uses} uses are" if approval.uses > 1 else "its use is"
        return [f"{many} taken, the last by run {uses[-1]['run']} at {uses[-1]['at']}"]
    if approval.window_s is None:
        return []
    window = timedelta(seconds=approval.window_s)
    # What a clock that is behind has before the first window belongs to it.
    current = max(0, (now - issued) // window)
    for use in uses:
        if max(0, (moment(use["at"]) - issued) // window) == current:
            opens = (issued + (current + 1) * window).isoformat(timespec="seconds")
            return [f"the use of this window is taken, by run {use['run']}; the next opens at {opens}"]
    return []


def _who_problems(signed: Signed, signers: Checker, authors: Authors) -> list[str]:
    """What the signature and the authors of the change say against it."""
    approval = signed.approval
    if refusal := signers.refusal(approval.by, approval.message, signed.signature):
        return [refusal]
    for author in authors.names:
        if author.casefold() == approval.by.casefold():
            return [f"{approval.by} is an author of the change; somebody else must approve it"]
        # Principals tell upper from lower case, people do not.
        if not all(
            signers.refusal(name, approval.message, signed.signature) for name in (author, author.lower())
        ):
            return [f"its key may sign as {author}, an author of the change; somebody else must approve it"]
    return []


def _checked(approval: Approval) -> Approval:
    for name, most in (("by", 200), ("reason", 2000)):
        text = getattr(approval, name)
        if not isinstance(text, str) or not text or len(text) > most or not text.isprintable():
            raise ValueError(f"its {name} must be one line of text, without control characters, up to {most}")
    if approval.by.startswith("-"):
        raise ValueError("a name must not begin with -")
    if not isinstance(approval.execution_hash, str) or not _HASH.fullmatch(approval.execution_hash):
        raise ValueError("an execution hash is 64 hexadecimal digits")
    if not isinstance(approval.id, str) or not _ID.fullmatch(approval.id):
        raise ValueError("its id is none")
    if type(approval.uses) is not int or approval.uses < 1:
        raise ValueError("its uses must be at least 1")
    window_s = approval.window_s
    if window_s is not None and not (type(window_s) is int and 1 <= window_s <= MOST_WINDOW_S):
        raise ValueError("its window must be at least a second, and ten years at most")
    if moment(approval.expires_at) <= moment(approval.issued_at):
        raise ValueError("it must expire after it was issued")
    return approval
