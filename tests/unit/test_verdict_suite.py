"""A suite judged: cells, known issues, gates, availability, the status and the exit code."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecoload.plan.suite import Gate, PhaseOutline
from ecoload.verdict.browser import NO_BROWSER
from ecoload.verdict.cells import OneRun, worst_cell
from ecoload.verdict.suite import judge_suite, passes_gate
from ecoload.verdict.suite_result import Cell, IssueState, SuiteResult, SuiteStatus
from tests.unit.suite_results import (
    ISSUE,
    WAIVER,
    facts,
    flow,
    level,
    one,
    outline,
    overview,
    phase,
    run,
)

BASELINE = phase("baseline", "a8", gate=Gate.PASS)
COLD, WARM = overview("FAIL", 1085.0), overview("PASS", 31.0)
GOOD = run("a2", {"ingest": [level("PASS")]})
BAD = run("a2", {"ingest": [level("FAIL", 300.0)]})
UNSURE = run("a2", {"ingest": [level("INCONCLUSIVE")]})


def a8(*runs: OneRun, **changes: Any) -> SuiteResult:
    """A suite of A8's baseline alone, with these runs."""
    known = changes.pop("known_issues", (ISSUE,))
    made = outline(BASELINE, apps=("a8",), known_issues=known, rehearsal=changes.pop("rehearsal", ()))
    return judge_suite(made, facts({("baseline", "a8"): runs}, **changes))


def a2(result: dict[str, Any] | None, gate: Gate = Gate.NONE, **changes: Any) -> SuiteResult:
    """A suite of one phase in which A2 ran once, or not at all."""
    rehearsal = changes.pop("rehearsal", ())
    made = outline(phase("smoke", "a2", gate=gate), apps=("a2",), known_issues=(), rehearsal=rehearsal)
    runs = {("smoke", "a2"): [one("first", result, "smoke/a2")]} if result else {}
    return judge_suite(made, facts(runs, **changes))


# --- the status, and what the command ends with ------------------------------------------------------


def test_a_run_in_which_nothing_was_judged_proves_nothing() -> None:
    for changes in ({}, {"status": "failed", "verdict_reasons": ["the module cannot be read"]}):
        result = a8(one("first", run("a8", {}, **changes)))
        assert result.phases[0].cells[0].verdict is Cell.INCONCLUSIVE
        (item,) = result.phases[0].cells[0].items
        assert (item.kind, item.of) == ("run", "the run")
    # Nor does it take anything back.
    result = a8(one("first", COLD), one("retest", run("a8", {}, status="failed")))
    assert result.phases[0].cells[0].verdict is Cell.INCONCLUSIVE


def test_everything_run_and_held_is_ready() -> None:
    result = a2(GOOD)
    assert (result.status, result.exit_code, result.failures) == (SuiteStatus.READY, 0, ())


def test_a_failed_level_is_not_ready_and_its_remedy_stands_beside_it() -> None:
    result = a2(BAD)
    assert (result.status, result.exit_code) == (SuiteStatus.NOT_READY, 99)
    assert [(f.app, f.of, f.must_be, f.was, f.remedy, f.diagnostics) for f in result.failures] == [
        ("a2", "ingest", "P95 ≤ 150 ms", "300.0 ms", "index the table", "smoke/a2/diagnostics.md")
    ]


def test_what_could_not_be_told_is_not_ready_and_no_fail() -> None:
    result = a2(UNSURE)
    assert (result.status, result.exit_code, result.failures) == (SuiteStatus.NOT_READY, 5, ())


def test_in_a_rehearsal_what_could_not_be_told_is_shown_and_sets_no_exit_code() -> None:
    result = a2(UNSURE, rehearsal=("durations × 0.1",))
    assert (result.status, result.exit_code) == (SuiteStatus.CONDITIONAL, 0)
    assert result.phases[0].verdict is Cell.INCONCLUSIVE


def test_a_rehearsal_never_says_ready_and_still_fails() -> None:
    assert a2(GOOD, rehearsal=("durations × 0.1",)).status is SuiteStatus.CONDITIONAL
    assert a2(GOOD, rehearsal=("durations × 0.1",)).exit_code == 0
    assert a2(BAD, rehearsal=("durations × 0.1",)).exit_code == 99


