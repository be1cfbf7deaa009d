"""The export on disk: made where missing, renewed where stale, and never over what is the user's."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ecoload.cli.commands import ecoload
from ecoload.errors import OutputFailed, UsageError
from ecoload.export import tree as tree_of_files
from ecoload.export.artifact import Artifact
from ecoload.export.records import data_file
from ecoload.export.tree import artifacts_of, not_current, read_source, write
from ecoload.spec.feeders import FILE

ROOT = Path(__file__).parents[2]
FILES = [
    "tests/perf/config/targets.yaml",
    "tests/perf/config/data.jsonl",
    "tests/perf/scripts/run_suite.sh",
    "tests/perf/scripts/cleanup.sh",
]
A = Artifact("tests/perf/k6/a.js", b"new\n")

Run = Callable[..., Result]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """What people wrote, in a folder with a blank in its name."""
    root = tmp_path / "a workspace"
    root.mkdir()
    shutil.copy(ROOT / "targets.yaml", root)
    shutil.copytree(ROOT / "scenarios", root / "scenarios")
    return root


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ecoload export` on the workspace, without the k6 scripts, which have tests of their own; what goes
    wrong is raised."""
    monkeypatch.setattr(tree_of_files, "EXPORTERS", tree_of_files.EXPORTERS[:3])
    for name in list(os.environ):
        if name.endswith("_URL"):
            monkeypatch.delenv(name)

    def invoke(*arguments: str) -> Result:
        command = ["export", "--targets", str(workspace / "targets.yaml"), *arguments]
        return CliRunner().invoke(ecoload, command, standalone_mode=False, catch_exceptions=False)

    return invoke


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def identity(path: Path) -> tuple[int, int]:
    """What changes when a file is written."""
    return path.stat().st_ino, path.stat().st_mtime_ns


# --- the command ------------------------------------------------------------------------------------------


def test_an_export_writes_the_targets_the_records_and_the_scripts(workspace: Path, run: Run) -> None:
    before = tree(workspace)
    run()
    after = tree(workspace)
    assert set(after) - set(before) == set(FILES)
    assert {name: after[name] for name in before} == before
    assert after[FILE] == data_file(1)
    for name in FILES:
        assert os.access(workspace / name, os.X_OK) == name.endswith(".sh")


def test_the_same_workspace_gives_the_same_bytes_wherever_it_is(
    workspace: Path, run: Run, tmp_path: Path
) -> None:
    run()
    run("--out", str(tmp_path / "elsewhere"))
    assert tree(tmp_path / "elsewhere") == {name: tree(workspace)[name] for name in FILES}
    assert not [name for name, content in tree(workspace).items() if str(tmp_path).encode() in content]


def test_what_is_current_is_left_as_it_is(workspace: Path, run: Run) -> None:
    run()
    before = {name: identity(workspace / name) for name in FILES}
    output = run().output
    assert [line.split()[0] for line in output.splitlines()] == ["current", "kept", "current", "current"]
    assert {name: identity(workspace / name) for name in FILES} == before


def test_a_check_says_what_is_missing_and_stale_and_writes_nothing(workspace: Path, run: Run) -> None:
    run()
    assert run("--check").return_value == 0
    (workspace / FILES[0]).unlink()
    (workspace / FILES[2]).write_text("older")
    (workspace / FILES[3]).chmod(0o644)
    before = tree(workspace)
    with pytest.raises(UsageError) as refused:
        run("--check")
    assert refused.value.exit_code == 2
    assert str(refused.value).splitlines()[1:] == [
        "tests/perf/config/targets.yaml is missing",
        "tests/perf/scripts/run_suite.sh is stale",
        "tests/perf/scripts/cleanup.sh is stale",
    ]
    assert tree(workspace) == before
    run()
    assert run("--check").return_value == 0


def test_a_change_of_what_people_wrote_makes_an_export_stale(workspace: Path, run: Run) -> None:
    run()
    file = workspace / "targets.yaml"
    file.write_text(file.read_text().replace("p95_ms: 125", "p95_ms: 124"))
    with pytest.raises(UsageError, match=r"config/targets\.yaml is stale$"):
        run("--check")


