"""The shipped browser flows on a sandbox that is broken: they fail at the step that is broken and at no
other. Its pages, when it is well, are for everybody.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecoload.sandbox import Sandbox
from tests.integration.browsers import APPS, ROOT, Lab, failed, lab_in, need, verdicts
from tests.integration.ecosystem import faults


@pytest.fixture(scope="module")
def sandbox(tool: Callable[[str], Path]) -> Iterator[Sandbox]:
    need(tool)
    with Sandbox(APPS, seed=1) as started:
        yield started


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Lab:
    return lab_in(tmp_path, sandbox)


@pytest.mark.parametrize(
    ("flow", "app", "switches", "step", "said"),
    [
        ("a5_signup_oidc_crm", "a1", {"error_rate": 1}, "the sign-up form leads to A1", "Create an account"),
        ("a5_signup_oidc_crm", "a5", {"crm_silent": 1}, "A5 shows the CRM record", "not found"),
        ("a5_signup_oidc_crm", "a8", {"stale_telemetry_s": 3600}, "A8 lists the event", "Expected: 1"),
        ("a5_signup_oidc_crm", "a8", {"tiles_not_refreshed": 1}, "the growth tile shows the sign-up",
         'Expected: "1"'),
        ("a5_doc_a4_outcomes", "a4", {"error_rate": 1}, "A4 has assessed it", "eligible"),
        ("a5_doc_a4_outcomes", "a8", {"tiles_not_refreshed": 1}, "the outcomes tile shows the outcome",
         'Received: "0"'),
        ("a7_pages_cta", "a7", {"cta_silent": 1}, "the call to action is emitted", 'Received: "false"'),
    ],
)  # fmt: skip
def test_a_fault_fails_the_step_that_it_breaks_and_no_other(
    lab: Lab, flow: str, app: str, switches: dict[str, float], step: str, said: str
) -> None:
    # What waits for a page waits as long as its own time; what is looked at again, as long as `within`.
    with faults(lab.sandbox, app, **switches):
        code, (result,) = lab.e2e(flow)
    assert code == 99
    assert failed(result) == [step]
    (reason,) = result["verdict_reasons"]
    assert reason.startswith(f"{step}: ")
    assert said in reason
    names = list(verdicts(result))
    assert {verdicts(result)[name] for name in names[: names.index(step)]} <= {"PASS"}
    assert {verdicts(result)[name] for name in names[names.index(step) + 1 :]} <= {"INCONCLUSIVE"}
    if switches.get("error_rate") and app == "a1":
        assert any(note.endswith("/oidc/auth: 503") for note in result["notes"]), "the reason beside"
    folder = Path(result["folder"])
    assert any(one["kind"] == "page" for one in result["evidence"]), "the page as it was"
    assert {"trace.zip", "video.webm", "network.har"} <= {path.name for path in folder.iterdir()}


def test_the_sandbox_pages_are_accessible(sandbox: Sandbox, tool: Callable[[str], Path]) -> None:
    urls = {f"{app.upper()}_URL": url for app, url in sandbox.urls.items()}
    environ = os.environ | sandbox.secrets | urls | {"CHROMIUM": str(tool("chromium"))}
    done = subprocess.run(
        ["node", "axe.mjs"], cwd=ROOT / "tests/browser", env=environ, capture_output=True, text=True,
        timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