@pytest.mark.parametrize("result", [BAD, UNSURE])
def test_a_gate_that_halts_ends_with_4(result: dict[str, Any]) -> None:
    judged = a2(result, Gate.HALT)
    assert (judged.status, judged.exit_code) == (SuiteStatus.NOT_READY, 4)
    assert judged.halted.startswith("smoke is")


def test_a_gate_that_halts_lets_a_good_phase_pass() -> None:
    assert (a2(GOOD, Gate.HALT).halted, a2(GOOD, Gate.HALT).exit_code) == ("", 0)


def test_a_phase_without_its_approval_is_a_condition_beside_what_ran() -> None:
    made = outline(phase("smoke", "a2"), phase("spike", "a2"), apps=("a2",), known_issues=())
    gated = {"spike": ("100 VUs",)}
    seen = facts(
        {("smoke", "a2"): [one("first", GOOD, "smoke/a2")]}, gated=gated, awaiting=frozenset({"spike"})
    )
    result = judge_suite(made, seen)
    assert (result.status, result.exit_code) == (SuiteStatus.CONDITIONAL, 8)
    assert result.phases[1].cells[0].verdict is Cell.AWAITING_APPROVAL
    assert result.phases[1].cells[0].reasons == ("100 VUs",)
    failed = judge_suite(made, replace(seen, runs={("smoke", "a2"): [one("first", BAD, "smoke/a2")]}))
    assert (failed.status, failed.exit_code) == (SuiteStatus.NOT_READY, 99)


def test_where_everything_waits_for_an_approval_nothing_was_run_and_it_ends_with_3() -> None:
    result = a2(None, gated={"smoke": ("production",)}, awaiting=frozenset({"smoke"}))
    assert (result.status, result.exit_code) == (SuiteStatus.CONDITIONAL, 3)


def test_an_interrupted_suite_ends_with_130_and_is_not_ready() -> None:
    result = a2(GOOD, interrupted=True)
    assert (result.status, result.exit_code) == (SuiteStatus.NOT_READY, 130)


def awaiting(*phases: PhaseOutline, **changes: Any) -> SuiteResult:
    """A suite over A2 whose phase `spike` waits for an approval; what ran is said by `runs`."""
    made = outline(*phases, apps=("a2",), known_issues=())
    gated = {"spike": ("100 VUs",)}
    ran = {
        (name, "a2"): [one("first", result, f"{name}/a2")] for name, result in changes.pop("runs", {}).items()
    }
    return judge_suite(made, facts(ran, gated=gated, awaiting=frozenset({"spike"}), **changes))


SPIKE, RAMP = phase("spike", "a2"), phase("ramp", "a2")


def test_an_interrupted_suite_is_not_ready_though_a_phase_waits_for_its_approval() -> None:
    for runs in ({}, {"smoke": GOOD}):
        result = awaiting(phase("smoke", "a2"), SPIKE, RAMP, runs=runs, interrupted=True)
        assert (result.status, result.exit_code) == (SuiteStatus.NOT_READY, 130)


def test_a_phase_that_was_not_run_is_not_excused_by_another_that_waits() -> None:
    result = awaiting(phase("smoke", "a2"), SPIKE, RAMP, runs={"smoke": GOOD})
    assert (result.status, result.exit_code) == (SuiteStatus.NOT_READY, 5)
    assert "not run, for what stands before: ramp" in result.conditions


def test_what_a_waiting_gate_holds_up_waits_with_it() -> None:
    gate = phase("spike", "a2", gate=Gate.PASS)
    result = awaiting(phase("smoke", "a2"), gate, RAMP, runs={"smoke": GOOD})
    assert (result.status, result.exit_code) == (SuiteStatus.CONDITIONAL, 8)
    assert (awaiting(gate, RAMP).status, awaiting(gate, RAMP).exit_code) == (SuiteStatus.CONDITIONAL, 3)


