"""What the sandbox itself knows of the requests it answered, to hold measurements against.

Rules
-----
- Only requests that name a run are counted; memory is bounded, whatever is sent.
- A latency is kept to 1 part in 1,000, in µs.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

MAX_RUNS = 64
_KEPT_BITS = 11
_PERCENTILES = (50, 90, 95, 99)


class Distribution:
    """Counts of µs values, each rounded down to its eleven leading bits."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._sum = 0
        self._max = 0
        self.count = 0

    def add(self, us: int) -> None:
        """Count one value of at least 0 µs."""
        shift = max(0, us.bit_length() - _KEPT_BITS)
        self._counts[us >> shift << shift] += 1
        self._sum += us
        self._max = max(self._max, us)
        self.count += 1

    def summary(self) -> dict[str, float]:
        """`{p50, p90, p95, p99, max, mean}` in ms: the value at rank ceil(p * n). Empty: no entries."""
        if not self.count:
            return {}
        ordered = sorted(self._counts.items())
        found: dict[str, float] = {}
        for percent in _PERCENTILES:
            rank = -(-percent * self.count // 100)
            seen = 0
            for value, count in ordered:
                seen += count
                if seen >= rank:
                    found[f"p{percent}"] = value / 1000
                    break
        return found | {"max": self._max / 1000, "mean": round(self._sum / self.count / 1000, 4)}


class _Route:
    def __init__(self) -> None:
        self.status: Counter[str] = Counter()
        self.latency = Distribution()
        self.model = Distribution()


class Truth:
    """Requests by run and route. The oldest of more than 64 runs is forgotten, not its share of all."""

    def __init__(self) -> None:
        self._all: dict[str, _Route] = {}
        self._runs: OrderedDict[str, dict[str, _Route]] = OrderedDict()

    def record(self, run_id: str, route: str, status: str, latency_us: int, model_us: int) -> None:
        """Count one answered request: its actual latency, and what the model drew for it."""
        if run_id not in self._runs:
            self._runs[run_id] = {}
            if len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
        for routes in (self._all, self._runs[run_id]):
            entry = routes.get(route)
            if entry is None:
                entry = routes[route] = _Route()
            entry.status[status] += 1
            entry.latency.add(latency_us)
            entry.model.add(model_us)

    def document(self, run_id: str | None) -> dict[str, Any]:
        """`{run_id, requests, by_route: {route: {requests, status, latency_ms, model_ms}}}`; a run that
        was never seen has 0 requests; None is all runs together."""
        routes = self._all if run_id is None else self._runs.get(run_id, {})
        return {
            "run_id": run_id,
            "requests": sum(route.latency.count for route in routes.values()),
            "by_route": {
                name: {
                    "requests": route.latency.count,
                    "status": dict(sorted(route.status.items())),
                    "latency_ms": route.latency.summary(),
                    "model_ms": route.model.summary(),
                }
                for name, route in sorted(routes.items())
            },
        }
