"""A workspace on disk: every problem at once, with file, line and the nearest right word."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoload.errors import SpecError, UsageError
from ecoload.plan import (
    Arrivals,
    Call,
    Capture,
    Choose,
    ConstantArrivalRate,
    ConstantVUs,
    Expect,
    Metrics,
    OnExhausted,
    PerVUIterations,
    RampingArrivalRate,
    RampingVUs,
    Ref,
    SharedIterations,
    Stage,
    Step,
    Text,
)
from ecoload.spec.workspace import Workspace, json_schema, load_workspace, make_plan

ROOT = Path(__file__).parents[2]
SECOND = 1_000_000_000

TARGETS = """\
protocol: {namespace: perf_test}
profiles:
  burst: {executor: burst, rate: 100, duration: 2m, max_vus: 60}
apps:
  a2:
    base_url: https://a2.example
    writes: perf_test
    routes:
      ingest: {post: /v1/events, effect: write, namespace: {in: json, at: namespace}}
      read: {get: "/v1/events/{id}", effect: none}
      health: {get: /health, effect: none}
"""
SCENARIO = """\
app: a2
steps:
  - route: health
"""

Write = Callable[..., Workspace]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a workspace and loads it; other files by their path."""

    def load(
        targets: str = TARGETS,
        scenario: str | None = SCENARIO,
        environ: dict[str, str] | None = None,
        **files: str,
    ) -> Workspace:
        (tmp_path / "scenarios").mkdir(exist_ok=True)
        (tmp_path / "targets.yaml").write_text(targets)
        if scenario is not None:
            (tmp_path / "scenarios" / "a2.yaml").write_text(scenario)
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return load_workspace(tmp_path / "targets.yaml", environ=environ or {})

    return load


def problems(write: Write, *args: str | None, **files: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        write(*args, **files)
    return [f"{Path(p.file).name}:{p.line}: {p.message}" for p in caught.value.problems]


def with_app(lines: str, base: str = TARGETS) -> str:
    return base + "".join(f"    {line}\n" for line in lines.splitlines())


def scenario(steps: str, head: str = "") -> str:
    return f"app: a2\n{head}steps:\n" + "".join(f"  {line}\n" for line in steps.splitlines())


def profile_of(write: Write, text: str, **options: object) -> object:
    workspace = write(TARGETS.replace("{executor: burst, rate: 100, duration: 2m, max_vus: 60}", text))
    return make_plan(workspace, "a2", "burst", **options).loads[0].executor  # type: ignore[arg-type]


# --- the shipped files ----------------------------------------------------------------------------


def test_the_shipped_workspace_loads_and_plans_every_profile() -> None:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    for name in workspace.profiles_of("a2"):
        plan = make_plan(workspace, "a2", name)
        assert plan.origins[0].embedded
        assert plan.scenarios[0].feeder == "events"
        assert len(plan.execution_hash) == len(plan.spec_hash) == 64


def test_the_shipped_burst_is_a_hundred_a_second_for_two_minutes_and_queues() -> None:
    plan = make_plan(load_workspace(ROOT / "targets.yaml", environ={}), "a2", "burst")
    assert plan.loads[0].executor == ConstantArrivalRate(
        100.0, 120 * SECOND, 60, 60, SECOND, Arrivals.UNIFORM, OnExhausted.QUEUE
    )
    assert plan.persistence is not None
    ingest = plan.routes[plan.persistence.route]
    assert (ingest.app, ingest.name, ingest.slo.p95_ms) == ("a2", "ingest", 125)


def test_reading_the_module_does_not_import_pydantic() -> None:
    code = "import sys, ecoload.spec.workspace; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_published_schemas_are_current() -> None:
    from ecoload.spec.schema import texts

    for file, text in texts().items():
        stored = (ROOT / "docs" / "schema" / file).read_text()
        assert stored == text, "run: python -m ecoload.spec.schema docs/schema"


def test_schemas_know_both_spellings_and_describe_every_file() -> None:
    schemas = json_schema()
    assert set(schemas) == {"targets", "scenario", "flow", "browser"}
    stage = schemas["targets"]["$defs"]["K6RampingArrivalRate"]["properties"]
    assert {"startRate", "start_rate", "maxVUs", "max_vus"} <= set(stage)
    assert "routes" in schemas["targets"]["$defs"]["App"]["properties"]


# --- every error at once --------------------------------------------------------------------------


def test_all_problems_of_all_files_come_at_once(write: Write) -> None:
    targets = """\
protocl: {}
defaults: {slo: {p95: 3}}
profiles:
  burst: {executor: brust, rate: 100, duration: 2m, max_vus: 60}
  slow: {executor: constant, vus: "20", duration: 15}
apps:
  a2:
    base_url: ftp://a2.example
    writes: other
    max_rp: 3
    routes:
      ingest: {post: /v1/events, effect: write}
      health: {get: health, effect: none}
      read: {get: /v1, efect: none}
    persistence: {route: ingst, count: {get: /c, json: $.}}
"""
    steps = scenario("- route: helth\n- route: read\n  chek: 1\n- route: nowhere")
    found = problems(write, targets, steps)
    text = "\n".join(found)
    for expected in (
        "a2.yaml:3: steps[0].route: app 'a2' has no route 'helth'; did you mean 'health'?",
        "targets.yaml:1: protocl: unknown key 'protocl'; did you mean 'protocol'?",
        "targets.yaml:2: defaults.slo.p95: unknown key 'p95'; did you mean",
        "targets.yaml:4: profiles.burst.executor: unknown word 'brust'; did you mean 'burst'?",
        "targets.yaml:5: profiles.slow.vus: expected a whole number, got '20'",
        "targets.yaml:5: profiles.slow.duration: expected a duration with its unit, such as 15s or",
        "targets.yaml:8: apps.a2.base_url: expected an http or https address",
        "targets.yaml:9: apps.a2.writes: expected the protocol's namespace",
        "targets.yaml:10: apps.a2.max_rp: unknown key 'max_rp'; did you mean 'max_rps'?",
        "targets.yaml:12: apps.a2.routes.ingest: a route that writes says where its namespace stands",
        "targets.yaml:13: apps.a2.routes.health.get: expected a path that begins with one '/'",
        "targets.yaml:14: apps.a2.routes.read.efect: unknown key 'efect'; did you mean 'effect'?",
        "targets.yaml:14: apps.a2.routes.read.effect: is missing",
        "targets.yaml:15: apps.a2.persistence.count.json: expected a JSON path such as $.a.b[0]",
        "a2.yaml:5: steps[1].chek: unknown key 'chek'; did you mean 'check'?",
        "a2.yaml:6: steps[2].route: app 'a2' has no route 'nowhere'",
    ):
        assert expected in text, f"{expected}\nnot in\n{text}"


def test_a_file_that_is_not_yaml_does_not_hide_the_others(write: Write) -> None:
    found = problems(write, TARGETS + "apps: {}\n", "app: [\n")
    assert any("targets.yaml:12: duplicate key 'apps'; it stands first in line 4" in line for line in found)
    assert any(line.startswith("a2.yaml:") and "is not YAML" in line for line in found)


def test_a_missing_targets_file_is_one_clear_problem(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        load_workspace(tmp_path / "targets.yaml", environ={})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "apps:",
        "apps: {}",
        "apps: []",
        "apps: [1]",
        "apps: {a2: []}",
        "profiles: [1]\napps: {}",
        "apps: {a2: }",
        "apps: {a2: 3}",
    ],
)
def test_hollow_targets_are_problems_and_never_a_crash(write: Write, text: str) -> None:
    assert problems(write, text, None)


