"""A suite's folder: what counts as done, where the next run goes, what is kept of one that was cut off."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ecoload.errors import OutputFailed, TargetLocked, UsageError
from ecoload.protocol.session import check_runs, earlier_score
from ecoload.protocol.suite_folder import AskedFor, SuiteFolder, runs_among
from tests.unit.suite_results import BASE_ASKED, outline, overview, phase


@pytest.fixture
def folder(tmp_path: Path) -> SuiteFolder:
    made = SuiteFolder(tmp_path / "20261125T100000-suite-1a2b")
    source = tmp_path / "targets.yaml"
    source.write_text("apps: {}\n")
    asked = AskedFor(**BASE_ASKED)
    made.begin(
        outline(phase("baseline", "a8")), asked, "2026-11-25T10:00:00.000+00:00", {"targets.yaml": source}
    )
    return made


def put(folder: SuiteFolder, name: str, tree: dict[str, Any], file: str = "run.json") -> Path:
    place = folder.path / name / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(tree))
    return place.parent


def test_what_was_asked_is_read_back_as_it_was(folder: SuiteFolder) -> None:
    assert folder.read() == (
        outline(phase("baseline", "a8")),
        AskedFor(**BASE_ASKED),
        "2026-11-25T10:00:00.000+00:00",
    )
    assert (folder.path / "workspace" / "targets.yaml").read_text() == "apps: {}\n"


def test_one_process_at_a_time_carries_a_suite_out(folder: SuiteFolder) -> None:
    told = "is being carried out by another process"
    with folder.held(), pytest.raises(TargetLocked, match=told), folder.held():
        raise AssertionError("two at once")
    with folder.held():
        pass


def test_the_score_before_goes_with_the_folder(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path / "suite")
    asked = AskedFor(**BASE_ASKED, previous=(80.0, "before.zip"))
    folder.begin(outline(phase("baseline", "a8")), asked, "2026-11-25T10:00:00.000+00:00", {})
    assert earlier_score(folder) == (80.0, "before.zip")
    folder.write("suite.json", {"readiness": {"before": 1.0, "previous": "first measurement"}})
    assert earlier_score(folder) == (80.0, "before.zip")
    # One that was given to a resume.
    folder.write("suite.json", {"readiness": {"before": 70.0, "previous": "other.zip"}})
    assert earlier_score(folder) == (70.0, "other.zip")


def test_runs_come_in_the_order_in_which_they_were_made(folder: SuiteFolder) -> None:
    names = ("a8.retest-10", "a8.retest-2.warmed", "a8", "a8.warmed", "a8.retest-2")
    for name in names:
        put(folder, f"baseline/{name}", overview("PASS"))
    found = folder.runs()["baseline", "a8"]
    assert [(run.kind, run.folder) for run in found] == [
        ("first", "baseline/a8"),
        ("warmed", "baseline/a8.warmed"),
        ("retest", "baseline/a8.retest-2"),
        ("warmed", "baseline/a8.retest-2.warmed"),
        ("retest", "baseline/a8.retest-10"),
    ]


def test_a_run_that_was_interrupted_or_has_no_result_is_still_to_do(folder: SuiteFolder) -> None:
    put(folder, "baseline/a8", overview("FAIL") | {"status": "interrupted"})
    put(folder, "baseline/a2", {}, "plan.json")
    assert folder.runs() == {}


def test_what_was_cut_off_is_kept_under_another_name(folder: SuiteFolder) -> None:
    for number in (1, 2):
        put(folder, "baseline/a8", overview("FAIL") | {"status": "interrupted"})
        assert folder.runs() == {}
        assert folder.place("baseline", "a8") == folder.path / "baseline" / "a8"
        assert not (folder.path / "baseline" / "a8").exists()
        assert (folder.path / "baseline" / f"a8.cut-off-{number}" / "run.json").exists()
    put(folder, "baseline/a8", overview("PASS"))
    assert [run.kind for run in folder.runs()["baseline", "a8"]] == ["first"]


def test_a_run_that_could_not_be_carried_out_says_why(folder: SuiteFolder) -> None:
    folder.failed(folder.place("baseline", "a8"), "no token for a8")
    (run,) = folder.runs()["baseline", "a8"]
    assert (run.result, run.error) == (None, "no token for a8")


def test_what_is_no_run_is_none() -> None:
    tree = overview("PASS")
    names = ("workspace/a8/run.json", "baseline/a8.cut-off-1/run.json", "baseline/a8/plan.json", "run.json")
    assert runs_among(dict.fromkeys(names, tree)) == {}


@pytest.mark.parametrize(
    "content", [None, "{", '{"schema": "ecoload.protocol/1"}', '{"outline": {}, "asked": {}}']
)
def test_a_folder_that_is_no_suites_is_said_to_be_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "protocol.json").write_text(content)
    with pytest.raises(UsageError, match="protocol"):
        SuiteFolder(tmp_path).read()


NASTY = (None, True, -1, 1.5, 10**30, "", "x", "9" * 400, [], {}, [None], {"a": 1})


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON document."""
    yield path
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    inner = changed(tree[path[0]], path[1:], value)
    if isinstance(tree, dict):
        return tree | {path[0]: inner}
    return [inner if index == path[0] else item for index, item in enumerate(tree)]


def test_whatever_stands_in_a_protocol_it_is_one_or_said_to_be_none(folder: SuiteFolder) -> None:
    file = folder.path / "protocol.json"
    whole = json.loads(file.read_bytes())
    refused = 0
    for path in places(whole):
        for value in NASTY:
            file.write_text(json.dumps(changed(whole, path, value)))
            try:
                read, asked, started_at = folder.read()
            except UsageError:
                refused += 1
                continue
            assert isinstance(asked.base_urls, Mapping)
            assert all(isinstance(name, str) for name in (*asked.phases, *asked.apps, *read.apps))
            assert datetime.fromisoformat(started_at).tzinfo is not None
    assert refused > 500


def test_whatever_stands_in_a_run_it_is_one_or_said_to_be_none(folder: SuiteFolder) -> None:
    whole = overview("FAIL")
    place = put(folder, "baseline/a8", whole)
    check_runs(folder)
    for path in places(whole):
        for value in NASTY:
            (place / "run.json").write_text(json.dumps(changed(whole, path, value)))
            with suppress(UsageError):
                check_runs(SuiteFolder(folder.path))
    (place / "run.json").write_text("[]")
    with pytest.raises(UsageError, match="holds no result"):
        check_runs(SuiteFolder(folder.path))


@pytest.mark.parametrize("where", ["suite.json.new", "baseline", "workspace/scenarios", "baseline/a8/x"])
@pytest.mark.parametrize("what", ["link", "lost", "pipe"])
def test_a_folder_that_leads_elsewhere_is_refused(
    folder: SuiteFolder, tmp_path: Path, where: str, what: str
) -> None:
    put(folder, "smoke/a8", overview("PASS"))
    folder.refuse_links()
    place = folder.path / where
    place.parent.mkdir(parents=True, exist_ok=True)
    if what == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path if what == "link" else tmp_path / "nowhere")
    with pytest.raises(UsageError, match=f"{place} is a link or no plain file"):
        folder.refuse_links()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="choose another --out"):
        SuiteFolder(tmp_path / "file" / "suite").begin(outline(), AskedFor(**BASE_ASKED), "", {})