def test_why_it_is_not_ready_though_nothing_failed_is_told() -> None:
    made = outline(phase("smoke", "a2", gate=Gate.PASS), RAMP, apps=("a2",), known_issues=())
    seen = facts({("smoke", "a2"): [one("first", UNSURE, "smoke/a2")]}, uptime={"a2": (10, 10)})
    assert judge_suite(made, seen).conditions == (
        "smoke could not be told of a2: a2 ingest: 100.0 against 150.0",
        "the uptime of a2 could not be told: 10 probes, 1000 are needed",
        "not run, for what stands before: ramp",
    )


def test_a_phase_that_was_not_run_is_never_ready() -> None:
    result = a2(None)
    assert (result.status, result.phases[0].verdict) == (SuiteStatus.NOT_READY, Cell.NOT_RUN)
    assert result.exit_code == 5


def test_an_app_that_could_not_be_asked_fails_its_cell() -> None:
    made = outline(phase("smoke", "a2"), apps=("a2",), known_issues=())
    result = judge_suite(
        made, facts({("smoke", "a2"): [one("first", None, "smoke/a2", error="no token for a2")]})
    )
    assert result.phases[0].cells[0].verdict is Cell.FAIL
    assert (result.exit_code, result.failures[0].reason) == (99, "no token for a2")


def test_a_run_that_could_not_be_carried_out_is_forgiven_by_a_later_one() -> None:
    made = outline(phase("smoke", "a2"), apps=("a2",), known_issues=())
    runs = [one("first", None, "smoke/a2", error="no token"), one("retest", GOOD, "smoke/a2.retest-1")]
    result = judge_suite(made, facts({("smoke", "a2"): runs}))
    assert result.status is SuiteStatus.READY
    # It did not pass at first, and the score before says so.
    assert (result.readiness.before, result.readiness.after) == (0.0, 100.0)
    assert result.phases[0].cells[0].items[0].first.was == "not carried out"


# --- known issues -----------------------------------------------------------------------------------


def test_an_issue_that_passes_only_under_its_remedy_is_mitigated_and_caps_the_status() -> None:
    result = a8(one("first", COLD), one("warmed", WARM, "baseline/a8.warmed"))
    issue = result.known_issues[0]
    assert (issue.state, issue.cold, issue.warm, issue.limit) == (IssueState.MITIGATED, 1085.0, 31.0, 150.0)
    assert (result.status, result.exit_code) == (SuiteStatus.CONDITIONAL, 8)
    assert result.phases[0].verdict is Cell.MITIGATED
    item = result.phases[0].cells[0].items[0]
    assert (item.first.value, item.last.value, item.issue) == (1085.0, 31.0, "A8-PERF-001")
    assert result.phases[0].cells[0].reasons == (
        "a8 overview: A8-PERF-001, 31.0 ms under its remedy, 1,085 ms without",
    )
    assert "add a cache" in result.conditions[0]


def test_an_issue_that_passes_cold_is_fixed() -> None:
    result = a8(one("first", WARM))
    assert (result.known_issues[0].state, result.known_issues[0].warm) == (IssueState.FIXED, None)
    assert (result.status, result.exit_code) == (SuiteStatus.READY, 0)


def test_an_issue_that_fails_under_its_remedy_is_still_failing() -> None:
    result = a8(one("first", COLD), one("warmed", overview("FAIL", 400.0)))
    issue = result.known_issues[0]
    assert (issue.state, issue.cold, issue.warm) == (IssueState.STILL_FAILING, 1085.0, 400.0)
    assert (result.status, result.exit_code) == (SuiteStatus.NOT_READY, 99)
    assert [failure.remedy for failure in result.failures] == ["add a cache"]


def test_an_issue_without_a_retest_is_still_failing() -> None:
    result = a8(one("first", COLD))
    assert (result.known_issues[0].state, result.exit_code) == (IssueState.STILL_FAILING, 99)


