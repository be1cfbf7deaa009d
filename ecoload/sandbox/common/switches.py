"""The fault switches of one app while it runs.

Rules
-----
- All are set at once; what is not named is off. A time to live switches all of them off again.
- What leaked is given back when the leak is switched off.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Literal

from ecoload.sandbox.common.behaviour import Faults, Leak, parse_faults
from ecoload.sandbox.common.problems import Problem


class Switches:
    """`faults` is what is switched on now, `since_ms` the time of day of that; `special` names the switches
    beside the common ones."""

    def __init__(self, chance: random.Random, special: Collection[str]) -> None:
        self.faults = Faults()
        self._chance = chance
        self._special = special
        self._leak = Leak()
        self._since_s = self._end_s = math.inf
        self.since_ms = 0
        self._off: asyncio.TimerHandle | None = None

    def set(self, document: Any) -> None:
        """Sets what a JSON document says. Raises Problem."""
        faults, ttl_s, wrong = parse_faults(document, self._special)
        if wrong:
            raise Problem(422, "the faults are not valid", wrong)
        self._switch(faults)
        if math.isfinite(ttl_s):
            self._end_s = time.monotonic() + ttl_s
            self._off = asyncio.get_running_loop().call_later(ttl_s, self._switch, Faults())

    def document(self) -> dict[str, Any]:
        """Every switch, and in how many s they go off (null: never by themselves)."""
        left_s = self._end_s - time.monotonic()
        return asdict(self.faults) | {"ends_in_s": round(left_s, 3) if math.isfinite(left_s) else None}

    def draw(self) -> Literal["reset", "error"] | None:
        """What happens to one request."""
        return self.faults.draw(self._chance)

    def added_ms(self) -> float:
        """What is added to a request of this moment."""
        faults = self.faults
        minutes = (time.monotonic() - self._since_s) / 60 if faults != Faults() else 0.0
        return faults.added_latency_ms + self._leak.grow(faults, minutes)

    def close(self) -> None:
        """Nothing switches any more."""
        if self._off is not None:
            self._off.cancel()
            self._off = None

    def _switch(self, faults: Faults) -> None:
        self.close()
        self._since_s, self._end_s = time.monotonic(), math.inf
        self.since_ms = time.time_ns() // 1_000_000
        self.faults = faults
        self._leak.grow(faults, 0.0)
