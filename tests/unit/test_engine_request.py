"""From a step to its bytes: every part where it belongs, nothing escapes, nothing unsafe is sent."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoload.errors import WorkerFailed
from ecoload.plan import (
    Array,
    Body,
    BodyKind,
    Call,
    Capture,
    HttpLimits,
    NamespaceAt,
    Object,
    Part,
    PerVUIterations,
    Ref,
    Route,
    SharedIterations,
    Step,
    Text,
    Value,
)
from tests.unit.support import APP, OTHER, POST, ROUTES, Reply, Request, Run, S, get, make_plan, run_plan

X = Ref(("x",))
SECRET = Ref(("secret", "KEY"))


def ran(step: Step, x: Value = None, *, secret: str = "s", **more: Any) -> Run:
    """One iteration of a step in which `${x}` is a value known only at run time."""
    return run_plan(make_plan(step, scenario={"lets": (("x", x),)}, **more), secrets={"KEY": secret})


def sent(step: Step, x: Value = None, **more: Any) -> Request:
    (request,) = ran(step, x, **more).requests
    return request


def body(kind: BodyKind, content: Any, content_type: str = "x/y") -> Step:
    return Step(POST, 0, "PUT", "/", body=Body(kind, content, content_type))


def free(step: Step) -> dict[str, Any]:
    """Makes the step's route one that writes nothing, so that no namespace is asked for."""
    return {"routes": (*ROUTES[:POST], Route("app", "put", step.method, "/", "none"), *ROUTES[POST + 1 :])}


def payload(step: Step, x: Value = None) -> bytes:
    request = sent(step, x, **free(step))
    assert request.headers["content-length"] == str(len(request.body))
    return request.body


# --- The head -------------------------------------------------------------------------------------


def test_a_plain_get() -> None:
    request = sent(get("/a/b"))
    assert request.line == "GET /a/b HTTP/1.1"
    assert request.headers == {
        "host": "app.test",
        "user-agent": "ecoload/1",
        "x-ecoload-run": "run-1",
        "traceparent": request.headers["traceparent"],
    }
    assert request.body == b""


def test_an_origin_gives_its_base_path_and_its_port() -> None:
    origin = dataclasses.replace(OTHER, base_path="/api/v1")
    request = sent(Step(3, 1, "GET", "/x"), origins=(APP, origin))
    assert (request.target, request.headers["host"]) == ("/api/v1/x", "other.test:8080")


def test_what_every_request_carries_can_be_written_differently_by_a_step_and_once_only() -> None:
    assert sent(get(headers=(("user-agent", "mine"),))).headers["user-agent"] == "mine"
    assert sent(get(), http=HttpLimits(user_agent="theirs")).headers["user-agent"] == "theirs"


def test_every_request_has_a_trace_of_its_own() -> None:
    done = run_plan(make_plan(executor=SharedIterations(2, 20)))
    traces = [request.headers["traceparent"] for request in done.requests]
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)
    assert len({trace.split("-")[1] for trace in traces}) == 20
    assert not any(set(part) == {"0"} for trace in traces for part in trace.split("-")[1:3])


def test_requests_that_may_have_a_body_always_tell_its_length() -> None:
    for method, length in (("POST", "0"), ("PUT", "0"), ("PATCH", "0"), ("GET", None), ("DELETE", None)):
        step = Step(POST, 0, method, "/")
        assert sent(step, **free(step)).headers.get("content-length") == length


def test_a_query_is_escaped_and_keeps_its_order() -> None:
    step = get("/a", query=(("q", "a b&c=d"), ("x y", X), ("m", Text(("<", X, ">")))))
    assert sent(step, "1/2?").target == "/a?q=a%20b%26c%3Dd&x%20y=1%2F2%3F&m=%3C1%2F2%3F%3E"


def test_a_path_stands_as_written_and_only_what_is_put_in_is_escaped() -> None:
    step = get(Text(("/a%20b/", X, "/c;d=1")))
    assert sent(step, "x/y z").target == "/a%20b/x%2Fy%20z/c;d=1"


PERCENT = "100%s %d %% %(x)s %b"