@pytest.mark.parametrize(
    "text", ["", "[]", "app: a2", "app: a2\nsteps: []", "app: a2\nsteps: [3]", "steps: 3\napp: 5"]
)
def test_hollow_scenarios_are_problems_and_never_a_crash(write: Write, text: str) -> None:
    assert problems(write, TARGETS, text)


# --- names between the parts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "profiles: {brst: {rate: 3}}",
            "apps.a2.profiles.brst: unknown profile 'brst'; did you mean 'burst'?",
        ),
        (
            "profiles: {burst: {rat: 3}}",
            "apps.a2.profiles.burst.rat: unknown key 'rat'; did you mean 'rate'?",
        ),
        ("profiles: {burst: {rate: 0}}", "apps.a2.profiles.burst.rate: should be greater than 0, got 0"),
        ("scenarios: [a3]", "apps.a2.scenarios[0]: there is no scenario 'a3'; expected scenarios/a3.yaml"),
        ("abort_when: ['helth: p95 > 3s']", "apps.a2.abort_when[0]: unknown route 'helth'"),
        ("abort_when: ['p95 > 300']", "expected a latency with its unit, such as 300ms"),
        ("abort_when: ['p59 > 300ms']", "unknown metric 'p59'"),
        ("persistence: {route: health, count: {get: /c, json: $.c}}", "route 'health' does not write"),
        (
            "persistence: {route: ingst, count: {get: /c, json: $.c}}",
            "unknown route 'ingst'; did you mean 'ingest'?",
        ),
        ("headers: {X: '${secret.TOKEN}'}", "'secret.TOKEN' is not declared under the app's secrets:"),
        ("headers: {X: '${env.TOKEN}'}", "'env.TOKEN' is not declared under the app's env: [NAMES]"),
        ("version_from: {get: '/v?k=${secret.KEY}', json: $.v}", "'secret.KEY' cannot stand in a path"),
        ("headers: {Host: x}", "Host is set by ecoload itself"),
        ("headers: {'a b': x}", "'a b' is not a header name"),
        ('headers: {X: "a\\nb"}', "CR, LF and NUL must not stand here"),
        ("secrets: {TOKEN: {env: A, file: b}}", "expected one of {env: NAME} and {file: PATH}"),
        ("resolve: [localhost]", "expected an IP address, got 'localhost'"),
        ("tls: {client_cert: a.pem}", "client_cert and client_key come together"),
        ("max_rps: fast", "expected a rate a second such as 200"),
        (
            "version_from: {get: '/h?x=${uuid(}', json: $.v}",
            "expected a name, a function or a literal, got '}'",
        ),
    ],
)
def test_what_an_app_says_is_looked_up(write: Write, lines: str, expected: str) -> None:
    found = problems(write, with_app(lines))
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("targets.yaml:12:")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pw@a2.example", "no credentials"),
        ("https://a2.example/#x", "no query and no fragment"),
        ("https://a2.example?x=1", "no query and no fragment"),
        ("a2.example", "expected an http or https address"),
        ("file:///etc/passwd", "expected an http or https address"),
        ("https://", "expected an http or https address"),
        ("https://a2.example:99999", "expected an address such as"),
        ("https://a2.example/../x", "no '.' and '..'"),
        ("${A2_URL", "expected ${NAME} or ${NAME:-default}"),
    ],
)
def test_an_address_is_checked(write: Write, url: str, expected: str) -> None:
    found = problems(write, TARGETS.replace("https://a2.example", f'"{url}"'))
    assert len(found) == 1 and expected in found[0], found


def test_a_profile_condition_names_a_route_of_some_app_or_is_a_mistake(write: Write) -> None:
    extra = TARGETS.replace("max_vus: 60}", "max_vus: 60, thresholds: ['{}: p95 < 1s']}")
    assert "unknown route 'helth'" in problems(write, extra.replace("{}:", "helth:"))[0]
    plan = make_plan(write(extra.replace("{}:", "health:")), "a2", "burst")
    assert [c.route for c in plan.thresholds] == ["health"]


