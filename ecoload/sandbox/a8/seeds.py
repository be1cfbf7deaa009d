"""The history A8 starts with: thirty days of an ecosystem that went well, made from the seed.

Rules
-----
- The same seed gives the same rows, whenever that is: the days are fixed, 2026-01-01 to 2026-01-30.
- Only kinds of events that the apps emit, with their data, their lineages and their arithmetic: a fee of
  3 % and four times the cost of AI. Amounts are whole dollars, so that no fee needs rounding.
- One contract of `perf_test` is the reference: $1,000.00 with $10.00 of AI.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import date
from typing import Any

from ecoload.sandbox.a8.rows import DAY_MS, Row, row_of
from ecoload.sandbox.common.problems import NAMESPACE
from ecoload.sandbox.common.states import STATES

DEMO = "demo"
FIRST_DAY = date(2026, 1, 1)
DAYS = 30
EVENTS = {NAMESPACE: 5000, DEMO: 500}
"""At least so many events; the last story is told to its end."""
RUN = "seed"
REFERENCE = "reference"
PAGES = ("/", "/browse", "/browse/states", "/browse/majors")

_STATES = tuple(sorted(STATES))
_START_MS = (FIRST_DAY.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS
_HOUR_MS = 3_600_000
_DELAY_MS = (200, 1_000)
"""From what happened to A8; always less than to the next step of its story."""
_FUNNEL = (("lead", 0.7), ("demo", 0.7), ("contract", 0.8))
"""The steps before `live`, and the share of providers that go on from each."""

Told = tuple[str, str, dict[str, Any]]
"""One event of a story: kind, app, data."""


def history(seed: int) -> Iterator[Row]:
    """All rows, story by story: one at a time, since memory that was needed once stays with the process."""
    for namespace, most in EVENTS.items():
        chance = random.Random(f"{seed}/a8/history/{namespace}")
        told = 0
        for number, story in enumerate(_stories(chance, namespace), 1):
            for step, event in enumerate(story, 1):
                told += 1
                event |= {"event_id": f"seed-{namespace}-{number:04d}-{step}", "namespace": namespace}
                yield row_of(event, event["at"] + chance.randrange(*_DELAY_MS))
            if told >= most:
                break


def _stories(chance: random.Random, namespace: str) -> Iterator[Iterator[dict[str, Any]]]:
    if namespace == NAMESPACE:
        noon = _START_MS + 14 * DAY_MS + 12 * _HOUR_MS
        yield _dated(chance, _reference(), "seed-reference", "TX", noon)
    for number in itertools.count(1):
        name = f"{namespace}-{number:04d}"
        told = chance.choices((_visit, _student, _provider), (60, 25, 15))[0](chance, name)
        begun = _START_MS + chance.randrange(DAYS * DAY_MS - _HOUR_MS)
        yield _dated(chance, told, f"seed-{name}", chance.choice(_STATES), begun)


def _dated(
    chance: random.Random, told: Iterator[Told], lineage_id: str, state: str, at: int
) -> Iterator[dict[str, Any]]:
    """The events of one story, minutes apart; no story is longer than an hour."""
    of_all = {"sequence": 0, "run_id": RUN, "lineage_id": lineage_id, "state": state}
    for kind, app, data in told:
        yield of_all | {"kind": kind, "app": app, "data": data, "at": at}
        at += chance.randrange(_DELAY_MS[1], _HOUR_MS // 10)


def _visit(chance: random.Random, name: str) -> Iterator[Told]:
    seen = {"page": chance.choice(PAGES), "cta": chance.choice(("hero", "footer"))}
    yield "cta_impression", "a7", seen
    if chance.random() < 0.4:
        yield "cta_click", "a7", seen
        if chance.random() < 0.3:
            yield _signup(name)


def _student(chance: random.Random, name: str) -> Iterator[Told]:
    yield _signup(name)
    for number in range(chance.randrange(1, 4)):
        outcome = "eligible" if chance.random() < 0.75 else "review"
        facts = {
            "document_id": f"doc-{name}-{number}",
            "outcome": outcome,
            "tokens": chance.randrange(200, 1500),
        }
        yield "document_processed", "a5", facts
        yield (
            "student_telemetry",
            "a5",
            {"name": chance.choice(("page_view", "upload_started", "help_opened"))},
        )


def _signup(name: str) -> Told:
    return "signup", "a5", {"user": f"user-{name}", "crm_id": f"crm-{name}"}


def _provider(chance: random.Random, name: str) -> Iterator[Told]:
    who = {"provider_id": f"provider-{name}"}
    for step, goes_on in _FUNNEL:
        yield step, "a6", who
        if chance.random() >= goes_on:
            return
    yield "live", "a6", who
    yield _billed(f"contract-{name}", 100 * chance.randrange(500, 20_000), 100 * chance.randrange(1, 200))


def _reference() -> Iterator[Told]:
    for step in ("lead", "demo", "contract", "live"):
        yield step, "a6", {"provider_id": "provider-reference"}
    yield _billed(REFERENCE, 100_000, 1_000)


def _billed(contract_id: str, amount_cents: int, ai_cost_cents: int) -> Told:
    amounts = {"amount_cents": amount_cents, "fee_cents": amount_cents * 3 // 100}
    prices = {"ai_cost_cents": ai_cost_cents, "ai_price_cents": ai_cost_cents * 4}
    return "contract_billed", "a6", {"contract_id": contract_id} | amounts | prices
