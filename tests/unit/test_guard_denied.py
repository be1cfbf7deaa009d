"""What is denied is denied wherever it is declared, and whatever a value might make of a path."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.errors import GuardRefused
from ecoload.guard.denied import could_be, denied_by
from ecoload.guard.paths import HOLE
from ecoload.guard.rules import check_plan, redirect_allowed
from ecoload.plan import Probe, Ref, Route, Text
from tests.unit.guard_plans import READ, ingest, plan, tile


@pytest.mark.parametrize(
    ("pattern", "method", "path", "denied"),
    [
        ("POST /v1/charges", "POST", "/v1/charges", True),
        ("POST /v1/charges", "GET", "/v1/charges", False),
        ("POST /v1/charges", "POST", "/v1/charges/7", False),
        ("POST /v1/charges", "POST", "/v1/chargesx", False),
        ("POST /v1/charges", "POST", "/V1/Charges/", True),
        ("POST /v1/charges", "POST", "/v1//charges", True),
        ("POST /v1/charges", "POST", "/v1/%63harges", True),
        ("post /v1/charges", "POST", "/v1/charges", True),
        ("* /v1/charges", "DELETE", "/v1/charges", True),
        ("* /v1/*/capture", "POST", "/v1/ch_1/capture", True),
        ("* /v1/*/capture", "POST", "/v1/ch_1/refund", False),
        ("* /admin/**", "GET", "/admin", True),
        ("* /admin/**", "GET", "/admin/users/7", True),
        ("* /admin/**", "GET", "/administration", False),
        ("* /v1/ch*s", "GET", "/v1/charges", True),
        ("* /v1/charges", "GET", f"/v1/{HOLE}", True),
        ("* /v1/charges", "GET", f"/v1/ch{HOLE}", True),
        ("* /v1/charges", "GET", f"/v1/x{HOLE}", False),
        ("* /v1/charges/*", "GET", f"/v1/{HOLE}/7", True),
        ("* /v1/charges", "GET", f"/v2/{HOLE}", False),
        ("* /admin/**", "GET", "/admin;v=1/users", True),
        ("* /admin/users", "GET", "/admin/;x/users;y=/", True),
        ("* /admin;v=1", "GET", "/admin;v=1", True),
        ("* /admin/**", "GET", "/administration;admin", False),
        ("* /admin/**", "GET", "/admin%5Cusers", True),
        ("* /v1/charges", "GET", "/v1\\charges", True),
        ("* /v1/%63harges", "GET", "/v1/charges", True),
        ("* /caf%C3%A9", "GET", "/caf\u00e9", True),
        ("* /caf\u00e9", "GET", "/cafe%CC%81", True),
        ("* /stra\u00dfe", "GET", "/STRASSE", True),
        ("GET /v1/charges", "HEAD", "/v1/charges", True),
        ("HEAD /v1/charges", "GET", "/v1/charges", False),
    ],
)
def test_what_a_pattern_denies(pattern: str, method: str, path: str, denied: bool) -> None:
    assert denied_by([pattern], method, path) == (pattern if denied else None)


@given(st.lists(st.text("abc*", min_size=1, max_size=4), min_size=1, max_size=4), st.text("abc", max_size=5))
def test_a_value_never_gets_past_what_its_template_was_held_against(parts: list[str], value: str) -> None:
    pattern = "* /" + "/".join(parts)
    for index in range(len(parts)):
        literal = [part.replace("*", "b") for part in parts]
        sent = [*literal[:index], value, *literal[index + 1 :]]
        template = [*literal[:index], HOLE, *literal[index + 1 :]]
        if value and denied_by([pattern], "GET", "/" + "/".join(sent)):
            assert denied_by([pattern], "GET", "/" + "/".join(template)) == pattern


def test_a_route_is_recognised_however_its_path_is_written() -> None:
    route = Route("a2", "reset", "GET", "/v1/{space}/Reset", "fault")
    for method, path in (("GET", "/v1/x/reset"), ("HEAD", "//v1/x;y/%72eset/"), ("GET", f"/v1/{HOLE}/RESET")):
        assert could_be(method, path, route)
    for method, path in (("POST", "/v1/x/reset"), ("GET", "/v1/reset"), ("GET", "/v1/x/resets")):
        assert not could_be(method, path, route)


def refusal(*steps: object, deny: str, **changes: object) -> str:
    with pytest.raises(GuardRefused) as caught:
        check_plan(plan(*steps, deny=(deny,), **changes))  # type: ignore[arg-type]
    return str(caught.value)


def test_a_step_to_a_denied_route_is_refused() -> None:
    check_plan(plan(ingest(), deny=("POST /v1/charges",)))
    assert "POST '/v1/events' of a2 is denied (guardrails: deny: 'POST /v1/events')" in refusal(
        ingest(), deny="POST /v1/events"
    )
    read = ingest(route=READ, method="GET", path=Text(("/v1/events/", Ref(("data", "id")))), body=None)
    assert "is denied" in refusal(read, deny="* /v1/events/secret")


def test_a_denied_path_counts_with_and_without_the_base_path() -> None:
    assert "is denied" in refusal(tile(), deny="GET /tiles/finance")
    assert "is denied" in refusal(tile(), deny="GET /api/tiles/finance")


def test_a_probe_to_a_denied_path_is_refused() -> None:
    assert "version_from: GET '/charges'" in refusal(
        ingest(), deny="GET /charges", version_from=Probe(0, "/charges?x=1", "$")
    )


def test_a_redirect_to_a_denied_path_is_not_followed() -> None:
    made = plan()
    url = "https://a2.example/v1/events/7"
    assert redirect_allowed(made, 0, "GET", url) == 0
    assert redirect_allowed(dataclasses.replace(made, deny=("GET /v1/events/*",)), 0, "GET", url) is None
