"""The availability probe: each app asked once a second for as long as a suite runs.

Rules
-----
- An app is up where its health route answers 2xx within `PATIENCE_S`; everything else is a probe without an
  answer, with its reason.
- A probe is due every second by the clock. While one that fails takes longer, those due meanwhile were not
  answered either; one that is merely slow holds up nothing but itself.
- It is no load: it is not locked, not a sample, and says in a header that it is a probe.
- Written as it comes, so that a kill loses nothing; after a resume it goes on in the same file.
"""

from __future__ import annotations

import csv
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ecoload.engine.probe import ProbeFailed, get
from ecoload.errors import EcoloadError, OutputFailed
from ecoload.plan import Plan
from ecoload.plan.suite import Watched

COLUMNS = ("at", "app", "up", "ms", "reason", "end")
EVERY_S = 1.0
PATIENCE_S = 5.0

Ask = Callable[[Watched], str]
"""Asks an app; why it is not up, or nothing."""


@contextmanager
def watching(path: Path, watched: Sequence[Watched], ask: Ask) -> Iterator[None]:
    """Probes each app in a thread of its own until the block ends, and appends to the file at `path`."""
    over, writer = threading.Event(), _Writer(path)
    threads = [
        threading.Thread(target=keep, args=(one, ask, writer.write, over.wait), daemon=True, name="probe")
        for one in watched
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        writer.close()


def keep(
    one: Watched,
    ask: Ask,
    write: Callable[[str, float, str], None],
    wait: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Probes one app until `wait(seconds)` says that it is over."""
    due = clock()
    while True:
        begun = clock()
        reason = ask(one)
        took = clock() - begun
        write(one.app, took, reason)
        due += EVERY_S
        while due <= clock():
            if reason:
                write(one.app, took, "held up by the one before, which was not answered")
            due += EVERY_S
        if wait(max(0.0, due - clock())):
            return


def asking(plan: Plan, suite_id: str) -> Ask:
    """Asks over the network, at the addresses that the guard has pinned in `plan`."""

    def ask(one: Watched) -> str:
        try:
            _, status, _ = get(plan, one.probe, suite_id, timeout_s=PATIENCE_S)
        except (ProbeFailed, EcoloadError) as error:
            return str(error)
        return "" if 200 <= status < 300 else f"answered {status}"

    return ask


def read_uptime(lines: Iterable[str]) -> Mapping[str, tuple[int, int]]:
    """Probes sent and answered by app. A torn last row is left out."""
    found: dict[str, tuple[int, int]] = {}
    for row in csv.DictReader(lines):
        if row.get("end") == ".":
            sent, answered = found.get(row["app"], (0, 0))
            found[row["app"]] = sent + 1, answered + (row["up"] == "1")
    return found


class _Writer:
    """Appends rows from several threads; a disk that is full loses probes, not the suite."""

    def __init__(self, path: Path) -> None:
        self._lock, self._closed = threading.Lock(), False
        try:
            new = not path.exists()
            self._file = path.open("ab", buffering=0)
            # After a kill the last row may be torn: a fresh line keeps it from spoiling the next.
            self._file.write(_row(COLUMNS) if new else b"\n")
        except OSError as error:
            raise OutputFailed(f"{path}: {error.strerror}") from error

    def write(self, app: str, took_s: float, reason: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        row = _row((at, app, "0" if reason else "1", f"{took_s * 1000:.1f}", " ".join(reason.split()), "."))
        with self._lock:
            if not self._closed:
                try:
                    self._file.write(row)
                except OSError:
                    self._closed = True
                    self._file.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._file.close()


def _row(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
