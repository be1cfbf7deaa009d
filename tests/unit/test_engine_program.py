"""What one iteration does: when requests are due, what ends it, where redirects and cookies go."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ecoload.measure.outcome import Outcome
from ecoload.plan import (
    Body,
    BodyKind,
    Branch,
    Call,
    Capture,
    Check,
    Choose,
    ConstantVUs,
    Expect,
    Feeder,
    Object,
    PerVUIterations,
    Ref,
    Scenario,
    SharedIterations,
    Step,
    Text,
    Think,
)
from tests.unit.support import (
    APP,
    GET_2,
    LIVE_GET,
    MS,
    NO_REPLY,
    OTHER,
    OTHER_GET,
    POST,
    READ_ONLY,
    ROUTES,
    SLOT,
    Reply,
    Request,
    Run,
    S,
    get,
    make_plan,
    run_plan,
)


def second(**changes: Any) -> Step:
    return get("/second", route=GET_2, **changes)


def post(**changes: Any) -> Step:
    body = Body(BodyKind.JSON, Object((("namespace", "perf_test"),)), "application/json")
    return dataclasses.replace(Step(POST, 0, "POST", "/events", body=body), **changes)


def redirect(to: str, status: int = 302, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(status, ((b"Location", to.encode("latin-1")), *headers))


def following(*replies: Reply) -> Any:
    """The script that gives these answers, one after the other; then 200."""
    left = iter(replies)
    return lambda _: next(left, Reply())


# --- When requests are due ------------------------------------------------------------------------


def test_the_next_request_is_due_when_the_one_before_had_ended() -> None:
    done = run_plan(make_plan(get(), second()), Reply(delay_ns=30 * MS))
    assert [(s.route, s.due, s.begin, s.last) for s in done.samples] == [
        (0, 0, 0, 30 * MS), (GET_2, 30 * MS, 30 * MS, 60 * MS)
    ]  # fmt: skip


def test_think_time_moves_the_next_due_time_by_exactly_as_much() -> None:
    done = run_plan(make_plan(get(think=Think(S, S)), second()), Reply(delay_ns=30 * MS))
    _, then = done.samples
    assert then.due == 1030 * MS
    assert 0 < then.begin - then.due <= SLOT


def test_think_time_lies_evenly_between_its_ends_and_follows_from_the_seed() -> None:
    def pauses(seed: int) -> list[int]:
        executor = PerVUIterations(1, 800, 10_000 * S)
        plan = make_plan(get(think=Think(S, 2 * S)), second(), executor=executor, seed=seed)
        samples = run_plan(plan).samples
        return [then.due - first.last for first, then in zip(samples[::2], samples[1::2], strict=True)]

    some = pauses(1)
    assert len(some) == 800
    assert all(S <= pause <= 2 * S for pause in some)
    quarters = Counter(4 * (pause - S) // S for pause in some)
    assert all(150 <= quarters[n] <= 250 for n in range(4))
    assert pauses(1) == some
    assert pauses(2) != some


def test_think_time_behind_the_last_step_keeps_the_next_iteration_waiting() -> None:
    done = run_plan(make_plan(get(think=Think(S, S)), executor=PerVUIterations(1, 3)))
    assert [s.begin // (100 * MS) for s in done.samples] == [0, 10, 20]


def test_an_error_does_not_end_the_iteration() -> None:
    done = run_plan(make_plan(get(), second()), following(Reply(500)))
    assert done.outcomes() == ["http_error", "ok"]


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.RESET, Outcome.REFUSED, Outcome.TRUNCATED])
def test_a_failure_of_the_network_does_not_end_the_iteration(outcome: Outcome) -> None:
    done = run_plan(make_plan(get(), second()), following(Reply(0, outcome=outcome)))
    assert done.outcomes() == [outcome.label, "ok"]


# --- Expected statuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "status", "outcome"),
    [
        ((), 200, "ok"),
        ((), 204, "ok"),
        ((), 304, "ok"),
        ((), 400, "http_error"),
        ((), 503, "http_error"),
        ((202,), 202, "ok"),
        ((202,), 200, "check_failed"),
        ((202,), 404, "http_error"),
        ((404,), 404, "ok"),
        ((404, 410), 410, "ok"),
        ((404,), 200, "check_failed"),
    ],
)
def test_a_status_is_ok_where_it_is_expected(expected: tuple[int, ...], status: int, outcome: str) -> None:
    done = run_plan(make_plan(get(check=Check(status=expected))), Reply(status))
    assert done.outcomes() == [outcome]


# --- Captures -------------------------------------------------------------------------------------


def test_what_was_captured_stands_in_the_next_request() -> None:
    first = get(captures=(Capture("id", "json", "$.id"),))
    done = run_plan(make_plan(first, second(query=(("id", Ref(("id",))),))), Reply(body=b'{"id": 7}'))
    assert done.targets == ["/", "/second?id=7"]


@pytest.mark.parametrize(
    "reply", [Reply(body=b"{}"), Reply(body=b"no JSON"), Reply(body=b"")], ids=["missing", "no-json", "empty"]
)
def test_a_capture_that_is_missing_ends_the_iteration(reply: Reply) -> None:
    first = get(captures=(Capture("id", "json", "$.id"),))
    done = run_plan(make_plan(first, second(), executor=SharedIterations(1, 3)), reply)
    assert done.outcomes() == ["capture_failed"] * 3
    assert done.last["iterations"] == 3
    done.assert_accounted()


@pytest.mark.parametrize("reply", [Reply(500), Reply(0, outcome=Outcome.RESET), Reply(201)])
def test_a_step_that_failed_captures_nothing_and_ends_the_iteration(reply: Reply) -> None:
    first = get(captures=(Capture("id", "json", "$.id"),), check=Check(status=(200,)))
    done = run_plan(make_plan(first, second()), reply)
    assert len(done.requests) == 1


def test_lets_are_made_once_an_iteration_and_in_order() -> None:
    lets = (("a", Ref(("iteration",))), ("b", Text(("b", Ref(("a",))))))
    step = get(query=(("b", Ref(("b",))),))
    done = run_plan(make_plan(step, step, executor=PerVUIterations(1, 2), scenario={"lets": lets}))
    assert done.targets == ["/?b=b0", "/?b=b0", "/?b=b1", "/?b=b1"]


# --- Choices --------------------------------------------------------------------------------------

CHOICE = Choose((Branch(3, (get("/a"),)), Branch(1, (get("/b"), get("/c")))))


def chosen(seed: int, vus: int = 50, iterations: int = 40) -> list[str]:
    return run_plan(make_plan(CHOICE, executor=PerVUIterations(vus, iterations), seed=seed)).targets


def test_branches_are_taken_in_proportion_to_their_weights() -> None:
    counts = Counter(chosen(1))
    assert counts["/b"] == counts["/c"]
    assert counts["/a"] + counts["/b"] == 2000
    assert 1400 <= counts["/a"] <= 1600


def test_choices_follow_from_the_seed_and_from_nothing_else() -> None:
    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)


def test_vus_choose_independently_of_each_other() -> None:
    done = run_plan(make_plan(CHOICE, executor=PerVUIterations(2, 60)))
    first, then = ([r.target for r in done.requests if r.vu == vu and r.target != "/c"] for vu in (1, 2))
    # Not what the one before chose an iteration later, or earlier, either.
    for one, other in ((first, then), (first[1:], then), (first, then[1:])):
        same = sum(a == b for a, b in zip(one, other, strict=False))
        assert same < 55


def test_choices_may_stand_in_choices_and_what_follows_them_always_happens() -> None:
    inner = Choose((Branch(1, (get("/x"),)), Branch(1, (get("/y"),))))
    plan = make_plan(Choose((Branch(1, (inner,)),)), get("/end"), executor=PerVUIterations(1, 50))
    targets = run_plan(plan).targets
    assert targets[1::2] == ["/end"] * 50
    assert set(targets[::2]) == {"/x", "/y"}


# --- Feeders --------------------------------------------------------------------------------------


def test_each_iteration_takes_the_next_record_and_round_again(tmp_path: Path) -> None:
    data = tmp_path / "tests" / "perf" / "config" / "data.jsonl"
    data.parent.mkdir(parents=True)
    data.write_text("".join(json.dumps({"feeder": "f", "kind": kind}) + "\n" for kind in "abc"))
    feeder = Feeder("f", "tests/perf/config/data.jsonl", hashlib.sha256(data.read_bytes()).hexdigest(), 3)
    plan = make_plan(
        get(query=(("k", Ref(("data", "kind"))),)),
        executor=SharedIterations(2, 5),
        scenario={"feeder": "f"},
        feeders=(feeder,),
    )
    done = run_plan(plan, workspace=tmp_path)
    assert [target[-1] for target in done.targets] == ["a", "b", "c", "a", "b"]


# --- Redirects ------------------------------------------------------------------------------------


def test_the_hops_of_a_redirect_are_samples_of_their_step_each_due_when_the_one_before_had_ended() -> None:
    done = run_plan(make_plan(get(), second()), following(redirect("/a"), redirect("b?c=d")))
    assert done.targets == ["/", "/a", "/b?c=d", "/second"]
    assert [(s.route, s.outcome.label, s.due) for s in done.samples] == [
        (0, "ok", 0), (0, "ok", 10 * MS), (0, "ok", 20 * MS), (GET_2, "ok", 30 * MS)
    ]  # fmt: skip


def test_the_last_hop_is_judged() -> None:
    step = get(check=Check(status=(200,), body=(Expect("contains", "yes"),)))
    assert run_plan(make_plan(step), following(redirect("/a"), Reply(body=b"yes"))).outcomes() == ["ok", "ok"]
    assert run_plan(make_plan(step), following(redirect("/a"), Reply(body=b"no"))).outcomes() == [
        "ok", "check_failed"
    ]  # fmt: skip
    assert run_plan(make_plan(step), following(redirect("/a"), Reply(404))).outcomes() == ["ok", "http_error"]


def test_a_hop_that_fails_is_what_became_of_the_step() -> None:
    done = run_plan(make_plan(get()), following(redirect("/a"), Reply(0, outcome=Outcome.TIMEOUT)))
    assert done.outcomes() == ["ok", "timeout"]


def test_redirects_are_followed_as_often_as_the_step_allows() -> None:
    script = following(redirect("/1"), redirect("/2"))
    assert run_plan(make_plan(get(redirects=2)), script).outcomes() == ["ok", "ok", "ok"]
    script = following(redirect("/1"), redirect("/2"), redirect("/3"))
    done = run_plan(make_plan(get(redirects=2)), script)
    assert done.outcomes() == ["ok", "ok", "redirect_limit"]
    assert done.targets == ["/", "/1", "/2"]


def test_a_step_that_follows_none_judges_the_redirect_itself() -> None:
    done = run_plan(make_plan(get(redirects=0, check=Check(status=(302,)))), redirect("/a"))
    assert (done.outcomes(), done.targets) == (["ok"], ["/"])


def test_a_redirect_that_points_nowhere_is_an_answer_like_any_other() -> None:
    assert run_plan(make_plan(get()), Reply(302)).outcomes() == ["ok"]
    assert run_plan(make_plan(get(check=Check(status=(200,)))), Reply(302)).outcomes() == ["check_failed"]


def test_other_3xx_are_not_followed() -> None:
    done = run_plan(make_plan(get()), redirect("/a", 304))
    assert (done.outcomes(), done.targets) == (["ok"], ["/"])


@pytest.mark.parametrize(
    "to",
    ["http://elsewhere.test/", "//elsewhere.test/", "https://app.test/", "http://app.test:81/", "ftp://app.test/",
     "/a b", "/\xe9", "http://user@app.test/", "/%2e%2e/x", "javascript:alert(1)"],
)  # fmt: skip
def test_a_redirect_to_where_the_guard_would_not_send_is_refused(to: str) -> None:
    done = run_plan(make_plan(get(), second()), following(redirect(to)))
    assert done.targets == ["/", "/second"]
    assert done.outcomes() == ["ok", "guard_refused", "ok"]


def test_a_location_that_is_no_url_is_the_targets_fault_and_not_ours() -> None:
    done = run_plan(make_plan(get(), second()), following(redirect("http://[")))
    assert (done.outcomes(), done.targets) == (["malformed", "ok"], ["/", "/second"])
    assert done.end["status"] == "finished"


def test_a_redirect_may_lead_to_another_listed_origin_with_its_own_host() -> None:
    done = run_plan(make_plan(get()), following(redirect("http://other.test:8080/x")))
    assert [(r.origin, r.target, r.headers["host"]) for r in done.requests] == [
        (0, "/", "app.test"), (1, "/x", "other.test:8080")
    ]  # fmt: skip


def test_credentials_are_not_carried_to_another_origin() -> None:
    step = get(headers=(("Authorization", "Bearer t"), ("Cookie", "a=b"), ("X-Kept", "yes")))
    done = run_plan(make_plan(step), following(redirect("/same"), redirect("http://other.test:8080/x")))
    _, same, foreign = done.requests
    assert same.headers["authorization"] == "Bearer t"
    assert not {"authorization", "cookie"} & foreign.headers.keys()
    assert foreign.headers["x-kept"] == "yes"


@pytest.mark.parametrize("value", ["canary/one", "é canary"])
def test_no_secret_is_carried_to_another_origin(value: str) -> None:
    secret = Ref(("secret", "KEY"))
    told = (("X-Key", secret), ("X-Mixed", Text(("a ", secret))), ("X-Kept", "yes"))
    other, secrets = "http://other.test:8080/x", {"KEY": value, "SHORT": "yes"}
    plan = make_plan(get(headers=told, query=(("k", secret),)), secrets=(("KEY", "env:KEY"),))
    done = run_plan(plan, following(redirect("/same"), redirect(other)), secrets=secrets)
    _, same, foreign = done.requests
    assert {"x-key", "x-mixed", "x-kept"} <= same.headers.keys()
    assert not {"x-key", "x-mixed"} & foreign.headers.keys()
    assert foreign.headers["x-kept"] == "yes"
    # A URL that takes it there is not followed.
    to = f"{other}?k={quote(value, safe='')}"
    done = run_plan(plan, following(redirect(to)), secrets=secrets)
    assert (len(done.requests), done.outcomes()) == (1, ["ok", "guard_refused"])


def test_a_post_answered_with_303_is_followed_with_a_get_without_its_body() -> None:
    done = run_plan(make_plan(post()), following(redirect("/events/1", 303)))
    _, hop = done.requests
    assert (hop.method, hop.target, hop.body) == ("GET", "/events/1", b"")
    assert not {"content-length", "content-type"} & hop.headers.keys()


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (307, "POST"), (308, "POST")])
def test_what_a_post_is_followed_with_depends_on_the_status(status: int, method: str) -> None:
    # The namespace of the write stays where it is declared, and so the guard lets it go on.
    done = run_plan(make_plan(post()), following(redirect("/events", status)))
    before, hop = done.requests
    assert hop.method == method
    assert hop.body == (before.body if method == "POST" else b"")
    assert ("content-length" in hop.headers) == (method == "POST")


def test_a_write_is_not_carried_to_another_app() -> None:
    done = run_plan(make_plan(post()), following(redirect("http://other.test:8080/events", 307)))
    assert (len(done.requests), done.outcomes()) == (1, ["ok", "guard_refused"])


def test_a_head_stays_a_head() -> None:
    routes = (*ROUTES, dataclasses.replace(ROUTES[0], name="head", method="HEAD"))
    done = run_plan(
        make_plan(get(route=5, method="HEAD"), routes=routes), following(redirect("/a", 303), redirect("/b"))
    )
    assert [r.method for r in done.requests] == ["HEAD"] * 3


# --- Cookies --------------------------------------------------------------------------------------

SET = (b"Set-Cookie", b"sid=1; Path=/")


def cookies(done: Run) -> list[str | None]:
    return [request.headers.get("cookie") for request in done.requests]


def test_cookies_live_for_one_iteration() -> None:
    script = lambda r: Reply(headers=(SET,) if r.target == "/" else ())  # noqa: E731
    done = run_plan(make_plan(get(), second(), second(), executor=PerVUIterations(1, 2)), script)
    assert cookies(done) == [None, "sid=1", "sid=1"] * 2


def test_cookies_of_a_redirect_are_sent_on_its_hops_and_after_it() -> None:
    done = run_plan(make_plan(get(), second()), following(redirect("/a", 302, SET)))
    assert cookies(done) == [None, "sid=1", "sid=1"]


def test_cookies_of_the_last_hop_belong_to_where_it_was() -> None:
    other = Step(OTHER_GET, 1, "GET", "/")
    script = following(redirect("http://other.test:8080/x"), Reply(headers=(SET,)))
    done = run_plan(make_plan(get(), second(), other), script)
    assert [(r.origin, cookie) for r, cookie in zip(done.requests, cookies(done), strict=True)] == [
        (0, None), (1, None), (0, None), (1, "sid=1")
    ]  # fmt: skip


def test_cookies_do_not_leave_their_origin() -> None:
    done = run_plan(make_plan(get()), following(redirect("http://other.test:8080/x", 302, SET)))
    assert cookies(done) == [None, None]


def test_cookies_of_an_error_count_too() -> None:
    done = run_plan(make_plan(get(), second()), following(Reply(500, (SET,))))
    assert cookies(done) == [None, "sid=1"]


# --- Interruption ---------------------------------------------------------------------------------


def test_an_interrupted_request_is_cancelled_also_in_the_middle_of_a_redirect() -> None:
    script = following(redirect("/a"), NO_REPLY)
    done = run_plan(make_plan(get(), executor=ConstantVUs(1, S)), script)
    done.assert_accounted()
    assert [(s.outcome.label, s.begin, s.last) for s in done.samples] == [
        ("ok", 0, 10 * MS), ("cancelled", 10 * MS, S)
    ]  # fmt: skip


# --- Setup and teardown ---------------------------------------------------------------------------

TOKEN = get("/token", captures=(Capture("token", "json", "$.t"),))
USING = get("/use", headers=(("Authorization", Text(("Bearer ", Ref(("token",))))),))


def tokens(request: Request) -> Reply:
    return Reply(body=b'{"t": "xyz"}' if request.target == "/token" else b"")


def test_what_the_setup_captures_reaches_every_vu() -> None:
    done = run_plan(make_plan(USING, executor=PerVUIterations(3, 2), scenario={"setup": (TOKEN,)}), tokens)
    assert [r.vu for r in done.requests] == [0, 1, 2, 3, 1, 2, 3]
    assert {r.headers.get("authorization") for r in done.requests[1:]} == {"Bearer xyz"}


def test_requests_of_setup_and_teardown_stay_out_of_the_figures() -> None:
    scenario = {"setup": (TOKEN,), "teardown": (get("/end"), get("/end"))}
    # The teardown takes longer than a second: not even a tick in the middle of it tells.
    script = lambda r: dataclasses.replace(tokens(r), delay_ns=3 * S)  # noqa: E731
    done = run_plan(make_plan(USING, executor=PerVUIterations(1, 2), scenario=scenario), script)
    assert done.targets == ["/token", "/use", "/use", "/end", "/end"]
    assert [s.last - s.due for s in done.samples] == [3 * S, 3 * S]
    assert done.ticks[-1]["beside"] == 3, "the target counts them, so the generator must know"


def test_the_load_begins_when_all_setups_are_done() -> None:
    two = (
        Scenario("first", steps=(get(),), setup=(get("/s1"),)),
        Scenario("second", steps=(get(),), setup=(get("/s2"),)),
    )
    done = run_plan(make_plan(scenarios=two))
    assert done.targets == ["/s1", "/s2", "/"]
    assert done.samples[0].due == 0


@pytest.mark.parametrize("reply", [Reply(500), Reply(0, outcome=Outcome.REFUSED), Reply(body=b"{}")])
def test_a_setup_that_fails_ends_the_run_as_failed_before_any_load(reply: Reply) -> None:
    done = run_plan(make_plan(USING, scenario={"setup": (TOKEN, get("/more"))}), reply)
    assert done.targets == ["/token"]
    assert done.samples == []
    assert done.end["status"] == "failed"
    assert "setup" in done.end["reason"]


def test_a_teardown_that_fails_makes_the_run_a_failed_one_and_keeps_its_figures() -> None:
    script = lambda r: Reply(500 if r.target == "/end" else 200)  # noqa: E731
    done = run_plan(make_plan(get(), scenario={"teardown": (get("/end"),)}), script)
    assert done.outcomes() == ["ok"]
    assert (done.end["status"], "teardown" in done.end["reason"]) == ("failed", True)


def test_a_setup_may_follow_redirects_keep_cookies_and_make_ids() -> None:
    setup = (get(query=(("id", Call("uuid")),)), get("/with", query=(("n", Ref(("iteration",))),)))
    script = following(redirect("/a", 302, SET))
    done = run_plan(make_plan(get("/load"), scenario={"setup": setup}), script)
    assert [r.target.partition("?")[0] for r in done.requests] == ["/", "/a", "/with", "/load"]
    assert cookies(done) == [None, "sid=1", "sid=1", None]
    assert done.end["status"] == "finished"


@pytest.mark.parametrize("end", ["stop", "abort"])
def test_a_run_that_is_ended_during_its_setup_sends_nothing_more(end: str) -> None:
    plan = make_plan(get(), scenario={"setup": (get("/1"), get("/2"))})
    done = run_plan(plan, Reply(delay_ns=S), [(500 * MS, lambda w: getattr(w, end)("no"))])
    assert done.targets == ["/1"]
    assert done.end["reason"] == "no"


@pytest.mark.parametrize("end", ["stop", "abort"])
def test_the_teardown_runs_however_the_load_was_ended(end: str) -> None:
    plan = make_plan(get(), executor=ConstantVUs(1, S), scenario={"teardown": (get("/end"),)})
    done = run_plan(plan, Reply(), [(500 * MS, lambda w: getattr(w, end)("no"))])
    assert done.targets[-1] == "/end"
    assert done.end["status"] == {"stop": "stopped", "abort": "aborted"}[end]


# --- Faults of our own ----------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["steps", "setup", "teardown"])
def test_an_error_of_our_own_ends_the_run_as_failed_with_its_traceback(part: str) -> None:
    # Nothing that could be written in a scenario: a record where there is no feeder.
    broken = get(query=(("x", Ref(("data", "x"))),))
    plan = make_plan(get(), executor=PerVUIterations(1, 1), scenario={part: (get("/before"), broken)})
    done = run_plan(plan)
    assert done.end["status"] == "failed"
    assert "TypeError" in done.end["reason"]
    assert any("Traceback" in log for log in done.logs)


def test_a_request_to_a_read_only_app_carries_its_own_origin() -> None:
    done = run_plan(make_plan(Step(LIVE_GET, 2, "GET", "/")))
    assert [(r.origin, r.headers["host"]) for r in done.requests] == [(2, "live.test")]
    assert (APP.authority, OTHER.authority, READ_ONLY.authority) == (
        "app.test", "other.test:8080", "live.test"
    )  # fmt: skip
