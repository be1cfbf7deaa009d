"""Which values JavaScript holds and writes as Python does.

Rules
-----
- JavaScript has one kind of number: 1.0 is 1, and whole numbers beyond 2^53 are not told from those beside
  them.
- An object's keys that are whole numbers come first, whatever their order was.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from ecoload.export.k6 import layout

MOST = 2**53 - 1
"""The largest whole number that JavaScript tells from its neighbours."""


def told_apart(value: Any) -> bool:
    """True where `JSON.stringify` writes a constant as ecoload does: not 1.0, which would be 1, and no object
    whose keys JavaScript would put in another order."""
    if isinstance(value, dict):
        return not any(map(_is_numeral, value)) and all(map(told_apart, value.values()))
    if isinstance(value, list):
        return all(map(told_apart, value))
    return not isinstance(value, float) or _number_text(value) == orjson.dumps(value).decode()


def same_text(value: Any) -> bool:
    """True where a value is the same text in JavaScript: not 1.0, which would be 1."""
    if isinstance(value, float):
        return not value.is_integer()
    return told_apart(value) and same_numbers(value)


def same_numbers(value: Any) -> bool:
    """True where JavaScript holds every whole number of a value."""
    if isinstance(value, dict):
        return all(map(same_numbers, value.values()))
    if isinstance(value, list):
        return all(map(same_numbers, value))
    return not isinstance(value, int) or abs(value) <= MOST


def _is_numeral(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _number_text(value: float) -> str:
    """A number as `String(…)` of JavaScript gives it."""
    if 1e-6 <= abs(value) < 1e21:
        plain = format(Decimal(repr(value)), "f")
        return plain.removesuffix(".0")
    return layout.number(value)
