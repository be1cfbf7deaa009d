"""How an app of the sandbox behaves: the latency it draws and the faults that are switched on.

Rules
-----
- Every draw comes from a generator seeded by the sandbox's seed, the app and the route, so that a
  route's n-th latency is the same in every run.
- All faults are off until they are switched on, and a switch not named is off. A time to live switches
  them off again, whatever becomes of whoever switched them on.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

MAX_LEAK_MB = 512
"""A laptop is not brought down by a fault that was forgotten."""

_Z95 = 1.6448536269514722


async def until(due_ns: int) -> None:
    """Never early, at most about 1 ms late: uvloop's timers are whole ms, rounded to either side."""
    while (left_ns := due_ns - time.perf_counter_ns()) > 0:
        await asyncio.sleep(max(left_ns, 500_000) / 1e9)


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
    """The switches. Shares (0 to 1) are of requests; 0 is off.

    Of every app: ms added to each answer; the shares answered 503 or reset without an answer; memory
    and latency that grow with the time since the switch.
    """

    added_latency_ms: float = 0.0
    error_rate: float = 0.0
    reset_rate: float = 0.0
    leak_memory_mb_per_min: float = 0.0
    leak_latency_ms_per_min: float = 0.0
    lose_events: float = 0.0
    """Acknowledged without being kept."""
    stale_telemetry_s: float = 0.0
    """What comes in shows only after that long."""
    upstream_error_rate: float = 0.0
    """Calls to the app behind answered 503 without being sent."""
    cta_silent: float = 0.0
    """Impressions taken without an event."""
    sitemap_cold: float = 0.0
    """Sitemaps asked for as if none were kept, and made without being kept."""
    crm_silent: float = 0.0
    """Signups that leave no CRM record."""
    tiles_not_refreshed: float = 0.0
    """Tiles that show what they showed when the switch was set."""
    duplicate_events: float = 0.0
    """Kept twice."""
    breaker_never_opens: float = 0.0
    """Failures that the breaker does not count."""
    breaker_never_closes: float = 0.0
    """Probes that went well and are taken for failed."""
    idempotency_off: float = 0.0
    """Runs made as if their key were new."""
    wrong_fee: float = 0.0
    """Bills with a fee of 4 % in place of 3 %."""
    float_rounding: float = 0.0
    """Bills reckoned in binary floats, to whole dollars and their hundredths, and cut off at the cent."""

    def draw(self, generator: random.Random) -> Literal["reset", "error"] | None:
        """What happens to one request."""
        chance = generator.random()
        if chance < self.reset_rate:
            return "reset"
        return "error" if chance < self.reset_rate + self.error_rate else None


COMMON_FAULTS = frozenset(
    {"added_latency_ms", "error_rate", "reset_rate", "leak_memory_mb_per_min", "leak_latency_ms_per_min"}
)
MOST = {
    "added_latency_ms": 60_000,
    "leak_memory_mb_per_min": 1_000,
    "leak_latency_ms_per_min": 10_000,
    "stale_telemetry_s": 3_600,
    "ttl_s": 86_400,
}
"""The most of a switch; 1 where not listed."""


def parse_faults(document: Any, special: Collection[str]) -> tuple[Faults, float, list[str]]:
    """The switches of a JSON document, their time to live in s (inf: until switched off), and everything
    wrong with it (then the rest means nothing). `special` are the switches the app has beside the common."""
    if not isinstance(document, dict):
        return Faults(), math.inf, ["the body must be a JSON object"]
    names = [f.name for f in fields(Faults) if f.name in COMMON_FAULTS or f.name in special]
    known = [*names, "ttl_s"]
    wrong = [
        f"{name}: no such fault here; there are {', '.join(known)}" for name in document if name not in known
    ]
    for name in known:
        value, most = document.get(name, 0), MOST.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            wrong.append(f"{name}: must be a number from 0 to {most}")
    if document.get("ttl_s") == 0:
        wrong.append("ttl_s: must be above 0")
    if wrong:
        return Faults(), math.inf, wrong
    faults = Faults(**{name: float(document[name]) for name in names if name in document})
    if faults.reset_rate + faults.error_rate > 1:
        wrong.append("reset_rate and error_rate are shares of the same requests: at most 1 together")
    return faults, float(document.get("ttl_s", math.inf)), wrong


class Leak:
    """Memory and latency that grow while their switches are on; off, they are given back."""

    def __init__(self) -> None:
        self._blocks: list[bytearray] = []

    def grow(self, faults: Faults, minutes: float) -> float:
        """Holds what `minutes` under `faults` have cost so far; the ms to add to an answer."""
        wanted = min(MAX_LEAK_MB, faults.leak_memory_mb_per_min * minutes)
        if wanted == 0:
            self._blocks.clear()
        while len(self._blocks) < int(wanted):
            self._blocks.append(bytearray(b"\1") * 2**20)
        return faults.leak_latency_ms_per_min * minutes
