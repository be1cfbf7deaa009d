"""The rows that every report of a suite shows: read from the result, never worked out."""

from __future__ import annotations

from typing import Any

import pytest

from ecoload.report import suite_rows as rows
from ecoload.report.suite_commands import to_approve, to_measure_again, to_resume, to_retest
from ecoload.report.suite_names import is_run_folder
from tests.unit import suite_samples as samples


def tree(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = result.to_json()
    return found


def phase(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in result["phases"] if one["name"] == name)
    return found


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (samples.healthy(), "Everything that the protocol asks of the ecosystem holds."),
        (samples.mitigated(), "Nothing failed, but the ecosystem is not READY."),
        (samples.not_ready(), "2 things that the protocol asks for failed."),
        (samples.rehearsal(), "Nothing failed in this rehearsal."),
        (samples.halted(), "The protocol was halted: health: a3 health P95 413 ms > 150 ms"),
    ],
)
def test_the_headline_says_what_the_status_means(result: Any, said: str) -> None:
    assert rows.headline(tree(result)) == said


def test_an_interrupted_suite_says_so_before_anything_else_but_a_halt() -> None:
    result = tree(samples.not_ready()) | {"interrupted": True}
    assert rows.headline(result) == "The protocol was interrupted before its end."
    assert rows.headline(result | {"halted": "x"}).endswith("halted: x")


def test_the_head_repeats_the_sources_header() -> None:
    found = dict(rows.header(tree(samples.rehearsal())))
    assert found["Assigned app"] == "A8"
    assert found["Mode"] == "staging"
    assert found["Protocol"] == "Performance Testing v1.0"
    assert found["Protocol version"] == "5869fbddc331b4ea40e8ea51de0687196b9f092b"
    assert found["Namespace"] == "perf_test"
    assert found["Duration scale"] == "0.01"
    assert found["Systems under test"].startswith("a1 2.4.0 · a2 2.4.1")


def test_a_version_that_was_not_found_is_said_to_be_so() -> None:
    result = tree(samples.healthy()) | {"versions": {"a1": "7"}}
    assert dict(rows.header(result))["Systems under test"].startswith("a1 7 · a2 version not known")
    assert dict(rows.app_header(result, "a2"))["Version of the app"] == "version not known"


def test_the_score_shows_before_after_delta_and_grade() -> None:
    assert rows.score(tree(samples.not_ready())) == "88.1 → 71.3 (-16.8), grade D"
    assert rows.score(tree(samples.rehearsal())) == "97.0, grade A"
    assert rows.score({}) == "–"


def test_the_score_before_names_the_bundle_it_was_read_from() -> None:
    assert rows.score_before(tree(samples.mitigated())) == "ecosystem_perf_artifacts-october.zip"
    assert rows.score_before(tree(samples.healthy())) == "this suite's first measurement"
    assert rows.score_before(tree(samples.rehearsal())) == ""


def test_an_app_that_a_phase_does_not_ask_has_no_verdict_in_it() -> None:
    result = tree(samples.healthy())
    assert rows.spot(phase(result, "burst"), "a1") is None
    assert rows.spot(phase(result, "burst"), "a2") == rows.Spot("PASS", (), "burst/a2")


def test_the_folder_of_a_spot_is_that_of_the_run_that_counts() -> None:
    spot = rows.spot(phase(tree(samples.mitigated()), "baseline"), "a8")
    assert spot is not None
    assert (spot.verdict, spot.folder) == ("MITIGATED", "baseline/a8.warmed")


def test_where_one_run_asks_every_app_each_shows_its_own_worst() -> None:
    health = phase(tree(samples.halted()), "health")
    found = {app: rows.spot(health, app) for app in samples.APPS}
    assert {app: spot.verdict for app, spot in found.items() if spot} == {
        app: "FAIL" if app == "a3" else "PASS" for app in samples.APPS
    }


def test_a_run_that_proves_nothing_leaves_no_app_with_a_pass() -> None:
    health = phase(tree(samples.healthy()), "health")
    doubt = dict(health["cells"][0]["items"][0], kind="run", app="all", of="run", verdict="INCONCLUSIVE")
    health["cells"][0]["items"].append(doubt)
    spots = [rows.spot(health, app) for app in samples.APPS]
    assert {spot.verdict for spot in spots if spot} == {"INCONCLUSIVE"}


