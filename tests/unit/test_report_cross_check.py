"""A cross-check for people, and as JSON against the schema that is published of it."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from ecoload.errors import OutputFailed
from ecoload.export.removal import GENERATED
from ecoload.measure.cross_check import RouteRun
from ecoload.plan import PerVUIterations
from ecoload.report.bundle import REPORT_FILES
from ecoload.report.cross_check import cross_check_markdown, rows, write_cross_check
from ecoload.report.cross_check_terminal import print_cross_check
from ecoload.verdict import cross_check_result
from ecoload.verdict.cross_check_result import CheckStatus, CrossCheckResult
from tests.unit.cross_checks import judged, paced, route_of, runs
from tests.unit.report_samples import BREAKOUT
from tests.unit.schemas import problems, published

SCHEMA = published("cross_check.schema.json")
PLAN = paced()


def agreeing() -> CrossCheckResult:
    seen = {"server_count": 101, "acknowledged": 100, "persisted": 100, "cpu_share": 0.2}
    return judged(PLAN, runs(PLAN, ours=seen, theirs=seen))


def disagreeing() -> CrossCheckResult:
    return judged(PLAN, runs(PLAN, ours={"add_ms": 1234.5}), notes=("a note",))


def unpaced() -> CrossCheckResult:
    plan = paced(pacing_ns=0)
    return judged(plan, runs(plan, ours={"requests": 1_234_567}, theirs={"requests": 1_234_000}))


def interrupted() -> CrossCheckResult:
    return judged(PLAN, runs(PLAN, 1)[:1], rounds=4, status=CheckStatus.INTERRUPTED, stop_reason="Ctrl-C")


def hostile() -> CrossCheckResult:
    (route, *others) = PLAN.routes
    plan = replace(PLAN, app=BREAKOUT, profile=BREAKOUT, routes=(replace(route, name=BREAKOUT), *others))
    return judged(plan, runs(plan, ours={"add_ms": 5.0, "validity_reasons": (BREAKOUT,)}), notes=(BREAKOUT,))


EVERY = [agreeing(), disagreeing(), unpaced(), interrupted(), hostile()]


def tree(result: CrossCheckResult) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(orjson.dumps(result.to_json()))
    return found


def shown(result: CrossCheckResult, width: int = 80) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
    print_cross_check(tree(result), Path("runs/c1"), Path("tests/perf/reports/cross_check.md"), console)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("result", EVERY)
def test_no_line_is_wider_than_the_terminal(result: CrossCheckResult, width: int) -> None:
    assert max(map(len, shown(result, width).splitlines())) <= width


@pytest.mark.parametrize("result", [agreeing(), disagreeing(), unpaced()])
def test_figures_are_never_cut(result: CrossCheckResult) -> None:
    text = shown(result)
    for row in rows(tree(result)):
        if row.verdict != "AGREE":
            assert f" {row.difference} " in text, row
            assert f" {row.interval} " in text, row


def test_the_verdict_comes_first_and_the_folder_last() -> None:
    lines = shown(disagreeing()).strip().splitlines()
    assert lines[0].split()[0] == "DISAGREE"
    assert lines[-1].split() == ["Folder", "runs/c1"]
    assert "1234.5 ms longer" in " ".join(" ".join(lines).split())


def test_what_is_0_in_both_and_agrees_is_left_to_the_report() -> None:
    assert "dropped" not in shown(agreeing())
    assert "| AGREE | dropped |" in cross_check_markdown(tree(agreeing()), "runs/c1")


def test_where_nothing_was_compared_nothing_is_said_of_how() -> None:
    text, said = cross_check_markdown(tree(interrupted()), "runs/c1"), shown(interrupted())
    for claim in ("HTTP/1.1", "means over the rounds", "95 % interval"):
        assert claim not in text
        assert claim not in said


def test_what_was_not_alike_is_said() -> None:
    assert "GOGC=400" in cross_check_markdown(tree(agreeing()), "runs/c1")


def test_a_rate_that_follows_from_the_latency_is_explained() -> None:
    plan = paced(PerVUIterations(10, 10), pacing_ns=0)
    result = judged(plan, runs(plan))
    assert result.counts_compared
    assert "rate by mean latency" in cross_check_markdown(tree(result), "runs/c1")


def test_the_report_says_what_was_found_and_how() -> None:
    text = cross_check_markdown(tree(disagreeing()), "runs/c1")
    assert text.startswith(f"# {PLAN.app} · {PLAN.profile}, cross-check with k6: DISAGREE\n")
    for part in ("## Where to look", "## Figures", "## Runs, in turn", "## How it was compared"):
        assert part in text
    assert "within 5 % or 1 ms" in text
    assert f"| DISAGREE | {route_of(PLAN)} P50 | ms |" in text
    assert "not paced" in cross_check_markdown(tree(unpaced()), "runs/c1")
    assert "No round was made by both tools." in cross_check_markdown(tree(interrupted()), "runs/c1")


def test_nothing_foreign_breaks_out() -> None:
    text = cross_check_markdown(tree(hostile()), BREAKOUT)
    for hostile_text in (text, shown(hostile())):
        assert "\x1b" not in hostile_text
        assert "\u202e" not in hostile_text
    assert "<script>" not in text
    assert "\n`" not in text


def test_it_is_written_to_its_folder_and_to_the_reports(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "c1"
    folder.mkdir(parents=True)
    report, copy, result = write_cross_check(tree(agreeing()), folder, tmp_path / "reports")
    assert (report, copy.name, result.name) == (
        tmp_path / "reports" / "cross_check.md",
        "cross_check.md",
        "cross_check.json",
    )
    assert report.read_text() == copy.read_text()
    assert orjson.loads(result.read_bytes())["schema"] == "ecoload.cross_check/1"
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed):
        write_cross_check(tree(agreeing()), folder, tmp_path / "file")


def test_the_bundle_and_the_cleanup_know_the_report() -> None:
    assert "cross_check.md" in REPORT_FILES
    assert "tests/perf/reports" in map(str, GENERATED)


@pytest.mark.parametrize("result", EVERY)
def test_what_is_published_fits_the_published_schema(result: CrossCheckResult) -> None:
    assert problems(SCHEMA, tree(result), "cross_check") == []


def test_the_schema_refuses_what_is_not_a_result() -> None:
    found = tree(agreeing())
    assert problems(SCHEMA, found | {"another": 1}, "cross_check")
    assert problems(SCHEMA, found | {"verdict": "PERHAPS"}, "cross_check")
    assert problems(SCHEMA, {key: value for key, value in found.items() if key != "figures"}, "cross_check")
    found["figures"][0]["interval"] = "wide"
    assert problems(SCHEMA, found, "cross_check")


def test_the_schema_names_every_key_and_no_other() -> None:
    kinds = {name: kind for name, kind in vars(cross_check_result).items() if dataclasses.is_dataclass(kind)}
    kinds["RouteRun"] = RouteRun
    assert {*SCHEMA["$defs"], "CrossCheckResult"} == set(kinds)
    for name, kind in kinds.items():
        fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        schema = SCHEMA["$defs"].get(name, SCHEMA)
        assert [key for key in schema["properties"] if key != "schema"] == fields
        assert [key for key in schema["required"] if key != "schema"] == fields
