"""How an app of the sandbox behaves: the latency it draws and the faults that are switched on.

Rules
-----
- Every draw comes from a generator seeded by the sandbox's seed, the app and the route, so that a
  route's n-th latency is the same in every run.
- All faults are off until they are switched on, and a switch not named is off.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

_Z95 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal latency, by the two figures people know it by."""

    median_ms: float
    p95_ms: float

    def draw_us(self, generator: random.Random) -> int:
        """One latency in µs."""
        sigma = math.log(self.p95_ms / self.median_ms) / _Z95
        return round(generator.lognormvariate(math.log(self.median_ms), sigma) * 1000)


class LatencyModel:
    """The latencies of one app; a route without a law has no latency but its own work."""

    def __init__(self, seed: int, app: str, laws: Mapping[str, LogNormal]) -> None:
        self._laws = dict(laws)
        self._generators = {route: random.Random(f"{seed}/{app}/{route}") for route in laws}

    def draw_us(self, route: str) -> int:
        """The next latency of `route` in µs."""
        law = self._laws.get(route)
        return law.draw_us(self._generators[route]) if law else 0


@dataclass(frozen=True, slots=True)
class Faults:
    """The switches: ms added to each answer, and the shares (0 to 1) of requests answered 503,
    reset without an answer, or acknowledged without being kept."""

    added_latency_ms: float = 0.0
    error_rate: float = 0.0
    reset_rate: float = 0.0
    lose_events: float = 0.0

    def draw(self, generator: random.Random) -> Literal["reset", "error"] | None:
        """What happens to one request."""
        chance = generator.random()
        if chance < self.reset_rate:
            return "reset"
        return "error" if chance < self.reset_rate + self.error_rate else None


def parse_faults(document: Any) -> tuple[Faults, list[str]]:
    """The switches of a JSON document, and everything wrong with it (then the switches mean nothing)."""
    if not isinstance(document, dict):
        return Faults(), ["the body must be a JSON object"]
    names = [field.name for field in fields(Faults)]
    wrong = [f"{name}: no such fault; there are {', '.join(names)}" for name in document if name not in names]
    for name in names:
        value = document.get(name, 0)
        most = 60_000 if name == "added_latency_ms" else 1
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            wrong.append(f"{name}: must be a number from 0 to {most}")
    if wrong:
        return Faults(), wrong
    faults = Faults(**{name: float(value) for name, value in document.items()})
    if faults.reset_rate + faults.error_rate > 1:
        return faults, ["reset_rate and error_rate are shares of the same requests: at most 1 together"]
    return faults, []