def test_a_retest_that_cannot_tell_saves_nothing() -> None:
    unsure = overview("INCONCLUSIVE", 31.0)
    result = a8(one("first", COLD), one("warmed", unsure))
    assert (result.known_issues[0].state, result.exit_code) == (IssueState.INCONCLUSIVE, 5)
    rehearsed = a8(one("first", COLD), one("warmed", unsure), rehearsal=("short",))
    assert (rehearsed.status, rehearsed.exit_code) == (SuiteStatus.CONDITIONAL, 8)


def test_a_route_without_a_known_issue_has_no_second_chance() -> None:
    cold, warm = overview("FAIL", 1085.0, tile="FAIL"), overview("PASS", 31.0, tile="PASS")
    result = a8(one("first", cold), one("warmed", warm))
    assert result.known_issues[0].state is IssueState.MITIGATED
    assert [failure.of for failure in result.failures] == ["tile"]
    assert result.exit_code == 99


def test_what_the_remedy_breaks_fails() -> None:
    cold, warm = overview("FAIL", 1085.0, tile="PASS"), overview("PASS", 31.0, tile="FAIL")
    assert [f.of for f in a8(one("first", cold), one("warmed", warm)).failures] == ["tile"]


def test_a_retest_whose_remedy_could_not_be_put_in_place_saves_nothing() -> None:
    unwarmed = WARM | {"notes": ["could not be warmed: a8: GET /warm answered 404"]}
    result = a8(one("first", COLD), one("warmed", unwarmed, "baseline/a8.warmed"))
    issue = result.known_issues[0]
    assert (issue.state, issue.cold, issue.warm) == (IssueState.STILL_FAILING, 1085.0, None)
    assert (result.exit_code, [failure.was for failure in result.failures]) == (99, ["1,085 ms"])
    assert "could not be warmed: a8: GET /warm answered 404" in result.phases[0].cells[0].reasons
    # One that was to stand under it from the start is measured as it is.
    alone = a8(one("warmed", COLD | {"notes": unwarmed["notes"]}))
    assert (alone.known_issues[0].state, alone.exit_code) == (IssueState.STILL_FAILING, 99)


def test_after_a_fix_the_retest_counts_and_both_figures_are_kept() -> None:
    result = a8(one("first", COLD), one("warmed", overview("FAIL", 400.0)), one("retest", WARM))
    assert (result.known_issues[0].state, result.status) == (IssueState.FIXED, SuiteStatus.READY)
    item = result.phases[0].cells[0].items[0]
    assert (item.first.value, item.last.value) == (1085.0, 31.0)
    assert result.readiness.before == 0.0
    assert result.readiness.after == 100.0


def test_a_later_phase_under_the_remedy_is_mitigated_too() -> None:
    made = outline(BASELINE, phase("ramp", "a8"), apps=("a8",))
    runs = {
        ("baseline", "a8"): [one("first", COLD), one("warmed", WARM)],
        ("ramp", "a8"): [one("warmed", WARM, "ramp/a8.warmed")],
    }
    result = judge_suite(made, facts(runs))
    assert result.phases[1].verdict is Cell.MITIGATED
    assert result.known_issues[0].state is IssueState.MITIGATED
    # The ramp was under the remedy from the start: nothing was gained there.
    assert [(p.score_first, p.score_last) for p in result.phases] == [(0.0, 0.5), (0.5, 0.5)]
    runs["ramp", "a8"] = [one("warmed", overview("FAIL", 600.0), "ramp/a8.warmed")]
    result = judge_suite(made, facts(runs))
    assert (result.known_issues[0].state, result.exit_code) == (IssueState.STILL_FAILING, 99)


def test_an_issue_is_told_by_the_first_phase_that_could_tell() -> None:
    made = outline(phase("smoke", "a8"), BASELINE, apps=("a8",), rehearsal=("short",))
    runs = {
        ("smoke", "a8"): [one("first", overview("INCONCLUSIVE", 900.0), "smoke/a8")],
        ("baseline", "a8"): [one("first", COLD), one("warmed", WARM)],
    }
    issue = judge_suite(made, facts(runs)).known_issues[0]
    assert (issue.state, issue.cold, issue.warm) == (IssueState.MITIGATED, 1085.0, 31.0)


