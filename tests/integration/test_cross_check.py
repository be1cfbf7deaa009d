"""Real k6 against ecoload on a server whose latency is known: they agree, and a flaw is found.

The server takes the same time for every request, so short runs tell; on the sandbox it takes longer ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ecoload.engine.interrupts import Interrupts
from ecoload.engine.k6 import K6, find_k6
from ecoload.measure.cross_check import Tool, ToolRun
from ecoload.plan import Plan
from ecoload.protocol.cross_check import CrossCheck, Made, Target, alike, conduct, new_folder, prepared
from ecoload.protocol.cross_check_runs import ByEcoload, ByK6, script_for, write_script
from ecoload.report.cross_check_terminal import SilentCrossCheckView
from ecoload.spec.workspace import load_workspace, make_plan
from ecoload.verdict.agreement import Agreement
from ecoload.verdict.cross_check_result import CrossCheckResult, FigureResult
from tests.integration.driving import Silent
from tests.integration.test_k6_child import is_alive, wait_for
from tests.servers.latency import Fixed, LatencyServer
from tests.servers.relay import Relay

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
LATENCY_MS, ROUNDS = 40.0, 4
SLOW_END = {"p90", "p95", "p99"}
"""What a machine that is too busy cannot tell."""
TARGETS = """\
protocol: {name: Cross-check, namespace: perf_test}
profiles:
  steady: {executor: constant, vus: 20, duration: 1200ms, pacing: 200ms, graceful_stop: 1s}
  long: {executor: constant, vus: 2, duration: 60s, pacing: 1s, graceful_stop: 1s}
  large: {executor: constant, vus: 61, duration: 2s, pacing: 1s}
apps:
  shop:
    base_url: URL
    environment: staging
    routes:
      item: {get: /items, effect: none}
"""
SCENARIO = """\
app: shop
k6: shop.js
steps:
  - route: item
    check: {status: 200, json: {$.ok: true}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LatencyServer]:
    with LatencyServer(Fixed(LATENCY_MS)) as server:
        yield server


@pytest.fixture(scope="module")
def k6(tool: Callable[[str], Path]) -> K6:
    path = tool("k6")
    return find_k6(path.parent.parent.parent, {"PATH": str(path.parent)})


