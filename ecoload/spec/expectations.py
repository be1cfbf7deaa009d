"""Checks: what an answer must be, from the file's form to the plan's.

Rules
-----
- A bare value means equal; a mapping of operators means each of them; another mapping is refused, so
  that a misspelt operator is never a comparison (`{eq: {…}}` compares with a mapping).
- Regular expressions are constant and compiled once here, so that a bad one is found now.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ecoload.plan import OPERATORS, Array, Check, Expect, Value
from ecoload.spec.scenarios import CheckShape
from ecoload.spec.shape import Reading
from ecoload.spec.template import is_constant, nearest
from ecoload.spec.units import shown
from ecoload.spec.yaml12 import Where

Compile = Callable[[Any, Where], Value]
_ORDERED = frozenset({"lt", "le", "gt", "ge"})


def compile_check(shape: CheckShape, value: Compile, reading: Reading) -> Check:
    """The check; problems are noted. `value` compiles an operand."""
    where = shape.where

    def expects(raw: Any, place: Where) -> list[Expect]:
        return [
            Expect(operator, operand)
            for operator, item, at in _operators(raw, place, reading)
            for operand in [value(item, at)]
            if _fits(operator, operand, at, reading)
        ]

    body: list[Expect] = []
    if shape.body is not None:
        written = {name: getattr(shape.body, name) for name in sorted(shape.body.model_fields_set)}
        body = expects(written, (*where, "body"))
    return Check(
        status=tuple(shape.status),
        headers=tuple(
            (k, e) for k, raw in shape.headers.items() for e in expects(raw, (*where, "headers", k))
        ),
        json=tuple((k, e) for k, raw in shape.json_.items() for e in expects(raw, (*where, "json", k))),
        body=tuple(body),
        duration_ns=shape.duration,
    )


def _operators(raw: Any, where: Where, reading: Reading) -> list[tuple[str, Any, Where]]:
    if not isinstance(raw, dict):
        return [("eq", raw, where)]
    if not raw:
        reading.problem(where, f"expected a value or one of: {', '.join(OPERATORS)}")
    found = []
    for operator, operand in raw.items():
        place = (*where, operator)
        if operator in OPERATORS:
            found.append((operator, operand, place))
        else:
            reading.problem(place, f"unknown operator {operator!r}{nearest(operator, OPERATORS)}")
    return found


def _fits(operator: str, operand: Value, where: Where, reading: Reading) -> bool:
    """Notes an operand that its operator cannot take."""
    wrong = None
    number = isinstance(operand, int | float) and not isinstance(operand, bool)
    if operator in ("each", "all") and "json" not in where:
        wrong = "looks at all values of a JSON path; it belongs under json:"
    elif operator == "all" and not isinstance(operand, Array):
        wrong = f"expected a list of all the values, in their order, got {shown(operand)}"
    elif operator == "matches":
        wrong = _not_a_pattern(operand)
    elif operator == "exists" and not isinstance(operand, bool):
        wrong = f"expected true or false, got {shown(operand)}"
    elif not is_constant(operand):
        return True
    elif operator in _ORDERED and not number:
        wrong = f"expected a number, got {shown(operand)}"
    elif operator == "length" and (not isinstance(operand, int) or isinstance(operand, bool) or operand < 0):
        wrong = f"expected a whole number from 0 on, got {shown(operand)}"
    if wrong is not None:
        reading.problem(where, wrong)
    return wrong is None


def _not_a_pattern(operand: Value) -> str | None:
    if not isinstance(operand, str):
        return "expected a regular expression, constant and in quotes"
    try:
        re.compile(operand)
    except re.error as error:
        return f"is not a regular expression: {error}"
    return None