def test_an_issue_that_first_shows_in_a_later_phase_caps_the_status_too() -> None:
    made = outline(BASELINE, phase("ramp", "a8"), apps=("a8",))
    runs = {
        ("baseline", "a8"): [one("first", WARM)],
        ("ramp", "a8"): [one("first", COLD, "ramp/a8"), one("warmed", WARM, "ramp/a8.warmed")],
    }
    result = judge_suite(made, facts(runs))
    issue = result.known_issues[0]
    assert (issue.state, issue.cold, issue.warm) == (IssueState.MITIGATED, 1085.0, 31.0)
    assert (result.status, result.exit_code) == (SuiteStatus.CONDITIONAL, 8)
    # A fix that was measured in one phase only says nothing of one that still stands under the remedy.
    runs["ramp", "a8"] = [one("warmed", WARM, "ramp/a8.warmed")]
    assert judge_suite(made, facts(runs)).status is SuiteStatus.CONDITIONAL


def test_an_issue_without_a_retest_is_not_saved_by_the_remedy_of_another() -> None:
    other = replace(ISSUE, id="A8-2", route="tile", warm=None)
    cold, warm = overview("FAIL", 1085.0, tile="FAIL"), overview("PASS", 31.0, tile="PASS")
    result = a8(one("first", cold), one("warmed", warm), known_issues=(ISSUE, other))
    assert [issue.state for issue in result.known_issues] == [IssueState.MITIGATED, IssueState.STILL_FAILING]
    assert ([failure.of for failure in result.failures], result.exit_code) == (["tile"], 99)


@pytest.mark.parametrize("without", ["PASS", "INCONCLUSIVE"])
def test_an_issue_that_fails_under_the_remedy_of_another_fails(without: str) -> None:
    other = replace(ISSUE, id="A8-2", route="tile")
    cold, warm = overview("FAIL", 1085.0, tile=without), overview("PASS", 31.0, tile="FAIL")
    result = a8(one("first", cold), one("warmed", warm), known_issues=(ISSUE, other), rehearsal=("short",))
    assert ([failure.of for failure in result.failures], result.exit_code) == (["tile"], 99)


def test_a_waiver_lets_the_protocol_go_on_and_shows() -> None:
    waived = replace(ISSUE, waiver=WAIVER)
    result = a8(one("first", COLD), one("warmed", overview("FAIL", 400.0)), known_issues=(waived,))
    assert result.phases[0].verdict is Cell.WAIVED
    assert result.phases[0].cells[0].reasons == ("a8 overview: A8-PERF-001, waived: 400.0 against 150.0",)
    assert passes_gate(result.phases[0].verdict, rehearsal=False)
    assert (result.status, result.exit_code) == (SuiteStatus.CONDITIONAL, 8)
    issue = result.known_issues[0]
    assert issue.state is IssueState.STILL_FAILING
    assert issue.waiver is not None
    assert (issue.waiver.by, issue.waiver.valid) == ("the owner", True)
    assert "the owner until 2026-12-31" in result.conditions[0]


@pytest.mark.parametrize(("until", "valid"), [("2026-11-25", True), ("2026-11-24", False)])
def test_a_waiver_holds_up_to_and_including_its_day(until: str, valid: bool) -> None:
    waived = replace(ISSUE, waiver=replace(WAIVER, until=until))
    result = a8(one("first", COLD), known_issues=(waived,))
    assert (result.exit_code == 8) is valid
    assert result.known_issues[0].waiver is not None
    assert result.known_issues[0].waiver.valid is valid


def test_a_waiver_covers_its_issue_and_nothing_else() -> None:
    waived = replace(ISSUE, waiver=WAIVER)
    result = a8(one("first", overview("FAIL", 1085.0, tile="FAIL")), known_issues=(waived,))
    assert [failure.of for failure in result.failures] == ["tile"]


# --- items, scores, availability ---------------------------------------------------------------------


def test_what_is_only_shown_decides_nothing() -> None:
    shown = run("a2", {"ingest": [level("PASS"), level("FAIL", 900.0, name="p99_ms", required=False)]})
    assert a2(shown).exit_code == 0


