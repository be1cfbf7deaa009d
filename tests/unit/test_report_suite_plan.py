"""What `ecoload plan suite` shows of a suite's plan."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import orjson
import pytest
from rich.console import Console

from ecoload.plan import (
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    Load,
    PerVUIterations,
    Plan,
    Probe,
    ProtocolHeader,
    RampingArrivalRate,
    RampingVUs,
    Scenario,
    SharedIterations,
    Stage,
)
from ecoload.plan.suite import AppRun, Gate, KnownIssue, Phase, SuitePlan, Watched
from ecoload.report.suite_plan_view import how_much, print_suite_plan, short_span, suite_plan_tree
from tests.unit.report_samples import BREAKOUT
from tests.unit.support import make_plan

S = 1_000_000_000
MINUTE = 60 * S
GATED = {"spike": ("it can reach 100 VUs, and more than 60 need an approval",)}
SPIKE = (
    Stage(2 * MINUTE, 5),
    Stage(MINUTE, 100),
    Stage(4 * MINUTE, 100),
    Stage(MINUTE, 5),
    Stage(2 * MINUTE, 5),
)


def plan_of(*executors: Executor, pacing_ns: int = S) -> Plan:
    loads = tuple(
        Load(f"load {at}", 0, "word", executor, pacing_ns=pacing_ns) for at, executor in enumerate(executors)
    )
    return make_plan(loads=loads)


def vus(count: int, minutes: int) -> Plan:
    return plan_of(ConstantVUs(count, minutes * MINUTE))


def suite(**changes: Any) -> SuitePlan:
    baseline = (
        AppRun("a1", vus(20, 15)),
        AppRun("a4", vus(15, 15)),
        AppRun("a8", vus(20, 15), vus(20, 15)),
    )
    spike = tuple(AppRun(app, plan_of(RampingVUs(5, SPIKE))) for app in ("a1", "a4", "a8"))
    values: dict[str, Any] = {
        "tool_version": "0.1.0",
        "protocol": ProtocolHeader(assigned_app="A8"),
        "apps": ("a1", "a4", "a8"),
        "phases": (
            Phase("health", None, Gate.HALT, (AppRun("all", plan_of(ConstantArrivalRate(10, 6 * S, 1, 5))),)),
            Phase("baseline", "baseline", Gate.PASS, baseline, parallel=2),
            Phase("spike", "spike", Gate.NONE, spike),
        ),
        "known_issues": (KnownIssue("A8-PERF-001", "a8", "overview", "p95_ms", "it is slow", "a cache"),),
        "remedies": (),
        "watched": (Watched("a1", Probe(0, "/healthz", "$.status")),),
        "uptime": 0.999,
        "seed": 1,
        "duration_scale": 1.0,
    }
    return SuitePlan(**values | changes)


def shown(plan: SuitePlan, width: int = 120, gated: Any = GATED) -> str:
    file = io.StringIO()
    print_suite_plan(plan, gated, Console(file=file, width=width, highlight=False, legacy_windows=False))
    return file.getvalue()


@pytest.mark.parametrize(
    ("executors", "told"),
    [
        ([ConstantVUs(20, 15 * MINUTE)], "20 VUs 15m"),
        ([ConstantVUs(1, 90 * S)], "1 VU 90s"),
        ([RampingVUs(10, (Stage(20 * MINUTE, 60),))], "10→60 20m"),
        ([RampingVUs(5, SPIKE)], "5→100→5 10m"),
        ([ConstantArrivalRate(100, 2 * MINUTE, 10, 60)], "100/s 2m"),
        ([ConstantArrivalRate(90, 2 * MINUTE, 10, 60, MINUTE)], "90/1m 2m"),
        ([RampingArrivalRate(0, (Stage(MINUTE, 50), Stage(MINUTE, 50)), 1, 5)], "0→50/s 2m"),
        ([SharedIterations(5, 1000, 10 * MINUTE)], "1,000 by 5 VUs ≤ 10m"),
        ([PerVUIterations(5, 20, 10 * MINUTE)], "5×20 by VU ≤ 10m"),
        ([ConstantVUs(20, MINUTE), ConstantVUs(5, MINUTE)], "20+5 VUs 1m"),
        ([ConstantArrivalRate(10, 6 * S, 1, 5)] * 16, "16×10/s 6s"),
        ([ConstantVUs(20, MINUTE), ConstantArrivalRate(10, 2 * MINUTE, 1, 5)], "20 VUs 1m + 10/s 2m"),
        ([], "–"),
    ],
)
def test_a_cell_says_how_much_as_short_as_it_can(executors: list[Executor], told: str) -> None:
    assert how_much(plan_of(*executors)) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.6, "0.6s"),
        (9, "9s"),
        (60, "1m"),
        (90, "90s"),
        (150, "2m30s"),
        (900, "15m"),
        (3600, "60m"),
        (3661, "61m01s"),
    ],
)
def test_times_are_written_as_in_a_profile(seconds: float, told: str) -> None:
    assert short_span(round(seconds * S)) == told


def test_the_matrix_shows_every_app_in_every_phase_and_marks_what_is_an_apps_own() -> None:
    rows = {line.split()[0]: line for line in shown(suite()).splitlines() if line.startswith((" a", " all"))}
    assert "20 VUs 15m " in rows["a1"] and "*" not in rows["a1"]
    assert "15 VUs 15m*" in rows["a4"]
    assert "5→100→5 10m" in rows["a8"]
    assert "10/s 6s" in rows["all"]
    assert "* the app's own, not what most apps get" in shown(suite())


def test_nothing_is_marked_where_all_get_the_same_or_there_is_nothing_to_compare() -> None:
    tree = suite_plan_tree(suite(), {})
    own = {(phase["name"], run["app"]) for phase in tree["phases"] for run in phase["runs"] if run["own"]}
    assert own == {("baseline", "a4")}
    two = Phase("ramp", "ramp", Gate.NONE, (AppRun("a1", vus(1, 1)), AppRun("a2", vus(2, 1))))
    assert "*" not in shown(suite(phases=(two,)))


def test_a_phase_lasts_as_long_as_its_batches_and_peaks_in_the_greatest() -> None:
    tree = suite_plan_tree(suite(), GATED)
    health, baseline, spike = tree["phases"]
    # Two at a time: 15 minutes with 35 VUs, then 15 with 20.
    assert (baseline["duration_s"], baseline["peak_vus"], baseline["peak_starts_per_s"]) == (1800, 35, 35)
    assert (spike["duration_s"], spike["peak_vus"], spike["peak_starts_per_s"]) == (1800, 100, 100)
    assert (health["duration_s"], health["peak_vus"], health["peak_starts_per_s"]) == (6, 5, 10)
    assert (tree["duration_s"], tree["peak_vus"], tree["peak_starts_per_s"]) == (3606, 100, 100)


def test_a_batch_lasts_as_long_as_its_longest_run() -> None:
    runs = (AppRun("a1", vus(1, 5)), AppRun("a2", vus(1, 9)), AppRun("a3", vus(1, 2)))
    tree = suite_plan_tree(suite(phases=(Phase("x", "x", Gate.NONE, runs, 2),)), {})
    assert tree["duration_s"] == 11 * 60


def test_the_total_time_says_what_retests_could_add() -> None:
    assert suite_plan_tree(suite(), {})["warmed_duration_s"] == 900
    text = shown(suite())
    assert "1h 00m 06s and grace, and up to 15m 00s more where known issues are retested" in text
    plain = Phase("baseline", "baseline", Gate.PASS, (AppRun("a1", vus(20, 15)),))
    assert "retested" not in shown(suite(phases=(plain,)))


def test_a_rate_that_nothing_bounds_is_said_to_be_so_and_is_null() -> None:
    free = AppRun("a1", plan_of(ConstantVUs(5, MINUTE), pacing_ns=0))
    phases = (Phase("x", "x", Gate.NONE, (free, AppRun("a2", vus(5, 1))), 2),)
    tree = suite_plan_tree(suite(phases=phases), {})
    assert (tree["peak_starts_per_s"], tree["phases"][0]["peak_starts_per_s"]) == (None, None)
    assert "no bound on starts/s" in shown(suite(phases=phases))


def test_phases_that_need_an_approval_stand_with_their_reasons() -> None:
    text = shown(suite())
    assert "spike: it can reach 100 VUs, and more than 60 need an approval" in text
    (line,) = (line for line in text.splitlines() if line.startswith(" spike"))
    assert line.rstrip().endswith("needed")
    assert "needed" not in shown(suite(), gated={})


def test_gates_hashes_and_that_nothing_is_sent_are_said() -> None:
    text = shown(suite())
    assert "nothing is sent" in text
    assert suite().spec_hash in text and suite().execution_hash in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith((" health", " baseline"))] == [
        "halts",
        "must",
    ]


def test_a_rehearsal_says_why_it_is_one() -> None:
    text = shown(suite(rehearsal=("durations × 0.01",)))
    assert "REHEARSAL" in text and "durations × 0.01" in text
    assert "REHEARSAL" not in shown(suite())


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(width: int) -> None:
    text = shown(suite(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_a_foreign_text_is_only_text() -> None:
    phase = Phase(BREAKOUT, BREAKOUT, Gate.NONE, (AppRun(BREAKOUT, vus(1, 1)),))
    issue = KnownIssue(BREAKOUT, BREAKOUT, BREAKOUT, "p95_ms", BREAKOUT, BREAKOUT)
    plan = suite(
        apps=(BREAKOUT,), phases=(phase,), known_issues=(issue,), rehearsal=(BREAKOUT,),
        protocol=ProtocolHeader(name=BREAKOUT),
    )  # fmt: skip
    text = shown(plan, 200, {BREAKOUT: (BREAKOUT,)})
    assert "[red]" in text
    assert not {"\x1b", "\x00", "\u202e"} & set(text)


def test_the_tree_is_plain_json_with_both_hashes() -> None:
    tree = suite_plan_tree(suite(), GATED)
    assert orjson.loads(orjson.dumps(tree)) == tree
    assert (tree["spec_hash"], tree["execution_hash"]) == (suite().spec_hash, suite().execution_hash)
    assert tree["phases"][2]["approval"] == list(GATED["spike"])
    assert [phase["gate"] for phase in tree["phases"]] == ["halt", "pass", "none"]
    warmed = [run["warmed_execution_hash"] is not None for run in tree["phases"][1]["runs"]]
    assert warmed == [False, False, True]


def test_where_it_leads_through_whom_and_whose_code_is_run_is_shown() -> None:
    odd = dataclasses.replace(
        vus(1, 1), proxy="http://proxy.example:3128", scenarios=(Scenario("own", module="scenarios/own.py"),)
    )
    phases = (*suite().phases, Phase("odd", "odd", Gate.NONE, (AppRun("a1", odd),)))
    text = shown(suite(phases=phases))
    origin = odd.origins[0]
    assert f"{origin.app}: {origin.scheme}://{origin.authority}" in text
    assert f"({origin.environment})" in text
    assert "http://proxy.example:3128" in text
    assert "scenarios/own.py: its code is run" in text
    assert "Proxy" not in shown(suite())
    assert "Python" not in shown(suite())
