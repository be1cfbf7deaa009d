"""The scenarios that ship, each against the embedded ecosystem: a healthy one answers as it should, and
what is broken in an app shows in that app's scenario."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ecoload.measure.result import ValidityStatus, Verdict
from ecoload.plan import Plan
from ecoload.run import Finished, Request, resolve_secrets, run_once
from ecoload.sandbox import APPS, Sandbox
from ecoload.spec.workspace import load_workspace, make_plan
from tests.integration.driving import Silent
from tests.integration.ecosystem import call, faults, token

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def plan_for(sandbox: Sandbox, app: str, profile: str = "smoke", scale: float = 0.006) -> Plan:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    return make_plan(
        workspace, app, profile, duration_scale=scale, base_urls=sandbox.urls, embedded=sandbox.urls
    )


def run(sandbox: Sandbox, plan: Plan, tmp_path: Path) -> Finished:
    secrets = resolve_secrets(plan, sandbox.secrets, ROOT)
    return run_once(Request(plan, ROOT, tmp_path / "runs", secrets), Silent())


def errors(finished: Finished) -> dict[str, int]:
    """The routes with errors, and how many."""
    return {route.route: route.errors for route in finished.result.routes if route.errors}


@pytest.fixture(scope="module")
def healthy(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """A run of each app, four at a time: each mostly waits."""
    folder = tmp_path_factory.mktemp("healthy")
    with ThreadPoolExecutor(4) as pool:
        runs = {app: pool.submit(run, sandbox, plan_for(sandbox, app), folder) for app in APPS}
        return {app: future.result() for app, future in runs.items()}


@pytest.mark.parametrize("app", APPS)
def test_every_scenario_runs_without_an_error(healthy: dict[str, Finished], app: str) -> None:
    finished = healthy[app]
    assert finished.result.iterations >= 5
    assert errors(finished) == {}
    assert finished.result.target_version == "1.0.0"
    assert not [reason for reason in finished.result.validity.reasons if "the target counts" in reason]


def proved(finished: Finished) -> dict[str, tuple[Verdict, object]]:
    return {proof.name: (proof.verdict, proof.found) for proof in finished.result.proofs}


def test_what_an_app_must_say_after_the_load_is_asked(sandbox: Sandbox, tmp_path: Path) -> None:
    assert proved(run(sandbox, plan_for(sandbox, "a5", scale=0.003), tmp_path)) == {
        "telemetry": (Verdict.PASS, True),
        "live_mode": (Verdict.PASS, True),
        "nothing_charged": (Verdict.PASS, 0),
    }
    assert proved(run(sandbox, plan_for(sandbox, "a3", scale=0.003), tmp_path)) == {
        "idempotency": (Verdict.PASS, 0)
    }


def test_telemetry_that_does_not_show_in_time_fails_the_run(sandbox: Sandbox, tmp_path: Path) -> None:
    plan = plan_for(sandbox, "a5", scale=0.003)
    telemetry, *others = plan.proofs
    plan = dataclasses.replace(
        plan, proofs=(dataclasses.replace(telemetry, within_ns=1_500_000_000), *others)
    )
    with faults(sandbox, "a8", stale_telemetry_s=30):
        finished = run(sandbox, plan, tmp_path)
    result = finished.result.proofs[0]
    assert (result.verdict, result.found) == (Verdict.FAIL, None)
    assert result.took_s is not None
    assert 1.5 <= result.took_s < 30
    assert finished.result.verdict is Verdict.FAIL


def test_the_overview_alone_misses_its_level(sandbox: Sandbox, tmp_path: Path) -> None:
    """A8-PERF-001, and only that: the tiles are quick."""
    finished = run(sandbox, plan_for(sandbox, "a8", "baseline", 0.005), tmp_path)
    levels = {
        route.route: level.verdict
        for route in finished.result.routes
        for level in (route.slo.levels if route.slo is not None else ())
        if level.level == "p95_ms"
    }
    assert levels.pop("overview") is Verdict.FAIL
    assert {"finance_tile", "filter_events"} <= set(levels)
    assert errors(finished) == {}
    valid = finished.result.validity.status is ValidityStatus.VALID
    assert set(levels.values()) == {Verdict.PASS if valid else Verdict.INCONCLUSIVE}, levels


def test_a_baseline_of_a8_runs_the_dashboard_and_the_filters(sandbox: Sandbox) -> None:
    plan = plan_for(sandbox, "a8", "baseline")
    assert [(load.executor.vus, plan.scenarios[load.scenario].name) for load in plan.loads] == [  # type: ignore[union-attr]
        (20, "a8"),
        (5, "a8_filters"),
    ]


def test_the_templates_are_narrowed_as_the_protocol_says(sandbox: Sandbox) -> None:
    def vus(app: str, profile: str) -> int:
        (load,) = plan_for(sandbox, app, profile).loads
        return int(load.executor.vus)  # type: ignore[union-attr]

    assert [vus(app, "baseline") for app in ("a1", "a3", "a4", "a6")] == [20, 20, 15, 10]
    assert vus("a4", "soak") == 15
    for profile in ("ramp", "spike"):
        (load,) = plan_for(sandbox, "a4", profile).loads
        assert max(stage.target for stage in load.executor.stages) <= 15  # type: ignore[union-attr]


def test_every_scenario_but_the_browsers_names_its_k6_script(sandbox: Sandbox) -> None:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    named = {name: source.scenario.k6 for name, source in workspace.scenarios.items()}
    assert named == {
        "a1": "a1_auth.js",
        "a2": "a2_{profile}.js",
        "a3": "a3_orchestration.js",
        "a4": "a4_chat_completions.js",
        "a5": None,
        "a6": "a6_register_billing.js",
        "a7": "a7_pages.js",
        "a8": "a8_dashboard_load.js",
        "a8_filters": "a8_filter_test.js",
        "a3_resiliency": None,
    }


@pytest.mark.parametrize(
    ("app", "broken", "switches", "routes"),
    [
        ("a3", "a3", {"upstream_error_rate": 1}, {"orchestration_run"}),
        ("a7", "a7", {"cta_silent": 1}, {"cta"}),
        ("a4", "a4", {"error_rate": 0.8}, {"chat_completions"}),
    ],
    ids=["A3's dependency fails", "A7 emits no event", "A4 answers 503"],
)
def test_a_fault_shows_in_the_routes_it_touches(
    sandbox: Sandbox, app: str, broken: str, switches: dict[str, float], routes: set[str], tmp_path: Path
) -> None:
    with faults(sandbox, broken, **switches):
        finished = run(sandbox, plan_for(sandbox, app), tmp_path)
    assert routes <= set(errors(finished))
    assert finished.result.verdict is not Verdict.PASS


def test_what_a_run_left_behind_can_be_cleaned_up(sandbox: Sandbox, tmp_path: Path) -> None:
    finished = run(sandbox, plan_for(sandbox, "a2"), tmp_path)
    url, run_id = sandbox.urls["a2"], finished.result.run_id
    bearer = token(sandbox, "a2")
    kept = call(f"{url}/v1/events/count?run_id={run_id}", headers=bearer)[1]["count"]
    assert kept == finished.result.requests
    _, deleted = call(f"{url}/test-data?namespace=perf_test&run_id={run_id}", headers=bearer, method="DELETE")
    assert deleted["deleted"]["events"] == kept
    assert call(f"{url}/v1/events/count?run_id={run_id}", headers=bearer)[1]["count"] == 0
