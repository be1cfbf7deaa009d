"""Steps of a scenario as code of a k6 script: what is sent, what is looked at, what ends an iteration, and
what is refused because k6 cannot say it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ecoload.export.k6 import helpers
from ecoload.export.k6.js import CannotExport
from ecoload.export.k6.steps import (
    base_url_name,
    check_records,
    iteration,
    records_name,
    secret_variable,
    setup_steps,
    teardown_steps,
)
from ecoload.plan import (
    Body,
    BodyKind,
    Branch,
    Call,
    Capture,
    Check,
    Choose,
    Expect,
    NamespaceAt,
    Object,
    Origin,
    Part,
    Plan,
    ProtocolHeader,
    Ref,
    Route,
    Scenario,
    Step,
    Text,
    Think,
)
from ecoload.spec.workspace import load_workspace, make_plan

ROOT = Path(__file__).resolve().parents[2]
SECOND = 1_000_000_000


def plan(**changes: Any) -> Plan:
    return Plan(
        **{
            "tool_version": "test",
            "protocol": ProtocolHeader(namespace="perf_test"),
            "app": "shop",
            "profile": "smoke",
            "seed": 1,
            "duration_scale": 1.0,
            "origins": (Origin("shop", "http", "127.0.0.1", 80, writes="perf_test"),),
            "routes": (
                Route("shop", "read", "GET", "/things/{id}", "none"),
                Route("shop", "make", "POST", "/things", "none"),
                Route("shop", "put", "POST", "/put", "write", NamespaceAt("json", "ns"), bearer=True),
            ),
            "scenarios": (),
            "loads": (),
            "secrets": (("KEY", "env:SHOP_KEY"), ("PIN", "file:pins/pin")),
            **changes,
        }
    )


def read(path: Any = "/things/1", **changes: Any) -> Step:
    return Step(**{"route": 0, "origin": 0, "method": "GET", "path": path, "check": Check((200,)), **changes})


def make(body: Body | None = None, **changes: Any) -> Step:
    given = {
        "route": 1,
        "origin": 0,
        "method": "POST",
        "path": "/things",
        "body": body,
        "check": Check((200,)),
    }
    return Step(**{**given, **changes})


def json(content: Any) -> Body:
    return Body(BodyKind.JSON, content, "application/json")


def code(*steps: Step | Choose, lets: Any = (), **changes: Any) -> str:
    """An iteration of those steps."""
    scenario = Scenario("shop", lets, steps, feeder="things", **changes)
    return iteration(plan(), scenario, "shop").text


def refused(*steps: Step | Choose, **changes: Any) -> list[str]:
    with pytest.raises(CannotExport) as error:
        code(*steps, **changes)
    return str(error.value).splitlines()


DATA = Ref(("data", "name"))
ID = Capture("id", "json", "$.id")


# --- The whole ------------------------------------------------------------------------------------


def shipped(app: str) -> Plan:
    workspace = load_workspace(ROOT / "targets.yaml", environ={})
    urls = {name: f"http://127.0.0.1:{9000 + index}" for index, name in enumerate(workspace.apps)}
    return make_plan(workspace, app, "baseline", base_urls=urls, embedded=urls)


@pytest.mark.parametrize("app", ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"])
def test_every_shipped_scenario_can_be_said(app: str) -> None:
    found = shipped(app)
    for scenario in found.scenarios:
        assert iteration(found, scenario, "iterate").text.startswith("function iterate(run) {\n")
        setup_steps(found, scenario)
        teardown_steps(found, scenario)


def test_an_iteration_reads_as_an_expert_writes_it() -> None:
    found = shipped("a2")
    said = iteration(found, found.scenarios[0], "ingest")
    assert said.text == A2
    assert said.needs == {"bearer", "exec", "http", "json", "passed", "tracing"}


A2 = """\
function ingest(run) {
  const data = events[exec.scenario.iterationInTest % events.length];
  const event_id = crypto.randomUUID();

  const answer = http.post(
    `${A2}/v1/events`,
    JSON.stringify({
      event_id,
      namespace: "perf_test",
      run_id: run.id,
      lineage_id: event_id,
      kind: data.kind,
      source: data.source,
      at: Date.now(),
      data: {
        sequence: data.sequence,
        value: data.value,
      },
    }),
    {
      tags: { name: "ingest" },
      headers: {
        ...tracing(run),
        Authorization: `Bearer ${bearer(run)}`,
        "Content-Type": "application/json",
        "Idempotency-Key": event_id,
      },
      responseCallback: http.expectedStatuses(202),
      redirects: 0,
    },
  );
  const body = json(answer);
  passed("ingest", answer, {
    "status is 202": answer.status === 202,
    "$.accepted is true": body?.accepted === true,
    "sequence is captured": body?.sequence !== undefined,
  });
}"""


def test_a_script_gets_the_helpers_that_it_needs_and_what_they_need() -> None:
    texts, imports = helpers.closure({"form", "sleep"})
    assert [text.split("function ")[1].split("(")[0] for text in texts] == ["text", "urlencode", "form"]
    assert helpers.import_lines(imports) == ['import { sleep } from "k6";']


def test_files_are_opened_once_and_looked_at() -> None:
    sent = Body(BodyKind.FILE, "files/a.pdf", "application/pdf", (("files/a.pdf", "0" * 64),))
    said = iteration(plan(), Scenario("shop", steps=(make(sent), make(sent))), "shop")
    assert 'http.post(`${SHOP}/things`, FILES["files/a.pdf"], {' in said.text
    texts, imports = helpers.closure(said.needs)
    assert '"files/a.pdf": file(\n    "../../../files/a.pdf",' in texts[0]
    assert "k6/crypto" in imports


# --- What is sent ---------------------------------------------------------------------------------


def test_what_a_step_says_of_its_request_is_said_to_k6() -> None:
    found = code(read(timeout_ns=SECOND // 4, redirects=0, check=Check((200, 404)), headers=(("X-A", "b"),)))
    assert 'headers: {\n      ...tracing(run),\n      "X-A": "b",\n    },' in found
    assert "responseCallback: http.expectedStatuses(200, 404)," in found
    assert 'timeout: "250ms",' in found
    assert '"status is 200 or 404": [200, 404].includes(answer.status),' in found


def test_no_redirect_is_followed_and_one_that_ecoload_would_follow_fails() -> None:
    followed = code(read(check=Check()))
    assert "redirects: 0," in followed
    assert "answer.status >= 200 && answer.status < 400 && !redirected(answer)," in followed
    assert "redirected" not in code(read(check=Check(), redirects=0))
    assert "redirected" not in code(read(check=Check((200,))))


def test_a_value_that_a_path_cannot_hold_is_looked_at_before_anything_is_sent() -> None:
    found = code(read(Text(("/things/", DATA))))
    before, sent = found.split("const answer")
    assert 'if (!fitsPath(data.name)) {\n    refused("read", "its path");\n    return;\n  }' in before
    assert "`${SHOP}/things/${urlencode(data.name)}`" in sent


def test_what_is_fit_for_every_place_is_not_looked_at() -> None:
    key = Ref(("key",))
    found = code(read(Text(("/things/", key)), headers=(("Key", key),)), lets=(("key", Call("uuid")),))
    assert "fits" not in found
    assert "`${SHOP}/things/${key}`" in found


def test_a_header_that_varies_is_looked_at() -> None:
    assert "if (!fitsHeader(data.name)) {" in code(read(headers=(("X", Text(("a ", DATA))),)))


def test_a_long_query_is_put_together_before() -> None:
    found = code(read(query=(("first", DATA), ("second", "a b"), ("third", "x" * 40))))
    assert "const query = form({\n    first: data.name," in found
    assert "http.get(`${SHOP}/things/1?${query}`, {" in found
    assert "/things/1?a=%28b%29&c=${urlencode(data.name)}" in code(read(query=(("a", "(b)"), ("c", DATA))))


def test_fields_that_javascript_would_put_in_another_order_stand_as_text() -> None:
    body = Body(BodyKind.FORM, (("b", DATA), ("1", DATA)), "application/x-www-form-urlencoded")
    assert "`b=${urlencode(data.name)}&1=${urlencode(data.name)}`" in code(make(body))


def test_json_that_javascript_would_write_otherwise_stands_as_text() -> None:
    assert '`{"b":1.0,"1":${JSON.stringify(data.name)}}`' in code(
        make(json(Object((("b", 1.0), ("1", DATA)))))
    )
    assert '"[1.0]"' not in code(make(json(Object((("b", 1), ("a", DATA))))))


def test_a_multipart_body_holds_its_parts_in_their_order() -> None:
    parts = (Part("a", DATA), Part("f", None, "x.bin", "x.bin", "image/png"))
    sent = Body(BodyKind.MULTIPART, parts, "multipart/form-data; boundary=B1", (("x.bin", "0" * 64),))
    found = code(make(sent))
    assert (
        'multipart("B1", [\n      {\n        name: "a",\n        content: text(data.name),\n      },' in found
    )
    assert 'filename: "x.bin",\n        type: "image/png",\n        content: FILES["x.bin"],' in found


def test_a_write_whose_namespace_only_the_run_tells_is_looked_at() -> None:
    body = json(Object((("ns", DATA),)))
    step = Step(2, 0, "POST", "/put", body=body, check=Check((200,)))
    found = code(step)
    assert 'if (data.name !== "perf_test") {\n    refused("put", "its namespace");' in found
    assert "Authorization: `Bearer ${bearer(run)}`," in found
    other = dataclasses.replace(step, body=json(Object((("ns", "live"),))))
    assert refused(other) == ["scenario shop, step 1 (put): it would leave the namespace 'perf_test'"]


# --- What becomes of it ---------------------------------------------------------------------------


def test_a_failed_step_with_captures_ends_the_iteration_and_others_do_not() -> None:
    found = code(read(), read(captures=(ID,)), read(Text(("/things/", Ref(("id",))))))
    first, second, third = found.split("passed(")[1:]
    assert "return" not in first
    assert 'if (\n    !passed("read"' in found
    assert "  return;\n  }" in second
    assert "const id = captured(answer, body?.id);" in first
    assert '"id is captured": id !== undefined,' in second
    assert "return" not in third


def test_a_capture_that_nothing_reads_is_checked_only() -> None:
    found = code(read(captures=(ID,)))
    assert '"id is captured": body?.id !== undefined,' in found
    assert "const id" not in found
    assert "return" not in found


def test_what_several_steps_set_is_declared_before_them() -> None:
    token = Capture("token", "header", "x-token", "t=(.+)")
    branches = (Branch(3, (read(captures=(token,)),)), Branch(1, (read(captures=(token,)),)))
    found = code(Choose(branches), read(headers=(("T", Ref(("token",))),)))
    assert "  let answer;\n  let token;\n" in found
    assert "  const chance = Math.random() * 4;\n  if (chance < 3) {\n    answer = http.get(" in found
    assert '    token = match(answer.headers["X-Token"], /t=([^\\n]+)/u);\n' in found
    assert "  } else {\n    answer = http.get(" in found


def test_think_time_is_slept_after_its_step() -> None:
    found = code(read(think=Think(SECOND, 3 * SECOND)), read(think=Think(SECOND // 2, SECOND // 2)))
    assert "sleep(1 + Math.random() * 2);" in found
    assert found.endswith("  sleep(0.5);\n}")


def test_checks_have_names_that_people_read() -> None:
    check = Check(
        (201,),
        headers=(("x-count", Expect("ge", 5)), ("x-kind", Expect("exists", False))),
        json=(
            ("$.a.b[0]", Expect("eq", DATA)),
            ("$.rows[*].n", Expect("each", Ref(("secret", "KEY")))),
            ("$.n", Expect("ne", None)),
            ("$.n", Expect("length", 2)),
        ),
        body=(Expect("contains", "a::b"), Expect("contains", "a::b")),
        duration_ns=SECOND // 4,
    )
    found = code(read(check=check))
    for line in (
        '"takes at most 250 ms": answer.timings.duration <= 250,',
        '"x-count >= 5": compare(parsed(answer.headers["X-Count"]), 5) >= 0,',
        '"x-kind is not there": answer.headers["X-Kind"] === undefined,',
        '"$.a.b[0] is data.name": equal(at(body, "a", "b", 0), data.name),',
        '"$.n is not null": body?.n !== undefined && body?.n !== null,',
        '"$.n has length 2": sizeOf(body?.n) === 2,',
        '"body contains a: :b": contains(answer.body, "a::b"),',
        '"body contains a: :b (2)": contains(answer.body, "a::b"),',
    ):
        assert line in found
    assert '"each $.rows[*].n is secret.KEY": each(\n      members(body?.rows, "n"),\n' in found
    assert "__ENV.SHOP_KEY," in found


# --- Setup and teardown ---------------------------------------------------------------------------


def test_what_setup_captured_is_handed_on_by_run() -> None:
    use = read(Text(("/things/", Ref(("id",)))))
    scenario = Scenario("my-shop", steps=(use,), setup=(read(captures=(ID,)),), teardown=(use,))
    before = setup_steps(plan(), scenario)
    assert before.text.startswith("  {\n    const answer = http.get(`${SHOP}/things/1`, {\n")
    assert 'tags: { name: "(setup)" },' in before.text
    assert '    demand("read", answer, {\n' in before.text
    assert before.text.endswith("    run.setup_my_shop = {\n      id,\n    };\n  }")
    assert "${urlencode(run.setup_my_shop.id)}" in iteration(plan(), scenario, "shop").text
    after = teardown_steps(plan(), scenario)
    assert 'throw new Error("read was not sent: a value must not stand in its path");' in after.text
    assert "passed" not in before.needs | after.needs


def test_without_a_setup_there_is_no_code() -> None:
    assert setup_steps(plan(), Scenario("shop", steps=(read(),))).text == ""


# --- Names ----------------------------------------------------------------------------------------


def test_names_that_javascript_or_the_script_has_are_given_a_number() -> None:
    lets = (("class", Call("uuid")), ("http", Call("uuid")), ("SHOP", Call("uuid")), ("fine", Call("uuid")))
    sent = json(Object(tuple((name, Ref((name,))) for name, _ in lets)))
    found = code(make(sent), lets=lets)
    for line in (
        "class: class2,",
        "http: http2,",
        "SHOP: SHOP2,",
        "fine,",
        "const class2 = crypto.randomUUID();",
    ):
        assert line in found


def test_apps_records_and_secrets_have_their_names_in_a_script() -> None:
    assert [base_url_name(app) for app in ("a2", "my-app", "2nd", "scale")] == [
        "A2",
        "MY_APP",
        "APP_2ND",
        "APP_SCALE",
    ]
    assert [records_name(name) for name in ("events", "my-data", "class")] == ["events", "my_data", "_class"]
    assert [secret_variable(plan(), name) for name in ("KEY", "PIN")] == ["SHOP_KEY", "PIN"]


def test_a_record_with_a_long_name_is_taken_in_two_lines() -> None:
    scenario = Scenario("shop", steps=(make(json(DATA)),), feeder="records_of_a_feeder_with_a_name")
    lines = iteration(plan(), scenario, "shop").text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "  const data = records_of_a_feeder_with_a_name[turn];" in lines


def test_nothing_that_people_write_breaks_out_of_its_place() -> None:
    hostile = "\"'`${x}*/\\\n\u2028</script>"
    found = code(
        make(
            json(Object(((hostile, hostile), ("__proto__", Text((hostile, DATA)))))),
            headers=(("X", "\"'`${x}*/\\"),),
            check=Check((200,), body=(Expect("contains", hostile),)),
        )
    )
    assert "\u2028" not in found
    assert 'contains(answer.body, "\\"\'`${x}*/\\\\\\n\\u2028</script>")' in " ".join(found.split()).replace(
        "( ", "("
    ).replace(", )", ")")
    assert '["__proto__"]: `"\'\\`\\${x}*/\\\\\\n\\u2028</script>${text(data.name)}`,' in found


# --- What k6 cannot say ---------------------------------------------------------------------------


def test_a_python_scenario_is_refused_with_what_to_do() -> None:
    (line,) = refused(module="scenarios/shop.py")
    assert line == (
        "scenario shop: scenarios/shop.py is Python, which k6 does not run; write its steps in "
        "scenarios/shop.yaml, or leave it to ecoload"
    )


def judging(expect: Expect, path: str = "$.a") -> Step:
    return read(check=Check((200,), json=((path, expect),)))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (read('/a"b'), "its path has what k6 would escape: '/a\"b'; write it percent-encoded"),
        (
            read(headers=(("X", "é"),)),
            "the header X has what is not ASCII, which k6 sends as UTF-8 or not at all",
        ),
        (
            read(headers=(("Traceparent", "x"),)),
            "the header traceparent is not the step's to set in k6; leave it out",
        ),
        (
            judging(Expect("gt", 2**53)),
            "9007199254740992 is beyond 2^53, and JavaScript does not tell it from its neighbours",
        ),
        (
            judging(Expect("eq", 1), "$..a"),
            "the JSON path $..a is not to be had in k6: write one of names and indices, such as $.a.b[0], or "
            "$.a[*].b below each",
        ),
        (
            judging(Expect("eq", 1), "$.a[*].b"),
            "the JSON path $.a[*].b is not to be had in k6: write one of names and indices, such as "
            "$.a.b[0], or $.a[*].b below each",
        ),
        (
            read(captures=(Capture("x", "regex", r"(\d+)"),)),
            r"the regular expression '(\\d+)': \d is a digit of any script in Python: write [0-9], or begin "
            "with (?a)",
        ),
        (
            judging(Expect("eq", Call("sha256", (DATA,)))),
            "a digest equals nothing of an answer: compare with hex(…) or base64url(…) of it",
        ),
        (
            judging(Expect("eq", Call("sha256", ("x",)))),
            "a digest equals nothing of an answer: compare with hex(…) or base64url(…) of it",
        ),
        (judging(Expect("contains", 1.0)), "1.0 is another text in JavaScript; write it in quotes"),
    ],
)
def test_what_k6_would_do_otherwise_is_refused_by_its_place(step: Step, reason: str) -> None:
    assert refused(step) == [f"scenario shop, step 1 (read): {reason}"]


def test_every_problem_is_told_at_once() -> None:
    lines = refused(
        read("/é"),
        Choose((Branch(1, (read(),)), Branch(1, (make(json(2**60)),)))),
        lets=(("x", Object((("1", Call("uuid")),))),),
        setup=(read(captures=(ID,)),),
    )
    assert [line.partition(":")[0] for line in lines] == [
        "scenario shop, step 1 (read)",
        "scenario shop, step 3 (make)",
    ]
    use = make(json(Object((("id", Ref(("id",))), ("x", Ref(("x",)))))))
    lines = refused(
        use, lets=(("id", Call("uuid")), ("x", Object((("1", Call("uuid")),)))), setup=(read(captures=(ID,)),)
    )
    assert lines == [
        "scenario shop: id is captured in setup, and made again later; rename one of them",
        "scenario shop: let x has 1.0 or keys of digits in it, which k6 would send otherwise",
    ]


def test_records_that_javascript_would_send_otherwise_are_refused() -> None:
    scenario = Scenario(
        "shop", steps=(read(Text(("/things/", DATA))), make(json(Ref(("data", "n"))))), feeder="things"
    )
    check_records(plan(), scenario, [{"name": "1.0", "n": 1.0, "other": 2**60}, {"name": 2.5, "n": -7}])
    with pytest.raises(CannotExport) as error:
        check_records(plan(), scenario, [{"name": "a", "n": 1}, {"name": 1.0, "n": 2**53}])
    advice = "which k6 would send otherwise; write it in quotes, or as JavaScript spells it"
    assert str(error.value).splitlines() == [
        f"feeder things, record 2: n is 9007199254740992, {advice}",
        f"feeder things, record 2: name is 1.0, {advice}",
    ]
