"""Two runs side by side on the terminal."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ecoload.measure.past_run import PastLatency, PastRoute, PastRun, PastValidity
from ecoload.report.compare import print_comparison
from ecoload.verdict.compare import compare
from ecoload.verdict.comparison import MAY_BE_CHANCE
from tests.unit.report_samples import BREAKOUT
from tests.unit.test_report_terminal import console, said


def a_run(**changes: Any) -> PastRun:
    """A run without histograms: whatever is beyond the tolerance cannot be told."""
    values: dict[str, Any] = {"run_id": "r1", "app": "a2", "profile": "baseline", "status": "finished"}
    values |= {"verdict": "PASS", "validity": PastValidity("VALID"), "started_at": "2026-11-23T20:15:00Z"}
    values |= {"tool_version": "0.1.0", "target_version": "2.4", "spec_hash": "", "execution_hash": ""}
    values |= {"requests": 24_000, "error_rate": 0.0, "rps": 199.8, "iterations": 12_000}
    values |= {"dropped_iterations": 0, "routes": (a_route("ingest"), a_route("event_tile")), "vus_max": 60}
    return PastRun(**values | changes)


def a_route(name: str, factor: float = 1.0, **changes: Any) -> PastRoute:
    times = PastLatency(21.4 * factor, 66.3 * factor, 89.2 * factor, 1_131.0 * factor)
    values = {"error_rate": 0.0, "rps": 99.9, "response_ms": times, "service_ms": times, "samples": 12_000}
    return PastRoute(**{"route": name, "requests": 12_000, "unsent": 0} | values | changes)


def shown(before: PastRun, after: PastRun, width: int = 80, **changes: Any) -> str:
    by = console(width)
    tree = compare(before, after, ("runs/before", "runs/after")).to_json()
    print_comparison(tree | changes, by)
    return said(by)


def everything() -> tuple[PastRun, PastRun]:
    """Two runs of which every part of the view has something to say."""
    interval = {
        "tool_version": "k6",
        "run_id": "r2",
        "validity": PastValidity("SUSPECT", ("no word of it " * 9,)),
    }
    after = a_run(
        **interval,
        routes=(a_route("ingest", 40.0, error_rate=0.0625), a_route("x" * 70)),
        dropped_iterations=1_200,
        no_blocks="it has no histograms of each second",
        spec_hash="ab" * 32,
    )
    return a_run(spec_hash="cd" * 32), after


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(width: int) -> None:
    text = shown(*everything(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "45,240" in text
    assert "+3,900 %" in text
    assert "not told" in text
    assert "12,000" in text


def test_the_verdict_comes_first_and_then_why() -> None:
    lines = [line for line in shown(*everything(), 120).splitlines() if line.strip()]
    assert lines[0].split()[0] == "INCONCLUSIVE"
    assert "cannot be told" in lines[1]
    assert lines[2].strip().startswith("• ingest errors: worse; chance cannot be told")


@pytest.mark.parametrize("width", [80, 100])
def test_an_equal_run_says_so_and_shows_a_count_once(width: int) -> None:
    text = shown(a_run(), a_run(run_id="r2"), width)
    assert "NO DIFFERENCE" in text
    assert "requests 24,000 · rate 199.8/s" in text
    assert "dropped 0" in text
    assert text.count(" no difference") == 2 * 5 + 1, "in each row of both routes, and in the headline"


@pytest.mark.parametrize(("width", "there"), [(99, False), (100, True)])
def test_the_other_kind_of_time_stands_beside_where_there_is_room(width: int, there: bool) -> None:
    assert ("Service" in shown(a_run(), a_run(run_id="r2"), width)) is there


def test_a_figure_that_decides_nothing_stands_in_brackets() -> None:
    few = a_run(routes=(dataclasses.replace(a_route("ingest"), samples=100),))
    text = shown(few, few)
    assert "(not told)" in text
    assert "in brackets: decides nothing" in text


def test_foreign_texts_cannot_leave_their_place() -> None:
    routes = (a_route(BREAKOUT),)
    words = dict.fromkeys(
        ("app", "profile", "tool_version", "target_version", "stop_reason", "verdict"), BREAKOUT
    )
    hostile = a_run(routes=routes, validity=PastValidity("SUSPECT", (BREAKOUT,)), status="aborted", **words)
    text = shown(hostile, dataclasses.replace(hostile, routes=(*routes, a_route(BREAKOUT + "2"))))
    assert not {"\x1b", "\u202e", "\u2028", "\x00"} & set(text)
    assert "[red]" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_looks_like_a_difference_and_may_be_chance_says_so() -> None:
    tree = compare(a_run(), a_run(run_id="r2"), ("a", "b")).to_json()
    tree["routes"][0]["figures"][4] |= {"reason": MAY_BE_CHANCE}
    by = console(80)
    print_comparison(tree, by)
    assert said(by).count("may be chance") == 1
