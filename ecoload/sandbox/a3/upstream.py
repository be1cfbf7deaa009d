"""A3's calls to A4, through the circuit breaker.

Rules
-----
- No answer, one that is too late or cannot be read, and any from 500 up are failures of A4. An answer
  below 500 shows that A4 is alive. That A3 could not prove who it is says nothing about A4.
- Whatever keeps A3 from a summary is a 503 that says when to come back. `X-Breaker` names the state in
  which the breaker refused the call; a call that was made and failed has none.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from ecoload.sandbox.a3.breaker import Breaker
from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.problems import Problem

UPSTREAM = "a4"
PATH = "/chat/completions"
MODEL = "scholarship-sage"
SUMMARY_TOKENS = 12
TIMEOUT_S = 2.0

_TITLES = 3


class Upstream:
    """Asks A4 for summaries once it has `peers`. Of the calls, `failing_share` is answered 503 unsent."""

    def __init__(self, breaker: Breaker, chance: random.Random) -> None:
        self.peers: Peers | None = None
        self.failing_share = 0.0
        self._breaker = breaker
        self._chance = chance

    async def summary(
        self, goal: str, matches: Sequence[Mapping[str, Any]], run_id: str | None, lineage_id: str
    ) -> str:
        """One sentence on the best of `matches`. Raises Problem."""
        ticket = self._breaker.admit()
        if ticket is None:
            state = self._breaker.state
            detail = f"{UPSTREAM} is not asked: the circuit breaker is {state.replace('_', '-')}"
            raise self._unavailable(detail, {"X-Breaker": state})
        titles = "; ".join(match["title"] for match in matches[:_TITLES])
        try:
            text = await self._ask(f"{goal}\n{titles}", run_id, lineage_id)
            self._breaker.settle(ticket)
        except PeerFailed as error:
            if error.app == UPSTREAM:
                answered = error.status is not None and error.status < 500
                self._breaker.settle(ticket, None if answered else str(error))
            raise self._unavailable(str(error), {}) from None
        finally:
            self._breaker.give_back(ticket)
        return text

    async def _ask(self, prompt: str, run_id: str | None, lineage_id: str) -> str:
        if self._chance.random() < self.failing_share:
            raise PeerFailed(UPSTREAM, "answered 503, by a fault that is switched on", 503)
        if self.peers is None:
            raise PeerFailed(UPSTREAM, "is not known yet")
        messages = [
            {"role": "system", "content": "Sum up the scholarships that fit, in one sentence."},
            {"role": "user", "content": prompt},
        ]
        status, document = await self.peers.call(
            UPSTREAM,
            "POST",
            PATH,
            json={"model": MODEL, "messages": messages, "max_tokens": SUMMARY_TOKENS},
            timeout_s=TIMEOUT_S,
            run_id=run_id,
            lineage_id=lineage_id,
        )
        if status != 200:
            raise PeerFailed(UPSTREAM, f"answered {status}", status)
        try:
            return str(document["choices"][0]["message"]["content"])
        except (TypeError, LookupError):
            raise PeerFailed(UPSTREAM, "answered with no completion") from None

    def _unavailable(self, detail: str, headers: dict[str, str]) -> Problem:
        wait_s = max(1, -(-self._breaker.retry_after_ms // 1000))
        return Problem(503, detail, headers=headers | {"Retry-After": str(wait_s)})


class BreakerFigures(Collector):
    """A breaker as Prometheus sees it."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The state and the counts now."""
        figures = self._breaker.document()
        state = GaugeMetricFamily("breaker_state", "1 for the state the breaker is in.", labels=["state"])
        for name in ("closed", "open", "half_open"):
            state.add_metric([name], float(figures["state"] == name))
        yield state
        yield CounterMetricFamily("breaker_opened", "How often it opened.", figures["opened_count"])
        yield CounterMetricFamily("breaker_calls_refused", "Calls not made.", figures["calls_refused"])


def steady_clock() -> Callable[[], int]:
    """Ms since 1970 that never go backwards, whatever is done to the system's clock."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda: (time.monotonic_ns() + offset_ns) // 1_000_000
