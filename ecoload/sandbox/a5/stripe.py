"""Stripe's shapes: what a form may ask of the mock provider, and the documents it answers with.

Rules
-----
- Pure: no state, no clock. Money is whole cents; `created` is in s since 1970, as with Stripe.
- A parameter that is not known is an error, as with Stripe: a typing error must not change a payment.
- `livemode` is true and `simulated` too: it looks live, and moves no money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

CURRENCY = "usd"
LEAST_CENTS = 50
MOST_CENTS = 99_999_999
MAX_METADATA = 20
MAX_TEXT = 500

CHARGES_URL = "/mock/stripe/v1/charges"

CONFIG = {
    "provider": "mock-stripe",
    "mode": "live",
    "livemode": True,
    "publishable_key": "pk_live_mock_student_pilot",
    "currency": CURRENCY,
    "test_customers_only": True,
}
"""What anybody may know of the configuration."""

ACCOUNT = {
    "id": "acct_mock_student_pilot",
    "object": "account",
    "livemode": True,
    "country": "US",
    "default_currency": CURRENCY,
    "charges_enabled": True,
    "payouts_enabled": False,
    "test_customers_only": True,
    "simulated": True,
}

SIMULATED = "blocked_live_mode"
NOT_TEST = "not_a_test_customer"
UNEXPECTED_STATE = "unexpected_state"
"""What becomes of an attempt at a charge."""

CUSTOMER_COLUMNS = "id, created, name, email, description, metadata"
INTENT_COLUMNS = "id, created, amount, customer, description, metadata, charge"
CHARGE_COLUMNS = "id, at, amount, amount_captured, customer, intent, outcome, run_id"

_METADATA = re.compile(r"metadata\[([A-Za-z0-9_.-]{1,40})\]")


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A valid request for a customer; `metadata` in canonical JSON."""

    name: str | None
    email: str | None
    description: str | None
    metadata: str
    test: bool


@dataclass(frozen=True, slots=True)
class NewIntent:
    """A valid request for a payment intent; `metadata` in canonical JSON."""

    amount: int
    customer: str
    description: str | None
    metadata: str


def parse_customer(form: Mapping[str, str]) -> tuple[NewCustomer | None, list[str]]:
    """The customer a form asks for, or None and everything wrong with it."""
    metadata, wrong = _common(form, ("name", "email", "description"))
    if wrong:
        return None, wrong
    test = form.get("metadata[test]") == "true"
    return NewCustomer(form.get("name"), form.get("email"), form.get("description"), metadata, test), []


def parse_intent(form: Mapping[str, str]) -> tuple[NewIntent | None, list[str]]:
    """The payment intent a form asks for, or None and everything wrong with it."""
    metadata, wrong = _common(form, ("amount", "currency", "customer", "description"))
    text = form.get("amount", "")
    whole = text.isascii() and text.isdigit() and len(text) <= len(str(MOST_CENTS))
    amount = int(text) if whole else 0
    if not LEAST_CENTS <= amount <= MOST_CENTS:
        wrong.append(f"amount: must be whole cents from {LEAST_CENTS} to {MOST_CENTS}")
    if form.get("currency") != CURRENCY:
        wrong.append(f"currency: must be {CURRENCY}")
    if not form.get("customer"):
        wrong.append("customer: must be the id of a customer")
    if wrong:
        return None, wrong
    return NewIntent(amount, form["customer"], form.get("description"), metadata), []


def customer_document(row: Sequence[Any]) -> dict[str, Any]:
    """A customer, of its `CUSTOMER_COLUMNS`."""
    customer, created, name, email, description, metadata = row
    return {
        "id": customer,
        "object": "customer",
        "livemode": True,
        "created": created,
        "name": name,
        "email": email,
        "description": description,
        "currency": CURRENCY,
        "metadata": orjson.loads(metadata),
    }


def intent_document(row: Sequence[Any]) -> dict[str, Any]:
    """A payment intent, of its `INTENT_COLUMNS`. Confirmed, it has succeeded and received nothing."""
    intent, created, amount, customer, description, metadata, charge = row
    return {
        "id": intent,
        "object": "payment_intent",
        "livemode": True,
        "simulated": True,
        "created": created,
        "status": "requires_confirmation" if charge is None else "succeeded",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "currency": CURRENCY,
        "customer": customer,
        "description": description,
        "latest_charge": charge,
        "capture_method": "automatic",
        "payment_method_types": ["card"],
        "metadata": orjson.loads(metadata),
    }


def charge_document(row: Sequence[Any]) -> dict[str, Any]:
    """An attempt at a charge as Stripe shows one, of its `CHARGE_COLUMNS`."""
    charge, at, amount, captured, customer, intent, outcome, _ = row
    simulated = outcome == SIMULATED
    return {
        "id": charge,
        "object": "charge",
        "livemode": True,
        "simulated": True,
        "created": at // 1000,
        "status": "succeeded" if simulated else "failed",
        "amount": amount,
        "amount_captured": captured,
        "amount_refunded": 0,
        "captured": False,
        "paid": False,
        "currency": CURRENCY,
        "customer": customer,
        "payment_intent": intent,
        "failure_code": None if simulated else outcome,
        "outcome": {"type": "blocked", "network_status": "not_sent_to_network", "reason": outcome},
    }


def attempt_document(row: Sequence[Any]) -> dict[str, Any]:
    """The same attempt as the student pilot's own record shows it."""
    charge, at, amount, captured, customer, intent, outcome, run_id = row
    return {
        "charge": charge,
        "at": at,
        "customer": customer,
        "payment_intent": intent,
        "amount_cents": amount,
        "charged_cents": captured,
        "outcome": outcome,
        "refused": outcome != SIMULATED,
        "run_id": run_id,
    }


def charge_list(rows: Sequence[Sequence[Any]], limit: int) -> dict[str, Any]:
    """Stripe's list object of the first `limit` of `rows`."""
    data = [charge_document(row) for row in rows[:limit]]
    return {"object": "list", "url": CHARGES_URL, "has_more": len(rows) > limit, "data": data}


def _common(form: Mapping[str, str], known: tuple[str, ...]) -> tuple[str, list[str]]:
    """The metadata of a form in canonical JSON, and what is wrong with its fields whatever they mean."""
    metadata, wrong = {}, []
    for name, value in form.items():
        own = _METADATA.fullmatch(name)
        if own is not None:
            metadata[own[1]] = value
        elif name not in known:
            wrong.append(f"{name[:64]}: no such parameter; there are {', '.join(known)}, metadata[name]")
        if len(value) > MAX_TEXT:
            wrong.append(f"{name[:64]}: at most {MAX_TEXT} characters")
    if len(metadata) > MAX_METADATA:
        wrong.append(f"metadata: at most {MAX_METADATA} entries")
    return orjson.dumps(metadata, option=orjson.OPT_SORT_KEYS).decode(), wrong
