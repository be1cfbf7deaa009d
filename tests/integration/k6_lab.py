"""Real k6 as a laboratory: expressions and functions of exported scripts, run as k6 runs them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecoload.export.k6 import helpers, steps
from ecoload.export.k6.helpers import Helper
from ecoload.export.k6.js import string
from ecoload.measure.recorder import route_names
from ecoload.plan import Plan

BEARER = Helper("const bearer = (run) => run.token.value;")
"""A token that nobody fetched."""


@dataclass(frozen=True, slots=True)
class Case:
    """A function of JavaScript, and the inputs it is called with."""

    function: str
    inputs: Sequence[Any]
    needs: frozenset[str] = frozenset()


def evaluate(k6: Path, folder: Path, cases: Sequence[Case]) -> list[list[Any]]:
    """What each function gives for each of its inputs; None for undefined."""
    needs = frozenset().union(*(case.needs for case in cases))
    functions = "\n".join(f"  {case.function}," for case in cases)
    (folder / "inputs.json").write_text(json.dumps([list(case.inputs) for case in cases]))
    script = f"""
{_top(needs)}
const INPUTS = JSON.parse(open("./inputs.json"));
const FUNCTIONS = [
{functions}
];
export function setup() {{
  return FUNCTIONS.map((f, i) => INPUTS[i].map((input) => f(input)));
}}
export default function () {{}}
export function handleSummary(data) {{
  return {{ "results.json": JSON.stringify(data.setup_data) }};
}}
"""
    run(k6, folder, script)
    found: list[list[Any]] = json.loads((folder / "results.json").read_text())
    return found


def script_of(plan: Plan, records: Mapping[str, Sequence[Any]], iterations: int, run_id: str) -> str:
    """A whole script of a plan's first scenario, without all that is not its steps: one VU."""
    scenario = plan.scenarios[0]
    parts = [
        steps.setup_steps(plan, scenario),
        steps.iteration(plan, scenario, "iterate"),
        steps.teardown_steps(plan, scenario),
    ]
    before, iteration, after = (part.text for part in parts)
    bases = "\n".join(
        f"const {steps.base_url_name(there.app)} = "
        f"{string(f'{there.scheme}://{there.authority}{there.base_path}')};"
        for there in plan.origins
    )
    data = "\n".join(
        f"const {steps.records_name(name)} = JSON.parse({string(json.dumps(list(rows)))});"
        for name, rows in records.items()
    )
    thresholds = {
        f"{metric}{{name:{route}}}": ["count>=0" if metric != "errors" else "rate>=0"]
        for metric in ("errors", "failed_checks", "timeouts")
        for route in route_names(plan)
    }
    return f"""
{_top(frozenset().union(*(part.needs for part in parts)))}
{bases}
{data}
export const options = {{
  userAgent: {string(plan.http.user_agent)},
  scenarios: {{
    only: {{ executor: "per-vu-iterations", vus: 1, iterations: {iterations}, exec: "only" }},
  }},
  thresholds: {json.dumps(thresholds)},
}};
export function setup() {{
  const run = {{ id: {string(run_id)}, token: {{ value: "a-token" }} }};
{before}
  return run;
}}
{iteration}
export function only(run) {{
  iterate(run);
}}
export function teardown(run) {{
{after}
}}
export function handleSummary(data) {{
  return {{ "summary.json": JSON.stringify(data) }};
}}
"""


def run(
    k6: Path, folder: Path, script: str, environ: Mapping[str, str] | None = None, codes: Iterable[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Runs a script in a folder three below the workspace's, as exported ones stand there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.js").write_text(script)
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [str(k6), "run", "--quiet", "--address", "", "script.js"],
        cwd=folder,
        env={**clean, "K6_NO_USAGE_REPORT": "true", "GODEBUG": "http2client=0", **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in tuple(codes), f"{done.stdout}\n{done.stderr}"
    return done


def _top(needs: Iterable[str]) -> str:
    texts, imports = helpers.closure(needs, {**helpers.HELPERS, "bearer": BEARER})
    return "\n".join([*helpers.import_lines(imports), *texts])
