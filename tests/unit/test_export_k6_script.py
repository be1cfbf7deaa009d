"""A script as a text: what stands in it for a plan, laid out as prettier does whatever people wrote."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoload.engine import tokens as engine
from ecoload.export.k6 import tokens
from ecoload.export.k6.files import PLACE, chosen
from ecoload.export.k6.js import CannotExport
from ecoload.export.k6.parts import Part, Script
from ecoload.export.k6.script import text_of
from ecoload.export.tree import read_source, write
from ecoload.spec.workspace import load_workspace, make_plan

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
feeder: a-feeder-with-a-name-as-long-as-a-name-may-be-0123456789
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
    data.write_text('{"kind": "x", "feeder": "a-feeder-with-a-name-as-long-as-a-name-may-be-0123456789"}\n')
    made = chosen(read_source(tmp_path / "targets.yaml", None, {}))
    list(write(tmp_path / PLACE, made))
    return tmp_path / PLACE


def test_prettier_leaves_every_script_as_it_is(tool: Callable[[str], Path], nasty: Path) -> None:
    scripts = [*sorted((ROOT / PLACE).glob("*.js")), *nasty.glob("*.js")]
    # A configuration or ignored files above would change what is asked.
    command = [str(tool("prettier")), "--no-config", "--ignore-path", "/dev/null", "--list-different"]
    checked = subprocess.run([*command, *map(str, scripts)], capture_output=True, text=True)
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


# --- what stands in a script for a plan -------------------------------------------------------------------

SHOP = """\
profiles:
  calm: {executor: constant, vus: 2, duration: 10s, pacing: 1s}
apps:
  shop:
    base_url: BASE_URL
    environment: staging
    MORE
    routes: {home: {get: /, effect: none}}