@pytest.fixture(scope="module")
def workspace(server: LatencyServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    (root / "targets.yaml").write_text(TARGETS.replace("URL", server.url))
    (root / "scenarios").mkdir()
    (root / "scenarios" / "shop.yaml").write_text(SCENARIO)
    return root


@dataclass(frozen=True)
class Healthy:
    """A cross-check in which nothing is wrong, and what it was made of."""

    plan: Plan
    result: CrossCheckResult
    runs: dict[tuple[Tool, int], ToolRun]
    folder: Path


@pytest.fixture(scope="module")
def healthy(workspace: Path, k6: K6) -> Healthy:
    loaded = load_workspace(workspace / "targets.yaml", environ={})
    plan, _ = prepared(alike(make_plan(loaded, "shop", "steady"))[0])
    script, heard = script_for(loaded, plan), Interrupts()
    folder = new_folder(workspace / "runs", plan)
    write_script(folder, script, plan, workspace)
    by = {
        Tool.ECOLOAD: ByEcoload(workspace, None, Silent(), heard),
        Tool.K6: ByK6(k6, script, heard, os.environ),
    }
    check = CrossCheck(plan, ROUNDS, folder, lambda _: nullcontext(Target(plan)), by, k6.version)
    result = conduct(check, SilentCrossCheckView(), heard)
    return Healthy(plan, result, {(run.tool, run.round): run for run in result.runs}, folder)


def figures(result: CrossCheckResult) -> dict[str, FigureResult]:
    return {one.figure: one for one in result.figures if one.route in ("", "item")}


def test_two_healthy_tools_agree(healthy: Healthy) -> None:
    result = healthy.result
    found = figures(result)
    unsure = {name for name, one in found.items() if one.verdict not in (Agreement.AGREE, None)}
    assert unsure <= SLOW_END, result.reasons
    assert result.verdict is (Agreement.INCONCLUSIVE if unsure else Agreement.AGREE)
    assert found["requests"].ecoload == found["requests"].k6 == 120
    assert found["error rate"].k6 == 0
    assert found["p50"].k6 == pytest.approx(LATENCY_MS, abs=1.5)
    assert [run.tool.value for run in result.runs][:4] == ["ecoload", "k6", "k6", "ecoload"]


def test_each_run_leaves_its_files(healthy: Healthy) -> None:
    assert (healthy.folder / "workspace/tests/perf/k6/shop_steady.js").is_file()
    ours, theirs = healthy.folder / "round_1_ecoload", healthy.folder / "round_1_k6"
    assert {"run.json", "plan.json", "latency.hlog"} <= {path.name for path in ours.iterdir()}
    assert {"summary.json", "options.json", "k6.log"} <= {path.name for path in theirs.iterdir()}


def test_a_transport_that_adds_5_ms_is_found(
    healthy: Healthy, workspace: Path, server: LatencyServer
) -> None:
    """k6's runs are those of before; ours go through a relay that the server knows nothing of."""
    heard = Interrupts()
    ours = ByEcoload(workspace, None, Silent(), heard)
    port = urlsplit(server.url).port
    assert port is not None
    with Relay(port, delay_ms=5) as relay:

        def slower(target: Target, number: int, folder: Path) -> Made:
            origins = tuple(dataclasses.replace(one, port=relay.port) for one in target.plan.origins)
            return ours(dataclasses.replace(target, plan=dataclasses.replace(target.plan, origins=origins)),
                        number, folder)  # fmt: skip

        def as_before(_: Target, number: int, __: Path) -> Made:
            return Made(healthy.runs[Tool.K6, number])

        folder = new_folder(workspace / "runs", healthy.plan)
        target = Target(healthy.plan)
        by = {Tool.ECOLOAD: slower, Tool.K6: as_before}
        check = CrossCheck(healthy.plan, ROUNDS, folder, lambda _: nullcontext(target), by, "")
        result = conduct(check, SilentCrossCheckView(), heard)
    found = figures(result)
    assert result.verdict is Agreement.DISAGREE, result.reasons
    assert found["p50"].verdict is Agreement.DISAGREE
    assert found["p50"].difference == pytest.approx(-5, abs=1.5)
    assert found["requests"].verdict is Agreement.AGREE, "it costs time, not requests"
    assert "with ecoload every request takes about" in "\n".join(result.where_to_look)


# --- the command ----------------------------------------------------------------------------------


def command(workspace: Path, *arguments: str) -> subprocess.Popen[str]:
    targets = str(workspace / "targets.yaml")
    return subprocess.Popen(
        [sys.executable, "-m", "ecoload", "cross-check", "shop", "--targets", targets, "--json", *arguments],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SESAME": "opensesame"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def on_path(monkeypatch: pytest.MonkeyPatch, k6: K6) -> None:
    monkeypatch.setenv("PATH", f"{k6.path.parent}{os.pathsep}{os.environ['PATH']}")


def test_the_command_writes_json_and_the_report(
    workspace: Path, k6: K6, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(monkeypatch, k6)
    started = command(workspace, "--profile", "steady", "--rounds", "2", "--out", "short")
    out, error = started.communicate(timeout=60)
    tree: dict[str, Any] = json.loads(out)
    assert tree["schema"] == "ecoload.cross_check/1"
    assert {"AGREE": 0, "INCONCLUSIVE": 5}[tree["verdict"]] == started.returncode, error
    assert tree["verdict"] in (workspace / "tests/perf/reports/cross_check.md").read_text()
    written = json.loads((workspace / tree["folder"] / "cross_check.json").read_text())
    assert written["figures"] == tree["figures"]


def test_ctrl_c_ends_k6_and_gives_no_verdict(
    workspace: Path, k6: K6, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(monkeypatch, k6)
    started = command(workspace, "--profile", "long", "--out", "cut", "--duration-scale", "0.03")
    # The second run is k6's.
    wait_for(lambda: bool(children(workspace)), most_s=30)
    (pid,) = children(workspace)
    time.sleep(0.3)
    started.send_signal(signal.SIGINT)
    out, _ = started.communicate(timeout=30)
    tree = json.loads(out)
    assert started.returncode == 130
    assert (tree["verdict"], tree["status"], len(tree["runs"])) == ("INCONCLUSIVE", "interrupted", 1)
    assert not is_alive(pid)


def children(workspace: Path) -> list[int]:
    """The processes of k6 that run a script of this workspace."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, NotADirectoryError):
            continue
        if words[0].endswith(b"k6") and any(str(workspace).encode() in word for word in words):
            found.append(int(entry.name))
    return found


def test_without_k6_nothing_is_sent(workspace: Path, server: LatencyServer) -> None:
    server.reset()
    targets = str(workspace / "targets.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "ecoload", "cross-check", "shop", "--profile", "steady", "--targets", targets],
        cwd=workspace,
        env={"PATH": "/nowhere", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "make tools" in done.stderr
    assert len(server.truth().arrivals) == 0


def test_a_plan_that_needs_an_approval_waits_for_it(
    workspace: Path, server: LatencyServer, k6: K6, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(monkeypatch, k6)
    server.reset()
    started = command(workspace, "--profile", "large", "--out", "asked")
    _, error = started.communicate(timeout=30)
    assert started.returncode == 3
    (request,) = (workspace / "asked").glob("*-cross-check-*/approval_request.json")
    tree = json.loads(request.read_text())
    assert "cross-check, 4 runs each" in tree["title"]
    assert tree["execution_hash"] in error
    assert len(server.truth().arrivals) == 0
