"""`events.bin`: which events a run sent and what was answered to each, by VU and iteration.

Rules
-----
- An event is named by its scenario, VU and iteration; its id follows from them (`engine/event_ids.py`) and is
  not kept. So a row is two or four numbers, and the ids of what was lost can be computed again.
- The file is frames as they came from the generator (`frames.py`), the first of them the run's start; it is
  appended to as they come, so that a kill loses what was on its way. A torn last frame is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import orjson
from numpy.typing import NDArray

from ecoload.errors import OutputFailed, UsageError
from ecoload.measure.frames import (
    ANSWERED,
    ANSWERED_COLUMNS,
    SENT,
    SENT_COLUMNS,
    Decoder,
    Frame,
    encode,
)
from ecoload.measure.outcome import Outcome

FILE = "events.bin"

ACKNOWLEDGED, REJECTED, ACK_UNKNOWN = 0, 1, 2
STATES = ("acknowledged", "rejected", "ack_unknown")
"""What became of an event that was sent: the target took it; it answered otherwise; no answer came, or what
came is not known any more."""

Ints = NDArray[np.int64]
_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """The events of one scenario, in the order of VU and iteration: columns of equal length. `state` as in
    `STATES`; `at_ms` when it was acknowledged, ms since the epoch (0: not)."""

    scenario: int
    vu: Ints
    iteration: Ints
    state: Ints
    at_ms: Ints

    def __len__(self) -> int:
        return len(self.vu)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a run sent. `whole` is False where the generator or the run was killed: up to a second is
    missing."""

    sent: tuple[Sent, ...]
    whole: bool = True
    run_id: str = ""

    def count(self, state: int | None = None) -> int:
        return sum(len(one) if state is None else int((one.state == state).sum()) for one in self.sent)


class LedgerWriter:
    """Appends the frames of a run. Raises OutputFailed where the disk refuses."""

    def __init__(self, folder: Path, run_id: str, t0_ns: int, zero: datetime) -> None:
        self._path = folder / FILE
        start = {"run_id": run_id, "t0": t0_ns, "zero_ms": zero.timestamp() * 1000}
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise OutputFailed(f"{self._path}: {error.strerror}") from error
        self._write(encode(Frame.START, 0, orjson.dumps(start)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def add(self, key: int, payload: bytes) -> None:
        self._write(encode(Frame.EVENTS, key, payload))

    def end(self) -> None:
        """The generator came to its end: nothing is missing."""
        self._write(encode(Frame.END, 0, b"{}"))

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise OutputFailed(f"{self._path}: {error.strerror}; free some space") from error


def read_ledger(folder: Path) -> Ledger:
    """What stands in a run's folder. Raises UsageError where there is no such file, or it is none."""
    path = folder / FILE
    rows: dict[int, list[Ints]] = {}
    run_id, t0_ns, zero_ms, whole = "", 0, 0.0, False
    try:
        for kind, key, payload in _frames(path):
            if kind is Frame.START:
                start = orjson.loads(payload)
                run_id = str(start["run_id"])
                t0_ns, zero_ms = int(start["t0"]), float(start["zero_ms"])
            elif kind is Frame.EVENTS:
                rows.setdefault(key, []).append(np.frombuffer(payload, np.int64))
            elif kind is Frame.END:
                whole = True
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not the events of a run: {error}") from error
    scenarios = sorted({key >> 1 for key in rows})
    return Ledger(tuple(_sent(number, rows, t0_ns, zero_ms) for number in scenarios), whole, run_id)


def _frames(path: Path) -> Iterator[tuple[Frame, int, bytes]]:
    decoder = Decoder()
    with path.open("rb") as file:
        while chunk := file.read(_READ):
            yield from decoder.feed(chunk)


def _sent(scenario: int, rows: dict[int, list[Ints]], t0_ns: int, zero_ms: float) -> Sent:
    """Rows of what was sent and of what was answered, joined. An answer whose sending is not in the file,
    which a kill between two frames leaves, was sent all the same."""
    sent = _table(rows.get(scenario << 1 | SENT), len(SENT_COLUMNS))
    answered = _table(rows.get(scenario << 1 | ANSWERED), len(ANSWERED_COLUMNS))
    keys = np.unique(np.concatenate([_key(sent), _key(answered)]))
    state = np.full(len(keys), ACK_UNKNOWN, np.int64)
    at_ms = np.zeros(len(keys), np.int64)
    places = np.searchsorted(keys, _key(answered))
    taken = answered[:, 2] == Outcome.OK
    state[places[~taken]] = REJECTED
    # Acknowledged once is acknowledged, whatever came before or after.
    state[places[taken]] = ACKNOWLEDGED
    at_ms[places[taken]] = (zero_ms + (answered[taken, 3] - t0_ns) / 1e6).astype(np.int64)
    return Sent(scenario, keys >> 32, keys & 0xFFFFFFFF, state, at_ms)


def _table(parts: list[Ints] | None, columns: int) -> Ints:
    found = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    return found.reshape(-1, columns)


def _key(table: Ints) -> Ints:
    return (table[:, 0] << 32) | table[:, 1]
