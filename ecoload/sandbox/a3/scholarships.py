"""Synthetic students and scholarships, and which of them fit each other.

Rules
-----
- A student is made of the id alone: the same id is the same student in every run, and no person.
- Every student has a match, as some scholarships ask for nothing.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

STATES = ("CA", "CO", "FL", "GA", "IL", "MA", "NC", "NY", "OH", "PA", "TX", "WA")
MAJORS = ("biology", "business", "computing", "education", "engineering", "history", "mathematics", "nursing")
DOCUMENTS = ("transcript", "essay", "reference", "financial_form")
COUNT = 240
MATCHES = 5

SCHOLARSHIPS_SCHEMA = """
CREATE TABLE IF NOT EXISTS scholarships (
    scholarship_id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    state TEXT,
    major TEXT,
    least_gpa_hundredths INTEGER NOT NULL,
    amount_cents INTEGER NOT NULL
) WITHOUT ROWID;
"""

SEED_ROW = "INSERT OR IGNORE INTO scholarships VALUES (?, ?, ?, ?, ?, ?)"

MATCHING = f"""
SELECT scholarship_id, title, amount_cents FROM scholarships
WHERE (state IS NULL OR state = ?) AND (major IS NULL OR major = ?) AND least_gpa_hundredths <= ?
ORDER BY amount_cents DESC, scholarship_id LIMIT {MATCHES}
"""

Row = tuple[str, str, str | None, str | None, int, int]

_FOUNDERS = ("Alder", "Birch", "Cedar", "Elm", "Hazel", "Juniper", "Linden", "Maple", "Rowan", "Willow")


@dataclass(frozen=True, slots=True)
class Student:
    """Where a student lives, what they study, how well, and which documents are not there yet."""

    state: str
    major: str
    gpa_hundredths: int
    missing: tuple[str, ...]


def student_of(student_id: str) -> Student:
    """The student of an id."""
    digest = hashlib.sha256(student_id.encode()).digest()
    return Student(
        state=STATES[digest[0] % len(STATES)],
        major=MAJORS[digest[1] % len(MAJORS)],
        gpa_hundredths=200 + int.from_bytes(digest[2:4], "big") % 201,
        missing=tuple(document for bit, document in enumerate(DOCUMENTS) if not digest[4] >> bit & 1),
    )


def scholarships(seed: int) -> list[Row]:
    """The rows of the table."""
    chance = random.Random(f"{seed}/a3/scholarships")
    return [_row(chance, number) for number in range(COUNT)]


def _row(chance: random.Random, number: int) -> Row:
    open_to_all = number % 24 == 0
    state = None if open_to_all or chance.random() < 0.4 else chance.choice(STATES)
    major = None if open_to_all or chance.random() < 0.4 else chance.choice(MAJORS)
    least_gpa = 0 if open_to_all else chance.randrange(200, 391, 10)
    title = f"{chance.choice(_FOUNDERS)} {(major or 'general').title()} Award {number:03}"
    return f"s-{number:03}", title, state, major, least_gpa, chance.randrange(500, 25_001, 250) * 100
