"""What may be sent where: each refusal, and what stands just beside it and is allowed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ecoload.errors import GuardRefused
from ecoload.guard.rules import RedirectRules, check_plan, check_watched, namespace_value, redirect_allowed
from ecoload.plan import (
    Array,
    Body,
    BodyKind,
    Branch,
    Breaker,
    Call,
    Choose,
    ClientCredentials,
    Fault,
    Lineage,
    Metrics,
    NamespaceAt,
    Object,
    Oracles,
    Part,
    Persistence,
    Plan,
    Probe,
    Proof,
    Ref,
    Resiliency,
    Route,
    Scenario,
    Station,
    Step,
    Text,
    Value,
    Warm,
)
from ecoload.plan.suite import Watched
from tests.unit.guard_plans import (
    A2,
    A8,
    HOME,
    INGEST,
    LIVE,
    READ,
    REFRESH,
    ROUTES,
    TOUCH,
    S,
    ingest,
    json_body,
    plan,
    tile,
)

NAMESPACE = Ref(("protocol", "namespace"))


def refused(made: object) -> str:
    with pytest.raises(GuardRefused) as caught:
        check_plan(made)  # type: ignore[arg-type]
    return str(caught.value)


# --- Writes ---------------------------------------------------------------------------------------


def test_a_write_in_its_namespace_to_an_app_that_allows_it_is_fine() -> None:
    check_plan(plan(ingest()))


def test_a_read_of_a_read_only_app_is_fine() -> None:
    check_plan(plan(tile()))


def test_a_write_to_a_read_only_app_is_refused() -> None:
    step = tile(route=REFRESH, method="POST", path="/refresh", query=(("ns", "perf_test"),))
    assert "a8.refresh writes, and a8 is read-only" in refused(plan(step))
    writable = (A2, dataclasses.replace(A8, writes="perf_test"), LIVE)
    check_plan(plan(step, origins=writable))


def test_a_write_without_a_declared_place_is_refused() -> None:
    routes = (dataclasses.replace(ROUTES[INGEST], namespace=None), *ROUTES[1:])
    assert "does not say where its namespace stands" in refused(plan(ingest(), routes=routes))


@pytest.mark.parametrize(
    "body",
    [
        None,
        json_body(("kind", "x")),
        json_body(("meta", Object((("namespace", "perf_test"),)))),
        Body(BodyKind.JSON, Ref(("data",)), "application/json"),
        Body(BodyKind.TEXT, '{"namespace":"perf_test"}', "application/json"),
        Body(BodyKind.FILE, "body.json", "application/json"),
        Body(BodyKind.FORM, (("namespace", "perf_test"),), "application/x-www-form-urlencoded"),
    ],
)
def test_a_write_whose_namespace_cannot_be_seen_is_refused(body: Body | None) -> None:
    assert "its namespace (json namespace) is not there" in refused(plan(ingest(body=body)))


def test_a_write_to_another_namespace_is_refused() -> None:
    text = refused(plan(ingest(body=json_body(("namespace", "production")))))
    assert "would write to 'production', and a2 allows 'perf_test' only" in text


def test_a_namespace_that_stands_twice_is_refused() -> None:
    twice = json_body(("namespace", "perf_test"), ("namespace", "production"))
    assert "stands there 2 times" in refused(plan(ingest(body=twice)))


def test_a_namespace_that_is_only_known_at_run_time_is_left_to_the_engine() -> None:
    check_plan(plan(ingest(body=json_body(("namespace", Ref(("data", "space")))))))
    check_plan(plan(ingest(body=json_body(("namespace", Call("lower", (Ref(("data", "space")),)))))))


def test_the_protocols_namespace_and_the_environments_are_known_before_the_run() -> None:
    check_plan(plan(ingest(body=json_body(("namespace", NAMESPACE)))))
    mixed = json_body(("namespace", Text(("perf_", Ref(("env", "X"))))))
    check_plan(plan(ingest(body=mixed), env=(("X", "test"),)))
    other = dataclasses.replace(plan().protocol, namespace="live")
    assert "would write to 'live'" in refused(
        plan(ingest(body=json_body(("namespace", NAMESPACE))), protocol=other)
    )
    wrong = ingest(body=json_body(("namespace", Ref(("env", "X")))))
    assert "would write to 'live'" in refused(plan(wrong, env=(("X", "live"),)))


def test_setup_teardown_and_every_branch_are_checked() -> None:
    bad = ingest(body=None)
    for scenario in (
        Scenario("s", setup=(bad,)),
        Scenario("s", teardown=(bad,)),
        Scenario("s", steps=(Choose((Branch(1, (ingest(),)), Branch(1, (bad,)))),)),
    ):
        assert "is not there" in refused(plan(scenarios=(scenario,)))


def test_every_refusal_is_told_at_once() -> None:
    text = refused(plan(ingest(body=None), tile(method="DELETE"), tile(path="/admin")))
    assert len(text.splitlines()) == 3
    assert "scenario main, step 2: route a8.tile is declared as GET, and the step sends DELETE" in text


# --- Where the namespace stands -------------------------------------------------------------------


def route(place: str, at: str, path: str = "/v1/events") -> Route:
    return Route("a2", "x", "POST", path, "write", NamespaceAt(place, at))  # type: ignore[arg-type]


NESTED = json_body(("meta", Object((("spaces", Array(("first", NAMESPACE))),))))
FORM = Body(BodyKind.FORM, (("a", "1"), ("ns", NAMESPACE)), "application/x-www-form-urlencoded")
PARTS = Body(BodyKind.MULTIPART, (Part("ns", NAMESPACE), Part("f", file="x")), "multipart/form-data")


@pytest.mark.parametrize(
    ("step", "declared", "value"),
    [
        (ingest(), route("json", "namespace"), "perf_test"),
        (ingest(body=NESTED), route("json", "meta.spaces.1"), NAMESPACE),
        (ingest(body=NESTED), route("json", "$.meta.spaces.0"), "first"),
        (ingest(body=NESTED), route("json", "meta.spaces.2"), None),
        (ingest(query=(("ns", NAMESPACE),)), route("query", "ns"), NAMESPACE),
        (ingest(query=(("ns", "a"), ("ns", "b"))), route("query", "ns"), None),
        (ingest(headers=(("X-Namespace", "n"),)), route("header", "x-namespace"), "n"),
        (ingest(headers=(("X-Other", "n"),)), route("header", "x-namespace"), None),
        (ingest(body=FORM), route("form", "ns"), NAMESPACE),
        (ingest(body=PARTS), route("form", "ns"), NAMESPACE),
        (ingest(body=PARTS), route("form", "f"), None),
        (ingest(path="/v1/perf_test/e"), route("path", "space", "/v1/{space}/e"), "perf_test"),
        (ingest(path=Text(("/v1/", NAMESPACE, "/e"))), route("path", "space", "/v1/{space}/e"), NAMESPACE),
        (
            ingest(path=Text(("/v1/", Ref(("vu",)), "/p-", NAMESPACE))),
            route("path", "space", "/v1/{id}/{space}"),
            Text(("p-", NAMESPACE)),
        ),
        (ingest(), dataclasses.replace(ROUTES[INGEST], namespace=None), None),
    ],
)
def test_the_namespace_is_found_where_it_is_declared(step: object, declared: Route, value: Value) -> None:
    assert namespace_value(step, declared) == value  # type: ignore[arg-type]


# --- Hosts, routes, paths, headers ----------------------------------------------------------------


def test_a_step_to_an_origin_that_is_not_listed_is_refused() -> None:
    assert "a host that targets.yaml does not list" in refused(plan(ingest(origin=3)))
    assert "a host that targets.yaml does not list" in refused(plan(ingest(origin=-1)))


def test_a_step_of_no_declared_route_is_refused() -> None:
    assert "no route that targets.yaml declares" in refused(plan(ingest(route=99)))


def test_a_route_is_sent_to_its_own_app_only() -> None:
    assert "route a2.ingest belongs to a2, and the step goes to live" in refused(plan(ingest(origin=2)))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/events",
        "/v1/events/",
        "/v1/events/1/2",
        "/v2/events/1",
        Ref(("data", "path")),
        Text(("/v1/", Ref(("data", "x")), "/1")),
        Text(("/v1/events", Ref(("data", "x")))),
    ],
)
def test_a_path_that_the_route_does_not_declare_is_refused(path: object) -> None:
    step = ingest(route=READ, method="GET", path=path, body=None)
    assert "is not the path that route a2.read declares" in refused(plan(step))


@pytest.mark.parametrize(
    "path", ["/v1/events/1", Text(("/v1/events/", Ref(("id",)))), Text(("/v1/events/a-", Ref(("id",))))]
)
def test_a_path_may_vary_where_its_route_has_a_placeholder(path: object) -> None:
    check_plan(plan(ingest(route=READ, method="GET", path=path, body=None)))


@pytest.mark.parametrize(
    "path", ["/v1/events/..", "/v1/events/%2e%2E", "/v1/events/%2e", "/v1/events/a%2f..%2fb"]
)
def test_a_path_that_climbs_is_refused(path: str) -> None:
    assert "a segment that is . or .." in refused(
        plan(ingest(route=READ, method="GET", path=path, body=None))
    )


@pytest.mark.parametrize("path", ["/v1/events/a\r\nX: 1", "/v1/events/a b", "/v1/events/\0"])
def test_a_path_with_blanks_or_control_characters_is_refused(path: str) -> None:
    assert "a space or a control character" in refused(
        plan(ingest(route=READ, method="GET", path=path, body=None))
    )


def test_a_query_in_the_path_is_refused_where_the_namespace_would_not_be_seen() -> None:
    assert "a query stands under `query`" in refused(plan(ingest(path="/v1/events?namespace=live")))


@pytest.mark.parametrize("header", ["Host", "content-length", "Transfer-Encoding"])
def test_headers_that_frame_or_route_a_request_are_refused(header: str) -> None:
    assert "is set by ecoload itself" in refused(plan(ingest(headers=((header, "x"),))))


def test_a_header_that_would_break_out_is_refused() -> None:
    assert "has CR, LF, NUL" in refused(plan(ingest(headers=(("X", "a\r\nHost: b"),))))
    assert "has CR, LF, NUL" in refused(plan(ingest(headers=(("X", Text((Ref(("vu",)), "\n"))),))))
    assert "is no name for a header" in refused(plan(ingest(headers=(("X:\r\nY", "a"),))))
    check_plan(plan(ingest(headers=(("X-Any", Text(("é ", Ref(("vu",))))),))))


def test_probes_go_to_listed_hosts_only() -> None:
    good, bad = Probe(0, "/v1/count", "$.count"), Probe(9, "/v1/count", "$.count")
    check_plan(plan(persistence=Persistence(INGEST, good), request_count=good, version_from=good))
    assert "persistence: it goes to a host" in refused(plan(persistence=Persistence(INGEST, bad)))
    assert "request_count: it goes to a host" in refused(plan(request_count=bad))
    assert "version_from: its path" in refused(plan(version_from=Probe(0, "/../x", "$")))
    check_plan(plan(proofs=(Proof("seen", good, 0),)))
    assert "proofs.seen: it goes to a host" in refused(plan(proofs=(Proof("seen", bad, 0),)))


def test_metrics_and_warming_are_asked_as_probes_are() -> None:
    check_plan(plan(metrics=Metrics(0, "/metrics", "m"), warm=(Warm(1, "/warm", 1_000_000_000),)))
    assert "metrics: it goes to a host" in refused(plan(metrics=Metrics(9, "/metrics")))
    assert "warm: its path" in refused(plan(warm=(Warm(0, "/../x"),)))
    routes = (*ROUTES, Route("a8", "heat", "GET", "/heat", "write", NamespaceAt("query", "ns")))
    assert "warm: GET '/heat' is route a8.heat" in refused(plan(routes=routes, warm=(Warm(1, "/heat"),)))


def test_probes_read_and_do_nothing_else() -> None:
    for effect in ("write", "fault"):
        routes = (*ROUTES[:READ], dataclasses.replace(ROUTES[READ], effect=effect), *ROUTES[READ + 1 :])
        made = plan(routes=routes, version_from=Probe(0, "/v1/events/1?x=${…}", "$"))
        assert "is route a2.read, which has an effect" in refused(made)
        proof = Proof("seen", Probe(0, "/v1/events/1", "$"), True)
        assert "proofs.seen: GET '/v1/events/1' is route" in refused(plan(routes=routes, proofs=(proof,)))
        check_plan(plan(routes=routes, version_from=Probe(0, "/v1/count", "$")))
    check_plan(plan(version_from=Probe(0, "/v1/events/1", "$")))


# --- Tokens ---------------------------------------------------------------------------------------


def test_what_is_watched_is_a_question_like_any_other() -> None:
    up, reset = (Watched("a8", Probe(1, path, "$")) for path in ("/up", "/refresh"))
    effect = Route("a8", "renew", "GET", "/refresh", "fault")
    made = plan(routes=(*ROUTES, effect), deny=("GET /api/up",))
    check_watched(plan(), [up, reset])
    with pytest.raises(GuardRefused) as caught:
        check_watched(made, [up, reset])
    assert str(caught.value).splitlines() == [
        "health of a8: GET '/up' of a8 is denied (guardrails: deny: 'GET /api/up')",
        "health of a8: GET '/refresh' is route a8.renew, which has an effect",
    ]


TOKENS = ClientCredentials(1, "/token", "me", "KEY")


def with_tokens(auth: ClientCredentials = TOKENS, **changes: Any) -> Plan:
    return plan(**{"auth": auth, "secrets": (("KEY", "env:KEY"),), **changes})


def test_tokens_come_from_a_listed_host_with_a_secret_of_the_plan() -> None:
    check_plan(with_tokens())
    assert "auth: it goes to a host" in refused(with_tokens(dataclasses.replace(TOKENS, origin=3)))
    assert "auth: its path" in refused(with_tokens(dataclasses.replace(TOKENS, path="/%2e%2e/token")))
    assert "auth: the plan has no secret KEY" in refused(with_tokens(secrets=()))


def test_asking_for_a_token_is_no_way_around_a_declared_effect() -> None:
    told = refused(with_tokens(dataclasses.replace(TOKENS, path="/refresh")))
    assert "auth: POST '/refresh' is route a8.refresh, which has an effect" in told
    reading = (*ROUTES, Route("a8", "token", "POST", "/token", "none"))
    check_plan(with_tokens(routes=reading))


def test_the_tokens_of_other_apps_are_held_to_the_same() -> None:
    other = dataclasses.replace(TOKENS, path="/refresh", secret="OTHER")
    told = refused(with_tokens(other_auths=(("a8", other),)))
    assert "auth of a8: POST '/refresh' is route a8.refresh, which has an effect" in told
    assert "auth of a8: the plan has no secret OTHER" in told


def test_a_station_is_asked_as_any_question() -> None:
    station = Station("a8", 1, Text(("/tiles/x?after=", Ref(("cursor",)))), "$.rows", "$.id", "$.next")
    check_plan(plan(lineage=Lineage(INGEST, "event_id", (station,))))
    routes = (*ROUTES, Route("a8", "renew", "GET", "/renew", "write", NamespaceAt("query", "ns")))
    renewing = dataclasses.replace(station, path="/renew")
    told = refused(plan(routes=routes, lineage=Lineage(INGEST, "event_id", (renewing,))))
    assert "lineage.a8: GET '/renew' is route a8.renew, which has an effect" in told
    stray = dataclasses.replace(station, origin=9)
    assert "lineage.a8: it goes to a host" in refused(plan(lineage=Lineage(INGEST, "event_id", (stray,))))


# --- Faults ---------------------------------------------------------------------------------------

FAULT = len(ROUTES)


def with_fault(app: str = "a8", method: str = "POST", **changes: Any) -> Plan:
    """A plan whose only step injects a fault into `app`."""
    origin = [A2, A8, LIVE].index({"a2": A2, "a8": A8, "live": LIVE}[app])
    step = Step(FAULT, origin, method, "/__faults", body=json_body(("error_rate", 1.0), ("ttl_s", 5)))
    routes = (*ROUTES, Route(app, "faults", method, "/__faults", "fault"))
    return plan(step, **{"routes": routes, **changes})


def test_a_fault_may_be_injected_whether_the_app_is_written_to_or_not() -> None:
    check_plan(with_fault("a8"))
    check_plan(with_fault("a2"))


def beside(app: str, **changes: Any) -> Plan:
    """A plan that injects a fault into `app` beside its load."""
    made = with_fault(app)
    (step,) = made.scenarios[0].steps
    assert isinstance(step, Step)
    fault = Fault(step, dataclasses.replace(step, **changes), S, S, S)
    watched = Resiliency(INGEST, fault, Breaker(Probe(0, "/v1/events/x", "$.state")), Oracles())
    return dataclasses.replace(plan(routes=made.routes), resiliency=watched)


def test_a_fault_beside_the_load_is_held_to_the_same_as_one_within() -> None:
    check_plan(beside("a8"))
    assert "resiliency.fault: route live.faults injects a fault, and live is prod" in refused(beside("live"))
    assert "resiliency.fault: route a8.faults is declared as POST" in refused(beside("a8", method="PUT"))


def test_no_fault_is_injected_into_production() -> None:
    assert "route live.faults injects a fault, and live is production" in refused(with_fault("live"))
    staged = dataclasses.replace(LIVE, environment="staging")
    check_plan(with_fault("live", origins=(A2, A8, staged)))


def test_a_fault_is_sent_as_it_is_declared_as_any_route() -> None:
    made = with_fault("a8")
    (step,) = made.scenarios[0].steps
    assert isinstance(step, Step)
    other = dataclasses.replace(step, method="PUT")
    assert "is declared as POST" in refused(
        dataclasses.replace(made, scenarios=(Scenario("main", steps=(other,)),))
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("app", ["a2", "a8"])
def test_no_redirect_leads_to_a_fault(app: str, method: str) -> None:
    base = {"a2": "https://a2.example", "a8": "http://a8.example:8080/api"}[app]
    origin = 0 if app == "a2" else 1
    rules = RedirectRules(with_fault(app, method))
    for start in (0, 1):
        for route in (INGEST, READ, FAULT, None):
            assert rules.allowed(start, method, f"{base}/__faults", route) is None
    if app == "a2" and method != "POST":
        assert RULES.allowed(origin, method, f"{base}/__faults") == origin, "undeclared, it would be a read"


@pytest.mark.parametrize(
    "path",
    ["/__Faults", "//__faults/", "/__fault%73", "/__faults;x=1", "/__faults/;x", "/x/%5C..%5C__faults"],
)
def test_no_redirect_leads_to_a_fault_by_another_spelling(path: str) -> None:
    rules = RedirectRules(with_fault("a2", "GET"))
    for method in ("GET", "HEAD"):
        assert rules.allowed(0, method, f"https://a2.example{path}") is None


def test_a_redirect_that_fits_a_read_and_may_be_taken_for_a_fault_is_not_followed() -> None:
    reset = Route("a2", "reset", "GET", "/v1/events/reset", "fault")
    rules = RedirectRules(plan(routes=(*ROUTES, reset)))
    assert rules.allowed(0, "GET", "https://a2.example/v1/events/7") == 0
    assert rules.allowed(0, "GET", "https://a2.example/v1/events/re%73et") is None


def test_a_value_in_a_path_does_not_make_another_route_of_it() -> None:
    def refusals(effect: str, *, route: Route = ROUTES[READ], path: Any = "/v1/events/reset") -> str:
        other = Route("a2", "reset", "GET", "/v1/events/reset", effect)  # type: ignore[arg-type]
        step = Step(READ, 0, "GET", path)
        return refused(plan(step, routes=(*ROUTES[:READ], route, *ROUTES[READ + 1 :], other)))

    for effect in ("fault", "write"):
        assert "may be taken for route a2.reset, whose effect is another" in refusals(effect)
    assert "may be taken for" in refusals("fault", path="/v1/events/Re%73et")
    check_plan(plan(Step(READ, 0, "GET", "/v1/events/other"), routes=(*ROUTES, with_fault("a2").routes[-1])))
    # Two names of one path with the same effect are one route to the guard.
    twin = dataclasses.replace(ROUTES[INGEST], name="ingest_again")
    check_plan(plan(ingest(), routes=(*ROUTES, twin)))


def test_a_second_app_at_an_address_is_no_way_around_the_first() -> None:
    alias = dataclasses.replace(A2, app="alias")
    harmless = Route("alias", "ingest", "POST", "/v1/events", "none")
    step = dataclasses.replace(ingest(), origin=3, route=len(ROUTES))
    made = plan(step, origins=(A2, A8, LIVE, alias), routes=(*ROUTES, harmless))
    assert "may be taken for route a2.ingest, whose effect is another" in refused(made)
    elsewhere = dataclasses.replace(alias, port=8443)
    check_plan(dataclasses.replace(made, origins=(A2, A8, LIVE, elsewhere)))

    # Below its base path, an app's routes are where they are.
    inner = dataclasses.replace(A8, scheme="https", host="a2.example", port=443, writes="perf_test")
    fault = Route("a2", "reset", "GET", "/api/reset", "fault")
    made = plan(origins=(A2, inner, LIVE), routes=(*ROUTES, fault))
    assert RedirectRules(made).allowed(0, "GET", "https://a2.example/api/reset") is None
    assert RedirectRules(made).allowed(0, "GET", "https://a2.example/api/else") == 1
    asked = dataclasses.replace(made, version_from=Probe(1, "/reset", "$"))
    assert "version_from: GET '/reset' is route a2.reset, which has an effect" in refused(asked)


def test_an_app_that_is_read_only_is_so_by_every_name() -> None:
    twin = dataclasses.replace(A2, app="twin", writes=None)
    said = "writes, and twin, which is at the same address, is read-only"
    assert said in refused(plan(ingest(), origins=(A2, A8, LIVE, twin)))
    check_plan(plan(ingest(), origins=(A2, A8, LIVE, dataclasses.replace(twin, base_path="/other"))))
    # Before the sandbox is up, all its apps seem to be at one address.
    down = [dataclasses.replace(o, embedded=True, host="sandbox", port=0) for o in (A2, A8, LIVE, twin)]
    check_plan(plan(ingest(), origins=tuple(down)))


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "x-method-override", "X-Original-URL"])
def test_no_header_makes_another_request_of_a_step(header: str) -> None:
    step = ingest(headers=((header, "DELETE"),))
    assert f"the header {header} may make it another request than its route declares" in refused(plan(step))


# --- Redirects ------------------------------------------------------------------------------------

RULES = RedirectRules(plan())


@pytest.mark.parametrize(
    ("method", "url", "origin"),
    [
        ("GET", "https://a2.example/v1/events/1", 0),
        ("GET", "https://A2.EXAMPLE:443/anything?x=1#top", 0),
        ("HEAD", "https://a2.example", 0),
        ("GET", "http://a8.example:8080/api/tiles/finance", 1),
    ],
)
def test_a_redirect_to_what_is_listed_is_followed(method: str, url: str, origin: int) -> None:
    assert RULES.allowed(0, method, url) == origin
    assert redirect_allowed(plan(), 0, method, url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/events/1",
        "http://a2.example/v1/events/1",
        "https://a2.example:8443/v1/events/1",
        "https://a2.example.evil.example/",
        "https://a2.example@evil.example/",
        "https://evil.example@a2.example/",
        "https://a2.example\\@evil.example/",
        "https://a2.example/\r\nX: 1",
        "https://a2.example/a b",
        "https://a2.example/é",
        "https://a2.example:99999/",
        "https://a2.example:0/",
        "https://a2.example/v1/../admin",
        "https://a2.example/v1/%2e%2e/admin",
        "https://a2.example/v1/..;/admin",
        "https://a2.example/v1/%2e%2e%3bx/admin",
        "https://[::1/",
        "//a2.example/",
        "/v1/events/1",
        "ftp://a2.example/",
        "javascript:alert(1)",
        "",
    ],
)
def test_a_redirect_to_anything_else_is_not_followed(url: str) -> None:
    assert RULES.allowed(0, "GET", url) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/admin"),
        ("GET", "/api"),
        ("GET", "/tiles/finance"),
        ("GET", "/apis/tiles/finance"),
        ("GET", "/api/tiles/finance/more"),
        ("HEAD", "/api/tiles/finance"),
        ("POST", "/api/tiles/finance"),
        ("POST", "/api/refresh?ns=perf_test"),
    ],
)
def test_a_redirect_to_a_read_only_app_leads_to_its_declared_reads_only(method: str, path: str) -> None:
    for origin in (0, 1):
        assert RULES.allowed(origin, method, f"http://a8.example:8080{path}") is None


def test_a_redirected_write_stays_on_its_app_and_in_its_namespace() -> None:
    url = "https://a2.example/v1/events"
    assert RULES.allowed(0, "POST", url, INGEST) == 0
    assert RULES.allowed(1, "POST", url, INGEST) is None
    assert RULES.allowed(0, "POST", url, READ) is None
    assert RULES.allowed(0, "POST", url) is None
    assert RULES.allowed(0, "DELETE", url, INGEST) is None
    assert RULES.allowed(0, "POST", "https://a2.example/v1/other", INGEST) is None


def test_a_redirected_write_with_its_namespace_in_the_url_is_judged_by_the_url() -> None:
    assert RULES.allowed(0, "PUT", "https://a2.example/v1/perf_test/events", TOUCH) == 0
    assert RULES.allowed(0, "PUT", "https://a2.example/v1/live/events", TOUCH) is None
    writable = plan(origins=(A2, dataclasses.replace(A8, writes="perf_test"), LIVE))
    base = "http://a8.example:8080/api/refresh"
    rules = RedirectRules(writable)
    assert rules.allowed(1, "POST", f"{base}?ns=perf_test", REFRESH) == 1
    assert rules.allowed(1, "POST", f"{base}?ns=live", REFRESH) is None
    assert rules.allowed(1, "POST", f"{base}?ns=perf_test&ns=live", REFRESH) is None
    assert rules.allowed(1, "POST", base, REFRESH) is None


def test_a_redirect_to_production_is_followed_only_where_the_plan_uses_it_itself() -> None:
    url = "https://live.example/"
    assert RULES.allowed(0, "GET", url) is None
    assert RedirectRules(plan(ingest(), tile(route=HOME, origin=2, path="/"))).allowed(0, "GET", url) == 2


def test_apps_behind_one_host_are_told_apart_by_the_longest_base_path() -> None:
    inner = dataclasses.replace(A8, scheme="https", host="a2.example", port=443)
    rules = RedirectRules(plan(origins=(A2, inner, LIVE)))
    assert rules.allowed(0, "GET", "https://a2.example/api/tiles/x") == 1
    assert rules.allowed(0, "GET", "https://a2.example/api/admin") is None
    assert rules.allowed(0, "GET", "https://a2.example/apix/admin") == 0


def test_two_apps_at_one_address_allow_what_both_allow() -> None:
    same = dataclasses.replace(A2, app="a8", writes=None)
    rules = RedirectRules(plan(origins=(A2, same, LIVE)))
    assert rules.allowed(0, "GET", "https://a2.example/anything") is None


def test_an_origin_is_named_as_a_host_header_and_a_url_name_it() -> None:
    six = dataclasses.replace(A8, host="::1", port=80)
    rules = RedirectRules(plan(origins=(A2, six, LIVE)))
    assert (RULES.authority(0), RULES.authority(1), rules.authority(1)) == (
        "a2.example",
        "a8.example:8080",
        "[::1]",
    )
    assert RULES.url(1, "/api/x?y=1") == "http://a8.example:8080/api/x?y=1"
    assert rules.allowed(0, "GET", rules.url(1, "/api/tiles/x")) == 1
