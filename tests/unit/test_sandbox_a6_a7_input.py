"""What A6 and A7 read of a body: whatever it is, it is understood or refused with reasons."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.a6.app import parse_contract, parse_registration, parse_step
from ecoload.sandbox.a6.billing import bill
from ecoload.sandbox.a6.funnel import Registration
from ecoload.sandbox.a7.app import takes_gzip
from ecoload.sandbox.a7.cta import Action, parse_action
from ecoload.sandbox.common.problems import Problem

Document = dict[str, Any]

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)

REGISTRATION: Document = {
    "namespace": "perf_test",
    "provider": {"name": "Provider 001", "kind": "college", "state": "TX"},
    "email": "office@provider-001.example",
}
STEP: Document = {
    "namespace": "perf_test",
    "to": "contract",
    "contract": {"amount_cents": 100_000, "ai_cost_cents": 1_000},
}
CONTRACT: Document = {
    "namespace": "perf_test",
    "contract_id": "c-1",
    "amount_cents": 100_000,
    "ai_cost_cents": 1_000,
}
ACTION: Document = {"namespace": "perf_test", "page": "/browse", "cta": "find", "action": "click"}


def state_of(path: str) -> str | None:
    """A site of two pages; the second is about Texas."""
    if path not in ("/browse", "/texas"):
        raise LookupError("there is no such page")
    return "TX" if path == "/texas" else None


def action_of(document: Document) -> Action:
    return parse_action(document, "run-1", "lineage-1", state_of)


def reasons(parse: Any, document: Document) -> tuple[str, ...]:
    with pytest.raises(Problem) as refused:
        parse(document)
    assert refused.value.status == 422
    assert refused.value.errors
    return refused.value.errors


def test_what_is_right_is_understood() -> None:
    assert parse_registration(REGISTRATION) == Registration(
        "Provider 001", "college", "TX", "office@provider-001.example"
    )
    assert parse_step(STEP) == ("contract", bill(100_000, 1_000))
    assert parse_step({"namespace": "perf_test", "to": "demo"}) == ("demo", None)
    assert parse_contract(CONTRACT) == ("c-1", bill(100_000, 1_000))
    assert action_of(ACTION) == Action("click", "/browse", "find", "lineage-1", "run-1", None)


def test_what_is_optional_may_be_missing() -> None:
    brief = {"namespace": "perf_test", "provider": {"name": "Provider 001"}}
    assert parse_registration(brief) == Registration("Provider 001", None, None, None)


def test_an_action_names_its_own_run_and_lineage_before_the_headers() -> None:
    action = action_of(ACTION | {"run_id": "run-2", "lineage_id": "lineage-2", "page": "/texas"})
    assert (action.run_id, action.lineage_id, action.state) == ("run-2", "lineage-2", "TX")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"namespace": "production"}, "namespace"),
        ({"namespace": None}, "namespace"),
        ({"provider": None}, "provider"),
        ({"provider": "Provider 001"}, "provider"),
        ({"provider": {}}, "provider.name"),
        ({"provider": {"name": ""}}, "provider.name"),
        ({"provider": {"name": "   "}}, "provider.name"),
        ({"provider": {"name": "x" * 201}}, "provider.name"),
        ({"provider": {"name": "two\nlines"}}, "provider.name"),
        ({"provider": {"name": "a\0b"}}, "provider.name"),
        ({"provider": {"name": 5}}, "provider.name"),
        ({"provider": {"name": "P", "kind": "a college"}}, "provider.kind"),
        ({"provider": {"name": "P", "state": "tx"}}, "provider.state"),
        ({"provider": {"name": "P", "state": "ZZ"}}, "provider.state"),
        ({"provider": {"name": "P", "state": ["TX"]}}, "provider.state"),
        ({"provider": {"name": "P", "phone": "1"}}, "provider.phone"),
        ({"email": "someone@gmail.com"}, "email"),
        ({"email": "someone@example.com.evil.org"}, "email"),
        ({"email": "someone@notexample.com"}, "email"),
        ({"email": "a b@example.com"}, "email"),
        ({"email": "x@example.com\n"}, "email"),
        ({"email": 1}, "email"),
        ({"emial": "x@example.com"}, "emial"),
    ],
)
def test_a_registration_that_is_wrong_is_refused_by_name(change: Document, named: str) -> None:
    assert reasons(parse_registration, REGISTRATION | change)[0].partition(":")[0] == named


@pytest.mark.parametrize(
    "email", ["a@example.com", "a.b+c@example.test", "a@mail.example.com", "a@x.test", "a@y.x.example"]
)
def test_reserved_domains_are_taken(email: str) -> None:
    assert parse_registration(REGISTRATION | {"email": email}).email == email


@pytest.mark.parametrize("amount", [True, -1, 10**12 + 1, 1.0, 100.5, "100", None, [], 1e300])
@pytest.mark.parametrize("name", ["amount_cents", "ai_cost_cents"])
def test_an_amount_that_is_none_is_refused(name: str, amount: Any) -> None:
    assert reasons(parse_contract, CONTRACT | {name: amount})[0].startswith(f"{name}:")
    contract = STEP["contract"] | {name: amount}
    assert reasons(parse_step, STEP | {"contract": contract})[0].startswith(f"contract.{name}:")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"to": "demo"}, "namespace"),
        ({"namespace": "perf_test"}, "to"),
        ({"namespace": "perf_test", "to": "sold"}, "to"),
        ({"namespace": "perf_test", "to": ["demo"]}, "to"),
        ({"namespace": "perf_test", "to": "contract"}, "contract"),
        ({"namespace": "perf_test", "to": "contract", "contract": 5}, "contract"),
        ({"namespace": "perf_test", "to": "demo", "contract": STEP["contract"]}, "contract"),
        (STEP | {"contract": STEP["contract"] | {"fee_cents": 1}}, "contract.fee_cents"),
    ],
)
def test_a_step_that_is_wrong_is_refused_by_name(document: Document, named: str) -> None:
    assert reasons(parse_step, document)[0].partition(":")[0] == named


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"namespace": "prod"}, "namespace"),
        ({"page": "/nowhere"}, "page"),
        ({"page": None}, "page"),
        ({"page": ["/browse"]}, "page"),
        ({"cta": ""}, "cta"),
        ({"cta": {"a": 1}}, "cta"),
        ({"action": "hover"}, "action"),
        ({"action": ["click"]}, "action"),
        ({"run_id": "no run"}, "run_id"),
        ({"lineage_id": 7}, "lineage_id"),
        ({"lineage_id": None}, "lineage_id"),
        ({"who": "me"}, "who"),
    ],
)
def test_an_action_that_is_wrong_is_refused_by_name(change: Document, named: str) -> None:
    assert [reason.partition(":")[0] for reason in reasons(action_of, ACTION | change)] == [named]


def test_reasons_are_not_endless() -> None:
    many = {f"field-{number}" * 100: number for number in range(1000)}
    for parse in (parse_registration, parse_step, parse_contract, action_of):
        found = reasons(parse, many)
        assert len(found) <= 20
        assert all(len(reason) < 300 for reason in found)


@pytest.mark.parametrize(
    ("parse", "right"),
    [(parse_registration, REGISTRATION), (parse_step, STEP), (parse_contract, CONTRACT), (action_of, ACTION)],
)
@given(data=st.data())
def test_whatever_comes_is_understood_or_refused(parse: Any, right: Document, data: st.DataObject) -> None:
    names = st.sampled_from(sorted(right)) | st.text(max_size=10)
    document = right | data.draw(st.dictionaries(names, anything, max_size=4))
    try:
        parse(document)
    except Problem as problem:
        assert problem.status == 422
        assert problem.errors


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip", True),
        ("gzip, deflate, br", True),
        ("gzip;q=0.5", True),
        ("gzip; q=1.0", True),
        ("gzip;q=0", False),
        ("br, gzip ; q=0.000", False),
        ("identity", False),
        ("x-gzipped", False),
        ("*", False),
        (";;;,q=,gzip;q=", True),
    ],
)
def test_gzip_is_sent_to_whom_it_is_welcome(accepted: str, taken: bool) -> None:
    assert takes_gzip(accepted) is taken
