"""The CSV files of latencies: every run, every route, and no formula."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.report.latency_csv import COLUMNS, MeasuredRun, harmless, latency_csv
from tests.unit.report_samples import failing, passing
from tests.unit.suite_samples import NASTY


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def runs() -> list[MeasuredRun]:
    return [
        MeasuredRun("baseline", "first", False, failing()),
        MeasuredRun("baseline", "warmed", True, passing()),
    ]


def test_every_run_and_route_is_a_row_and_the_last_run_counts() -> None:
    found = read(latency_csv("a2", runs()))
    assert [(row["route"], row["run"], row["counts"]) for row in found] == [
        ("ingest", "first", "no"),
        ("event_tile", "first", "no"),
        ("ingest", "warmed", "yes"),
        ("event_tile", "warmed", "yes"),
    ]


def test_a_row_has_the_percentiles_of_response_and_service_time_and_the_counts() -> None:
    row, route = read(latency_csv("a2", runs()))[0], failing()["routes"][0]
    for kind in ("response", "service"):
        for key in ("p50", "p90", "p95", "p99", "p999", "max", "mean"):
            assert float(row[f"{kind}_{key}_ms"]) == route[f"{kind}_ms"][key]
    counts = ("requests", "unsent", "errors", "error_rate", "rps")
    assert [float(row[key]) for key in counts] == [route[key] for key in counts]


def test_the_file_is_rfc_4180() -> None:
    text = latency_csv("a2", runs())
    assert text.count("\r\n") == text.count("\n") == 5
    assert text.split("\r\n")[0] == ",".join(COLUMNS)


def test_what_was_not_measured_is_empty_and_not_0() -> None:
    result = passing()
    result["routes"][0]["response_ms"] = dict.fromkeys(result["routes"][0]["response_ms"])
    result["routes"][0]["error_rate"] = None
    row = read(latency_csv("a2", [MeasuredRun("smoke", "first", True, result)]))[0]
    assert (row["response_p95_ms"], row["error_rate"], row["errors"]) == ("", "", "0")


@pytest.mark.parametrize("nasty", ["=1+1", [], {"p95": "=1+1"}, [None], True])
def test_what_is_no_figure_is_empty(nasty: Any) -> None:
    result = passing()
    result["routes"][0] |= {"response_ms": nasty, "requests": "=cmd|' /c calc'!A1", "rps": "@x"}
    row = read(latency_csv("a2", [MeasuredRun("smoke", "first", True, result)]))[0]
    assert (row["response_p95_ms"], row["requests"], row["rps"]) == ("", "", "")


def test_of_a_run_that_asked_every_app_only_the_apps_own_routes_are_rows() -> None:
    result = passing() | {"app": "all"}
    result["routes"][1]["app"] = "a3"
    (row,) = read(latency_csv("a3", [MeasuredRun("health", "first", True, result)]))
    assert (row["app"], row["route"]) == ("a3", "event_tile")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1", "\u200e=1", "＝1", NASTY])
def test_a_text_that_a_spreadsheet_would_take_for_a_formula_is_only_text(text: str) -> None:
    assert harmless(text).startswith("'")


@pytest.mark.parametrize("text", ["ingest", "a=b", "", " ", "1", "/healthz"])
def test_any_other_text_is_left_as_it_is(text: str) -> None:
    assert harmless(text) == text


@given(st.text())
def test_whatever_a_route_is_called_the_columns_stay_and_nothing_begins_like_a_formula(name: str) -> None:
    result: dict[str, Any] = passing()
    result["routes"][0]["route"] = result["target_version"] = result["run_id"] = name
    text = latency_csv("a2", [MeasuredRun(name, name, True, result)])
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert {len(row) for row in found} == {len(COLUMNS)}
    for row in found[1:]:
        for cell in row:
            assert not cell.strip().startswith(("=", "+", "-", "@"))
