"""Two tools in turn, without either: who runs when, what ends it, what each of them is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecoload.engine.interrupts import Interrupts
from ecoload.errors import GuardRefused, TokenFailed, UsageError
from ecoload.measure.cross_check import Tool, ToolRun
from ecoload.plan import (
    Breaker,
    ClientCredentials,
    Fault,
    Lineage,
    Metrics,
    Oracles,
    Origin,
    Plan,
    Probe,
    Proof,
    Resiliency,
    Station,
    Step,
)
from ecoload.protocol.cross_check import (
    CrossCheck,
    Made,
    Target,
    alike,
    conduct,
    in_turn,
    new_folder,
    prepared,
)
from ecoload.protocol.cross_check_runs import K6Script, k6_environment, k6_options
from ecoload.verdict.agreement import Agreement
from ecoload.verdict.cross_check_result import CheckStatus, CrossCheckResult
from tests.unit.cross_checks import paced, run
from tests.unit.guard_plans import A2, ingest
from tests.unit.guard_plans import plan as guarded

A, B = Tool
PLAN = paced()


class Watch:
    """A view that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begun(self, tool: Tool, number: int, rounds: int) -> None:
        self.said.append(f"{tool.value} {number}/{rounds}")

    def ended(self, one: ToolRun) -> None:
        self.said.append(f"{one.tool.value} {one.round} over")


class Stage:
    """Two tools that do what they are told, and a target that counts its visits."""

    def __init__(self, rounds: int = 2) -> None:
        self.heard, self.view, self.rounds = Interrupts(), Watch(), rounds
        self.plan, self.visits = PLAN, 0
        self.happens: dict[tuple[Tool, int], Callable[[ToolRun], Made]] = {}

    @contextmanager
    def target(self, number: int) -> Iterator[Target]:
        self.visits += 1
        yield Target(self.plan, {"KEY": "sesame"})

    def run(self, tool: Tool) -> Callable[[Target, int, Path], Made]:
        def once(target: Target, number: int, folder: Path) -> Made:
            made = run(tool, number, PLAN, folder=folder.name)
            return self.happens.get((tool, number), Made)(made)

        return once

    def conduct(self) -> CrossCheckResult:
        tools = {tool: self.run(tool) for tool in Tool}
        folder = Path("runs/20261126T014405-a2-steady-cross-check-7529")
        return conduct(
            CrossCheck(PLAN, self.rounds, folder, self.target, tools, "v1.8.1"), self.view, self.heard
        )


def test_who_was_last_in_a_round_is_first_in_the_next() -> None:
    assert [tool for _, tool in in_turn(4)] == [A, B, B, A, A, B, B, A]
    assert [number for number, _ in in_turn(3)] == [1, 1, 2, 2, 3, 3]


def test_every_round_is_made_and_judged() -> None:
    stage = Stage(rounds=3)
    found = stage.conduct()
    assert (found.status, found.verdict) == (CheckStatus.FINISHED, Agreement.AGREE), found.reasons
    assert [one.folder for one in found.runs] == [
        f"round_{number}_{tool.value}" for number, tool in in_turn(3)
    ]
    assert stage.view.said[:4] == ["ecoload 1/3", "ecoload 1 over", "k6 1/3", "k6 1 over"]
    assert stage.visits == 6, "each run has a target of its own"
    assert all(0 <= one.others_cpu_share <= 1 for one in found.runs if one.others_cpu_share is not None)


@pytest.mark.parametrize("when", [(A, 1), (B, 2)])
def test_ctrl_c_ends_it_without_a_verdict(when: tuple[Tool, int]) -> None:
    stage = Stage(rounds=4)

    def pressed(one: ToolRun) -> Made:
        stage.heard.pressed(2)
        return Made(None, "interrupted")

    stage.happens[when] = pressed
    found = stage.conduct()
    assert (found.status, found.verdict, found.exit_code) == (
        CheckStatus.INTERRUPTED,
        Agreement.INCONCLUSIVE,
        130,
    )
    assert len(found.runs) == {(A, 1): 0, (B, 2): 2}[when], "what was cut off is not among them"
    assert len(stage.view.said) == 2 * len(found.runs) + 1, "nothing begins after it"


