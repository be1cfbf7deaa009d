"""JavaScript as text: literals laid out as prettier lays them out (80 columns, double quotes).

Rules
-----
- Whatever people or targets wrote goes into a script through `string` or `literal`, and nowhere else.
- Objects stand on several lines, so that prettier leaves them so; arrays on one where they fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ecoload.errors import UsageError

WIDTH = 80
_SHORT_KEY = 4
"""Behind a property's name of so few characters prettier breaks no line."""
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


class CannotExport(UsageError):
    """k6 cannot say what a plan says; the message names each place and what to do."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An expression that stands as it is. It holds no line break."""

    text: str


Literal = Raw | str | bool | int | float | None | Mapping[str, "Literal"] | list["Literal"]


@dataclass(frozen=True, slots=True)
class Code:
    """A formatted piece of a script, from column 0, without a line break at its end; `needs` are the names
    of the helpers (`helpers.py`) and modules' functions that it calls."""

    text: str
    needs: frozenset[str] = frozenset()


def string(text: str) -> str:
    """A string literal, with the quotes that need fewer escapes, double ones first."""
    body = json.dumps(text, ensure_ascii=False)[1:-1]
    for breaker in ("\u2028", "\u2029", "\x7f"):
        body = body.replace(breaker, f"\\u{ord(breaker):04x}")
    if body.count('\\"') > text.count("'"):
        return "'" + body.replace('\\"', '"').replace("'", "\\'") + "'"
    return f'"{body}"'


def template(*parts: str | Raw) -> str:
    """A template literal of texts and expressions."""
    escaped = (
        f"${{{part.text}}}" if isinstance(part, Raw) else re.sub(r"([\\`]|\$(?={))", r"\\\1", part)
        for part in parts
    )
    return f"`{''.join(escaped)}`"


def key(name: str) -> str:
    """A property's name: quoted where it must be."""
    return name if _IDENTIFIER.fullmatch(name) else string(name)


def declaration(name: str, value: Literal) -> str:
    """`const name = value;`"""
    start = f"const {name} = "
    return f"const {name} ={_after(start, value, 0)};"


def literal(value: Literal, column: int = 0, indent: int = 0, after: int = 1) -> str:
    """A value as it stands in a script: `column` is where it begins, `indent` how far its line is indented,
    `after` how many characters follow on its last line."""
    match value:
        case Raw():
            return value.text
        case str():
            return string(value)
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case int() | float():
            return repr(value)
        case Mapping():
            return _object(value, indent)
    if not value:
        return "[]"
    flat = "[" + ", ".join(literal(item) for item in value) + "]"
    table = len(value) > 1 and all(isinstance(item, list) and len(item) > 1 for item in value)
    if "\n" not in flat and not table and column + len(flat) + after <= WIDTH:
        return flat
    pad = " " * (indent + 2)
    rows = "".join(f"{pad}{literal(item, indent + 2, indent + 2)},\n" for item in value)
    return f"[\n{rows}{' ' * indent}]"


def _object(value: Mapping[str, Literal], indent: int) -> str:
    if not value:
        return "{}"
    pad, rows = " " * (indent + 2), []
    for name, item in value.items():
        start = f"{pad}{key(name)}: "
        short = len(key(name)) <= _SHORT_KEY
        said = " " + literal(item, len(start), indent + 2) if short else _after(start, item, indent + 2)
        rows.append(f"{start.rstrip()}{said},\n")
    return "{\n" + "".join(rows) + " " * indent + "}"


def _after(start: str, value: Literal, indent: int) -> str:
    """What stands behind a `:` or `=`: a text that does not fit goes to the next line."""
    text = literal(value, len(start), indent)
    if isinstance(value, str) and len(start) + len(text) + 1 > WIDTH:
        return f"\n{' ' * (indent + 2)}{text}"
    return f" {text}"
