"""The main job on the embedded sandbox: a healthy one passes, each fault fails where it should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecoload.measure.result import ValidityStatus, Verdict
from ecoload.run import Finished, Request, exit_code, resolve_secrets, run_once
from ecoload.sandbox import Sandbox
from ecoload.spec.workspace import load_workspace, make_plan
from tests.integration.driving import SECOND, Silent
from tests.integration.ecosystem import call

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("a1", "a2", "a8")) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def healthy(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run in which nothing is wrong."""
    return burst(sandbox, tmp_path_factory.mktemp("healthy"))


def burst(sandbox: Sandbox, tmp_path: Path, **faults: float) -> Finished:
    call(f"{sandbox.urls['a2']}/__faults", faults, {"X-Sandbox-Admin": sandbox.admin_token})
    plan = make_plan(
        load_workspace(ROOT / "targets.yaml", environ={}),
        "a2",
        "burst",
        duration_scale=0.02,
        base_urls=sandbox.urls,
        embedded=sandbox.urls,
    )
    assert plan.lineage is not None
    # What is lost is not waited for a minute.
    soon = tuple(replace(s, within_ns=min(s.within_ns, 2 * SECOND)) for s in plan.lineage.stations)
    plan = replace(plan, lineage=replace(plan.lineage, stations=soon))
    secrets = resolve_secrets(plan, sandbox.secrets, ROOT)
    return run_once(Request(plan, ROOT, tmp_path / "runs", secrets), Silent())


def levels(finished: Finished) -> dict[str, Verdict]:
    (ingest,) = (route for route in finished.result.routes if route.route == "ingest")
    assert ingest.slo is not None
    return {level.level: level.verdict for level in ingest.slo.levels}


def a_pass(finished: Finished) -> Verdict:
    """What a pass reads as: on a machine so busy that starts were late, it is INCONCLUSIVE."""
    valid = finished.result.validity.status is ValidityStatus.VALID
    return Verdict.PASS if valid else Verdict.INCONCLUSIVE


def test_a_healthy_sandbox_passes_and_keeps_every_event(healthy: Finished) -> None:
    result = healthy.result
    assert result.requests == result.planned.starts == 240
    assert result.dropped_iterations == 0
    assert result.persistence is not None
    assert (result.persistence.acknowledged, result.persistence.persisted, result.persistence.lost) == (
        240,
        240,
        0,
    )
    assert result.verdict is a_pass(healthy), result.verdict_reasons
    assert result.target_version
    assert exit_code(healthy) == (0 if result.verdict is Verdict.PASS else 5)


def test_the_servers_count_and_latency_agree_with_the_clients(sandbox: Sandbox, healthy: Finished) -> None:
    _, truth = call(f"{sandbox.urls['a2']}/__truth?run_id={healthy.result.run_id}")
    assert truth["requests"] == healthy.result.requests
    (route,) = truth["by_route"].values()
    own = healthy.result.routes[0].service_ms
    assert own.p50 == pytest.approx(route["latency_ms"]["p50"], rel=0.02, abs=1.5)


def test_acknowledged_events_that_are_lost_fail_the_run(sandbox: Sandbox, tmp_path: Path) -> None:
    finished = burst(sandbox, tmp_path, lose_events=0.1)
    persistence = finished.result.persistence
    assert persistence is not None
    assert persistence.verdict is Verdict.FAIL
    assert persistence.lost is not None
    assert persistence.lost > 0
    assert persistence.acknowledged == persistence.lost + (persistence.persisted or 0)
    assert levels(finished)["p95_ms"] is a_pass(finished)
    assert exit_code(finished) == 99


def test_a_slow_target_misses_its_level_and_nothing_else(sandbox: Sandbox, tmp_path: Path) -> None:
    finished = burst(sandbox, tmp_path, added_latency_ms=150)
    assert levels(finished)["p95_ms"] is Verdict.FAIL
    assert levels(finished)["error_rate"] is a_pass(finished)
    assert finished.result.persistence is not None
    assert finished.result.persistence.verdict is Verdict.PASS
    assert exit_code(finished) == 99


def test_errors_fail_the_error_rate_and_never_improve_a_percentile(sandbox: Sandbox, tmp_path: Path) -> None:
    finished = burst(sandbox, tmp_path, error_rate=0.05)
    assert levels(finished)["error_rate"] is Verdict.FAIL
    (ingest,) = (route for route in finished.result.routes if route.route == "ingest")
    assert ingest.outcomes["http_error"] == ingest.errors
    assert exit_code(finished) == 99


def command(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ecoload", *arguments],
        cwd=ROOT,
        env={**os.environ, "A2_URL": "", "A8_URL": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_prints_only_json_where_it_is_asked_to(tmp_path: Path) -> None:
    done = command(tmp_path, "run", "a2", "--profile", "burst", "--sandbox", "--duration-scale", "0.01",
                   "--out", str(tmp_path), "--json")  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    # Whether it passes is not this test's question: the machine may be too busy for that.
    assert done.returncode in (0, 5, 99)
    assert done.stderr == ""
    assert result["schema"] == "ecoload.run/1"
    written = json.loads((Path(result["folder"]) / "run.json").read_text())
    assert written == {key: value for key, value in result.items() if key != "folder"}


def test_a_plan_above_60_vus_needs_an_approval_and_sends_nothing(tmp_path: Path) -> None:
    done = command(tmp_path, "run", "a2", "--profile", "spike", "--sandbox", "--out", str(tmp_path))
    assert done.returncode == 3
    assert "100 VUs" in done.stderr
    assert "--approve-as NAME is enough" in done.stderr
    (folder,) = tmp_path.iterdir()
    assert {path.name for path in folder.iterdir()} == {"plan.json", "approval_request.json"}
    shown = command(tmp_path, "plan", "a2", "--profile", "spike", "--sandbox", "--json")
    request = json.loads((folder / "approval_request.json").read_bytes())
    assert request["execution_hash"] == json.loads(shown.stdout)["execution_hash"]


def test_an_unsigned_approval_is_enough_for_the_sandbox_and_stands_in_the_result(tmp_path: Path) -> None:
    done = command(tmp_path, "run", "a2", "--profile", "spike", "--sandbox", "--duration-scale", "0.005",
                   "--approve-as", "Robin", "--out", str(tmp_path), "--json")  # fmt: skip
    result = json.loads(done.stdout)
    assert done.returncode in (0, 5, 99), done.stderr
    assert result["vus_max"] == 100
    assert any("Robin" in note for note in result["notes"])
    kept = json.loads((Path(result["folder"]) / "approval.json").read_bytes())
    assert (kept["approval"]["by"], kept["signature"]) == ("Robin", "")


def test_a_wrong_word_names_the_nearest_right_one(tmp_path: Path) -> None:
    done = command(tmp_path, "run", "a2", "--profile", "brust", "--sandbox")
    assert done.returncode == 2
    assert "burst" in done.stderr
