"""The protocol in `targets.yaml`: phases, known issues, waivers, and the plan that comes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecoload.errors import SpecError, UsageError
from ecoload.guard.approval import gated_phases
from ecoload.guard.peaks import peak_vus
from ecoload.plan import ConstantArrivalRate, Warm
from ecoload.plan.suite import Gate, SuitePlan
from ecoload.spec.suite_planning import ALL_APPS, make_suite
from ecoload.spec.workspace import Workspace, load_workspace

ROOT = Path(__file__).parents[2]
SECOND = 1_000_000_000

TARGETS = """\
protocol: {namespace: perf_test}
profiles:
  smoke: {executor: constant, vus: 5, duration: 5m, pacing: 1s}
  ramp: {executor: ramp, from: 10, to: 60, duration: 20m, pacing: 1s}
phases:
  - {name: health, health: {requests: 60, rate: 10}, gate: halt}
  - {name: smoke, profile: smoke, gate: halt}
  - {name: ramp, profile: ramp}
  - {name: extra, profile: smoke, apps: [a2], optional: true}
known_issues:
  - {id: X-1, app: a2, route: read, summary: slow, remedy: cache it, retest: {get: /warm, every: 4m}}
apps:
  a1:
    base_url: https://a1.example
    environment: staging
    health: [up]
    routes:
      up: {get: /up, effect: none, remedy: restart it}
  a2:
    base_url: https://a2.example
    environment: staging
    max_rps: 100
    health: [health]
    routes:
      read: {get: /read, effect: none}
      health: {get: /health, effect: none}
