"""A run whose feeder holds personal data sends nothing at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.recorder import Recorder

ROOT = Path(__file__).parents[2]
TARGETS = """\
profiles: {one: {executor: per-vu-iterations, vus: 1, iterations: 1}}
apps:
  a2:
    base_url: URL
    environment: staging
    routes:
      read: {get: "/v1/events/{id}", effect: none}
"""
SCENARIO = """\
app: a2
feeder: events
steps: [{route: read, path: {id: "${data.id}"}}]
"""
CLEAN = '{"feeder": "events", "id": "e-1", "contact": {"email": "ada@example.com"}}\n'
DIRTY = '{"feeder": "events", "id": "e-2", "contact": {"email": "ada@gmail.com"}}\n'


def run(folder: Path, url: str, records: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`ecoload run a2` in a new workspace with these records."""
    (folder / "tests/perf/config").mkdir(parents=True)
    (folder / "tests/perf/config/data.jsonl").write_text(records)
    (folder / "scenarios").mkdir()
    (folder / "scenarios/a2.yaml").write_text(SCENARIO)
    (folder / "targets.yaml").write_text(TARGETS.replace("URL", url))
    command = [sys.executable, "-m", "ecoload", "run", "a2", "--profile", "one", "--no-progress", *options]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_run_with_personal_data_in_its_feeder_sends_nothing(tmp_path: Path, options: list[str]) -> None:
    with Recorder() as target:
        done = run(tmp_path, target.url, CLEAN + DIRTY, *options)
        assert target.connections == 0
    assert done.returncode == 2
    assert "tests/perf/config/data.jsonl:2: contact.email: holds an e-mail address" in done.stderr
    assert "ada@gmail.com" not in done.stdout + done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_with_a_safe_feeder_goes_on(tmp_path: Path) -> None:
    with Recorder() as target:
        done = run(tmp_path, target.url, CLEAN)
        assert target.paths() == ["/v1/events/e-1"]
    assert done.returncode != 2, done.stderr
