"""Servers that misbehave: each fault ends as the outcome that names it, none as a success, none hangs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ecoload.measure.result import Verdict
from ecoload.plan import Check, ConstantVUs, Expect, PerVUIterations
from tests.integration.driving import SECOND, gets, outcomes, plan_of, run, step_of
from tests.servers.bad import BadServer
from tests.servers.certificates import make_certificates
from tests.servers.thread import closed_port

EXPECTED = {
    "ok": "ok",
    "reset-before-headers": "reset",
    "reset-in-headers": "reset",
    "reset-in-body": "reset",
    "close-before-headers": "reset",
    "close-in-headers": "truncated",
    "truncated-length": "truncated",
    "truncated-chunked": "truncated",
    "truncated-last-chunk": "truncated",
    "malformed-status": "malformed",
    "not-http": "malformed",
    "malformed-header": "malformed",
    "malformed-length": "malformed",
    "two-lengths": "malformed",
    "length-and-chunked": "malformed",
    "malformed-chunk": "malformed",
    "close-with-header": "ok",
    "continue": "ok",
    "204": "ok",
    "304": "ok",
    "http10": "ok",
    "http10-keep-alive": "ok",
    "until-end": "ok",
    "chunked": "ok",
    "cookies": "ok",
    "garbage-after-body": "ok",
    "huge-header": "too_large",
    "endless-headers": "too_large",
    "endless-header": "too_large",
    "endless-body": "too_large",
    "huge-body": "too_large",
    "never": "timeout",
    "half-then-never": "timeout",
    "trickle": "timeout",
    "error-500": "http_error",
    "no-such-path": "http_error",
    "redirect/302/ok": "ok",
    "echo": "ok",
}


# aiohttp withholds an answer whose segment holds more than it: what is left is that something was wrong.
DIFFERENT = {"http1": {}, "aiohttp": {"garbage-after-body": "malformed"}}


@pytest.mark.parametrize("transport", [*DIFFERENT])
def test_each_fault_of_a_server_ends_as_the_outcome_that_names_it(tmp_path: Path, transport: str) -> None:
    paths = [f"/{name}" for name in EXPECTED]
    with BadServer() as server:
        plan = plan_of(server.url, gets(paths, timeout_ns=SECOND // 2), transport=transport)
        plan = replace(plan, http=replace(plan.http, max_body_bytes=1 << 20))
        found = outcomes(run(plan, tmp_path))
    assert {name: set(found[name]) for name in EXPECTED} == {
        name: {"ok", outcome} if name.startswith("redirect/") else {outcome}
        for name, outcome in (EXPECTED | DIFFERENT[transport]).items()
    }


def test_a_coded_body_is_decoded_for_its_checks_and_a_bomb_is_not_swallowed(tmp_path: Path) -> None:
    check = Check(json=(("$.ok", Expect("eq", True)),))
    paths = ["/gzip", "/deflate", "/bad-gzip", "/short-gzip", "/gzip-bomb"]
    with BadServer() as server:
        plan = plan_of(server.url, gets(paths, check=check, timeout_ns=30 * SECOND))
        found = outcomes(run(replace(plan, http=replace(plan.http, max_body_bytes=1 << 20)), tmp_path))
    assert found == {
        "gzip": {"ok": 1},
        "deflate": {"ok": 1},
        "bad-gzip": {"decode": 1},
        "short-gzip": {"decode": 1},
        "gzip-bomb": {"too_large": 1},
    }


def test_a_redirect_loop_ends_at_the_limit_and_each_hop_is_a_sample(tmp_path: Path) -> None:
    with BadServer() as server:
        found = outcomes(run(plan_of(server.url, gets(["/redirect-loop"])), tmp_path))
        asked = len(server.asked)
    assert found == {"redirect-loop": {"ok": 10, "redirect_limit": 1}}
    assert asked == 11


def test_a_redirect_to_a_host_that_is_not_listed_is_refused_and_never_sent(tmp_path: Path) -> None:
    with BadServer() as foreign, BadServer(foreign=foreign.url) as server:
        found = outcomes(run(plan_of(server.url, gets(["/redirect-foreign"])), tmp_path))
        assert foreign.asked == []
    assert found == {"redirect-foreign": {"ok": 1, "guard_refused": 1}}


def test_a_refused_connection_is_refused_and_nothing_answered(tmp_path: Path) -> None:
    finished = run(plan_of(f"http://127.0.0.1:{closed_port()}", gets(["/"])), tmp_path)
    assert outcomes(finished) == {"root": {"refused": 1}}
    assert not finished.answered
    assert finished.result.verdict is not Verdict.PASS


def test_a_name_without_an_address_is_dns(tmp_path: Path) -> None:
    finished = run(plan_of("http://no-such-host.invalid:80", gets(["/"])), tmp_path)
    assert outcomes(finished) == {"root": {"dns": 1}}
    assert not finished.answered


def test_a_certificate_that_cannot_be_verified_is_tls_and_a_good_one_is_not(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    for pair, expected in (
        (made.server, "ok"),
        (made.self_signed, "tls"),
        (made.expired, "tls"),
        (made.other_name, "tls"),
    ):
        with BadServer(tls=made.server_context(pair)) as server:
            plan = plan_of(server.url, gets(["/ok"]), origin={"ca_file": str(made.ca.cert)})
            assert outcomes(run(plan, tmp_path)) == {"ok": {expected: 1}}, pair


def test_a_server_that_wants_a_client_certificate_gets_the_plans(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    files = {
        "ca_file": str(made.ca.cert),
        "client_cert": str(made.client.cert),
        "client_key": str(made.client.key),
    }
    with BadServer(tls=made.server_context(want_client=True)) as server:
        with_it = outcomes(run(plan_of(server.url, gets(["/ok"]), origin=files), tmp_path))
        without = outcomes(
            run(plan_of(server.url, gets(["/ok"]), origin={"ca_file": files["ca_file"]}), tmp_path)
        )
    assert with_it == {"ok": {"ok": 1}}
    assert set(without["ok"]) <= {"tls", "reset"}


def test_a_server_that_closes_every_connection_is_connected_to_again(tmp_path: Path) -> None:
    with BadServer() as server:
        steps = gets(["/close-with-header"])
        finished = run(plan_of(server.url, steps, PerVUIterations(2, 5, 60 * SECOND)), tmp_path)
        connections = server.connections
    assert outcomes(finished) == {"close-with-header": {"ok": 10}}
    assert connections == 10


def test_a_request_that_meets_an_unannounced_closing_is_reset_and_not_sent_again(tmp_path: Path) -> None:
    with BadServer() as server:
        steps = gets(["/close-without-header"])
        finished = run(plan_of(server.url, steps, PerVUIterations(1, 6, 60 * SECOND)), tmp_path)
        answered = len(server.asked)
    found = outcomes(finished)["close-without-header"]
    assert found.get("ok", 0) == answered
    assert sum(found.values()) == 6
    assert set(found) <= {"ok", "reset"}


def test_head_needs_no_body_and_keeps_its_connection(tmp_path: Path) -> None:
    with BadServer() as server:
        steps = [step_of(0, "/echo", method="HEAD")]
        found = outcomes(run(plan_of(server.url, steps, PerVUIterations(1, 2, 60 * SECOND)), tmp_path))
        assert server.connections == 1
        assert [asked.method for asked in server.asked] == ["HEAD", "HEAD"]
    assert found == {"echo": {"ok": 2}}


def test_a_vu_keeps_its_connection_and_forgets_its_cookies(tmp_path: Path) -> None:
    check = Check(json=(("$.path", Expect("eq", "/echo")),))
    with BadServer() as server:
        steps = [*gets(["/cookies"]), step_of(1, "/echo", check=check)]
        run(plan_of(server.url, steps, PerVUIterations(1, 3, 60 * SECOND)), tmp_path)
        assert server.connections == 1
        first = [asked.header("cookie") for asked in server.asked if asked.path == "/cookies"]
        second = [asked.header("cookie") for asked in server.asked if asked.path == "/echo"]
    assert first == ["", "", ""]
    assert all(cookie.count("=") == 100 for cookie in second)


def test_every_request_says_who_sent_it(tmp_path: Path) -> None:
    with BadServer() as server:
        finished = run(plan_of(server.url, gets(["/ok", "/echo"])), tmp_path)
        first, second = server.asked
    assert first.header("user-agent") == "ecoload/test"
    assert first.header("x-ecoload-run") == finished.result.run_id
    version, trace, span, flags = first.header("traceparent").split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert first.header("traceparent") != second.header("traceparent")
    assert first.header("accept-encoding") == ""


def test_a_slow_target_fails_and_is_not_excused(tmp_path: Path) -> None:
    with BadServer() as server:
        plan = plan_of(server.url, gets(["/never"], timeout_ns=SECOND // 4), ConstantVUs(2, 2 * SECOND))
        result = run(plan, tmp_path).result
    assert result.verdict is Verdict.FAIL
    assert result.routes[0].error_rate == 1.0