# --- scenarios ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("- route: read", "steps[0].path: /v1/events/{id} needs a value for id"),
        ("- {route: read, path: {idd: 1, id: 2}}", "has no placeholder {idd}; did you mean 'id'?"),
        ("- {route: read, path: {id: '..'}}", "'..' cannot stand in a path"),
        ("- {route: health, headers: {X: '${sequence}'}}", "unknown name 'sequence'"),
        ("- {route: health, headers: {X: '${data.kind}'}}", "'data.kind' needs a feeder"),
        ("- {route: health, headers: {X: '${secret.A}'}}", "not declared under the app's secrets:"),
        ("- {route: health, headers: {X: '${uid()}'}}", "unknown function 'uid'; did you mean 'uuid'?"),
        ('- {route: health, headers: {X: "a\\rb"}}', "CR, LF and NUL must not stand here"),
        ("- {route: health, headers: {X: 1, x: 2}}", "a header stands here twice"),
        ("- {route: health, query: {a: [1]}}", "expected one value, got a list"),
        ("- {route: health, json: 1, text: x}", "a request has one body; got json and text"),
        (
            "- {route: health, check: {status: [99]}}",
            "steps[0].check.status[0]: should be greater than or equal to 100",
        ),
        ("- {route: health, check: {json: {$.: 1}}}", "expected a JSON path such as $.a.b[0], got '$.'"),
        ("- {route: health, check: {json: {$.a: {equals: 1}}}}", "unknown operator 'equals'"),
        ("- {route: health, check: {json: {$.a: {matches: '('}}}}", "is not a regular expression"),
        ("- {route: health, check: {json: {$.a: {lt: x}}}}", "expected a number, got 'x'"),
        ("- {route: health, check: {json: {$.a: {exists: 1}}}}", "expected true or false, got 1"),
        ("- {route: health, check: {body: {contain: x}}}", "unknown key 'contain'; did you mean 'contains'?"),
        (
            "- {route: health, check: {duration: 500}}",
            "expected a duration with its unit, such as 500s or 500ms",
        ),
        ("- {route: health, capture: {a: {regex: '['}}}", "is not a regular expression"),
        ("- {route: health, capture: {a: {json: $.a, header: b}}}", "expected one of json:, header:, regex:"),
        ("- {route: health, capture: {a: {json: $.a, regex: b}}}", "only header: and regex: go together"),
        ("- {route: health, capture: {a: {header: b, regex: '('}}}", "is not a regular expression"),
        ("- {route: health, capture: {vu: {json: $.a}}}", "'vu' is a word of the language"),
        ("- {route: health, think: [2s, 1s]}", "think: expected [least, most]"),
        ("- {route: health, redirects: all}", "expected a whole number, got 'all'"),
        ("- {route: health, file: nowhere.bin}", "nowhere.bin cannot be read"),
        ("- {route: health, file: ../../x}", "is outside the workspace"),
        (
            "- {route: health, file: scenarios/../targets.yaml}",
            "is outside the workspace; name one within",
        ),
        (
            "- {choose: [{weight: 0, steps: [{route: health}]}]}",
            "steps[0].choose[0].weight: should be greater than 0",
        ),
        (
            "- {choose: [{weight: 1, steps: [{route: helth}]}]}",
            "steps[0].choose[0].steps[0].route: app 'a2' has no",
        ),
        ("- {route: ingest, json: {a: 1}}", "the json 'namespace' must hold the namespace (perf_test)"),
        (
            "- {route: ingest, json: {namespace: prod}}",
            "expected the app's namespace 'perf_test', got 'prod'",
        ),
        ("- {route: ingest, text: hello}", "the json 'namespace' must hold the namespace (perf_test)"),
    ],
)
def test_what_is_wrong_in_a_step_is_said_at_its_line(write: Write, steps: str, expected: str) -> None:
    found = problems(write, TARGETS, scenario(steps))
    assert len(found) == 1, found
    assert found[0].startswith("a2.yaml:3:"), found
    assert expected in found[0]


def test_a_write_in_its_namespace_is_fine_constant_or_not(write: Write) -> None:
    for namespace in ("perf_test", "${protocol.namespace}", "${lower('PERF_TEST')}"):
        write(TARGETS, scenario(f'- {{route: ingest, json: {{namespace: "{namespace}"}}}}'))


def test_a_body_that_is_one_template_is_left_to_the_guard(write: Write) -> None:
    write(TARGETS, scenario('- {route: ingest, json: "${sha256(vu)}"}'))


@pytest.mark.parametrize(
    ("place", "step"),
    [
        ("{in: query, at: ns}", "query: {ns: %s}"),
        ("{in: header, at: X-NS}", "headers: {x-ns: %s}"),
        ("{in: form, at: ns}", "form: {ns: %s}"),
        ("{in: json, at: meta.ns}", "json: {meta: {ns: %s}}"),
    ],
)
def test_the_namespace_is_looked_for_where_the_route_says(write: Write, place: str, step: str) -> None:
    targets = TARGETS.replace("{in: json, at: namespace}", place)
    write(targets, scenario(f"- {{route: ingest, {step % 'perf_test'}}}"))
    assert "got 'other'" in problems(write, targets, scenario(f"- {{route: ingest, {step % 'other'}}}"))[0]
    assert "must hold the namespace" in problems(write, targets, scenario("- {route: ingest, json: {}}"))[0]


def test_the_namespace_can_stand_in_the_path(write: Write) -> None:
    targets = TARGETS.replace("/v1/events,", '"/v1/{ns}/events",').replace(
        "{in: json, at: namespace}", "{in: path, at: ns}"
    )
    write(targets, scenario("- {route: ingest, path: {ns: perf_test}}"))
    assert "got 'other'" in problems(write, targets, scenario("- {route: ingest, path: {ns: other}}"))[0]


def test_a_capture_is_in_reach_after_its_step_only(write: Write) -> None:
    use = "- {route: read, path: {id: '${seq}'}}"
    take = "- {route: health, capture: {seq: {json: $.seq}}}"
    assert "unknown name 'seq'" in problems(write, TARGETS, scenario(f"{use}\n{take}"))[0]
    plan = make_plan(write(TARGETS, scenario(f"{take}\n{use}")), "a2", "burst")
    step = plan.scenarios[0].steps[1]
    assert isinstance(step, Step) and step.path == Text(("/v1/events/", Ref(("seq",))))


def test_a_capture_may_take_a_match_out_of_a_header(write: Write) -> None:
    step = "- {route: health, capture: {code: {header: Location, regex: 'code=([^&]+)'}, id: {regex: id}}}"
    first = make_plan(write(TARGETS, scenario(step)), "a2", "burst").scenarios[0].steps[0]
    assert isinstance(first, Step)
    assert first.captures == (
        Capture("code", "header", "Location", "code=([^&]+)"),
        Capture("id", "regex", "id"),
    )


@pytest.mark.parametrize("name", ["a2_{profile}.js", "{profile}.js", "a1_auth.js", "a8-filter.test.js"])
def test_a_scenario_names_its_k6_script(write: Write, name: str) -> None:
    steps = scenario("- route: health")
    unnamed = make_plan(write(TARGETS, steps), "a2", "burst")
    named = make_plan(write(TARGETS, f'k6: "{name}"\n{steps}'), "a2", "burst")
    assert (unnamed.scenarios[0].k6, named.scenarios[0].k6) == (None, name)
    assert named.spec_hash != unnamed.spec_hash
    assert named.execution_hash == unnamed.execution_hash, "it does not decide what is sent"


