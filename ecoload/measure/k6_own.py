"""The summaries that k6 writes by itself, as the tree that our scripts write (schema `ecoload.k6/1`).

Rules
-----
- Two shapes: the data of `handleSummary` (`metrics[m] = {type, values, thresholds: {expr: {ok}}}`) and the
  flat file of `--summary-export` (`metrics[m] = {avg, …, thresholds: {expr: failed}}`). There, a threshold's
  `true` means that it FAILED. In both, the `passes` of `http_req_failed` are the requests that failed.
- A route is what k6 tells apart: a tag that a threshold asked for, `name` before `url` before `group` before
  any other. Where there is none, everything is one route. Submetrics with a further tag are no whole route.
- A metric without a sample is left out or full of zeros: the one is a count of 0, the other no latency.
- k6 keeps percentiles only where `summaryTrendStats` asks for them; the others are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecoload.measure.strict import Strict

ALL_REQUESTS = "all requests"
_EXPECTED = ("expected_response", "true")
_FIRST = ("name", "url", "group")

Tags = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Metric:
    """`kind` is `counter`, `gauge`, `rate` or `trend`; `values` by their names in `handleSummary`."""

    name: str
    place: str
    base: str
    tags: Tags
    kind: str
    values: Mapping[str, Any]
    thresholds: Mapping[str, bool]


def own_summary(tree: Mapping[str, Any], strict: Strict) -> dict[str, Any]:
    """The tree of a summary; what is wrong in k6's file is noted in `strict`."""
    metrics = [_metric(name, one, strict) for name, one in strict.mapping(tree["metrics"], "metrics").items()]
    by_key = {(metric.base, metric.tags): metric for metric in metrics}
    figures = _Figures(by_key, strict)
    whole: Tags = frozenset()
    if not any(metric.base == "http_reqs" for metric in metrics):
        strict.wrong("metrics", "there is no http_reqs: nothing was asked over HTTP, or it is no k6 summary")
    routes = _routes(metrics)
    notes = [note for route in routes for note in figures.notes(route)]
    if whole not in routes:
        notes.append("the requests of the whole are all that k6 made, those of setup and teardown too")
    thresholds = [
        {
            "metric": metric.name,
            "expression": expression,
            "ok": ok,
            "samples": figures.samples(metric.base, metric.tags),
        }
        for metric in metrics
        for expression, ok in metric.thresholds.items()
    ]
    return {
        **dict.fromkeys(("script", "app", "profile", "spec_hash", "run_id", "started_at"), ""),
        "duration_s": _duration_s(tree, figures, strict),
        "duration_scale": None,
        "requests": figures.count("http_reqs", whole) or 0,
        "errors": figures.value("http_req_failed", whole, "passes", whole=True),
        "error_rate": figures.value("http_req_failed", whole, "rate"),
        "iterations": figures.count("iterations", whole) or 0,
        "dropped_iterations": figures.count("dropped_iterations", whole) or 0,
        "vus_max": figures.value("vus_max", whole, "max", whole=True),
        "checks_passed": figures.value("checks", whole, "passes", whole=True) or 0,
        "checks_failed": figures.value("checks", whole, "fails", whole=True) or 0,
        "routes": [figures.route(route) for route in routes],
        "thresholds": thresholds,
        "notes": notes,
    }


class _Figures:
    """The values of metrics, each looked at when it is asked for."""

    def __init__(self, metrics: Mapping[tuple[str, Tags], _Metric], strict: Strict) -> None:
        self._metrics, self._strict = metrics, strict

    def value(self, base: str, tags: Tags, name: str, *, whole: bool = False) -> Any:
        """A value of a metric; None where k6 did not say it."""
        metric = self._metrics.get((base, tags))
        if metric is None or name not in metric.values:
            return None
        place = f"{metric.place}.{name}"
        read = self._strict.count if whole else self._strict.number
        return read(metric.values[name], place)

    def count(self, base: str, tags: Tags) -> int | None:
        found: int | None = self.value(base, tags, "count", whole=True)
        return found

    def route(self, tags: Tags) -> dict[str, Any]:
        requests = self._requests(tags)
        errors = self.value("http_req_failed", tags, "passes", whole=True)
        expected = self.count("http_req_duration", tags | {_EXPECTED})
        if errors is None and requests is not None and expected is not None:
            errors = max(requests - expected, 0)
        rate = self.value("http_req_failed", tags, "rate")
        if rate is None and errors is not None and requests:
            rate = errors / requests
        return {
            "route": label(tags),
            "requests": requests,
            "errors": errors,
            "error_rate": rate,
            "rps": self.value("http_reqs", tags, "rate"),
            "timeouts": None,
            "service_ms": self._latency(self._timed(tags)),
        }

    def notes(self, tags: Tags) -> list[str]:
        """What a reader must know of a route's figures."""
        if self._timed(tags) != tags or not self.value("http_req_duration", tags, "max"):
            return []
        if self.value("http_req_failed", tags, "passes", whole=True) == 0:
            return []
        return [f"{label(tags)}: its times are of all requests; those that failed were not kept apart"]

    def samples(self, base: str, tags: Tags) -> int | None:
        """How many samples a rate or a trend holds, where that can be told."""
        metric = self._metrics.get((base, tags))
        if metric is None or metric.kind not in ("rate", "trend"):
            return None
        if metric.kind == "rate":
            counts = [self.value(base, tags, name, whole=True) for name in ("passes", "fails")]
            return None if None in counts else sum(counts)
        count = self.count(base, tags)
        return 0 if count is None and not any(metric.values.values()) else count

    def _requests(self, tags: Tags) -> int | None:
        counted = self.count("http_reqs", tags)
        if counted is None:
            counted = self.samples("http_req_failed", tags)
        return self.count("http_req_duration", tags) if counted is None else counted

    def _timed(self, tags: Tags) -> Tags:
        """The tags of the route's times: of expected responses where k6 kept them apart."""
        expected = tags | {_EXPECTED}
        return expected if ("http_req_duration", expected) in self._metrics else tags

    def _latency(self, tags: Tags) -> dict[str, float | None]:
        def found(*names: str) -> float | None:
            values = [self.value("http_req_duration", tags, name) for name in names]
            return next((value for value in values if value is not None), None)

        if self.count("http_req_duration", tags) == 0 or not (found("max", "avg", "med") or 0):
            return dict.fromkeys(("p50", "p90", "p95", "p99", "max", "mean"))
        return {
            "p50": found("med", "p(50)"),
            "p90": found("p(90)"),
            "p95": found("p(95)"),
            "p99": found("p(99)"),
            "max": found("max"),
            "mean": found("avg"),
        }