def test_an_app_that_the_run_of_every_app_does_not_ask_has_no_verdict_of_it() -> None:
    health = phase(tree(samples.healthy()), "health")
    items = health["cells"][0]["items"]
    health["cells"][0]["items"] = [item for item in items if item["app"] != "a4"]
    assert rows.spot(health, "a4") is None
    assert rows.spot(health, "a5") is not None


def test_an_app_is_told_its_own_reasons_only() -> None:
    health = phase(tree(samples.halted()), "health")
    spots = {app: rows.spot(health, app) for app in ("a2", "a3")}
    assert {app: spot.reasons for app, spot in spots.items() if spot} == {
        "a2": (),
        "a3": ("a3 health: 413 ms > 150 ms",),
    }


def test_a_run_of_every_app_that_never_was_shows_what_became_of_it() -> None:
    cell = {"app": "all", "verdict": "NOT_RUN", "reasons": ["x"], "runs": [], "items": []}
    assert rows.spot({"cells": [cell]}, "a1") == rows.Spot("NOT_RUN", ("x",), "")


def test_a_thing_that_several_phases_judge_is_one_line_and_nothing_is_lost() -> None:
    result = tree(samples.awaiting_failures())
    lines = rows.lines(result)
    told = [id(item) for line in lines for item in line.items if item is not None]
    assert set(told) > {id(item) for _, item in samples.items_of(result)}
    # What waits for an approval counts for the score: a line for each app.
    waits = [item for line in lines for item in line.items if item and item["must_be"] == "is made"]
    assert len(told) == len(set(told)) == len([*samples.items_of(result)]) + len(waits)
    assert {item["verdict"] for item in waits} == {"AWAITING_APPROVAL"}
    overview = [line for line in lines if line.of == "overview" and line.must_be.startswith("P95")]
    assert len(overview) == 1
    judged = [item and item["verdict"] for item in overview[0].items]
    assert judged == [None, None, "FAIL", "PASS", None, "PASS", None]
    assert overview[0].issue == "A8-PERF-001"


def test_what_a_phase_judges_twice_under_one_name_has_two_lines() -> None:
    result = tree(samples.healthy())
    items = phase(result, "burst")["cells"][0]["items"]
    items.append(dict(items[0]))
    name = (items[0]["of"], items[0]["must_be"])
    lines = [line for line in rows.lines(result) if (line.of, line.must_be) == name]
    assert [line.items[-1] is not None for line in lines] == [True, True]


def test_a_limit_that_a_phase_changes_is_a_line_of_its_own() -> None:
    result = tree(samples.healthy())
    items = phase(result, "burst")["cells"][0]["items"]
    items[0]["must_be"] = "P95 ≤ 400 ms"
    limits = {line.must_be for line in rows.lines(result) if (line.app, line.of) == ("a2", "ingest")}
    assert {"P95 ≤ 125 ms", "P95 ≤ 400 ms"} <= limits


def test_the_first_figure_stands_beside_the_last_only_where_they_differ() -> None:
    items = [item for _, item in samples.items_of(tree(samples.mitigated()))]
    assert "1,085 ms → 31.2 ms" in {rows.was(item) for item in items if item["issue"]}
    assert all("→" not in rows.was(item) for item in items if not item["issue"])


@pytest.mark.parametrize(
    ("level", "limit", "cold", "told"),
    [
        ("p95_ms", 150.0, 1085.0, ("P95 ≤ 150 ms", "1,085 ms")),
        ("error_rate", 0.01, 0.0425, ("error rate ≤ 1 %", "4.25 %")),
        ("timeouts", 0, 3, ("timeouts ≤ 0", "3")),
        ("p95_ms", None, None, ("–", "–")),
    ],
)
def test_an_issues_figures_are_in_the_unit_of_its_level(
    level: str, limit: float | None, cold: float | None, told: tuple[str, str]
) -> None:
    issue = dict(tree(samples.mitigated())["known_issues"][0], level=level, limit=limit, cold=cold)
    (found,) = rows.issues({"known_issues": [issue]})
    assert (found.limit, found.cold) == told


@pytest.mark.parametrize(
    ("share", "told"), [(1.0, "100.000 %"), (0.998_999, "99.899 %"), (0.999, "99.900 %"), (None, "–")]
)
def test_an_uptime_is_never_rounded_up_to_its_limit(share: float | None, told: str) -> None:
    assert rows.uptimes({"availability": [{"app": "a1", "uptime": share, "verdict": "PASS"}]})[0][1] == told