def test_a_run_that_did_not_end_by_its_plan_is_an_item_of_its_own() -> None:
    stopped = GOOD | {"verdict": "INCONCLUSIVE", "status": "aborted", "verdict_reasons": ["aborted"]}
    cell = a2(stopped).phases[0].cells[0]
    assert [(item.kind, item.verdict) for item in cell.items] == [
        ("level", Cell.PASS),
        ("run", Cell.INCONCLUSIVE),
    ]


def test_what_cannot_be_told_for_a_doubtful_measurement_is_one_reason() -> None:
    levels = [
        level("INCONCLUSIVE"),
        level("INCONCLUSIVE", name="p99_ms"),
        level("FAIL", 0.2, 0.01, "error_rate"),
    ]
    doubtful = run("a2", {"ingest": levels}) | {
        "validity": {"status": "SUSPECT", "reasons": ["starts were late"]}
    }
    assert a2(doubtful).phases[0].cells[0].reasons == (
        "a2 ingest: 0.2 against 0.01",
        "2 of 3 cannot be told, the measurement is SUSPECT: starts were late",
    )
    assert len(a2(UNSURE).phases[0].cells[0].reasons) == 1


def test_proofs_persistence_and_conditions_decide() -> None:
    tree = GOOD | {
        "verdict": "FAIL",
        "persistence": {"acknowledged": 10, "persisted": 9, "lost": 1, "verdict": "FAIL", "reason": "1 lost"},
        "proofs": [{"name": "live_mode", "expected": True, "found": False, "verdict": "FAIL"}],
        "thresholds": [{"kind": "abort_when", "source": "error_rate > 0.1", "verdict": "FAIL"}],
        "drift": [{"of": "ingest", "metric": "p95", "verdict": "FAIL", "reason": "rising", "change": 0.4}],
    }  # fmt: skip
    assert [(f.of, f.must_be) for f in a2(tree).failures] == [
        ("abort when", "never error_rate > 0.1"),
        ("persistence", "nothing lost"),
        ("live_mode", "is True"),
        ("ingest", "no drift of p95"),
    ]


def test_the_score_is_the_mean_over_phases_of_the_mean_over_items() -> None:
    made = outline(phase("smoke", "a2", "a8"), BASELINE, apps=("a2", "a8"))
    runs = {
        ("smoke", "a2"): [one("first", run("a2", {"ingest": [level("PASS"), level("FAIL", name="p99_ms")]}))],
        ("smoke", "a8"): [one("first", run("a8", {"tile": [level("PASS")], "filter": [level("PASS")]}))],
        ("baseline", "a8"): [one("first", COLD), one("warmed", WARM)],
    }
    result = judge_suite(made, facts(runs))
    assert [p.score_last for p in result.phases] == [0.75, 0.5]
    assert [p.score_first for p in result.phases] == [0.75, 0.0]
    assert (result.readiness.after, result.readiness.before, result.readiness.delta) == (62.5, 37.5, 25.0)
    assert result.readiness.grade == "D"


def test_an_earlier_bundle_is_the_score_before() -> None:
    readiness = a2(GOOD, previous=(80.0, "before.zip")).readiness
    assert (readiness.before, readiness.delta, readiness.previous) == (80.0, 20.0, "before.zip")


@pytest.mark.parametrize(
    ("probes", "answered", "verdict", "code"),
    [
        (1000, 999, Cell.PASS, 0),
        (1000, 998, Cell.FAIL, 99),
        (999, 999, Cell.INCONCLUSIVE, 5),
        (999, 0, Cell.INCONCLUSIVE, 5),
    ],
)
def test_uptime_needs_a_thousand_probes(probes: int, answered: int, verdict: Cell, code: int) -> None:
    result = a2(GOOD, uptime={"a2": (probes, answered)})
    assert (result.availability[0].verdict, result.exit_code) == (verdict, code)


def test_the_versions_under_test_are_told() -> None:
    assert a2(GOOD).versions == {"a2": "a2-1.0"}


# --- properties --------------------------------------------------------------------------------------

WORDS = st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE"])