def label(tags: Tags) -> str:
    """How a route is called: the value of its tag; with several, each with its name."""
    if len(tags) < 2:
        return next((value for _, value in tags), ALL_REQUESTS)
    return ",".join(f"{key}:{value}" for key, value in sorted(tags))


def _routes(metrics: list[_Metric]) -> list[Tags]:
    """The routes in the order of the file, all of one kind of tag."""
    found = list(
        dict.fromkeys(
            metric.tags - {_EXPECTED}
            for metric in metrics
            if metric.base in ("http_reqs", "http_req_duration", "http_req_failed")
        )
    )
    tagged = [tags for tags in found if tags]
    if not tagged:
        return [frozenset()]
    chosen = min(map(_keys, tagged), key=_precedence)
    return sorted((tags for tags in tagged if _keys(tags) == chosen), key=label)


def _keys(tags: Tags) -> tuple[str, ...]:
    return tuple(sorted(key for key, _ in tags))


def _precedence(keys: tuple[str, ...]) -> tuple[int, int, tuple[str, ...]]:
    first = _FIRST.index(keys[0]) if keys[0] in _FIRST else len(_FIRST)
    return len(keys), first, keys


def _duration_s(tree: Mapping[str, Any], figures: _Figures, strict: Strict) -> float | None:
    """How long the test was. The flat file does not say it, but a count and its rate do."""
    state = tree.get("state")
    if state is not None and "testRunDurationMs" in strict.mapping(state, "state"):
        milliseconds = strict.number(state["testRunDurationMs"], "state.testRunDurationMs")
        return None if milliseconds is None else milliseconds / 1000
    for base in ("http_reqs", "iterations", "data_sent"):
        count, rate = (figures.value(base, frozenset(), name) for name in ("count", "rate"))
        if count and rate:
            return float(count) / float(rate)
    return None


def _metric(name: str, tree: Any, strict: Strict) -> _Metric:
    place = f"metrics[{name[:80]!r}]"
    found = strict.mapping(tree, place)
    base, tags = _parsed(name, place, strict)
    thresholds = strict.mapping(found.get("thresholds") or {}, f"{place}.thresholds")
    oks = {key: _holds(one, f"{place}.thresholds[{key[:80]!r}]", strict) for key, one in thresholds.items()}
    if "values" in found:
        values = strict.mapping(found["values"], f"{place}.values")
        kind, place = strict.text(found.get("type", ""), f"{place}.type"), f"{place}.values"
    else:
        values = {key: value for key, value in found.items() if key != "thresholds"}
        kind = _kind(values)
        if kind == "rate":
            values["rate"] = values.pop("value", None)
    return _Metric(name, place, base, tags, kind, values, oks)


def _holds(tree: Any, place: str, strict: Strict) -> bool:
    """Whether a threshold holds. The data of `handleSummary` says `{ok}`, the flat file whether it FAILED."""
    if isinstance(tree, dict):
        return strict.flag(tree.get("ok"), f"{place}.ok")
    return not strict.flag(tree, place)


def _kind(values: Mapping[str, Any]) -> str:
    if values.keys() >= {"passes", "fails"}:
        return "rate"
    if values.keys() >= {"count", "rate"}:
        return "counter"
    return "gauge" if "value" in values else "trend"


def _parsed(name: str, place: str, strict: Strict) -> tuple[str, Tags]:
    """A metric's name and tags, `http_reqs{name:read,status:200}`. A value may hold colons and braces."""
    base, brace, rest = name.partition("{")
    if not brace:
        return base, frozenset()
    pairs = [one.strip().partition(":") for one in rest.removesuffix("}").split(",")]
    if not rest.endswith("}") or not all(key and value for key, _, value in pairs):
        strict.wrong(place, "its tags cannot be read")
    return base, frozenset((key, value) for key, _, value in pairs)