"""
STEPS = "app: shop\nk6: shop.js\nsteps: [{route: home}]\n"


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """The script of a small workspace, with another address, more keys of its app, or another environment."""

    def text(
        base_url: str = "sandbox", more: str = "", changes: tuple[str, str] = ("", ""), **environ: str
    ) -> str:
        (tmp_path / "scenarios").mkdir(exist_ok=True)
        targets = SHOP.replace("BASE_URL", base_url).replace("MORE", more).replace(*changes)
        (tmp_path / "targets.yaml").write_text(targets)
        (tmp_path / "scenarios" / "shop.yaml").write_text(STEPS)
        (made,) = chosen(read_source(tmp_path / "targets.yaml", None, environ))
        return made.content.decode()

    return text


@pytest.mark.parametrize(
    ("base_url", "environ", "declared", "hosts"),
    [
        ("sandbox", {}, 'const SHOP = baseUrl("SHOP_URL");', "LOOPBACK"),
        ("${WHERE:-sandbox}", {}, 'const SHOP = baseUrl("WHERE");', "LOOPBACK"),
        ("https://A.Example", {}, 'const SHOP = baseUrl("SHOP_URL", "https://a.example");', '["a.example"]'),
        (
            "${SHOP_URL:-http://a.example:8080/x/}", {},
            'const SHOP = baseUrl("SHOP_URL", "http://a.example:8080/x");', '["a.example"]',
        ),
        (
            "${SHOP_URL:-http://a.example}", {"SHOP_URL": "http://b.example"},
            'const SHOP = baseUrl("SHOP_URL", "http://a.example");', '["b.example", "a.example"]',
        ),
        (
            "${SHOP_URL:-sandbox}", {"SHOP_URL": "http://b.example"},
            'const SHOP = baseUrl("SHOP_URL");', '[...LOOPBACK, "b.example"]',
        ),
        (  # a sandbox that is up makes no other script
            "${SHOP_URL:-sandbox}", {"SHOP_URL": "http://127.0.0.1:4711"},
            'const SHOP = baseUrl("SHOP_URL");', "LOOPBACK",
        ),
        ("${WHERE}", {"WHERE": "http://b.example"}, 'const SHOP = baseUrl("WHERE");', '["b.example"]'),
        (
            "https://${REGION}.example", {"REGION": "north"},
            'const SHOP = baseUrl("SHOP_URL");', '["north.example"]',
        ),
    ],
)  # fmt: skip
def test_an_address_is_what_the_targets_name(
    script: Callable[..., str], base_url: str, environ: dict[str, str], declared: str, hosts: str
) -> None:
    text = script(base_url, **environ)
    variable = declared.partition('"')[2].partition('"')[0]
    assert declared in text
    assert f'const APPS = [["{variable}", SHOP, {hosts}]];' in text
    assert ("const LOOPBACK" in text) == ("LOOPBACK" in hosts)
    needed = [] if "," in declared else [variable]
    assert f"const NEEDED = {str(needed).replace(chr(39), chr(34))};" in text


def test_an_address_that_needs_the_environment_is_asked_for_at_the_export(script: Callable[..., str]) -> None:
    with pytest.raises(CannotExport, match=r"shop calm: the address of shop needs WHERE"):
        script("${WHERE}")


@pytest.mark.parametrize(
    ("base_url", "environ"),
    [
        ("https://live.example", {}),
        ("${SHOP_URL:-https://live.example}", {"SHOP_URL": "https://staging.example"}),
        ("${SHOP_URL:-https://staging.example}", {"SHOP_URL": "https://live.example"}),
    ],
)
def test_production_is_a_reason_wherever_the_address_comes_from(
    script: Callable[..., str], base_url: str, environ: dict[str, str]
) -> None:
    guarded = ("profiles:", "guardrails: {production_hosts: [live.*]}\nprofiles:")
    assert '"shop (https://live.example) is production"' in script(base_url, changes=guarded, **environ)


def test_the_reasons_for_an_approval_stand_in_the_script_without_the_vus(script: Callable[..., str]) -> None:
    many = ("vus: 2", "vus: 90")
    assert "const REASONS = [];" in script(changes=many)
    text = script(more="max_rps: 80", changes=many)
    assert '"it can send 90 requests a second to shop, whose max_rps is 80",' in text


def test_addresses_to_dial_and_certificates_are_options(script: Callable[..., str]) -> None:
    text = script("https://shop.example", 'resolve: ["10.0.0.7"]')
    assert '  hosts: {\n    "shop.example": "10.0.0.7",\n  },\n' in text
    text = script(
        "https://shop.example", "tls: {ca_file: ca.pem, client_cert: certs/a.pem, client_key: /etc/a.key}"
    )
    assert "SSL_CERT_FILE     certificate authorities: ca.pem" in text
    assert 'cert: open("../../../certs/a.pem"),' in text
    assert 'key: open("/etc/a.key"),' in text
    with pytest.raises(CannotExport, match="resolve: of shop has 2; name one"):
        script("https://shop.example", 'resolve: ["10.0.0.7", "10.0.0.8"]')


def test_a_proxy_of_the_targets_is_asked_for(script: Callable[..., str]) -> None:
    behind = ("profiles:", "http: {proxy: http://proxy.example:3128}\nprofiles:")
    text = script("https://shop.example", changes=behind)
    assert 'const NEEDED = ["HTTPS_PROXY"];' in text
    assert "//   HTTPS_PROXY       the proxy: http://proxy.example:3128 in targets.yaml" in text


def test_the_head_names_what_k6_does_not_do(script: Callable[..., str]) -> None:
    more = "abort_when: ['error_rate > 10% for 10s']\n    request_count: {get: /count, json: $.n}"
    head = script(more=more).partition("\n\n")[0]
    assert "// - Not judged here: abort_when: error_rate > 10% for 10s.\n" in head
    assert "// - Not asked here: the target's own count of requests.\n" in head
    assert "// calm: constant, up to 2 VUs, 10s, an iteration each 1s\n" in head
    assert all(line.startswith("//") for line in head.splitlines())


def test_a_token_that_no_request_carries_is_not_fetched(script: Callable[..., str]) -> None:
    more = """secrets: {KEY: {env: SHOP_KEY}}
    auth: {client_credentials: {token_url: shop:/token, client_id: me, client_secret: {secret: KEY}}}"""
    carried = script(more=more)
    assert "run.token = fetchToken(run.id);" in carried
    assert 'const NEEDED = ["SHOP_URL", "SHOP_KEY"];' in carried
    open_route = ("home: {get: /, effect: none}", "home: {get: /, effect: none, auth: none}")
    bare = script(more=more, changes=open_route)
    assert "oken" not in bare.partition("import ")[2].replace("(token)", "")
    assert 'const NEEDED = ["SHOP_URL"];' in bare


def test_a_script_may_hold_all_loads_of_a_plan() -> None:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    parts = {"baseline": Part(make_plan(workspace, "a8", "baseline"), (0, 1))}
    text = text_of(Script("both.js", workspace, parts, ("targets.yaml",)))
    assert 'exec: "runA8"' in text
    assert 'exec: "runA8Filters"' in text
    assert 'const SCRIPT = "both.js";' in text


def test_tokens_are_as_ecoloads_own() -> None:
    text = tokens.FETCH_TOKEN + tokens.BEARER
    for said in (
        f"expires_in = {engine.DEFAULT_LIFE_S:g}",
        f"Math.min(expires_in, {engine.MOST_LIFE_S:.0f})",
        f"Math.min(0.8 * life, life - {engine.SPARE_S:g})",
        f"pause: {1000 * engine.LEAST_PAUSE_S:.0f}",
        f"Math.min(2 * token.pause, {1000 * engine.MOST_PAUSE_S:.0f})",
    ):
        assert said in text
    listed = set(re.findall(r'^  "([a-z_]+)",$', tokens.FETCH_TOKEN, re.M))
    assert listed == engine.ERRORS