@given(cold=WORDS, warm=st.none() | WORDS, tile=WORDS, rehearsal=st.booleans(), waived=st.booleans())
def test_ready_means_that_everything_passes_without_a_remedy(
    cold: str, warm: str | None, tile: str, rehearsal: bool, waived: bool
) -> None:
    runs = [one("first", overview(cold, tile=tile))]
    if warm is not None:
        runs.append(one("warmed", overview(warm, tile="PASS")))
    issue = replace(ISSUE, waiver=WAIVER if waived else None)
    result = a8(*runs, known_issues=(issue,), rehearsal=("short",) if rehearsal else ())
    clean = cold == tile == "PASS" and warm != "FAIL"
    assert (result.status is SuiteStatus.READY) == (clean and not rehearsal)
    assert (result.exit_code == 99) == bool(result.failures)
    if tile == "FAIL":
        assert result.status is SuiteStatus.NOT_READY
    assert 0 <= result.readiness.after <= 100


@example(words=[("PASS", None), ("INCONCLUSIVE", "FAIL")], waived=True)
@given(words=st.lists(st.tuples(WORDS, st.none() | WORDS), min_size=1, max_size=3), waived=st.booleans())
def test_ready_means_that_every_phase_passes(words: list[tuple[str, str | None]], waived: bool) -> None:
    made = outline(
        *(phase(f"p{at}", "a8") for at in range(len(words))),
        apps=("a8",),
        known_issues=(replace(ISSUE, waiver=WAIVER if waived else None),),
    )
    runs = {
        (f"p{at}", "a8"): [
            one("first", overview(cold)),
            *([] if warm is None else [one("warmed", overview(warm))]),
        ]
        for at, (cold, warm) in enumerate(words)
    }
    result = judge_suite(made, facts(runs))
    passes = all(one.verdict is Cell.PASS for one in result.phases)
    assert (result.status is SuiteStatus.READY) == passes
    assert (result.exit_code == 0) == passes


def test_the_worst_cell_does_not_depend_on_the_order() -> None:
    for pair in itertools.permutations(Cell, 2):
        assert worst_cell(pair) is worst_cell(reversed(pair))
    assert worst_cell([Cell.PASS, Cell.FAIL, Cell.NOT_RUN]) is Cell.FAIL
    assert worst_cell([]) is Cell.NOT_APPLICABLE


# --- flows, and what an app has not ------------------------------------------------------------------

FLOWS = PhaseOutline("flows", None, Gate.NONE, False, 1, ("a6", "a6", "a5"), ("funnel", "finance", "pay"))


def flows(*given: dict[str, Any], **changes: Any) -> SuiteResult:
    """A suite of the three flows alone; those that are given were carried out."""
    made = outline(FLOWS, apps=("a5", "a6"), known_issues=())
    runs = {("flows", tree["flow"]): [one("first", tree, f"flows/{tree['flow']}")] for tree in given}
    return judge_suite(made, facts(runs, **changes))


def test_flows_of_one_app_are_cells_of_their_own() -> None:
    result = flows(
        flow("funnel", "a6", lead="PASS"), flow("finance", "a6", fee="FAIL"), flow("pay", "a5", c="PASS")
    )
    (phase_result,) = result.phases
    assert [(cell.app, cell.flow, cell.verdict) for cell in phase_result.cells] == [
        ("a6", "funnel", Cell.PASS),
        ("a6", "finance", Cell.FAIL),
        ("a5", "pay", Cell.PASS),
    ]
    assert [(f.app, f.of, f.reason) for f in result.failures] == [("a6", "finance: fee", "fee is FAIL")]
    assert (result.status, result.exit_code) == (SuiteStatus.NOT_READY, 99)


def test_a_flow_that_was_not_carried_out_is_named() -> None:
    result = flows(flow("funnel", "a6", lead="PASS"), flow("pay", "a5", charges="PASS"))
    assert [cell.verdict for cell in result.phases[0].cells] == [Cell.PASS, Cell.NOT_RUN, Cell.PASS]
    assert result.status is SuiteStatus.NOT_READY
    waiting = flows(awaiting=frozenset({"flows"}), gated={"flows": ("pay: it injects a fault",)})
    assert {cell.verdict for cell in waiting.phases[0].cells} == {Cell.AWAITING_APPROVAL}
    assert [cell.flow for cell in waiting.phases[0].cells] == ["funnel", "finance", "pay"]


