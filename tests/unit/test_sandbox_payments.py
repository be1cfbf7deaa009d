"""The mock provider of payments: what it takes, what it refuses, and that it never charges anybody."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.a5 import mock_provider as payments
from ecoload.sandbox.a5.mock_provider import Reply, Stamp
from ecoload.sandbox.a5.stripe import (
    CHARGE_COLUMNS,
    LEAST_CENTS,
    MOST_CENTS,
    NewCustomer,
    NewIntent,
    attempt_document,
    charge_document,
    charge_list,
    parse_customer,
    parse_intent,
)

NOW = Stamp(1_700_000_000_123, "run-1")
GOOD = {"amount": "1000", "currency": "usd", "customer": "cus_test_0001"}


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(payments.SCHEMA)
    payments.seed(connection, NOW.at)
    yield connection
    connection.close()


def intent_of(customer: str = "cus_test_0001", amount: int = 1000) -> NewIntent:
    return NewIntent(amount, customer, None, "{}")


def created(database: sqlite3.Connection, amount: int = 1000) -> dict[str, Any]:
    document = payments.create_intent(database, intent_of(amount=amount), NOW).document
    assert document is not None
    return document


def attempts(database: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = database.execute(f"SELECT {CHARGE_COLUMNS} FROM charges ORDER BY number").fetchall()
    return [attempt_document(row) for row in rows]


# --- what a form may ask ----------------------------------------------


@pytest.mark.parametrize("amount", [LEAST_CENTS, 51, 99, 101, 333, 1001, 99_999, 1_234_567, MOST_CENTS])
def test_whole_cents_are_taken_to_the_cent(amount: int) -> None:
    wanted, wrong = parse_intent(GOOD | {"amount": str(amount)})
    assert wrong == []
    assert wanted is not None
    assert wanted.amount == amount


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "0",
        "49",
        "-50",
        "+50",
        "10.5",
        "10.00",
        "1e3",
        " 100",
        "100 ",
        "1_000",
        "1,000",
        "0x64",
        "NaN",
        "true",
    ]
    + ["\u0661\u0660\u0660", "\u00b2\u00b2\u00b2", "100000000", "9" * 400],
)
def test_an_amount_that_is_not_whole_cents_is_refused(amount: str) -> None:
    wanted, wrong = parse_intent(GOOD | {"amount": amount})
    assert wanted is None
    assert wrong[0].startswith("amount: must be whole cents")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"currency": "eur"}, "currency"),
        ({"currency": "USD"}, "currency"),
        ({"customer": ""}, "customer"),
        ({"capture": "yes"}, "capture"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata[a b]": "x"}, "metadata[a b]"),
        ({"description": "x" * 501}, "description"),
        ({f"metadata[k{n}]": "v" for n in range(21)}, "metadata"),
    ],
)
def test_a_payment_intent_names_each_thing_that_is_wrong(change: dict[str, str], named: str) -> None:
    wanted, wrong = parse_intent(GOOD | change)
    assert wanted is None
    assert [reason.partition(":")[0] for reason in wrong] == [named]


def test_everything_wrong_is_said_at_once() -> None:
    _, wrong = parse_intent({})
    assert [reason.partition(":")[0] for reason in wrong] == ["amount", "currency", "customer"]


def test_a_customer_is_a_test_customer_only_by_the_word_true() -> None:
    for value, test in (("true", True), ("True", False), ("1", False), ("", False)):
        wanted, _ = parse_customer({"metadata[test]": value})
        assert wanted is not None
        assert wanted.test is test
    wanted, _ = parse_customer({"name": "test"})
    assert wanted is not None
    assert not wanted.test


@given(st.dictionaries(st.text(max_size=50), st.text(max_size=600), max_size=30))
def test_no_form_at_all_breaks_the_reader(form: dict[str, str]) -> None:
    for parse in (parse_customer, parse_intent):
        wanted, wrong = parse(form)
        assert (wanted is None) == bool(wrong)


# --- only test customers, and nothing charged -----------------------------------


def test_a_confirmed_payment_succeeds_as_a_simulation_and_receives_nothing(
    database: sqlite3.Connection,
) -> None:
    intent = created(database, amount=12_345)
    assert (intent["status"], intent["livemode"], intent["simulated"]) == (
        "requires_confirmation",
        True,
        True,
    )
    confirmed = payments.confirm_intent(database, intent["id"], NOW)
    assert confirmed.status == 200
    assert confirmed.document == intent | {
        "status": "succeeded",
        "latest_charge": attempts(database)[0]["charge"],
    }
    assert confirmed.document["amount_received"] == 0
    (attempt,) = attempts(database)
    assert attempt == attempt | {
        "at": NOW.at,
        "run_id": "run-1",
        "customer": "cus_test_0001",
        "payment_intent": intent["id"],
        "amount_cents": 12_345,
        "charged_cents": 0,
        "outcome": "blocked_live_mode",
        "refused": False,
    }


@pytest.mark.parametrize(
    "customer", [*payments.OTHER_CUSTOMERS, "cus_unknown", "cus_test_9999", "'; --", "x" * 500]
)
def test_any_other_customer_is_refused_and_the_attempt_kept(
    database: sqlite3.Connection, customer: str
) -> None:
    reply = payments.create_intent(database, intent_of(customer, amount=777), NOW)
    assert (reply.status, reply.document) == (402, None)
    assert "code: card_declined" in reply.errors
    assert "decline_code: test_customers_only" in reply.errors
    (attempt,) = attempts(database)
    assert (attempt["customer"], attempt["amount_cents"]) == (customer[:128], 777)
    assert (attempt["outcome"], attempt["refused"], attempt["charged_cents"]) == (
        "not_a_test_customer",
        True,
        0,
    )
    assert database.execute("SELECT COUNT(*) FROM intents").fetchone() == (0,)


def test_a_second_confirmation_is_an_attempt_too_and_refused(database: sqlite3.Connection) -> None:
    intent = created(database)
    payments.confirm_intent(database, intent["id"], NOW)
    again = payments.confirm_intent(database, intent["id"], NOW)
    assert (again.status, again.errors) == (409, ("code: payment_intent_unexpected_state",))
    assert [attempt["outcome"] for attempt in attempts(database)] == ["blocked_live_mode", "unexpected_state"]


def test_confirming_what_is_not_there_is_no_attempt(database: sqlite3.Connection) -> None:
    assert payments.confirm_intent(database, "pi_unknown", NOW).status == 404
    assert attempts(database) == []


def test_the_table_itself_refuses_a_charge_that_captures_something(database: sqlite3.Connection) -> None:
    payments.confirm_intent(database, created(database)["id"], NOW)
    with pytest.raises(sqlite3.IntegrityError):
        database.execute("UPDATE charges SET amount_captured = 1")


def test_a_new_customer_is_served_only_when_it_is_a_test_customer(database: sqlite3.Connection) -> None:
    refused = payments.create_customer(database, NewCustomer("N", None, None, "{}", False), NOW)
    assert refused.status == 402
    taken = payments.create_customer(
        database, NewCustomer("N", "n@example.test", None, '{"test":"true"}', True), NOW
    )
    assert taken.document is not None
    assert taken.document == taken.document | {
        "object": "customer",
        "livemode": True,
        "created": NOW.at // 1000,
        "email": "n@example.test",
        "metadata": {"test": "true"},
    }
    assert taken.document["id"].startswith("cus_")
    assert payments.create_intent(database, intent_of(taken.document["id"]), NOW).status == 200


def test_seeding_again_changes_nothing(database: sqlite3.Connection) -> None:
    payments.seed(database, NOW.at + 5_000_000)
    found = payments.customer_reply(database.execute(payments.CUSTOMER_BY_ID, ("cus_test_0020",)).fetchall())
    assert found.document is not None
    assert (found.document["created"], found.document["metadata"]) == (NOW.at // 1000, {"test": "true"})


# --- Stripe's shapes ----------------------------------------------------------------


def test_a_charge_looks_like_stripes_and_says_that_nothing_was_paid(database: sqlite3.Connection) -> None:
    payments.confirm_intent(database, created(database)["id"], NOW)
    payments.create_intent(database, intent_of("cus_live_0001"), NOW)
    rows = database.execute(f"SELECT {CHARGE_COLUMNS} FROM charges ORDER BY number").fetchall()
    simulated, refused = (charge_document(row) for row in rows)
    for charge in (simulated, refused):
        assert charge["id"].startswith("ch_")
        assert (charge["object"], charge["livemode"], charge["currency"]) == ("charge", True, "usd")
        assert (charge["amount_captured"], charge["captured"], charge["paid"]) == (0, False, False)
        assert charge["created"] == NOW.at // 1000
    assert (simulated["status"], simulated["failure_code"]) == ("succeeded", None)
    assert (refused["status"], refused["failure_code"]) == ("failed", "not_a_test_customer")


def test_a_list_says_whether_there_is_more(database: sqlite3.Connection) -> None:
    for _ in range(3):
        payments.confirm_intent(database, created(database)["id"], NOW)
    rows = database.execute(f"SELECT {CHARGE_COLUMNS} FROM charges").fetchall()
    for limit, more in ((2, True), (3, False)):
        listed = charge_list(rows, limit)
        assert (listed["object"], listed["has_more"], len(listed["data"])) == ("list", more, limit)


# --- idempotency ------------------------------------------------------------------------


def confirm_once(database: sqlite3.Connection, key: str | None, intent: str) -> Reply:
    return payments.once(
        database, key, ("confirm", intent), NOW, lambda: payments.confirm_intent(database, intent, NOW)
    )


def test_one_key_has_one_effect_and_one_answer(database: sqlite3.Connection) -> None:
    intent = created(database)["id"]
    first, *others = (confirm_once(database, "key", intent) for _ in range(20))
    assert not first.replayed
    assert all(other.replayed for other in others)
    assert {reply.status for reply in (first, *others)} == {200}
    assert all(other.document == first.document for other in others)
    assert len(attempts(database)) == 1


def test_without_a_key_each_request_has_its_own_effect(database: sqlite3.Connection) -> None:
    intent = created(database)["id"]
    assert [confirm_once(database, None, intent).status for _ in range(2)] == [200, 409]


def test_a_refusal_is_given_again_too(database: sqlite3.Connection) -> None:
    def refuse() -> Reply:
        return payments.create_intent(database, intent_of("cus_live_0001"), NOW)

    first, again = (payments.once(database, "key", ("create",), NOW, refuse) for _ in range(2))
    assert (again.status, again.detail, again.errors) == (first.status, first.detail, first.errors)
    assert len(attempts(database)) == 1


def test_a_key_with_other_parameters_is_a_conflict(database: sqlite3.Connection) -> None:
    first, second = created(database)["id"], created(database)["id"]
    confirm_once(database, "key", first)
    conflict = confirm_once(database, "key", second)
    assert (conflict.status, conflict.errors) == (409, ("type: idempotency_error",))
    assert len(attempts(database)) == 1