def test_records_that_are_there_stay_whatever_they_are(workspace: Path, run: Run) -> None:
    own = data_file(7) + b'{"feeder": "mine", "key": 1}\n'
    (workspace / FILE).parent.mkdir(parents=True)
    (workspace / FILE).write_bytes(own)
    run()
    assert (workspace / FILE).read_bytes() == own
    assert run("--check").return_value == 0


def test_a_workspaces_own_records_go_where_it_is_exported_to(
    workspace: Path, run: Run, tmp_path: Path
) -> None:
    own = data_file(7)
    (workspace / FILE).parent.mkdir(parents=True)
    (workspace / FILE).write_bytes(own)
    run("--out", str(tmp_path / "out"))
    assert (tmp_path / "out" / FILE).read_bytes() == own


def test_no_export_goes_over_the_file_that_it_is_made_of(workspace: Path, tmp_path: Path) -> None:
    own = workspace / "tests/perf/config/targets.yaml"
    own.parent.mkdir(parents=True)
    shutil.copy(workspace / "targets.yaml", own)
    before = tree(workspace)
    with pytest.raises(UsageError, match="never written over its own source"):
        CliRunner().invoke(
            ecoload,
            ["export", "--targets", str(own), "--out", str(workspace)],
            standalone_mode=False,
            catch_exceptions=False,
        )
    assert tree(workspace) == before


def test_a_folder_without_targets_gets_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(ecoload, ["export", "--targets", str(tmp_path / "targets.yaml")])
    assert result.exit_code != 0
    assert list(tmp_path.iterdir()) == []


def test_scripts_name_the_files_where_they_are_called_otherwise(workspace: Path) -> None:
    (workspace / "targets.yaml").rename(workspace / "it's mine.yaml")
    (workspace / "scenarios").rename(workspace / "flows")
    (workspace / FILE).parent.mkdir(parents=True)
    (workspace / FILE).write_bytes(data_file(1))
    source = read_source(workspace / "it's mine.yaml", workspace / "flows", {})
    suite = next(a for a in artifacts_of(source) if a.path.endswith("run_suite.sh")).content.decode()
    assert "suite --targets='it'\"'\"'s mine.yaml' --scenarios=flows \"$@\"" in suite


# --- writing ----------------------------------------------------------------------------------------------


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / A.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old\n")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputFailed, match=r"a\.js cannot be written: No space left"):
        list(write(tmp_path, [A]))
    assert tree(tmp_path) == {A.path: b"old\n"}


@pytest.mark.parametrize("executable", [True, False])
def test_the_mode_is_the_users_own(tmp_path: Path, executable: bool) -> None:
    before = os.umask(0o027)
    try:
        list(write(tmp_path, [Artifact("tests/perf/x", b"", executable=executable)]))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "tests/perf/x").stat().st_mode) == (0o750 if executable else 0o640)


def test_a_link_in_the_place_of_a_file_is_replaced_and_what_it_names_stays(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_bytes(A.content)
    path = tmp_path / A.path
    path.parent.mkdir(parents=True)
    path.symlink_to(own)
    assert not_current(tmp_path, [A]) == [f"{A.path} is stale"]
    own.write_bytes(b"the user's\n")
    list(write(tmp_path, [A]))
    assert own.read_bytes() == b"the user's\n"
    assert not path.is_symlink()
    assert path.read_bytes() == A.content


@pytest.mark.parametrize("link", ["tests", "tests/perf", "tests/perf/k6"])
def test_a_link_that_leads_out_of_the_workspace_is_not_taken(tmp_path: Path, link: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    with pytest.raises(UsageError, match="leads out of the workspace by a link"):
        list(write(root, [A]))
    assert tree(outside) == {}


def test_a_workspace_that_is_reached_by_a_link_is_one_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "root")
    assert list(write(tmp_path / "link", [A])) == [(A.path, "written")]
    assert (tmp_path / "root" / A.path).read_bytes() == A.content


def test_a_folder_in_the_place_of_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / A.path / "inner").mkdir(parents=True)
    with pytest.raises(OutputFailed, match="cannot be written"):
        list(write(tmp_path, [A]))