@pytest.mark.parametrize(
    "name",
    ["a2.ts", "../a2.js", "k6/a2.js", ".js", ".a2.js", "a2_{app}.js", "a2_{profile.js", "a b.js", "-a.js"],
)
def test_a_k6_script_has_a_plain_name(write: Write, name: str) -> None:
    found = problems(write, TARGETS, f'k6: "{name}"\n{scenario("- route: health")}')
    assert len(found) == 1 and found[0].startswith("a2.yaml:1: k6: expected a plain file name"), found


def test_a_let_sees_those_before_it_only(write: Write) -> None:
    steps = "- route: health"
    write(TARGETS, scenario(steps, 'let: {a: "${uuid()}", b: "${a}"}\n'))
    assert (
        "let.b: unknown name 'a'" in problems(write, TARGETS, scenario(steps, 'let: {b: "${a}", a: 1}\n'))[0]
    )


def test_what_only_one_branch_captures_is_not_in_reach_after_the_choice(write: Write) -> None:
    take = "{route: health, capture: {seq: {json: $.seq}}}"
    both = f"- choose: [{{weight: 3, steps: [{take}]}}, {{weight: 1, steps: [{take}]}}]"
    one = f"- choose: [{{weight: 3, steps: [{take}]}}, {{weight: 1, steps: [{{route: health}}]}}]"
    use = "- {route: read, path: {id: '${seq}'}}"
    plan = make_plan(write(TARGETS, scenario(f"{both}\n{use}")), "a2", "burst")
    choice = plan.scenarios[0].steps[0]
    assert isinstance(choice, Choose) and [b.weight for b in choice.branches] == [3, 1]
    assert "in some branches only" in problems(write, TARGETS, scenario(f"{one}\n{use}"))[0]


def test_setup_has_no_iteration_and_its_captures_are_kept(write: Write) -> None:
    head = "setup: [{route: health, capture: {token: {header: X-Token}}}]\n"
    plan = make_plan(
        write(TARGETS, scenario("- {route: health, headers: {X: '${token}'}}", head)), "a2", "burst"
    )
    assert len(plan.scenarios[0].setup) == 1
    head = "setup: [{route: health, headers: {X: '${iteration}'}}]\n"
    assert (
        "'iteration' means nothing outside" in problems(write, TARGETS, scenario("- route: health", head))[0]
    )


def test_a_feeder_is_looked_up_with_its_fields(write: Write) -> None:
    data = (
        '{"feeder": "events", "kind": "a", "x": 1}\n{"feeder": "events", "kind": "b"}\n{"feeder": "other"}\n'
    )
    name = "tests__perf__config__data_DOT_jsonl"
    step = "- {route: health, headers: {X: '${data.%s}'}}"
    plan = make_plan(
        write(TARGETS, scenario(step % "kind", "feeder: events\n"), **{name: data}), "a2", "burst"
    )
    assert plan.feeders[0].records == 2
    found = problems(write, TARGETS, scenario(step % "x", "feeder: events\n"), **{name: data})
    assert "not every record of the feeder has 'x'" in found[0]
    found = problems(write, TARGETS, scenario(step % "kind", "feeder: event\n"), **{name: data})
    assert len(found) == 1 and "no records of feeder 'event'; did you mean 'events'?" in found[0]


def test_bad_records_are_named_by_line(write: Write) -> None:
    found = problems(write, TARGETS, SCENARIO, tests__perf__config__data_DOT_jsonl="{}\n{\n\n[1]\n")
    assert [line.split(": ")[0] for line in found] == ["data.jsonl:2", "data.jsonl:4"]


def test_a_python_scenario_is_hashed_and_never_imported(write: Write) -> None:
    workspace = write(TARGETS, None, scenarios__a2_DOT_py="raise SystemExit('imported')\n")
    scenario_ = make_plan(workspace, "a2", "burst").scenarios[0]
    assert scenario_.module == "scenarios/a2.py" and scenario_.module_sha256
    assert "there is a a2.yaml too" in problems(write, TARGETS, SCENARIO)[0]


def test_checks_keep_their_operators_and_types(write: Write) -> None:
    step = "- {route: health, check: {status: 200, json: {$.a: {ge: 1, lt: 5}, $.b: }, body: {matches: ^x}}}"
    first = make_plan(write(TARGETS, scenario(step)), "a2", "burst").scenarios[0].steps[0]
    assert isinstance(first, Step) and first.check.status == (200,)
    assert first.check.json == (
        ("$.a", Expect("ge", 1)),
        ("$.a", Expect("lt", 5)),
        ("$.b", Expect("eq", None)),
    )
    assert first.check.body == (Expect("matches", "^x"),)


def test_a_path_value_is_escaped_and_a_template_keeps_its_place(write: Write) -> None:
    step = "- {route: read, path: {id: 'a/b c-${uuid()}'}}"
    first = make_plan(write(TARGETS, scenario(step)), "a2", "burst").scenarios[0].steps[0]
    assert isinstance(first, Step) and first.path == Text(("/v1/events/a%2Fb%20c-", Call("uuid")))


def test_headers_of_the_app_go_with_every_step_and_the_step_wins(write: Write) -> None:
    targets = with_app("headers: {X-A: app, X-B: app}")
    first = (
        make_plan(write(targets, scenario("- {route: health, headers: {x-a: step}}")), "a2", "burst")
        .scenarios[0]
        .steps[0]
    )
    assert isinstance(first, Step) and first.headers == (("X-B", "app"), ("x-a", "step"))


def test_a_multipart_body_has_a_boundary_of_its_own_and_hashed_files(write: Write) -> None:
    step = "- {route: health, multipart: {a: '${vu}', doc: {file: doc.txt}}}"
    workspace = write(TARGETS, scenario(step), doc_DOT_txt="hello")
    first = make_plan(workspace, "a2", "burst").scenarios[0].steps[0]
    assert isinstance(first, Step) and first.body is not None
    assert first.body.content_type.startswith("multipart/form-data; boundary=ecoload")
    assert [file for file, _ in first.body.file_sha256] == ["doc.txt"]


