"""What a cleanup removes: the generated files, and nothing that is the user's, tracked, or behind a link."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoload.errors import OutputFailed, UsageError
from ecoload.export.removal import GENERATED, removals, remove, shown

GONE = [
    "tests/perf/config/targets.yaml",
    "tests/perf/k6/a2_burst.js",
    "tests/perf/playwright/deep/er/a5.spec.ts",
    "tests/perf/reports/a2/slo_verdict.md",
    "tests/perf/scripts/cleanup.sh",
    "tests/perf/scripts/run_suite.sh",
]
STAYS = [
    "runs/a/run.json",
    "scenarios/a2.yaml",
    "targets.yaml",
    "tests/perf/config/data.jsonl",
    "tests/perf/config/targets.yaml.mine",
    "tests/perf/notes.md",
    "tests/unit/test_x.py",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "a workspace"
    for name in (*GONE, *STAYS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


@pytest.fixture
def git(root: Path, tool: Callable[[str], Path]) -> Callable[..., None]:
    """git in the workspace, which is a repository."""
    command = tool("git")

    def run(*arguments: str) -> None:
        subprocess.run([command, *arguments], cwd=root, check=True, capture_output=True)

    run("init", "-q")
    return run


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_generated_files_go_and_everything_else_stays(root: Path) -> None:
    lines = list(remove(removals(root)))
    assert files(root) == STAYS
    assert f"removed {root}/tests/perf/scripts (2 files)" in lines
    assert f"removed {root}/tests/perf/k6 (1 file)" in lines
    assert f"removed {root}/tests/perf/config/targets.yaml" in lines
    assert not any((root / place).exists() for place in GENERATED), "no empty folders are left"


def test_what_is_shown_is_not_done(root: Path) -> None:
    before = files(root)
    said = [line.removeprefix("would remove ") for line in shown(removals(root))]
    assert files(root) == before
    done = [line.removeprefix("removed ") for line in remove(removals(root))]
    assert said == done


def test_where_nothing_was_made_nothing_is_said(tmp_path: Path) -> None:
    assert list(shown(removals(tmp_path))) == list(remove(removals(tmp_path))) == []


def test_what_git_tracks_stays_and_is_named(root: Path, git: Callable[..., None]) -> None:
    git("add", "-f", "tests/perf/k6/a2_burst.js", "tests/perf/scripts/cleanup.sh", "targets.yaml")
    lines = list(shown(removals(root)))
    assert f"stays: {root}/tests/perf/scripts/cleanup.sh (git tracks it)" in lines
    assert f"would remove {root}/tests/perf/scripts/run_suite.sh" in lines
    list(remove(removals(root)))
    assert files(root / "tests/perf/k6") == ["a2_burst.js"]
    assert files(root / "tests/perf/scripts") == ["cleanup.sh"]
    assert not (root / "tests/perf/reports").exists()


def test_a_workspace_within_a_repository_is_in_it(root: Path, git: Callable[..., None]) -> None:
    git("add", "-f", "tests/perf/k6")
    inner = root / "inner"
    (inner / "tests/perf/k6").mkdir(parents=True)
    (inner / "tests/perf/k6/mine.js").write_text("")
    (inner / "tests/perf/k6/made.js").write_text("")
    git("add", "-f", "inner/tests/perf/k6/mine.js")
    list(remove(removals(inner)))
    assert files(inner) == ["tests/perf/k6/mine.js"]


def test_another_repository_in_the_environment_changes_nothing(
    root: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    git("add", "-f", "tests/perf/k6")
    monkeypatch.setenv("GIT_DIR", str(root / "nowhere"))
    list(remove(removals(root)))
    assert (root / "tests/perf/k6/a2_burst.js").exists()


def test_where_git_cannot_be_asked_nothing_is_removed(
    root: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="git does not say what it tracks there, so nothing is removed"):
        removals(root)
    monkeypatch.undo()
    (root / ".git/HEAD").write_text("no head\n")
    with pytest.raises(UsageError, match="not a git repository"):
        removals(root)
    assert set(GONE) <= set(files(root))


def test_a_repository_of_somebodys_among_the_generated_stays(root: Path) -> None:
    (root / "tests/perf/playwright/deep/.git").mkdir()
    lines = list(remove(removals(root)))
    assert f"stays: {root}/tests/perf/playwright/deep (a git repository)" in lines
    assert (root / "tests/perf/playwright/deep/er/a5.spec.ts").exists()


def test_what_npm_installed_stays(root: Path) -> None:
    module = root / "tests/perf/playwright/node_modules/playwright/index.js"
    module.parent.mkdir(parents=True)
    module.touch()
    (removal,) = [one for one in removals(root) if one.kept]
    assert removal.kept == [f"{module.parents[1]} (installed by npm)"]
    assert list(remove([removal]))
    assert module.exists()


def test_links_are_neither_followed_nor_removed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("")
    (root / "tests/perf/reports/out").symlink_to(outside)
    (root / "tests/perf/reports/file").symlink_to(outside / "precious")
    lines = list(remove(removals(root)))
    assert files(outside) == ["precious"]
    assert (root / "tests/perf/reports/out").is_symlink()
    assert (root / "tests/perf/reports/file").is_symlink()
    assert f"stays: {root}/tests/perf/reports/out (a link)" in lines
    assert not (root / "tests/perf/reports/a2").exists()


@pytest.mark.parametrize("link", ["tests/perf/reports", "tests/perf", "tests"])
def test_a_place_behind_a_link_is_left_alone(root: Path, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    (root / link).rename(outside)
    (root / link).symlink_to(outside)
    before = files(outside)
    lines = list(remove(removals(root)))
    reports = [name for name in files(outside) if "slo_verdict" in name]
    assert len(reports) == 1
    assert any("link" in line and line.startswith("stays: ") for line in lines)
    if link != "tests/perf/reports":
        assert files(outside) == before


def test_what_is_no_plain_file_stays(root: Path) -> None:
    os.mkfifo(root / "tests/perf/k6/pipe")
    assert f"stays: {root}/tests/perf/k6/pipe (not a plain file)" in list(remove(removals(root)))
    assert (root / "tests/perf/k6/pipe").exists()


def test_what_will_not_go_is_an_error_after_the_rest_has_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def stubborn(self: Path, missing_ok: bool = False) -> None:
        if self.name == "a2_burst.js":
            raise OSError(1, "Operation not permitted")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", stubborn)
    with pytest.raises(OutputFailed, match=r"a2_burst\.js cannot be removed: Operation not permitted"):
        list(remove(removals(root)))
    assert files(root) == sorted([*STAYS, "tests/perf/k6/a2_burst.js"])
