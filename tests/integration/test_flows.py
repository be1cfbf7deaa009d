"""The shipped flows on the embedded sandbox: they hold when it is well, and name what is broken when not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import faults
from tests.unit.schemas import problems, published

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = published("flow_result.schema.json")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("a1", "a2", "a5", "a6", "a8"), seed=1) as started:
        yield started


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The shipped workspace, its flows short: what is not there is not waited for a minute."""
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    shutil.copyfile(ROOT / "targets.yaml", tmp_path / "targets.yaml")
    data = Path("tests/perf/config/data.jsonl")
    (tmp_path / data).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / data, tmp_path / data)
    for path in (tmp_path / "scenarios" / "flows").iterdir():
        tree = yaml.safe_load(path.read_text().replace("within: 60s", "within: 3s"))
        tree["repeat"] = min(3, tree.get("repeat", 1))
        path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    return tmp_path


def command(sandbox: Sandbox, workspace: Path, name: str) -> tuple[list[str], dict[str, str]]:
    urls = [f"--base-url={app}={url}" for app, url in sandbox.urls.items()]
    arguments = [
        sys.executable,
        "-m",
        "ecoload",
        "flow",
        name,
        *urls,
        "--json",
        "--out",
        str(workspace / "runs"),
    ]
    arguments += ["--targets", str(workspace / "targets.yaml")]
    return arguments, os.environ | sandbox.secrets | {"PYTHONPATH": str(ROOT)}


def flow(sandbox: Sandbox, workspace: Path, name: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the result of a flow."""
    arguments, environ = command(sandbox, workspace, name)
    done = subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, result


def failed(result: dict[str, Any]) -> list[str]:
    return [proof["name"] for proof in result["proofs"] if proof["verdict"] == "FAIL"]


def reasons(result: dict[str, Any]) -> str:
    return "\n".join(result["verdict_reasons"])


@pytest.mark.parametrize("name", ["provider_funnel", "finance", "payments", "telemetry"])
def test_a_healthy_ecosystem_passes_and_leaves_its_evidence(
    sandbox: Sandbox, workspace: Path, name: str
) -> None:
    code, result = flow(sandbox, workspace, name)
    assert (code, result["verdict"], result["verdict_reasons"]) == (0, "PASS", [])
    folder = Path(result.pop("folder"))
    assert problems(SCHEMA, result, "flow") == []
    assert json.loads((folder / "flow.json").read_text()) == result
    lines = [json.loads(line) for line in (folder / "evidence.jsonl").read_text().splitlines()]
    assert len(lines) == result["passes"] * len(result["proofs"])
    for line in lines:
        assert line["outcome"] == "held"
        assert line["request"]["headers"]["X-Ecoload-Run"] == result["run_id"]
        assert len(line["response"]["sha256"]) == 64
        assert line["last_ms"]["waiting"] > 0
    for path in folder.iterdir():
        # Neither the secrets nor any token: A1's are JWTs.
        written = path.read_bytes()
        assert not any(secret.encode() in written for secret in sandbox.secrets.values()), path
        assert b"eyJ" not in written, path
    assert {path.name for path in folder.iterdir()} == {
        "evidence.jsonl", "flow.json", "plan.json", "report.html", "summary.md"
    }  # fmt: skip


def test_how_long_telemetry_takes_is_a_distribution(sandbox: Sandbox, workspace: Path) -> None:
    _, result = flow(sandbox, workspace, "telemetry")
    seen = next(proof for proof in result["proofs"] if proof["name"] == "visible in A8")["visible_ms"]
    assert seen["count"] == result["passes"]
    assert 0 < seen["p50"] <= seen["p95"] <= seen["p99"] <= seen["max"] < 3000


@pytest.mark.parametrize(
    ("name", "app", "switches", "step", "said"),
    [
        ("provider_funnel", "a2", {"lose_events": 1}, "at A2", "$.events[*].event_id is []"),
        ("provider_funnel", "a8", {"lose_events": 1}, "at A8", "$.total is 0; it must be 5"),
        ("provider_funnel", "a2", {"duplicate_events": 1}, "at A2", "$.events[*].event_id is ["),
        ("provider_funnel", "a8", {"duplicate_events": 1}, "at A8", "$.total is 10; it must be 5"),
        ("telemetry", "a8", {"stale_telemetry_s": 3600}, "visible in A8", "$.total is 0; it must be 1"),
        ("finance", "a6", {"wrong_fee": 1}, "billed at A6", "$.fee_cents is 4000; it must be 3000"),
        ("finance", "a6", {"float_rounding": 1}, "billed at A6", "$.fee_cents is 4; it must be 5"),
        ("finance", "a8", {"duplicate_events": 1}, "on A8's tile", "$.contracts is 2; it must be 1"),
    ],
)  # fmt: skip
def test_what_is_broken_fails_at_its_step_and_is_named(
    sandbox: Sandbox, workspace: Path, name: str, app: str, switches: dict[str, float], step: str, said: str
) -> None:
    with faults(sandbox, app, **switches):
        code, result = flow(sandbox, workspace, name)
    assert (code, result["verdict"], failed(result)) == (99, "FAIL", [step])
    assert said in reasons(result)


def test_float_rounding_is_found_by_the_awkward_amounts_only(sandbox: Sandbox, workspace: Path) -> None:
    with faults(sandbox, "a6", float_rounding=1):
        _, result = flow(sandbox, workspace, "finance")
    assert "case 'reference'" not in reasons(result)
    assert "case 'half a cent goes up'" in reasons(result)


def test_an_app_that_is_gone_is_named_and_ends_with_6(sandbox: Sandbox, workspace: Path) -> None:
    tree = yaml.safe_load((workspace / "targets.yaml").read_text())
    del tree["apps"]["a6"]["auth"]
    (workspace / "targets.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    arguments, environ = command(sandbox, workspace, "finance")
    gone = [
        "--base-url=a6=http://127.0.0.1:1" if one.startswith("--base-url=a6=") else one for one in arguments
    ]
    done = subprocess.run(gone, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 6, done.stderr
    assert "a6: GET /api/billing/rates failed" in done.stdout


def test_ctrl_c_ends_the_waiting_and_what_was_done_is_written(sandbox: Sandbox, workspace: Path) -> None:
    path = workspace / "scenarios" / "flows" / "telemetry.yaml"
    path.write_text(path.read_text().replace("within: 3s", "within: 60s"))
    arguments, environ = command(sandbox, workspace, "telemetry")
    with faults(sandbox, "a8", stale_telemetry_s=3600):
        process = subprocess.Popen(arguments, env=environ, stdout=subprocess.PIPE, text=True)
        evidence = None
        deadline = time.monotonic() + 20
        while not evidence or not evidence[0].read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
            evidence = list((workspace / "runs").glob("*/evidence.jsonl"))
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    result = json.loads(out)
    assert (result["status"], result["verdict"]) == ("interrupted", "INCONCLUSIVE")
    assert (Path(result["folder"]) / "flow.json").exists()