def test_a_run_that_was_cut_short_ends_it() -> None:
    stage = Stage(rounds=4)
    stage.happens[A, 2] = lambda _: Made(None, "the run was aborted: error_rate > 0.10 for 10s")
    found = stage.conduct()
    assert (found.status, found.exit_code, len(found.runs)) == (CheckStatus.STOPPED, 5, 3)
    assert "round 2, ecoload: the run was aborted" in found.reasons[0]


def test_a_target_that_does_not_answer_is_asked_no_further() -> None:
    stage = Stage()
    stage.happens[A, 1] = lambda one: Made(one, answered=False)
    found = stage.conduct()
    assert (found.exit_code, len(found.runs)) == (6, 1)
    assert "is the target up?" in found.stop_reason


def test_a_failure_of_a_tools_own_is_handed_on() -> None:
    stage = Stage()

    def fails(one: ToolRun) -> Made:
        raise TokenFailed("there is no token for a2")

    stage.happens[B, 1] = fails
    with pytest.raises(TokenFailed):
        stage.conduct()


def test_a_target_that_is_another_by_now_is_refused() -> None:
    stage = Stage()
    stage.plan = replace(PLAN, seed=99)
    with pytest.raises(GuardRefused, match="round 1: what would be sent is not what was"):
        stage.conduct()
    assert stage.view.said == ["ecoload 1/2"]


# --- like with like -------------------------------------------------------------------------------

PROBE = Probe(0, "/x", "$.y")


def test_what_only_ecoload_would_do_beside_the_load_is_left_out() -> None:
    plan = replace(
        PLAN,
        warm_up_ns=5,
        metrics=Metrics(0, "/metrics"),
        proofs=(Proof("kept", PROBE, 0),),
        request_count=PROBE,
        spec_hash="5f",
    )
    found, notes = alike(plan)
    assert (found.warm_up_ns, found.metrics, found.proofs) == (0, None, ())
    assert (found.request_count, found.loads, found.spec_hash) == (PROBE, plan.loads, "5f")
    assert len(notes) == 2
    assert alike(found) == (found, ())


def test_a_proxy_to_this_machine_is_refused_since_k6_takes_none() -> None:
    here = tuple(replace(one, host="127.0.0.1") for one in PLAN.origins)
    with pytest.raises(UsageError, match="where k6 takes no proxy"):
        alike(replace(PLAN, origins=here, proxy="http://proxy:3128"))
    away = tuple(replace(one, host="a2.example") for one in PLAN.origins)
    alike(replace(PLAN, origins=away, proxy="http://proxy:3128"))


def test_a_fault_is_refused_since_k6_injects_none_and_no_lineage_is_followed() -> None:
    fault = Fault(Step(0, 0, "POST", "/faults"), Step(0, 0, "POST", "/faults"), 0, 1)
    watched = Resiliency(0, fault, Breaker(Probe(0, "/breaker", "$.state")), Oracles())
    with pytest.raises(UsageError, match="injects a fault beside its load, and k6 injects none"):
        alike(replace(PLAN, resiliency=watched))
    station = Station("a2", 0, "/events", "$.events", "$.id", "$.next")
    found, notes = alike(replace(PLAN, lineage=Lineage(0, "event_id", (station,))))
    assert found.lineage is None
    assert "proofs were not asked for" in notes[-1]


def test_both_tools_go_to_one_address_of_a_host() -> None:
    several = replace(A2, resolve=("192.0.2.7", "192.0.2.8"))
    found, notes = prepared(guarded(ingest(), origins=(several,)))
    assert {one.addresses for one in found.origins} == {("192.0.2.7",)}
    assert notes == ("a2.example has 2 addresses; both went to 192.0.2.7",)


