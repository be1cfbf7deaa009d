"""A soak of A2 on the embedded sandbox: a healthy one is not accused of drifting, a leaking one is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ecoload.measure.memory import read_memory
from ecoload.measure.result import DriftResult, ValidityStatus, Verdict
from ecoload.run import Finished, Request, resolve_secrets, run_once
from ecoload.sandbox import Sandbox
from ecoload.spec.workspace import load_workspace, make_plan
from tests.integration.driving import Silent
from tests.integration.ecosystem import faults

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
SCALE = 0.0064
"""Of an hour: 23 s."""


def soak(folder: Path, **switched_on: float) -> Finished:
    """A soak of A2, on a sandbox of its own with these faults."""
    with Sandbox(("a1", "a2", "a8")) as sandbox, faults(sandbox, "a2", **switched_on):
        workspace = load_workspace(ROOT / "targets.yaml", environ={})
        plan = make_plan(
            workspace, "a2", "soak", duration_scale=SCALE, base_urls=sandbox.urls, embedded=sandbox.urls
        )
        secrets = resolve_secrets(plan, sandbox.secrets, ROOT)
        return run_once(Request(plan, ROOT, folder / "runs", secrets), Silent())


@pytest.fixture(scope="module")
def soaks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """A healthy soak and a leaking one, side by side: each mostly waits."""
    leaks = {"leak_latency_ms_per_min": 300, "leak_memory_mb_per_min": 240}
    with ThreadPoolExecutor() as pool:
        healthy = pool.submit(soak, tmp_path_factory.mktemp("healthy"))
        leaking = pool.submit(soak, tmp_path_factory.mktemp("leaking"), **leaks)
        return {"healthy": healthy.result(), "leaking": leaking.result()}


def drift(finished: Finished) -> dict[tuple[str, str], DriftResult]:
    return {(one.of, one.metric): one for one in finished.result.drift}


def test_a_healthy_soak_is_not_accused(soaks: dict[str, Finished]) -> None:
    finished = soaks["healthy"]
    found = drift(finished)
    valid = finished.result.validity.status is ValidityStatus.VALID
    assert set(found) == {("ingest", "p95_ms"), ("ingest", "error_rate"), ("a2", "resident_bytes")}
    assert {one.verdict for one in found.values()} == {Verdict.PASS if valid else Verdict.INCONCLUSIVE}, found
    assert len(read_memory(finished.folder / "memory.csv")) >= 15
    for when in ("before", "after"):
        assert "process_resident_memory_bytes" in (finished.folder / f"metrics_{when}.txt").read_text()


def test_a_leak_of_latency_and_memory_fails_the_soak_by_name(soaks: dict[str, Finished]) -> None:
    finished = soaks["leaking"]
    found = drift(finished)
    assert found["ingest", "p95_ms"].verdict is Verdict.FAIL, found
    assert found["a2", "resident_bytes"].verdict is Verdict.FAIL, found
    assert found["ingest", "error_rate"].verdict is not Verdict.FAIL, found
    assert finished.result.verdict is Verdict.FAIL
    told = "\n".join(finished.result.verdict_reasons)
    assert "drift of ingest p95_ms: " in told
    assert "drift of a2 resident_bytes: " in told
