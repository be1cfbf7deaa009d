"""Every event of a burst, followed through A2 to A8: whole when all is well, named when something is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import call, faults

ROOT = Path(__file__).resolve().parents[2]
DATA = Path("tests/perf/config/data.jsonl")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("a1", "a2", "a8"), seed=1) as started:
        yield started


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The shipped ecosystem with a burst of 3 s; A8 has 2 s to show an event."""
    tree = yaml.safe_load((ROOT / "targets.yaml").read_text())
    tree["profiles"]["burst"] |= {"duration": "3s", "rate": 100}
    tree["apps"]["a2"] |= {"abort_when": [], "max_rps": 10_000}
    tree["apps"]["a2"]["lineage"]["stations"]["a8"]["within"] = "2s"
    (tmp_path / "targets.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    (tmp_path / DATA).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / DATA, tmp_path / DATA)
    return tmp_path


def start(sandbox: Sandbox, workspace: Path, *arguments: str) -> subprocess.Popen[str]:
    environ = os.environ | sandbox.secrets | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "ecoload", *arguments, "--targets", str(workspace / "targets.yaml")],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, error = process.communicate(timeout=60)
    return process.returncode, out or error


def burst(sandbox: Sandbox, workspace: Path) -> subprocess.Popen[str]:
    urls = [f"--base-url={app}={url}" for app, url in sandbox.urls.items()]
    out = str(workspace / "runs")
    return start(sandbox, workspace, "run", "a2", "--profile", "burst", *urls, "--json", "--out", out)


def folder_of(workspace: Path) -> Path:
    (folder,) = (workspace / "runs").iterdir()
    return folder


