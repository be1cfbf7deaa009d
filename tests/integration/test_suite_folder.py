"""A suite's folder comes from anywhere: whatever was written into it, nothing is sent that nobody approved,
nothing is touched outside, and what is wrong with it is said."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.approving import Place, commit, request_of
from tests.servers.recorder import Recorder

TARGETS = """
protocol: {{namespace: perf_test}}
profiles:
  once: {{executor: shared-iterations, vus: 1, iterations: 3, max_duration: 5s}}
phases:
  - {{name: first, profile: once, gate: pass}}
apps:
  one:
    base_url: {url}
    routes: {{home: {{get: /, effect: none}}}}  # no environment is stated: it is production
"""
SUITE = ("suite", "--no-progress")


@pytest.fixture(autouse=True)
def tools(tool: Callable[[str], Path]) -> None:
    tool("ssh-keygen")
    tool("git")


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture
def place(tmp_path: Path, recorder: Recorder) -> Place:
    place = Place(tmp_path, recorder.url)
    (place.workspace / "targets.yaml").write_text(TARGETS.format(url=recorder.url))
    commit(place.workspace)
    return place


def begun(place: Place) -> Path:
    """The folder of a new suite."""
    known = set(place.workspace.glob("runs/*-suite-*"))
    place.command(*SUITE)
    (folder,) = set(place.workspace.glob("runs/*-suite-*")) - known
    return folder


def approved(place: Place, *terms: str) -> Path:
    """The folder of a suite that was begun, waited for an approval, and got it."""
    folder = begun(place)
    execution_hash = request_of(place.workspace)["execution_hash"]
    done = place.command("approve", execution_hash, "--by", "bob", "--reason", "June", *terms)
    assert done.returncode == 0, done.stderr
    return folder


def resume(place: Place, folder: Path, **environ: str) -> tuple[int, str]:
    done = place.command(*SUITE, "--resume", str(folder), environ=environ)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def edited(path: Path, change: Callable[[Any], None]) -> None:
    tree = json.loads(path.read_bytes())
    change(tree)
    path.write_text(json.dumps(tree))


def wait_until(moment: str) -> None:
    time.sleep(max(0.0, (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()) + 0.01)


def other_app(place: Place, url: str, environment: str, *, deny: str = "[]") -> None:
    """Adds an app that only stands there: it has a health route, and no phase sends to it."""
    targets = place.workspace / "targets.yaml"
    app = f"base_url: '{url}', environment: {environment}, health: [up]"
    up = f"{{{app}, routes: {{up: {{get: /up, effect: none}}}}}}"
    targets.write_text(f"{targets.read_text()}  two: {up}\nguardrails: {{deny: {deny}}}\n")
    commit(place.workspace)


# --- Approvals --------------------------------------------------------------------------------------


def test_a_use_that_was_written_into_the_folder_by_hand_is_none(place: Place, recorder: Recorder) -> None:
    folder = approved(place)
    assert resume(place, folder)[0] in (0, 5)
    assert len(recorder.arrivals) == 3

    other = begun(place)
    shutil.copyfile(folder / "approval.json", other / "approval.json")
    code, err = resume(place, other)
    assert (code, "it was used by run" in err) == (7, True)
    edited(other / "approval.json", lambda tree: tree["used"].update(run=other.name))
    code, err = resume(place, other)
    assert (code, f"knows no use of it by {other.name}" in err) == (7, True), err
    assert len(recorder.arrivals) == 3


def test_an_approval_goes_with_its_folder_to_a_machine_with_another_ledger(
    place: Place, recorder: Recorder
) -> None:
    folder = approved(place)
    assert resume(place, folder)[0] in (0, 5)
    moved = place.root / "elsewhere" / folder.name
    shutil.copytree(folder, moved)
    shutil.rmtree(moved / "first")
    for _ in range(2):
        assert resume(place, moved, ECOLOAD_LEDGER=str(place.root / "another"))[0] in (0, 5)
    assert len(recorder.arrivals) == 6
    entries = (place.root / "another" / "log.jsonl").read_text().splitlines()
    assert [json.loads(entry)["kind"] for entry in entries] == ["approved", "used"]


def test_once_its_time_is_over_a_resume_needs_another_approval(place: Place, recorder: Recorder) -> None:
    folder = approved(place, "--expires", "10s")
    assert resume(place, folder)[0] in (0, 5)
    expires = json.loads((folder / "approval.json").read_bytes())["approval"]["expires_at"]
    wait_until(expires)
    shutil.rmtree(folder / "first")
    code, err = resume(place, folder)
    assert (code, "it expired at" in err) == (3, True), err
    assert len(recorder.arrivals) == 3


def test_a_suite_is_known_by_its_folder_however_that_is_named(place: Place, recorder: Recorder) -> None:
    folder = approved(place)
    assert resume(place, folder)[0] in (0, 5)
    done = place.command(*SUITE, "--resume", ".", cwd=folder)
    assert done.returncode in (0, 5), done.stderr


def test_what_a_suite_is_judged_by_is_not_changed_in_its_folder(place: Place, recorder: Recorder) -> None:
    file = approved(place) / "protocol.json"
    whole = file.read_bytes()
    for change, said in (
        ({"uptime": 0.5}, "was changed since this suite began: uptime"),
        ({"rehearsal": ["only a test"]}, "was changed since this suite began: rehearsal"),
        ({"execution_hash": "a" * 64}, "is not what this suite began with"),
    ):
        edited(file, lambda tree, change=change: tree["outline"].update(change))
        code, err = resume(place, file.parent)
        assert (code, said in err) == (7, True), err
        file.write_bytes(whole)
    assert not recorder.arrivals


# --- What is probed ---------------------------------------------------------------------------------


def test_an_approval_of_one_production_app_is_none_to_probe_another(place: Place, recorder: Recorder) -> None:
    with Recorder() as other:
        other_app(place, other.url, "production")
        folder = approved(place)
        assert resume(place, folder)[0] in (0, 5)
        assert (len(recorder.arrivals), other.paths()) == (3, [])


def test_an_availability_probe_goes_to_nothing_that_is_denied(place: Place) -> None:
    with Recorder() as other:
        other_app(place, other.url, "staging", deny='["GET /up"]')
        done = place.command(*SUITE)
        assert done.returncode == 7
        assert "health of two: GET '/up' of two is denied" in done.stderr
        assert place.command("validate").returncode == 7
        assert not other.arrivals


# --- What lies in it --------------------------------------------------------------------------------


def test_nothing_is_written_through_a_link_in_the_folder(place: Place, recorder: Recorder) -> None:
    folder, outside = approved(place), place.root / "outside"
    outside.write_text("as it was")
    for name in ("suite.json.new", "availability.csv"):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(outside)
        code, err = resume(place, folder)
        assert (code, f"{name} is a link" in err) == (2, True), err
        # Neither does an approver's command read through it.
        execution_hash = json.loads((folder / "protocol.json").read_bytes())["outline"]["execution_hash"]
        done = place.command("approve", execution_hash, "--by", "bob", "--reason", "x")
        assert (done.returncode, f"{name} is a link" in done.stderr) == (2, True)
        link.unlink()
    assert outside.read_text() == "as it was"
    assert not recorder.arrivals


def test_what_is_wrong_in_the_folder_is_said(place: Place, recorder: Recorder) -> None:
    folder = approved(place)
    for file, content in (
        ("protocol.json", "[]"),
        ("approval.json", '{"schema": "ecoload.grant/1"}'),
        ("first/one/run.json", '{"routes": 7}'),
        ("first/one/error.json", "7"),
        ("workspace/targets.yaml", "apps: ["),
    ):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else None
        path.write_text(content)
        code, err = resume(place, folder)
        assert code in (2, 7), (file, err)
        assert "internal error" not in err
        path.unlink() if before is None else path.write_bytes(before)
    assert not recorder.arrivals


def test_an_app_that_was_no_part_of_a_suite_reads_nothing_of_the_environment(place: Place) -> None:
    targets = place.workspace / "targets.yaml"
    two = "  two: {base_url: 'http://${ELSEWHERE}/', environment: staging}\n"
    targets.write_text(targets.read_text() + two)
    commit(place.workspace)
    folder = approved(place)
    # In an address it would be looked up, and so be told to a name server.
    code, err = resume(place, folder, ELSEWHERE="canary.invalid")
    assert code in (0, 5), err


def test_what_a_folder_says_does_nothing_to_the_terminal(place: Place) -> None:
    folder = approved(place)
    edited(folder / "protocol.json", lambda tree: tree["outline"].update({"\x1b]0;owned\x07\x1b[2J": 1}))
    code, err = resume(place, folder)
    assert (code, "not a protocol of this version" in err) == (2, True)
    assert not {"\x1b", "\x07"} & set(err)
