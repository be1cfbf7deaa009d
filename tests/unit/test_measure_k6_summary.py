"""Summaries of k6: our own schema strictly, and the two shapes that k6 writes by itself.

The samples in data/k6 were made by k6 1.8.1 with the scripts beside them.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ecoload.measure.k6_summary import (
    MOST_BYTES,
    K6Latency,
    K6Route,
    K6Summary,
    UnusableSummary,
    read_summary,
)

DATA = Path(__file__).parent / "data" / "k6"

ODD: list[Any] = [None, True, -1, 1e308, "x", [], {}, [{}]]

OURS: dict[str, Any] = {
    "schema": "ecoload.k6/1",
    "script": "a2_baseline.js",
    "app": "a2",
    "profile": "baseline",
    "spec_hash": "5f" * 32,
    "run_id": "k6-1",
    "started_at": "2026-11-23T20:15:00.123Z",
    "duration_s": 60.0,
    "duration_scale": 1,
    "requests": 600,
    "iterations": 600,
    "dropped_iterations": 0,
    "vus_max": 10,
    "checks_passed": 1200,
    "checks_failed": 0,
    "routes": [
        {
            "route": "ingest",
            "requests": 600,
            "errors": 3,
            "error_rate": 0.005,
            "rps": 10.0,
            "timeouts": None,
            "service_ms": {"p50": 2.1, "p90": 3, "p95": 4.2, "p99": 9.8, "max": 20.5, "mean": 2.4},
        }
    ],
    "thresholds": [{"metric": "http_reqs{name:ingest}", "expression": "count>0", "ok": True}],
}


def test_a_summary_of_our_schema_is_what_it_says() -> None:
    summary = read_summary(orjson.dumps(OURS))
    assert (summary.app, summary.iterations, summary.duration_scale) == ("a2", 600, 1.0)
    latency = K6Latency(p50=2.1, p90=3.0, p95=4.2, p99=9.8, max=20.5, mean=2.4)
    assert summary.routes == (K6Route("ingest", 600, 3, 0.005, 10.0, None, latency),)
    assert [threshold.ok for threshold in summary.thresholds] == [True]


def test_what_k6_did_not_say_may_be_null() -> None:
    tree = copy.deepcopy(OURS) | {"vus_max": None, "run_id": "", "spec_hash": "", "started_at": ""}
    tree["routes"][0]["service_ms"] = dict.fromkeys(("p50", "p90", "p95", "p99", "max", "mean"))
    assert read_summary(orjson.dumps(tree)).routes[0].service_ms.p99 is None


def test_everything_that_is_wrong_is_said_at_once_with_its_place() -> None:
    tree = copy.deepcopy(OURS)
    del tree["iterations"]
    tree |= {"requests": -3, "duration_s": "60", "checks_passed": 1.5, "extra": 1, "spec_hash": "abc"}
    tree |= {"started_at": "yesterday", "duration_scale": 0}
    route = tree["routes"][0]
    route |= {"error_rate": 1.2, "errors": True, "rps": 1e300}
    route["service_ms"]["p99"] = 3.0
    tree["routes"].append(copy.deepcopy(route) | {"service_ms": {"p50": 1}})
    tree["thresholds"][0]["ok"] = "yes"
    with pytest.raises(UnusableSummary) as caught:
        read_summary(orjson.dumps(tree))
    places = [problem.partition(": ")[0] for problem in caught.value.problems]
    assert set(places) >= {
        *("iterations", "requests", "duration_s", "checks_passed", "'extra'", "spec_hash", "started_at"),
        *("duration_scale", "routes[0].error_rate", "routes[0].errors", "routes[0].rps"),
        *("routes[0].service_ms", "routes[1].service_ms.p99", "routes[1].route", "thresholds[0].ok"),
    }
    assert len(places) == len(set(places))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"[1]", "expected an object"),
        (b'{"a": NaN}', "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"{}", "neither the schema"),
        (b'{"schema": "ecoload.run/1"}', "is not ecoload.k6/1"),
        (b'{"version": "0.1.0", "config": {}, "metadata": {}, "results": {}}', "machine-readable"),
        (b'{"metric":"http_reqs","type":"Metric"}\n{"metric":"vus","type":"Point"}\n', "--out json"),
        (b'{"metrics": 3}', "metrics: expected an object"),
        (b'{"metrics": {}}', "no http_reqs"),
        (b" " * (MOST_BYTES + 1), "at most"),
    ],
)
def test_what_is_no_summary_is_refused_with_the_reason(data: bytes, said: str) -> None:
    with pytest.raises(UnusableSummary, match=said):
        read_summary(data)


def test_a_file_with_ever_so_many_mistakes_does_not_fill_the_screen() -> None:
    tree = OURS | {"routes": [{}] * 1000}
    with pytest.raises(UnusableSummary, match=r"more$") as caught:
        read_summary(orjson.dumps(tree))
    assert str(caught.value).count("\n") < 50


@pytest.mark.parametrize("name", ["tagged.data.json", "tagged.export.json"])
def test_both_shapes_of_k6_tell_the_same_run(name: str) -> None:
    summary = _sample(name)
    assert (summary.requests, summary.iterations, summary.vus_max) == (80, 40, 5)
    assert (summary.errors, summary.error_rate) == (11, 0.1375)  # `passes` of http_req_failed are failures
    assert (summary.checks_passed, summary.checks_failed) == (69, 11)
    assert summary.duration_s == pytest.approx(2.001097105)
    routes = {route.route: route for route in summary.routes}
    assert set(routes) == {"list", "never", "read"}
    read = routes["read"]
    assert (read.requests, read.errors, read.error_rate) == (40, 6, 0.15)
    assert (read.service_ms.p50, read.service_ms.p99) == (3.3347404999999997, 10.984330400000012)
    assert (summary.app, summary.spec_hash, summary.duration_scale) == ("", "", None)


@pytest.mark.parametrize("name", ["tagged.data.json", "tagged.export.json"])
def test_a_threshold_that_failed_is_one_in_both_shapes(name: str) -> None:
    held = {threshold.metric: threshold.ok for threshold in _sample(name).thresholds}
    assert not held["checks"]
    assert held["http_req_duration{name:read,expected_response:true}"]


def test_a_route_that_was_never_asked_has_no_latency_and_its_threshold_no_samples() -> None:
    summary = _sample("tagged.export.json")
    [never] = [route for route in summary.routes if route.route == "never"]
    assert (never.requests, never.error_rate, never.service_ms.p95) == (0, None, None)
    [threshold] = [one for one in summary.thresholds if one.metric == "http_req_duration{name:never}"]
    assert (threshold.ok, threshold.samples) == (True, 0)


def test_without_names_a_url_is_a_route_and_what_was_not_kept_apart_is_said() -> None:
    summary = _sample("untagged.export.json")
    [route] = summary.routes
    assert route.route == "http://127.0.0.1:18977/u"
    assert (route.requests, route.errors, route.service_ms.p99) == (None, None, None)
    assert summary.vus_max is None
    assert any("were not kept apart" in note for note in summary.notes)


def test_without_any_tag_everything_is_one_route() -> None:
    tree = orjson.loads((DATA / "untagged.export.json").read_bytes())
    tree["metrics"] = {
        name: one for name, one in tree["metrics"].items() if "url:" not in name and "group:" not in name
    }
    summary = read_summary(orjson.dumps(tree))
    [route] = summary.routes
    assert (route.route, route.requests, route.errors) == ("all requests", 20, 4)
    assert summary.notes == ()


@pytest.mark.parametrize(
    ("names", "routes"),
    [
        (["{name:b}", "{url:http://x/}", "{name:a}"], ["a", "b"]),
        (["{group:::shop}", "{scenario:s}"], ["::shop"]),
        (["{status:200}", "{scenario:s}"], ["s"]),
        (["{name:a,status:200}", "{name:a}"], ["a"]),
        (["{name:a, scenario:s}", "{name:b,scenario:s}"], ["name:a,scenario:s", "name:b,scenario:s"]),
        (["{name:/x/{id}:y}"], ["/x/{id}:y"]),
    ],
)
def test_the_routes_are_of_the_tag_that_says_most(names: list[str], routes: list[str]) -> None:
    metrics = {"http_reqs": {"count": 1, "rate": 1}}
    metrics |= {f"http_reqs{name}": {"count": 1, "rate": 1} for name in names}
    summary = read_summary(orjson.dumps({"metrics": metrics}))
    assert [route.route for route in summary.routes] == routes


def test_what_is_wrong_in_a_file_of_k6_is_said_with_its_place_there() -> None:
    tree = orjson.loads((DATA / "tagged.data.json").read_bytes())
    tree["metrics"]["http_reqs"]["values"]["count"] = -1
    tree["metrics"]["http_reqs{name:read}"]["thresholds"]["count>0"] = {"ok": 1}
    tree["metrics"]["http_reqs{name"] = {}
    tree["state"]["testRunDurationMs"] = None
    with pytest.raises(UnusableSummary) as caught:
        read_summary(orjson.dumps(tree))
    places = [problem.rpartition(": ")[0].partition(": ")[0] for problem in caught.value.problems]
    assert set(places) == {
        "metrics['http_reqs'].values.count",
        "metrics['http_reqs{name:read}'].thresholds['count>0'].ok",
        "metrics['http_reqs{name']",
        "state.testRunDurationMs",
    }


@pytest.mark.parametrize("name", ["ours", "tagged.data.json", "untagged.export.json"])
def test_whatever_stands_in_a_file_it_is_read_or_refused(name: str) -> None:
    written = orjson.dumps(OURS) if name == "ours" else (DATA / name).read_bytes()
    for path, odd in zip(_paths(orjson.loads(written)), itertools.cycle(ODD), strict=False):
        tree = orjson.loads(written)
        _put(tree, path, odd)
        try:
            read_summary(orjson.dumps(tree))
        except UnusableSummary as error:
            assert error.problems


def _paths(tree: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*before, key)
        yield from _paths(value, (*before, key))


def _put(tree: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = value


def _sample(name: str) -> K6Summary:
    return read_summary((DATA / name).read_bytes())
