"""What is written of a suite, where, and what is taken away."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ecoload.errors import OutputFailed, UsageError
from ecoload.report.bundle import read_bundle
from ecoload.report.suite_folder import write_suite_reports
from tests.unit import suite_samples as samples
from tests.unit.suite_samples import APPS, PHASES


def write(root: Path, result: Any) -> list[str]:
    """The names of what was written, below the reports' folder."""
    tree = samples.write_suite_folder(root / "runs" / "s", result)
    reports = root / "tests" / "perf" / "reports"
    return [
        path.relative_to(reports).as_posix()
        for path in write_suite_reports(tree, root / "runs" / "s", reports)
    ]


def test_every_report_is_written_the_summary_first_and_the_bundle_last(tmp_path: Path) -> None:
    names = write(tmp_path, samples.mitigated())
    assert names[0] == "ecosystem_perf_summary.md"
    assert names[-1] == "ecosystem_perf_artifacts.zip"
    each = ("slo_verdict.md", *(f"latency_{phase}.csv" for phase in PHASES if phase != "burst"))
    assert sorted(names[1:-1]) == sorted(
        [
            *("ecosystem_perf_summary.html", "ecosystem_slo_matrix.md", "a2/latency_burst.csv"),
            *(f"{app}/{name}" for app in APPS for name in each),
        ]
    )
    reports = tmp_path / "tests" / "perf" / "reports"
    found = [path for path in reports.rglob("*") if path.is_file()]
    assert {path.relative_to(reports).as_posix() for path in found} == set(names)


def test_the_bundle_holds_the_reports_as_they_were_written(tmp_path: Path) -> None:
    names = write(tmp_path, samples.mitigated())
    reports = tmp_path / "tests" / "perf" / "reports"
    bundle = read_bundle(reports / names[-1])
    for name in names[:-1]:
        assert bundle.read(f"reports/{name}") == (reports / name).read_bytes()


def test_the_page_leads_to_the_runs_from_where_it_stands(tmp_path: Path) -> None:
    write(tmp_path, samples.mitigated())
    reports = tmp_path / "tests" / "perf" / "reports"
    page = (reports / "ecosystem_perf_summary.html").read_text()
    link = "../../../runs/s/baseline/a8.warmed/report.html"
    assert f'href="./{link}"' in page
    assert (reports / link).is_file()


def test_all_runs_of_a_cell_are_rows_of_the_csv_and_the_last_counts(tmp_path: Path) -> None:
    write(tmp_path, samples.mitigated())
    with (tmp_path / "tests/perf/reports/a8/latency_baseline.csv").open(newline="") as file:
        rows = {(row["run"], row["counts"], row["run_id"]) for row in csv.DictReader(file)}
    assert rows == {("first", "no", "baseline/a8"), ("warmed", "yes", "baseline/a8.warmed")}


def test_health_has_a_csv_of_each_apps_own_routes(tmp_path: Path) -> None:
    write(tmp_path, samples.healthy())
    with (tmp_path / "tests/perf/reports/a3/latency_health.csv").open(newline="") as file:
        assert [row["route"] for row in csv.DictReader(file)] == ["a3 health", "a3 healthz"]


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    names = write(tmp_path, samples.not_ready())
    reports = tmp_path / "tests" / "perf" / "reports"
    before = {name: (reports / name).read_bytes() for name in names}
    assert write(tmp_path, samples.not_ready()) == names
    assert {name: (reports / name).read_bytes() for name in names} == before
    assert not list(reports.rglob("*.new"))


def test_reports_of_an_app_or_a_profile_that_is_gone_are_taken_away_and_nothing_else(tmp_path: Path) -> None:
    reports = tmp_path / "tests" / "perf" / "reports"
    for name in ("a9/slo_verdict.md", "a9/latency_smoke.csv", "a1/latency_old.csv", "a7/notes.md",
                 "mine/latency.csv", "mine/verdict.md", "a2_ingest_notes.json"):  # fmt: skip
        (reports / name).parent.mkdir(parents=True, exist_ok=True)
        (reports / name).write_text("x")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "slo_verdict.md").write_text("x")
    (reports / "linked").symlink_to(elsewhere)
    write(tmp_path, samples.healthy())
    assert not (reports / "a9").exists()
    assert not (reports / "a1" / "latency_old.csv").exists()
    for name in ("a7/notes.md", "mine/latency.csv", "mine/verdict.md", "a2_ingest_notes.json"):
        assert (reports / name).read_text() == "x"
    assert (elsewhere / "slo_verdict.md").exists()


def test_a_run_that_is_not_there_costs_its_rows_and_is_named_by_the_bundle(tmp_path: Path) -> None:
    tree = samples.write_suite_folder(tmp_path / "s", samples.healthy())
    (tmp_path / "s" / "smoke" / "a1" / "run.json").unlink()
    with pytest.raises(UsageError, match=r"smoke/a1/run\.json"):
        write_suite_reports(tree, tmp_path / "s", tmp_path / "reports")
    assert (tmp_path / "reports" / "ecosystem_perf_summary.md").exists()
    assert not (tmp_path / "reports" / "a1" / "latency_smoke.csv").exists()


def test_a_disk_that_refuses_is_told_and_says_where_the_result_is(tmp_path: Path) -> None:
    tree = samples.write_suite_folder(tmp_path / "s", samples.healthy())
    reports = tmp_path / "reports"
    (reports / "ecosystem_slo_matrix.md").mkdir(parents=True)
    with pytest.raises(OutputFailed, match=r"ecosystem_slo_matrix.*the result itself is in .*/s"):
        write_suite_reports(tree, tmp_path / "s", reports)
    assert not list(reports.rglob("*.new"))


@pytest.mark.parametrize("name", ["../../x", "/etc", "a/b", "", ".", "a\nb", samples.NASTY])
def test_a_name_that_leads_out_of_the_folder_writes_nothing(tmp_path: Path, name: str) -> None:
    tree = samples.write_suite_folder(tmp_path / "s", samples.healthy())
    with pytest.raises(UsageError, match="no app's name"):
        write_suite_reports(tree | {"apps": ["a1", name]}, tmp_path / "s", tmp_path / "reports")
    tree["phases"][1]["profile"] = name or "../x"
    with pytest.raises(UsageError, match="no profile's name"):
        write_suite_reports(tree, tmp_path / "s", tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_a_suite_of_two_apps_and_one_phase_has_theirs_only(tmp_path: Path) -> None:
    whole = samples.rehearsal()
    result = dataclasses.replace(whole, apps=("a1", "a8"), phases=whole.phases[2:3])
    names = write(tmp_path, result)
    assert {name for name in names if "/" in name} == {
        f"{app}/{name}" for app in ("a1", "a8") for name in ("slo_verdict.md", "latency_baseline.csv")
    }
