"""Stands in for steps and pacing until they are merged."""

from ecoload.plan import Plan, Scenario

IMPORTS = """import { SharedArray } from "k6/data";
import encoding from "k6/encoding";
import exec from "k6/execution";
import http from "k6/http";
import { Rate } from "k6/metrics";
import { sleep } from "k6";"""
ERRORS = 'const errors = new Rate("errors");'


def iteration(plan: Plan, scenario: Scenario, name: str) -> str:
    from ecoload.measure.recorder import route_names

    names = route_names(plan)
    app = plan.app.upper()
    rows = "\n".join(
        f'''  {{
    const tags = {{ name: "{names[s.route]}" }};
    const answer = http.get(`${{{app}}}/health`, {{
      headers: {{
        Authorization: `Bearer ${{run.token}}`,
        "X-Ecoload-Run": run.id,
      }},
      tags,
    }});
    errors.add(answer.status !== 200, tags);
  }}'''
        for s in scenario.steps
        if hasattr(s, "route")
    )
    return f"function {name}(run) {{\n{rows}\n}}"
