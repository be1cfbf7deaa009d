"""`summary.md`, JUnit XML, and how the files of a run's folder are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.errors import OutputFailed
from ecoload.measure.series import COLUMNS
from ecoload.report.folder import write_reports
from ecoload.report.junit import junit_xml
from ecoload.report.markdown import escaped, summary_markdown
from tests.unit.report_samples import course, failing, hostile, invalid, passing


def cases(result: dict[str, Any]) -> dict[str, list[str]]:
    """Kind of each test case's answer by its name."""
    suite = ElementTree.fromstring(junit_xml(result))
    return {case.get("name") or "": [child.tag for child in case] for case in suite}


def test_the_protocols_header_stands_at_the_head_of_the_summary() -> None:
    lines = summary_markdown(passing()).splitlines()
    assert lines[0] == "# a2 · burst: PASS"
    assert "| Protocol | Performance Testing v1.0 |" in lines[:8]
    assert "| Namespace | perf\\_test |" in lines[:10]


def test_every_row_of_the_summarys_tables_has_the_columns_of_its_head() -> None:
    for result in (passing(), failing(), invalid(), hostile()):
        width = 0
        for line in summary_markdown(result).splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            columns = line.replace("\\\\", "").replace("\\|", "").count("|")
            width = width or columns
            assert columns == width


def test_nothing_foreign_is_read_as_markup_in_the_summary() -> None:
    text = summary_markdown(hostile())
    assert "<script" not in text.replace("\\<", "")
    assert "`*x*`" not in text and "\x1b" not in text


@given(st.text())
def test_an_escaped_text_is_one_line_without_bare_markup(text: str) -> None:
    written = escaped(text)
    assert len(written.splitlines()) <= 1
    bare = written.replace("\\\\", "")
    for character in "`*_[]<|":
        assert bare.count(character) == bare.count(f"\\{character}")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1. not a list", "&#49;. not a list"),
        ("- nor this", "&#45; nor this"),
        ("4.25 %", "4.25 %"),
        ("see https://x", "see http&#115;://x"),
    ],
)
def test_the_start_of_a_line_and_addresses_are_only_text(text: str, written: str) -> None:
    assert escaped(text) == written


def test_a_verdict_is_a_test_case() -> None:
    found = cases(failing())
    assert found["ingest: P95 ≤ 125 ms"] == ["failure"]
    assert found["persistence: nothing lost"] == ["failure"]
    assert found["threshold: p95 < 300ms"] == []
    assert found["the measurement is valid"] == []


def test_what_proved_nothing_is_an_error_and_never_counts_as_passed() -> None:
    found = cases(invalid())
    assert found["ingest: P95 ≤ 125 ms"] == ["error"]
    assert found["the measurement is valid"] == ["error"]


def test_what_decides_nothing_is_skipped() -> None:
    assert cases(passing())["ingest: P95 stretch ≤ 75 ms"] == ["skipped"]


def test_junit_counts_its_cases_and_survives_hostile_texts() -> None:
    suite = ElementTree.fromstring(junit_xml(hostile()))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("8", "4", "1")


def test_the_folder_holds_every_report_and_the_result_as_it_was(tmp_path: Path) -> None:
    write_reports(tmp_path, passing(), junit=tmp_path / "junit.xml")
    assert {path.name for path in tmp_path.iterdir()} == {
        "run.json",
        "summary.md",
        "report.html",
        "junit.xml",
    }
    assert orjson.loads((tmp_path / "run.json").read_bytes()) == passing()


def test_the_charts_are_drawn_from_the_folders_series(tmp_path: Path) -> None:
    rows = [",".join(COLUMNS), *(",".join(row.values()) for row in course(3))]
    (tmp_path / "series.csv").write_text("\n".join(rows) + "\n")
    write_reports(tmp_path, passing())
    assert '"at":[1.0,2.0,3.0]' in (tmp_path / "report.html").read_text()


def test_a_series_that_a_full_disk_cut_off_costs_the_charts_and_not_the_verdict(tmp_path: Path) -> None:
    (tmp_path / "series.csv").write_text("elapsed_s,rou")
    (tmp_path / "plan.json").write_text("{")
    write_reports(tmp_path, passing())
    assert (tmp_path / "run.json").exists()
    assert '"at":[]' in (tmp_path / "report.html").read_text()


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match=r"No such file.*ecoload report"):
        write_reports(tmp_path / "gone", passing())


def test_a_report_that_cannot_be_replaced_leaves_the_older_one_and_no_remains(tmp_path: Path) -> None:
    write_reports(tmp_path, passing())
    (tmp_path / "run.json").unlink()
    (tmp_path / "run.json").mkdir()
    with pytest.raises(OutputFailed):
        write_reports(tmp_path, failing())
    assert not list(tmp_path.glob("*.new"))
