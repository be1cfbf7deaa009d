"""The k6 scripts, really run: on the sandbox, healthy and not, and where they must refuse to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ecoload.export.k6.files import PLACE, chosen
from ecoload.export.tree import read_source, write
from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import call, faults, token
from tests.integration.k6_runs import Ran, Recorder, Running, environment_of, recorder

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / PLACE
SHORT = "0.005"
"""5 minutes are 1.5 s: k6 takes nothing below 1 s."""
THRESHOLDS, EXCEPTION, CONFIGURATION = 99, 107, 104

SHOP = """\
profiles:
  calm: {executor: constant, vus: 2, duration: 3200ms, pacing: 400ms}
  wild: {executor: per-vu-iterations, vus: 61, iterations: 1, max_duration: 5s}
apps:
  shop:
    base_url: ${SHOP_URL:-sandbox}
    environment: staging
    secrets: {SHOP_KEY: {file: key.txt}}
    auth:
      client_credentials: {token_url: shop:/token, client_id: "me:you", client_secret: {secret: SHOP_KEY}}
    routes: {home: {get: /home, effect: none, slo: {p95_ms: null, error_rate: 0}}}
"""
SCENARIO = "app: shop\nk6: shop.js\nsteps: [{route: home}]\n"
TOKEN = {"access_token": "first", "token_type": "Bearer", "expires_in": 300}

Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def start(tool: Callable[[str], Path], sandbox: Sandbox, tmp_path: Path) -> Callable[..., Running]:
    """Starts k6 on a script of the repository, on the sandbox."""

    def begin(script: str, **environment: str) -> Running:
        whole = environment_of(sandbox) | {"DURATION_SCALE": SHORT} | environment
        return Running(tool("k6"), SCRIPTS / script, tmp_path, whole)

    return begin


def test_every_script_passes_inspection(tool: Callable[[str], Path]) -> None:
    def inspected(script: Path) -> tuple[str, int, str]:
        ran = subprocess.run([str(tool("k6")), "inspect", str(script)], capture_output=True, text=True)
        return script.name, ran.returncode, ran.stderr

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(inspected, sorted(SCRIPTS.glob("*.js"))))
    assert len(found) == 13
    assert [one for one in found if one[1] != 0] == []


# --- on the sandbox ---------------------------------------------------------------------------------------


def test_a_healthy_sandbox_passes_and_counts_what_k6_counts(
    start: Callable[..., Running], sandbox: Sandbox
) -> None:
    scripts = {
        "a1": "a1_auth.js", "a2": "a2_smoke.js", "a3": "a3_orchestration.js", "a4": "a4_chat_completions.js",
        "a6": "a6_register_billing.js", "a7": "a7_pages.js", "a8": "a8_dashboard_load.js",
    }  # fmt: skip
    running = {
        app: start(script, PROFILE="smoke", ECOLOAD_RUN_ID=f"healthy-{app}")
        for app, script in scripts.items()
    }
    ran = {app: one.end() for app, one in running.items()}
    for app, one in ran.items():
        assert one.code == 0, one.said
        assert one.summary is not None
        _, truth = call(f"{sandbox.urls[app]}/__truth?run_id=healthy-{app}")
        setup = 1 if app == "a7" else 0  # the sitemap, warmed before the load
        assert one.summary["requests"] == sum(one.requests.values())
        # Of an iteration that the end interrupts k6 does not tell its request: at most one of each VU.
        assert 0 <= truth["requests"] - one.summary["requests"] - setup <= 5, app
        assert min(one.requests.values()) > 0, app


def test_a_fault_fails_the_thresholds_of_its_route(start: Callable[..., Running], sandbox: Sandbox) -> None:
    with faults(sandbox, "a2", error_rate=1.0), faults(sandbox, "a7", sitemap_cold=1.0):
        running = {"ingest": start("a2_smoke.js"), "sitemap": start("a7_pages.js", PROFILE="smoke")}
        ran = {route: one.end() for route, one in running.items()}
    for route, one in ran.items():
        assert one.code == THRESHOLDS, one.said
        assert one.summary is not None
        failed = {each["metric"] for each in one.summary["thresholds"] if not each["ok"]}
        assert f"errors{{name:{route}}}" in failed
        assert all(f"name:{route}" in metric for metric in failed)


@pytest.mark.alone
def test_the_dashboard_fails_cold_and_passes_warm(start: Callable[..., Running], sandbox: Sandbox) -> None:
    environment = {"PROFILE": "baseline", "DURATION_SCALE": "0.002"}
    cold = start("a8_dashboard_load.js", **environment).end()
    assert cold.code == THRESHOLDS, cold.said
    assert "FAIL http_req_duration{name:overview,expected_response:true} p(95)<=150" in cold.said
    warming = f"{sandbox.urls['a8']}/api/executive/overview/warm?namespace=perf_test"
    assert call(warming, headers=token(sandbox, "a8"))[0] == 200
    both = [start(script, **environment) for script in ("a8_dashboard_load.js", "a8_filter_test.js")]
    for warm in (one.end() for one in both):
        assert warm.code == 0, warm.said


# --- what setup() refuses ---------------------------------------------------------------------------------


@pytest.fixture
def target() -> Iterator[Recorder]:
    with recorder() as record:
        record.answers["/token"] = [(200, TOKEN)]
        yield record


@pytest.fixture
def shop(tool: Callable[[str], Path], tmp_path: Path, target: Recorder) -> Run:
    """Runs the script of a small workspace on the recorder; an empty variable is not set."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "targets.yaml").write_text(SHOP)
    (tmp_path / "scenarios" / "shop.yaml").write_text(SCENARIO)
    list(write(tmp_path, chosen(read_source(tmp_path / "targets.yaml", None, {}))))

    def run(*options: str, **environment: str) -> Ran:
        whole = {"SHOP_URL": target.url, "SHOP_KEY": "s3 cr/t", **environment}
        whole = {name: value for name, value in whole.items() if value}
        return Running(tool("k6"), tmp_path / "shop.js", tmp_path, whole, *options).end()

    return run


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SHOP_URL": ""}, "set SHOP_URL"),
        ({"SHOP_KEY": ""}, "set SHOP_KEY"),
        ({"SHOP_URL": "http://127.0.0.2:8080"}, "SHOP_URL: targets.yaml names no 127.0.0.2"),
        ({"SHOP_URL": "http://127.0.0.1@127.0.0.2/"}, "SHOP_URL: expected an address"),
        ({"PROFILE": "wild"}, "it can reach 61 VUs, and more than 60 need an approval"),
        ({"PROFILE": "wild", "ECOLOAD_APPROVED": "yes"}, "Then run it with ECOLOAD_APPROVED="),
        ({"PROFILE": "spike"}, "PROFILE: expected one of calm, wild, got spike"),
        ({"PROFILE": "toString"}, "PROFILE: expected one of calm, wild, got toString"),
        ({"DURATION_SCALE": "0"}, "DURATION_SCALE: expected a number above 0, got 0"),
        ({"DURATION_SCALE": "-1"}, "DURATION_SCALE: expected a number above 0, got -1"),
        ({"DURATION_SCALE": "half"}, "DURATION_SCALE: expected a number above 0, got half"),
    ],
)
def test_a_script_refuses_before_it_sends_anything(
    shop: Run, target: Recorder, environment: dict[str, str], said: str
) -> None:
    ran = shop(**environment)
    assert ran.code == EXCEPTION, ran.said
    assert said in ran.said
    assert "s3 cr" not in ran.said
    assert ran.summary is None
    assert target.requests == []