# --- profiles -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "executor"),
    [
        ("{executor: constant, vus: 5, duration: 90s}", ConstantVUs(5, 90 * SECOND)),
        ("{executor: soak, vus: 5, duration: 1h}", ConstantVUs(5, 3600 * SECOND)),
        ("{executor: ramp, from: 10, to: 60, duration: 20m}", RampingVUs(10, (Stage(1200 * SECOND, 60.0),))),
        (
            "{executor: spike, base: 5, peak: 9, stages: [5s, 4s, 3s, 2s, 1s]}",
            RampingVUs(
                5,
                tuple(Stage(n * SECOND, t) for n, t in ((5, 5.0), (4, 9.0), (3, 9.0), (2, 5.0), (1, 5.0))),
            ),
        ),
        ("{executor: constant-vus, duration: 1s}", ConstantVUs(1, SECOND)),
        (
            "{executor: ramping-vus, startVUs: 0, stages: [{duration: 0s, target: 3}], gracefulRampDown: 1s}",
            RampingVUs(0, (Stage(0, 3.0),), SECOND),
        ),
        (
            "{executor: ramping-vus, stages: [{duration: 1s, target: 3}]}",
            RampingVUs(1, (Stage(SECOND, 3.0),)),
        ),
        ("{executor: shared-iterations}", SharedIterations(1, 1)),
        (
            "{executor: per-vu-iterations, vus: 3, iterations: 2, maxDuration: 1m}",
            PerVUIterations(3, 2, 60 * SECOND),
        ),
        (
            "{executor: constant-arrival-rate, rate: 0.5, timeUnit: 2s, duration: 1s, preAllocatedVUs: 2}",
            ConstantArrivalRate(0.5, SECOND, 2, 2, 2 * SECOND),
        ),
        (
            "{executor: ramping-arrival-rate, stages: [{duration: 1s, target: 9}], pre_allocated_vus: 2,"
            " maxVUs: 4, arrivals: poisson, on_exhausted: queue}",
            RampingArrivalRate(0.0, (Stage(SECOND, 9.0),), 2, 4, SECOND, Arrivals.POISSON, OnExhausted.QUEUE),
        ),
    ],
)
def test_every_executor_becomes_its_plan(write: Write, text: str, executor: object) -> None:
    assert profile_of(write, text) == executor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "profiles.burst.executor: is missing: one of constant, ramp"),
        (
            "{executor: constant, vus: 0, duration: 1s}",
            "profiles.burst.vus: should be greater than or equal to 1",
        ),
        ("{executor: constant, vus: 1}", "profiles.burst.duration: is missing"),
        ("{executor: constant, vus: 1, duration: 0s}", "expected a duration above 0s"),
        (
            "{executor: constant, vus: 1, duration: 5 minutes}",
            "expected a duration such as 90s, 2m, 1h30m or 250ms",
        ),
        ("{executor: constant, vus: yes, duration: 1s}", "expected a whole number, got 'yes'"),
        ("{executor: constant, vus: 1.5, duration: 1s}", "expected a whole number, got 1.5"),
        ("{executor: spike, base: 1, peak: 2, stages: [1s]}", "expected five durations"),
        ("{executor: spike, base: 3, peak: 2, stages: [1s, 1s, 1s, 1s, 1s]}", "expected more than base"),
        ("{executor: burst, rate: 1, duration: 1s, max_vus: 1, pacing: 1s}", "unknown key 'pacing'"),
        (
            "{executor: burst, rate: 1, duration: 1s, max_vus: 1, maxVUs: 2}",
            "maxVUs and max_vus are the same key",
        ),
        ("{executor: shared-iterations, vus: 3}", "expected at least as many as vus (3), got 1"),
        (
            "{executor: constant-arrival-rate, rate: 1, duration: 1s, preAllocatedVUs: 3, maxVUs: 2}",
            "expected at least pre_allocated_vus (3), got 2",
        ),
        (
            "{loads: [{executor: constant, vus: 1, duration: 1s, warm_up: 1s}]}",
            "warm_up belong to the profile",
        ),
        ("{loads: [{executor: constnt}]}", "profiles.burst.loads[0].executor: unknown word 'constnt'"),
        ("{executor: constant, vus: 1, duration: 1s, scenario: a9}", "there is no scenario 'a9'"),
        ("{executor: constant, vus: 1, duration: 1s, thresholds: [p95 < 3s for x]}", "expected a duration"),
    ],
)
def test_what_is_wrong_in_a_profile_is_said_at_its_line(write: Write, text: str, expected: str) -> None:
    found = problems(write, TARGETS.replace("{executor: burst, rate: 100, duration: 2m, max_vus: 60}", text))
    assert len(found) == 1, found
    assert found[0].startswith("targets.yaml:3:") and expected in found[0], found


def test_the_scale_touches_durations_and_grace_and_nothing_else(write: Write) -> None:
    text = "{executor: ramp, from: 1, to: 2, duration: 10s, pacing: 1s, start_time: 4s, "
    text += "graceful_stop: 8s, warm_up: 2s}"
    workspace = write(
        TARGETS.replace("{executor: burst, rate: 100, duration: 2m, max_vus: 60}", text),
        scenario("- {route: health, think: 1s, timeout: 3s}"),
    )
    plan = make_plan(workspace, "a2", "burst", duration_scale=0.5)
    load, step = plan.loads[0], plan.scenarios[0].steps[0]
    assert load.executor == RampingVUs(1, (Stage(5 * SECOND, 2.0),), 15 * SECOND)
    assert (load.start_time_ns, load.graceful_stop_ns, plan.warm_up_ns) == (2 * SECOND, 4 * SECOND, SECOND)
    assert load.pacing_ns == SECOND
    assert isinstance(step, Step) and step.think is not None
    assert (step.think.least_ns, step.timeout_ns) == (SECOND, 3 * SECOND)


def test_loads_stand_side_by_side(write: Write) -> None:
    text = "{loads: [{executor: constant, vus: 1, duration: 1s}, {executor: constant, vus: 2, duration: 1s}]}"
    workspace = write(TARGETS.replace("{executor: burst, rate: 100, duration: 2m, max_vus: 60}", text))
    plan = make_plan(workspace, "a2", "burst")
    assert [load.name for load in plan.loads] == ["burst_1", "burst_2"]
    assert [load.scenario for load in plan.loads] == [0, 0] and len(plan.scenarios) == 1


def test_counts_and_drift_are_levels_too(write: Write) -> None:
    level = "slo: {timeouts: 0, failed_checks: 3, p95_drift: 10%}"
    plan = make_plan(write(TARGETS.replace("effect: none}", f"effect: none, {level}}}")), "a2", "burst")
    slo = plan.routes[1].slo
    assert (slo.timeouts, slo.failed_checks, slo.p95_drift, slo.p95_ms) == (0, 3, 0.1, 150)
    wrong = "slo: {timeouts: -1, failed_checks: 1%, p95_drift: 2}"
    assert [
        message.partition("slo.")[2]
        for message in problems(
            write, TARGETS.replace("{get: /health, effect: none}", f"{{get: /health, effect: none, {wrong}}}")
        )
    ] == [
        "timeouts: should be greater than or equal to 0, got -1",
        "failed_checks: expected a whole number, got '1%'",
        "p95_drift: expected a share such as 0.01 or 1%, got 2",
    ]


