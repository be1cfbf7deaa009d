"""The generated scripts, really run: from anywhere, with whichever ecoload there is, with its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoload.export.artifact import Source
from ecoload.export.scripts import artifacts
from ecoload.export.tree import write
from ecoload.spec.workspace import load_workspace

Run = Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]
ROOT = Path(__file__).resolve().parents[2]
FAKE = """#!/bin/sh
printf '%s\\n' "$0" "$PWD" "$@" > "$RECORD"
exit "${ANSWER:-0}"
"""
SCRIPTS = {"run_suite.sh": "suite", "cleanup.sh": "cleanup"}
TOOLS = os.pathsep.join(dict.fromkeys(["/usr/bin", "/bin"]))
"""Where bash, dirname, cat and python3 are, and no ecoload."""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "my workspace's folder"
    source = Source(load_workspace(ROOT / "targets.yaml", environ={}))
    list(write(root, artifacts(source)))
    return root


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def fake(path: Path, text: str = FAKE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def run(workspace: Path, elsewhere: Path, tmp_path: Path) -> Run:
    """Runs a script from elsewhere; what it answered, and what the fake ecoload was called with."""
    record = tmp_path / "record"

    def call(
        script: str, *arguments: str, path: str = TOOLS, **environ: str
    ) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        record.unlink(missing_ok=True)
        done = subprocess.run(
            [workspace / "tests/perf/scripts" / script, *arguments],
            cwd=elsewhere,
            env={"PATH": path, "RECORD": str(record), "CDPATH": str(tmp_path), **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done, record.read_text().splitlines() if record.exists() else []

    return call


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_has_nothing_to_say(workspace: Path, script: str, tool: Callable[[str], Path]) -> None:
    path = workspace / "tests/perf/scripts" / script
    found = subprocess.run([tool("shellcheck"), path], capture_output=True, text=True, check=False)
    assert found.stdout + found.stderr == ""
    assert found.returncode == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_ecoload_in_the_workspace_with_all_its_arguments(
    run: Run,
    workspace: Path,
    tmp_path: Path,
    script: str,
) -> None:
    found = fake(tmp_path / "bin" / "ecoload")
    arguments = ["--apps", "a1,a 2", "--out", "", "--", "$HOME *"]
    done, called = run(script, *arguments, path=f"{found.parent}:{TOOLS}")
    assert done.returncode == 0
    assert called == [str(found), str(workspace), SCRIPTS[script], *arguments]


def test_without_arguments_none_are_passed_on(run: Run, tmp_path: Path, workspace: Path) -> None:
    found = fake(tmp_path / "bin" / "ecoload")
    done, called = run("run_suite.sh", path=f"{found.parent}:{TOOLS}")
    assert called == [str(found), str(workspace), "suite"]
    assert done.stdout == "", "standard output is ecoload's"
    assert done.stderr == f"reports: {workspace}/tests/perf/reports\n"


@pytest.mark.parametrize("code", [0, 2, 3, 4, 6, 7, 8, 70, 99, 130])
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_exit_code_is_ecoloads(
    run: Run,
    tmp_path: Path,
    script: str,
    code: int,
) -> None:
    found = fake(tmp_path / "bin" / "ecoload")
    done, _ = run(script, path=f"{found.parent}:{TOOLS}", ANSWER=str(code))
    assert done.returncode == code


def test_ecoload_is_looked_for_in_four_places_in_order(
    run: Run,
    workspace: Path,
    elsewhere: Path,
    tmp_path: Path,
) -> None:
    bare = tmp_path / "tools"  # a PATH with what the script needs, and a python3 that has no ecoload
    bare.mkdir()
    for command in ("bash", "dirname", "cat", "env"):
        (bare / command).symlink_to(
            next(p for p in map(Path, ("/usr/bin", "/bin")) if (p / command).exists()) / command
        )
    done, called = run("run_suite.sh", path=str(bare))
    assert (done.returncode, called) == (127, [])
    assert "ecoload is not here" in done.stderr

    module = fake(bare / "python3")
    done, called = run("run_suite.sh", path=str(bare))
    assert called == [str(module), str(workspace), "-m", "ecoload", "suite"]

    own = fake(workspace / ".venv/bin/ecoload")
    assert run("run_suite.sh", path=str(bare))[1][0] == str(own)

    on_path = fake(tmp_path / "bin" / "ecoload")
    assert run("run_suite.sh", path=f"{on_path.parent}:{bare}")[1][0] == str(on_path)
    # A relative PATH counts from where the script was called.
    assert run("run_suite.sh", path=f"../bin:{bare}")[1][0].endswith("/elsewhere/../bin/ecoload")

    named = fake(tmp_path / "my own" / "load")
    assert run("run_suite.sh", path=f"{on_path.parent}:{bare}", ECOLOAD=str(named))[1][0] == str(named)
    relative = run("cleanup.sh", path=str(bare), ECOLOAD="../my own/load")[1]
    assert relative[0] == f"{elsewhere}/../my own/load"
    assert relative[1] == str(workspace)

    done, called = run("cleanup.sh", path=f"{on_path.parent}:{bare}", ECOLOAD=str(tmp_path / "nowhere"))
    assert (done.returncode, called) == (127, [])
    assert "is no command" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--dry-run", "--help"]])
def test_help_is_told_without_any_ecoload(
    run: Run,
    script: str,
    arguments: list[str],
) -> None:
    done, called = run(script, *arguments, ECOLOAD="/nowhere")
    assert (done.returncode, called, done.stderr) == (0, [], "")
    assert done.stdout.startswith(f"Usage: {script} [OPTIONS]\n")
    assert f"`ecoload {SCRIPTS[script]}`" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_a_signal_reaches_ecoload(workspace: Path, tmp_path: Path) -> None:
    """A script that is told to end ends the load with it: they are one process."""
    ready = tmp_path / "ready"
    found = fake(
        tmp_path / "ecoload",
        f"#!/bin/sh\necho $$ > '{ready}.new'\nmv '{ready}.new' '{ready}'\nexec sleep 60\n",
    )
    script = subprocess.Popen(
        [workspace / "tests/perf/scripts/run_suite.sh"],
        env={"PATH": TOOLS, "ECOLOAD": str(found)},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not ready.exists():
            time.sleep(0.01)
        assert int(ready.read_text()) == script.pid
        script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=20) == -signal.SIGTERM
    finally:
        script.kill()
        script.wait()


def test_the_real_ecoload_is_found_as_a_module_and_as_a_command(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    """cleanup.sh on a workspace without any test data: the whole way, to the last generated file."""
    (workspace / "targets.yaml").write_text("apps: {a: {base_url: sandbox, environment: staging}}\n")
    fake(tmp_path / "bin" / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    options = {"path": f"{tmp_path / 'bin'}:{TOOLS}", "PYTHONPATH": str(ROOT)}
    done, _ = run("cleanup.sh", "--dry-run", **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "a: read-only, so it is not asked",
        "would remove tests/perf/scripts (2 files)",
    ]
    assert (workspace / "tests/perf/scripts/cleanup.sh").exists()
    done, _ = run("cleanup.sh", **options)
    assert done.returncode == 0, done.stderr
    assert not (workspace / "tests/perf/scripts").exists()
    assert (workspace / "targets.yaml").exists()
