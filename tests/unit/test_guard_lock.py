"""One load run at a time on one target."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecoload.errors import GuardRefused, TargetLocked
from ecoload.guard.lock import locked
from tests.unit.guard_plans import A2, A8, LIVE, ingest, plan, tile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "locks"


def test_a_second_run_on_the_same_target_is_told_who_holds_it(folder: Path) -> None:
    with locked(plan(), "runs/one", folder):
        with (
            pytest.raises(
                TargetLocked, match=r"a2\.example:443 .* runs/one \(process \d+, since 20"
            ) as caught,
            locked(plan(), "runs/two", folder),
        ):
            raise AssertionError("two runs on one target")
        assert caught.value.exit_code == 7


def test_a_target_is_free_again_after_its_run_however_it_ended(folder: Path) -> None:
    with pytest.raises(KeyError), locked(plan(), "runs/one", folder):
        raise KeyError
    with locked(plan(), "runs/two", folder):
        (note,) = [json.loads(file.read_text()) for file in folder.iterdir()]
        assert (note["run"], note["pid"]) == ("runs/two", os.getpid())


def test_plans_that_belong_together_hold_a_shared_target_once(folder: Path) -> None:
    with locked([plan(), plan()], "runs/suite", folder):
        assert len(list(folder.iterdir())) == 1
        with pytest.raises(TargetLocked, match="runs/suite"), locked([plan()], "runs/other", folder):
            raise AssertionError("two runs on one target")


HOLDER = """
import pathlib, sys
from ecoload.guard.lock import locked
from tests.unit.guard_plans import plan
with locked(plan(), "runs/killed", pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_run_frees_its_target(folder: Path) -> None:
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TargetLocked, match=f"process {holder.pid}"), locked(plan(), "runs/two", folder):
            pass
        holder.kill()
        holder.wait()
        with locked(plan(), "runs/two", folder):
            pass


def test_runs_on_different_targets_do_not_meet(folder: Path) -> None:
    with locked(plan(ingest()), "runs/one", folder), locked(plan(tile()), "runs/two", folder):
        assert len(list(folder.iterdir())) == 2


def test_one_port_of_a_host_is_not_the_other(folder: Path) -> None:
    other = plan(origins=(dataclasses.replace(A2, port=444), A8, LIVE))
    with locked(plan(), "runs/one", folder), locked(other, "runs/two", folder):
        pass


def test_a_target_met_halfway_frees_those_taken_before(folder: Path) -> None:
    with locked(plan(tile()), "runs/one", folder):
        with pytest.raises(TargetLocked), locked(plan(ingest(), tile()), "runs/two", folder):
            pass
        with locked(plan(ingest()), "runs/three", folder):
            pass


def test_two_apps_on_one_host_and_port_are_one_target(folder: Path) -> None:
    same = dataclasses.replace(A8, host="A2.example", port=443)
    with locked(plan(ingest(), tile(), origins=(A2, same, LIVE)), "runs/one", folder):
        assert len(list(folder.iterdir())) == 1


def test_the_embedded_sandbox_needs_no_lock(folder: Path) -> None:
    own = plan(origins=(dataclasses.replace(A2, embedded=True), A8, LIVE))
    with locked(own, "runs/one", folder), locked(own, "runs/two", folder):
        assert not folder.exists()


def test_a_holder_that_has_not_written_its_note_yet_is_a_holder(folder: Path) -> None:
    with locked(plan(), "runs/one", folder):
        (file,) = folder.iterdir()
        file.write_text("")
        with pytest.raises(TargetLocked, match="only just started"), locked(plan(), "runs/two", folder):
            pass


def test_a_folder_that_others_can_enter_or_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(GuardRefused, match="0700"), locked(plan(), "runs/one", folder):
        pass
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(own)
    with pytest.raises(GuardRefused, match="0700"), locked(plan(), "runs/one", tmp_path / "link"):
        pass
    with locked(plan(), "runs/one", own):
        pass


def test_no_place_for_the_lock_is_a_refusal(tmp_path: Path) -> None:
    with (
        pytest.raises(GuardRefused, match="no place for the lock"),
        locked(plan(), "runs/one", tmp_path / "a" / "b"),
    ):
        pass


def test_the_folder_is_the_users_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with locked(plan(), "runs/one"):
        assert (tmp_path / "ecoload").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with locked(plan(), "runs/one"):
        assert (tmp_path / f"ecoload-{os.getuid()}").is_dir()