def test_proofs_are_questions_with_their_answers(write: Write) -> None:
    proofs = """\
proofs:
  seen: {get: "/seen?run_id=${run.id}", json: $.seen, is: true, within: 60s}
  none: {get: /seen, json: $.n, is: 0}
  rate: {get: /seen, json: $.rate, is: 1.0}
  null_: {get: /seen, json: $.x, is: null}"""
    seen, *others = make_plan(write(with_app(proofs)), "a2", "burst", duration_scale=0.1).proofs
    assert (seen.name, seen.probe.path, seen.probe.json) == (
        "seen",
        Text(("/seen?run_id=", Ref(("run", "id")))),
        "$.seen",
    )
    assert (seen.expected, seen.within_ns) == (True, 60 * SECOND), "not scaled: it is the target's time"
    assert [(one.name, repr(one.expected), one.within_ns) for one in others] == [
        ("none", "0", 0),
        ("rate", "1.0", 0),
        ("null_", "None", 0),
    ]


@pytest.mark.parametrize(
    ("proof", "wrong"),
    [
        ("{get: /x, json: $.a}", ".is: is missing: what the answer must be"),
        ("{get: /x, json: $.a, is: [1]}", ".is: expected one value: a text, a number, true, false or null"),
        ("{get: x, json: $.a, is: 1}", ": get: expected a path that begins with one '/'"),
        ("{get: /x, json: a, is: 1}", ".json: expected a JSON path"),
        ("{get: /x, json: $.a, is: 1, with: 5s}", ".with: unknown key 'with'; did you mean 'within'?"),
        ("{get: '/x?${data.a}', json: $.a, is: 1}", ".get: 'data.a' needs a feeder"),
    ],
)
def test_a_proof_that_is_none_is_told(write: Write, proof: str, wrong: str) -> None:
    (found,) = problems(write, with_app(f"proofs: {{seen: {proof}}}"))
    assert f"apps.a2.proofs.seen{wrong}" in found


def test_an_app_tells_its_metrics(write: Write) -> None:
    plan = make_plan(write(with_app("metrics: {get: /metrics, resident_memory: rss_bytes}")), "a2", "burst")
    assert plan.metrics == Metrics(0, "/metrics", "rss_bytes")
    bare = make_plan(write(with_app("metrics: {get: '/metrics?x=${run.id}'}")), "a2", "burst").metrics
    assert bare == Metrics(0, Text(("/metrics?x=", Ref(("run", "id")))), None)
    assert make_plan(write(), "a2", "burst").metrics is None
    for wrong, told in (
        ("{get: metrics}", "metrics: get: expected a path"),
        ("{get: /m, resident_memory: 'a b'}", "metrics.resident_memory: 'a b' does not fit the form"),
        ("{get: '/${vu}'}", "metrics.get: "),
    ):
        assert f"apps.a2.{told}" in problems(write, with_app(f"metrics: {wrong}"))[0]


def test_every_shipped_app_tells_its_metrics() -> None:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    for app in workspace.apps:
        metrics = make_plan(workspace, app, "soak").metrics
        assert metrics is not None
        assert metrics.resident_memory == "process_resident_memory_bytes"


def test_the_shipped_apps_have_their_proofs() -> None:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    found = {app: [p.name for p in make_plan(workspace, app, "smoke").proofs] for app in workspace.apps}
    assert {app: names for app, names in found.items() if names} == {
        "a3": ["idempotency"],
        "a5": ["telemetry", "live_mode", "nothing_charged"],
    }


def test_the_shipped_routes_say_what_must_not_fail_once() -> None:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    found = {
        f"{route.app}.{route.name}": [
            level
            for level in ("timeouts", "failed_checks", "p95_drift")
            if getattr(route.slo, level) is not None
        ]
        for route in make_plan(workspace, "a2", "baseline").routes
    }
    assert {name: levels for name, levels in found.items() if levels} == {
        "a3.orchestration_replay": ["failed_checks"],
        "a3.effects": ["failed_checks"],
        "a4.chat_completions": ["timeouts", "p95_drift"],
        "a5.payment_config": ["failed_checks"],
        "a5.payment_summary": ["failed_checks"],
        "a5.payment_intent": ["failed_checks"],
        "a5.confirm_payment": ["failed_checks"],
        "a6.billing": ["failed_checks"],
        "a8.finance_tile": ["failed_checks"],
    }


def test_an_app_narrows_a_profile(write: Write) -> None:
    plan = make_plan(write(with_app("profiles: {burst: {max_vus: 10, slo: {p95_ms: null}}}")), "a2", "burst")
    executor = plan.loads[0].executor
    assert isinstance(executor, ConstantArrivalRate) and (executor.max_vus, executor.rate) == (10, 100)
    assert {route.slo.p95_ms for route in plan.routes} == {None}
    assert {route.slo.error_rate for route in plan.routes} == {0.01}


BURST = "{executor: burst, rate: 100, duration: 2m, max_vus: 60}"
SINGLE = (
    "{executor: ramp, from: 1, to: 9, duration: 20m, pacing: 1s, warm_up: 3s, slo: {p95_ms: 9, p99_ms: 99}, "
    "fail_when: ['p95 > 1s']}"
)
SEVERAL = (
    "{loads: [{executor: constant, vus: 2, duration: 1m}, "
    "{scenario: a2, executor: soak, vus: 3, duration: 2m}]}"
)


def test_a_profile_names_the_levels_that_decide(write: Write) -> None:
    chosen = TARGETS.replace("max_vus: 60}", "max_vus: 60, decides: [error_rate, timeouts, error_rate]}")
    assert make_plan(write(chosen), "a2", "burst").decides == ("error_rate", "timeouts")
    assert make_plan(write(), "a2", "burst").decides == ()
    own = with_app("profiles: {burst: {decides: [p95_ms]}}", chosen)
    assert make_plan(write(own), "a2", "burst").decides == ("p95_ms",)
    several = with_app(f"profiles: {{burst: {SEVERAL}}}", chosen)
    assert make_plan(write(several), "a2", "burst").decides == ("error_rate", "timeouts"), "kept"
    beside = SEVERAL[:-1] + ", decides: [p99_ms]}"
    assert make_plan(write(TARGETS.replace(BURST, beside)), "a2", "burst").decides == ("p99_ms",)


