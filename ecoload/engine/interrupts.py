"""Ctrl-C and SIGTERM, handed on to whatever makes load.

Rules
-----
- The first press ends the load gracefully, so that everything is still judged and written; the second
  ends it at once.
- Signals belong to the main thread. Whoever carries out several runs takes them over once for all of them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Stoppable(Protocol):
    """Whatever makes load: a generator, or another tool as a child."""

    def stop(self, reason: str) -> None: ...

    def abort(self, reason: str) -> None: ...


class Interrupts:
    """Ctrl-C and SIGTERM: the first press stops every load gracefully, the second at once.
    `presses` holds those so far."""

    def __init__(self) -> None:
        self.presses: list[int] = []
        self._loads: list[Stoppable] = []

    def pressed(self, number: int, _: FrameType | None = None) -> None:
        self.presses.append(number)
        for load in self._loads:
            self._end(load)

    @contextmanager
    def reach(self, load: Stoppable) -> Iterator[list[int]]:
        """Has a load hear of the presses in the block, those before it included."""
        self._loads.append(load)
        if self.presses:
            self._end(load)
        try:
            yield self.presses
        finally:
            self._loads.remove(load)

    def _end(self, load: Stoppable) -> None:
        if len(self.presses) == 1:
            load.stop("interrupted")
        else:
            load.abort("interrupted twice")


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Takes the signals over for the block; in a thread that is not the main one nothing is taken over."""
    taken = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield taken
        return
    before = {number: signal.signal(number, taken.pressed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield taken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
