"""What was sent against what a station holds: two sets of ids, compared exactly, in little memory.

Rules
-----
- Both sides are sorted on disk, a part at a time, and gone through side by side; what is kept in memory is
  what does not match.
- An id stands in a sorted file as ASCII without line ends (`unicode_escape`); sorted by these bytes.
- Of what was acknowledged nothing may be missing (`lost`), there more than once (`duplicated`) or there too
  late (`late`). What was not acknowledged may be there or not; either is told. What nobody sent is
  `never_sent`, but for the ids that a lost second of the run could have had: those are `ack_unknown`.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecoload.measure.histogram import Histogram
from ecoload.measure.ledger import ACKNOWLEDGED, Ledger
from ecoload.measure.merkle import Merkle
from ecoload.plan import Station

PART = 200_000
"""Lines that are sorted in memory at a time."""

Line = tuple[bytes, bytes]
"""An id, and what is said of it."""


class Sorter:
    """Lines in any order in, sorted ones out. `folder` is for its parts and must be there."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._lines: list[bytes] = []
        self._parts: list[Path] = []
        self.count = 0

    def add(self, identifier: str, said: bytes) -> None:
        self._lines.append(written(identifier) + b"\t" + said + b"\n")
        self.count += 1
        if len(self._lines) >= PART:
            self._spill()

    def lines(self) -> Iterator[Line]:
        """All of them in order; may be asked for again."""
        self._lines.sort()
        with ExitStack() as stack:
            parts: list[Iterable[bytes]] = [stack.enter_context(part.open("rb")) for part in self._parts]
            for line in heapq.merge(*parts, self._lines):
                identifier, _, said = line[:-1].partition(b"\t")
                yield identifier, said

    def _spill(self) -> None:
        part = self._folder / f"{self._name}.{len(self._parts)}"
        self._lines.sort()
        part.write_bytes(b"".join(self._lines))
        self._parts.append(part)
        self._lines = []


@dataclass(slots=True)
class Held:
    """What a station holds of a run's events. `lost`, `late` and `never_sent` are ids, `duplicated` ids and
    how often they are there, `unacknowledged` ids that are there without an acknowledgement and the state
    they were sent in, `unknown` those that a lost second could have sent. `lag` is how long after the
    acknowledgement, in µs, where the station tells times."""

    present: int = 0
    distinct: int = 0
    root: str = ""
    lost: list[str] = field(default_factory=list)
    duplicated: list[tuple[str, int]] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    never_sent: list[str] = field(default_factory=list)
    unacknowledged: list[tuple[str, int]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    lag: Histogram = field(default_factory=Histogram)


@dataclass(frozen=True, slots=True)
class StationFound:
    """What a station holds, or the `problem` for which that is not known. `took_s`: how long it was asked."""

    station: Station
    app: str
    held: Held | None = None
    problem: str = ""
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LineageFound:
    """Everything that was found out about a run's events, before anyone judges it. `ledger` is what was sent,
    `sent_root` and `acknowledged_root` the Merkle roots over its ids."""

    ledger: Ledger
    sent_root: str = ""
    acknowledged_root: str = ""
    stations: tuple[StationFound, ...] = ()


def written(identifier: str) -> bytes:
    """An id as it stands in a sorted file."""
    if identifier.isascii() and identifier.isprintable() and "\\" not in identifier:
        return identifier.encode("ascii")
    return identifier.encode("unicode_escape")


def read(line: bytes) -> str:
    """The id again."""
    return line.decode("unicode_escape") if b"\\" in line else line.decode("ascii")


def said_of(state: int, at_ms: int) -> bytes:
    """What is said of an id that was sent."""
    return b"%d %d" % (state, at_ms)


def reconcile(
    sent: Iterable[Line],
    held: Iterable[Line],
    within_ms: int | None,
    could_be: Callable[[], frozenset[str]],
) -> Held:
    """Both sorted; of `held` what is said is the time it came in, ms since the epoch, or nothing.
    `within_ms` is how much later than the acknowledgement it may be (None: not judged). `could_be` gives
    the ids of a lost second; it is called only where it is needed."""
    found, tree, lags = Held(), Merkle(), _Lags()
    for identifier, mine, theirs in _side_by_side(sent, held):
        if theirs:
            found.present += len(theirs)
            found.distinct += 1
            tree.add(identifier)
        if len(theirs) > 1:
            found.duplicated.append((read(identifier), len(theirs)))
        if mine is None:
            found.never_sent.append(read(identifier))
            continue
        state, _, at = mine.partition(b" ")
        if int(state) != ACKNOWLEDGED:
            if theirs:
                found.unacknowledged.append((read(identifier), int(state)))
            continue
        if not theirs:
            found.lost.append(read(identifier))
        if theirs and theirs[0]:
            lag_ms = int(min(theirs, key=int)) - int(at)
            lags.add(lag_ms)
            if within_ms is not None and lag_ms > within_ms:
                found.late.append(read(identifier))
    lags.into(found.lag)
    found.root = tree.root()
    if found.never_sent:
        lost_second = could_be()
        found.unknown = [one for one in found.never_sent if one in lost_second]
        found.never_sent = [one for one in found.never_sent if one not in lost_second]
    return found


def roots(sent: Iterable[Line]) -> tuple[str, str]:
    """The roots over all ids that were sent, and over those that were acknowledged."""
    every, acknowledged = Merkle(), Merkle()
    for identifier, said in sent:
        every.add(identifier)
        if said.startswith(b"%d " % ACKNOWLEDGED):
            acknowledged.add(identifier)
    return every.root(), acknowledged.root()


def _side_by_side(
    sent: Iterable[Line], held: Iterable[Line]
) -> Iterator[tuple[bytes, bytes | None, list[bytes]]]:
    """Each id once: what was said when it was sent (None: it was not), and each time the station has it."""
    groups = itertools.groupby(held, key=_identifier)
    theirs = next(groups, None)
    for identifier, said in sent:
        while theirs is not None and theirs[0] < identifier:
            yield theirs[0], None, [line[1] for line in theirs[1]]
            theirs = next(groups, None)
        if theirs is not None and theirs[0] == identifier:
            yield identifier, said, [line[1] for line in theirs[1]]
            theirs = next(groups, None)
        else:
            yield identifier, said, []
    while theirs is not None:
        yield theirs[0], None, [line[1] for line in theirs[1]]
        theirs = next(groups, None)


def _identifier(line: Line) -> bytes:
    return line[0]


class _Lags:
    """Collects lags in ms, a part at a time."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._whole = Histogram()

    def add(self, lag_ms: int) -> None:
        self._values.append(lag_ms * 1000)
        if len(self._values) >= PART:
            self.into(self._whole)

    def into(self, histogram: Histogram) -> None:
        self._whole.add_many(np.array(self._values, np.int64))
        self._values = []
        if histogram is not self._whole:
            histogram.add(self._whole)