@pytest.mark.parametrize("x", [PERCENT, "%", 5])
def test_a_percent_sign_is_only_a_percent_sign(x: Value) -> None:
    step = get(
        Text(("/%25/", X)),
        query=(("a%", PERCENT), ("b", X)),
        headers=(("X-Constant", PERCENT), ("X-Hole", X), ("X-Mixed", Text((PERCENT, X)))),
        body=Body(BodyKind.JSON, Object(((PERCENT, PERCENT), ("x", X))), "a/b%s"),
    )
    request = sent(step, x)
    assert request.headers["x-constant"] == PERCENT
    assert request.headers["x-hole"] == str(x)
    assert request.headers["x-mixed"] == f"{PERCENT}{x}"
    assert request.headers["content-type"] == "a/b%s"
    assert orjson.loads(request.body) == {PERCENT: PERCENT, "x": x}
    assert request.headers["content-length"] == str(len(request.body))


def test_a_percent_sign_in_a_constant_body_and_head_is_one_too() -> None:
    request = sent(get(headers=(("A", "%s"),), body=Body(BodyKind.TEXT, "50%d", "a/b")))
    assert (request.headers["a"], request.body) == ("%s", b"50%d")
    request = sent(get(headers=(("A", X),), body=Body(BodyKind.TEXT, "50%d", "a/b")), "%s")
    assert (request.headers["a"], request.body) == ("%s", b"50%d")


def test_a_secret_is_put_in_when_the_request_is_made() -> None:
    step = get(headers=(("Authorization", Text(("Bearer ", SECRET))),))
    assert sent(step, secret="top").headers["authorization"] == "Bearer top"


# --- Tokens ---------------------------------------------------------------------------------------

WITH_TOKEN = {"routes": (dataclasses.replace(ROUTES[0], bearer=True), *ROUTES[1:])}


def authorizations(run: Run) -> list[str | None]:
    return [request.headers.get("authorization") for request in run.requests]


def test_a_request_carries_the_token_where_its_route_wants_one() -> None:
    steps = (get(), get("/second", route=1), get(headers=(("AUTHORIZATION", "Basic own"),)))
    run = run_plan(make_plan(*steps, **WITH_TOKEN), token="t%b%d.1")
    assert authorizations(run) == ["Bearer t%b%d.1", None, "Basic own"]