def proof_in(folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((folder / "lineage_proof.json").read_text())
    return tree


def station(proof: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in proof["stations"] if one["name"] == name)
    return found


def after(seconds: float, folder: Callable[[], Path], name: str = "events.bin") -> None:
    """Waits until a run has gone on for so long."""
    deadline = time.monotonic() + 30
    while True:
        assert time.monotonic() < deadline
        try:
            if (folder() / name).stat().st_size > 1000:
                break
        except (OSError, ValueError):
            pass
        time.sleep(0.02)
    time.sleep(seconds)


def test_a_burst_comes_whole_to_both_stations_and_its_proof_holds_offline_and_against_them(
    sandbox: Sandbox, workspace: Path
) -> None:
    code, out = ended(burst(sandbox, workspace))
    result = json.loads(out)
    # On a busy machine starts are late and the measurement is in doubt; what was followed is not.
    assert (code, result["verdict"]) in ((0, "PASS"), (5, "INCONCLUSIVE")), out
    proofs = {one["name"]: one for one in result["proofs"]}
    for name in ("lineage at a2", "lineage at a8"):
        assert (proofs[name]["verdict"], proofs[name]["expected"], proofs[name]["found"]) == (
            "PASS",
            300,
            300,
        )
    folder = folder_of(workspace)
    proof = proof_in(folder)
    assert (proof["verdict"], proof["counts"]["acknowledged"], proof["whole"]) == ("PASS", 300, True)
    assert station(proof, "a8")["held"]["root"] == proof["roots"]["acknowledged"]
    assert 0 < station(proof, "a8")["held"]["lag_ms"]["p95"] < 2000
    file = str(folder / "lineage_proof.json")
    against = [f"--against={app}={url}" for app, url in sandbox.urls.items()]
    assert ended(start(sandbox, workspace, "lineage", "verify", file))[0] == 0
    code, said = ended(start(sandbox, workspace, "lineage", "verify", file, *against))
    assert (code, "its stations hold the same still" in said) == (0, True), said
    # Somebody deletes the run's data: the proof still holds, and the stations no longer do.
    headers = {"Authorization": f"Bearer {token(sandbox)}"}
    url = f"{sandbox.urls['a2']}/test-data?namespace=perf_test&run_id={result['run_id']}"
    assert call(url, headers=headers, method="DELETE")[0] == 200
    assert ended(start(sandbox, workspace, "lineage", "verify", file))[0] == 0
    code, said = ended(start(sandbox, workspace, "lineage", "verify", file, *against))
    assert (code, "a2: now lost: " in said) == (99, True), said


def token(sandbox: Sandbox) -> str:
    from tests.integration.ecosystem import token as header

    value: str = header(sandbox, "a2")["Authorization"].removeprefix("Bearer ")
    return value


@pytest.mark.parametrize(
    ("app", "switches", "at", "kind"),
    [
        ("a2", {"lose_events": 0.05}, "a2", "lost"),
        ("a8", {"lose_events": 0.05}, "a8", "lost"),
        ("a2", {"duplicate_events": 0.05}, "a2", "duplicated"),
        ("a8", {"duplicate_events": 0.05}, "a8", "duplicated"),
        ("a8", {"stale_telemetry_s": 3600}, "a8", "lost"),
    ],
)
def test_what_is_lost_or_doubled_is_named_at_its_station(
    sandbox: Sandbox, workspace: Path, app: str, switches: dict[str, float], at: str, kind: str
) -> None:
    with faults(sandbox, app, **switches):
        code, out = ended(burst(sandbox, workspace))
    assert code == 99, out
    proof = proof_in(folder_of(workspace))
    held = station(proof, at)["held"]
    assert station(proof, at)["verdict"] == "FAIL"
    others = [name for name in ("lost", "duplicated", "late", "never_sent") if name != kind]
    assert (len(held[kind]) > 0, [held[name] for name in others]) == (True, [[], [], []])
    first = held[kind][0] if kind == "lost" else held[kind][0][0]
    reasons = "\n".join(json.loads(out)["verdict_reasons"])
    assert f"lineage at {at}" in reasons
    assert first in reasons
    if at == "a8":
        assert station(proof, "a2")["verdict"] == "PASS"
    file = str(folder_of(workspace) / "lineage_proof.json")
    assert ended(start(sandbox, workspace, "lineage", "verify", file))[0] == 0


def test_what_nobody_sent_is_named(sandbox: Sandbox, workspace: Path) -> None:
    process = burst(sandbox, workspace)
    after(0.5, lambda: folder_of(workspace))
    run_id = folder_of(workspace).name
    event = {"event_id": "a-stranger", "namespace": "perf_test", "run_id": run_id, "kind": "click", "at": 1}
    headers = {"Authorization": f"Bearer {token(sandbox)}"}
    assert call(f"{sandbox.urls['a2']}/v1/events", event, headers)[0] == 202
    assert ended(process)[0] == 99
    proof = proof_in(folder_of(workspace))
    assert [station(proof, name)["held"]["never_sent"] for name in ("a2", "a8")] == [["a-stranger"]] * 2


def test_an_ingest_that_is_killed_in_the_middle_accounts_for_every_acknowledged_event(
    sandbox: Sandbox, workspace: Path
) -> None:
    process = burst(sandbox, workspace)
    after(0.3, lambda: folder_of(workspace))
    sandbox.kill("a2")
    time.sleep(0.3)
    sandbox.start("a2")
    code, out = ended(process)
    assert code in (5, 99), out  # its error rate tells, not its lineage
    proof = proof_in(folder_of(workspace))
    assert proof["verdict"] == "PASS", proof["stations"]
    counts = proof["counts"]
    assert counts["ack_unknown"] > 0
    assert counts["sent"] == counts["acknowledged"] + counts["rejected"] + counts["ack_unknown"]
    for name in ("a2", "a8"):
        held = station(proof, name)["held"]
        assert held["lost"] == held["never_sent"] == held["duplicated"] == []
        assert held["present"] == counts["acknowledged"] + len(held["ack_unknown"]) + len(held["rejected"])


def test_a_generator_that_is_killed_loses_no_event_and_its_last_second_is_named(
    sandbox: Sandbox, workspace: Path
) -> None:
    process = burst(sandbox, workspace)
    after(1.3, lambda: folder_of(workspace))
    listed = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(listed[0]), signal.SIGKILL)
    ended(process)
    proof = proof_in(folder_of(workspace))
    assert (proof["whole"], proof["verdict"]) == (False, "PASS"), proof["stations"]
    held = station(proof, "a2")["held"]
    assert held["lost"] == held["never_sent"] == []
    assert len(held["lost_second"]) > 0
    assert held["distinct"] == proof["counts"]["acknowledged"] + len(held["lost_second"]) + len(
        held["ack_unknown"]
    )


def test_a_run_that_was_killed_is_proved_from_its_folder(sandbox: Sandbox, workspace: Path) -> None:
    process = burst(sandbox, workspace)
    after(1.3, lambda: folder_of(workspace))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    folder = folder_of(workspace)
    assert not (folder / "lineage_proof.json").exists()
    time.sleep(1.0)  # what was on its way to A8 comes in
    code, out = ended(start(sandbox, workspace, "lineage", "prove", str(folder), "--json"))
    proof = json.loads(out)
    assert (code, proof["verdict"], proof["whole"]) == (0, "PASS", False)
    assert proof["counts"]["acknowledged"] > 50
    assert station(proof, "a2")["held"]["never_sent"] == []
    assert ended(start(sandbox, workspace, "lineage", "verify", str(folder / "lineage_proof.json")))[0] == 0
    assert ended(start(sandbox, workspace, "lineage", "verify", str(folder / "plan.json")))[0] == 2
