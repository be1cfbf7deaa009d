"""`memory.csv`: the target's resident memory while the load runs, as it tells it itself.

Rules
-----
- A row for each time that it was asked: when, in s from the schedule's zero, and bytes.
- Appended at once: a `kill -9` loses at most the last row. A torn last row is left out when it is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ecoload.errors import UsageError
from ecoload.measure.appending import Appender

HEADER = "elapsed_s,resident_bytes"


@dataclass(frozen=True, slots=True)
class MemorySample:
    at_s: float
    resident_bytes: float


class Memory:
    """The samples of a run, appended to a `memory.csv`; the file is made with the first row."""

    def __init__(self, path: Path) -> None:
        self.samples: list[MemorySample] = []
        self._path = path
        self._file: Appender | None = None

    def add(self, sample: MemorySample) -> None:
        """Raises OutputFailed when it cannot be written; it is kept then as well."""
        self.samples.append(sample)
        if self._file is None:
            self._file = Appender(self._path)
            self._file.append(f"{HEADER}\n")
        self._file.append(f"{sample.at_s:.3f},{sample.resident_bytes:.0f}\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def read_memory(path: Path) -> tuple[MemorySample, ...]:
    """The samples of a `memory.csv`; none where there is no such file. Raises UsageError where a row but the
    last is broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    lines = text.split("\n")[:-1]  # what stands behind the last line break is torn
    if lines and lines[0] != HEADER:
        raise UsageError(f"{path}: not a memory.csv of this version")
    return tuple(_sample(path, number, line) for number, line in enumerate(lines[1:], 2))


def _sample(path: Path, number: int, line: str) -> MemorySample:
    try:
        at_s, resident_bytes = map(float, line.split(","))
    except ValueError:
        at_s = resident_bytes = math.nan
    if not (math.isfinite(at_s) and math.isfinite(resident_bytes)):
        raise UsageError(f"{path}:{number}: not a time and a number of bytes")
    return MemorySample(at_s, resident_bytes)
