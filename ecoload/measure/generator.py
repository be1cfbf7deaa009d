"""How the load generator itself does, second by second: the ground of the run's validity.

Rules
-----
- CPU is the share of one core between two ticks. The first second's is not known: the counter runs
  from the process's start, which no tick tells.
- Seconds of the warm-up say nothing about the figures, and are left out of all of these.
- The loop is held up for as long as its longest callback of each second was late.
"""

from __future__ import annotations

from ecoload.measure.figures import GeneratorFigures
from ecoload.measure.histogram import Histogram
from ecoload.measure.interval import Tick

HOT_CPU_SHARE = 0.9


class GeneratorWatch:
    """Adds up a generator's seconds."""

    def __init__(self) -> None:
        self._seconds = self._hot = self._lag_sum = self._lag_max = self._cpu_ns = self._known_ns = 0

    def add_second(self, last: Tick, tick: Tick, t0_ns: int, *, warming_up: bool) -> float | None:
        """The CPU share of the second; None for the first, whose start was not told."""
        span = tick.at_ns - last.at_ns
        if not warming_up:
            self._lag_sum += tick.lag_max_ns
            self._lag_max = max(self._lag_max, tick.lag_max_ns)
        if last.at_ns == t0_ns or span <= 0 or tick.cpu_ns == last.cpu_ns == 0:
            return None
        used = tick.cpu_ns - last.cpu_ns
        if not warming_up:
            self._cpu_ns += used
            self._known_ns += span
            self._seconds += 1
            self._hot += used > HOT_CPU_SHARE * span
        return used / span

    def figures(self, lateness: Histogram, measured_s: float) -> GeneratorFigures:
        return GeneratorFigures(
            lateness=lateness,
            lateness_p99_us=lateness.percentile(0.99),
            cpu_share=self._cpu_ns / self._known_ns if self._known_ns else None,
            seconds=self._seconds,
            hot_seconds=self._hot,
            lag_share=self._lag_sum / 1e9 / measured_s if measured_s > 0 else 0.0,
            lag_max_ns=self._lag_max,
        )
