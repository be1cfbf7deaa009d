"""`ecoload import k6-summary` and `ecoload compare`, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from ecoload.cli import main
from tests.unit.past_runs import a_run, steady
from tests.unit.schemas import problems, published

DATA = Path(__file__).parent / "data" / "k6"


def ended(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    said = capsys.readouterr()
    return int(str(caught.value.code)), said.out, said.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    a_run(root / "before", seconds=20)
    a_run(root / "after", seconds=20, seed=2)
    a_run(root / "slow", steady(60.0), seconds=20, seed=3)
    return root


@pytest.mark.parametrize(
    ("after", "code", "word"), [("after", 0, "NO DIFFERENCE"), ("slow", 99, "REGRESSION")]
)
def test_a_regression_ends_with_99_and_no_difference_with_0(
    runs: Path, capsys: pytest.CaptureFixture[str], after: str, code: int, word: str
) -> None:
    found, out, err = ended(capsys, "compare", runs / "before", runs / after)
    assert (found, err) == (code, "")
    assert word in out


def test_an_improvement_ends_with_0_and_what_cannot_be_told_with_5(
    runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = ended(capsys, "compare", runs / "slow", runs / "before", "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "IMPROVEMENT")
    other = a_run(tmp_path / "other", seconds=20)
    tree = orjson.loads((other / "run.json").read_bytes())
    (other / "run.json").write_bytes(orjson.dumps(tree | {"profile": "soak"}))
    code, out, _ = ended(capsys, "compare", runs / "before", other, "--json")
    assert (code, json.loads(out)["obstacles"]) == (5, ["another profile: burst against soak"])


def test_with_json_nothing_else_stands_on_standard_output(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ended(capsys, "compare", runs / "before", runs / "slow", "--json", "--tolerance", "500%")
    tree = json.loads(out)
    assert (code, err, tree["tolerance"]) == (0, "", 5.0)
    assert problems(published("compare.schema.json"), tree, "comparison") == []


@pytest.mark.parametrize("tolerance", ["ten", "0.1", "-5%", "10 % more"])
def test_a_tolerance_is_percent(runs: Path, capsys: pytest.CaptureFixture[str], tolerance: str) -> None:
    code, _, err = ended(capsys, "compare", runs / "before", runs / "after", f"--tolerance={tolerance}")
    assert (code, "for example 10%" in err) == (2, True)


def test_a_folder_that_is_no_run_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert ended(capsys, "compare", runs / "before", tmp_path)[0] == 2
    (tmp_path / "run.json").write_text('{"routes": "\\u001b[2J"}')
    code, _, err = ended(capsys, "compare", runs / "before", tmp_path)
    assert (code, "routes: expected a list" in err, "\x1b" in err) == (2, True, False)


@pytest.mark.parametrize("name", ["tagged.data.json", "tagged.export.json", "untagged.export.json"])
def test_a_k6_summary_becomes_a_run_that_report_and_compare_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    arguments = ("import", "k6-summary", DATA / name, "--out", tmp_path, "--app", "a2", "--json")
    code, out, _ = ended(capsys, *arguments)
    result = json.loads(out)
    folder = Path(result.pop("folder"))
    assert (code, result["app"], result["tool_version"]) == (0, "a2", "k6")
    assert problems(published("run.schema.json"), result, "run") == []
    assert json.loads((folder / "run.json").read_bytes()) == result
    assert (folder / "k6_summary.json").read_bytes() == (DATA / name).read_bytes()
    code, out, _ = ended(capsys, "report", folder)
    assert (code, "service time in ms, as k6 measures it" in out) == (0, True)
    assert "Times in ms of requests that were ok; service time" in (folder / "summary.md").read_text()
    code, out, err = ended(capsys, "compare", folder, folder, "--json")
    tree = json.loads(out)
    assert (tree["judged_on"], tree["notes"][0]) == ("service", "both are the same run"), err


def test_a_run_of_k6_stands_beside_one_of_ecoload(
    runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ours = json.loads((runs / "before" / "run.json").read_bytes())
    route = ours["routes"][0]
    times = {key: route["service_ms"][key] for key in ("p50", "p90", "p95", "p99", "max", "mean")}
    told = {key: ours[key] for key in ("app", "profile", "spec_hash", "started_at", "duration_s")}
    told |= {key: ours[key] for key in ("duration_scale", "requests", "iterations", "dropped_iterations")}
    figures = {key: route[key] for key in ("route", "requests", "errors", "error_rate", "rps")}
    made = {"schema": "ecoload.k6/1", "script": "a2_burst.js", "run_id": "", "vus_max": 5, **told}
    made |= {"checks_passed": 0, "checks_failed": 0, "thresholds": []}
    made |= {"routes": [figures | {"timeouts": 0, "service_ms": times}]}
    (tmp_path / "k6.json").write_text(json.dumps(made))
    _, out, err = ended(capsys, "import", "k6-summary", tmp_path / "k6.json", "--out", tmp_path, "--json")
    code, out, err = ended(capsys, "compare", runs / "before", json.loads(out)["folder"], "--json")
    tree = json.loads(out)
    assert (code, tree["verdict"], tree["judged_on"]) == (0, "NO_DIFFERENCE", "service"), err
    assert any("k6 does not certify" in warning for warning in tree["warnings"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--app", "../a2"), "no name of app"),
        (("--app", "a3"), "the file says a2"),
        (("--profile", ""), "the file says baseline"),
    ],
)
def test_names_that_are_none_or_contradict_the_file_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    from tests.unit.test_measure_k6_summary import OURS

    file = tmp_path / "k6.json"
    file.write_bytes(
        orjson.dumps(OURS) if "the file says" in said else (DATA / "tagged.data.json").read_bytes()
    )
    code, _, err = ended(capsys, "import", "k6-summary", file, "--out", tmp_path / "out", *arguments)
    assert (code, said in err) == (2, True), err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_summary_is_refused_with_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    assert ended(capsys, "import", "k6-summary", file)[0] == 2
    file.write_text('{"metrics": {"\\u001b[2J": 3}}')
    code, _, err = ended(capsys, "import", "k6-summary", file, "--out", tmp_path / "out")
    assert (code, str(file) in err, "\x1b" in err) == (2, True, False)


def test_a_disk_that_does_not_take_it_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    code, _, err = ended(capsys, "import", "k6-summary", DATA / "tagged.data.json", "--out", tmp_path / "out")
    assert (code, "choose another --out" in err) == (70, True)


def test_an_import_that_was_cut_off_is_no_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "k6_summary.json").write_bytes(b"{}")
    code, _, err = ended(capsys, "report", tmp_path)
    assert (code, "import k6-summary` again" in err) == (2, True)