def test_the_folder_has_the_plan_before_anything_is_asked(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "runs", PLAN)
    assert (folder / "plan.json").is_file()
    assert "-cross-check-" in folder.name


def test_what_the_guard_refuses_goes_to_no_tool() -> None:
    with pytest.raises(GuardRefused, match="read-only"):
        prepared(guarded(ingest(), origins=(replace(A2, writes=None, resolve=("192.0.2.7",)),)))


class TestWhatK6IsGiven:
    SCRIPT = K6Script("a2.js", "", {"a2": "A2_URL", "a1": "A1_URL"}, {"A1_CLIENT_SECRET": "CLIENT_SECRET"})
    ORIGINS = (
        Origin("a2", "https", "a2.example", 443, "/api", addresses=("192.0.2.7",)),
        Origin("a1", "http", "a1.example", 8080, addresses=("2001:db8::1",)),
    )

    def plan(self, **changes: Any) -> Plan:
        return replace(PLAN, origins=self.ORIGINS, spec_hash="5f", env=(("TENANT", "north"),), **changes)

    def environment(self, plan: Plan, **more: str) -> dict[str, str]:
        target = Target(plan, {"A1_CLIENT_SECRET": "sesame"})
        ours = {"PATH": "/bin", "K6_VUS": "9", "HTTP_PROXY": "http://other", "AWS_SECRET": "x", **more}
        return k6_environment(target, self.SCRIPT, "run-7", Path("/runs/c1/round_1_k6"), ours)

    def test_its_environment_is_what_the_script_reads_and_nothing_else(self) -> None:
        found = self.environment(self.plan())
        assert found == {
            "PATH": "/bin",
            "HOME": "/runs/c1/round_1_k6",
            "GODEBUG": "http2client=0",
            "GOGC": "400",
            "K6_NO_USAGE_REPORT": "true",
            "K6_AUTO_EXTENSION_RESOLUTION": "false",
            "PROFILE": PLAN.profile,
            "DURATION_SCALE": repr(PLAN.duration_scale),
            "ECOLOAD_APPROVED": "5f",
            "ECOLOAD_RUN_ID": "run-7",
            "ECOLOAD_SUMMARY": "/runs/c1/round_1_k6/summary.json",
            "A2_URL": "https://a2.example/api",
            "A1_URL": "http://a1.example:8080",
            "CLIENT_SECRET": "sesame",
            "TENANT": "north",
        }

    def test_a_proxy_is_the_plans(self) -> None:
        credentials = ClientCredentials(1, "/oidc/token", "ecoload", "A1_CLIENT_SECRET")
        found = self.environment(self.plan(proxy="http://proxy:3128", auth=credentials))
        assert (found["HTTP_PROXY"], found["HTTPS_PROXY"]) == ("http://proxy:3128", "http://proxy:3128")
        assert found["NO_PROXY"] == "a1.example", "ecoload asks for tokens by no proxy"

    def test_hosts_are_pinned_to_the_addresses_that_the_guard_has_checked(self) -> None:
        assert k6_options(self.plan()) == {
            "hosts": {"a2.example:443": "192.0.2.7:443", "a1.example:8080": "[2001:db8::1]:8080"}
        }

    def test_an_address_needs_no_pinning_and_a_proxy_does_its_own(self) -> None:
        literal = replace(self.ORIGINS[0], host="192.0.2.7")
        assert k6_options(replace(PLAN, origins=(literal,))) == {}
        assert k6_options(self.plan(proxy="http://proxy:3128")) == {}

    def test_a_ca_of_the_targets_own_is_handed_on(self) -> None:
        own = (replace(self.ORIGINS[0], ca_file="ca.pem"), self.ORIGINS[1])
        found = self.environment(replace(self.plan(), origins=own))
        assert found["SSL_CERT_FILE"] == "/runs/c1/round_1_k6/ca.pem"
        everywhere = self.environment(self.plan(), SSL_CERT_FILE="/etc/bundle.pem")
        assert everywhere["SSL_CERT_FILE"] == "/etc/bundle.pem", "it is where ecoload looks too"
