"""The browser phase of a suite: what it shows, what its bundle holds, and that a missing browser holds up
nothing.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import faults
from tests.integration.suites import ROOT, Suites, verdicts

PROJECT = Path("tests/perf/playwright")
APPS = ("a2", "a7", "a8")
SPEC = """\
import { expect, test, url } from './ecoload';
test('cta', async ({ page, flow }) => {
  await flow.step('emitted', async () => {
    await page.goto(url('a7', '/browse'));
    const action = page.getByRole('button', { name: 'Find my scholarships' });
    await expect(action).toHaveAttribute('data-emitted', 'true');
  });
});
"""
FLOW = {
    "about": "The call to action is emitted.",
    "app": "a7",
    "asks": {"a7": "write"},
    "timeout": "30s",
    "steps": [{"name": "emitted"}],
}
PHASES = [
    {"name": "health", "health": {"requests": 60, "rate": 100}, "gate": "halt"},
    {"name": "browser", "browser": "all"},
    {"name": "smoke", "profile": "smoke", "apps": ["a7"]},
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(APPS, seed=1) as started:
        yield started


@pytest.fixture
def suites(sandbox: Sandbox, tmp_path: Path, tool: Callable[[str], Path]) -> Suites:
    for name in ("node", "chromium", "ffmpeg"):
        tool(name)
    made = Suites(sandbox, tmp_path)

    def change(tree: dict[str, Any]) -> None:
        tree["phases"] = [dict(phase) for phase in PHASES]
        for app in [app for app in tree["apps"] if app not in APPS]:
            del tree["apps"][app]
        for app in tree["apps"].values():
            # Where there is no A1, everybody may.
            for key in ("auth", "cleanup", "persistence", "lineage", "proofs"):
                app.pop(key, None)

    made.write(change)
    folder = tmp_path / "scenarios" / "browser"
    folder.mkdir()
    (folder / "cta.yaml").write_text(yaml.safe_dump(FLOW))
    (folder / "cta.spec.ts").write_text(SPEC)
    (tmp_path / PROJECT).mkdir(parents=True)
    (tmp_path / PROJECT / "node_modules").symlink_to(ROOT / PROJECT / "node_modules")
    return made


def cell(tree: dict[str, Any]) -> dict[str, Any]:
    (found,) = next(phase for phase in tree["phases"] if phase["name"] == "browser")["cells"]
    assert (found["app"], found["flow"]) == ("a7", "cta")
    return dict(found)


def test_a_missing_browser_is_a_condition_and_a_resume_tries_again(suites: Suites, tmp_path: Path) -> None:
    suites.environ = {"CHROMIUM": "/bin/false"}
    code, tree = suites.suite("--apps", "a7")
    assert (cell(tree)["verdict"], tree["status"]) == ("NO_BROWSER", "CONDITIONAL"), tree
    assert code == 8
    assert any("browser was not run (cta): /bin/false does not start" in line for line in tree["conditions"])
    assert verdicts(tree)["smoke"]["a7"] in ("PASS", "INCONCLUSIVE"), "the suite goes on"

    suites.environ = {}
    _, tree = suites.suite("--resume", str(suites.newest()))
    found = cell(tree)
    assert (found["verdict"], [item["of"] for item in found["items"]]) == ("PASS", ["cta: emitted"])
    assert not any("browser" in line for line in tree["conditions"])

    bundle = suites.folder / "tests/perf/reports/ecosystem_perf_artifacts.zip"
    with zipfile.ZipFile(bundle) as archive:
        names = set(archive.namelist())
        results = json.loads(archive.read("reports/a7_e2e_results.json"))
    run = found["runs"][-1]["folder"]
    evidence = ("e2e.json", "network.har", "trace.zip", "video.webm", "playwright.json", "01-emitted.png")
    assert {f"suite/{run}/{name}" for name in evidence} <= names
    assert {"reports/a7_playwright_report.html", "reports/cta_flow.md"} <= names
    assert "suite/workspace/scenarios/browser/cta.spec.ts" in names
    assert [one["verdict"] for one in results["flows"]] == ["PASS"]
    code, out, err = suites.run("readiness", str(bundle), "--json")
    assert code == 0, err
    assert json.loads(out)["after"] == tree["readiness"]["after"]
    for name in ("a7_playwright_report.html", "a7_e2e_results.json"):
        assert (suites.folder / PROJECT / name).is_file()


def test_a_spec_that_fails_is_not_ready_and_the_suite_goes_on(suites: Suites, sandbox: Sandbox) -> None:
    with faults(sandbox, "a7", cta_silent=1):
        code, tree = suites.suite("--apps", "a7")
    assert (code, tree["status"]) == (99, "NOT_READY")
    assert cell(tree)["verdict"] == "FAIL"
    failure = next(one for one in tree["failures"] if one["phase"] == "browser")
    assert (failure["app"], failure["of"]) == ("a7", "cta: emitted")
    assert 'Received: "false"' in failure["reason"]
    assert (suites.newest() / failure["diagnostics"]).is_file()
    assert verdicts(tree)["smoke"]["a7"] != "NOT_RUN", "the suite goes on"
    code, tree = suites.suite("--retest", "a7", "--resume", str(suites.newest()))
    assert cell(tree)["verdict"] == "PASS", "after the fix"
