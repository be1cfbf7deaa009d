"""A script as a text: what stands in it for a plan, laid out as prettier does whatever people wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoload.export.k6.files import PLACE, chosen
from ecoload.export.tree import read_source, write

ROOT = Path(__file__).parents[2]

APP = "0-a_very-long-name_of-an-app-that-nobody-would-ever-choose"
NASTY = """\
protocol: {name: 'It''s "quoted"', namespace: perf_test}
http: {proxy: http://proxy.example:3128}
profiles:
  one-after-the-other:
    loads:
      - {executor: ramping-vus, start_vus: 0, stages: [{duration: 9ms, target: 3}, {duration: 0s, target: 1}]}
      - {executor: constant-arrival-rate, rate: 0.5, duration: 90s, pre_allocated_vus: 1, start_time: 1h}
    abort_when: ["error_rate > 10% after 2s", "p95 > 1s for 3s"]
    slo: {p99_ms: 1234.5, timeouts: 3}
  2nd: {executor: burst, rate: 100000, duration: 100d, max_vus: 60}
  third: {executor: shared-iterations, vus: 3, iterations: 1000000, pacing: 1ms}
apps:
  APP:
    scenarios: [a-nasty_one]
    base_url: "http://[2001:DB8::1]:8443/base/path"
    writes: perf_test
    max_rps: 10
    resolve: ["2001:db8::2"]
    secrets:
      A_SECRET: {env: A_VERY_LONG_NAME_FOR_A_SECRET_THAT_IS_IN_THE_ENVIRONMENT_OF_THE_SCRIPT}
      ANOTHER: {file: "secrets/an other.txt"}
    env: [REGION, A_SECOND_VARIABLE_WITH_A_NAME_THAT_FILLS_THE_WHOLE_LINE]
    auth:
      client_credentials:
        token_url: issuer:/o`idc/$token
        client_id: "a client's id with \\"quotes\\", a colon: and more than one would think that fits"
        client_secret: {secret: A_SECRET}
        scope: "one two three"
    routes:
      home: {get: /, effect: none}
      a-route-with-a-name-that-is-nearly-as-long-as-a-name-may-be-0123: {get: /x, effect: none}
  issuer:
    base_url: https://${ISSUER_HOST:-issuer.example}
    environment: staging
    tls: {ca_file: certs/ca.pem, client_cert: certs/client.pem, client_key: certs/client.key}
"""
SCENARIO = """\
app: APP
k6: nasty.js
feeder: a-feeder
setup: [{route: home}]
steps:
  - route: home
    headers: {X-Region: "${env.REGION}", X-Key: "${secret.ANOTHER}"}
  - route: a-route-with-a-name-that-is-nearly-as-long-as-a-name-may-be-0123
    query: {kind: "${data.kind}"}
teardown: [{route: home}]
"""


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """The folder of the script of a workspace that is hard to lay out."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "targets.yaml").write_text(NASTY.replace("APP:", f"{APP}:"))
    (tmp_path / "scenarios" / "a-nasty_one.yaml").write_text(SCENARIO.replace("APP", APP))
    data = tmp_path / "tests/perf/config/data.jsonl"
    data.parent.mkdir(parents=True)
    data.write_text('{"feeder": "a-feeder", "kind": "x"}\n')
    made = chosen(read_source(tmp_path / "targets.yaml", None, {}))
    list(write(tmp_path / PLACE, made))
    return tmp_path / PLACE


def test_prettier_leaves_every_script_as_it_is(tool: Callable[[str], Path], nasty: Path) -> None:
    scripts = [*sorted((ROOT / PLACE).glob("*.js")), *nasty.glob("*.js")]
    # A configuration or ignored files above would change what is asked.
    command = [str(tool("prettier")), "--no-config", "--ignore-path", "/dev/null", "--list-different"]
    checked = subprocess.run([*command, *map(str, scripts)], capture_output=True, text=True)
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)
