"""The synthetic records of the ecosystem that ships: `tests/perf/config/data.jsonl`.

Rules
-----
- The same seed gives the same bytes. Nothing in a record is, or looks like, a person's: names are
  numbered, and there are no addresses, telephone numbers or dates of birth.
- Amounts are integer cents. What a contract must come to is computed here with `decimal`, by other
  means than any service computes it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson

from ecoload.export.artifact import Artifact, Source
from ecoload.spec.feeders import FILE

FEE_PERCENT = Decimal(3)
AI_MARKUP = Decimal(4)
REFERENCE_CONTRACT = (100_000, 1_000)
"""$1,000.00 and $10.00 of AI cost: a fee of $30.00 and an AI price of $40.00."""

SYNTHETIC_STUDENTS = 200
"""How many people A1 knows from its start: student-0001 and on."""
SEED = 1
"""Where an export starts; `ecoload data --seed` may choose another."""
HISTORY_DAYS = 30
"""A8's history: January 2026, from the 1st on."""

_KINDS = (
    "page_view", "search", "application_started", "application_submitted", "document_uploaded",
    "profile_updated", "match_shown", "answer_rated",
)  # fmt: skip
_SOURCES = ("api", "web", "batch", "mobile")
_STATES = ("CA", "TX", "NY", "FL", "WA", "IL", "OH", "GA")
_MAJORS = ("nursing", "biology", "computer science", "history", "mathematics", "music")
_AWKWARD_CENTS = (0, 1, 16, 17, 33, 49, 50, 83, 99, 101, 1_667, 9_999, 123_456_789, 999_999_999_999)


def data_file(seed: int) -> bytes:
    """The whole file: one record a line, each naming its feeder."""
    lines = []
    for feeder, make in _FEEDERS.items():
        chance = random.Random(f"{seed}/{feeder}")
        lines += [orjson.dumps({"feeder": feeder} | record) for record in make(chance)]
    return b"\n".join(lines) + b"\n"


def artifacts(source: Source) -> Iterator[Artifact]:
    """The workspace's own records where it has some, else the synthetic ones."""
    yield artifact(source.records)


def artifact(own: bytes | None = None) -> Artifact:
    """The file of the records, as an export writes it."""
    return Artifact(FILE, data_file(SEED) if own is None else own, keep=True)


def _events(chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(1, 201):
        yield {
            "sequence": number,
            "kind": _KINDS[(number - 1) % len(_KINDS)],
            "source": chance.choice(_SOURCES),
            "value": round(chance.uniform(0, 100), 2),
            "label": f"event-{number:03}",
        }


def _students(chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(1, SYNTHETIC_STUDENTS + 1):
        major, state = chance.choice(_MAJORS), chance.choice(_STATES)
        yield {
            "student": f"student-{number:04}",
            "state": state,
            "goal": f"Find scholarships for {major} in {state}, due within {chance.randint(2, 12)} weeks.",
        }


def _prompts(chance: random.Random) -> Iterator[dict[str, Any]]:
    asks = ("Summarise", "Compare", "Explain", "List", "Rank")
    for number in range(1, 101):
        subject = f"scholarships for {chance.choice(_MAJORS)} in {chance.choice(_STATES)}"
        yield {
            "prompt": f"{asks[number % len(asks)]} the {chance.randint(2, 9)} best {subject}.",
            "max_tokens": chance.choice((16, 24, 32, 48)),
        }


def _providers(chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(1, 101):
        yield {"provider": f"Provider {number:03}", "state": chance.choice(_STATES)}


def _contracts(chance: random.Random) -> Iterator[dict[str, Any]]:
    amounts = [REFERENCE_CONTRACT]
    amounts += [(cents, chance.choice(_AWKWARD_CENTS)) for cents in _AWKWARD_CENTS]
    amounts += [(chance.randint(1, 10**7), chance.randint(0, 10**5)) for _ in range(85)]
    for amount, ai_cost in amounts:
        fee = (Decimal(amount) * FEE_PERCENT / 100).quantize(Decimal(1), ROUND_HALF_UP)
        yield {
            "amount_cents": amount,
            "ai_cost_cents": ai_cost,
            "fee_cents": int(fee),
            "ai_price_cents": int(ai_cost * AI_MARKUP),
        }


def _impressions(chance: random.Random) -> Iterator[dict[str, Any]]:
    for page in ("/browse", "/browse/states", "/browse/majors"):
        yield {"page": page, "cta": "find-my-scholarships"}


def _filters(chance: random.Random) -> Iterator[dict[str, Any]]:
    for _ in range(60):
        yield {
            "state": chance.choice(_STATES),
            "app": chance.choice(("a5", "a6", "a7")),
            "date": f"2026-01-{chance.randint(1, HISTORY_DAYS):02}",
        }


_FEEDERS: dict[str, Callable[[random.Random], Iterator[dict[str, Any]]]] = {
    "events": _events,
    "students": _students,
    "prompts": _prompts,
    "providers": _providers,
    "contracts": _contracts,
    "impressions": _impressions,
    "filters": _filters,
}
