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
from ecoload.measure.cross_check import Tool, Witness, of_k6
from ecoload.measure.k6_summary import read_summary
from ecoload.measure.plan_file import read_plan
from ecoload.protocol.cross_check import CrossCheck, Made, Target, alike, conduct, new_folder, prepared
from ecoload.protocol.cross_check_runs import ByEcoload, ByK6, script_for, write_script
from ecoload.report.cross_check_terminal import SilentCrossCheckView
from ecoload.spec.workspace import load_workspace, make_plan
from ecoload.verdict.agreement import Agreement
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
  fragile: {executor: constant, vus: 5, duration: 30s, pacing: 200ms, abort_when: [p95 > 20ms after 1s]}
  large: {executor: constant, vus: 61, duration: 2s, pacing: 1s}
apps:
  shop:
    base_url: http://shop.test:PORT # a name that only the plan knows
    resolve: [127.0.0.1]
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
    (root / "targets.yaml").write_text(TARGETS.replace("PORT", str(urlsplit(server.url).port)))
    (root / "scenarios").mkdir()
    (root / "scenarios" / "shop.yaml").write_text(SCENARIO)
    return root


@dataclass(frozen=True)
class Done:
    """A cross-check that the command has made: how it ended, its result, its folder."""

    code: int
    tree: dict[str, Any]
    folder: Path

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        return {one["figure"]: one for one in self.tree["figures"]}


@pytest.fixture(scope="module")
def healthy(workspace: Path, k6: K6) -> Done:
    """Nothing is wrong."""
    started = command(workspace, k6, "--profile", "steady", "--rounds", str(ROUNDS))
    out, error = started.communicate(timeout=120)
    assert out, error
    tree = json.loads(out)
    return Done(started.returncode, tree, workspace / tree["folder"])


def command(workspace: Path, k6: K6 | None, *arguments: str) -> subprocess.Popen[str]:
    targets = str(workspace / "targets.yaml")
    path = os.defpath if k6 is None else f"{k6.path.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [sys.executable, "-m", "ecoload", "cross-check", "shop", "--targets", targets, "--json", *arguments],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_healthy_tools_agree(healthy: Done) -> None:
    found, tree = healthy.figures, healthy.tree
    unsure = {name for name, one in found.items() if one["verdict"] not in ("AGREE", None)}
    assert unsure <= SLOW_END, tree["reasons"]
    assert (tree["verdict"], healthy.code) == (("INCONCLUSIVE", 5) if unsure else ("AGREE", 0))
    assert found["requests"]["ecoload"] == found["requests"]["k6"] == 120
    assert found["error rate"]["k6"] == 0
    assert found["p50"]["k6"] == pytest.approx(LATENCY_MS, abs=1.5)
    assert [run["tool"] for run in tree["runs"]][:4] == ["ecoload", "k6", "k6", "ecoload"]


def test_it_leaves_what_it_rests_on(healthy: Done, workspace: Path) -> None:
    assert json.loads((healthy.folder / "cross_check.json").read_text())["figures"] == healthy.tree["figures"]
    assert healthy.tree["verdict"] in (workspace / "tests/perf/reports/cross_check.md").read_text()
    assert (healthy.folder / "workspace/tests/perf/k6/shop_steady.js").is_file()
    ours, theirs = healthy.folder / "round_1_ecoload", healthy.folder / "round_1_k6"
    assert {"run.json", "plan.json", "latency.hlog"} <= {path.name for path in ours.iterdir()}
    assert {"summary.json", "options.json", "k6.log"} <= {path.name for path in theirs.iterdir()}


def test_a_transport_that_adds_5_ms_is_found(healthy: Done, workspace: Path, server: LatencyServer) -> None:
    """k6's runs are those of before; ours go through a relay that the server knows nothing of."""
    plan, heard = read_plan(healthy.folder / "plan.json"), Interrupts()
    ours = ByEcoload(workspace, None, Silent(), heard)

    def as_before(_: Target, number: int, __: Path) -> Made:
        summary = read_summary((healthy.folder / f"round_{number}_k6" / "summary.json").read_bytes())
        return Made(of_k6(summary, number, "as before", Witness()))

    with Relay(urlsplit(server.url).port or 0, delay_ms=5) as relay:

        def slower(target: Target, number: int, folder: Path) -> Made:
            origins = tuple(dataclasses.replace(one, port=relay.port) for one in plan.origins)
            return ours(Target(dataclasses.replace(plan, origins=origins)), number, folder)

        by = {Tool.ECOLOAD: slower, Tool.K6: as_before}
        folder = new_folder(workspace / "runs", plan)
        check = CrossCheck(plan, ROUNDS, folder, lambda _: nullcontext(Target(plan)), by, "as before")
        result = conduct(check, SilentCrossCheckView(), heard)
    found = {one.figure: one for one in result.figures}
    assert (result.verdict, result.exit_code) == (Agreement.DISAGREE, 99), result.reasons
    assert found["p50"].verdict is Agreement.DISAGREE
    assert found["p50"].difference == pytest.approx(-5, abs=1.5)
    assert found["requests"].verdict is Agreement.AGREE, "it costs time, not requests"
    assert "longer" in result.where_to_look[0]


def test_a_run_of_k6_that_a_threshold_ended_is_no_round(workspace: Path, k6: K6, tmp_path: Path) -> None:
    """k6 ends with the code of any threshold that failed."""
    loaded = load_workspace(workspace / "targets.yaml", environ={})
    plan, _ = prepared(alike(make_plan(loaded, "shop", "fragile"))[0])
    script = script_for(loaded, plan, plan)
    write_script(tmp_path, script, plan, workspace)
    made = ByK6(k6, script, Interrupts(), os.environ)(Target(plan), 1, tmp_path / "round_1_k6")
    assert made.run is None
    assert "the run was aborted: " in made.cut_short
    assert "http_req_duration" in made.cut_short


def test_ctrl_c_ends_k6_and_gives_no_verdict(workspace: Path, k6: K6) -> None:
    started = command(workspace, k6, "--profile", "long", "--duration-scale", "0.03")
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
    started = command(workspace, None, "--profile", "steady")
    _, error = started.communicate(timeout=30)
    assert started.returncode == 2
    assert "make tools" in error
    assert len(server.truth().arrivals) == 0


def test_a_plan_that_needs_an_approval_waits_for_it(workspace: Path, server: LatencyServer, k6: K6) -> None:
    server.reset()
    started = command(workspace, k6, "--profile", "large", "--out", "asked")
    _, error = started.communicate(timeout=30)
    assert started.returncode == 3
    (request,) = (workspace / "asked").glob("*-cross-check-*/approval_request.json")
    tree = json.loads(request.read_text())
    assert "cross-check, 4 runs each" in tree["title"]
    assert tree["execution_hash"] in error
    assert len(server.truth().arrivals) == 0