@pytest.mark.parametrize("step", [
    get(),
    get(Text(("/", X))),
    get(body=Body(BodyKind.TEXT, "50%", "a/b")),
    get(body=Body(BodyKind.JSON, Object((("x", X),)), "a/b")),
], ids=["constant", "a hole in the head", "a constant body", "a hole in the body"])  # fmt: skip
def test_a_new_token_stands_in_the_requests_after_it(step: Step) -> None:
    plan = make_plan(
        step,
        scenario={"lets": (("x", 1),)},
        executor=PerVUIterations(1, 3),
        load={"pacing_ns": S},
        **WITH_TOKEN,
    )
    run = run_plan(plan, events=[(S // 2, lambda worker: worker.set_token("two"))], token="one")
    assert authorizations(run) == ["Bearer one", "Bearer two", "Bearer two"]
    assert {request.body for request in run.requests} == {run.requests[0].body}


def test_a_token_follows_a_redirect_on_its_own_app_and_to_no_other() -> None:
    def script(request: Request) -> Reply:
        there = {"/": b"/second", "/second": b"http://other.test:8080/"}.get(request.target)
        there = None if request.origin else there
        return Reply(302, ((b"Location", there),)) if there else Reply()

    run = run_plan(make_plan(get(), **WITH_TOKEN), script, token="one")
    assert [request.origin for request in run.requests] == [0, 0, 1]
    assert authorizations(run) == ["Bearer one", "Bearer one", None]


# --- What must not be sent ------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b", "a\r\nX-Evil: 1"])
@pytest.mark.parametrize(
    "step", [get(Text(("/p/", X))), get(headers=(("A", X),)), get(headers=(("A", Text(("a ", X))),))],
    ids=["path", "header", "mixed"],
)  # fmt: skip
def test_a_value_that_would_break_the_request_is_refused_and_nothing_is_sent(step: Step, value: str) -> None:
    done = ran(step, value)
    assert (done.outcomes(), done.requests) == (["guard_refused"], [])
    done.assert_accounted()


@pytest.mark.parametrize("value", ["..", ".", "", "a/../../b"])
def test_a_value_that_would_climb_in_the_path_is_refused(value: str) -> None:
    assert ran(get(Text(("/p/", X))), value).requests == []


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_value_adds_a_line_or_a_part_to_a_request(x: str) -> None:
    step = get(Text(("/p/", X, "/q")), query=(("a", X),), headers=(("A", X),))
    for request in ran(step, x).requests:
        assert re.fullmatch(r"GET /p/[^/?#\s]+/q\?a=[^&=#\s]* HTTP/1\.1", request.line)
        assert set(request.headers) == {"host", "user-agent", "x-ecoload-run", "a", "traceparent"}
        assert request.headers["host"] == "app.test"


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_value_reaches_out_of_a_body(x: str) -> None:
    assert orjson.loads(payload(body(BodyKind.JSON, Object((("a", X), ("b", 1)))), x)) == {"a": x, "b": 1}
    form = payload(body(BodyKind.FORM, (("a", X), ("b", "1"))), x)
    assert re.fullmatch(rb"a=[^&=]*&b=1", form)


# --- Bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [7, 1.5, True, False, None, "text", '"quo\\ted"\n', "ä☃"])
def test_a_value_that_is_a_whole_hole_keeps_its_type_in_json(x: Value) -> None:
    content = Object((("x", X), ("list", Array((X, 1))), ("text", Text(("<", X, ">")))))
    found = orjson.loads(payload(body(BodyKind.JSON, content), x))
    assert found["x"] == x
    assert type(found["x"]) is type(x)
    assert found["list"] == [x, 1]
    assert isinstance(found["text"], str)


def test_json_keeps_the_order_as_written_and_has_no_spaces() -> None:
    content = Object((("b", 1), ("a", Object((("x", X),))), ("c", Array(())), ("d", Object(()))))
    assert payload(body(BodyKind.JSON, content), "v") == b'{"b":1,"a":{"x":"v"},"c":[],"d":{}}'


def test_vu_iteration_and_ids_stand_in_json_with_their_types() -> None:
    content = Object((("vu", Ref(("vu",))), ("n", Ref(("iteration",))), ("id", Call("uuid"))))
    step = body(BodyKind.JSON, content)
    done = run_plan(make_plan(step, executor=PerVUIterations(2, 2), **free(step)))
    found = [orjson.loads(request.body) for request in done.requests]
    assert sorted((item["vu"], item["n"]) for item in found) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({item["id"] for item in found}) == 4


def test_a_whole_body_may_be_one_value() -> None:
    assert payload(body(BodyKind.JSON, X), 7) == b"7"
    assert payload(body(BodyKind.JSON, None)) == b"null"


def test_a_form() -> None:
    assert payload(body(BodyKind.FORM, (("a", "1 2"), ("b&", X))), "x=y") == b"a=1%202&b%26=x%3Dy"


def test_a_text_with_its_content_type() -> None:
    step = body(BodyKind.TEXT, Text(("n=", X, ";ä")), "text/plain")
    request = sent(step, 7, **free(step))
    assert request.body == "n=7;ä".encode()
    assert request.headers["content-type"] == "text/plain"


def test_a_step_may_write_its_content_type_itself() -> None:
    step = dataclasses.replace(body(BodyKind.TEXT, "x", "text/plain"), headers=(("content-type", "a/b"),))
    assert sent(step, **free(step)).headers["content-type"] == "a/b"


def test_a_multipart_body_with_a_value_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"\0\r\n%s\xff")
    parts = (
        Part("a", X),
        Part("f", file="f.bin", filename="f.bin", content_type="application/octet-stream"),
    )
    step = body(BodyKind.MULTIPART, parts, "multipart/form-data; boundary=BB")
    plan = make_plan(step, scenario={"lets": (("x", "v1"),)}, **free(step))
    (request,) = run_plan(plan, workspace=tmp_path).requests
    assert request.headers["content-type"] == "multipart/form-data; boundary=BB"
    assert request.body == (
        b'--BB\r\nContent-Disposition: form-data; name="a"\r\n\r\nv1\r\n'
        b'--BB\r\nContent-Disposition: form-data; name="f"; filename="f.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\0\r\n%s\xff\r\n--BB--\r\n"
    )


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"%s\0\xff")
    step = body(BodyKind.FILE, "f.bin")
    (request,) = run_plan(make_plan(step, **free(step)), workspace=tmp_path).requests
    assert (request.body, request.headers["content-length"]) == (b"%s\0\xff", "4")


def test_a_file_that_was_changed_after_the_plan_was_made_is_not_sent(tmp_path: Path) -> None:
    planned = (("f.bin", hashlib.sha256(b"as planned").hexdigest()),)
    parts = (Part("f", file="f.bin", filename="f.bin"),)
    for made in (
        body(BodyKind.FILE, "f.bin"),
        body(BodyKind.MULTIPART, parts, "multipart/form-data; boundary=B"),
    ):
        assert made.body is not None
        step = dataclasses.replace(made, body=dataclasses.replace(made.body, file_sha256=planned))
        (tmp_path / "f.bin").write_bytes(b"as planned")
        (request,) = run_plan(make_plan(step, **free(step)), workspace=tmp_path).requests
        assert b"as planned" in request.body
        (tmp_path / "f.bin").write_bytes(b"as planned!")
        with pytest.raises(WorkerFailed, match=r"f\.bin has changed since the plan was made"):
            run_plan(make_plan(step, **free(step)), workspace=tmp_path)


# --- The namespace of a write ---------------------------------------------------------------------


def write(namespace: Value, place: NamespaceAt) -> tuple[Step, Route]:
    """A write that puts `namespace` where its route declares it."""
    step = Step(POST, 0, "POST", "/events")
    match place.place:
        case "json":
            content = Object((("meta", Object(((place.at.split(".")[-1], namespace),))), ("x", 1)))
            step = dataclasses.replace(step, body=Body(BodyKind.JSON, content, "application/json"))
        case "form":
            step = dataclasses.replace(step, body=Body(BodyKind.FORM, ((place.at, namespace),), "a/b"))  # type: ignore[arg-type]
        case "query":
            step = dataclasses.replace(step, query=((place.at, namespace),))  # type: ignore[arg-type]
        case "header":
            step = dataclasses.replace(step, headers=((place.at, namespace),))  # type: ignore[arg-type]
        case "path":
            step = dataclasses.replace(step, path=Text(("/", namespace, "/events")))  # type: ignore[arg-type]
    path = "/{ns}/events" if place.place == "path" else "/events"
    return step, Route("app", "post", "POST", path, "write", place)


PLACES = [
    NamespaceAt("json", "meta.namespace"),
    NamespaceAt("form", "namespace"),
    NamespaceAt("query", "ns"),
    NamespaceAt("header", "X-Namespace"),
    NamespaceAt("path", "ns"),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.place)
@pytest.mark.parametrize("x", ["perf_test", "production", "", None, "perf_test2", ["perf_test"]])
def test_a_write_leaves_only_with_the_namespace_of_its_app(place: NamespaceAt, x: Value) -> None:
    step, route = write(X, place)
    done = ran(step, x, routes=(*ROUTES[:POST], route))
    assert done.outcomes() == (["ok"] if x == "perf_test" else ["guard_refused"])
    assert len(done.requests) == (x == "perf_test")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.place)
def test_a_namespace_that_a_target_gave_is_checked_too(place: NamespaceAt) -> None:
    step, route = write(Ref(("taken",)), place)
    taking = get(captures=(Capture("taken", "json", "$.ns"),))
    for given_ns, requests in (("perf_test", 2), ("production", 1)):
        plan = make_plan(taking, step, routes=(*ROUTES[:POST], route))
        reply = Reply(body=orjson.dumps({"ns": given_ns}))
        assert len(run_plan(plan, reply).requests) == requests


def test_a_constant_namespace_of_another_app_is_refused_although_the_plan_was_checked() -> None:
    step, route = write("production", PLACES[0])
    assert ran(step, routes=(*ROUTES[:POST], route)).requests == []


def test_a_read_needs_no_namespace() -> None:
    assert len(ran(get(query=(("ns", X),)), "production").requests) == 1