def test_other_vus_from_the_command_line_find_nothing_to_run(shop: Run, target: Recorder) -> None:
    ran = shop("--vus", "200", "--duration", "1s")
    assert ran.code == CONFIGURATION, ran.said
    assert target.requests == []


def test_with_its_approval_a_large_load_runs(shop: Run, target: Recorder) -> None:
    refused = shop(PROFILE="wild")
    spec_hash = refused.said.partition("ECOLOAD_APPROVED=")[2][:64]
    ran = shop(PROFILE="wild", ECOLOAD_APPROVED=spec_hash)
    assert ran.code == 0, ran.said
    assert ran.summary is not None
    assert (ran.summary["spec_hash"], ran.summary["profile"]) == (spec_hash, "wild")
    assert len(target.at("/home")) == ran.summary["requests"] == 61


# --- tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": "invalid_client"}), "shop: POST /token answered 401 (invalid_client)"),
        ((401, {"error": "s3 cr/t"}), "shop: POST /token answered 401; auth: of shop"),
        ((200, {"access_token": "a b", "token_type": "Bearer"}), "answered 200 with what is no bearer token"),
        ((200, {"token_type": "Bearer"}), "answered 200 with what is no bearer token"),
        ((200, {**TOKEN, "token_type": "mac"}), "answered 200 with what is no bearer token"),
        ((200, {**TOKEN, "expires_in": 0}), "answered 200 with what is no bearer token"),
        ((200, []), "answered 200 with what is no bearer token"),
    ],
)
def test_without_a_token_nothing_is_sent(
    shop: Run, target: Recorder, answer: tuple[int, object], said: str
) -> None:
    target.answers["/token"] = [answer]
    ran = shop()
    assert ran.code == EXCEPTION, ran.said
    assert said in ran.said
    assert "s3 cr" not in ran.said
    assert [path for path, _ in target.requests] == ["/token"]


def test_a_token_is_asked_for_as_ecoload_does_and_renewed_when_it_is_due(shop: Run, target: Recorder) -> None:
    short = {**TOKEN, "expires_in": 1}  # the next one is due after a second
    later = [(200, {**TOKEN, "access_token": f"later-{n}"}) for n in range(2)]
    target.answers["/token"] = [(200, short), (503, {}), *later]
    ran = shop(ECOLOAD_RUN_ID="renewing")
    assert ran.code == 0, ran.said
    asked = target.at("/token")
    # "me:you" and "s3 cr/t", each form-encoded, in HTTP Basic
    assert {one["authorization"] for one in asked} == {"Basic bWUlM0F5b3U6czMlMjBjciUyRnQ="}
    assert {one["x-ecoload-run"] for one in asked} == {"renewing"}
    assert len(asked) == 4  # setup's; one that failed; one of each VU
    assert "answered 503" in ran.said
    used = [one["authorization"] for one in target.at("/home")]
    assert set(used) == {"Bearer first", "Bearer later-0", "Bearer later-1"}
    assert used[-1] != "Bearer first"
    assert ran.requests == {"home": len(used)}
