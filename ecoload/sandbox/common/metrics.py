"""What an app tells Prometheus: its own process, and the requests it answered.

Rules
-----
- The figures of the process are the kernel's, read when they are asked for.
- Labels are route names, never paths: their number is bounded whatever is sent.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one app; an app may put its own into `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "http_requests", "Requests answered.", ("route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time from the request parsed to the answer handed over.",
            ("route",),
            registry=self.registry,
            buckets=_BUCKETS_S,
        )
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def count(self, route: str, status: str, seconds: float) -> None:
        """Counts one answered request."""
        found = self._children.get((route, status))
        if found is None:
            found = self._requests.labels(route, status), self._seconds.labels(route)
            self._children[route, status] = found
        counter, histogram = found
        counter.inc()
        histogram.observe(seconds)

    def text(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self.registry)
