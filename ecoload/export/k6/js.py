"""JavaScript as text: literals laid out as prettier lays them out (80 columns, double quotes).

Rules
-----
- Whatever people or targets wrote goes into a script through `string` or `literal`, and nowhere else.
- Objects stand on several lines, so that prettier leaves them so; arrays, and objects in them, on one where
  they fit.
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
_NUMERAL = re.compile(r"[0-9]+(\.[0-9]+)?")


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


def key(name: str) -> str:
    """A property's name: quoted where it must be, computed where JavaScript or prettier would take it for
    something else (`__proto__`, numbers)."""
    if name == "__proto__" or _NUMERAL.fullmatch(name):
        return f"[{string(name)}]"
    return name if _IDENTIFIER.fullmatch(name) else string(name)


def declaration(name: str, value: Literal) -> str:
    """`const name = value;`"""
    start = f"const {name} = "
    return f"const {name} ={_after(start, value, 0)};"


def called(name: str, function: str, *arguments: str) -> str:
    """`const name = function(arguments);`, each a text."""
    texts = [string(argument) for argument in arguments]
    line = f"const {name} = {function}({', '.join(texts)});"
    if len(line) <= WIDTH:
        return line
    rows = "".join(f"  {text},\n" for text in texts)
    return f"const {name} = {function}(\n{rows});"


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
    return _array(value, column, indent, after)


def _array(value: list[Literal], column: int, indent: int, after: int) -> str:
    if not value:
        return "[]"
    kinds = {type(item) for item in value if isinstance(item, list | Mapping) and len(item) > 1}
    is_table = len(value) > 1 and len(kinds) == 1 and all(type(item) in kinds for item in value)
    flat = "[" + ", ".join(map(_flat, value)) + "]"
    if not is_table and column + len(flat) + after <= WIDTH:
        return flat
    pad, rows = " " * (indent + 2), []
    for item in value:
        fits = isinstance(item, Mapping) and len(pad) + len(_flat(item)) + 1 <= WIDTH
        rows.append(f"{pad}{_flat(item) if fits else literal(item, indent + 2, indent + 2)},\n")
    return "[\n" + "".join(rows) + " " * indent + "]"


def _flat(value: Literal) -> str:
    """A value in one line, as objects stand in arrays where they fit."""
    match value:
        case Mapping():
            items = ", ".join(f"{key(name)}: {_flat(item)}" for name, item in value.items())
            return f"{{ {items} }}" if items else "{}"
        case list():
            return "[" + ", ".join(map(_flat, value)) + "]"
    return literal(value)


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
    """What stands behind a `:` or `=`: on the next line where not even its beginning fits, or not all of a
    text."""
    text = literal(value, len(start), indent)
    fits = len(start) + (len(text) + 1 if isinstance(value, str) else 1) <= WIDTH
    if fits or not isinstance(value, str | list | Mapping):
        return f" {text}"
    return f"\n{' ' * (indent + 2)}{literal(value, indent + 2, indent + 2)}"