"""

Write = Callable[..., Workspace]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def load(targets: str = TARGETS) -> Workspace:
        (tmp_path / "scenarios").mkdir(exist_ok=True)
        (tmp_path / "targets.yaml").write_text(targets)
        for app, route in (("a1", "up"), ("a2", "read")):
            (tmp_path / "scenarios" / f"{app}.yaml").write_text(f"app: {app}\nsteps: [{{route: {route}}}]\n")
        return load_workspace(tmp_path / "targets.yaml", environ={})

    return load


def problems(write: Write, old: str, new: str) -> list[str]:
    assert old in TARGETS
    with pytest.raises(SpecError) as caught:
        write(TARGETS.replace(old, new))
    return [f"{p.line}: {p.message}" for p in caught.value.problems]


# --- what is wrong is said at its line ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("profile: ramp}", "profile: rump}", "8: phases[2].profile: unknown profile 'rump'; did you"),
        ("apps: [a2], opt", "apps: [a3], opt", "9: phases[3].apps[0]: unknown app 'a3'; expected"),
        ("name: ramp, ", "name: smoke, ", "8: phases[2].name: 'smoke' stands twice"),
        ("gate: halt}\n  - {name: smoke", "gate: stop}\n  - {name: smoke", "6: phases[0].gate: unknown word"),
        ("requests: 60", "requests: 59", "6: phases[0].health.requests: should be greater"),
        ("name: ramp, profile: ramp}", "name: ramp}", "8: phases[2]: expected one of profile:"),
        ("route: read,", "route: reed,", "11: known_issues[0].route: unknown route 'reed'; did you"),
        ("app: a2, route", "app: b2, route", "11: known_issues[0].app: unknown app 'b2'"),
        ("remedy: cache it, ", "", "11: known_issues[0].remedy: is missing: what is to be done about it"),
        ("get: /warm", "get: warm", "11: known_issues[0].retest.get: 'warm' does not fit the form"),
        ("get: /warm", "get: '/warm${data.x}'", "11: known_issues[0].retest.get:"),
        ("every: 4m", "every: 999ms", "11: known_issues[0].retest.every: expected at least 1s"),
        ("health: [up]", "health: [upp]", "16: apps.a1.health[0]: unknown route 'upp'; did you mean 'up'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(write: Write, old: str, new: str, message: str) -> None:
    assert any(found.startswith(message) for found in problems(write, old, new)), problems(write, old, new)


def test_a_waiver_says_who_why_and_until_when(write: Write) -> None:
    waiver = "waiver: {by: me, reason: because, until: 2026-12-31}, retest"
    issue = write(TARGETS.replace("retest", waiver)).targets.known_issues[0].value()
    assert issue.waiver is not None
    assert (issue.waiver.by, issue.waiver.reason, issue.waiver.until) == ("me", "because", "2026-12-31")
    for wrong in ("2026-13-01", "tomorrow", "20261231"):
        (found,) = problems(write, "retest", waiver.replace("2026-12-31", f"'{wrong}'"))
        assert "expected a day such as 2026-12-31" in found
    (found,) = problems(write, "retest", waiver.replace("reason: because, ", ""))
    assert "waiver.reason: is missing: why the protocol may go on" in found


def test_no_app_is_called_suite_or_all(write: Write) -> None:
    found = problems(write, "  a1:\n", "  suite: {base_url: https://x.example}\n  a1:\n")
    assert found == ["13: apps.suite: no app can be called 'suite'; choose another name"]


def test_no_phase_is_called_as_the_copy_in_the_folder(write: Write) -> None:
    found = problems(write, "name: ramp, ", "name: Workspace, ")
    assert found == ["8: phases[2].name: no phase can be called 'Workspace'; choose another name"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: ramp, ", "name: Smoke, ", "8: phases[2].name: 'Smoke' and 'smoke' would be the same file;"),
        ("  a2:\n", "  A1: {base_url: https://x.example}\n  a2:\n", "19: apps.A1: 'A1' and 'a1' would be"),
        ("  ramp: {", "  SMOKE: {executor: constant, vus: 1, duration: 1s}\n  ramp: {", "4: profiles.SMOKE:"),
    ],
)
def test_names_of_files_differ_by_more_than_capitals(write: Write, old: str, new: str, message: str) -> None:
    (found,) = problems(write, old, new)
    assert found.startswith(message)


def test_a_health_phase_that_would_ask_nothing_is_a_mistake(write: Write) -> None:
    bare = TARGETS.replace("    health: [up]\n", "").replace("    health: [health]\n", "")
    with pytest.raises(SpecError, match=r"phases\[0\].health: no app has health: routes, so nothing would"):
        write(bare)
    one = TARGETS.replace("    health: [up]\n", "")
    write(one)
    with pytest.raises(SpecError, match=r"phases\[0\].apps\[1\]: a1 has no health: routes to ask"):
        write(one.replace("rate: 10},", "rate: 10}, apps: [a2, a1],"))


def test_a_health_route_is_asked_without_a_token(write: Write) -> None:
    auth = (
        "    secrets: {S: {env: S}}\n"
        "    auth: {client_credentials: {token_url: a1:/t, client_id: x, client_secret: {secret: S}}}\n"
        "    max_rps: 100\n"
    )
    (found,) = problems(write, "    max_rps: 100\n", auth)
    assert found.endswith("route 'health' is asked without a token; say `auth: none` there")
    write(TARGETS.replace("    max_rps: 100\n", auth).replace("get: /health,", "get: /health, auth: none,"))


# --- the plan ----------------------------------------------------------------------------------------


def runs(suite: SuitePlan) -> list[tuple[str, list[str]]]:
    return [(phase.name, [run.app for run in phase.runs]) for phase in suite.phases]


def test_phases_and_apps_come_in_the_order_of_the_file(write: Write) -> None:
    suite = make_suite(write(), phases=("extra", "smoke", "health", "ramp"), apps=("a2", "a1"))
    assert runs(suite) == [
        ("health", [ALL_APPS]),
        ("smoke", ["a1", "a2"]),
        ("ramp", ["a1", "a2"]),
        ("extra", ["a2"]),
    ]
    assert [phase.gate for phase in suite.phases] == [Gate.HALT, Gate.HALT, Gate.NONE, Gate.NONE]


def test_the_health_phase_asks_every_health_route_at_its_rate_and_is_never_scaled(write: Write) -> None:
    plan = make_suite(write(), duration_scale=0.01).phases[0].runs[0].plan
    asked = [plan.routes[s.steps[0].route] for s in plan.scenarios]  # type: ignore[union-attr]
    assert [(route.app, route.name) for route in asked] == [("a1", "up"), ("a2", "health")]
    for load in plan.loads:
        assert isinstance(load.executor, ConstantArrivalRate)
        assert (load.executor.rate, load.executor.duration_ns) == (10.0, 6 * SECOND)
    assert [load.start_time_ns for load in plan.loads] == [0, SECOND // 20]
    assert plan.duration_scale == 1.0


def test_no_profile_touches_the_levels_of_the_health_phase(write: Write) -> None:
    loose = TARGETS.replace(
        "duration: 5m, pacing: 1s}", "duration: 5m, slo: {p95_ms: 9000, error_rate: 0.5}}"
    )
    whole = loose.replace("protocol:", "defaults: {slo: {p95_ms: 150, error_rate: 0.01}}\nprotocol:")
    plan = make_suite(write(whole)).phases[0].runs[0].plan
    levels = {(route.slo.p95_ms, route.slo.error_rate) for route in plan.routes}
    assert levels == {(150.0, 0.01)}
    assert make_suite(write(whole)).phases[1].runs[0].plan.routes[0].slo.p95_ms == 9000


def test_the_health_phase_asks_an_app_without_a_scenario_too(write: Write) -> None:
    workspace = write()
    without = dataclasses.replace(workspace, scenarios={"a2": workspace.scenarios["a2"]})
    health, smoke, *_ = make_suite(without).phases
    assert [scenario.name for scenario in health.runs[0].plan.scenarios] == ["a1_up", "a2_health"]
    assert [run.app for run in smoke.runs] == ["a2"]


def test_a_phase_that_would_run_nothing_is_no_part_of_a_whole_suite(write: Write) -> None:
    bare = dataclasses.replace(write(TARGETS.replace(", apps: [a2]", "")), scenarios={})
    with pytest.raises(UsageError, match="no app has a scenario, so smoke, ramp, extra would run nothing"):
        make_suite(bare)


def test_the_spec_hash_of_the_health_phase_is_of_what_it_asks(write: Write) -> None:
    def spec_hash(old: str, new: str) -> str:
        return make_suite(write(TARGETS.replace(old, new))).phases[0].runs[0].plan.spec_hash

    changes = [("", ""), ("rate: 10}", "rate: 11}"), ("get: /health", "get: /healthy"), ("vus: 5", "vus: 6")]
    first, *others, profile = [spec_hash(old, new) for old, new in changes]
    assert len({first, *others}) == 3
    assert profile == first


def test_the_shipped_health_phase_needs_no_approval() -> None:
    suite = make_suite(load_workspace(ROOT / "targets.yaml", environ={}))
    plan = suite.phases[0].runs[0].plan
    assert len(plan.loads) == 16
    assert peak_vus(plan) <= plan.approval_over_vus
    assert list(gated_phases(suite)) == ["spike", "resiliency"]


def test_an_app_with_a_known_issue_has_its_plan_under_the_remedy_too(write: Write) -> None:
    suite = make_suite(write())
    a1, a2 = suite.phases[1].runs
    assert a1.warmed is None
    assert a2.warmed is not None
    assert a2.warmed.warm == (Warm(1, "/warm", 240 * SECOND),)
    assert a2.warmed.execution_hash != a2.plan.execution_hash
    assert [(r.app, r.route, r.text) for r in suite.remedies] == [("a1", "up", "restart it")]


def test_the_first_health_route_of_each_app_is_watched(write: Write) -> None:
    assert [(w.app, w.probe.path) for w in make_suite(write()).watched] == [("a1", "/up"), ("a2", "/health")]


@pytest.mark.parametrize(
    ("asked", "reasons"),
    [
        ({}, ()),
        ({"phases": ("health", "smoke", "ramp")}, ()),  # what is optional may be left out
        ({"duration_scale": 0.5}, ("durations × 0.5",)),
        ({"phases": ("health",)}, ("without the phases smoke, ramp",)),
        ({"apps": ("a1",)}, ("without the apps a2",)),
    ],
)
def test_what_makes_a_rehearsal(write: Write, asked: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert make_suite(write(), **asked).rehearsal == reasons


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"phases": ("smok",)}, "unknown phase 'smok'; did you mean 'smoke'?"),
        ({"apps": ("a9",)}, "unknown app 'a9'; expected one of: a1, a2"),
        ({"phases": ("extra",), "apps": ("a1",)}, "nothing would be run"),
    ],
)
def test_what_is_not_there_cannot_be_asked_for(write: Write, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=r"unknown|nothing") as caught:
        make_suite(write(), **asked)
    assert message in str(caught.value)


def test_without_phases_there_is_no_protocol(write: Write) -> None:
    with pytest.raises(UsageError, match="no phases"):
        make_suite(write(TARGETS[: TARGETS.index("phases:")] + TARGETS[TARGETS.index("known_issues:") :]))


# --- hashes and approvals ----------------------------------------------------------------------------


def test_the_hash_covers_every_run_its_order_and_how_many_go_on_together(write: Write) -> None:
    workspace = write()
    suites = [
        make_suite(workspace),
        make_suite(workspace, seed=2),
        make_suite(workspace, parallel=2),
        make_suite(workspace, duration_scale=0.5),
        make_suite(workspace, apps=("a1",)),
        make_suite(workspace, base_urls={"a1": "https://other.example"}),
        make_suite(write(TARGETS.replace("vus: 5", "vus: 6"))),
        make_suite(write(TARGETS.replace("get: /warm", "get: /heat"))),
        make_suite(write(TARGETS.replace("gate: halt}\n  - {name: ramp", "gate: pass}\n  - {name: ramp"))),
    ]
    assert len({suite.execution_hash for suite in suites}) == len(suites)
    assert make_suite(write()).execution_hash == suites[0].execution_hash


def test_the_hash_covers_what_is_probed_and_whether_it_is_a_rehearsal(write: Write) -> None:
    plain = make_suite(write(), phases=("ramp",))
    watched = (dataclasses.replace(plain.watched[0], probe=plain.watched[1].probe), plain.watched[1])
    assert dataclasses.replace(plain, watched=watched).execution_hash != plain.execution_hash
    assert dataclasses.replace(plain, rehearsal=()).execution_hash != plain.execution_hash


@pytest.mark.parametrize("app", ["a1", "a2"])
def test_an_app_of_the_embedded_sandbox_beside_one_elsewhere_is_the_same_before_it_is_up(
    write: Write, app: str
) -> None:
    workspace = write(TARGETS.replace(f"https://{app}.example", "sandbox"))
    before = make_suite(workspace)
    up = make_suite(workspace, base_urls={app: "http://127.0.0.1:4711"}, embedded={app})
    assert before.execution_hash == up.execution_hash
    for _, run in before.runs:
        assert [origin.app for origin in run.plan.origins if origin.embedded] == [app]
    assert [watched.app for watched in before.watched] == ["a1", "a2"]


def test_runs_side_by_side_are_added_up_for_the_approval(write: Write) -> None:
    assert gated_phases(make_suite(write(), phases=("ramp",))) == {}
    together = gated_phases(make_suite(write(), phases=("ramp",), parallel=2))
    assert together == {"ramp": ("a1 and a2 together can reach 120 VUs, and more than 60 need an approval",)}


def test_a_plan_that_needs_an_approval_gates_its_phase(write: Write) -> None:
    gated = gated_phases(make_suite(write(TARGETS.replace("to: 60", "to: 61"))))
    assert list(gated) == ["ramp"]
    assert gated["ramp"][0] == "a1: it can reach 61 VUs, and more than 60 need an approval"


def test_a_production_app_gates_every_phase_it_is_in(write: Write) -> None:
    production = TARGETS.replace("    environment: staging\n", "", 1)
    assert list(gated_phases(make_suite(write(production)))) == ["health", "smoke", "ramp"]


def test_a_host_is_production_by_its_pattern_whatever_the_app_says(write: Write) -> None:
    rails = "guardrails: {production_hosts: ['*.EXAMPLE']}\n"
    assert list(gated_phases(make_suite(write(rails + TARGETS)))) == ["health", "smoke", "ramp", "extra"]
    rails = "guardrails: {production_hosts: ['*.other']}\n"
    assert gated_phases(make_suite(write(rails + TARGETS))) == {}