@pytest.mark.parametrize(
    ("decides", "wrong"),
    [
        ("[error_rte]", "[0]: unknown word 'error_rte'; did you mean 'error_rate'?"),
        ("[error_rate, p95_stretch_ms]", "[1]: unknown word 'p95_stretch_ms'; did you mean 'p95_ms'?"),
        ("[]", ": List should have at least 1 item"),
        ("error_rate", ": expected a list, got 'error_rate'"),
    ],
)
def test_what_decides_must_be_a_level(write: Write, decides: str, wrong: str) -> None:
    (found,) = problems(write, TARGETS.replace("max_vus: 60}", f"max_vus: 60, decides: {decides}}}"))
    assert f"profiles.burst.decides{wrong}" in found
    in_loads = "{loads: [{executor: constant, vus: 2, duration: 1m, decides: [error_rate]}]}"
    assert (
        "decides belong to the profile, beside loads:" in problems(write, TARGETS.replace(BURST, in_loads))[0]
    )


def test_a_smoke_shows_latency_and_does_not_judge_it() -> None:
    plan = make_plan(load_workspace(ROOT / "targets.yaml", environ={}), "a8", "smoke")
    assert plan.decides == ("error_rate", "failed_checks", "timeouts")


def test_an_app_may_run_a_single_load_as_several(write: Write) -> None:
    own = f"profiles: {{burst: {SEVERAL[:-1]}, slo: {{p95_ms: 5}}}}}}"
    plan = make_plan(write(with_app(own, TARGETS.replace(BURST, SINGLE))), "a2", "burst")
    assert [load.executor for load in plan.loads] == [
        ConstantVUs(2, 60 * SECOND),
        ConstantVUs(3, 120 * SECOND),
    ]
    assert [load.pacing_ns for load in plan.loads] == [0, 0], "nothing of the ramp is left"
    level = plan.routes[0].slo
    assert (plan.warm_up_ns, level.p95_ms, level.p99_ms) == (3 * SECOND, 5, 99)
    assert [condition.source for condition in plan.fail_when] == ["p95 > 1s"]


def test_an_app_may_run_several_loads_as_a_single_one(write: Write) -> None:
    general = TARGETS.replace(BURST, f"{SEVERAL[:-1]}, warm_up: 3s}}")
    own = "profiles: {burst: {executor: constant, vus: 4, duration: 1s}}"
    plan = make_plan(write(with_app(own, general)), "a2", "burst")
    assert [load.executor for load in plan.loads] == [ConstantVUs(4, SECOND)]
    assert plan.warm_up_ns == 3 * SECOND


def test_an_app_that_only_adds_to_several_loads_keeps_them(write: Write) -> None:
    own = "profiles: {burst: {warm_up: 3s}}"
    plan = make_plan(write(with_app(own, TARGETS.replace(BURST, SEVERAL))), "a2", "burst")
    assert (len(plan.loads), plan.warm_up_ns) == (2, 3 * SECOND)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("{loads: [{executor: soak, vus: 3}]}", "apps.a2.profiles.burst.loads[0].duration: is missing"),
        ("{loads: [], vus: 3}", "apps.a2.profiles.burst.vus: unknown key 'vus'"),
        (
            "{loads: [{scenario: a22, executor: soak, vus: 3, duration: 1m}]}",
            "apps.a2.profiles.burst.loads[0].scenario: there is no scenario 'a22'; did you mean 'a2'?",
        ),
        ("{scenario: a22}", "apps.a2.profiles.burst.scenario: there is no scenario 'a22'"),
    ],
)
def test_what_is_wrong_in_an_apps_own_profile_is_said_at_its_line(
    write: Write, own: str, expected: str
) -> None:
    found = problems(write, with_app(f"profiles: {{burst: {own}}}"))
    assert any(line.startswith("targets.yaml:12:") and expected in line for line in found), found


# --- effects --------------------------------------------------------------------------------------


def test_a_route_may_inject_a_fault_and_needs_no_namespace(write: Write) -> None:
    break_it = TARGETS.replace("{get: /health, effect: none}", "{post: /__faults, effect: fault}")
    plan = make_plan(write(break_it), "a2", "burst")
    assert {route.name: route.effect for route in plan.routes} == {
        "ingest": "write",
        "read": "none",
        "health": "fault",
    }
    wrong = break_it.replace("effect: fault", "effect: fault, namespace: {in: query, at: ns}")
    assert "namespace: belongs to routes with effect: write" in problems(write, wrong)[0]
    proof = with_app("persistence: {route: health, count: {get: /c, json: $.c}}", break_it)
    assert "route 'health' does not write" in problems(write, proof)[0]
    assert (
        "unknown word 'falt'; did you mean 'fault'?"
        in problems(write, break_it.replace("effect: fault", "effect: falt"))[0]
    )


# --- plans ----------------------------------------------------------------------------------------


def test_an_unknown_app_or_profile_is_a_usage_error_with_the_nearest(write: Write) -> None:
    workspace = write()
    with pytest.raises(UsageError, match="unknown app 'a22'; did you mean 'a2'"):
        make_plan(workspace, "a22", "burst")
    with pytest.raises(UsageError, match="unknown profile 'brust'; did you mean 'burst'"):
        make_plan(workspace, "a2", "brust")
    with pytest.raises(UsageError, match="unknown app 'a3'"):
        make_plan(workspace, "a2", "burst", base_urls={"a3": "http://x"})
    with pytest.raises(UsageError, match="scale must be above 0"):
        make_plan(workspace, "a2", "burst", duration_scale=0)
    with pytest.raises(UsageError, match="makes more than 366d"):
        make_plan(workspace, "a2", "burst", duration_scale=1e30)
    for seed in (2**63, -(2**63) - 1):
        with pytest.raises(UsageError, match="a number of 64 bits"):
            make_plan(workspace, "a2", "burst", seed=seed)


