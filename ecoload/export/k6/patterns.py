"""Regular expressions of Python as those of JavaScript: the same matches, or refused.

Rules
-----
- What is translated is Python's own parse of the pattern, so that nothing is read in two ways.
- Where a sign means another thing in JavaScript its meaning is spelt out: `.` is `[^\\n]`, `$` may stand
  before a last line break, `\\s` is every space of Unicode.
- What JavaScript has not, or k6 matches otherwise, is refused by name, with what to write instead.
- Only the first group captures, and only where a capture asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_SPACES = r"\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_ASCII_SPACES = r"\t-\r "
_DIGITS = "a digit of any script in Python: write [0-9], or begin with (?a)"
_LETTERS = "a letter of any script in Python: write [A-Za-z0-9_], or begin with (?a)"
_NOT_THERE = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "GROUPREF_IGNORE": "a reference to a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}


_UNITS = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "SUBPATTERN", "BRANCH"})
"""What a quantifier can stand behind."""


class NotInJavaScript(ValueError):
    """A pattern that k6 would match otherwise; the message says what of it, and what to write."""


def javascript(pattern: str, *, capture: bool = False) -> str:
    """A literal of JavaScript that finds what `re.search(pattern, …)` finds. With `capture` its one group is
    the first of the pattern, if it has any. Raises NotInJavaScript."""
    parsed = _parser.parse(pattern)
    flags = parsed.state.flags & ~re.UNICODE
    if flags & ~re.ASCII:
        raise NotInJavaScript("flags such as (?i), (?m), (?s) and (?x) are not taken over: spell them out")
    body = _Translation(ascii_only=bool(flags & re.ASCII), capture=capture).sequence(parsed.data)
    return f"/{body or '(?:)'}/u"


class _Translation:
    def __init__(self, *, ascii_only: bool, capture: bool) -> None:
        self.ascii_only = ascii_only
        self.capture = capture
        self.repeated = 0

    def sequence(self, items: Sequence[tuple[Any, Any]]) -> str:
        return "".join(self.item(operator, argument) for operator, argument in items)

    def item(self, operator: Any, argument: Any) -> str:
        match str(operator):
            case "LITERAL":
                return _literal(argument)
            case "NOT_LITERAL":
                return f"[^{_in_class(argument)}]"
            case "ANY":
                return r"[^\n]"
            case "IN":
                return self.members(argument)
            case "AT":
                return self.place(argument)
            case "BRANCH":
                return f"(?:{self.branches(argument[1])})"
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self.repeat(*argument) + ("?" if operator is sre.MIN_REPEAT else "")
            case "SUBPATTERN":
                return self.group(*argument)
            case "ASSERT" | "ASSERT_NOT":
                direction, inside = argument
                sign = "=" if operator is sre.ASSERT else "!"
                return f"(?{'<' if direction < 0 else ''}{sign}{self.sequence(inside)})"
        raise NotInJavaScript(f"{_NOT_THERE.get(str(operator), str(operator))} is not to be had in k6")

    def group(self, number: int | None, added: int, removed: int, inside: Sequence[Any]) -> str:
        if added or removed:
            raise NotInJavaScript("flags of a group are not taken over: spell them out")
        captures = self.capture and number == 1
        if captures and self.repeated:
            raise NotInJavaScript(
                "k6 keeps another round of a repeated group: put the repeat inside of the group"
            )
        is_choice = len(inside) == 1 and inside[0][0] is sre.BRANCH
        text = self.branches(inside[0][1][1]) if is_choice else self.sequence(inside)
        return f"({'' if captures else '?:'}{text})"

    def branches(self, branches: Sequence[Any]) -> str:
        return "|".join(self.sequence(branch) for branch in branches)

    def repeat(self, least: int, most: Any, inside: Sequence[Any]) -> str:
        again = int(most > 1)
        self.repeated += again
        once = self.sequence(inside)
        self.repeated -= again
        if len(inside) != 1 or str(inside[0][0]) not in _UNITS:
            once = f"(?:{once})"
        return once + _times(least, most)

    def members(self, items: Sequence[tuple[Any, Any]]) -> str:
        negated = str(items[0][0]) == "NEGATE"
        parts = items[1:] if negated else items
        if len(parts) == 1 and str(parts[0][0]) == "CATEGORY":
            name = str(parts[0][1])
            inside, opposite = self.category(name.replace("NOT_", "")), "NOT_" in name
            return f"[{'^' if negated != opposite else ''}{inside}]"
        return f"[{'^' if negated else ''}{''.join(self.member(*part) for part in parts)}]"

    def member(self, operator: Any, argument: Any) -> str:
        match str(operator):
            case "LITERAL":
                return _in_class(argument)
            case "RANGE":
                return f"{_in_class(argument[0])}-{_in_class(argument[1])}"
        name = str(argument)
        if "NOT_" in name:
            raise NotInJavaScript(
                r"\D, \S and \W beside others in […] are not taken over: list the characters"
            )
        return self.category(name)

    def category(self, name: str) -> str:
        """The inside of a class."""
        match name:
            case "CATEGORY_SPACE":
                return _ASCII_SPACES if self.ascii_only else _SPACES
            case "CATEGORY_DIGIT" if self.ascii_only:
                return "0-9"
            case "CATEGORY_WORD" if self.ascii_only:
                return "A-Za-z0-9_"
        raise NotInJavaScript(rf"\d is {_DIGITS}" if "DIGIT" in name else rf"\w is {_LETTERS}")

    def place(self, at: Any) -> str:
        match str(at):
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return "^"
            case "AT_END":
                return r"(?=\n?$)"
            case "AT_END_STRING":
                return "$"
            case "AT_BOUNDARY" if self.ascii_only:
                return r"\b"
            case "AT_NON_BOUNDARY":
                raise NotInJavaScript(r"\B finds other places in k6: do without")
        raise NotInJavaScript(
            r"\b is between letters of any script in Python: begin with (?a), or do without"
        )


def _times(least: int, most: Any) -> str:
    if most is sre.MAXREPEAT:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    if (least, most) == (0, 1):
        return "?"
    return f"{{{least}}}" if least == most else f"{{{least},{most}}}"


def _literal(code: int) -> str:
    char = chr(code)
    return f"\\{char}" if char in r"^$\.*+?()[]{}|/" else _plain(char)


def _in_class(code: int) -> str:
    char = chr(code)
    return f"\\{char}" if char in r"^\[]-/" else _plain(char)


def _plain(char: str) -> str:
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(char)
    if named is not None:
        return named
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\u{{{code:x}}}"
