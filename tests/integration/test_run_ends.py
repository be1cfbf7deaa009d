"""How runs end when they do not end well: by Ctrl-C, by kill, by a full disk, by a limit, by a condition."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecoload.errors import LimitTooLow, TargetLocked
from ecoload.guard.lock import locked
from ecoload.measure.result import Status, ValidityStatus, Verdict
from ecoload.plan import Condition, ConstantArrivalRate, ConstantVUs, OnExhausted, Probe, Proof
from ecoload.run import exit_code
from tests.integration.driving import SECOND, Silent, gets, plan_of, run
from tests.servers.latency import Fixed, LatencyServer
from tests.servers.recorder import Arrival, Recorder

pytestmark = pytest.mark.alone

TARGETS = """
protocol: {{name: Test, assigned_app: A1, mode: staging, namespace: perf_test}}
profiles:
  steady: {{executor: burst, rate: 50, duration: 60s, max_vus: 20, graceful_stop: 5s}}
apps:
  one:
    base_url: {url}
    environment: staging
    routes: {{home: {{get: /, effect: none}}}}
"""
SCENARIO = "app: one\nsteps: [{route: home}]\n"


@pytest.fixture
def server() -> Iterator[LatencyServer]:
    with LatencyServer(Fixed(20.0)) as server:
        yield server


@pytest.fixture
def workspace(tmp_path: Path, server: LatencyServer) -> Path:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "targets.yaml").write_text(TARGETS.format(url=server.url))
    (tmp_path / "scenarios" / "one.yaml").write_text(SCENARIO)
    return tmp_path


def start(workspace: Path) -> subprocess.Popen[str]:
    """`ecoload run` as a process of its own, already sending."""
    child = subprocess.Popen(
        [sys.executable, "-m", "ecoload", "run", "one", "--profile", "steady", "--json"],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: any(len(f.read_text().splitlines()) > 2 for f in workspace.glob("runs/*/series.csv")))
    return child


def wait_for(true: Any, within_s: float = 30) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def folder_of(workspace: Path) -> Path:
    (folder,) = workspace.glob("runs/*")
    return folder


def test_the_first_ctrl_c_ends_gracefully_with_everything_written(workspace: Path) -> None:
    child = start(workspace)
    os.kill(child.pid, signal.SIGINT)
    output, _ = child.communicate(timeout=20)
    assert child.returncode == 130
    result = json.loads(output)
    assert result["status"] == "interrupted"
    assert result["routes"][0]["outcomes"].keys() == {"ok"}, "nothing in flight was cut off"
    written = {path.name for path in folder_of(workspace).iterdir()}
    assert written >= {"run.json", "plan.json", "latency.hlog", "series.csv", "summary.md", "report.html"}


def test_the_second_ctrl_c_ends_at_once(workspace: Path) -> None:
    child = start(workspace)
    os.kill(child.pid, signal.SIGINT)
    os.kill(child.pid, signal.SIGINT)
    child.communicate(timeout=10)
    assert child.returncode == 130


def test_after_a_kill_at_most_the_last_second_is_lost_and_no_load_goes_on(
    workspace: Path, server: LatencyServer
) -> None:
    child = start(workspace)
    time.sleep(2)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=10)
    time.sleep(0.5)
    sent = len(server.truth().replies)
    time.sleep(0.5)
    assert len(server.truth().replies) == sent, "the generator must end with the one that measures"
    report = subprocess.run(
        [sys.executable, "-m", "ecoload", "report", str(folder_of(workspace)), "--json"],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    result = json.loads(report.stdout)
    assert result["status"] == "killed"
    assert result["verdict"] != "PASS"
    assert sent - 50 * 1.5 <= result["requests"] <= sent
    assert (folder_of(workspace) / "report.html").exists()


def test_a_lost_generator_makes_the_run_invalid_and_keeps_what_was_measured(
    tmp_path: Path, server: LatencyServer
) -> None:
    class Killer(Silent):
        def second(self, interval: Any) -> None:
            super().second(interval)
            if len(self.intervals) == 2:
                for pid in generators():
                    os.kill(pid, signal.SIGKILL)

    finished = run(plan_of(server.url, gets(["/"]), rate(100, 20)), tmp_path, Killer())
    assert finished.result.status is Status.FAILED
    assert finished.result.validity.status is ValidityStatus.INVALID
    assert finished.result.verdict is not Verdict.PASS
    assert finished.result.requests >= 150
    assert exit_code(finished) == 5


def rate(per_second: float, seconds: float) -> ConstantArrivalRate:
    return ConstantArrivalRate(per_second, int(seconds * SECOND), 20, 20, on_exhausted=OnExhausted.QUEUE)


def test_ctrl_c_while_a_proof_is_waited_for_ends_the_waiting_and_not_the_judging(tmp_path: Path) -> None:
    class Impatient(Recorder):
        """Presses Ctrl-C when it is asked for the second time."""

        def reply(self, arrival: Arrival) -> bytes | None:
            if self.paths().count("/seen") == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return super().reply(arrival)

    proof = Proof("seen", Probe(0, "/seen", "$.ok"), "never", 60 * SECOND)
    with Impatient() as server:
        finished = run(plan_of(server.url, gets(["/"]), rate(10, 1), proofs=(proof,)), tmp_path)
    (found,) = finished.result.proofs
    assert (found.verdict, found.found) == (Verdict.INCONCLUSIVE, True)
    assert "when the run was interrupted" in found.reason
    # It did not come to its end: a suite makes it again.
    assert finished.result.status is Status.INTERRUPTED
    assert exit_code(finished) == 130


def test_a_condition_that_hurts_ends_the_run(tmp_path: Path, server: LatencyServer) -> None:
    condition = Condition("p95 > 10ms for 2s", "p95", ">", 10.0, for_ns=2 * SECOND)
    finished = run(plan_of(server.url, gets(["/"]), rate(50, 30), abort_when=(condition,)), tmp_path)
    assert finished.result.status is Status.ABORTED
    assert "p95 > 10ms" in finished.result.stop_reason
    assert finished.result.verdict is Verdict.FAIL
    assert finished.result.duration_s < 10
    assert exit_code(finished) == 99


def test_a_condition_that_does_not_come_true_leaves_the_run_alone(
    tmp_path: Path, server: LatencyServer
) -> None:
    condition = Condition("p95 > 900ms for 2s", "p95", ">", 900.0, for_ns=2 * SECOND)
    finished = run(plan_of(server.url, gets(["/"]), rate(50, 3), abort_when=(condition,)), tmp_path)
    assert finished.result.status is Status.FINISHED


def test_a_disk_that_fills_up_ends_the_load_and_leaves_the_figures(
    tmp_path: Path, server: LatencyServer
) -> None:
    class Filler(Silent):
        """From the second second on, `series.csv` answers every write as a full disk does."""

        def second(self, interval: Any) -> None:
            super().second(interval)
            if len(self.intervals) == 2:
                full = os.open("/dev/full", os.O_WRONLY)
                for entry in Path("/proc/self/fd").iterdir():
                    if entry.is_symlink() and entry.readlink() == self.folder / "series.csv":
                        os.dup2(full, int(entry.name))
                os.close(full)

    finished = run(plan_of(server.url, gets(["/"]), rate(50, 20)), tmp_path, Filler())
    assert "series.csv" in finished.written_problem
    assert finished.result.requests > 0
    assert finished.result.duration_s < 10
    assert exit_code(finished) == 70


def test_too_low_a_file_limit_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Recorder() as recorder:
        plan = plan_of(recorder.url, gets(["/"]), ConstantVUs(hard + 1, SECOND), approval_over_vus=hard + 1)
        with pytest.raises(LimitTooLow, match=r"ulimit -Hn"):
            run(plan, tmp_path)
        assert not recorder.paths()
    assert LimitTooLow.exit_code == 2
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_a_second_run_on_the_same_target_is_turned_away(tmp_path: Path, server: LatencyServer) -> None:
    plan = plan_of(server.url, gets(["/"]), rate(10, 1))
    with locked(plan, "the first run"), pytest.raises(TargetLocked, match="the first run"):
        run(plan, tmp_path)
    assert run(plan, tmp_path).result.requests == 10


def test_a_generator_that_cannot_keep_up_is_not_a_verdict_on_the_target(
    tmp_path: Path, server: LatencyServer
) -> None:
    class Stopper(Silent):
        """Holds the generator still for two seconds, as a machine without a free core would."""

        def second(self, interval: Any) -> None:
            super().second(interval)
            if len(self.intervals) == 1:
                for pid in generators():
                    os.kill(pid, signal.SIGSTOP)
                time.sleep(2)
                for pid in generators():
                    os.kill(pid, signal.SIGCONT)

    finished = run(plan_of(server.url, gets(["/"]), rate(100, 5)), tmp_path, Stopper())
    assert finished.result.validity.status is not ValidityStatus.VALID
    assert finished.result.verdict is not Verdict.PASS


def generators() -> list[int]:
    own = str(os.getpid())
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if fields[1] == own and b"ecoload.engine.process" in command:
            found.append(int(stat.parent.name))
    return found
