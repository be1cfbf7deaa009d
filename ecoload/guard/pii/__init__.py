"""Personal data in the feeders: every record is looked at before anything of it is sent.

Rules
-----
- Keys and values are both text to scan, at any depth; a whole number counts as its digits.
- What is found is never repeated: a message shows its first character and its last two.
- What nobody can own passes (reserved domains, numbers kept for fiction, published test cards), so that
  there is always a safe way to write a record.
- Digits alone say little. They are judged by what is certain (a card's issuer and check digit), by a
  country's own spelling, or where the field's name says what they are.
- A person's name is personal beside a birth date of the same record, wherever in it they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ecoload.errors import Problem
from ecoload.guard.pii.fields import is_birth_date, is_person_name, words_of
from ecoload.guard.pii.finding import Finding, masked
from ecoload.guard.pii.text import findings
from ecoload.spec.feeders import FILE, Data

_PLAIN_KEY = re.compile(r"[\w $-]{1,60}")
_LEAST_NUMBER = 10_000_000
"""Numbers of fewer than eight digits are nobody's."""


def find_personal_data(data: Data) -> list[Problem]:
    """A problem for each thing found, in the file's order."""
    root = _Field("", "_", ())
    return [
        Problem(FILE, line, message)
        for line, record in zip(data.lines, data.records, strict=True)
        for message in _messages(root, record)
    ]


class _Field:
    """One place in a record: its path as a message may show it, the words of its keys, and what is found
    in its last key. The fields of all records are one tree, so that each key is looked at once."""

    __slots__ = ("children", "in_key", "is_birth_date", "is_person_name", "shown", "words")

    def __init__(self, shown: str, words: str, in_key: tuple[Finding, ...]) -> None:
        self.shown, self.words, self.in_key = shown, words, in_key
        self.is_person_name, self.is_birth_date = is_person_name(words), is_birth_date(words)
        self.children: dict[str | int, _Field] = {}

    def child(self, key: str | int) -> _Field:
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = self._item(key) if isinstance(key, int) else self._member(key)
        return found

    def _item(self, index: int) -> _Field:
        return _Field(f"{self.shown}[{index}]", self.words, ())

    def _member(self, key: str) -> _Field:
        in_key = tuple(findings(key, "_"))
        name = masked(key) if in_key else key if _PLAIN_KEY.fullmatch(key) else repr(key[:60])
        return _Field(f"{self.shown}.{name}".removeprefix("."), f"{self.words}{words_of(key)}_", in_key)


def _messages(root: _Field, record: dict[str, Any]) -> Iterator[str]:
    names, births = [], []
    for field, value in _places(root, record):
        text = _text(value)
        for found in field.in_key:
            yield f"{field.shown}: the key itself {found}"
        for found in findings(text, field.words):
            yield f"{field.shown}: {found}"
        if field.is_person_name and _names_somebody(text):
            names.append(field.shown)
        if field.is_birth_date and _is_date(value):
            births.append(field.shown)
    if names and births:
        yield (
            f"{names[0]}: is a person's name beside a birth date ({births[0]}); "
            "number the name, such as student-0001, or give an age in place of the date"
        )


def _places(root: _Field, record: dict[str, Any]) -> Iterator[tuple[_Field, Any]]:
    """Every value of a record, objects and lists included. They are walked with a list, not by
    recursion: JSON may nest deeper than Python calls."""
    pending: list[tuple[_Field, Any]] = [(root, record)]
    for field, value in pending:
        yield field, value
        if isinstance(value, dict):
            pending += [(field.child(key), member) for key, member in value.items()]
        elif isinstance(value, list):
            pending += [(field.child(index), item) for index, item in enumerate(value)]


def _text(value: Any) -> str:
    """A value as the text to scan; empty where there is nothing to find in it."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and abs(value) >= _LEAST_NUMBER and value % 1 == 0:
        return str(abs(int(value)))
    return ""


def _names_somebody(text: str) -> bool:
    """True for a text of letters. A number at its end (`student-0001`) makes it nobody's."""
    text = text.strip()
    return sum(map(str.isalpha, text)) >= 2 and not text[-1].isdigit()


def _is_date(value: Any) -> bool:
    """True for what can be a date, or its year: four digits or more, not all zero; an empty or masked
    text is none."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return False
    digits = [char for char in str(value) if char.isdigit()]
    return len(digits) >= 4 and set(digits) != {"0"}
