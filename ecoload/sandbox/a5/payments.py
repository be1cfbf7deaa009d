"""A5's payments over HTTP: the mock provider's endpoints, and A5's own record of every attempt at a charge.

Rules
-----
- The provider is asked in forms, as Stripe is, and answers in JSON. A write says its namespace in the query.
- A refusal is a problem like any other here; Stripe's `type`, `code`, `decline_code` and `param` stand in
  its `errors`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from ecoload.sandbox.a5 import mock_provider as payments
from ecoload.sandbox.a5.mock_provider import CUSTOMER_BY_ID, INTENT_BY_ID, Reply, Stamp
from ecoload.sandbox.a5.stripe import (
    ACCOUNT,
    CHARGE_COLUMNS,
    CHARGES_URL,
    CONFIG,
    SIMULATED,
    attempt_document,
    charge_list,
    parse_customer,
    parse_intent,
)
from ecoload.sandbox.common.problems import (
    NAME_RULE,
    Problem,
    answer,
    form_body,
    is_name,
    query_int,
    query_namespace,
    run_of,
)
from ecoload.sandbox.common.store import Store

MOST_ITEMS = 100
STRIPE = "/mock/stripe/v1"

Act = Callable[[sqlite3.Connection, Stamp], Reply]


class Payments:
    """The routes; the state is in A5's store, whose schema has `payments.SCHEMA`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> Sequence[web.RouteDef]:
        """All but `payment_config` are for who has a token."""
        return [
            web.get("/api/payments/config", self._config, name="payment_config"),
            web.get("/api/payments/attempts", self._attempts, name="payment_attempts"),
            web.get("/api/payments/summary", self._summary, name="payment_summary"),
            web.get(f"{STRIPE}/account", self._account, name="stripe_account"),
            web.post(f"{STRIPE}/customers", self._new_customer, name="stripe_new_customer"),
            web.get(f"{STRIPE}/customers/{{id}}", self._customer, name="stripe_customer"),
            web.post(f"{STRIPE}/payment_intents", self._new_intent, name="stripe_new_intent"),
            web.get(f"{STRIPE}/payment_intents/{{id}}", self._intent, name="stripe_intent"),
            web.post(f"{STRIPE}/payment_intents/{{id}}/confirm", self._confirm, name="stripe_confirm"),
            web.get(CHARGES_URL, self._charges, name="stripe_charges"),
        ]

    async def summary(self, run_id: str | None) -> dict[str, Any]:
        """The figures of all attempts, or of those of one run."""
        which, arguments = _of_run(run_id)
        counted = await self._store.read(
            "SELECT COUNT(*), COALESCE(SUM(outcome != ?), 0), COALESCE(SUM(amount_captured), 0), MAX(at)"
            f" FROM charges WHERE {which}",
            (SIMULATED, *arguments),
        )
        attempts, refused, charged, last = counted[0]
        return {
            "attempts": attempts,
            "refused": refused,
            "simulated": attempts - refused,
            "charged_cents": charged,
            "last_attempt_at": last,
        }

    async def _config(self, request: web.Request) -> web.Response:
        return answer(CONFIG)

    async def _attempts(self, request: web.Request) -> web.Response:
        run_id = request.query.get("run_id")
        which, arguments = _of_run(run_id)
        rows = await self._store.read(
            f"SELECT {CHARGE_COLUMNS} FROM charges WHERE {which} ORDER BY number DESC LIMIT {MOST_ITEMS}",
            arguments,
        )
        figures = await self.summary(run_id)
        return answer(figures | {"run_id": run_id, "items": [attempt_document(row) for row in rows]})

    async def _summary(self, request: web.Request) -> web.Response:
        run_id = request.query.get("run_id")
        customers = await self._store.read("SELECT COUNT(*), COALESCE(SUM(test), 0) FROM customers")
        known, test = customers[0]
        people = {"customers": {"test": test, "other": known - test}, "run_id": run_id}
        return answer(CONFIG | people | await self.summary(run_id))

    async def _account(self, request: web.Request) -> web.Response:
        return answer(ACCOUNT)

    async def _new_customer(self, request: web.Request) -> web.Response:
        form = await form_body(request)
        wanted, wrong = parse_customer(form)
        if wanted is None:
            raise Problem(422, "the customer is not valid", wrong)
        return await self._act(
            request, form, lambda database, stamp: payments.create_customer(database, wanted, stamp)
        )

    async def _new_intent(self, request: web.Request) -> web.Response:
        form = await form_body(request)
        wanted, wrong = parse_intent(form)
        if wanted is None:
            raise Problem(422, "the payment intent is not valid", wrong)
        return await self._act(
            request, form, lambda database, stamp: payments.create_intent(database, wanted, stamp)
        )

    async def _confirm(self, request: web.Request) -> web.Response:
        if request.can_read_body and await form_body(request):
            raise Problem(422, "confirming takes no parameters")
        intent = request.match_info["id"]
        return await self._act(
            request, {}, lambda database, stamp: payments.confirm_intent(database, intent, stamp)
        )

    async def _act(self, request: web.Request, form: dict[str, str], act: Act) -> web.Response:
        """What changes something: in one transaction, once by its idempotency key."""
        query_namespace(request)
        key = request.headers.get("Idempotency-Key")
        if key is not None and not is_name(key):
            raise Problem(422, f"Idempotency-Key: must be {NAME_RULE}")
        stamp = Stamp(time.time_ns() // 1_000_000, run_of(request))
        asked = (request.path, sorted(form.items()))
        reply: Reply = await self._store.write(
            lambda database: payments.once(database, key, asked, stamp, lambda: act(database, stamp))
        )
        return _answer(reply)

    async def _customer(self, request: web.Request) -> web.Response:
        rows = await self._store.read(CUSTOMER_BY_ID, (request.match_info["id"],))
        return _answer(payments.customer_reply(rows))

    async def _intent(self, request: web.Request) -> web.Response:
        rows = await self._store.read(INTENT_BY_ID, (request.match_info["id"],))
        return _answer(payments.intent_reply(rows))

    async def _charges(self, request: web.Request) -> web.Response:
        limit = query_int(request, "limit", 10, MOST_ITEMS)
        if limit == 0:
            raise Problem(400, f"limit must be a whole number from 1 to {MOST_ITEMS}")
        which, arguments = "1", ()
        after = request.query.get("starting_after")
        if after is not None:
            known = await self._store.read("SELECT number FROM charges WHERE id = ?", (after,))
            if not known:
                raise Problem(404, "starting_after: there is no such charge")
            which, arguments = "number < ?", known[0]
        rows = await self._store.read(
            f"SELECT {CHARGE_COLUMNS} FROM charges WHERE {which} ORDER BY number DESC LIMIT ?",
            (*arguments, limit + 1),
        )
        return answer(charge_list(rows, limit))


def _of_run(run_id: str | None) -> tuple[str, tuple[str, ...]]:
    return ("1", ()) if run_id is None else ("run_id = ?", (run_id,))


def _answer(reply: Reply) -> web.Response:
    replayed = {"Idempotent-Replayed": "true"} if reply.replayed else {}
    if reply.document is None:
        raise Problem(reply.status, reply.detail, reply.errors, headers=replayed)
    response = answer(reply.document, reply.status)
    response.headers.update(replayed)
    return response
