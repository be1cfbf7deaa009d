"""What is asked again and again beside a load, in one thread of its own.

Rules
-----
- It never disturbs the load: nobody waits for an answer, and a failure is a note.
- What is missed is not made up for: an errand whose time passed while another one was asked is done once.
- An answer that comes after the end is dropped.
- Clock and asking are handed in; times are s, and those of errands count from the schedule's zero.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ecoload.engine.probe import ProbeFailed
from ecoload.errors import EcoloadError

PATIENCE_S = 1.0
"""How long the end waits for an answer that is being taken."""


@dataclass(frozen=True, slots=True)
class Errand:
    """`ask` is called at `first_s` and then every `every_s`; what it gives goes to `take`, with when it was
    asked. `failed` says what did not work, for the note. `ask` raises ProbeFailed or EcoloadError."""

    failed: str
    first_s: float
    every_s: float
    ask: Callable[[], Any]
    take: Callable[[float, Any], None]


class Errands:
    """The errands of a run. `start` once, at the schedule's zero."""

    def __init__(self, errands: Sequence[Errand], clock: Callable[[], float] = time.monotonic) -> None:
        self._errands = list(errands)
        self._clock = clock
        self._failures: list[list[str]] = [[] for _ in errands]
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, zero_s: float) -> None:
        """Runs them in a thread. `zero_s` is the schedule's zero on the clock."""
        if self._errands:
            self._thread = threading.Thread(
                target=self.run, args=(zero_s, self._over.wait), name="errands", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """The load is over."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def run(self, zero_s: float, wait: Callable[[float], bool]) -> None:
        """Runs them until `wait(seconds)` says that the load is over."""
        due = [errand.first_s for errand in self._errands]
        while True:
            index = min(range(len(due)), key=due.__getitem__)
            if wait(max(0.0, zero_s + due[index] - self._clock())):
                return
            self._do(index, zero_s)
            every_s = self._errands[index].every_s
            missed = max(0.0, self._clock() - zero_s - due[index])
            due[index] += every_s * (math.floor(missed / every_s) + 1)

    @property
    def notes(self) -> list[str]:
        """One for each errand that failed, with how often and the last reason."""
        return [
            f"{errand.failed} ({len(reasons)} times): {reasons[-1]}"
            if len(reasons) > 1
            else f"{errand.failed}: {reasons[0]}"
            for errand, reasons in zip(self._errands, self._failures, strict=True)
            if reasons
        ]

    def _do(self, index: int, zero_s: float) -> None:
        errand, at_s = self._errands[index], self._clock() - zero_s
        try:
            found = errand.ask()
            if not self._over.is_set():
                errand.take(at_s, found)
        except (ProbeFailed, EcoloadError) as error:
            if not self._over.is_set():
                self._failures[index].append(str(error))
