"""What a suite says on the terminal at its end."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ecoload.report.live import PanelView
from ecoload.report.suite_live import SuiteLineView
from ecoload.report.suite_terminal import print_suite
from tests.unit import suite_samples as samples
from tests.unit.guard_plans import plan
from tests.unit.suite_results import outline

FOLDER, REPORTS = Path("runs/20261125T201500-suite-ab12"), Path("tests/perf/reports")
COPIED = ("Resume", "Retest", "Approve", "Folder", "Report", "          ecoload ")
"""How the lines begin that are there to be copied: they are never broken."""


def shown(result: Any, width: int = 80, **more: Any) -> str:
    file = io.StringIO()
    by = Console(file=file, width=width, highlight=False, legacy_windows=False, **more)
    tree = result if isinstance(result, dict) else result.to_json()
    print_suite(tree, FOLDER, REPORTS, by)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("result", [*samples.every(), samples.hostile()])
def test_it_fits_the_terminal_but_for_what_is_copied(result: Any, width: int) -> None:
    lines = [line for line in shown(result, width).splitlines() if not line[1:].startswith(COPIED)]
    assert max(map(len, lines)) <= width


def test_what_an_interrupted_suite_goes_on_with_is_never_broken() -> None:
    tree = samples.healthy().to_json() | {"interrupted": True, "targets": "a/long/way/to/targets.yaml"}
    command = f"ecoload suite --resume {FOLDER} --targets a/long/way/to/targets.yaml"
    assert f" Resume    {command}\n" in shown(tree)


def test_why_a_run_could_not_be_carried_out_is_told() -> None:
    tree = samples.healthy().to_json()
    run = {"of": "the run", "must_be": "can be carried out", "was": "not", "reason": "no token for a2"}
    tree["failures"] = [{"phase": "smoke", "app": "a2", "remedy": "", "diagnostics": "", **run}]
    assert "no token for a2" in shown(tree)


def test_each_reason_for_an_approval_has_a_line_of_its_own() -> None:
    tree = samples.awaiting().to_json()
    tree["approvals"]["needed"]["spike"] = ["a1: 100 VUs", "a2: 100 VUs"]
    assert " WAITS  spike: a1: 100 VUs" in (text := shown(tree))
    assert re.search(r"^ {8}spike: a2: 100 VUs", text, re.MULTILINE)


def test_while_it_goes_no_word_is_broken_and_a_panel_leaves_room_for_ctrl_c() -> None:
    file = io.StringIO()
    by = Console(file=file, width=80, force_terminal=True, legacy_windows=False, color_system=None)
    mark = ("without the phases ramp, spike, soak", "without the apps a1, a3, a4, a5, a7")
    SuiteLineView(by).head(outline(rehearsal=mark), FOLDER)
    assert max(map(len, file.getvalue().splitlines())) <= 80
    panel = PanelView(by)
    panel.begin(plan(), "run", FOLDER)
    panel.end()
    drawn = re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", file.getvalue())
    assert max(len(line.rstrip()) for line in drawn if "─" in line) == 76


@pytest.mark.parametrize("width", [80, 120])
def test_seven_phases_and_eight_apps_are_never_cut(width: int) -> None:
    lines = shown(samples.mitigated(), width).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith((" App", " a", " all"))}
    assert rows["App"] == list(samples.PHASES)
    assert rows["a2"] == ["PASS"] * 7
    assert rows["a8"] == ["PASS", "PASS", "MITIG.", "PASS", "PASS", "PASS", "–"]
    assert rows["all"] == ["PASS", "PASS", "MITIG.", "PASS", "PASS", "PASS", "PASS"]
    assert set(samples.APPS) < set(rows)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        ("PASS", "PASS"),
        ("FAIL", "FAIL"),
        ("MITIGATED", "MITIG."),
        ("WAIVED", "WAIVED"),
        ("INCONCLUSIVE", "INCON."),
        ("AWAITING_APPROVAL", "WAITS"),
        ("NOT_RUN", "not run"),
        ("NOT_APPLICABLE", "–"),
    ],
)
def test_every_verdict_has_a_short_word(verdict: str, word: str) -> None:
    result = samples.healthy().to_json()
    result["phases"][1]["verdict"] = verdict
    row = next(line for line in shown(result).splitlines() if line.startswith(" all"))
    assert re.split(r"\s{2,}", row.strip())[2] == word


def test_the_status_and_the_score_come_first_and_the_reports_path_last() -> None:
    lines = shown(samples.not_ready()).split("\n")
    assert lines[1].split() == ["NOT_READY", "score", "88.1", "→", "71.3", "(-16.8),", "grade", "D"]
    assert lines[-2].split() == ["Report", "tests/perf/reports/ecosystem_perf_summary.md"]
    assert lines[-1] == ""


def test_a_rehearsal_is_marked_beside_the_status_with_its_reasons() -> None:
    text = shown(samples.rehearsal())
    assert text.split("\n")[1].split()[:2] == ["CONDITIONAL", "REHEARSAL"]
    assert "• rehearsal: durations × 0.01" in text
    assert "REHEARSAL" not in shown(samples.healthy())


def test_a_known_issue_shows_cold_and_warm() -> None:
    lines = [line.rstrip() for line in shown(samples.mitigated()).splitlines()]
    assert " A8-PERF-001  cold 1,085 ms → warm 31.2 ms  MITIGATED" in lines


def test_a_failure_shows_its_figure_its_remedy_and_how_to_measure_it_again() -> None:
    text = shown(samples.not_ready())
    assert "FAIL  baseline · a8 · overview" in text
    assert "P95 ≤ 150 ms: was 954 ms" in text
    assert "remedy  put a caching layer before the aggregated dashboard data" in text
    assert f"ecoload suite --resume {FOLDER} --retest a8" in text


@pytest.mark.parametrize(("failures", "more"), [(10, None), (11, 1), (25, 15)])
def test_at_most_ten_failures_are_shown_and_the_rest_is_counted(failures: int, more: int | None) -> None:
    text = shown(samples.not_ready(failures))
    assert sum(line.startswith(" FAIL  ") for line in text.splitlines()) == 10
    assert (f"and {more} more in {REPORTS / 'ecosystem_perf_summary.md'}" in text) is (more is not None)
    assert (" more in " in text) is (more is not None)


def test_what_waits_stands_with_the_reason_and_the_exact_commands() -> None:
    text = shown(samples.awaiting())
    assert "WAITS  spike: it can reach 100 VUs, and more than 60 need an approval" in text
    assert f"ecoload approve {'c0' * 32} --by NAME --reason TEXT --out runs\n" in text
    assert f"ecoload suite --resume {FOLDER}\n" in text
    assert "ecoload approve" not in shown(samples.healthy())


def test_an_app_that_was_not_up_enough_is_named() -> None:
    assert "a3 99.259 %: FAIL" in shown(samples.not_ready())
    assert "PASS for 8 apps" in shown(samples.healthy())


def test_nothing_foreign_is_read_as_markup_or_reaches_the_terminal_as_control() -> None:
    text = shown(samples.hostile(), 200)
    assert "[red]" in text
    assert not {"\x1b", "\x00", "\u202e", "\r"} & set(text)


def test_colour_is_for_terminals_and_never_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    colourful: dict[str, Any] = {"force_terminal": True, "color_system": "standard"}
    assert "\x1b[1;37;42m" in shown(samples.healthy(), **colourful)
    assert "\x1b[1;30;43m" in shown(samples.mitigated(), **colourful)
    assert "\x1b[" not in shown(samples.healthy())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|4[0-7])m", shown(samples.healthy(), **colourful))


def test_an_empty_result_can_be_shown() -> None:
    assert "ecosystem_perf_summary.md" in shown({})
