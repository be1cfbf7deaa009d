"""A6 of the sandbox, the provider portal, through its public endpoints: the funnel, its events, the bills."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import call, eventually, faults, fetch, token

STAGES = ["lead", "demo", "contract", "live"]
FIGURES = {"amount_cents": 100_000, "ai_cost_cents": 1_000}
BILL = {"fee_cents": 3_000, "ai_price_cents": 4_000, "total_cents": 7_000, "rounding": "half-up"}
Headers = dict[str, str]

_numbers = count()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("a1", "a2", "a6", "a8")) as running:
        yield running


@pytest.fixture(scope="module")
def may(sandbox: Sandbox) -> Headers:
    return token(sandbox, "a6")


@pytest.fixture(scope="module")
def may_read(sandbox: Sandbox) -> Headers:
    return token(sandbox, "a2 a8")


@pytest.fixture
def a6(sandbox: Sandbox) -> str:
    return sandbox.urls["a6"]


@pytest.fixture
def run_id() -> str:
    """A run that no other test uses."""
    return f"run-{next(_numbers)}"


def registration(**changes: Any) -> dict[str, Any]:
    return {"namespace": "perf_test", "provider": {"name": "Provider 001", "state": "TX"}} | changes


def register(a6: str, headers: Headers, **changes: Any) -> dict[str, Any]:
    status, document = call(f"{a6}/register", registration(**changes), headers)
    assert status == 201, document
    assert isinstance(document, dict)
    return document


def advance(a6: str, provider_id: str, to: str, headers: Headers, **figures: int) -> tuple[int, Any]:
    body: dict[str, Any] = {"namespace": "perf_test", "to": to}
    if to == "contract":
        body["contract"] = FIGURES | figures
    return call(f"{a6}/api/providers/{provider_id}/stage", body, headers)


def contract(contract_id: str, **changes: Any) -> dict[str, Any]:
    return {"namespace": "perf_test", "contract_id": contract_id, **FIGURES} | changes


def events_of(sandbox: Sandbox, lineage_id: str, headers: Headers) -> list[dict[str, Any]]:
    """What A2 holds of a lineage, in its order."""
    url = f"{sandbox.urls['a2']}/v1/events?lineage_id={lineage_id}"
    status, document = call(url, headers=headers)
    assert status == 200
    return list(document["events"])


def kinds_of(sandbox: Sandbox, lineage_id: str, headers: Headers) -> list[str]:
    return [event["kind"] for event in events_of(sandbox, lineage_id, headers)]


# --- the funnel --------------------------------------------------------------------------------------


def test_a_provider_goes_through_the_funnel_and_every_step_can_be_followed(
    sandbox: Sandbox, a6: str, may: Headers, may_read: Headers, run_id: str
) -> None:
    headers = may | {"X-Ecoload-Run": run_id, "X-Lineage-Id": f"lineage-{run_id}"}
    lead = register(a6, headers, email="office@provider-001.example")
    assert lead["stage"] == "lead"
    assert lead["lineage_id"] == f"lineage-{run_id}"
    steps = [lead]
    for to in STAGES[1:]:
        status, step = advance(a6, lead["provider_id"], to, may | {"X-Ecoload-Run": run_id})
        assert (status, step["stage"], step["lineage_id"]) == (200, to, lead["lineage_id"])
        steps.append(step)
    billed = steps[2]["billing"]
    assert billed == FIGURES | BILL | {
        "contract_id": f"contract-{lead['provider_id']}",
        "lineage_id": lead["lineage_id"],
        "event_id": billed["event_id"],
    }
    in_order = ["lead", "demo", "contract", "contract_billed", "live"]
    eventually(lambda: kinds_of(sandbox, lead["lineage_id"], may_read), in_order)
    events = {event["kind"]: event for event in events_of(sandbox, lead["lineage_id"], may_read)}
    assert [events[stage]["event_id"] for stage in STAGES] == [step["event_id"] for step in steps]
    assert {event["run_id"] for event in events.values()} == {run_id}
    assert {event["state"] for event in events.values()} == {"TX"}
    assert {event["app"] for event in events.values()} == {"a6"}
    assert events["lead"]["data"] == {"provider_id": lead["provider_id"]}
    figures = {name: billed[name] for name in (*FIGURES, "fee_cents", "ai_price_cents")}
    assert events["contract_billed"]["data"] == {"contract_id": billed["contract_id"]} | figures

    status, provider = call(f"{a6}/api/providers/{lead['provider_id']}", headers=may)
    assert status == 200
    assert [step["stage"] for step in provider["history"]] == STAGES
    assert [step["event_id"] for step in provider["history"]] == [step["event_id"] for step in steps]
    assert (provider["stage"], provider["email"]) == ("live", "office@provider-001.example")


def test_the_reference_contract_is_thirty_and_forty_dollars_on_the_finance_tile(
    sandbox: Sandbox, a6: str, may: Headers, may_read: Headers, run_id: str
) -> None:
    headers = may | {"X-Ecoload-Run": run_id}
    status, billed = call(f"{a6}/api/billing", contract(f"contract-{run_id}"), headers)
    assert status == 200
    assert billed.items() >= (FIGURES | BILL).items()

    def tile() -> tuple[int, int]:
        url = f"{sandbox.urls['a8']}/api/tiles/finance?namespace=perf_test&run_id={run_id}"
        _, found = call(url, headers=may_read)
        return found["fee_cents"], found["ai_price_cents"]

    eventually(tile, (3_000, 4_000))


def test_only_the_next_stage_can_be_taken(a6: str, may: Headers) -> None:
    provider_id = register(a6, may)["provider_id"]
    assert advance(a6, provider_id, "contract", may)[0] == 409
    assert advance(a6, provider_id, "live", may)[0] == 409
    assert advance(a6, provider_id, "demo", may)[0] == 200
    assert advance(a6, provider_id, "lead", may)[0] == 409
    status, provider = call(f"{a6}/api/providers/{provider_id}", headers=may)
    assert (status, provider["stage"], len(provider["history"])) == (200, "demo", 2)


def test_the_present_stage_again_is_the_same_step(
    sandbox: Sandbox, a6: str, may: Headers, may_read: Headers
) -> None:
    lead = register(a6, may)
    for to in STAGES:
        first = (200, lead) if to == "lead" else advance(a6, lead["provider_id"], to, may)
        assert first[0] == 200
        assert advance(a6, lead["provider_id"], to, may) == first
    eventually(lambda: len(events_of(sandbox, lead["lineage_id"], may_read)), 5)


def test_twenty_who_ask_for_a_stage_at_once_take_one_step(
    sandbox: Sandbox, a6: str, may: Headers, may_read: Headers
) -> None:
    lead = register(a6, may)
    assert advance(a6, lead["provider_id"], "demo", may)[0] == 200
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: advance(a6, lead["provider_id"], "contract", may), range(20)))
    assert {status for status, _ in answers} == {200}
    assert len({step["event_id"] for _, step in answers}) == 1
    assert advance(a6, lead["provider_id"], "live", may)[0] == 200
    in_order = ["lead", "demo", "contract", "contract_billed", "live"]
    eventually(lambda: kinds_of(sandbox, lead["lineage_id"], may_read), in_order)


def test_a_contract_step_with_other_figures_is_a_conflict(a6: str, may: Headers) -> None:
    provider_id = register(a6, may)["provider_id"]
    advance(a6, provider_id, "demo", may)
    assert advance(a6, provider_id, "contract", may)[0] == 200
    assert advance(a6, provider_id, "contract", may, amount_cents=1)[0] == 409
    _, billed = call(f"{a6}/api/billing?contract_id=contract-{provider_id}", headers=may)
    assert billed["amount_cents"] == 100_000


def test_a_refused_contract_step_changes_nothing(
    sandbox: Sandbox, a6: str, may: Headers, may_read: Headers
) -> None:
    lead = register(a6, may)
    provider_id = lead["provider_id"]
    advance(a6, provider_id, "demo", may)
    taken = contract(f"contract-{provider_id}", amount_cents=5)
    assert call(f"{a6}/api/billing", taken, may)[0] == 200
    assert advance(a6, provider_id, "contract", may)[0] == 409
    assert call(f"{a6}/api/providers/{provider_id}", headers=may)[1]["stage"] == "demo"
    marker = register(a6, may)  # what comes later is there: so is what came before
    eventually(lambda: kinds_of(sandbox, marker["lineage_id"], may_read), ["lead"])
    assert kinds_of(sandbox, lead["lineage_id"], may_read) == ["lead", "demo"]


def test_providers_are_listed_by_stage_and_page(sandbox: Sandbox, a6: str, may: Headers) -> None:
    known = [register(a6, may)["provider_id"] for _ in range(3)]
    advance(a6, known[1], "demo", may)

    def listed(query: str) -> list[str]:
        found: list[str] = []
        after = 0
        while after is not None:
            status, answer = call(f"{a6}/api/providers?limit=2&after={after}{query}", headers=may)
            assert status == 200
            assert len(answer["providers"]) <= 2
            found += [provider["provider_id"] for provider in answer["providers"]]
            after = answer["next"]
        return found

    everyone = listed("")
    assert [provider_id for provider_id in everyone if provider_id in known] == known
    assert len(everyone) == len(set(everyone))
    assert known[1] in listed("&stage=demo")
    assert known[1] not in listed("&stage=lead")


# --- registering once --------------------------------------------------------------------------------


def test_the_same_key_and_body_register_one_provider(a6: str, may: Headers) -> None:
    headers = may | {"Idempotency-Key": uuid.uuid4().hex}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: call(f"{a6}/register", registration(), headers), range(20)))
    assert {status for status, _ in answers} == {201}
    assert len({answer["event_id"] for _, answer in answers}) == 1
    first = answers[0][1]
    assert all(answer == first for _, answer in answers)
    advance(a6, first["provider_id"], "demo", may)
    assert call(f"{a6}/register", registration(), headers) == (201, first)


@pytest.mark.parametrize(
    "other",
    [
        {"provider": {"name": "Provider 002", "state": "TX"}},
        {"provider": {"name": "Provider 001", "state": "OH"}},
        {"provider": {"name": "Provider 001", "state": "TX", "kind": "college"}},
        {"email": "x@example.com"},
    ],
)
def test_the_same_key_with_another_body_is_refused(a6: str, may: Headers, other: dict[str, Any]) -> None:
    headers = may | {"Idempotency-Key": uuid.uuid4().hex}
    register(a6, headers)
    assert call(f"{a6}/register", registration(**other), headers)[0] == 422


def test_without_a_key_every_registration_is_a_provider(a6: str, may: Headers) -> None:
    assert register(a6, may)["provider_id"] != register(a6, may)["provider_id"]


# --- bills -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "fee"), [(0, 0), (1, 0), (16, 0), (17, 1), (50, 2), (150, 5), (10**12, 3 * 10**10)]
)
def test_awkward_amounts_are_billed_to_the_cent(a6: str, may: Headers, amount: int, fee: int) -> None:
    contract_id = f"c-{uuid.uuid4().hex}"
    status, billed = call(f"{a6}/api/billing", contract(contract_id, amount_cents=amount), may)
    assert status == 200
    assert (billed["fee_cents"], billed["ai_price_cents"], billed["total_cents"]) == (fee, 4_000, fee + 4_000)
    assert call(f"{a6}/api/billing?contract_id={contract_id}", headers=may) == (200, billed)


def test_a_contract_is_billed_once(sandbox: Sandbox, a6: str, may: Headers, may_read: Headers) -> None:
    body = contract(f"c-{uuid.uuid4().hex}")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: call(f"{a6}/api/billing", body, may), range(20)))
    assert {status for status, _ in answers} == {200}
    assert len({answer["event_id"] for _, answer in answers}) == 1
    assert len({answer["lineage_id"] for _, answer in answers}) == 1
    assert call(f"{a6}/api/billing", body | {"amount_cents": 100_001}, may)[0] == 409
    assert call(f"{a6}/api/billing", body | {"ai_cost_cents": 999}, may)[0] == 409
    marker = register(a6, may)
    eventually(lambda: kinds_of(sandbox, marker["lineage_id"], may_read), ["lead"])
    assert kinds_of(sandbox, answers[0][1]["lineage_id"], may_read) == ["contract_billed"]


def test_the_rates_are_told(a6: str, may: Headers) -> None:
    assert call(f"{a6}/api/billing/rates", headers=may) == (200, {"fee_basis_points": 300, "ai_markup": 4})


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/register", {"namespace": "perf_test"}),
        ("/register", {"namespace": "prod", "provider": {"name": "P"}}),
        ("/register", {"namespace": "perf_test", "provider": {"name": "P"}, "email": "me@gmail.com"}),
        ("/register", ["perf_test"]),
        ("/api/providers/none/stage", {"namespace": "perf_test", "to": "sold"}),
        ("/api/providers/none/stage", {"namespace": "perf_test", "to": "contract"}),
        ("/api/billing", contract("c", amount_cents=1.5)),
        ("/api/billing", contract("c", amount_cents=True)),
        ("/api/billing", contract("c", amount_cents="100")),
        ("/api/billing", contract("c", amount_cents=-1)),
        ("/api/billing", contract("c", ai_cost_cents=10**12 + 1)),
        ("/api/billing", contract("c", ai_cost_cents=10**30)),
        ("/api/billing", contract("no name")),
    ],
)
def test_a_wrong_body_is_refused_with_reasons(a6: str, may: Headers, path: str, body: Any) -> None:
    status, problem = call(f"{a6}{path}", body, may)
    assert status == 422
    assert problem.get("errors") or isinstance(body, list)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/providers/none", 404),
        ("GET", "/api/providers/%FF%00", 404),
        ("GET", "/api/providers/..%2f..", 404),
        ("GET", "/api/providers?stage=sold", 400),
        ("GET", "/api/providers?limit=-1", 400),
        ("GET", "/api/providers?after=x", 400),
        ("GET", "/api/billing", 422),
        ("GET", "/api/billing?contract_id=%00", 422),
        ("GET", "/api/billing?contract_id=nobody", 404),
        ("GET", "/register", 405),
        ("DELETE", "/api/billing", 405),
        ("GET", "/nothing", 404),
        ("DELETE", "/test-data", 422),
    ],
)
def test_a_wrong_request_is_a_problem(a6: str, may: Headers, method: str, path: str, status: int) -> None:
    assert call(f"{a6}{path}", headers=may, method=method)[0] == status


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b'{"a":' * 300 + b"1" + b"}" * 300, 422), (b"\xff", 400)]
)
def test_what_is_no_json_object_is_refused(a6: str, may: Headers, body: bytes, status: int) -> None:
    assert call(f"{a6}/register", body, may, "POST")[0] == status


def test_a_step_of_nobody_is_not_found(a6: str, may: Headers) -> None:
    assert advance(a6, "none", "demo", may)[0] == 404


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Lineage-Id"])
def test_a_header_that_is_no_name_is_refused(a6: str, may: Headers, header: str) -> None:
    assert call(f"{a6}/register", registration(), may | {header: "no name"})[0] == 422


def test_a_token_with_the_scope_is_needed(sandbox: Sandbox, a6: str) -> None:
    foreign = token(sandbox, "a7")
    for path, body in (
        ("/register", registration()),
        ("/api/billing", contract("c")),
        ("/api/providers/x/stage", {}),
    ):
        assert call(f"{a6}{path}", body)[0] == 401
        assert call(f"{a6}{path}", body, foreign)[0] == 403
    for path in ("/api/providers", "/api/providers/x", "/api/billing?contract_id=c", "/api/billing/rates"):
        assert call(f"{a6}{path}")[0] == 401
        assert call(f"{a6}{path}", headers=foreign)[0] == 403


# --- the page, readiness and the life of the state ---------------------------------------------------


def test_the_portal_shows_where_the_providers_are(a6: str, may: Headers) -> None:
    def figures() -> dict[str, int]:
        status, headers, content = fetch(f"{a6}/")
        assert status == 200
        assert headers["Content-Type"].startswith("text/html")
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        return {
            stage: int(figure.replace(",", ""))
            for stage, figure in re.findall(r'data-stage="(\w+)">([\d,]+)<', content.decode())
        }

    before = figures()
    assert list(before) == STAGES
    advance(a6, register(a6, may)["provider_id"], "demo", may)
    register(a6, may)
    after = figures()
    assert (after["lead"] - before["lead"], after["demo"] - before["demo"]) == (1, 1)


def test_readiness_asks_for_what_it_needs(a6: str) -> None:
    status, document = call(f"{a6}/healthz")
    assert status == 200
    assert document["checks"].keys() >= {"database", "outbox_pending", "a2", "identity"}


@pytest.mark.parametrize(("fault", "fee", "price"), [("wrong_fee", 6, 116), ("float_rounding", 4, 115)])
def test_a_bill_that_is_wrong_is_wrong_wherever_it_is_told(
    sandbox: Sandbox, a6: str, may: Headers, may_read: Headers, run_id: str, fault: str, fee: int, price: int
) -> None:
    with faults(sandbox, "a6", **{fault: 1}):
        billed = call(f"{a6}/api/billing", contract(run_id, amount_cents=150, ai_cost_cents=29), may)[1]
        mine = register(a6, may)
        assert advance(a6, mine["provider_id"], "demo", may)[0] == 200
        step = advance(a6, mine["provider_id"], "contract", may, amount_cents=150, ai_cost_cents=29)[1]
    for found in (billed, step["billing"], call(f"{a6}/api/billing?contract_id={run_id}", headers=may)[1]):
        assert (found["fee_cents"], found["ai_price_cents"]) == (fee, price)
    eventually(lambda: len(events_of(sandbox, billed["lineage_id"], may_read)), 1)
    (event,) = events_of(sandbox, billed["lineage_id"], may_read)
    assert (event["data"]["fee_cents"], event["data"]["ai_price_cents"]) == (fee, price)


def test_its_faults_are_the_common_ones_and_two_of_its_own(sandbox: Sandbox, a6: str, may: Headers) -> None:
    with faults(sandbox, "a6", error_rate=1):
        assert call(f"{a6}/register", registration(), may)[0] == 503
        assert call(f"{a6}/health")[0] == 200
    assert call(f"{a6}/register", registration(), may)[0] == 201
    admin = {"X-Sandbox-Admin": sandbox.admin_token}
    assert call(f"{a6}/__faults", {"lose_events": 1}, admin)[0] == 422


def test_test_data_of_a_run_is_deleted_and_nothing_else(a6: str, may: Headers, run_id: str) -> None:
    mine = register(a6, may | {"X-Ecoload-Run": run_id, "Idempotency-Key": run_id})
    advance(a6, mine["provider_id"], "demo", may)
    call(f"{a6}/api/billing", contract(f"c-{run_id}"), may | {"X-Ecoload-Run": run_id})
    others = register(a6, may | {"X-Ecoload-Run": f"{run_id}-other"})
    url = f"{a6}/test-data?namespace=perf_test&run_id={run_id}"
    assert call(url, headers=may, method="DELETE") == (
        200,
        {"deleted": {"steps": 2, "providers": 1, "contracts": 1}},
    )
    assert call(f"{a6}/api/providers/{mine['provider_id']}", headers=may)[0] == 404
    assert call(f"{a6}/api/billing?contract_id=c-{run_id}", headers=may)[0] == 404
    assert call(f"{a6}/api/providers/{others['provider_id']}", headers=may)[0] == 200
    again = register(a6, may | {"Idempotency-Key": run_id})
    assert again["provider_id"] != mine["provider_id"]


def test_a_kill_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with Sandbox(("a2", "a6"), state=tmp_path) as sandbox:
        a6 = sandbox.urls["a6"]
        sandbox.kill("a2")  # so that everything is still pending when A6 is killed
        headers = {"X-Ecoload-Run": "killed"}
        leads = [register(a6, headers | {"Idempotency-Key": f"key-{number}"}) for number in range(30)]
        assert advance(a6, leads[0]["provider_id"], "demo", headers)[0] == 200
        sandbox.kill("a6")
        sandbox.start("a2")
        sandbox.start("a6")
        again = [register(a6, headers | {"Idempotency-Key": f"key-{number}"}) for number in range(30)]
        assert again == leads
        a2 = sandbox.urls["a2"]
        eventually(lambda: call(f"{a6}/healthz")[1]["checks"]["outbox_pending"], 0)
        assert call(f"{a2}/v1/events/count?run_id=killed")[1]["count"] == 31
        status, provider = call(f"{a6}/api/providers/{leads[0]['provider_id']}")
        assert (status, provider["stage"]) == (200, "demo")
        found = call(f"{a2}/v1/events?run_id=killed&limit=100")[1]["events"]
        assert {event["event_id"] for event in found} >= {lead["event_id"] for lead in leads}
