"""`latency.hlog`: every second's histograms in the HdrHistogram log format, V2.

Rules
-----
- One line a second for each route, kind (`response`, `service`) and outcome that had samples:
  `Tag=route|kind|outcome,start,length,max,payload`. Times are seconds from the schedule's zero,
  `max` is the exact greatest value in ms, the payload holds µs.
- A route's name stands percent-encoded, so that a tag holds no comma, space or `|` of its own.
- Lines are flushed each second: a `kill -9` loses at most the last. A torn last line is left out when
  the log is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from ecoload.errors import UsageError
from ecoload.measure.appending import Appender
from ecoload.measure.histogram import Codec, Sparse, decode
from ecoload.measure.interval import Interval
from ecoload.measure.outcome import Outcome

Kind = Literal["response", "service"]

_STARTED = "#[StartTime: "


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a histogram of µs. `start_s` and `length_s` are seconds from the schedule's zero."""

    route: str
    kind: Kind
    outcome: Outcome
    start_s: float
    length_s: float
    histogram: Sparse


class LogWriter:
    """Writes a log. `started_at_s` is the wall-clock time of the schedule's zero (s since 1970)."""

    def __init__(self, path: Path, routes: Sequence[str], started_at_s: float) -> None:
        self._routes = tuple(routes)
        self._codec = Codec()
        stamp = datetime.fromtimestamp(started_at_s, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
        self._file = Appender(path)
        self._file.append(
            "#[Histogram log format version 1.3]\n"
            "#[Histograms of microseconds; Interval_Max in milliseconds]\n"
            f"{_STARTED}{started_at_s:.3f} (seconds since epoch), {stamp}]\n"
            f"#[BaseTime: {started_at_s:.3f} (seconds since epoch)]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
        )

    def write(self, interval: Interval) -> None:
        """Appends one second. Raises OutputFailed when it cannot be written."""
        kinds = (("response", interval.responses), ("service", interval.services))
        start_ms, end_ms = round(interval.start_ns / 1e6), round(interval.end_ns / 1e6)
        place = f"{start_ms / 1000:.3f},{(end_ms - start_ms) / 1000:.3f}"
        self._file.append(
            "".join(
                f"Tag={tag(self._routes[route], kind, outcome)},{place},{cell.maximum / 1000:.3f},"
                f"{self._codec.encode(cell)}\n"
                for kind, cells in kinds
                for (route, outcome), cell in cells.items()
            )
        )

    def close(self) -> None:
        self._file.close()


def tag(route: str, kind: str, outcome: Outcome) -> str:
    """`route|kind|outcome`, the route percent-encoded where it must be."""
    return f"{quote(route, safe='/:@!*;=&+~()[]$')}|{kind}|{outcome.label}"


def read_log(path: Path) -> Iterator[Entry]:
    """The entries of a log in order. A torn last line is left out; raises UsageError for a broken line
    before it, or a file that is not there."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        if not line.startswith("Tag="):
            continue
        try:
            yield _entry(line.rstrip("\n"))
        except (ValueError, KeyError, UsageError) as error:
            if number == len(lines):
                return
            raise UsageError(f"{path}:{number}: not a line of this log: {error}") from error


def log_started_at(path: Path) -> float:
    """When the schedule's zero was, in s since 1970. Raises UsageError when the log does not say."""
    try:
        with path.open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(_STARTED):
                    return float(line.removeprefix(_STARTED).split(maxsplit=1)[0])
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    raise UsageError(f"{path}: no start time")


def _entry(line: str) -> Entry:
    name, start, length, maximum, payload = line.removeprefix("Tag=").split(",")
    route, kind, outcome = name.split("|")
    if kind not in ("response", "service"):
        raise ValueError(f"unknown kind {kind!r}")
    return Entry(
        unquote(route),
        "response" if kind == "response" else "service",
        Outcome[outcome.upper()],
        float(start),
        float(length),
        decode(payload, round(float(maximum) * 1000)),
    )
