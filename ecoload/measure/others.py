"""How much of this machine others used meanwhile: what makes two runs differ though their tools do not.

Rules
-----
- Others are all processes but this one and its children that have ended; a target on this machine that was
  not started by us is among them.
- Where the kernel does not tell (no Linux), nothing is said.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Columns of `cpu` in which nothing runs: idle, and waiting for a disk."""
_COUNTED = 8
"""Those behind are of guests, and counted before."""


class Others:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._begun, self._busy_s, self._own_s = time.monotonic(), _busy_s(), _own_s()

    def cpu_share(self) -> float | None:
        """The share of all cores that others have used since, from 0 to 1; None: not told."""
        busy_s, elapsed_s = _busy_s(), time.monotonic() - self._begun
        if busy_s is None or self._busy_s is None or elapsed_s <= 0:
            return None
        used_s = busy_s - self._busy_s - (_own_s() - self._own_s)
        return min(1.0, max(0.0, used_s / elapsed_s / (os.cpu_count() or 1)))


def busy_ticks(stat: str) -> int:
    """Ticks of all cores in which something ran, from the text of /proc/stat. Raises ValueError."""
    columns = [int(word) for word in stat.partition("\n")[0].split()[1 : 1 + _COUNTED]]
    return sum(ticks for place, ticks in enumerate(columns) if place not in _IDLE)


def _busy_s() -> float | None:
    try:
        return busy_ticks(_STAT.read_text()) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def _own_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
