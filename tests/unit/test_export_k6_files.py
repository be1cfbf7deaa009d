"""The scripts as files: which there are, what options choose, and that nothing is written half."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from ecoload.cli.commands import ecoload
from ecoload.errors import UsageError
from ecoload.export.k6.files import PLACE
from ecoload.export.k6.js import CannotExport
from ecoload.export.k6.operator import MOST_BYTES, resource_name
from ecoload.export.tree import artifacts_of, not_current, read_source

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "a1_auth.js", "a2_smoke.js", "a2_baseline.js", "a2_ramp.js", "a2_spike.js", "a2_soak.js", "a2_burst.js",
    "a3_orchestration.js", "a4_chat_completions.js", "a6_register_billing.js", "a7_pages.js",
    "a8_dashboard_load.js", "a8_filter_test.js",
}  # fmt: skip

TARGETS = """\
profiles:
  calm: {executor: constant, vus: 2, duration: 10s, pacing: 1s}
  wild: {executor: constant, vus: 90, duration: 10s, pacing: 1s}
apps:
  shop:
    base_url: ${SHOP_URL:-https://shop.example}
    environment: staging
    routes: {home: {get: /, effect: none}}
"""
SCENARIO = """\
app: shop
k6: shop.js
steps: [{route: home}]
"""

Run = Callable[..., Result]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One app under two profiles."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "targets.yaml").write_text(TARGETS)
    (tmp_path / "scenarios" / "shop.yaml").write_text(SCENARIO)
    return tmp_path


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ecoload export-k6` on the workspace; what goes wrong is raised."""
    monkeypatch.delenv("SHOP_URL", raising=False)

    def invoke(*arguments: str) -> Result:
        command = ["export-k6", "--targets", str(workspace / "targets.yaml"), *arguments]
        return CliRunner().invoke(ecoload, command, standalone_mode=False, catch_exceptions=False)

    return invoke


def written(workspace: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (workspace / PLACE).glob("*")}


# --- the scripts that stand in the repository -------------------------------------------------------------


def test_the_scripts_of_the_repository_are_current() -> None:
    source = read_source(ROOT / "targets.yaml", None, {})
    scripts = [artifact for artifact in artifacts_of(source) if artifact.path.startswith(PLACE)]
    assert {Path(script.path).name for script in scripts} == SCRIPTS
    assert {path.name for path in (ROOT / PLACE).glob("*.js")} == SCRIPTS
    assert not_current(ROOT, scripts) == [], "run: ecoload export-k6"


def test_an_export_of_everything_writes_the_scripts_too(workspace: Path, run: Run) -> None:
    command = ["export", "--targets", str(workspace / "targets.yaml")]
    CliRunner().invoke(ecoload, command, standalone_mode=False, catch_exceptions=False)
    assert run("--check").output == f"{workspace / PLACE}: current\n"


# --- which scripts there are ------------------------------------------------------------------------------


def test_one_script_holds_every_profile(workspace: Path, run: Run) -> None:
    run()
    (text,) = written(workspace).values()
    assert "PROFILES[PROFILE]" in text
    assert "calm: {" in text
    assert "wild: {" in text


def test_a_name_with_the_profile_in_it_makes_one_of_each(workspace: Path, run: Run) -> None:
    (workspace / "scenarios" / "shop.yaml").write_text(SCENARIO.replace("shop.js", "shop_{profile}.js"))
    run()
    assert set(written(workspace)) == {"shop_calm.js", "shop_wild.js"}
    assert 'const PROFILE = "calm";' in written(workspace)["shop_calm.js"]


def test_loads_side_by_side_go_to_the_scripts_of_their_scenarios(workspace: Path, run: Run) -> None:
    both = TARGETS.replace(
        "wild: {executor: constant, vus: 90, duration: 10s, pacing: 1s}",
        "wild: {loads: [{executor: constant, vus: 3, duration: 10s}, "
        "{scenario: sale, executor: constant, vus: 4, duration: 10s}]}",
    )
    (workspace / "targets.yaml").write_text(both + "    scenarios: [shop, sale]\n")
    (workspace / "scenarios" / "sale.yaml").write_text(SCENARIO.replace("shop.js", "sale.js"))
    run()
    made = written(workspace)
    assert "vus: 3," in made["shop.js"]
    assert "vus: 4," not in made["shop.js"]
    assert "vus: 4," in made["sale.js"]
    assert "calm" not in made["sale.js"]


def test_an_app_or_a_profile_chooses_files_and_never_what_is_in_them(workspace: Path, run: Run) -> None:
    run()
    whole = written(workspace)
    shutil.rmtree(workspace / PLACE)
    run("shop", "--profile", "calm")
    assert written(workspace) == whole


def test_the_environment_changes_only_the_hosts(
    workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = written(workspace)["shop.js"]
    assert '["SHOP_URL", SHOP, ["shop.example"]]' in before
    monkeypatch.setenv("SHOP_URL", "https://other.example:8443/base")
    with pytest.raises(UsageError) as stale:
        run("--check")
    assert "shop.js is stale" in str(stale.value)
    assert "SHOP_URL is set" in str(stale.value)
    run()
    after = written(workspace)["shop.js"]
    assert after == before.replace('["shop.example"]', '["other.example", "shop.example"]')


@pytest.mark.parametrize(
    ("app", "profile", "message"),
    [
        ("shp", None, "unknown app 'shp'; did you mean 'shop'?"),
        ("shop", "clm", "unknown profile 'clm'; did you mean 'calm'?"),
    ],
)
def test_what_is_not_there_is_said(run: Run, app: str, profile: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        run(app, *(["--profile", profile] if profile else []))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("shop.yaml", SCENARIO.replace("k6: shop.js\n", ""), "its scenario shop has no name for one"),
        ("shop.py", "async def iteration(vu): ...\n", "its scenario shop is Python, which k6 does not run"),
        (None, "", "it has no scenario"),
    ],
)
def test_an_app_without_a_script_says_why(
    workspace: Path, run: Run, file: str | None, text: str, message: str
) -> None:
    (workspace / "scenarios" / "shop.yaml").unlink()
    if file is not None:
        (workspace / "scenarios" / file).write_text(text)
    with pytest.raises(UsageError, match=message):
        run("shop")


# --- what cannot be exported ------------------------------------------------------------------------------


def test_everything_that_k6_cannot_say_is_told_at_once_and_nothing_is_written(
    workspace: Path, run: Run
) -> None:
    hard = TARGETS.replace("pacing: 1s}\n  wild", "warm_up: 2s}\n  wild").replace(
        "vus: 90, duration: 10s", "vus: 9, duration: 500ms"
    )
    (workspace / "targets.yaml").write_text(hard)
    (workspace / "scenarios" / "shop.yaml").write_text(SCENARIO.replace("shop.js", "shop_{profile}.js"))
    with pytest.raises(CannotExport) as refused:
        run()
    first, second = str(refused.value).splitlines()
    assert first.startswith("shop_calm.js: calm: k6 would judge the warm-up too")
    assert second.startswith("shop_wild.js: wild: load wild: k6 takes a duration of at least 1s")
    assert refused.value.exit_code == 2
    assert written(workspace) == {}


def test_two_apps_have_no_script_in_common(workspace: Path, run: Run) -> None:
    second = TARGETS + TARGETS[TARGETS.index("  shop:") :].replace("shop", "bank").replace("SHOP", "BANK")
    (workspace / "targets.yaml").write_text(second)
    (workspace / "scenarios" / "bank.yaml").write_text(SCENARIO.replace("app: shop", "app: bank"))
    with pytest.raises(CannotExport, match=r"shop\.js: a scenario of shop and one of bank have this name"):
        run()


def test_what_the_guard_refuses_is_no_script(workspace: Path, run: Run) -> None:
    (workspace / "targets.yaml").write_text("guardrails: {deny: [GET /]}\n" + TARGETS)
    with pytest.raises(CannotExport, match=r"shop calm: .*GET '/' of shop is denied"):
        run()


# --- for k6-operator --------------------------------------------------------------------------------------

TEST_RUN_FIELDS = {"script", "parallelism", "runner", "arguments"}
RUNNER_FIELDS = {"image", "env"}


@pytest.fixture
def with_secrets(workspace: Path) -> Path:
    """The app wants a token, and its scenario reads records."""
    more = """\
    secrets: {KEY: {env: SHOP_KEY}}
    auth: {client_credentials: {token_url: shop:/token, client_id: c, client_secret: {secret: KEY}}}
"""
    (workspace / "targets.yaml").write_text(TARGETS + more)
    (workspace / "scenarios" / "shop.yaml").write_text(SCENARIO + "feeder: goods\n")
    data = workspace / "tests/perf/config/data.jsonl"
    data.parent.mkdir(parents=True)
    data.write_text(
        '{"feeder":"goods","name":"caf\\u00e9"}\n{"feeder":"others","name":"x"}\n{"name":"all"}\n'
    )
    return workspace


def test_a_manifest_holds_the_script_its_records_and_references_to_its_secrets(
    with_secrets: Path, run: Run
) -> None:
    run("--operator")
    made = written(with_secrets)
    files, test_run = yaml.safe_load_all(made["shop.operator.yaml"])
    assert (files["apiVersion"], files["kind"]) == ("v1", "ConfigMap")
    assert files["data"]["shop.js"] == made["shop.js"]
    assert files["data"]["data.jsonl"] == '{"feeder":"goods","name":"caf\\u00e9"}\n{"name":"all"}\n'
    assert (test_run["apiVersion"], test_run["kind"]) == ("k6.io/v1alpha1", "TestRun")
    spec = test_run["spec"]
    assert set(spec) == TEST_RUN_FIELDS
    assert set(spec["runner"]) == RUNNER_FIELDS
    assert spec["parallelism"] == 1
    assert spec["script"] == {"configMap": {"name": files["metadata"]["name"], "file": "shop.js"}}
    env = {variable.pop("name"): variable for variable in spec["runner"]["env"]}
    assert env["SHOP_KEY"] == {"valueFrom": {"secretKeyRef": {"name": "ecoload", "key": "SHOP_KEY"}}}
    assert env["SHOP_URL"] == {"value": "https://shop.example"}
    assert env["PROFILE"] == {"value": "calm"}
    assert spec["arguments"] == "--env ECOLOAD_DATA=/test/data.jsonl"
    assert all(isinstance(each.get("value", ""), str) for each in env.values())


def test_a_manifest_that_does_not_fit_is_refused(with_secrets: Path, run: Run) -> None:
    data = with_secrets / "tests/perf/config/data.jsonl"
    data.write_text(f'{{"feeder":"goods","name":"{"x" * MOST_BYTES}"}}\n')
    run()
    with pytest.raises(CannotExport, match=rf"shop\.js: .* a ConfigMap holds {MOST_BYTES}"):
        run("--operator")


def test_a_check_looks_at_manifests_where_they_are_asked_for(workspace: Path, run: Run) -> None:
    run()
    run("--check")
    with pytest.raises(UsageError, match=r"shop\.operator\.yaml is missing"):
        run("--check", "--operator")


@pytest.mark.parametrize(
    ("script", "name"),
    [("a2_baseline.js", "a2-baseline"), ("A__b.c.js", "a-b-c"), (f"{'x' * 49}_y.js", "x" * 49)],
)
def test_a_manifests_name_is_one_for_kubernetes(script: str, name: str) -> None:
    assert resource_name(script) == name