def test_an_address_comes_from_the_environment_the_default_or_the_command(write: Write) -> None:
    targets = TARGETS.replace("https://a2.example", "${A2_URL:-http://default:81/base/}")
    origin = make_plan(write(targets), "a2", "burst").origins[0]
    assert (origin.scheme, origin.host, origin.port, origin.base_path) == ("http", "default", 81, "/base")
    workspace = write(targets, SCENARIO, {"A2_URL": "https://set"})
    assert make_plan(workspace, "a2", "burst").origins[0].authority == "set"
    origin = make_plan(workspace, "a2", "burst", base_urls={"a2": "http://[::1]:9"}, embedded={"a2"}).origins[
        0
    ]
    assert (origin.host, origin.port, origin.embedded) == ("::1", 9, True)
    with pytest.raises(UsageError, match="the address of a2: expected an http or https"):
        make_plan(workspace, "a2", "burst", base_urls={"a2": "x"})


def test_an_address_that_is_not_set_matters_only_to_the_app_that_is_planned(write: Write) -> None:
    second = TARGETS + "  a3: {base_url: '${A3_URL}', routes: {health: {get: /health, effect: none}}}\n"
    first = second.replace(
        "apps:\n", "apps:\n  a1: {base_url: '${A1_URL}', routes: {h: {get: /h, effect: none}}}\n"
    )
    workspace = write(first)
    plan = make_plan(workspace, "a2", "burst")
    assert [origin.app for origin in plan.origins] == ["a2"]
    step = plan.scenarios[0].steps[0]
    assert isinstance(step, Step) and plan.routes[step.route].name == "health"
    plan = make_plan(workspace, "a2", "burst", base_urls={"a1": "http://a1"})
    step = plan.scenarios[0].steps[0]
    assert isinstance(step, Step) and plan.origins[step.origin].app == "a2"
    assert (plan.routes[step.route].app, plan.routes[step.route].name) == ("a2", "health")
    with pytest.raises(UsageError, match="address of a3 needs A3_URL"):
        make_plan(workspace, "a3", "burst")


def test_an_app_is_production_and_read_only_until_it_says_otherwise(write: Write) -> None:
    origin = make_plan(write(TARGETS.replace("    writes: perf_test\n", "")), "a2", "burst").origins[0]
    assert (origin.environment, origin.writes) == ("production", None)


def test_declared_environment_must_be_set_and_secrets_stay_references(write: Write) -> None:
    targets = with_app(
        "env: [TENANT]\nsecrets: {TOKEN: {env: A2_TOKEN}, KEY: {file: key.txt}, OTHER: {env: NOT_USED}}\n"
        "headers: {X-Key: '${secret.KEY}', X-Token: 'Token ${lower(secret.TOKEN)}'}"
    )
    with pytest.raises(UsageError, match="TENANT must be set"):
        make_plan(write(targets), "a2", "burst")
    plan = make_plan(write(targets, SCENARIO, {"TENANT": "t", "A2_TOKEN": "hush"}), "a2", "burst")
    assert plan.env == (("TENANT", "t"),)
    assert plan.secrets == (("KEY", "file:key.txt"), ("TOKEN", "env:A2_TOKEN")), "those it needs, no others"
    assert "hush" not in repr(plan)


def test_levels_go_from_the_default_over_the_route_to_the_profile(write: Write) -> None:
    targets = TARGETS.replace(
        "get: /health, effect: none", "get: /health, effect: none, slo: {p99_ms: 9, p95_ms: 7}"
    )
    plan = make_plan(write(targets.replace("max_vus: 60}", "max_vus: 60, slo: {p95_ms: 5}}")), "a2", "burst")
    health = next(route for route in plan.routes if route.name == "health").slo
    assert (health.p95_ms, health.p99_ms, health.p95_stretch_ms, health.error_rate) == (5, 9, 120, 0.01)


def test_the_spec_hash_is_of_what_was_written_not_of_where_it_runs(write: Write) -> None:
    targets = TARGETS.replace("https://a2.example", "${A2_URL:-sandbox}")
    one = make_plan(write(targets), "a2", "burst")
    two = make_plan(
        write(targets, SCENARIO, {"A2_URL": "http://x"}), "a2", "burst", seed=9, duration_scale=0.1
    )
    assert one.spec_hash == two.spec_hash and one.execution_hash != two.execution_hash
    other = make_plan(write(targets, SCENARIO + "    think: 1s\n"), "a2", "burst")
    assert other.spec_hash != one.spec_hash
    faster = make_plan(write(targets.replace("rate: 100", "rate: 101")), "a2", "burst")
    assert faster.spec_hash != one.spec_hash
    commented = make_plan(write("# a remark\n" + targets), "a2", "burst")
    assert commented.spec_hash == one.spec_hash


def test_the_same_workspace_gives_the_same_plan(write: Write) -> None:
    assert make_plan(write(), "a2", "burst") == make_plan(write(), "a2", "burst")


# --- the pages ------------------------------------------------------------------------------------


def yaml_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text().split("```yaml\n")[1].split("```")[0]


def test_the_examples_of_the_pages_load(write: Write) -> None:
    write(yaml_of("targets.md"))
    write(TARGETS[: TARGETS.index("profiles:")] + yaml_of("profiles.md") + TARGETS[TARGETS.index("apps:") :])
    files = {"tests__perf__config__data_DOT_jsonl": (ROOT / "tests/perf/config/data.jsonl").read_text()}
    for path in (ROOT / "scenarios").glob("*.yaml"):
        files[f"scenarios__{path.stem}_DOT_yaml"] = path.read_text()
    files["scenarios__a2_DOT_yaml"] = yaml_of("scenarios.md")
    write((ROOT / "targets.yaml").read_text(), None, **files)


def test_a_broken_header_of_an_app_is_noted_once(write: Write) -> None:
    found = problems(write, with_app("headers: {X: '${uuid('}"))
    assert len(found) == 1 and "apps.a2.headers.X" in found[0]


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"https_proxy": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "a2.example"}, None),
        (
            {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "other.example"},
            "http://proxy.example:3128",
        ),
    ],
)
def test_the_environments_proxy_is_used_as_every_client_uses_it(
    write: Write, environ: dict[str, str], proxy: str | None
) -> None:
    plan = make_plan(write(environ=environ), "a2", "burst")
    assert plan.proxy == proxy
    assert plan.transport == ("aiohttp" if proxy else "http1")


def test_the_embedded_sandbox_is_never_behind_a_proxy(write: Write) -> None:
    workspace = write(environ={"HTTP_PROXY": "http://proxy.example:3128"})
    plan = make_plan(workspace, "a2", "burst", base_urls={"a2": "http://127.0.0.1:9"}, embedded={"a2"})
    assert plan.proxy is None