def test_what_waits_names_the_commands_that_let_it_go_on() -> None:
    result = tree(samples.awaiting())
    assert rows.approvals(result)[0][:2] == ("spike", "waits")
    assert to_approve(result, "runs/s") == [
        f"ecoload approve {'c0' * 32} --by NAME --reason TEXT --out runs",
        "ecoload suite --resume runs/s",
    ]
    assert to_approve(tree(samples.healthy()), "runs/s") == []
    assert rows.approvals(tree(samples.healthy()))[0][1] == "approved by Ada Lovelace, 2026-11-25"


def test_each_app_that_failed_is_retested_once_and_a_folder_is_quoted() -> None:
    result = tree(samples.not_ready(5))
    assert to_retest(result, "my runs/s") == [
        f"ecoload suite --resume 'my runs/s' --retest {app}" for app in ("a8", "a2", "a7")
    ]
    # The run that asks every app is made again for any of them.
    assert to_retest(tree(samples.halted()), "s") == ["ecoload suite --resume s --retest a1"]


def test_what_could_not_be_told_is_measured_again_where_something_hangs_on_it() -> None:
    result = tree(samples.healthy())
    assert to_measure_again(result, "s") == []
    cell = next(cell for cell in result["phases"][1]["cells"] if cell["app"] == "a2")
    cell["items"][0]["verdict"] = "INCONCLUSIVE"
    assert to_measure_again(result, "s") == ["ecoload suite --resume s --retest a2"]
    assert to_measure_again(result | {"rehearsal": ["short"]}, "s") == []


def test_a_suite_that_was_interrupted_names_the_command_that_goes_on() -> None:
    result = tree(samples.healthy())
    assert to_resume(result, "s") == []
    assert to_resume(result | {"interrupted": True}, "s") == ["ecoload suite --resume s"]


def test_a_command_says_which_targets_file_it_is_about() -> None:
    result = tree(samples.not_ready(1)) | {"targets": "my eco/targets.yaml", "interrupted": True}
    asked = " --targets 'my eco/targets.yaml'"
    assert to_resume(result, "s") == [f"ecoload suite --resume s{asked}"]
    assert to_retest(result, "s") == [f"ecoload suite --resume s --retest a8{asked}"]
    assert to_approve(tree(samples.awaiting()) | {"targets": "x/t.yaml"}, "runs/s")[1] == (
        "ecoload suite --resume runs/s --targets x/t.yaml"
    )


def test_a_command_cannot_be_made_to_do_something_else() -> None:
    result = samples.hostile()
    (command,) = to_retest(result, "$(reboot)\nreboot")
    assert "\n" not in command
    assert "--resume '$(reboot) reboot'" in command


@pytest.mark.parametrize(
    ("folder", "ours"),
    [
        ("baseline/a8", True),
        ("baseline/a8.warmed", True),
        ("baseline/a8.retest-1", True),
        ("baseline", False),
        ("/etc/a8", False),
        ("../a8", False),
        ("baseline/..", False),
        ("baseline/a8..", False),
        ("baseline\\a8", False),
        ("baseline/a8/", False),
        ("javascript:alert(1)/a8", False),
        ("baseline/a8\n", False),
    ],
)
def test_only_a_folder_below_the_suites_own_is_a_runs(folder: str, ours: bool) -> None:
    assert is_run_folder(folder) is ours


def test_an_empty_result_can_be_shown() -> None:
    for of in (rows.lines, rows.issues, rows.waivers, rows.uptimes, rows.approvals, rows.reasons):
        assert of({}) == []
    assert rows.header({}) == [("Tool", "ecoload")]


def test_an_apps_flows_show_the_worst_of_them_with_the_reasons_of_all() -> None:
    def cell(flow: str, verdict: str, *reasons: str) -> dict[str, Any]:
        return {
            "app": "a6",
            "flow": flow,
            "verdict": verdict,
            "reasons": reasons,
            "runs": [{"folder": f"flows/{flow}"}],
            "items": [],
        }

    flows = {"name": "flows", "cells": [cell("finance", "FAIL", "a cent short"), cell("funnel", "PASS")]}
    assert rows.spot(flows, "a6") == rows.Spot("FAIL", ("a cent short",), "flows/finance")
    assert rows.spot(flows, "a5") is None
    assert [rows.called(one) for one in rows.cells_of(flows, "a6")] == ["a6 finance", "a6 funnel"]
    assert rows.called({"app": "a2", "flow": ""}) == "a2"