def without_browser(name: str, app: str) -> dict[str, Any]:
    """An `e2e.json` of a flow that could not be begun."""
    why = ["there is no Chromium here; get one"]
    return flow(name, app) | {"status": NO_BROWSER, "verdict_reasons": why, "proofs": [], "kind": "browser"}


def test_a_flow_that_no_browser_could_carry_out_is_a_condition_and_no_fail() -> None:
    good = flow("funnel", "a6", lead="PASS"), flow("finance", "a6", fee="PASS")
    result = flows(*good, without_browser("pay", "a5"))
    assert [cell.verdict for cell in result.phases[0].cells] == [Cell.PASS, Cell.PASS, Cell.NO_BROWSER]
    assert result.conditions == ("flows was not run (pay): there is no Chromium here; get one",)
    assert (result.status, result.exit_code, result.failures) == (SuiteStatus.CONDITIONAL, 8, ())
    assert result.readiness.after == 66.7, "what was not run is not ready"


def test_a_flow_that_failed_is_not_ready_beside_one_without_a_browser() -> None:
    bad = flow("funnel", "a6", lead="FAIL"), flow("finance", "a6", fee="PASS")
    result = flows(*bad, without_browser("pay", "a5"))
    assert (result.status, result.exit_code) == (SuiteStatus.NOT_READY, 99)
    assert [one.diagnostics for one in result.failures] == ["flows/funnel/summary.md"]


def test_a_later_run_in_a_browser_counts() -> None:
    made = outline(FLOWS, apps=("a5", "a6"), known_issues=())
    runs = {
        ("flows", name): [one("first", flow(name, app, step="PASS"), f"flows/{name}")]
        for name, app in (("funnel", "a6"), ("finance", "a6"))
    }
    tried = one("first", without_browser("pay", "a5"), "flows/pay")
    again = one("retest", flow("pay", "a5", step="PASS"), "flows/pay.retest-1")
    result = judge_suite(made, facts(runs | {("flows", "pay"): [tried, again]}))
    assert (result.status, result.exit_code) == (SuiteStatus.READY, 0)


def test_steps_of_two_flows_that_are_called_the_same_are_two_things() -> None:
    result = flows(
        flow("funnel", "a6", lead="PASS"), flow("finance", "a6", lead="FAIL"), flow("pay", "a5", x="PASS")
    )
    items = [(item.of, item.verdict) for cell in result.phases[0].cells for item in cell.items]
    assert items[:2] == [("funnel: lead", Cell.PASS), ("finance: lead", Cell.FAIL)]


def test_an_app_that_declares_nothing_of_a_proof_holds_nothing_up_and_scores_nothing() -> None:
    gate = replace(phase("resiliency", "a2", gate=Gate.PASS), not_applicable=("a1", "a8"))
    made = outline(gate, phase("soak", "a2"), apps=("a1", "a2", "a8"), known_issues=())
    runs = {(name, "a2"): [one("first", GOOD, f"{name}/a2")] for name in ("resiliency", "soak")}
    result = judge_suite(made, facts(runs))
    words = {cell.app: cell.verdict for cell in result.phases[0].cells}
    assert words == {"a2": Cell.PASS, "a1": Cell.NOT_APPLICABLE, "a8": Cell.NOT_APPLICABLE}
    assert (result.status, result.readiness.after) == (SuiteStatus.READY, 100.0)


def test_a_gate_that_halts_does_not_wait_for_whom_it_does_not_ask() -> None:
    gate = replace(phase("smoke", "a2", gate=Gate.HALT), not_applicable=("a1",))
    made = outline(gate, apps=("a1", "a2"), known_issues=())
    result = judge_suite(made, facts({("smoke", "a2"): [one("first", UNSURE, "smoke/a2")]}))
    assert result.halted.startswith("smoke is INCONCLUSIVE")
