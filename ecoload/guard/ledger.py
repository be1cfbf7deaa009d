"""The ledger: what was approved and what was used, one append-only log of JSON lines.

Rules
-----
- Each line carries the SHA-256 of the line before it (`previous`; the first 64 zeros), and `head.json` the
  number of lines and the SHA-256 of the last: a line that was edited, cut off, moved, put in or taken out,
  at the end too, is found, and the ledger is refused until somebody has looked at it.
- An entry is appended by a function of the entries that are there; between the two nobody else appends.
- Nothing in an entry names a machine.
- Who can write to a ledger could rewrite all of it. It is kept where the people who ask for runs cannot,
  and never in the workspace or its work tree.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from ecoload.errors import GuardRefused
from ecoload.guard.signing import refuse_inside

LEDGER_VARIABLE = "ECOLOAD_LEDGER"
LOG, HEAD = "log.jsonl", "head.json"
FIRST = "0" * 64
YEARS = range(1970, 9000)
"""Of a moment: with others there is no reckoning."""
_KEYS = {
    "approved": {"kind", "id", "previous", "approval", "signature"},
    "used": {"kind", "id", "previous", "approval", "execution_hash", "run", "at"},
}

Decide = Callable[[tuple["Entry", ...]], Mapping[str, Any]]
"""What to append to the entries that are there; raises where nothing is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `kind` is `approved` (an approval and its signature) or `used`; `line` counts from 1."""

    line: int
    kind: str
    tree: Mapping[str, Any]


class Ledger(Protocol):
    """Whoever keeps the log. `name` is how people name it."""

    @property
    def name(self) -> str: ...

    def entries(self) -> tuple[Entry, ...]:
        """Every entry. Raises GuardRefused where the log is not whole."""

    def append(self, decide: Decide) -> Entry:
        """Appends what `decide` makes of the entries, in one step with the look at them."""


def moment(text: Any) -> datetime:
    """A time as it is written down. Raises ValueError for what is none."""
    found = datetime.fromisoformat(text) if isinstance(text, str) else None
    if found is None or found.tzinfo is None or found.year not in YEARS:
        raise ValueError("a time must be ISO 8601 with its zone")
    return found


def read_log(log: bytes, head: bytes, place: str) -> tuple[Entry, ...]:
    """The entries of a log. Raises GuardRefused naming the first line that is not as it was written."""
    lines = log.split(b"\n")
    if lines.pop():
        raise _broken(place, len(lines) + 1, "is cut off")
    entries, previous = [], FIRST
    for number, line in enumerate(lines, start=1):
        entry = _entry(line, number, place)
        if entry.tree["previous"] != previous:
            before = f"line {number - 1}" if number > 1 else "nothing"
            raise _broken(place, number, f"does not follow {before}: lines were edited, moved or taken out")
        previous = _hash(line)
        entries.append(entry)
    count, last = _head(head, place) if head or lines else (0, FIRST)
    if count == len(lines) - 1 and last == entries[-1].tree["previous"]:
        return tuple(entries)  # whoever wrote the last line was killed before it was sealed
    if (count, last) != (len(lines), previous):
        raise _broken(place, max(count, 1), f"is not as {HEAD} has it: it was edited or taken out")
    return tuple(entries)


def next_line(log: bytes, content: Mapping[str, Any]) -> bytes:
    """The line that follows a log, with an id of its own."""
    own = {"id": secrets.token_hex(16), "previous": _last_hash(log)}
    return orjson.dumps({**content, **own}, option=orjson.OPT_SORT_KEYS) + b"\n"


def head_of(log: bytes) -> bytes:
    """What seals a log."""
    return orjson.dumps({"entries": log.count(b"\n"), "hash": _last_hash(log)}) + b"\n"


@dataclass(frozen=True, slots=True)
class FolderLedger:
    """A ledger in a folder, made when the first entry is. One process at a time reads or appends."""

    folder: Path

    @property
    def name(self) -> str:
        return str(self.folder)

    def entries(self) -> tuple[Entry, ...]:
        if not self.folder.exists():
            return ()
        with self._held():
            return read_log(*self._read(), self.name)

    def append(self, decide: Decide) -> Entry:
        if not self.folder.exists():
            decide(())  # it may say no, and then nothing is made
        with self._held():
            log, head = self._read()
            line = next_line(log, decide(read_log(log, head, self.name)))
            self._write(log, line)
        return _entry(line[:-1], log.count(b"\n") + 1, self.name)

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> tuple[bytes, bytes]:
        try:
            files = [self.folder / name for name in (LOG, HEAD)]
            log, head = (file.read_bytes() if file.exists() else b"" for file in files)
        except OSError as error:
            raise self._unusable(error) from None
        return log, head

    def _write(self, log: bytes, line: bytes) -> None:
        path = self.folder / LOG
        try:
            if not log:
                self._seal(log)
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                if os.write(file, line) != len(line):
                    os.ftruncate(file, len(log))
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file)
            finally:
                os.close(file)
            self._seal(log + line)
        except OSError as error:
            raise self._unusable(error) from None

    def _seal(self, log: bytes) -> None:
        fresh = self.folder / f"{HEAD}.new"
        fresh.write_bytes(head_of(log))
        fresh.replace(self.folder / HEAD)

    def _unusable(self, error: OSError) -> GuardRefused:
        return GuardRefused(
            f"the ledger {self.folder} cannot be used: {error.strerror}; nothing is sent without"
        )


def open_ledger(environ: Mapping[str, str], workspace: Path, *, anywhere: bool = False) -> Ledger:
    """The ledger that ECOLOAD_LEDGER names: a folder, `git:BRANCH` or `git:REMOTE/BRANCH`; where it names
    none, a folder of the user's own. `anywhere`: nothing is run here, so a folder may lie here too.

    Raises GuardRefused, UsageError, ToolMissing."""
    named = environ.get(LEDGER_VARIABLE, "")
    if named.startswith("git:"):
        from ecoload.guard.ledger_git import git_ledger

        return git_ledger(named.removeprefix("git:"), workspace)
    folder = Path(named).expanduser().absolute() if named else _own_folder(environ)
    if not anywhere:
        refuse_inside(folder, workspace, LEDGER_VARIABLE)
    return FolderLedger(folder)


def _own_folder(environ: Mapping[str, str]) -> Path:
    state = Path(environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path("~/.local/state").expanduser()) / "ecoload" / "ledger"


def _entry(line: bytes, number: int, place: str) -> Entry:
    try:
        tree = orjson.loads(line)
        kind = tree["kind"]
        sound = set(tree) == _KEYS[kind]
        if kind == "used":
            sound = sound and "".join(tree.values()).isprintable()
            moment(tree["at"])
        else:
            sound = sound and isinstance(tree["approval"], dict) and isinstance(tree["signature"], str)
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise _broken(place, number, "is no entry")
    return Entry(number, kind, tree)


def _head(head: bytes, place: str) -> tuple[int, str]:
    try:
        tree = orjson.loads(head)
        return int(tree["entries"]), str(tree["hash"])
    except (ValueError, TypeError, KeyError):
        raise GuardRefused(f"the ledger {place} is not whole: {HEAD} is missing or was edited") from None


def _last_hash(log: bytes) -> str:
    return _hash(log.rstrip(b"\n").rpartition(b"\n")[2]) if log else FIRST


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _broken(place: str, line: int, what: str) -> GuardRefused:
    return GuardRefused(
        f"the ledger {place} is not whole: line {line} of {LOG} {what}; no approval in it counts until "
        "somebody has found out why (docs/approvals.md)"
    )
